"""Which numbers fit each other, and which message a reply answers."""

from __future__ import annotations

import pytest

from arrivals.core.message import Message, Reach, State
from arrivals.core.replies import answered_by_reply, digits_of, readings
from tests.core.timelines import message


@pytest.mark.parametrize(
    ("address", "digits"),
    [
        ("31612345678", "31612345678"),
        ("+31612345678", "31612345678"),
        (" 0031612345678", "31612345678"),
        ("0612345678", "0612345678"),
        ("27690", "27690"),
        ("ARRIVALS", ""),
        ("4 ALL", ""),
        ("", ""),
        ("٣١٦١٢٣٤٥٦٧٨", ""),  # digits, but not those of a number on the wire
    ],
)
def test_a_number_is_its_digits(address: str, digits: str) -> None:
    assert digits_of(address) == digits


@pytest.mark.parametrize(
    ("number", "other", "stands_for"),
    [
        ("31612345678", "31201234567", ("31612345678",)),
        ("0612345678", "31201234567", ("0612345678", "31612345678")),
        ("2025550123", "12025550199", ("2025550123", "12025550123")),
        ("447700900001", "31201234567", ("447700900001", "31447700900001")),
        ("0612345678", "27690", ("0612345678",)),  # a short code has no country
        ("0612345678", "0201234567", ("0612345678",)),  # and which one is this?
        ("27690", "31612345678", ("27690",)),  # a network's own
    ],
)
def test_a_national_number_is_of_the_other_s_country(
    number: str, other: str, stands_for: tuple[str, ...]
) -> None:
    assert readings(number, other) == stands_for


def one(state: State, reach: Reach = Reach.HANDED_OFF) -> Message:
    return message(state, reach=reach)


@pytest.mark.parametrize("state", [State.SUBMITTED, State.DELIVERED, State.UNKNOWN])
def test_the_newest_is_answered(state: State) -> None:
    newest = one(state)
    assert answered_by_reply([newest, one(State.DELIVERED), one(State.FAILED)]) is newest


@pytest.mark.parametrize("state", [State.FAILED, State.FILTERED, State.EXPIRED])
def test_what_is_said_not_to_have_come_gives_way(state: State) -> None:
    missing, older = one(state), one(State.SUBMITTED)
    assert answered_by_reply([missing, older]) is older
    assert answered_by_reply([missing]) is missing


def test_nobody_said_what_was_only_inferred() -> None:
    filtered = message(State.FILTERED, reach=Reach.HANDED_OFF, verdict="filtered")
    assert answered_by_reply([filtered, one(State.SUBMITTED)]) is filtered


@pytest.mark.parametrize("reach", [Reach.NONE, Reach.HANDOFF_UNKNOWN])
def test_nobody_answers_what_may_not_have_left(reach: Reach) -> None:
    assert answered_by_reply([one(State.AMBIGUOUS, reach)]) is None
    assert answered_by_reply([]) is None
