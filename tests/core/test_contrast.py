"""Sentences about two messages: each rests on events of both, and none names a cause."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.compare import TEXT_CHARS_MAX, Covariates, Expected, Side, compare
from arrivals.core.contrast import Remark, remarks, shown
from arrivals.core.message import Reach, State
from tests.core.test_compare import BY_SOUTH, SPAIN, journeys, model, side
from tests.core.timelines import (
    ACCEPTED,
    CLAIMED,
    RECEIPT,
    SECOND,
    START,
    TAKEN,
    UNANSWERED,
    Step,
    delivered,
    trace,
)

NOW = START + 60 * SECOND
THROTTLED: Step = (
    "throttled",
    "waiting",
    {"attempt": 1, "provider": "north"},
    "provider:north",
)
CLAIMED_AGAIN: Step = ("claimed", "sending", {"attempt": 2, "provider": "north"})
TAKEN_AGAIN: Step = ("taken", "submitted", {"attempt": 2, "ids": ["8"]}, "provider:north")
SILENCE: Step = ("deadline_passed", "unknown", {}, "clock")


def told(a: Side, b: Side, expect: Any = model) -> list[Remark]:
    return remarks(compare(a, b, expect, NOW))


def texts(a: Side, b: Side, expect: Any = model) -> list[str]:
    return [each.text for each in told(a, b, expect)]


def test_two_messages_are_told_apart_from_end_to_end() -> None:
    """What was asked, what came of it, how long it took, what was heard, what it goes with."""
    a, b = side(probability=0.95), side(*BY_SOUTH, probability=0.05, reason="absent_subscriber")
    assert [(each.text, each.a, each.b) for each in told(a, b)] == [
        ("Both ask for the same: recipient, sender, text and options.", [1], [1]),
        ("A is delivered; B is failed (the phone was off or out of coverage).", [4], [4]),
        ("Both took 3.0 s, stretch by stretch.", [], []),
        ("What was heard: of A DELIVRD from north; of B UNDELIV from south.", [4], [4]),
        (
            "The model expects 90% of messages like A to arrive, and 60% of those like B:"
            " -30 points with the provider (north in A, south in B)."
            " That goes together; it needn't be the cause.",
            [],
            [],
        ),
        (
            "What came of them differs by -90 points; -60 points go with nothing that we saw:"
            " the carrier, the handset, or chance.",
            [],
            [],
        ),
    ]


def test_what_was_asked_for_is_told_once() -> None:
    """Texts of one template differ as texts; texts of two differ as templates."""
    b = side(text="Hello, you", **SPAIN)
    assert texts(side(), b)[0] == (
        "They ask for different things: recipient (31612345678 in A, 34612345678 in B);"
        " country (NL in A, ES in B); text of one template (Hello in A, Hello, you in B)."
    )
    other = msgspec.structs.replace(b, template="bye")
    assert "template (Hello in A, bye in B)" in texts(side(), other)[0]
    assert "text of one template" not in texts(side(), other)[0]


def test_a_value_fits_a_line() -> None:
    assert shown(None) == "none"
    assert shown("two\nlines") == "two lines"
    assert len(shown("x" * 200)) == TEXT_CHARS_MAX
    assert shown("x" * TEXT_CHARS_MAX) == "x" * TEXT_CHARS_MAX


def test_the_difference_in_time_is_told_by_stretch() -> None:
    """The largest first, and whose wish a wait was."""
    b = side(ACCEPTED, CLAIMED, THROTTLED, CLAIMED_AGAIN, TAKEN_AGAIN, SILENCE, RECEIPT)
    said = told(side(), b)
    assert said[2] == Remark(
        text="B took 3.0 s longer (6.0 s against 3.0 s):"
        " 1.0 s more waiting to be tried again at the provider's wish,"
        " 1.0 s more handing it over,"
        " 1.0 s more between its first end and the revision.",
        a=[],
        b=[4, 5, 7],
    )
    assert said[3] == Remark(
        text="A was tried once (accepted), B tried 2 times (throttled, accepted).",
        a=[2, 3, 4],
        b=[2, 3, 4, 5, 7],
    )
    assert texts(b, side())[2].startswith("B took 3.0 s less (3.0 s against 6.0 s): 1.0 s less")
    unsent: Step = ("not_sent", "waiting", {"attempt": 1}, "worker")
    ours = side(ACCEPTED, CLAIMED, unsent, CLAIMED_AGAIN, TAKEN_AGAIN, SILENCE, RECEIPT)
    assert "1.0 s more waiting to be tried again," in texts(side(), ours)[2]


def test_as_long_in_other_stretches_is_said() -> None:
    a = side(ACCEPTED, CLAIMED, THROTTLED, CLAIMED_AGAIN, TAKEN_AGAIN, RECEIPT)
    steps = (ACCEPTED, CLAIMED, TAKEN, TAKEN, TAKEN, RECEIPT)
    b = side(*steps)
    assert texts(a, b)[2].startswith(
        "Both took 5.0 s, but not in the same stretches: 2.0 s more with the carrier,"
    )


def test_open_messages_are_measured_so_far() -> None:
    a, b = side(), side(ACCEPTED, CLAIMED, TAKEN)
    said = texts(a, b)
    assert said[1] == "A is delivered; B is still open (submitted)."
    assert said[2].startswith("B took 57 s longer (1 min against 3.0 s so far): 57 s more with")
    assert said[3] == "What was heard: of A DELIVRD from north; of B nothing."
    assert said[-1] == "What comes of them isn't known of both yet."
    assert texts(b, b)[1:3] == [
        "Both are still open (submitted).",
        "Both took 1 min so far, stretch by stretch.",
    ]


def test_codes_silence_and_feedback_are_what_was_heard() -> None:
    code: Step = (
        "receipt_failed",
        "failed",
        {"stat": "UNDELIV", "err": "027"},
        "carrier:north",
    )
    yes: Step = ("feedback", "unknown", {"confirmed": True}, "customer")
    a = side(ACCEPTED, CLAIMED, TAKEN, code)
    b = side(ACCEPTED, CLAIMED, TAKEN, SILENCE, yes)
    assert texts(a, b)[3] == (
        "What was heard: of A UNDELIV 027 from north;"
        " of B no final receipt, confirmed from customer."
    )


def test_a_wait_beyond_nearly_all_is_told() -> None:
    def late(of: Covariates) -> Expected:
        return msgspec.structs.replace(model(of), heard_by=0.973 if of.country == "ES" else 0.2)

    [slow] = [each for each in told(side(), side(**SPAIN), late) if "waited" in each.text]
    assert slow == Remark(
        text="After its hand-off B waited longer than 97.3% of the receipts that come to such"
        " messages take.",
        b=[4],
    )
    [slow] = [each for each in told(side(**SPAIN), side(), late) if "waited" in each.text]
    assert (slow.a, slow.b) == ([4], [])


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ((0.9, 0.9), "What came of them doesn't differ, as was to be expected."),
        (
            (0.9, 0.5),
            "What came of them differs by -40 points; -40 points go with nothing that we saw:"
            " the carrier, the handset, or chance.",
        ),
    ],
)
def test_what_is_alike_to_the_model_is_called_so(
    found: tuple[float, float], sentence: str
) -> None:
    a, b = (side(probability=each) for each in found)
    assert texts(a, b)[-2:] == [
        "For all that the model knows they are alike:"
        " it expects 90% of such messages to arrive.",
        sentence,
    ]


def test_an_expected_difference_that_came_true_leaves_nothing() -> None:
    a, b = side(probability=0.95), side(probability=0.85, **SPAIN)
    *_, expected, rest = texts(a, b)
    assert "-10 points with the destination (NL 31612 in A, ES 34612 in B)." in expected
    assert rest == "What came of them differs by -10 points, as was to be expected."
    same = side(probability=0.95, **SPAIN)
    assert texts(a, same)[-1] == (
        "What came of them doesn't differ; +10 points go with nothing that we saw:"
        " the carrier, the handset, or chance."
    )


def test_a_share_too_small_to_tell_is_nothing() -> None:
    a, b = side(), side(sender="OTHER")
    assert "nothing with the sender (ARRIVALS in A, OTHER in B)" in texts(a, b)[3]
    assert "to be reported delivered" in texts(a, b)[3]


def test_what_was_never_handed_off_needs_no_model() -> None:
    refused: Step = ("validity_passed", "expired", {}, "clock")
    ours = side(ACCEPTED, refused, reach=Reach.NONE, attempts=0)
    waits = side(ACCEPTED, reach=Reach.NONE)
    assert told(side(), ours)[-1] == Remark(
        text="B was never handed off, so no provider or carrier decided its fate.", b=[2]
    )
    assert told(ours, waits)[-2:] == [
        Remark(
            text="A was never handed off, so no provider or carrier decided its fate.", a=[2]
        ),
        Remark(text="B isn't handed off yet."),
    ]
    assert "A was tried once (accepted), B never tried." in texts(side(), ours)


def test_without_a_model_that_is_said() -> None:
    said = texts(side(), side(ACCEPTED, CLAIMED, UNANSWERED), None)
    assert said[-1] == (
        "No model of outcomes runs here, so nothing says what was to be expected."
    )
    assert not any("points" in each for each in said)


@given(journeys(), journeys(), st.booleans())
def test_every_sentence_cites_events_that_are_there(a: Any, b: Any, modelled: bool) -> None:
    """Whatever happened, there is something to say, and no number without its event."""

    def stands(events: Any) -> Side:
        of = delivered(state=State(events[-1].to_state))
        return Side(trace=trace(of), events=events, template=None, probability=None, carrier="")

    said = remarks(compare(stands(a), stands(b), model if modelled else None, NOW))
    assert len(said) >= 4
    for each in said:
        assert set(each.a) <= {event.seq for event in a}
        assert set(each.b) <= {event.seq for event in b}
        assert each.text.endswith(".")
        assert " because " not in each.text
