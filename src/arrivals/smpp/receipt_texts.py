"""The values of a receipt's text by their keys, however the text is written.

Appendix B of SMPP 3.4 shows one layout, which most receipts have; the market has others: keys
in other words and cases, with `=`, in quotes, in JSON or XML, between commas or pipes, and
values without their keys. After `text:` the message itself is quoted, and decides nothing.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from arrivals.smpp.receipt_states import (
    ABBREVIATIONS,
    MARKS,
    STATES,
    UNRECOGNISED,
    is_harmless,
    is_negation,
    letters_in,
    of_stats,
    state_in,
    state_in_words,
    tells_of_an_end,
    tells_of_states,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ID_CHARS_MAX: Final = 255  # of an id that is kept; 3.4 allows 64
WORD_CHARS_MAX: Final = 64  # of an error, a date or a state's own word that is kept
# Receipts have a few hundred octets; what stands behind these is nobody's receipt.
TEXT_CHARS_READ: Final = 1_024
_OCTETS_READ: Final = 2 * TEXT_CHARS_READ + 3  # of UTF-16 with the longest mark

# Appendix B to the letter, which most receipts are; the scan reads it too, but slower.
# What it takes is plain already: printable, and no longer than `plain` would leave it.
_USUAL: Final = re.compile(
    r"id:([!#-&(-;=?-~]{1,255}) sub:([!-~]{1,64}) dlvrd:([!-~]{1,64})"
    r" submit date:([!-~]{1,64}) done date:([!-~]{1,64})"
    r" stat:(\w{1,64}) err:(\w{1,64}) [Tt]ext:(.*)",
    re.ASCII | re.DOTALL,
)
_USUAL_KEYS: Final = ("id", "sub", "dlvrd", "submit_date", "done_date", "stat", "err", "text")
_KEY: Final = re.compile(
    r"(?<![^\s,;|&?{\"'<(\[\x00-\x1f\x7f-\xff])"
    r"((?:receipted[ _-]?)?(?:message|msg|sms)[ _-]?id|id|sub|dlvrd"
    # Whose id it is stands before it: no message's.
    r"|(?:client|customer|user|account|system|service|sender|part|smsc|batch|campaign|template"
    r"|entity|group|route|operator|network|carrier|gateway|provider|session) id"
    r"|(?:submit|done)[ _-]?date"
    r"|(?:message|msg|delivery|dlr)[ _-]?stat(?:us|e)|stat(?:us|e)?"
    r"|err(?:or)?(?:[ _-]?code)?|text)"
    r"(?:[\"']?[ \t]*[:=]|(?<=\w)>)",
    re.ASCII | re.IGNORECASE,
)
_OWN_IDS: Final = ("messageid", "msgid", "smsid")
_SQUEEZED: Final = re.compile(r"[ _-]")
_KEY_NAMES: Final[dict[str, str]] = {
    "submitdate": "submit_date",
    "donedate": "done_date",
    **dict.fromkeys(("errcode", "error", "errorcode"), "err"),
}
_REPORTING: Final = frozenset({"stat", "err", "sub", "dlvrd"})
_PADDING: Final = " \t\r\n,;|&\0"
_BRACKETS: Final = "\"'{}()[]<>"
_DATE: Final = re.compile(r"[\d:.T+Z/-]+(?: \d[\d:.Z+]*)*")
_TOKEN: Final = re.compile(r"[^\s,;|]+")
_FIELDS: Final = re.compile(r"[,;|\r\n]+")
# Where a key begins that nobody knows: a word, and what makes it one.
_OTHER_KEY: Final = re.compile(r"[\s,;|&][A-Za-z_]{2,20}[\"']?[:=]")
_END_OF_WORD: Final = re.compile(r"[,;|]")
# Behind such a key stands somebody's message, which decides nothing.
_QUOTATION: Final = re.compile(
    r"[\s,;|&](?:msg|message|content|body)[\"']?[:=]", re.ASCII | re.IGNORECASE
)
_DENIED_WITHIN: Final = 4  # words before a state's

_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xfe\xff", "utf-16-be"),
    (b"\xff\xfe", "utf-16-le"),
)
_GSM_UNDERSCORE: Final = "\x11"  # 3GPP TS 23.038 6.2.1; in ASCII it is a control character


def readable(data: bytes) -> str:
    """Return a receipt's text, an octet a character; of UTF-16, what fits an octet.

    What data_coding says is no help: some say UCS-2 and write ASCII, and some the reverse. In
    UTF-16 every letter of a key has a zero, before it or behind it.
    """
    data = data[:_OCTETS_READ]
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _narrowed(data[len(mark) :], name)
    if b"\0" in data:
        before, behind = data[::2].count(0), data[1::2].count(0)
        if 4 * max(before, behind) >= len(data):
            return _narrowed(data, "utf-16-be" if before > behind else "utf-16-le")
    return data[:TEXT_CHARS_READ].decode("latin-1")


def _narrowed(data: bytes, name: str) -> str:
    if name != "utf-8" and len(data) % 2:
        data = data[:-1]
    text = data.decode(name, "replace")[:TEXT_CHARS_READ]
    if max(text, default="") <= "\xff":
        return text
    return "".join(each if each <= "\xff" else _stand_in(each) for each in text)


def _stand_in(wide: str) -> str:
    """Return an octet's character for a wider one: what may be part of a word stays one.

    So a word beside it, or joined to it, is not read as if it stood alone.
    """
    kind = unicodedata.category(wide)
    if kind in {"Zs", "Zl", "Zp", "Cf"}:
        return " "
    return '"' if kind in {"Pi", "Pf"} else "\xaa"


def plain(value: str, chars_max: int) -> str:
    """Return a value cut, and with what would steer a terminal written out."""
    value = value[:chars_max]
    return value if value.isprintable() else written_out(value)


def written_out(value: str) -> str:
    """Return a value with whatever can't be printed as its number."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in value)


