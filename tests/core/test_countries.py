"""Country names: one for every region and network that the numbering plans know."""

from __future__ import annotations

from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from arrivals.core.countries import COUNTRY_NAMES, NETWORK_NAMES


def test_every_region_has_a_name_of_its_own() -> None:
    regions = {r for regions in COUNTRY_CODE_TO_REGION_CODE.values() for r in regions}
    assert set(COUNTRY_NAMES) == regions - {"001"}
    assert len(set(COUNTRY_NAMES.values())) == len(COUNTRY_NAMES)


def test_every_code_without_a_country_has_a_name() -> None:
    codes = {str(code) for code, r in COUNTRY_CODE_TO_REGION_CODE.items() if r == ("001",)}
    assert set(NETWORK_NAMES) == codes


def test_names_can_stand_in_chat_markup() -> None:
    """Published clients print names as Markdown."""
    names = [*COUNTRY_NAMES.values(), *NETWORK_NAMES.values()]
    assert not [name for name in names if set(name) & set("_*[`")]
