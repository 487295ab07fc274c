"""Read phone numbers and tell their country.

A number inside Arrivals is its E.164 digits without a plus: 8 to 15 of them. The country
comes from the calling code, and where countries share one (+1, +7, +44 …) from the leading
digits that the numbering plans give each. Country code 999 is assigned to nobody and
stands for the sandbox's carrier world.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from arrivals.core.countries import COUNTRY_NAMES, NETWORK_NAMES
from arrivals.core.numbering import MAIN_REGIONS, NATIONAL_LENGTHS, SHARED_PREFIXES

DIGITS_MIN: Final = 8
DIGITS_MAX: Final = 15  # E.164
TEXT_MAX: Final = 40  # fifteen digits, each with a separator, and then some

SANDBOX_CODE: Final = "999"
SANDBOX_REGION: Final = "ZZ"  # ISO 3166 leaves it to users
NO_COUNTRY_REGION: Final = "XN"  # ours, as ISO 3166 allows: satellite, freephone and the like

_SANDBOX_LENGTHS: Final = "5,6,7,8,9,10,11,12"
_HEAD: Final = 3  # the longest calling code
_SEPARATORS: Final = re.compile(r"[ \u00a0\-.()]+")
_MASK_MIN: Final = 11  # shorter numbers show less


class InvalidNumber(ValueError):
    """The text isn't a phone number; `reason` says why without repeating it."""

    def __init__(self, reason: str) -> None:
        """Hold a reason fit to be shown after "The number can't be used:"."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """Where a number belongs."""

    iso2: str  # ISO 3166; ZZ the sandbox, XN networks of no country
    name: str  # in English
    calling_code: str


def normalise_msisdn(text: str) -> str:
    """Return the digits of a number written with +, spaces, dashes, dots or parentheses.

    Raises InvalidNumber.
    """
    if not (text.isascii() and text.isdigit()):
        text = _without_separators(text)
    if not DIGITS_MIN <= len(text) <= DIGITS_MAX:
        size = "few" if len(text) < DIGITS_MIN else "many"
        raise InvalidNumber(f"it has too {size} digits, 8 to 15 are needed")
    if text[0] == "0":
        raise InvalidNumber("it begins with 0; write the country code first")
    return text


def _without_separators(text: str) -> str:
    if len(text) > TEXT_MAX:
        raise InvalidNumber("it is too long")
    digits = _SEPARATORS.sub("", text).removeprefix("+")
    if digits.isascii() and digits.isdigit():
        return digits
    if not digits:
        raise InvalidNumber("it is empty")
    if "+" in digits:
        raise InvalidNumber("a + may only stand before the first digit")
    if digits.isdecimal():
        raise InvalidNumber("its digits must be 0 to 9")
    if any(char.isalpha() for char in digits):
        raise InvalidNumber("it has letters")
    raise InvalidNumber("it has a character that isn't a digit")


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
    lengths: frozenset[int]  # digits of whole numbers
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
    by_head: dict[str, _Plan] = {}
    for code, iso2 in regions.items():
        plan = _Plan(
            country=Country(iso2=iso2, name=_name(code, iso2), calling_code=code),
            lengths=frozenset(len(code) + int(n) for n in lengths[code].split(",")),
            prefix_lengths=tuple(sorted(shared.get(code, ()), reverse=True)),
        )
        by_head |= dict.fromkeys(_heads(code), plan)
    return _Plans(by_head=by_head, by_prefix=by_prefix)


def _heads(code: str) -> list[str]:
    rest = _HEAD - len(code)
    return [f"{code}{n:0{rest}d}" if rest else code for n in range(10**rest)]


def _name(code: str, iso2: str) -> str:
    if iso2 == SANDBOX_REGION:
        return "Carrier world (sandbox)"
    return NETWORK_NAMES[code] if iso2 == NO_COUNTRY_REGION else COUNTRY_NAMES[iso2]
