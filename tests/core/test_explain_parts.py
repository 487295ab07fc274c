"""What is said of a long message's parts: which, of how many, and what is to be done."""

from __future__ import annotations

import pytest

from arrivals.core.layers import layers
from arrivals.core.message import Reach, State
from tests.core.test_explain import told
from tests.core.timelines import START, message, timeline

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        ("part_held",  # not by when there is news of it at last, which is minutes later
         {"provider": "north", "status": 0x58, "part": 1, "until": START + 184 * SECOND,
          "due": START + 3 * SECOND},
         "Part 1 of 1 was put off by north (ESME_RTHROTTLED)."
         " It is tried again in 3.0 s or later."),
        ("part_held", {"provider": "north", "part": 3, "until": START + 184 * SECOND,
          "due": START},
         "Part 3 of 3 waits to go out to north. It is tried again as soon as there is room."),
        ("part_refused", {"provider": "north", "part": 2, "status": 0x58,
          "cause": "its validity ends before the next try"},
         "Part 2 of 2 was put off by north (ESME_RTHROTTLED) and isn't sent again:"
         " its validity ends before the next try."),
        ("part_refused", {"provider": "north", "part": 2, "cause": "we stopped"},
         "Part 2 of 2 never left for north: we stopped."),
        ("unanswered", {"provider": "north", "attempt": 2, "parts_accepted": [1, 3]},
         "north never answered for all of attempt 2: it may have the rest or not."
         " Parts 1, 3 were taken, so it is never sent again whole."),
        ("lease_lost", {"parts_accepted": [1], "policy": "wait"},
         "Whoever was sending it stopped. Part 1 was taken, so it is never sent again whole;"
         " whether the rest left isn't known."),
    ],
)  # fmt: skip
def test_what_is_said_of_a_part(kind: str, body: dict[str, object], sentence: str) -> None:
    assert told(message(), (kind, "sending", body))[0] == sentence


def test_what_is_known_of_parts_is_said_of_a_doubt() -> None:
    """A process died between two parts: "open whether it was handed off at all" is less."""
    doubt = message(State.AMBIGUOUS, reach=Reach.HANDOFF_UNKNOWN, segments=3)
    last = told(
        doubt,
        ("claimed", "sending", {"attempt": 1, "provider": "north"}, "worker"),
        ("part_held", "sending", {"part": 2, "parts_accepted": [1, 3]}, "provider:north"),
        ("lease_lost", "ambiguous", {"parts_accepted": [1, 3]}, "clock"),
    )[-1]
    assert last.startswith(
        "So a part of it was handed off, and it is open whether the rest was;"
    )


def test_a_part_is_counted_among_those_of_its_hand_off() -> None:
    """A second provider with another alphabet refused "part 3 of 2"."""
    failed = message(
        State.FAILED, reason="no_route", segments=2, parts="2:.f..", reach=Reach.HANDED_OFF
    )
    body = {"attempt": 2, "part": 2, "status": 0x0B, "reason": "no_route"}
    said = told(failed, ("part_refused", "failed", body, "provider:south"))
    assert said[0].startswith("Part 2 of 4 was refused by south")
    assert said[1].startswith("So it failed: part 2 of 4 was refused:")
    body = {"attempt": 1, "part": 3, "status": 0x58}  # its row is gone
    said = told(failed, ("part_held", "sending", body, "provider:south"))
    assert said[0].startswith("Part 3 of 3 was put off")


@pytest.mark.parametrize(
    ("body", "says", "why"),
    [
        ({"status": 0x0B}, "ESME_RINVDSTADR", "was refused"),
        ({"status": 0x58, "cause": "we stop"}, "ESME_RTHROTTLED", "was put off"),
        ({"cause": "we stop"}, "not sent", "never left"),
    ],
)
def test_the_cause_tells_why_a_part_is_lacking(
    body: dict[str, object], says: str, why: str
) -> None:
    failed = message(State.FAILED, reason="no_route", segments=3, reach=Reach.HANDED_OFF)
    body = body | {"attempt": 1, "part": 2, "provider": "north", "reason": "no_route"}
    outcome = layers(failed, timeline(("part_refused", "failed", body, "worker")), 0).outcome
    assert outcome.cause is not None
    assert outcome.cause.text.startswith(f"Part 2 of 3 {why}: ")
    assert outcome.evidence[0].says == says


@pytest.mark.parametrize("reason", ["rate_limited_provider", "provider_error"])
def test_a_message_that_failed_is_not_told_that_we_try_again(reason: str) -> None:
    """Its fix read "Nothing to do: we pace and try again", and nobody did."""
    failed = message(State.FAILED, reason=reason, reach=Reach.NONE)
    end = timeline(("refused", "failed", {"reason": reason}, "provider:north"))
    cause = layers(failed, end, 0).outcome.cause
    assert cause is not None
    assert cause.fix is not None
    assert cause.fix.startswith("Send it again later")
