"""What may be said of a provider's ways: every key has a test, and no pattern runs away."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.dialect import (
    ALPHABETS,
    GROUPS_MAX,
    LONG_MESSAGES,
    PATTERN_CHARS_MAX,
    PLAIN,
    REPEATS_MAX,
    VALIDITIES,
    pattern_problem,
)


def test_what_is_plain_is_among_what_there_is() -> None:
    assert PLAIN.alphabet in ALPHABETS
    assert PLAIN.validity in VALIDITIES
    assert PLAIN.long_messages in LONG_MESSAGES


@pytest.mark.parametrize(
    "pattern",
    [
        r"ACME",
        r"[0-9]{4,6}",
        r"31[0-9]+",
        r"(?:ACME|SHOP)",
        r"(00|31).*",
        r"[A-Za-z][A-Za-z0-9 .]*",
        r"\d{4}|\d{5}",
        r"A\+B\(C\)*",  # what is escaped repeats and groups nothing
        r"[(+*?{]x",  # and neither does what stands in a class
        r"[]+]x",
        r"[^]+]x",
        r"a*b+c?d{2}",
    ],
)
def test_the_patterns_that_people_write_are_taken(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("[0-9", "isn't a regular expression"),
        ("(31", "isn't a regular expression"),
        ("*", "isn't a regular expression"),
        ("a{99999999999}", "isn't a regular expression"),
        ("[[a]]", "isn't a regular expression"),  # a set within a set, one day
        (r"(a)\1", "refers back"),
        (r"(?=a)b", "more than one"),
        (r"(?i)acme", "more than one"),
        (r"(?P<x>a)", "more than one"),
        (r"(a+)+", "repeats a group"),
        (r"(?:a|aa)*", "repeats a group"),
        (r"(a*)?b", "repeats a group"),
        (r"(a|b){2}", "repeats a group"),
        (r"a*a*a*a*a*b", "more than 4 times"),
        (r"(a|a)(a|a)(a|a)(a|a)(a|a)b", "more than 4 groups"),
    ],
)
def test_a_pattern_that_may_try_too_many_ways_is_refused(pattern: str, words: str) -> None:
    assert words in (pattern_problem(pattern) or "")


@given(st.text(st.sampled_from("aA0.*+?{}()|[]\\^d3,:"), max_size=PATTERN_CHARS_MAX))
def test_what_is_taken_is_tried_in_little_time(pattern: str) -> None:
    """The longest sender there is, and one that nearly matches: the worst for a pattern."""
    if pattern_problem(pattern) is not None:
        return
    compiled = re.compile(pattern)
    began = time.perf_counter()
    for sender in ("a" * 20, "0" * 19 + "!", "aA0" * 6 + "."):
        compiled.fullmatch(sender)
    assert time.perf_counter() - began < 1


def test_the_bounds_hold_the_worst_that_they_allow() -> None:
    for pattern in ("a*" * REPEATS_MAX + "b", "(|a|aa)" * GROUPS_MAX + "a*a*a*a*b"):
        assert pattern_problem(pattern) is None
        began = time.perf_counter()
        assert not re.fullmatch(pattern, "a" * 20)
        assert time.perf_counter() - began < 1
