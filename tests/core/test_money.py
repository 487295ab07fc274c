"""Money: exact in, exact out, and nothing that a float could spoil (invariant 4)."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.money import (
    AMOUNT_MAX,
    InvalidAmount,
    Micros,
    format_amount,
    json_number,
    parse_amount,
)

AMOUNTS = st.integers(-AMOUNT_MAX, AMOUNT_MAX).map(Micros)

PAIRS = [
    ("0", 0),
    ("0.087", 87_000),
    ("158.46", 158_460_000),
    ("1", 1_000_000),
    ("0.000001", 1),
    ("-3.5", -3_500_000),
    ("1000000000000", AMOUNT_MAX),
]


@pytest.mark.parametrize(("text", "micros"), PAIRS)
def test_amounts_read_and_print(text: str, micros: int) -> None:
    assert parse_amount(text) == micros
    assert format_amount(Micros(micros)) == text


@pytest.mark.parametrize(
    ("text", "micros"), [("0.10", 100_000), ("-0", 0), ("007.5", 7_500_000)]
)
def test_other_spellings_of_the_same_amount_are_read(text: str, micros: int) -> None:
    assert parse_amount(text) == micros


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0.0000001", "six decimals"),
        ("1.2345670", "six decimals"),
        ("1000000000000.000001", "larger"),
        ("9" * 400, "larger"),
        ("-" + "9" * 20, "larger"),
        ("", "plain decimal"),
        (".5", "plain decimal"),
        ("5.", "plain decimal"),
        ("1e3", "plain decimal"),
        ("NaN", "plain decimal"),
        ("inf", "plain decimal"),
        ("+1", "plain decimal"),
        ("1,5", "plain decimal"),
        ("1_000", "plain decimal"),
        (" 1", "plain decimal"),
        ("1\n", "plain decimal"),
        ("--1", "plain decimal"),
        ("٣", "plain decimal"),
        ("1.٣", "plain decimal"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidAmount, match=why):
        parse_amount(text)


@given(AMOUNTS)
def test_every_amount_survives_the_round_trip(amount: Micros) -> None:
    """Invariant 4: the printed form is the amount, exactly."""
    text = format_amount(amount)
    assert parse_amount(text) == amount
    assert Decimal(text) == Decimal(amount) / 1_000_000
    assert "e" not in text.lower()
    assert len(text.partition(".")[2]) <= 6
    assert not ("." in text and text.endswith("0"))


@given(AMOUNTS)
def test_json_shows_the_very_number(amount: Micros) -> None:
    encoded = msgspec.json.encode({"cost": json_number(amount)})
    assert encoded == b'{"cost":' + format_amount(amount).encode() + b"}"
    assert msgspec.json.decode(encoded, type=dict[str, Decimal])["cost"] == Decimal(
        amount
    ) / Decimal(1_000_000)


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        amount = parse_amount(text)
    except InvalidAmount:
        return
    assert Decimal(text) == Decimal(amount) / 1_000_000
