"""Know by its first octets and its Content-Type that a body isn't UTF-8, and say what it is."""

from __future__ import annotations

import codecs
import re
from typing import Final

from arrivals.core.errors import Refusal, body_invalid

BOM: Final = b"\xef\xbb\xbf"
HEAD_OCTETS: Final = 4  # enough to know any of these by
ENCODING: Final = "encoding"  # the kind of mistake

_NAME_CHARS_MAX: Final = 40
_CHARSET: Final = re.compile(r""";\s*charset\s*=\s*["']?(?P<name>[^\s;"']+)""", re.IGNORECASE)
_OURS: Final = frozenset({"utf-8", "ascii"})

# What exports and uploads begin with that is no text in UTF-8; the longer ones first.
_HEADS: Final = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"PK\x03\x04", "a zip archive, as .xlsx files are"),
    (b"\xd0\xcf\x11\xe0", "an .xls file"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "gzip"),
)


def declared(content_type: str | None) -> str | None:
    """Return the charset that a Content-Type names, unless it is UTF-8 or a part of it."""
    found = _CHARSET.search(content_type or "")
    if found is None:
        return None
    name = found["name"]
    try:
        ours = codecs.lookup(name).name in _OURS
    except (LookupError, ValueError):
        ours = False
    return None if ours else name[:_NAME_CHARS_MAX]


def kind_of(octets: bytes) -> str | None:
    """Return what a body is that is certainly no text in UTF-8, by its first octets."""
    for head, name in _HEADS:
        if octets.startswith(head):
            return name
    # UTF-16 without its mark: every other octet of ASCII is NUL.
    return "UTF-16" if b"\0" in octets[:2] else None


def refuse_kind(octets: bytes) -> None:
    """Raise the refusal of a body that is certainly no text in UTF-8."""
    kind = kind_of(octets)
    if kind is not None:
        raise _not_utf8(f"is {kind}, not text in UTF-8: save it as CSV or JSON in UTF-8")


def refuse_charset(octets: bytes, charset: str | None) -> None:
    """Raise the refusal of octets that mean something else in the charset declared for them."""
    if charset is not None and not octets.isascii():
        raise _not_utf8(
            f"is declared as {charset}: send it in UTF-8, and name no other charset"
        )


def text_of(octets: bytes, charset: str | None = None) -> str:
    """Return octets as text; raises the refusal that names the first one that isn't UTF-8."""
    refuse_charset(octets, charset)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        octet, place = octets[error.start], error.start + 1
    raise _not_utf8(
        f"isn't UTF-8: octet {place} is 0x{octet:02X}, as in Windows-1252 or Latin-1; "
        "save it as UTF-8"
    )


def _not_utf8(problem: str) -> Refusal:
    return body_invalid([("", problem, ENCODING)])
