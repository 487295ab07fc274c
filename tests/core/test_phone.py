"""Phone numbers: what is accepted, and whose they are, against phonenumbers itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import (
    PhoneNumber,
    PhoneNumberFormat,
    example_number_for_non_geo_entity,
    example_number_for_type,
    format_number,
    is_possible_number,
    national_significant_number,
    parse,
    region_code_for_number,
)
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE, PhoneNumberType

from arrivals.core.phone import (
    Country,
    InvalidNumber,
    calling_code_of,
    countries,
    country_of,
    length_ok,
    mask,
    normalise_msisdn,
)

SHARED = sorted(
    code for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() if len(regions) > 1
)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("31612345678", "31612345678"),
        ("+31612345678", "31612345678"),
        ("+31 6 1234-5678", "31612345678"),
        ("+1 (416) 555.0123", "14165550123"),
        ("31\u00a06\u00a01234\u00a05678", "31612345678"),
        (" 31612345678 ", "31612345678"),
        ("12345678", "12345678"),
        ("491234567890123", "491234567890123"),
    ],
)
def test_numbers_as_people_write_them(text: str, digits: str) -> None:
    assert normalise_msisdn(text) == digits


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("+", "empty"),
        ("()-", "empty"),
        ("1234567", "too few"),
        ("1234567890123456", "too many"),
        ("2101234567890123", "too many"),
        ("0" + "1" * 5000, "too long"),
        ("0612345678", "begins with 0"),
        ("+0612345678", "begins with 0"),
        ("31+612345678", "before the first digit"),
        ("++31612345678", "before the first digit"),
        ("3161234567x", "letters"),
        ("call me", "letters"),
        ("3161234567²", "isn't a digit"),
        ("3161234/5678", "isn't a digit"),
        ("31612345678\n9", "isn't a digit"),
    ],
)
def test_what_is_no_number_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidNumber, match=why) as caught:
        normalise_msisdn(text)
    assert caught.value.reason == str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        digits = normalise_msisdn(text)
    except InvalidNumber:
        return
    assert digits.isascii()
    assert digits.isdigit()
    assert 8 <= len(digits) <= 15


@given(st.from_regex(r"[1-9][0-9]{15,39}|0[1-9][0-9]{6,13}|[0-9]{8}x[0-9]{5}", fullmatch=True))
def test_a_refusal_never_shows_the_number(text: str) -> None:
    """Invariant 44: full numbers never appear in error bodies."""
    with pytest.raises(InvalidNumber) as caught:
        normalise_msisdn(text)
    assert text[:8] not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("+44 (0)7911 123456", "447911123456"),
        ("+4407911123456", "447911123456"),
        ("004407911123456", "447911123456"),
        ("(+44) (0) 7911-123456", "447911123456"),
        ("+49 (0) 171 1234567", "491711234567"),
        ("+55 (0)11 91234-5678", "5511912345678"),
        ("+82 (0)10-1234-5678", "821012345678"),
        ("0031612345678", "31612345678"),
        # Whose numbers begin with 0 themselves keep it.
        ("+39 06 698 12345", "390669812345"),
        ("+225 01 23 45 67 89", "2250123456789"),
        ("+378 0549 886377", "3780549886377"),
        # Rwanda has both: where the number is too short without its 0, it stays.
        ("+250 06123456", "25006123456"),
        ("+250 0720 123 456", "250720123456"),
        # As Mexico wrote mobile numbers until 2019.
        ("+52 1 55 1234 5678", "5215512345678"),
        ("37580112345", "37580112345"),
        # Free numbers that begin with what looks as if it were dialled at home.
        ("+3758011458375", "3758011458375"),
        ("3758011458375", "3758011458375"),
        ("+375 820 12345678", "37582012345678"),
        ("+81006682098278", "81006682098278"),
        ("+5980004052", "5980004052"),
        # Of Rwanda's, only a 0 too many could be dialled at home.
        ("25006123456", "25006123456"),
        ("2101234567", "2101234567"),  # of no country that is known
    ],
)
def test_a_zero_that_is_dialled_at_home_is_left_out(text: str, digits: str) -> None:
    """Reports: a contact card's (0), a form that joins +44 and 0…, Italian numbers cut."""
    assert normalise_msisdn(text) == digits


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("+48 (0)22 345 67 89", "no number of Poland begins with 0 behind 48"),
        ("+34 0612345678", "no number of Spain begins with 0"),
        ("+1 (0)416 555 0123", "begins with 0 behind 1"),
        ("+44 00 7911 123456", "begins with 0 behind 44"),
        ("+57 (0)300 123 4567", "begins with 0 behind 57"),
        ("+81 00 90 1234 5678", "begins with 0 behind 81"),
        ("81006682098278", "begins with 0 behind 81"),
        ("37580291234567", "8 may be one that is dialled only within Belarus"),
        ("+375 8 029 123 45 67", "8 may be one that is dialled only within Belarus"),
        ("001 656 123 4567", "001 is dialled for more than one thing"),
        ("0011 61 412 345 678", "001 is dialled for more than one thing"),
        ("011 31 6 12345678", "begins with 0"),
        ("+0031612345678", "begins with 0"),
        (
            "+31 6 1234 5678 9012",
            "13 digits behind 31, and numbers of Netherlands have 6 to 11",
        ),
        ("31612", "too few"),
        ("1202555012", "9 digits behind 1, and numbers of United States have 7 or 10"),
        ("+52 1 55 1234 56", "numbers of Mexico have 10"),
        ("339123456789", "10 digits behind 33, and numbers of France have 9"),
    ],
)
def test_what_could_be_somebody_else_is_refused(text: str, why: str) -> None:
    """Reports: doubled zeros, prefixes of another exchange, digits lost or typed twice."""
    with pytest.raises(InvalidNumber, match=why):
        normalise_msisdn(text)


