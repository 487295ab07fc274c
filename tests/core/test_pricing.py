"""Prices: the longest prefix wins, and a bad file says where it's bad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core import pricing
from arrivals.core.money import Micros
from arrivals.core.pricing import (
    InvalidPriceList,
    PriceList,
    PriceRow,
    Rate,
    read_price_list,
)

HEADER = "country,country_prefix,price\n"
PREFIXES = st.from_regex(r"[1-9][0-9]{0,5}", fullmatch=True)


def price_list(*prefixes: str) -> PriceList:
    rates = tuple(
        Rate(rate_id=n, prefix=prefix, country=f"land {n}", price=Micros(n))
        for n, prefix in enumerate(prefixes, 1)
    )
    return PriceList(route_id=1, version=1, currency="EUR", rates=rates)


@pytest.mark.parametrize(
    ("msisdn", "prefix"),
    [
        ("31612345678", "316"),
        ("31101234567", "31"),
        ("14165550123", "1"),
        ("18765550123", "1876"),
        ("44123456789", None),
    ],
)
def test_the_longest_prefix_wins(msisdn: str, prefix: str | None) -> None:
    rate = price_list("31", "316", "1", "1876").find(msisdn)
    assert (rate and rate.prefix) == prefix


@given(st.sets(PREFIXES, max_size=30), st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True))
def test_finding_is_what_a_plain_search_finds(prefixes: set[str], msisdn: str) -> None:
    fitting = [prefix for prefix in prefixes if msisdn.startswith(prefix)]
    rate = price_list(*prefixes).find(msisdn)
    assert (rate.prefix if rate else "") == max(fitting, key=len, default="")


def test_a_prefix_stands_once() -> None:
    with pytest.raises(ValueError, match="stands once"):
        price_list("31", "31")


def test_lists_of_the_same_rates_are_equal() -> None:
    assert price_list("31", "1") == price_list("31", "1") != price_list("31")


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "Netherlands,31,0.087\nSandbox,999,0.01\n",
        "\ufeff" + HEADER + "Netherlands,31,0.087\r\nSandbox,999,0.01\r\n",
        "price,notes,country_prefix,Country\n0.087,x,+31,Netherlands\n\n , \n"
        "0.010,,999,Sandbox\n",
        'country,country_prefix,price\n"Netherlands", 31 ,0.087\n"Sandbox",999,0.01',
    ],
)
def test_price_files_as_people_save_them(text: str) -> None:
    assert read_price_list(text) == (
        PriceRow(country="Netherlands", prefix="31", price=Micros(87_000)),
        PriceRow(country="Sandbox", prefix="999", price=Micros(10_000)),
    )


@pytest.mark.parametrize(
    ("line", "problem", "fix"),
    [
        ("Netherlands,31", "too few columns", "every column"),
        (",31,0.087", "no usable name", "1 to 80"),
        ("x" * 81 + ",31,0.087", "no usable name", "1 to 80"),
        ("Nether\x00lands,31,0.087", "no usable name", "1 to 80"),
        ("Netherlands,,0.087", "isn't 1 to 15 digits", "digits only"),
        ("Netherlands,3x,0.087", "isn't 1 to 15 digits", "digits only"),
        ("Netherlands,٣,0.087", "isn't 1 to 15 digits", "digits only"),
        ("Netherlands,1234567890123456,0.087", "isn't 1 to 15 digits", "digits only"),
        ("Netherlands,031,0.087", "begins with 0", "country code first"),
        ("Netherlands,31,0.0870000", "six decimals", "such as 0.087"),
        ("Netherlands,31,8.7e-2", "plain decimal", "such as 0.087"),
        ("Netherlands,31,-0.087", "negative", "0 or more"),
    ],
)
def test_a_bad_line_is_named_with_its_fix(line: str, problem: str, fix: str) -> None:
    with pytest.raises(InvalidPriceList) as caught:
        read_price_list(HEADER + "Belgium,32,0.1\n" + line + "\n")
    (found,) = caught.value.problems
    assert found.line == 3
    assert problem in found.problem
    assert fix in found.fix
    assert str(caught.value).startswith("line 3: ")


def test_a_prefix_given_twice_names_both_lines() -> None:
    with pytest.raises(InvalidPriceList, match=r"line 4: prefix 31 already stands on line 2"):
        read_price_list(HEADER + "Netherlands,31,0.087\nBelgium,32,0.1\nHolland,31,0.09\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        (HEADER, "no prices"),
        ("country;country_prefix;price\nNetherlands;31;0.087\n", "separated by commas"),
        ("country,price\nNetherlands,0.087\n", "country_prefix"),
        ("country,country,country_prefix,price\n", "each of these columns once: country;"),
        (HEADER + '"Netherlands,31,0.087\n', "quotation mark"),
        (HEADER + '"Nether"lands,31,0.087\n', "quotation mark"),
    ],
)
def test_a_bad_file_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(InvalidPriceList, match=problem):
        read_price_list(text)


def test_every_bad_line_is_found_and_the_report_is_bounded() -> None:
    with pytest.raises(InvalidPriceList) as caught:
        read_price_list(HEADER + "Netherlands,31,free\n" * 60)
    assert len(caught.value.problems) == 60
    assert str(caught.value).count("\n") == 50
    assert str(caught.value).endswith("and 10 more")


def test_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "ROWS_MAX", 2)
    with pytest.raises(InvalidPriceList, match="more than 2 prices"):
        read_price_list(HEADER + "a,31,1\nb,32,1\nc,33,1\n")
    monkeypatch.setattr(pricing, "CSV_CHARS_MAX", 10)
    with pytest.raises(InvalidPriceList, match="larger than"):
        read_price_list(HEADER)


@given(st.text(st.sampled_from('abc,31.0"\n\r;'), max_size=80).map(HEADER.__add__))
def test_any_file_is_read_or_refused(text: str) -> None:
    try:
        rows = read_price_list(text)
    except InvalidPriceList:
        return
    assert len({row.prefix for row in rows}) == len(rows) > 0
