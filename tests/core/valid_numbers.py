"""Draw numbers of every kind and region that libphonenumber calls valid."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from phonenumbers import PhoneMetadata, PhoneNumber, is_valid_number
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

ops: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number",
    "voip", "pager", "uan", "voicemail",
)  # fmt: skip


def valid_numbers(of_each: int, seed: int) -> Iterator[tuple[str, PhoneNumber]]:
    """Draw up to so many of each kind and region, with the region; seeds repeat."""
    chance = random.Random(seed)
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            plan = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
            for kind in _KINDS:
                about = getattr(plan, kind)
                if about is None or not about.national_number_pattern:
                    continue
                pattern = list(parser.parse(about.national_number_pattern))
                for _ in range(of_each):
                    number = _number(code, _drawn(pattern, chance))
                    if is_valid_number(number):
                        yield region, number


def _number(code: int, national: str) -> PhoneNumber:
    zeros = len(national) - len(national.lstrip("0"))
    return PhoneNumber(
        country_code=code,
        national_number=int(national),
        italian_leading_zero=zeros > 0 or None,
        number_of_leading_zeros=zeros if zeros > 1 else None,
    )


def _drawn(items: Iterable[tuple[Any, Any]], chance: random.Random) -> str:
    """Return digits that match what of a pattern numbering plans are made of."""
    found = ""
    for op, value in items:
        if op is ops.LITERAL:
            found += chr(value)
        elif op is ops.IN:
            found += chance.choice([digit for part in value for digit in _digits(*part)])
        elif op is ops.BRANCH:
            found += _drawn(chance.choice(value[1]), chance)
        elif op is ops.SUBPATTERN:
            found += _drawn(value[3], chance)
        else:
            assert op is ops.MAX_REPEAT
            for _ in range(chance.randint(value[0], value[1])):
                found += _drawn(value[2], chance)
    return found


def _digits(op: Any, value: Any) -> list[str]:
    if op is ops.LITERAL:
        return [chr(value)]
    if op is ops.RANGE:
        return [chr(each) for each in range(value[0], value[1] + 1)]
    return list("0123456789")  # \d