def tell_of_a_state(octets: bytes) -> bool:
    """Tell whether octets that are no PDU hold a receipt's words, in whatever alphabet."""
    plain = octets.replace(b"\0", b"").decode("latin-1").upper()
    return "STAT:" in plain or any(word in plain for word in ABBREVIATIONS)


def has_abbreviation(data: bytes) -> bool:
    """Tell whether a text holds a word that stands nowhere but in receipts."""
    return not ABBREVIATIONS.isdisjoint(each.upper() for each in letters_in(readable(data)))


def read_values(data: bytes) -> dict[str, str]:
    """Return a receipt's values by key, from its octets in whatever alphabet."""
    usual = _USUAL.fullmatch(data[:TEXT_CHARS_READ].decode("latin-1"))
    if usual is not None:
        return dict(zip(_USUAL_KEYS, usual.groups(), strict=True))
    return scan_text(readable(data))


def scan_text(text: str) -> dict[str, str]:
    """Return a receipt text's values by key, in any order; after `text:` nothing is a key."""
    found: dict[str, str] = {}
    stats: list[str] = []
    text = text[:TEXT_CHARS_READ]
    # What stands between values, where a state may be without its key: before err, and behind.
    loose: tuple[list[str], list[str]] = ([], [])
    for name, chunk in _chunks(text):
        if name == "text":
            found["text"] = chunk
            continue
        value, rest = _value_of(name, chunk)
        if name == "stat":
            stats.append(value)
        elif name:
            chars_max = ID_CHARS_MAX if name == "id" else WORD_CHARS_MAX
            found.setdefault(name, plain(value.replace(_GSM_UNDERSCORE, "_"), chars_max))
        loose["err" in found].append(rest)
    stat = of_stats(stats) if stats else _bare_state(*loose)
    if stat:
        found["stat"] = stat
    return found


def _chunks(text: str) -> Iterator[tuple[str, str]]:
    """Cut a text at its keys; what stands before the first has no name."""
    name, begin = "", 0
    for match in _KEY.finditer(text):
        if match[0].endswith(">") and text[match.start() - 1] != "<":
            continue
        yield name, text[begin : match.start()]
        name, begin = _name_of(match[1]), match.end()
        if name == "text":
            break
    yield name, text[begin:]


