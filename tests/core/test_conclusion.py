"""What is said at the end of a message's story: how true it is, and how much of it was told."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.core.asking import what_to_ask
from arrivals.core.explain import explain
from arrivals.core.layers import Forecast, layers
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


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("receipt_failed", {"err": "011", "id": "7f3a", "stat": "UNDELIV"},
         "Have north asked what error 011 means; its id there is 7f3a."),
        ("receipt_failed", {"err": "", "id": "7f3a", "stat": "REJECTD"},
         "Have north asked what REJECTD means; its id there is 7f3a."),
        ("refused", {"status": 0x465},
         "Have north asked what 0x00000465 means; it has no id there."),
        ("refused", {}, "Have north asked what its word means; it has no id there."),
    ],
)  # fmt: skip
def test_a_code_that_nobody_knows_ends_at_whom_to_ask(
    kind: str, body: dict[str, Any], words: str
) -> None:
    """In the explanation and as what to do about it; a code that is known needs no asking."""
    end = (kind, "failed", {"provider": "north", **body})
    events = timeline(*DELIVERED_TIMELINE[:3], end)
    for reason, asked in (("unclassified", True), ("absent_subscriber", False)):
        failed = delivered(state=State.FAILED, reason=reason)
        told = " ".join(each.text for each in explain(trace(failed), events))
        assert (words in told) == asked
        cause = layers(failed, events, 0).outcome.cause
        assert cause is not None
        assert (cause.fix == words) == asked


def test_without_an_event_there_is_nobody_to_ask() -> None:
    failed = delivered(state=State.FAILED, reason="unclassified")
    assert what_to_ask(failed, None) == ""
    nobody = timeline(("refused", "failed", {"err": "9"}))[0]
    assert what_to_ask(failed, nobody).startswith("Have the provider asked what error 9 means")


def test_a_story_that_is_too_long_says_so() -> None:
    """Its row counts the events that there are; what is told are the first of them."""
    sentences = explain(trace(delivered(seq=15_003)), timeline(*DELIVERED_TIMELINE))
    assert (sentences[4].text, sentences[4].cites) == (
        "Only the first 4 of its 15,003 events are told.", [4],
    )  # fmt: skip
