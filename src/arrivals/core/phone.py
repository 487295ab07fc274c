"""Read phone numbers and tell their country.

A number inside Arrivals is its E.164 digits without a plus: 8 to 15 of them, and as many as
its country has. `spelling` reads the digits, `grouping` refuses those that are written as at
home, and here they are taken for a number. The country comes from the calling code, and where
countries share one (+1, +7, +44 …) from the leading digits that the numbering plans give each.
Country code 999 is assigned to nobody and stands for the sandbox's carrier world.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from arrivals.core.countries import COUNTRY_NAMES, NETWORK_NAMES
from arrivals.core.grouping import MARKED_ZERO, refuse_as_at_home
from arrivals.core.numbering import (
    MAIN_REGIONS,
    NATIONAL_LENGTHS,
    SHARED_PREFIXES,
    TRUNK_ZERO,
    ZERO_LED,
)
from arrivals.core.spelling import InvalidNumber as InvalidNumber
from arrivals.core.spelling import spelt_digits

DIGITS_MIN: Final = 8
DIGITS_MAX: Final = 15  # E.164

SANDBOX_CODE: Final = "999"
SANDBOX_REGION: Final = "ZZ"  # ISO 3166 leaves it to users
NO_COUNTRY_REGION: Final = "XN"  # ours, as ISO 3166 allows: satellite, freephone and the like

_SANDBOX_LENGTHS: Final = "5,6,7,8,9,10,11,12"
_HEAD: Final = 3  # the longest calling code
# Mexico's mobile numbers were written 52 1 … until 2019, and carriers still write them so.
_FORMER_HEADS: Final = ("521",)
# Longer Belarusian numbers than these have the 8 (or 80) that is dialled within the country.
_EIGHT_DIALLED: Final = {"3758": 12}
# But for those that begin, behind the code, with what looks as if it were dialled at home.
_LOOKS_DIALLED: Final = {
    code: re.compile(pattern, re.ASCII)
    for code, pattern in (
        ("359", r"00800\d{7}"),
        ("375", r"8(?:0[013]|10)\d{7}|820\d{8}"),
        ("598", r"0004\d{2,9}"),
        ("62", r"00[17]803\d{5,11}"),
        ("66", r"001800\d{7}"),
        ("81", r"00(?:37|66|77|78|88)\d{4,13}"),
        ("82", r"00(?:308|368|798)\d{6,9}"),
        ("91", r"000800\d{7}"),
    )
}
_MASK_MIN: Final = 11  # shorter numbers show less


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """Where a number belongs."""

    iso2: str  # ISO 3166; ZZ the sandbox, XN networks of no country
    name: str  # in English
    calling_code: str


def normalise_msisdn(text: str) -> str:
    """Return the digits of a number as it is written, country code first.

    With a plus, or 00 for it, a 0 that is only dialled within a country is left out. Without
    one, what could be a number of another country is refused, and so is a number too long or
    too short for its country. Raises InvalidNumber.
    """
    if text.isascii() and text.isdigit():
        plan = _plans().by_head.get(text[:_HEAD])
        # The usual form costs one look; everything else is read with care.
        if (
            plan is not None
            and len(text) in plan.sure_lengths
            and text[plan.code_digits] != "0"
        ):
            return text
    spelt = spelt_digits(text)
    digits, international = spelt.digits, spelt.plus
    if digits[:2] == "00" and not international:
        digits, international = digits[2:], True
        if digits[:1] == "1":
            # To North America from most of the world; to anywhere from Hong Kong or Singapore.
            raise InvalidNumber("001 is dialled for more than one thing; write + instead of 00")
    if digits[:1] == "0":
        raise InvalidNumber("it begins with 0; write the country code first")
    if not international and len(spelt.groups) > 1:
        refuse_as_at_home(spelt.groups, calling_code_of(digits))
        international = spelt.groups[1] == MARKED_ZERO
    return _as_its_plan_has_it(digits, international=international)


def _as_its_plan_has_it(digits: str, *, international: bool) -> str:
    plan = _plans().by_head.get(digits[:_HEAD])
    if plan is None:
        return _of_any_length(digits)  # of no country that is known: prices decide
    digits = _without_trunk(digits, plan, international=international)
    if len(digits) in plan.lengths:
        return digits
    if digits.startswith(_FORMER_HEADS) and len(digits) - 1 in plan.lengths:
        return digits
    _of_any_length(digits)
    at = plan.code_digits
    possible = [n - at for n in sorted(plan.lengths)]
    raise InvalidNumber(
        f"it has {len(digits) - at} digits behind {digits[:at]}, and numbers of "
        f"{plan.country.name} have {_listed(possible)}"
    )


def _without_trunk(digits: str, plan: _Plan, *, international: bool) -> str:
    """Leave out what is dialled within the country alone; raises InvalidNumber if in doubt."""
    code, behind = digits[: plan.code_digits], digits[plan.code_digits :]
    own = _LOOKS_DIALLED.get(code)
    if own is not None and own.fullmatch(behind) and (international or behind[0] != "0"):
        return digits
    if behind[:1] == "0":
        without = code + behind[1:]
        again = behind[1:2] == "0"
        if plan.trunk_zero and not again and len(without) in plan.lengths:
            if international:
                return without
            raise InvalidNumber(
                f"it has no + in front, and a 0 behind {code}: is that the country's code? "
                "then leave out the 0, or write + in front"
            )
        if not plan.zero_led or (plan.trunk_zero and again):
            raise InvalidNumber(
                f"no number of {plan.country.name} begins with 0 behind {code}; leave it out"
            )
    if len(digits) > _EIGHT_DIALLED.get(digits[: len(code) + 1], len(digits)):
        raise InvalidNumber(
            "its 8 may be one that is dialled only within Belarus; leave it out"
        )
    return digits


def _of_any_length(digits: str) -> str:
    if not DIGITS_MIN <= len(digits) <= DIGITS_MAX:
        size = "few" if len(digits) < DIGITS_MIN else "many"
        raise InvalidNumber(f"it has too {size} digits, 8 to 15 are needed")
    return digits


def _listed(numbers: list[int]) -> str:
    """Print `4 or 6 to 9`: runs of numbers, shortest first."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return " or ".join(words)


