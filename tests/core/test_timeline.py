"""Attempts, evidence and waits, folded from timelines."""

from __future__ import annotations

import pytest

from arrivals.core.depth import limit_of
from arrivals.core.timeline import (
    SLOWED,
    UNBOUND,
    TimelineEvent,
    attempts,
    ended_by,
    evidence,
    hint_of,
    is_word,
    provider_of,
    spent_ms,
    stages,
)
from tests.core.timelines import (
    ACCEPTED,
    CLAIMED,
    DELIVERED_TIMELINE,
    RECEIPT,
    SECOND,
    START,
    TAKEN,
    UNANSWERED,
    Step,
    timeline,
)

THROTTLED: Step = ("throttled", "waiting", {"provider": "north"})
DUE: Step = ("due", "waiting", {}, "clock")


def test_a_delivered_message_had_one_attempt() -> None:
    """The attempt is the provider's answer, and its receipt is among its events."""
    [attempt] = attempts(timeline(*DELIVERED_TIMELINE))
    assert (attempt.attempt, attempt.provider, attempt.result) == (1, "north", "accepted")
    assert attempt.provider_ids == ["7f3a"]
    assert attempt.elapsed_ms == 20
    assert attempt.events == [2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("taken", "accepted"),
        ("throttled", "throttled"),
        ("not_sent", "not_sent"),
        ("refused", "refused"),
        ("refused_retryable", "refused"),
        ("failed_over", "refused"),
        ("not_bound", "not_bound"),
        ("part_refused", "refused"),
        ("unanswered", "ambiguous"),
        ("lease_lost", "ambiguous"),
    ],
)
def test_an_attempt_ends_as_one_thing(kind: str, result: str) -> None:
    """Each answer has its result, and nobody answered an ambiguous one (invariant 26)."""
    [attempt] = attempts(timeline(ACCEPTED, CLAIMED, (kind, "waiting", {"attempt": 1})))
    assert attempt.result == result
    assert (attempt.answered_at is None) == (result == "ambiguous")


def test_an_attempt_without_an_answer_is_open() -> None:
    """An intent alone says nothing."""
    [attempt] = attempts(timeline(ACCEPTED, CLAIMED))
    assert attempt.result == "open"


def test_a_late_answer_mends_an_attempt_in_doubt_and_no_other() -> None:
    """Ambiguous becomes what the answer says; what is known stays."""
    late = ("taken", "submitted", {"attempt": 1, "late": True, "ids": [12]})
    again = ("refused", "submitted", {"attempt": 1, "status": 0x58})
    [attempt] = attempts(timeline(ACCEPTED, CLAIMED, UNANSWERED, late, again))
    assert (attempt.result, attempt.late, attempt.status) == ("accepted", True, None)
    assert attempt.provider_ids == ["12"]


def test_a_receipt_proves_that_an_attempt_in_doubt_was_taken() -> None:
    """A carrier that has it got it from somebody."""
    [attempt] = attempts(timeline(ACCEPTED, CLAIMED, UNANSWERED, RECEIPT))
    assert (attempt.result, attempt.answered_at, attempt.reason) == ("accepted", None, None)


def test_a_part_that_is_put_off_leaves_its_attempt_open() -> None:
    """What was taken of it is known all the same."""
    held = ("part_held", "sending", {"attempt": 1, "part": 2, "parts_accepted": [1, 3]})
    [attempt] = attempts(timeline(ACCEPTED, CLAIMED, held))
    assert (attempt.result, attempt.parts_accepted) == ("open", [1, 3])
    [taken] = attempts(timeline(ACCEPTED, CLAIMED, held, TAKEN))
    assert (taken.result, taken.events) == ("accepted", [2, 3, 4])


@pytest.mark.parametrize(("cause", "result"), [(SLOWED, "throttled"), (UNBOUND, "not_bound")])
def test_one_that_moves_on_because_it_was_put_off_wasn_t_refused(
    cause: str, result: str
) -> None:
    moved = ("failed_over", "waiting", {"attempt": 1, "cause": cause, "status": 0x58})
    events = timeline(ACCEPTED, CLAIMED, moved)
    assert attempts(events)[0].result == result
    assert evidence(events) == []


