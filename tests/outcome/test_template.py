"""Templates: the same for what is masked, different for anything else, and never the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrivals.outcome.template import link_host, masked, template

KEY = b"installation key"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Your code is 482913.", "your code is #."),
        ("Your code: AB12-99X, valid 10 min", "your code: #, valid # min"),
        ("Paid 1,234.50 EUR on 03/11/2026", "paid # @ on #"),
        ("Hi anna, it's ready", "hi @ it's ready"),
        ("Dear Anna Maria Smith, it's ready", "dear @ it's ready"),
        ("Anna, your code is 7", "@ your code is #"),
        ("Ready now. Your parcel waits", "ready now. your parcel waits"),
        ("Meet Anna today", "meet @ today"),
        ("See https://acme.example/x?y=1 now", "see link now"),
        ("See (bit.ly/3xY) now", "see link now"),
        ("Write to a.b@acme.example please", "write to mail please"),
        ("Straße ist frei", "strasse ist frei"),
        ("  two   spaces\nand a line ", "two spaces and a line"),
        ("Hi 42", "hi #"),
        ("Hi (you)", "hi @"),
        ("Hi - you", "hi - you"),
        ("", ""),
    ],
)
def test_what_differs_by_message_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_one_template_has_one_hash_and_another_another() -> None:
    """Code, link and name don't matter; one changed letter does."""
    ours = template("Hi Anna, code 1234: https://a.example/1", KEY)
    assert template("Hi Bob Miller, code 99: https://a.example/2?z", KEY) == ours
    assert template("Hi Anna, kode 1234: https://a.example/1", KEY) != ours


def test_the_key_decides_the_hash() -> None:
    """Without the key nobody can try out which text it was."""
    assert template("Your code is 1", KEY) != template("Your code is 1", KEY[::-1])
    for key in (b"", b"short", b"x" * 65):
        with pytest.raises(ValueError, match="16 to 64 octets"):
            template("text", key)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("See https://www.Acme.example:8080/x", "acme.example"),
        ("see HTTP://acme.example", "acme.example"),
        ("first bit.ly/a then t.co/b", "bit.ly"),
        ("(https://acme.example.)", "acme.example"),
        ("acme.com alone", None),
        ("and/or 1.5/2", None),
        ("no link", None),
    ],
)
def test_the_first_link_names_its_host(text: str, host: str | None) -> None:
    assert link_host(text) == host


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_any_text_has_a_template_of_the_same_size(text: str) -> None:
    assert len(template(text, KEY)) == 16
    assert masked(text) == masked(f"  {text} ")
    link_host(text)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_never_show(first: int, second: int) -> None:
    assert template(f"Code {first}", KEY) == template(f"Code {second}", KEY)


@pytest.mark.parametrize("unit", ["a", "a.", "a-", "1", "#", "A", "http://", "a/"])
def test_a_long_text_takes_no_longer_a_letter(unit: str) -> None:
    """No text makes the patterns search for ever: ten times the longest text is quick."""
    text = unit * (16_000 // len(unit))
    began = time.process_time()
    template(text, KEY)
    link_host(text)
    assert time.process_time() - began < 1