def country_of(msisdn: str) -> Country | None:
    """Return the country of normalised digits, or None if no calling code fits."""
    plans = _plans()
    plan = plans.by_head.get(msisdn[:_HEAD])
    if plan is None:
        return None
    for length in plan.prefix_lengths:
        found = plans.by_prefix.get(msisdn[:length])
        if found is not None:
            return found
    return plan.country


def calling_code_of(msisdn: str) -> str | None:
    """Return the calling code at the head of normalised digits, or None if there's none."""
    plan = _plans().by_head.get(msisdn[:_HEAD])
    return None if plan is None else plan.country.calling_code


def length_ok(msisdn: str) -> bool:
    """Tell whether any number of its numbering plan has this many digits."""
    plan = _plans().by_head.get(msisdn[:_HEAD])
    return plan is not None and len(msisdn) in plan.lengths


def mask(msisdn: str) -> str:
    """Hide the middle of a number for logs and pages, and how long it is."""
    if len(msisdn) < _MASK_MIN:
        return f"+{msisdn[:3]}•••{msisdn[-2:]}" if len(msisdn) >= DIGITS_MIN else "+•••"
    return f"+{msisdn[:4]}•••{msisdn[-4:]}"


def countries() -> tuple[Country, ...]:
    """Return every country there is, once for each, by calling code; the sandbox last."""
    plans = _plans()
    everyone = [plan.country for plan in plans.by_head.values()]
    everyone += plans.by_prefix.values()
    return tuple(dict.fromkeys(sorted(everyone, key=lambda country: country.calling_code)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    country: Country  # the main one of its calling code
    lengths: frozenset[int]  # digits of whole numbers, 8 to 15
    sure_lengths: frozenset[int]  # those at which nothing can be what is dialled at home
    code_digits: int
    trunk_zero: bool  # a 0 is dialled before its numbers within the country, and not abroad
    zero_led: bool  # numbers themselves may begin with 0, as in Italy
    prefix_lengths: tuple[int, ...]  # of those who share the code, longest first


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plans:
    by_head: dict[str, _Plan]  # every three digits that begin a number
    by_prefix: dict[str, Country]


@cache
def _plans() -> _Plans:
    """Unpack the compiled plans, once."""
    regions = dict(word.split(":") for word in MAIN_REGIONS.split())
    regions[SANDBOX_CODE] = SANDBOX_REGION
    by_prefix: dict[str, Country] = {}
    shared: dict[str, set[int]] = {}
    for word in SHARED_PREFIXES.split():
        iso2, prefixes = word.split(":")
        for prefix in prefixes.split(","):
            code = next(prefix[:n] for n in range(1, _HEAD + 1) if prefix[:n] in regions)
            by_prefix[prefix] = Country(iso2=iso2, name=COUNTRY_NAMES[iso2], calling_code=code)
            shared.setdefault(code, set()).add(len(prefix))
    lengths = dict(word.split(":") for word in NATIONAL_LENGTHS.split())
    lengths[SANDBOX_CODE] = _SANDBOX_LENGTHS
    trunk_zero = frozenset(TRUNK_ZERO.split())
    zero_led = frozenset([*ZERO_LED.split(), SANDBOX_CODE])
    by_head: dict[str, _Plan] = {}
    for code, iso2 in regions.items():
        whole = frozenset(_whole_lengths(code, lengths[code]))
        sure = _EIGHT_DIALLED.get(f"{code}8", DIGITS_MAX)
        plan = _Plan(
            country=Country(iso2=iso2, name=_name(code, iso2), calling_code=code),
            lengths=whole,
            sure_lengths=frozenset(n for n in whole if n <= sure),
            code_digits=len(code),
            trunk_zero=code in trunk_zero,
            zero_led=code in zero_led,
            prefix_lengths=tuple(sorted(shared.get(code, ()), reverse=True)),
        )
        by_head |= dict.fromkeys(_heads(code), plan)
    return _Plans(by_head=by_head, by_prefix=by_prefix)


def _whole_lengths(code: str, national: str) -> list[int]:
    found = [len(code) + int(n) for n in national.split(",")]
    return [n for n in found if DIGITS_MIN <= n <= DIGITS_MAX]


def _heads(code: str) -> list[str]:
    rest = _HEAD - len(code)
    return [f"{code}{n:0{rest}d}" if rest else code for n in range(10**rest)]


def _name(code: str, iso2: str) -> str:
    if iso2 == SANDBOX_REGION:
        return "Carrier world (sandbox)"
    return NETWORK_NAMES[code] if iso2 == NO_COUNTRY_REGION else COUNTRY_NAMES[iso2]
