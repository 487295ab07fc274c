"""What the answers of a message's parts add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.providers.api import NotSent, Refused, Result, Taken, Throttled, Unanswered
from arrivals.providers.flight import Flight
from tests.providers.smsc import submission

THROTTLED, SYSTEM_ERROR, BAD_NUMBER = 0x58, 0x08, 0x0B
STATUS = {"h": THROTTLED, "r": SYSTEM_ERROR, "b": BAD_NUMBER}

# What happens to each part in turn: t(aken), s(ilent), r(efused), b(ad number), h(eld off),
# or stays (-); and what that adds up to.
CASES: list[tuple[str, Result]] = [
    ("t", Taken(((1, "id1", "ID1"),))),
    ("s", Unanswered("no answer came")),
    ("-", NotSent("gone")),
    ("h", Throttled(THROTTLED)),
    ("r", Refused(SYSTEM_ERROR, "provider_error", True, False)),
    ("b", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("tt", Taken(((1, "id1", "ID1"), (2, "id2", "ID2")))),
    ("--", NotSent("gone")),
    ("h-", Throttled(THROTTLED)),
    ("b-", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("bb", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("hb", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("rh", Refused(SYSTEM_ERROR, "provider_error", True, False)),
    ("s-", Unanswered("no answer came")),
    ("ss", Unanswered("no answer came")),
    ("t-", Unanswered("no answer came", ((1, "id1", "ID1"),))),
    ("ts", Unanswered("no answer came", ((1, "id1", "ID1"),))),
    ("tb", Unanswered("a part was refused", ((1, "id1", "ID1"),))),
    ("bt", Unanswered("a part was refused", ((2, "id2", "ID2"),))),
    ("hs", Unanswered("a part was refused")),
    ("b--", Refused(BAD_NUMBER, "invalid_number", False, False)),
    ("tth", Unanswered("a part was refused", ((1, "id1", "ID1"), (2, "id2", "ID2")))),
]


def fly(fates: str) -> tuple[Flight, Result]:
    """Let the parts that leave do so, then answer each; there is one end, and it comes last."""
    flight = Flight(submission(), len(fates), "")
    for fate in fates:
        if fate != "-":
            flight.left()
            assert flight.end("gone") is None
    for part, fate in enumerate(fates, 1):
        assert flight.end("gone") is None
        if fate == "-":
            flight.stays()
        elif fate == "t":
            flight.taken(part, f"ID{part}", 0.0)
        elif fate == "s":
            flight.silent()
        else:
            flight.refused(part, STATUS[fate])
    result = flight.end("gone")
    assert result is not None
    return flight, result


@pytest.mark.parametrize(("fates", "result"), CASES)
def test_parts_add_up(fates: str, result: Result):
    """Invariants 26 and 29: one answer, and no claim that isn't proved."""
    assert fly(fates)[1] == result


@given(st.text(alphabet="tshrb-", min_size=1, max_size=5))
def test_an_answer_claims_no_more_than_is_proved(fates: str):
    """Invariant 26: not sent if nothing left, refused if nothing can have been taken."""
    _, result = fly(fates)
    if isinstance(result, NotSent):
        assert set(fates) == {"-"}
    if isinstance(result, Refused | Throttled):
        assert not set(fates) & {"t", "s"}
    assert isinstance(result, Taken) == (set(fates) == {"t"})


def test_a_submission_is_answered_once():
    flight, _ = fly("t")
    assert flight.end("again") is None


def test_late_answers_are_told_as_they_turn_up():
    flight, _ = fly("sss")
    assert flight.late(2, "ID2", 0) == Unanswered("an answer came late", ((2, "id2", "ID2"),))
    flight.late(1, "ID1", 0)
    whole = flight.late(3, "ID3", 0)
    assert isinstance(whole, Taken)
    assert [part for part, _, _ in whole.ids] == [1, 2, 3]


def test_late_refusals_count_when_they_are_all_there():
    flight, _ = fly("ss")
    assert flight.late(1, None, BAD_NUMBER) is None
    assert flight.late(2, None, THROTTLED) == Refused(
        BAD_NUMBER, "invalid_number", False, False
    )


def test_a_message_that_ended_in_doubt_stays_there_when_a_part_is_refused_late():
    flight, _ = fly("ts")
    assert flight.late(2, None, BAD_NUMBER) is None
