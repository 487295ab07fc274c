"""The state that a receipt tells: by a word of the market's, a phrase, a number, a TLV.

A word that is known means what STATES says. A phrase is read by the words in it, and only one
way round: a failing word decides whatever stands beside it, while "delivered" counts only if
every word beside it is one that can't take it back. So what nobody foresaw is UNRECOGNISED, and
no report of a failure is ever read as a success.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

from arrivals.smpp import constants as c

UNRECOGNISED: Final = "UNRECOGNISED"
PHRASES_REMEMBERED: Final = 1_024  # a provider has a few, and says them again and again
PHRASE_CHARS_MAX: Final = 200  # a longer one is no state but somebody's message

# What vendors write for a state. Words for "on its way" are ENROUTE, whatever a vendor
# boasts; words for "never sent on" are REJECTD, and their reason stays in stat_raw.
STATES: Final[dict[str, str]] = {
    **{word: word for word in c.MESSAGE_STATES},
    "DELIVERED": "DELIVRD",
    "DELIVERD": "DELIVRD",
    "DELIVRED": "DELIVRD",
    "DELIVD": "DELIVRD",
    "DLIVRD": "DELIVRD",
    "DLVRD": "DELIVRD",
    "DELVRD": "DELIVRD",
    "EXPIRD": "EXPIRED",
    "DELETE": "DELETED",
    "CANCELLED": "DELETED",
    "CANCELED": "DELETED",
    "UNDELIVERABLE": "UNDELIV",
    "UNDELIVERED": "UNDELIV",
    "UNDELIVRD": "UNDELIV",
    "UNDELIVERD": "UNDELIV",
    "UNDELV": "UNDELIV",
    "UNDEL": "UNDELIV",  # cut; what begins so can't be anything else
    "UNDLVRD": "UNDELIV",
    "FAILED": "UNDELIV",
    "FAIL": "UNDELIV",
    "FAILURE": "UNDELIV",
    "ACCEPTED": "ACCEPTD",
    "REJECTED": "REJECTD",
    "REJECT": "REJECTD",
    "REJCTD": "REJECTD",
    "NACK": "REJECTD",
    "BLIST": "REJECTD",
    "BLOCKED": "REJECTD",
    "NOROUTE": "REJECTD",
    "SENT": "ENROUTE",
    "SENDING": "ENROUTE",
    "SUBMITD": "ENROUTE",
    "SUBMITTED": "ENROUTE",
    "BUFFERED": "ENROUTE",
    "BUFFERD": "ENROUTE",
    "BUFFRED": "ENROUTE",
    "BUFFRD": "ENROUTE",
    "QUEUED": "ENROUTE",
    "ACK": "ENROUTE",  # somebody on the way took it
    "ACKED": "ENROUTE",
    "PENDING": "ENROUTE",
    "WAITING": "ENROUTE",
    "TRANSMITTED": "ENROUTE",
    "FORWARDED": "ENROUTE",
    "DISPATCHED": "ENROUTE",
    "PROCESSING": "ENROUTE",
    "RETRY": "ENROUTE",
    "RETRYING": "ENROUTE",
    "SCHEDLD": "SCHEDULED",
}


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that stand nowhere but in receipts: one of them tells the state without its key.
ABBREVIATIONS: Final = _each(
    "DELIVRD DELIVERD DELIVRED DLIVRD DELVRD UNDELIV UNDELIVRD UNDELIVERD UNDELV UNDLVRD "
    "REJECTD REJCTD ACCEPTD ENROUTE EXPIRD SUBMITD BUFFRED BUFFRD SCHEDLD"
)

# Words of phrases, by what they make of one.
_ARRIVED: Final = _each("DELIVERED DELIVRD DELIVERD DELIVRED")
_SUCCEEDED: Final = _each("SUCCESS SUCCESSFUL SUCCESSFULLY SUCCEEDED CONFIRMED COMPLETED")
_HARMLESS: Final = (
    _ARRIVED
    | _SUCCEEDED
    | _each("DELIVERY MESSAGE MSG SMS STATUS STATE REPORT OK FINAL FINALLY")
    | _each("HANDSET PHONE MOBILE DEVICE TERMINAL SUBSCRIBER RECIPIENT USER DESTINATION")
    | _each("THE YOUR TO ON AT BY WAS IS HAS BEEN")
)
# Whoever stands between us and the handset: delivered to these is on its way.
_HALFWAY: Final = _each(
    "NETWORK CARRIER OPERATOR SMSC CENTER CENTRE GATEWAY UPSTREAM PROVIDER SERVER PARTNER HUB "
    "SUPPLIER AGGREGATOR"
)
_FAILED: Final = _each(
    "UNDELIVERED UNDELIVERABLE UNDELIV UNDELIVRD FAILED FAIL FAILS FAILURE IMPOSSIBLE "
    "UNSUCCESSFUL UNSUCCESSFULLY UNREACHABLE UNABLE CANNOT"
)
_REJECTED: Final = _each(
    "REJECTED REJECTD REJECT REJECTION REFUSED DENIED BLOCKED BARRED BLACKLISTED NACK"
)
_FAILING: Final[dict[str, str]] = {
    **dict.fromkeys(_FAILED, "UNDELIV"),
    **dict.fromkeys(_REJECTED, "REJECTD"),
    **dict.fromkeys(_each("EXPIRED EXPIRD"), "EXPIRED"),
    **dict.fromkeys(_each("DELETED CANCELLED CANCELED"), "DELETED"),
}
_PASSED_ON: Final = _each(
    "SENT SENDING QUEUED BUFFERED BUFFRED PENDING SUBMITTED SUBMITD ENROUTE TRANSIT WAITING "
    "TRANSMITTED FORWARDED DISPATCHED PROCESSING PROCESSED RELAYED RETRY RETRYING RETRIED "
    "ACKED ACKNOWLEDGED"
)
_UNDERWAY: Final[dict[str, str]] = {
    **dict.fromkeys(_PASSED_ON, "ENROUTE"),
    **dict.fromkeys(_each("ACCEPTED ACCEPTD"), "ACCEPTD"),
    "SCHEDULED": "SCHEDULED",
}
_NEGATIONS: Final = _each("NOT NON NO NEVER UN CANNOT WITHOUT T")  # as in "couldn't"
_DELIVERY: Final = _ARRIVED | _each("DELIVER DELIVERY DELIVERABLE REACHED")
# These leave it open whether anything ended.
_OPEN: Final = _each("TEMPORARY TEMPORARILY ATTEMPT PARTIALLY PARTLY IF MAYBE")

_ENDS: Final = (
    _DELIVERY | _FAILING.keys() | ABBREVIATIONS | _each("DLVRD DELIV UNDEL BLIST NOROUTE")
)
_TELLING: Final = _ARRIVED | _FAILING.keys() | _UNDERWAY.keys() | _NEGATIONS | _OPEN

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+")
_LETTERS: Final = re.compile(r"[A-Za-z]+")
_DIGIT: Final = re.compile(r"\d")
# What parts a word from its number, as in `Delivered: 0` and `DELIVRD(5)`.
_BEFORE_NUMBER: Final = re.compile(r"(?<=[^\W\d_])[\"']?[:=(/,](?=[ \"']?\d)")
# Dates, clocks and long ids say nothing about a word beside them; of counts only one and all.
_HARMLESS_NUMBER: Final = re.compile(
    r"\d{6,}|0*1|1/1|100%|\d{2,4}[-./]\d\d[-./]\d{2,4}|\d\d:\d\d(?::\d\d)?", re.ASCII
)
_NONE: Final = re.compile(r"0+%?|0+/\d+", re.ASCII)
# An abbreviation with the error's code behind it: no count, for nobody counts in these words.
_CODED: Final = re.compile(r"([A-Z]{3,12})[ _:/(-]{1,2}\d{1,10}\)?", re.ASCII | re.IGNORECASE)
# What makes the opposite of a word, or a question; an exclamation mark does so before it.
_DOUBT: Final = re.compile(r"[?~^\xac]|(?<![\w-])-+(?=\w)")
MARKS: Final = " \t\r\n.:!?*\"'`()[]{}<>"


@lru_cache(maxsize=PHRASES_REMEMBERED)
def state_in(value: str) -> str:
    """Return the state that a receipt's word, number or phrase means, or UNRECOGNISED."""
    plain = value.strip(MARKS)
    if plain.isascii() and plain.isdigit():
        # Zero is how vendors say none, and 3.4 knows no such state.
        number = 0 if _is_doubted(value) else int(plain[:9])
        return c.MESSAGE_STATE_WORDS.get(number, UNRECOGNISED) if number else UNRECOGNISED
    return state_in_words(value)


