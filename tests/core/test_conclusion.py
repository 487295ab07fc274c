"""What is said at the end of a message's story: how true it is, and how much of it was told."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.core.explain import explain
from arrivals.core.layers import Forecast
from arrivals.core.message import Reach, State
from tests.core.timelines import DELIVERED_TIMELINE, delivered, message, timeline, trace

DOUBTED = "receipts of carrier NL 31612, provider budget are in doubt"


def forecast(probability: float | None) -> Forecast:
    return Forecast(
        probability=probability, low=0.1, high=0.9, verdict=None, receipt_to_come=0.0,
        p50_us=None, p90_us=None, cell=(), handoffs=5.0,
    )  # fmt: skip


def added(**how: Any) -> list[str]:
    """Return what is said beside the story and its money."""
    of = how.pop("of", delivered())
    story, events = trace(of), timeline(*DELIVERED_TIMELINE)
    plain = [each.text for each in explain(story, events)]
    sentences = explain(story, events, **how)
    found = [each for each in sentences if each.text not in plain]
    assert all(each.cites == [] for each in found)  # no event tells of this moment
    return [each.text for each in found]


def test_a_liars_receipt_comes_with_its_probability_and_the_alarm_on_its_provider() -> None:
    assert added(forecast=forecast(0.384), alarms=[DOUBTED]) == [
        "By what such receipts turned out to be worth, it arrived with a probability of 38.4%.",
        f"An alarm stands: {DOUBTED}.",
    ]


@pytest.mark.parametrize("known", [None, forecast(None)])
def test_where_no_probability_is_known_the_alarm_stands_alone(known: Forecast | None) -> None:
    assert added(forecast=known, alarms=[DOUBTED]) == [f"An alarm stands: {DOUBTED}."]


def test_an_open_message_has_no_receipt_to_doubt() -> None:
    waiting = message(State.SUBMITTED, reach=Reach.HANDED_OFF)
    assert added(of=waiting, forecast=forecast(0.4), alarms=[]) == []


@pytest.mark.parametrize(
    "of", [delivered(confirmed="confirmed"), message(State.WAITING)], ids=["seen", "queued"]
)
def test_whoever_saw_it_arrive_and_what_never_left_need_no_doubts(of: Any) -> None:
    assert added(of=of, forecast=forecast(1.0), alarms=[DOUBTED]) == []


def test_a_story_that_is_too_long_says_so() -> None:
    """Its row counts the events that there are; what is told are the first of them."""
    sentences = explain(trace(delivered(seq=15_003)), timeline(*DELIVERED_TIMELINE))
    assert (sentences[4].text, sentences[4].cites) == (
        "Only the first 4 of its 15,003 events are told.", [4],
    )  # fmt: skip
