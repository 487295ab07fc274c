"""The compiled numbering plans say what the installed phonenumbers says."""

from __future__ import annotations

from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from arrivals.core.numbering import MAIN_REGIONS, NATIONAL_LENGTHS, SHARED_PREFIXES, TRUNK_ZERO


def test_main_regions_are_up_to_date() -> None:
    theirs = {
        str(code): "XN" if regions[0] == "001" else regions[0]
        for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()
    }
    assert dict(word.split(":") for word in MAIN_REGIONS.split()) == theirs


def test_lengths_are_up_to_date() -> None:
    theirs = {}
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        lengths: set[int] = set()
        for region in regions:
            plan = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
            assert plan is not None
            assert plan.general_desc is not None
            lengths.update(plan.general_desc.possible_length)
        theirs[str(code)] = ",".join(str(length) for length in sorted(lengths))
    assert dict(word.split(":") for word in NATIONAL_LENGTHS.split()) == theirs


def test_shared_prefixes_stand_once_and_under_a_code_of_their_region() -> None:
    seen: dict[str, str] = {}
    for word in SHARED_PREFIXES.split():
        region, prefixes = word.split(":")
        for prefix in prefixes.split(","):
            assert seen.setdefault(prefix, region) == region
            codes = [c for c in COUNTRY_CODE_TO_REGION_CODE if prefix.startswith(str(c))]
            assert any(region in COUNTRY_CODE_TO_REGION_CODE[code][1:] for code in codes)
    assert len(seen) == sum(word.count(",") + 1 for word in SHARED_PREFIXES.split())


def test_the_zero_that_is_dialled_at_home_is_up_to_date() -> None:
    theirs = {
        str(code)
        for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()
        for plan in [PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])]
        if plan is not None and plan.national_prefix == "0"
    }
    assert set(TRUNK_ZERO.split()) == theirs - {"57"}
