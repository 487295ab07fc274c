"""Tell a number that is written for use abroad from one that is written as at home.

`(310) 555-1234` has no country's code, though 31 is one: read as digits alone it would reach
somebody in the Netherlands. So groups without a plus count only where the first of them is a
country's code, whole and alone, and where no country writes its own numbers like that:

    44 7911 123456         44 is the United Kingdom
    1-415-555-0123         1 is North America
    415-555-0123           refused: 415 is no country's code
    212-555-0123           refused: 212 is Morocco, but also New York
    45 20 12 34 56         refused: 45 is Denmark, but also an area in Brazil
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from arrivals.core.spelling import InvalidNumber

MARKED_ZERO: Final = "(0)"  # what people write for "only within the country"

# Longer numbers than this are written with their country's code, but for those below.
_AT_HOME_DIGITS_MAX: Final = 10

# An area, and then seven digits.
_NORTH_AMERICAN: Final = re.compile(r"[2-9]\d\d [2-9]\d\d ?\d{4}", re.ASCII)

# Longer numbers that begin with digits that are a country's code elsewhere.
_LONG_AT_HOME: Final = re.compile(
    "|".join(
        (
            r"(?:27|[3-9][1-9]) 9(?: ?\d){8}",  # Brazil: an area, and a mobile number
            r"3\d\d 15 [\d ]+",  # Argentina: an area, and a mobile number, without their 0
            r"\d\d \d\d \d\d \d{5}",  # Luxembourg: extensions
            r"3[5-9]\d \d{4} \d{4,5}",  # Italy: voice mail
            r"93 \d{3} \d{3} \d{3}|96\d \d{3} \d{3} \d{3}",  # Czechia: voice mail
            r"800 [\d ]+",  # free of charge in many countries, and in all of them
        )
    ),
    re.ASCII,
)


def refuse_as_at_home(groups: Sequence[str], calling_code: str | None) -> None:
    """Raise InvalidNumber if groups without a plus could be another country's number.

    `calling_code` is what their digits begin with, if they begin with any.
    """
    bare = " ".join(group.strip("()") for group in groups)
    if _NORTH_AMERICAN.fullmatch(bare):
        raise InvalidNumber(
            "it is written as within North America; write +1 and the number, or + and the "
            "country's code"
        )
    if groups[0] != calling_code:
        raise InvalidNumber(
            "it has no + in front, and its first group isn't a country's code alone; begin "
            "it with + and the country's code"
        )
    if groups[1] == MARKED_ZERO:
        return
    digits = len(bare) - bare.count(" ")
    if digits <= _AT_HOME_DIGITS_MAX or _LONG_AT_HOME.fullmatch(bare):
        raise InvalidNumber(
            "it has no + in front, and could be written as within another country; write + "
            f"in front if {calling_code} is the country's code"
        )