def spellings(code: int, national: str) -> list[str]:
    """Return a number as forms, contact cards, exports and people write it, and not quite."""
    whole = f"{code}{national}"
    return [
        f"+{whole}", whole, f"00{whole}", f"+{code} {national}", f"\u202a+{whole}\u202c",
        f"+{code} (0){national}", f"+{code}0{national}", f"{code}0{national}",
        f"00{code}0{national}", f"+{code} 00{national}", f"+{code}-" + "-".join(national),
        f"+{code}.{national[:3]}.{national[3:]}", f"+{whole}x12", f"tel:+{whole}",
        f"+{whole[:-1]}", f"+{whole[:-2]}", f"+{whole}0", f"+{whole}12", f"+{code}8{national}",
        f"+{code}9{national}", f"\uff0b{whole}",
    ]  # fmt: skip


def test_thousands_of_spellings_are_the_number_that_phonenumbers_reads_or_refused() -> None:
    """Independent oracle: never another subscriber than libphonenumber's reading."""
    kinds = range(PhoneNumberType.UAN + 1)
    numbers = {
        (example.country_code, national_significant_number(example))
        for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()
        for region in regions
        for kind in kinds
        if (
            example := example_number_for_non_geo_entity(code)
            if region == "001"
            else example_number_for_type(region, kind)
        )
    }
    same = refused = 0
    for code, national in sorted(numbers, key=str):
        assert code is not None
        for text in spellings(code, national):
            try:
                ours = normalise_msisdn(text)
            except InvalidNumber:
                refused += 1
                continue
            international = "+" + text.lstrip("+\uff0b\u202a").removeprefix("00")
            assert "+" + ours == format_number(parse(international), PhoneNumberFormat.E164)
            same += 1
    assert same > 10_000
    assert refused > 5_000


