"""The values of a receipt's text by their keys, however the text is written.

Appendix B of SMPP 3.4 shows one layout, which most receipts have; the market has others: keys
in other words and cases, with `=`, in quotes, in JSON or XML, between commas or pipes, and
values without their keys. After `text:` the message itself is quoted, and decides nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arrivals.smpp.receipt_states import (
    ABBREVIATIONS,
    MARKS,
    UNRECOGNISED,
    of_stats,
    state_in,
    state_in_words,
    tells_of_states,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

STAT_CHARS_MAX: Final = 64  # of a state's own word that is kept

# Appendix B to the letter, which most receipts are; the scan reads it too, but slower.
_USUAL: Final = re.compile(
    r"id:([^\s\"'<>\x11]+) sub:(\S+) dlvrd:(\S+) submit date:(\S+) done date:(\S+)"
    r" stat:(\w+) err:(\w+) [Tt]ext:(.*)",
    re.ASCII | re.DOTALL,
)
_USUAL_KEYS: Final = ("id", "sub", "dlvrd", "submit_date", "done_date", "stat", "err", "text")
_KEY: Final = re.compile(
    r"(?<![^\s,;|&?{\"'<(\[\x00-\x1f\x7f-\xff])"
    r"((?:receipted[ _-]?)?(?:message|msg|sms)[ _-]?id|id|sub|dlvrd"
    r"|(?:submit|done)[ _-]?date"
    r"|(?:message|msg|delivery|dlr)[ _-]?stat(?:us|e)|stat(?:us|e)?"
    r"|err(?:or)?(?:[ _-]?code)?|text)"
    r"(?:[\"']?[ \t]*[:=]|(?<=\w)>)",
    re.ASCII | re.IGNORECASE,
)
_SQUEEZED: Final = re.compile(r"[ _-]")
_KEY_NAMES: Final[dict[str, str]] = {
    "submitdate": "submit_date",
    "donedate": "done_date",
    **dict.fromkeys(("errcode", "error", "errorcode"), "err"),
}
_PADDING: Final = " \t\r\n,;|&\0"
_BRACKETS: Final = "\"'{}()[]<>"
_DATE: Final = re.compile(r"[\d:.T+Z/-]+(?: \d[\d:.Z+]*)*")
_TOKEN: Final = re.compile(r"[^\s,;|]+")
_FIELDS: Final = re.compile(r"[,;|\r\n]+")
# Where a key begins that nobody knows: a word, and what makes it one.
_OTHER_KEY: Final = re.compile(r"[\s,;|&]+[A-Za-z_]{2,20}[\"']?[:=]")
_END_OF_WORD: Final = re.compile(r"[,;|]")
_NEGATED: Final = re.compile(
    r"\b(?:no|not|non|never|un|cannot)[\s_-]+(?:\w+\s+){0,3}$", re.ASCII | re.IGNORECASE
)

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
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _narrowed(data[len(mark) :], name)
    if b"\0" in data:
        before, behind = data[::2].count(0), data[1::2].count(0)
        if 4 * max(before, behind) >= len(data):
            return _narrowed(data, "utf-16-be" if before > behind else "utf-16-le")
    return data.decode("latin-1")


def _narrowed(data: bytes, name: str) -> str:
    return data.decode(name, "replace").encode("latin-1", "replace").decode("latin-1")


def tell_of_a_state(octets: bytes) -> bool:
    """Tell whether octets that are no PDU hold a receipt's words, in whatever alphabet."""
    plain = octets.replace(b"\0", b"").decode("latin-1").upper()
    return "STAT:" in plain or any(word in plain for word in ABBREVIATIONS)


def read_values(data: bytes) -> dict[str, str]:
    """Return a receipt's values by key, from its octets in whatever alphabet."""
    usual = _USUAL.fullmatch(data.decode("latin-1"))
    if usual is not None:
        return dict(zip(_USUAL_KEYS, usual.groups(), strict=True))
    return scan_text(readable(data))


def scan_text(text: str) -> dict[str, str]:
    """Return a receipt text's values by key, in any order; after `text:` nothing is a key."""
    found: dict[str, str] = {}
    stats: list[str] = []
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
            found.setdefault(name, value.replace(_GSM_UNDERSCORE, "_"))
        loose["err" in found].append(rest)
    stat = of_stats(stats) if stats else _bare_state(*loose)
    if stat:
        found["stat"] = stat[:STAT_CHARS_MAX]
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
        return "id"
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
                if head.upper() in ABBREVIATIONS or not tells_of_states(rest):
                    return head
    return chunk


def _bare_state(before: list[str], behind: list[str]) -> str:
    """Find a state that stands without its key, such as in `DELIVRD,2401021203,000`."""
    found: dict[str, str] = {}
    for chunk in before + behind:
        for match in _TOKEN.finditer(chunk):
            word = match[0].strip(MARKS)
            if word.upper() in ABBREVIATIONS and not _NEGATED.search(chunk[: match.start()]):
                found.setdefault(state_in(word), word)
    if len(found) == 1:
        return found.popitem()[1]
    # A phrase is taken only from where no message is quoted: some leave out that key as well.
    parts = (part.strip(_PADDING) for chunk in before for part in _FIELDS.split(chunk))
    return next((part for part in parts if state_in_words(part) != UNRECOGNISED), "")