def _name_of(key: str) -> str:
    key = _SQUEEZED.sub("", key.lower())
    if key.endswith("id"):
        return "id" if key.endswith(_OWN_IDS) or key == "id" else "other_id"
    return "stat" if "stat" in key else _KEY_NAMES.get(key, key)


def _value_of(name: str, chunk: str) -> tuple[str, str]:
    """Return a key's value in what stands behind it, and what doesn't belong to it."""
    chunk = chunk.strip(_PADDING)
    if not name:
        return "", chunk
    if chunk[:1] in {'"', "'"}:
        value, _, rest = chunk[1:].partition(chunk[0])
        return value.strip(), rest
    chunk = chunk.lstrip(_BRACKETS).partition("<")[0].removesuffix("/>").strip(_PADDING)
    if name == "stat":
        return _stat(chunk.strip(_BRACKETS)), ""
    shape = _DATE if name.endswith("_date") else _TOKEN
    match = shape.match(chunk)
    if match is None:
        return "", chunk
    return match[0].strip(_BRACKETS), chunk[match.end() :]


def _stat(chunk: str) -> str:
    """Return a state's words, without what stands behind them: a key that nobody knows, say."""
    if state_in(chunk) == UNRECOGNISED:
        for end in (_OTHER_KEY, _END_OF_WORD):
            if (match := end.search(chunk)) is not None:
                head, rest = chunk[: match.start()].strip(_BRACKETS), chunk[match.start() :]
                quoted = _QUOTATION.search(rest)
                told = rest if quoted is None else rest[: quoted.start()]
                if not tells_of_states(told) or _stands_against(head, told):
                    return head
    return chunk


def _stands_against(head: str, told: str) -> bool:
    """Tell whether an abbreviation counts whatever it says behind it: no arrival, that is."""
    return (
        head.upper() in ABBREVIATIONS
        and STATES[head.upper()] != "DELIVRD"
        and not tells_of_an_end(told)
    )


def _bare_state(before: list[str], behind: list[str]) -> str:
    """Find a state that stands without its key, such as in `DELIVRD,2401021203,000`."""
    found: dict[str, str] = {}
    for field in _fields(before + behind):
        tokens = [each.strip(MARKS) for each in field.split()]
        for at, word in enumerate(tokens):
            if word.upper() in ABBREVIATIONS and not any(
                map(is_negation, tokens[max(0, at - _DENIED_WITHIN) : at])
            ):
                found.setdefault(state_in(word), word)
    if len(found) == 1 and "DELIVRD" not in found:
        return found.popitem()[1]
    # A phrase is taken only from where no message is quoted: some leave out that key as well.
    fields = list(_fields(before))
    told = [each for each in fields if tells_of_states(each)]
    states = {state_in_words(each) for each in told} | found.keys()
    if "DELIVRD" not in states:
        return next((each for each in told if state_in_words(each) != UNRECOGNISED), "")
    # "Delivered" counts if nothing that is told beside it could take it back.
    if len(states) > 1:
        return ""
    if told:
        return told[0] if all(map(is_harmless, fields[: fields.index(told[0])])) else ""
    alone = [each for each in _fields(behind) if tells_of_states(each)]
    return alone[0] if len(alone) == 1 and _is_one_word(alone[0]) else ""


def _fields(chunks: list[str]) -> Iterator[str]:
    parts = (part.strip(_PADDING) for chunk in chunks for part in _FIELDS.split(chunk))
    return filter(None, parts)


def _is_one_word(field: str) -> bool:
    return state_in_words(field) in STATES and field.strip(MARKS).upper() in STATES


def speaks_of_an_end(data: bytes) -> bool:
    """Tell whether a text has any word of a report's, so that it isn't surely a person's."""
    if len(data) > TEXT_CHARS_READ:  # of what isn't read whole nothing is sure
        return True
    text = readable(data)
    return tells_of_an_end(text) or any(name in _REPORTING for name, _ in _chunks(text))