def test_every_number_in_use_is_taken() -> None:
    """The other side: what libphonenumber calls valid isn't refused for its length."""
    taken = 0
    for code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
                example = example_number_for_type(region, kind)
                if example is None:
                    continue
                digits = f"{code}{national_significant_number(example)}"
                if len(digits) >= 8:
                    assert is_possible_number(example)
                    assert normalise_msisdn(digits) == digits
                    taken += 1
    assert taken > 400


@pytest.mark.parametrize(
    ("msisdn", "iso2", "name", "code"),
    [
        ("31612345678", "NL", "Netherlands", "31"),
        ("12025550123", "US", "United States", "1"),
        ("14165550123", "CA", "Canada", "1"),
        ("18765550123", "JM", "Jamaica", "1"),
        ("79161234567", "RU", "Russia", "7"),
        ("77011234567", "KZ", "Kazakhstan", "7"),
        ("447911123456", "GG", "Guernsey", "44"),
        ("447912345678", "GB", "United Kingdom", "44"),
        ("447624123456", "IM", "Isle of Man", "44"),
        ("3906698123456", "VA", "Vatican City", "39"),
        ("881612345678", "XN", "Satellite networks (881)", "881"),
        ("99900000001", "ZZ", "Carrier world (sandbox)", "999"),
    ],
)
def test_countries_of_numbers(msisdn: str, iso2: str, name: str, code: str) -> None:
    assert country_of(msisdn) == Country(iso2=iso2, name=name, calling_code=code)
    assert calling_code_of(msisdn) == code


@pytest.mark.parametrize("msisdn", ["21012345678", "99712345678", "3"])
def test_an_unassigned_code_has_no_country(msisdn: str) -> None:
    assert country_of(msisdn) is None
    assert calling_code_of(msisdn) is None
    assert not length_ok(msisdn)


def test_every_example_number_has_the_country_that_phonenumbers_gives_it() -> None:
    compared = 0
    for regions in COUNTRY_CODE_TO_REGION_CODE.values():
        for region in regions:
            for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
                example = example_number_for_type(region, kind)
                if example is None:
                    continue
                assert example.country_code is not None
                assert example.national_number is not None
                assert_agrees(example.country_code, example.national_number)
                compared += 1
    assert compared > 400


@given(st.sampled_from(SHARED), st.integers(10_000_000, 9_999_999_999))
def test_shared_codes_agree_with_phonenumbers(code: int, national: int) -> None:
    assert_agrees(code, national)


def assert_agrees(code: int, national: int) -> None:
    """Compare wherever phonenumbers has an answer: for numbers that are in use."""
    number = PhoneNumber(country_code=code, national_number=national)
    region = region_code_for_number(number)
    ours = country_of(f"{code}{national}")
    assert ours is not None
    assert ours.calling_code == str(code)
    if region is not None:
        assert ours.iso2 == ("XN" if region == "001" else region), (code, national)


@pytest.mark.parametrize(
    ("msisdn", "possible"),
    [
        ("31612345678", True),
        ("316123456789012", False),
        ("12025550123", True),
        ("1202555012", False),
        ("99900000001", True),
    ],
)
def test_lengths_that_a_plan_allows(msisdn: str, possible: bool) -> None:
    assert length_ok(msisdn) is possible


@pytest.mark.parametrize(
    ("msisdn", "masked"),
    [
        ("31612345678", "+3161•••5678"),
        ("123456789012345", "+1234•••2345"),
        ("12345678", "+123•••78"),
        ("1234567", "+•••"),
        ("", "+•••"),
    ],
)
def test_masks_hide_the_middle(msisdn: str, masked: str) -> None:
    """Invariant 44: no full number in a log."""
    assert mask(msisdn) == masked


def test_every_country_is_listed_once() -> None:
    everyone = countries()
    assert len(everyone) == len(set(everyone)) > 240
    assert everyone[0].calling_code == "1"
    assert everyone[-1].iso2 == "ZZ"
    codes = {country.calling_code for country in everyone}
    assert codes == {str(code) for code in COUNTRY_CODE_TO_REGION_CODE} | {"999"}