def state_in_words(phrase: str) -> str:
    """Return what a word or a phrase comes to; what holds a digit is no word of it."""
    plain = phrase.strip(MARKS)
    if len(plain) > PHRASE_CHARS_MAX:
        return UNRECOGNISED
    known = STATES.get(plain.upper())
    if known is None and (coded := _CODED.fullmatch(plain)) is not None:
        word = coded[1].upper()
        known = STATES[word] if word in ABBREVIATIONS else None
    if known is not None:
        return UNRECOGNISED if _is_doubted(phrase) else known
    words, numbers = _words_and_numbers(plain)
    said = frozenset(words)
    arrived = bool(said & _ARRIVED) or ("DELIVERY" in said and bool(said & _SUCCEEDED))
    if said & _OPEN:
        return UNRECOGNISED
    failing = [_FAILING[each] for each in words if each in _FAILING]
    underway = [_UNDERWAY[each] for each in words if each in _UNDERWAY]
    if said & _NEGATIONS:
        return _negated(said, failing, underway)
    if failing:
        none = any(_NONE.fullmatch(each) for each in numbers)
        return UNRECOGNISED if arrived or underway or none else failing[0]
    if underway:
        return UNRECOGNISED if arrived else underway[0]
    if arrived and said <= _HARMLESS | _HALFWAY and _without_doubt(phrase, numbers):
        return "ENROUTE" if said & _HALFWAY else "DELIVRD"
    return UNRECOGNISED


