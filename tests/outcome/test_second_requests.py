"""A code that is asked for again, from the times at which codes were taken and accepted."""

from __future__ import annotations

from itertools import permutations

import pytest

from arrivals.outcome import second_requests
from arrivals.outcome.second_requests import (
    CODES_MAX,
    OF_A_NUMBER_MAX,
    REMEMBERED_S,
    AskedAgain,
    Code,
    SecondRequests,
)

BEGIN_US = 1_750_000_000_000_000
NUMBER = "31612345678"


def code(key: int, accepted_s: float, sent_s: float | None = None) -> Code:
    """Return a code that a provider took a tenth of a second after it was accepted."""
    sent_s = accepted_s + 0.1 if sent_s is None else sent_s
    return Code(key, BEGIN_US + round(accepted_s * 1e6), BEGIN_US + round(sent_s * 1e6))


def found(*codes: Code) -> list[AskedAgain]:
    memory = SecondRequests()
    return [asked for each in codes for asked in memory.told("1", NUMBER, each)]


@pytest.mark.parametrize(
    ("after_s", "asked"),
    [(0, False), (19.999, False), (20, True), (45, True), (120, True), (120.001, False)],
)
def test_within_the_time_in_which_people_ask_again(after_s: float, *, asked: bool) -> None:
    told = found(code(1, 0), code(2, 0.1 + after_s))
    assert told == ([AskedAgain(1, 2, round(after_s * 1e6))] if asked else [])


def test_the_second_counts_from_when_it_was_accepted() -> None:
    """However long it then waits in our queue, as long as the first is remembered."""
    assert [each.key for each in found(code(1, 0), code(2, 100, 100 + 60))] == [1]
    assert found(code(1, 0), code(2, 10, 60)) == []
    assert found(code(1, 0, 50), code(2, 60)) == []


def test_of_one_request_no_message_is_a_second() -> None:
    """Two lines with one number, the other of which waited for its turn."""
    assert found(code(1, 0), code(2, 0, 45)) == []


def test_whose_and_where_to_they_were() -> None:
    memory = SecondRequests()
    assert memory.told("1", NUMBER, code(1, 0)) == []
    assert memory.told("2", NUMBER, code(2, 45)) == []
    assert memory.told("1", "31612345679", code(3, 45)) == []
    assert len(memory) == 3
    assert [each.key for each in memory.told("1", NUMBER, code(4, 45))] == [1]


def test_in_whatever_order_they_are_read() -> None:
    codes = [code(1, 0), code(2, 10), code(3, 55), code(4, 110)]
    for order in permutations(codes):
        assert {each.key for each in found(*order)} == {1, 2, 3}, order


def test_each_is_found_once() -> None:
    first, second, third = code(1, 0), code(2, 40), code(3, 80)
    assert found(first, first, second, second, third) == [
        AskedAgain(1, 2, 39_900_000),
        AskedAgain(2, 3, 39_900_000),
    ]


def test_a_code_is_remembered_for_a_time() -> None:
    """At least for REMEMBERED_S of what is read, and at most for twice that."""
    memory = SecondRequests()
    memory.told("1", NUMBER, code(1, 0))
    for n in range(1, 7):
        memory.told("1", f"3169999999{n}", code(10 + n, n * REMEMBERED_S / 2))
    assert len(memory) == 4  # of seven numbers; the oldest three were dropped
    assert memory.told("1", NUMBER, code(2, 45, 560)) == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CODES_MAX == 200_000
    monkeypatch.setattr(second_requests, "CODES_MAX", 10)
    memory = SecondRequests()
    for n in range(100):
        memory.told("1", f"3161234{n:04d}", code(n, n * 0.1))
        assert len(memory) <= 10
    assert [each.key for each in memory.told("1", "31612340098", code(200, 40))] == [98]
    assert memory.told("1", "31612340050", code(201, 40)) == []


def test_of_one_number_the_newest_are_remembered() -> None:
    """A program that sends a code a second fills nothing, and costs no more with each."""
    memory = SecondRequests()
    for n in range(19):
        assert memory.told("1", NUMBER, code(n, n)) == []
    found = memory.told("1", NUMBER, code(100, 60))
    assert [each.key for each in found] == list(range(19 - OF_A_NUMBER_MAX, 19))