def test_a_refused_part_is_evidence_and_names_it() -> None:
    lacks = ("part_refused", "failed", {"attempt": 1, "part": 2, "status": 0x45})
    [found] = evidence(timeline(ACCEPTED, CLAIMED, lacks))
    assert (found.kind, found.part, found.says) == ("refusal", 2, "ESME_RSUBMITFAIL")


@pytest.mark.parametrize(
    ("kind", "held", "whose"),
    [
        ("claimed", None, "us"),
        ("claimed", 400_000, "us"),
        ("claimed", 600_000, "provider"),
        ("claimed", 60 * SECOND, "provider"),
        ("diverted", 60 * SECOND, "provider"),
    ],
)
def test_a_wait_is_the_provider_s_where_it_held_the_message_back_for_most_of_it(
    kind: str, held: int | None, whose: str
) -> None:
    """In our queue nobody else would see whose time it was."""
    body = {} if held is None else {"held_us": held}
    found = stages(timeline(ACCEPTED, (kind, "accepted", body)))
    assert (found[1].whose, found[1].waited_ms) == (whose, 1_000.0)
    again = stages(timeline(ACCEPTED, CLAIMED, THROTTLED, DUE, (kind, "sending", body)))
    assert [each.whose for each in again[3:]] == ["provider", whose]


def test_waiting_for_a_bind_is_the_provider_s_time() -> None:
    found = stages(timeline(ACCEPTED, CLAIMED, ("not_bound", "waiting"), DUE))
    assert found[3].whose == "provider"


def test_two_attempts_keep_apart_and_bodies_may_tell_less() -> None:
    """An event without a number belongs to the newest attempt."""
    throttled = (
        "throttled", "waiting",
        {"status": 0x58, "not_before": START, "reason": "rate_limited_provider"},
        "provider:north",
    )  # fmt: skip
    again = ("claimed", "sending", {"attempt": 2, "provider": "south"})
    first, second = attempts(timeline(ACCEPTED, CLAIMED, throttled, again))
    assert (first.result, first.status) == ("throttled", "ESME_RTHROTTLED")
    assert first.not_before == "2027-01-15T08:00:00.000000Z"
    assert (second.provider, second.result) == ("south", "open")
    [named] = attempts(timeline(ACCEPTED, ("refused", "failed", {"status": "rejected"})))
    assert (named.attempt, named.provider, named.status) == (1, None, "rejected")


@pytest.mark.parametrize(
    ("body", "actor", "provider"),
    [
        ({"provider": "north"}, "worker", "north"),
        ({}, "carrier:south", "south"),
        ({}, "provider:", None),
        ({}, "operator:ann", None),
        ({}, "clock", None),
    ],
)
def test_an_event_names_its_provider(body: dict[str, str], actor: str, provider: str) -> None:
    """The body's word counts, then the actor's."""
    assert provider_of(TimelineEvent(1, 0, "x", None, "sending", actor, body)) == provider


def test_evidence_is_what_bears_on_the_outcome() -> None:
    """Receipts, refusals, feedback and silence are; answers and waits are not."""
    found = evidence(
        timeline(
            *DELIVERED_TIMELINE,
            ("receipt", "delivered", {"conflict": True, "inferred": True, "confidence": 0.9}),
            ("refused", "delivered", {"status": 0x45, "reason": "provider_error"}),
            ("refused_retryable", "delivered"),
            ("feedback", "delivered", {"confirmed": True}, "customer"),
            ("feedback", "delivered", {"confirmed": False}, "customer"),
            ("feedback", "delivered", {"kind": "asked_again"}, "customer"),
            ("feedback", "delivered", {"kind": "asked_again"}, "worker"),
            ("feedback", "delivered", {"kind": "click", "by": "scanner", "why": "head"}),
            (
                "feedback",
                "delivered",
                {"kind": "click", "by": "human", "why": "nothing_against", "confirmed": True},
            ),
            ("feedback", "delivered", {"confirmed": True, "kind": "reply"}, "provider:south"),
            ("deadline_passed", "unknown", {}, "clock"),
        )
    )
    assert [(each.kind, each.says) for each in found] == [
        ("receipt", "DELIVRD"),
        ("receipt", "receipt"),
        ("refusal", "ESME_RSUBMITFAIL"),
        ("refusal", "refused"),
        ("feedback", "confirmed"),
        ("feedback", "denied"),
        ("feedback", "asked_again"),
        ("feedback", "asked_again"),
        ("feedback", "scanner_click"),
        ("feedback", "confirmed"),
        ("feedback", "confirmed"),
        ("silence", "no final receipt"),
    ]
    assert [each.source for each in found[6:8]] == ["customer", "worker"]
    assert [(each.depth, each.reason) for each in found[7:10]] == [
        (None, None),
        ("carrier", "head"),
        ("user", None),
    ]
    assert (found[0].depth, found[0].claimed_at, found[0].error) == (
        "carrier",
        "2611221918",
        "000",
    )
    assert [each.source for each in found[-3:]] == ["worker", "south", "clock"]
    assert (found[1].conflict, found[1].inferred, found[1].confidence) == (True, True, 0.9)