def _without_doubt(phrase: str, numbers: list[str]) -> bool:
    return not _is_doubted(phrase) and all(map(_HARMLESS_NUMBER.fullmatch, numbers))


def _is_doubted(phrase: str) -> bool:
    return "!" in phrase.rstrip(MARKS) or _DOUBT.search(phrase) is not None


def _words_and_numbers(phrase: str) -> tuple[list[str], list[str]]:
    """Return a phrase's words, and by themselves whatever holds a digit."""
    words: list[str] = []
    numbers: list[str] = []
    for each in _BEFORE_NUMBER.sub(" ", phrase).split():
        if _DIGIT.search(each):
            numbers.append(each.strip(MARKS + ",;|"))
        else:
            words += _WORD.findall(each)
    return [each.upper() for each in words], numbers


def tells_of_states(phrase: str) -> bool:
    """Tell whether any word of a phrase could be about what became of a message."""
    return not _TELLING.isdisjoint(_words_and_numbers(phrase)[0])


def letters_in(text: str) -> list[str]:
    """Return a text's runs of letters, whatever joins them."""
    return _LETTERS.findall(text)


def tells_of_an_end(text: str) -> bool:
    """Tell whether a text has any word of what became of a message, be it a person's own."""
    runs = letters_in(text)
    return any(each in STATES or each.upper() in _ENDS for each in runs) or not (
        _ENDS.isdisjoint(each.upper() for each in _WORD.findall(text))
    )


def is_harmless(field: str) -> bool:
    """Tell whether what stands before a word is one value, or words that leave it as it is."""
    return " " not in field or _HARMLESS.issuperset(_words_and_numbers(field)[0])


def is_negation(token: str) -> bool:
    """Tell whether a token has a word that denies what follows it."""
    return not _NEGATIONS.isdisjoint(_words_and_numbers(token)[0])


def _negated(said: frozenset[str], failing: list[str], underway: list[str]) -> str:
    """Read "not delivered" and its like; what else is denied may mean anything."""
    if underway or not said & _DELIVERY:
        return UNRECOGNISED
    if "YET" in said or "STILL" in said:
        return UNRECOGNISED if failing else "ENROUTE"
    return failing[0] if failing else "UNDELIV"


class _Kind(StrEnum):
    ARRIVED = "arrived"
    FAILED = "failed"
    UNDERWAY = "underway"
    NOTHING = "nothing"


_KINDS: Final[dict[str, _Kind]] = {
    "DELIVRD": _Kind.ARRIVED,
    **dict.fromkeys(("UNDELIV", "REJECTD", "DELETED", "EXPIRED"), _Kind.FAILED),
    **dict.fromkeys(("ENROUTE", "ACCEPTD", "SCHEDULED"), _Kind.UNDERWAY),
    **dict.fromkeys(("UNKNOWN", "SKIPPED", UNRECOGNISED), _Kind.NOTHING),
}
FINAL_WORDS: Final = frozenset(
    word for word, kind in _KINDS.items() if kind in {_Kind.ARRIVED, _Kind.FAILED}
)

# Where message_state and the text's word are of different kinds, the text's word is taken here
# and the number everywhere else: it is the specification's own and bends less.
_TEXT_DECIDES: Final = frozenset(
    {
        # A template says delivered by itself; nobody writes down a failure that wasn't one.
        (_Kind.ARRIVED, _Kind.FAILED),
        # Delivered can't be taken back; what is on its way may yet be told.
        (_Kind.ARRIVED, _Kind.UNDERWAY),
        # The number was filled in when the message was taken, the text when it ended.
        (_Kind.UNDERWAY, _Kind.ARRIVED),
        (_Kind.UNDERWAY, _Kind.FAILED),
        # Whoever says that nothing is known doesn't gainsay who knows something.
        (_Kind.NOTHING, _Kind.ARRIVED),
        (_Kind.NOTHING, _Kind.FAILED),
        (_Kind.NOTHING, _Kind.UNDERWAY),
    }
)


def agree_on(number: int | None, said: str) -> tuple[str, str | None]:
    """Return the state of a message_state and a text's state, and the number's if they differ.

    Zero is a state of 5.0's, and of many who mean none by it: it counts if the text has none.
    """
    word = None if number is None else c.MESSAGE_STATE_WORDS.get(number)
    if word is None or word == said:
        return said, None
    if said == UNRECOGNISED:
        return word, None
    if number == 0:
        return said, None
    text_decides = (_KINDS[word], _KINDS[said]) in _TEXT_DECIDES
    return (said if text_decides else word), word


def of_stats(values: list[str]) -> str:
    """Return which of a text's stat values counts: the first known one, but a failure first."""
    known = [(value, _KINDS[state]) for value in values if (state := state_in(value)) in STATES]
    failed = [value for value, kind in known if kind is _Kind.FAILED]
    if failed and any(kind is _Kind.ARRIVED for _, kind in known):
        return failed[0]
    return known[0][0] if known else values[0]
