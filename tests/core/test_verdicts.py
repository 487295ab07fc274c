"""What a timeline keeps of the model's verdicts, and what becomes of a message by them."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.core.advice import retry_advice
from arrivals.core.explain import explain
from arrivals.core.layers import Forecast, outcome_layer
from arrivals.core.message import Message, Move, Reach, State, advance, is_inferred
from arrivals.core.verdicts import (
    Judged,
    body_of,
    ending,
    is_worth_noting,
    judged_of,
    on_record,
    recorded,
    stands,
)
from tests.core.timelines import (
    ACCEPTED,
    CLAIMED,
    DELIVERED_TIMELINE,
    START,
    TAKEN,
    message,
    timeline,
    trace,
)

ALARM = "carrier kpn, provider north"
KEPT = Judged(verdict="likely_filtered", filtered_by=ALARM)


def forecast(**changes: Any) -> Forecast:
    values: dict[str, Any] = {
        "probability": None, "low": 0.1, "high": 0.9, "verdict": None, "receipt_to_come": 0.0,
        "p50_us": None, "p90_us": None, "cell": ("NL",), "handoffs": 300.0,
    }  # fmt: skip
    return Forecast(**{**values, **changes})


def silent(state: State = State.SUBMITTED, **changes: Any) -> Message:
    return message(state, attempts=1, reach=Reach.HANDED_OFF, **changes)


def test_ignorance_is_not_recorded() -> None:
    assert judged_of(forecast()) is None
    assert judged_of(forecast(verdict="unknown")) is None
    assert judged_of(forecast(probability=0.5)) == Judged(
        verdict="unknown", probability=0.5, low=0.1, high=0.9, cell=("NL",), handoffs=300.0
    )
    likely = judged_of(forecast(verdict="likely_filtered", filtered_by=ALARM))
    assert likely is not None
    assert (likely.verdict, likely.probability, likely.filtered_by) == (
        "likely_filtered",
        None,
        ALARM,
    )


@pytest.mark.parametrize(
    ("changes", "move", "verdict"),
    [
        ({}, Move.DEADLINE_PASSED, None),
        ({"surely_filtered": True}, Move.DEADLINE_PASSED, None),
        (
            {"probability": 0.2, "verdict": "likely_filtered"},
            Move.DEADLINE_PASSED,
            "likely_filtered",
        ),
        (
            {"probability": 0.02, "verdict": "likely_filtered", "surely_filtered": True},
            Move.FILTER_INFERRED,
            "filtered",
        ),
    ],
)
def test_a_deadline_ends_by_what_is_as_good_as_sure(
    changes: dict[str, Any], move: Move, verdict: str | None
) -> None:
    how, judged = ending(silent(), forecast(**changes))
    assert how is move
    assert (judged and judged.verdict) == verdict


def test_nobody_filtered_what_may_never_have_left() -> None:
    """Of a hand-off in doubt it stays likely at most."""
    sure = forecast(probability=0.02, verdict="likely_filtered", surely_filtered=True)
    how, judged = ending(silent(State.AMBIGUOUS), sure)
    assert how is Move.DEADLINE_PASSED
    assert judged is not None
    assert judged.verdict == "likely_filtered"


def test_only_a_new_word_on_an_open_message_is_noted() -> None:
    assert is_worth_noting(silent(), KEPT)
    assert is_worth_noting(silent(State.AMBIGUOUS), KEPT)
    assert not is_worth_noting(silent(), None)
    assert not is_worth_noting(silent(), Judged(verdict="likely_delivered", probability=0.9))
    assert not is_worth_noting(silent(verdict="likely_filtered"), KEPT)
    assert not is_worth_noting(silent(State.UNKNOWN), KEPT)


def test_a_verdict_speaks_of_silence_only() -> None:
    """A state that somebody's word made stands above it, whatever is on record."""
    assert on_record(silent()) is None
    assert on_record(silent(verdict="likely_filtered")) == "likely_filtered"
    assert on_record(silent(State.UNKNOWN)) == "unknown"
    assert on_record(silent(State.UNKNOWN, verdict="likely_delivered")) == "likely_delivered"
    confirmed = silent(State.UNKNOWN, verdict="likely_filtered", confirmed="confirmed")
    assert on_record(confirmed) == "delivered"
    assert on_record(silent(State.DELIVERED, verdict="likely_filtered")) == "delivered"
    assert on_record(silent(State.FILTERED, verdict="filtered")) == "filtered"