def test_a_hint_is_no_word_and_a_word_no_hint() -> None:
    """And what isn't feedback is neither, whatever its body says."""
    click = {"kind": "click", "by": "scanner"}
    found = timeline(
        ("feedback", "submitted", {"confirmed": True, "kind": "otp"}),
        ("feedback", "submitted", {"kind": "asked_again"}),
        ("feedback", "submitted", click),
        ("receipt", "submitted", click | {"kind": "asked_again"}),
    )
    assert [hint_of(each) for each in found] == [None, "asked_again", "scanner_click", None]
    assert [is_word(each) for each in found] == [True, False, False, False]


def test_a_receipt_of_unknown_depth_speaks_for_the_carrier_at_most() -> None:
    """Nobody said handset, so nobody is taken to have said it."""
    [found] = evidence(timeline(("receipt_delivered", "delivered")))
    assert found.depth == "carrier"


def test_a_limit_makes_a_receipt_vouch_for_less_and_says_why() -> None:
    limit = limit_of("US", "12025550188")
    assert limit is not None
    receipts = timeline(
        ("receipt_delivered", "submitted", {"depth": "handset"}),
        ("receipt_delivered", "delivered", {"depth": "carrier"}),
    )
    found = evidence(receipts, limit)
    assert [(each.depth, each.limited_by) for each in found] == [
        ("carrier", limit.why),
        ("carrier", None),
    ]


def test_other_parts_silence_is_no_receipt() -> None:
    [found] = evidence(timeline(("receipt_delivered", "delivered", {}, "clock")))
    assert (found.kind, found.depth) == ("silence", None)


def test_each_wait_is_somebodys() -> None:
    """Our queue, the provider's answer, the carrier's receipt; nobody's once it ended."""
    found = stages(timeline(*DELIVERED_TIMELINE, ("feedback", "delivered", {}, "customer")))
    assert [each.whose for each in found] == [None, "us", "provider", "carrier", None]
    assert [each.waited_ms for each in found] == [0, 1000, 1000, 1000, 1000]
    assert spent_ms(found) == {"us": 1000, "provider": 1000, "carrier": 1000, "customer": 0}


def test_a_wait_the_provider_asked_for_is_the_providers() -> None:
    """Until it is over: then the queue is ours again."""
    found = stages(
        timeline(
            ("accepted", "scheduled", {}, "api"),
            ("due", "scheduled", {"cause": "its time to send has come"}, "clock"),
            CLAIMED,
            ("throttled", "waiting", {"not_before": 1_800_000_000_000_000, "status": 88}),
            ("due", "waiting", {}, "clock"),
            ("claimed", "sending", {"attempt": 2}),
            ("not_sent", "waiting", {"attempt": 2}),
            ("due", "waiting", {}, "clock"),
        )
    )
    assert [each.whose for each in found] == [
        None, "customer", "customer", "provider", "provider", "us", "provider", "us",
    ]  # fmt: skip
    assert found[3].facts == {"not_before": "2027-01-15T08:00:00.000000Z", "status": 88}


def test_the_end_is_the_event_that_brought_the_present_state() -> None:
    """Later facts don't move it, and an open or empty timeline has none."""
    feedback: Step = ("feedback", "delivered", {}, "customer")
    end = ended_by(timeline(*DELIVERED_TIMELINE, feedback))
    assert end is not None
    assert end.seq == 4
    assert ended_by(timeline(ACCEPTED, CLAIMED, TAKEN)) is None
    assert ended_by([]) is None
    # A timeline whose beginning was forgotten.
    [left] = timeline(feedback)
    kept = TimelineEvent(5, left.at_us, "feedback", "delivered", "delivered", "customer", {})
    assert ended_by([kept]) == kept
