"""Hold money as integers of a millionth, and nothing else.

A `Micros` is a whole number of 1e-6 of a currency. Text becomes one exactly or not at
all, and JSON shows the very number: a float never touches an amount (invariant 4).
"""

from __future__ import annotations

import re
from typing import Final, NewType

import msgspec

Micros = NewType("Micros", int)

MICROS_PER_UNIT: Final = 1_000_000
DECIMALS_MAX: Final = 6

# Fits a signed 64-bit column (9.22e18) with room to add nine of the largest.
AMOUNT_MAX: Final = Micros(10**12 * MICROS_PER_UNIT)

_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,13})(?:\.([0-9]{1,6}))?", re.ASCII)


class InvalidAmount(ValueError):
    """The text isn't a plain decimal number of at most six decimals."""


def parse_amount(text: str) -> Micros:
    """Read a plain decimal such as `0.087` exactly.

    Raises InvalidAmount for exponents, signs other than one `-`, separators, NaN, more
    than six decimals, and amounts beyond `AMOUNT_MAX`.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise InvalidAmount(_why_not(text))
    sign, units, decimals = match.groups(default="")
    micros = int(units) * MICROS_PER_UNIT + int(decimals.ljust(DECIMALS_MAX, "0"))
    if micros > AMOUNT_MAX:
        raise InvalidAmount("the amount is larger than 1,000,000,000,000")
    return Micros(-micros if sign else micros)


def _why_not(text: str) -> str:
    whole, _, decimals = text.partition(".")
    if decimals.isascii() and decimals.isdigit() and len(decimals) > DECIMALS_MAX:
        return "an amount has at most six decimals"
    if whole.lstrip("-").isascii() and whole.lstrip("-").isdigit() and len(whole) > 13:
        return "the amount is larger than 1,000,000,000,000"
    return "an amount is a plain decimal such as 0.087: digits, one point, no exponent"


def format_amount(amount: Micros) -> str:
    """Print an amount as a plain decimal: no exponent, no trailing zeros."""
    if amount < 0:
        return "-" + format_amount(Micros(-amount))
    units, rest = divmod(amount, MICROS_PER_UNIT)
    return f"{units}.{rest:06d}".rstrip("0") if rest else str(units)


def json_number(amount: Micros) -> msgspec.Raw:
    """Give msgspec the amount as the JSON number `format_amount` prints."""
    return msgspec.Raw(format_amount(amount))
