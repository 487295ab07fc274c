"""Numbers written as at home never become another country's, against phonenumbers itself."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, format_number
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

from arrivals.core.phone import InvalidNumber, normalise_msisdn
from tests.core.valid_numbers import valid_numbers

# The area codes of the United States with the most numbers in use.
US_AREAS = (
    "201 202 206 210 212 213 214 215 217 224 234 248 267 301 303 305 310 312 313 314 323 347 "
    "352 385 404 407 408 412 415 469 480 503 504 512 605 612 617 646 702 713 718 773 786 801 "
    "813 817 832 858 917 972"
)
US_FORMS = (
    "({0}) {1}-{2}", "({0}){1}-{2}", "{0}-{1}-{2}", "{0} {1} {2}", "{0}.{1}.{2}", "{0} {1}{2}",
    "{0}-{1}{2}", "({0}) {1}{2}", "\uff08{0}\uff09 {1}-{2}", "{0}\u2013{1}\u2013{2}",
    "{0}\u00a0{1}\u00a0{2}", "( {0} ) {1} {2}",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("31.612.345.678", "31612345678"),
        ("31 6 12345678", "31612345678"),
        ("1.415.555.0123", "14155550123"),
        ("1-415-555-0123", "14155550123"),
        ("1 (415) 555-0123", "14155550123"),
        ("44 7911 123456", "447911123456"),
        ("49 171 1234567", "491711234567"),
        ("33 6 12 34 56 78", "33612345678"),
        ("7 912 345-67-89", "79123456789"),
        ("39 06 6981 2345", "390669812345"),
        ("852 5123 4567", "85251234567"),
        ("999 1000-0001", "99910000001"),
        # A marked 0 says that a country's code stands before it.
        ("44 (0)7911 123456", "447911123456"),
        ("44(0)7911123456", "447911123456"),
        ("44 ( 0 ) 7911 123456", "447911123456"),
        ("32 (0)2 123 45 67", "3221234567"),
        # A plus, or 00 for it, says it of any grouping.
        ("+316 1234 5678", "31612345678"),
        ("+45 20 12 34 56", "4520123456"),
        ("0045 20 12 34 56", "4520123456"),
        ("+55 11 91234-5678", "5511912345678"),
        # Nothing that can be seen stands between the digits.
        ("(31612345678)", "31612345678"),
    ],
)
def test_groups_that_begin_with_a_countrys_code_are_read(text: str, digits: str) -> None:
    assert normalise_msisdn(text) == digits


@pytest.mark.parametrize(
    ("report", "text", "why"),
    [
        ("New York, not Morocco", "(212) 555-1234", r"write \+1 and the number"),
        ("Ohio, not Nigeria", "234-555-1234", r"write \+1 and the number"),
        ("Beverly Hills, not the Netherlands", "(310) 555-1234", r"write \+1 and the number"),
        ("South Dakota, not Malaysia", "(605) 816-1927", r"write \+1 and the number"),
        ("Russia's free numbers, not Bangladesh", "8 (800) 534-11-88", "first group"),
        ("from Russia to Germany, not Japan", "8 10 49 171 1234567", "first group"),
        ("from Russia to Germany, dialled at once", "810 49 171 1234567", "first group"),
        ("a code in parentheses may be an area", "(44) 7911 123456", "first group"),
        ("parentheses around more than it", "(44 7911) 123456", "first group"),
        ("groups that aren't those of its code", "316 1234 5678", "first group"),
        ("groups of a spreadsheet", "491 711 234 567", "first group"),
        ("a code that nobody has", "210 1234 5678", "first group"),
        ("Sao Paulo, and no code at all", "11 91234-5678", "first group"),
        ("Belo Horizonte, not the Netherlands", "31 99612-3456", "within another country"),
        ("Belo Horizonte, in other groups", "31 9 9612-3456", "within another country"),
        ("Curitiba's landlines, not Switzerland", "41 3312-3456", "within another country"),
        ("Mexico City, not Brazil", "55 1234 5678", "within another country"),
        ("Denmark, not Germany", "49 12 34 56", "within another country"),
        ("an Italian mobile, not Luxembourg", "352 123 4567", "within another country"),
        ("Cordoba, not Portugal", "351 15 234 5678", "within another country"),
        ("free in Greece, and elsewhere", "800 123 45678", "within another country"),
        ("a 0 after the code of another", "44 07911 123456", "a 0 behind 44"),
        ("California, not the Netherlands", "3105551234", "a 0 behind 31"),
        ("from Russia to Germany, in one", "81049171234567", "a 0 behind 81"),
        ("a form that joins 44 and 0", "4407911123456", r"leave out the 0, or write \+"),
    ],
)
def test_what_could_be_another_countrys_is_refused_with_the_fix(
    report: str, text: str, why: str
) -> None:
    """Report: a list of American customers reached people in the Netherlands."""
    with pytest.raises(InvalidNumber, match=why):
        print(report, normalise_msisdn(text))  # noqa: T201 - shown if it's taken after all


@given(
    st.sampled_from(US_AREAS.split()),
    st.from_regex(r"[2-9][0-9]{2}", fullmatch=True),
    st.from_regex(r"[0-9]{4}", fullmatch=True),
)
def test_no_american_writes_to_another_country(area: str, exchange: str, line: str) -> None:
    for form in US_FORMS:
        with pytest.raises(InvalidNumber, match=r"write \+1 and the number"):
            normalise_msisdn(form.format(area, exchange, line))
        digits = normalise_msisdn("1 " + form.format(area, exchange, line))
        assert digits == f"1{area}{exchange}{line}"


@pytest.mark.slow
def test_a_number_in_the_form_of_its_country_is_its_own_or_refused() -> None:
    """Independent oracle: every region and kind, in its own groups and with other marks."""
    compared = 0
    for region, number in valid_numbers(20, seed=5):
        written = format_number(number, PhoneNumberFormat.NATIONAL)
        bare = " ".join(re.findall("[0-9]+", written))
        # Nobody is at home in 001. Some Asian free numbers begin with 00, and 00 is a plus.
        if region == "001" or bare.startswith("00") or " " not in bare:
            continue
        own = format_number(number, PhoneNumberFormat.E164)
        for text in (written, bare, bare.replace(" ", "-"), bare.replace(" ", ".")):
            with suppress(InvalidNumber):
                assert f"+{normalise_msisdn(text)}" == own, (region, text)
            compared += 1
    assert compared > 50_000


@pytest.mark.slow
def test_every_valid_number_with_a_plus_is_itself() -> None:
    """Report: free numbers of Belarus, Japan and Uruguay were refused."""
    compared = 0
    for _, number in valid_numbers(20, seed=6):
        whole = format_number(number, PhoneNumberFormat.E164)
        if not 8 <= len(whole) - 1 <= 15:
            continue
        spaced = format_number(number, PhoneNumberFormat.INTERNATIONAL)
        dashed = format_number(number, PhoneNumberFormat.RFC3966).removeprefix("tel:")
        for text in (whole, spaced, dashed):
            assert f"+{normalise_msisdn(text)}" == whole
        with suppress(InvalidNumber):
            assert f"+{normalise_msisdn(spaced[1:])}" == whole
        compared += 1
    assert compared > 20_000


@pytest.mark.parametrize("code", sorted(COUNTRY_CODE_TO_REGION_CODE))
def test_no_code_alone_makes_a_short_grouped_number(code: int) -> None:
    """Up to ten digits every code is also an area, or a start, somewhere else."""
    for size in range(8 - len(str(code)), 11 - len(str(code))):
        with pytest.raises(InvalidNumber):
            normalise_msisdn(f"{code} {'2345678901'[:size]}")