def test_a_verdict_goes_with_the_state_it_was_about() -> None:
    judged = silent(verdict="likely_filtered")
    assert advance(judged, Move.RECEIPT_DELIVERED, START).verdict is None
    ended = advance(judged, Move.FILTER_INFERRED, START, verdict="filtered")
    assert is_inferred(ended)
    withdrawn = advance(ended, Move.INFERENCE_WITHDRAWN, START)
    assert (withdrawn.state, is_inferred(withdrawn)) == (State.UNKNOWN, False)
    assert not is_inferred(silent(State.FILTERED))


def test_what_was_thought_is_read_back_until_more_is_heard() -> None:
    noted = ("judged", "submitted", body_of(KEPT), "model")
    steps = timeline(ACCEPTED, CLAIMED, TAKEN, noted)
    assert recorded(steps) == KEPT
    assert stands(steps)
    feedback = ("feedback", "submitted", {"confirmed": False, "kind": "support"})
    later = timeline(ACCEPTED, CLAIMED, TAKEN, noted, feedback)
    assert recorded(later) == KEPT
    assert not stands(later)
    assert recorded(timeline(*DELIVERED_TIMELINE)) is None
    assert recorded([]) is None
    assert not stands([])
    assert body_of(None) == {}


def told(of: Message, kind: str, judged: Judged | None, state: str = "unknown") -> list[str]:
    step = (kind, state, body_of(judged), "clock")
    steps = timeline(ACCEPTED, CLAIMED, TAKEN, step)
    return [each.text for each in explain(trace(of), steps)][3:]


def test_a_verdict_on_record_is_explained() -> None:
    likely = Judged(verdict="likely_filtered", probability=0.2, filtered_by=ALARM)
    assert told(silent(), "judged", likely, "submitted")[0] == (
        "Receipts of carrier kpn, provider north were missing while others came, and this was "
        "one of those: it was probably kept from the person "
        "(a chance of 20.0% that it arrived)."
    )
    unknown = silent(State.UNKNOWN)
    passed = "The deadline passed without a final receipt"
    assert told(unknown, "deadline_passed", None)[0] == f"{passed}."
    assert told(unknown, "deadline_passed", KEPT)[0] == (
        f"{passed}; it was probably kept from the person, with others of {ALARM}."
    )
    arrived = Judged(verdict="likely_delivered", probability=0.9)
    assert told(unknown, "deadline_passed", arrived)[0] == (
        f"{passed}; it had probably arrived nevertheless (a chance of 90.0% that it arrived)."
    )
    open_ = Judged(verdict="unknown", probability=0.5)
    assert told(unknown, "deadline_passed", open_)[0] == (
        f"{passed}; it may have arrived or not (a chance of 50.0% that it arrived)."
    )


def test_an_inferred_filter_says_that_nobody_said_so() -> None:
    sure = Judged(verdict="filtered", probability=0.02, filtered_by=ALARM)
    ended = silent(State.FILTERED, verdict="filtered", reason="silently_filtered")
    inferred, conclusion, *_ = told(ended, "filter_inferred", sure, "filtered")
    assert inferred == (
        "The deadline passed without a final receipt, as with others of carrier kpn, provider "
        "north (a chance of 2.0% that it arrived): that is little enough to call it filtered."
    )
    assert conclusion == "So it counts as filtered, by what is missing; nobody said so."
    step = ("filter_inferred", "filtered", body_of(sure), "clock")
    steps = timeline(ACCEPTED, CLAIMED, TAKEN, step)
    found = outcome_layer(ended, steps, START)
    assert found.filtered_by is not None
    assert (found.filtered_by.who, found.filtered_by.how) == (ALARM, "inferred")
    assert (found.filtered_by.reason, found.filtered_by.event) == ("silently_filtered", 4)
    assert [(each.kind, each.says) for each in found.evidence] == [
        ("silence", "no final receipt")
    ]
    advice = retry_advice(ended, steps)
    assert (advice.safe, advice.useful) == (False, True)


def test_an_alarm_is_evidence() -> None:
    noted = ("judged", "submitted", body_of(KEPT), "model")
    found = outcome_layer(silent(), timeline(ACCEPTED, CLAIMED, TAKEN, noted), START)
    assert [(each.kind, each.source) for each in found.evidence] == [("alarm", "model")]
