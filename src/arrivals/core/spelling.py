"""Read the digits of a number as people, spreadsheets and data frames write it.

What is written around the digits is dropped where it can't mean anything: separators, one
plus in front, marks that can't be seen, a fraction of nothing. Whatever could stand for
something else is refused and named, for a number that is read wrongly reaches somebody else:

    491711234567.0         491711234567; its fraction is nothing
    491711234567.5         refused: no number has a fraction
    4.91711E+11            refused: a spreadsheet has shortened it
    31.612.345.678         31612345678; dots are a way of writing

The groups that it was written in are kept: `grouping` judges by them.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

TEXT_MAX: Final = 64  # fifteen digits, each between two marks, and then some
_HEAD_DIGITS_MIN: Final = 8  # before a decimal mark: fewer are no number without the rest
_CENTS: Final = 2  # nobody sets the last one or two digits apart, but fractions are so printed

_DASHES: Final = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SEPARATORS: Final = frozenset(_DASHES + ".()")
_SPACES: Final = frozenset(" \u00a0\u1680\u202f\u205f\u3000") | {
    chr(n) for n in range(0x2000, 0x200B)
}
_IN_ASCII: Final = {"\uff0b": "+", "\uff0e": ".", "\uff08": "(", "\uff09": ")"}

# Copied along from web pages, address books and chats: soft hyphen, joiners, the marks that
# set the direction of writing, the byte-order mark, variation selectors.
_UNSEEN: Final = frozenset(
    (
        *(0x00AD, 0x034F, 0x061C, 0x180E, 0xFEFF),
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202E),
        *range(0x2060, 0x2065),
        *range(0x2066, 0x2070),
        *range(0xFE00, 0xFE10),
    )
)
_REVERSED: Final = "\u202e"  # what stands behind it is shown from the right: which was meant?

_EXPONENT: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?[eE][+-]?[0-9]+", re.ASCII)
_PLAIN: Final = re.compile(r"\+?[0-9]+\.[0-9]+", re.ASCII)
_GROUP: Final = re.compile(r"(\(?)[^0-9()]*([0-9]+)[^0-9()]*(\)?)", re.ASCII)

_COMMA: Final = "it holds a comma: write one number, without it"
_WHY_NOT: Final = {
    "+": "a + may only stand before the first digit",
    "=": "it holds = like a spreadsheet's formula; export its value",
    ",": _COMMA,
    ";": "it holds ; (U+003B), which isn't a digit: write one number a place",
    "|": "it holds | (U+007C), which isn't a digit: write one number a place",
    "/": "it holds / (U+002F), which isn't a digit: write one number a place",
}


class InvalidNumber(ValueError):
    """The text isn't a phone number; `reason` says why without repeating it."""

    def __init__(self, reason: str) -> None:
        """Hold a reason fit to be shown after "The number can't be used:"."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Spelt:
    """What a text spells."""

    digits: str
    plus: bool  # stands before them
    groups: tuple[str, ...]  # as they are written, with the parentheses that touch them


def spelt_digits(text: str) -> Spelt:
    """Return the digits that a text spells, and how. Raises InvalidNumber."""
    if len(text) > TEXT_MAX:
        raise InvalidNumber("it is too long")
    seen = _seen(text)
    if _EXPONENT.fullmatch(seen):
        raise InvalidNumber(
            "a spreadsheet or a data frame has shortened it to a power of ten and its last "
            "digits may be lost; make the column text and export it again"
        )
    body = _without_fraction(seen.removeprefix("'"))  # ' is a spreadsheet's mark for a text
    if body[:1] and body[0] in _DASHES:
        raise InvalidNumber("it begins with a minus, as if it had been calculated")
    if body[-1:] == ")" and any(char.isdigit() for char in body[: body.rfind("(")]):
        raise InvalidNumber("its end stands in parentheses; leave out what isn't dialled")
    bare = "".join(char for char in body if not (char in _SEPARATORS or char in _SPACES))
    plus = bare[:1] == "+"
    digits = bare[1:] if plus else bare
    if digits.isascii() and digits.isdigit():
        groups = tuple("".join(each) for each in _GROUP.findall(body))
        return Spelt(digits, plus, groups)
    raise InvalidNumber(_why_not(digits))


def _seen(text: str) -> str:
    """Return a text without what can't be seen, its digits and its plus in ASCII."""
    if text.isascii():
        return text.strip()
    if _REVERSED in text:
        raise InvalidNumber("it holds U+202E, which shows what follows in reverse")
    return "".join(_in_ascii(char) for char in text if ord(char) not in _UNSEEN).strip()


def _in_ascii(char: str) -> str:
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    return _IN_ASCII.get(char, char)


def _without_fraction(text: str) -> str:
    """Cut a fraction of nothing off; raises InvalidNumber for one of something.

    A comma is never a separator here. One dot may be either: it is a decimal mark where only
    one or two digits follow it, and where only zeros do that would make the number too long.
    """
    at = max(text.rfind("."), text.rfind(","))
    if at < 0:
        return text
    head, mark, tail = text[:at], text[at], text[at + 1 :]
    if not (tail.isascii() and tail.isdigit()) or "," in head or (mark == "." and "." in head):
        return text
    count = sum(char.isdigit() for char in head)
    nothing = not tail.strip("0")
    fraction = mark == "," or len(tail) <= _CENTS
    if not fraction and nothing and count >= _HEAD_DIGITS_MIN and _PLAIN.fullmatch(text):
        fraction = True
        # Three zeros or more could be the end of a number as well, if there's room for them.
        nothing = count + len(tail) > 15
    if not fraction:
        return text
    if nothing and count >= _HEAD_DIGITS_MIN:
        return head
    if mark == "," and not (nothing or len(tail) <= _CENTS):
        raise InvalidNumber(_COMMA)
    raise InvalidNumber(
        "it ends like a fraction, as spreadsheets and data frames print numbers; "
        "write its digits as a text"
    )


def _why_not(digits: str) -> str:
    if not digits:
        return "it is empty"
    wrong = next(char for char in digits if not (char.isascii() and char.isdigit()))
    if wrong.isalpha():
        return "it has letters"
    if wrong in _WHY_NOT:
        return _WHY_NOT[wrong]
    point = f"U+{ord(wrong):04X}"
    shown = f"{wrong} ({point})" if wrong.isprintable() else f"the character {point}"
    return f"it holds {shown}, which isn't a digit"
