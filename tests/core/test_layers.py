"""The layers of a message: none stands for another, and none claims more than is known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arrivals.core.advice import retry_advice
from arrivals.core.depth import limit_of
from arrivals.core.layers import Forecast, layers, outcome_layer, roll_up
from arrivals.core.message import TERMINAL, Message, Reach, State
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
    delivered,
    message,
    timeline,
)


def at(second: int) -> str:
    return f"2027-01-15T08:00:{second:02d}.000000Z"


def test_a_message_just_accepted() -> None:
    """The api layer is settled and final; the others have only begun."""
    found = layers(message(), timeline(ACCEPTED), START)
    assert (found.api.state, found.api.since, found.api.final) == ("accepted", at(0), True)
    assert (found.execution.state, found.execution.final) == ("queued", False)
    assert (found.outcome.state, found.outcome.verdict) == ("pending", None)
    assert (found.outcome.depth, found.outcome.probability) == ("none", None)
    assert found.outcome.final_after == "2027-01-18T08:00:00.000000Z"
    assert (found.confirmed.state, found.confirmed.final) == ("none", False)


def test_each_layer_has_its_own_time() -> None:
    """Handed off when it was taken, delivered when the receipt came."""
    found = layers(delivered(), timeline(*DELIVERED_TIMELINE), START)
    assert (found.execution.state, found.execution.since) == ("handed_off", at(2))
    assert (found.outcome.state, found.outcome.since) == ("delivered", at(3))
    assert (found.outcome.final, found.outcome.final_after) == (True, None)
    assert found.outcome.depth == "carrier"
    assert [each.seq for each in found.outcome.evidence] == [4]


def part(number: int, depth: str, attempt: int = 1) -> Step:
    """Return what a part's receipt leaves on a timeline."""
    body = {"attempt": attempt, "part": number, "stat": "DELIVRD", "depth": depth}
    return ("receipt_delivered", "submitted", body)


@pytest.mark.parametrize(
    ("receipts", "depth"),
    [
        ([part(1, "handset"), part(2, "handset")], "handset"),
        ([part(1, "handset"), part(2, "carrier")], "carrier"),
        ([part(1, "handset")], "submitted"),
        # Half of one hand-off and half of another aren't a message.
        ([part(1, "handset"), part(2, "handset", attempt=2)], "submitted"),
        # What speaks for the whole speaks for its parts.
        ([part(1, "handset"), ("receipt_progress", "submitted", {"depth": "carrier"})],
         "carrier"),
        # One part's receipt stands for the silent ones.
        ([part(1, "handset"), ("receipt_delivered", "delivered", {}, "clock")], "handset"),
        ([], "submitted"),
    ],
)  # fmt: skip
def test_a_long_message_came_as_far_as_all_its_parts(receipts: list[Step], depth: str) -> None:
    taken = message(State.SUBMITTED, attempts=2, reach=Reach.HANDED_OFF, segments=2)
    found = layers(taken, timeline(ACCEPTED, CLAIMED, TAKEN, *receipts), START)
    assert found.outcome.depth == depth


def test_receipts_of_two_hand_offs_are_a_duplicate() -> None:
    def again(attempt: int, actor: str = "carrier:north") -> Step:
        return ("receipt_delivered", "delivered", {"attempt": attempt}, actor)

    def twice(*steps: Step, **changes: Any) -> bool:
        found = layers(delivered(**changes), timeline(*DELIVERED_TIMELINE, *steps), START)
        return found.outcome.duplicate_delivery

    assert not twice(again(1))
    assert twice(again(2))
    assert not twice(again(2, "clock"))
    assert twice(part(1, "carrier", 2), segments=2, parts="2:dd")
    assert not twice(part(1, "carrier", 2), segments=2, parts="2:d.")


def test_a_limit_holds_for_the_outcome() -> None:
    handset = ("receipt_delivered", "delivered", {"attempt": 1, "depth": "handset"})
    events = timeline(ACCEPTED, CLAIMED, TAKEN, handset)
    limit = limit_of("PH", "ARRIVALS")
    assert layers(delivered(), events, START).outcome.depth == "handset"
    assert layers(delivered(), events, START, None, limit).outcome.depth == "submitted"


def test_handed_off_is_not_delivered() -> None:
    """A provider's OK is the second layer, never the third."""
    taken = message(State.SUBMITTED, attempts=1, reach=Reach.HANDED_OFF)
    found = layers(taken, timeline(ACCEPTED, CLAIMED, TAKEN), START)
    assert (found.execution.state, found.execution.final) == ("handed_off", True)
    assert (found.outcome.state, found.outcome.verdict) == ("pending", None)
    assert found.outcome.depth == "submitted"


def test_a_hand_off_in_doubt_says_why() -> None:
    """The cause cites the event."""
    doubt = message(
        State.AMBIGUOUS,
        attempts=1,
        reach=Reach.HANDOFF_UNKNOWN,
        reason="provider_timeout_unknown",
    )
    found = layers(doubt, timeline(ACCEPTED, CLAIMED, UNANSWERED), START)
    cause = found.execution.cause
    assert cause is not None
    assert (cause.code, cause.event) == ("provider_timeout_unknown", 3)
    assert found.execution.since == at(2)


def test_a_receipt_for_a_hand_off_in_doubt_also_hands_it_off() -> None:
    """No event said handed off before, so the receipt does."""
    found = layers(delivered(), timeline(ACCEPTED, CLAIMED, UNANSWERED, RECEIPT), START)
    assert (found.execution.state, found.execution.since) == ("handed_off", at(3))


def test_a_wait_has_a_cause() -> None:
    """Ours in our words, a carrier's in the reasons' words."""
    waiting = message(State.WAITING, attempts=1, reason="throttled")
    steps = timeline(ACCEPTED, CLAIMED, ("throttled", "waiting"), ("due", "waiting"))
    found = layers(waiting, steps, START)
    cause = found.execution.cause
    assert cause is not None
    assert cause.text == "The provider asked us to slow down; it is tried again"
    assert (cause.fix, cause.event, found.execution.since) == (None, 3, at(2))
    other = layers(message(State.WAITING, reason="brown_out"), [], START).execution.cause
    assert other is not None
    assert (other.text, other.event) == ("Brown out", None)


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (State.FAILED, "invalid_number", "not_executed"),
        (State.CANCELLED, "cancelled", "not_executed"),
        (State.EXPIRED, "expired_in_our_queue", "queued"),
    ],
)
def test_what_was_never_handed_off_cannot_have_arrived(
    state: State, reason: str, word: str
) -> None:
    """Then, and only then, the probability is 0."""
    ended = message(state, reason=reason, resolution="released")
    found = layers(ended, timeline(ACCEPTED, ("x", state.value)), START)
    assert found.execution.state == word
    assert found.outcome.probability == 0
    assert found.outcome.verdict == state.value
    assert found.outcome.cause is not None
    assert found.outcome.cause.event == 2


def forecast(**changes: Any) -> Forecast:
    return Forecast(
        **{
            "probability": 0.7,
            "low": 0.5,
            "high": 0.8,
            "verdict": "likely_delivered",
            "receipt_to_come": 0.4,
            "p50_us": START + 4 * SECOND,
            "p90_us": START + 9 * SECOND,
            "cell": ("NL alphanumeric", "NL 31612", "north", "SHOP"),
            "handoffs": 120.04,
            "resolves": ("a receipt",),
            **changes,
        }
    )


def test_an_open_message_is_shown_with_what_is_to_be_expected() -> None:
    sent = message(State.SUBMITTED, attempts=1, reach=Reach.HANDED_OFF)
    steps = timeline(ACCEPTED, CLAIMED, TAKEN)
    found = outcome_layer(sent, steps, START, forecast())
    assert (found.state, found.verdict, found.probability) == (
        "pending",
        "likely_delivered",
        0.7,
    )
    assert "somebody confirmed" in found.why
    assert found.bounds is not None
    assert (found.bounds.low, found.bounds.high, found.receipt_to_come) == (0.5, 0.8, 0.4)
    assert found.eta is not None
    assert (found.eta.p50, found.eta.p90) == (at(4), at(9))
    assert found.model is not None
    assert (found.model.provider, found.model.handoffs) == ("north", 120.0)
    assert found.resolves == ["a receipt"]


def test_what_nobody_confirmed_has_bounds_and_no_number() -> None:
    sent = message(State.SUBMITTED, attempts=1, reach=Reach.HANDED_OFF)
    steps = timeline(ACCEPTED, CLAIMED, TAKEN)
    unknown = forecast(probability=None, verdict=None, p50_us=None, p90_us=None)
    found = outcome_layer(sent, steps, START, unknown)
    assert (found.verdict, found.probability, found.eta) == (None, None, None)
    assert "nobody has confirmed" in found.why
    assert "nothing" not in found.why
    assert found.bounds is not None
    nothing = outcome_layer(
        sent, steps, START, forecast(probability=None, verdict=None, low=0.001, high=0.999)
    )
    assert nothing.why.endswith("it may have arrived or not, we know nothing of it")


def test_what_is_certain_needs_no_bounds() -> None:
    never_left = message(State.FAILED, reason="no_route", resolution="released")
    steps = timeline(ACCEPTED, ("given_up", "failed", {}, "clock"))
    found = outcome_layer(never_left, steps, START, forecast(probability=0.0, verdict="failed"))
    assert (found.probability, found.bounds) == (0.0, None)


def test_an_unknown_outcome_stays_unknown() -> None:
    """Silence is no failure: no probability, and the reason why there is none."""
    silent = message(
        State.UNKNOWN,
        attempts=1,
        reach=Reach.HANDED_OFF,
        reason="no_receipt",
        resolution="captured",
    )
    steps = timeline(ACCEPTED, CLAIMED, TAKEN, ("deadline_passed", "unknown", {}, "clock"))
    found = outcome_layer(silent, steps, START)
    assert (found.verdict, found.probability, found.revisable) == ("unknown", None, True)
    assert "no receipt came in time" in found.why
    assert found.cause is not None
    assert found.cause.text == "The deadline passed without a final receipt"


def test_a_filtered_message_says_who_filtered_it() -> None:
    """By the event's provider; without events, the carrier."""
    filtered = delivered(state=State.FILTERED, reason="content_filtered")
    steps = timeline(
        ACCEPTED, CLAIMED, TAKEN, ("receipt_filtered", "filtered", {}, "carrier:north")
    )
    found = outcome_layer(filtered, steps, START).filtered_by
    assert found is not None
    assert (found.who, found.how, found.event) == ("north", "explicit_code", 4)
    forgotten = outcome_layer(filtered, [], START)
    assert forgotten.filtered_by is not None
    assert (forgotten.filtered_by.who, forgotten.filtered_by.event) == ("carrier", None)
    assert forgotten.since == at(0)


def test_a_message_that_was_probably_filtered_says_whose_alarm_says_so() -> None:
    """It is inferred, no event says it; an explicit code stands above it."""
    silent = message(State.SUBMITTED, attempts=1, reach=Reach.HANDED_OFF)
    steps = timeline(ACCEPTED, CLAIMED, TAKEN)
    likely = forecast(probability=0.1, verdict="likely_filtered", filtered_by="carrier kpn")
    found = outcome_layer(silent, steps, START, likely)
    assert found.verdict == "likely_filtered"
    assert found.filtered_by is not None
    assert (found.filtered_by.who, found.filtered_by.how) == ("carrier kpn", "inferred")
    assert (found.filtered_by.reason, found.filtered_by.event) == ("silently_filtered", None)
    filtered = delivered(state=State.FILTERED, reason="content_filtered")
    explicit = outcome_layer(filtered, [], START, likely).filtered_by
    assert explicit is not None
    assert explicit.how == "explicit_code"
    nobody_knows = forecast(probability=None, verdict=None, filtered_by="carrier kpn")
    assert outcome_layer(silent, steps, START, nobody_knows).filtered_by is None


def test_a_filter_that_shows_in_what_is_missing_needs_no_probability() -> None:
    silent = message(State.SUBMITTED, attempts=1, reach=Reach.HANDED_OFF)
    steps = timeline(ACCEPTED, CLAIMED, TAKEN)
    alone = forecast(probability=None, verdict="likely_filtered", filtered_by="carrier kpn")
    found = outcome_layer(silent, steps, START, alone)
    assert (found.verdict, found.probability) == ("likely_filtered", None)
    assert found.filtered_by is not None
    assert "missing while others come" in found.why


def test_a_denial_stands_above_what_is_thought_of_others() -> None:
    denied = delivered(confirmed="denied")
    likely = forecast(probability=0.9, verdict="likely_delivered")
    found = outcome_layer(denied, timeline(*DELIVERED_TIMELINE), START, likely)
    assert (found.verdict, found.probability) == ("delivered", None)


@pytest.mark.parametrize(
    ("word", "probability", "depth"),
    [("confirmed", 1.0, "user"), ("denied", None, "carrier")],
)
def test_the_customers_word_is_a_layer_of_its_own(
    word: str, probability: float | None, depth: str
) -> None:
    """It proves the arrival or casts doubt on it; the verdict stays the receipt's."""
    told = delivered(confirmed=word)
    feedback = ("feedback", "delivered", {"confirmed": word == "confirmed", "kind": "otp"})
    found = layers(told, timeline(*DELIVERED_TIMELINE, feedback), START)
    assert (found.confirmed.state, found.confirmed.since) == (word, at(4))
    assert found.confirmed.cause is not None
    assert found.confirmed.cause.code == "otp"
    assert (found.outcome.probability, found.outcome.depth) == (probability, depth)
    assert found.outcome.verdict == "delivered"


def test_a_machines_click_confirms_nothing() -> None:
    """Whoever opened the link had the text; what the customer said before stands."""
    click = ("feedback", "submitted", {"kind": "click", "by": "scanner", "why": "head"})
    sent = message(State.SUBMITTED, reach=Reach.HANDED_OFF)
    found = layers(sent, timeline(*DELIVERED_TIMELINE[:3], click), START)
    assert (found.confirmed.state, found.outcome.probability) == ("none", None)
    assert (found.outcome.depth, found.outcome.evidence[-1].says) == (
        "carrier",
        "scanner_click",
    )
    yes = ("feedback", "submitted", {"confirmed": True, "kind": "otp"})
    confirmed = msgspec.structs.replace(sent, confirmed="confirmed")
    found = layers(confirmed, timeline(*DELIVERED_TIMELINE[:3], yes, click), START)
    assert found.confirmed.cause is not None
    assert (found.confirmed.state, found.confirmed.cause.code) == ("confirmed", "otp")
    assert (found.outcome.probability, found.outcome.depth) == (1.0, "user")


@pytest.mark.parametrize(
    ("actor", "kind", "text"),
    [
        ("customer", "reply", "Feedback from your own system"),
        ("provider:south", "reply", "The recipient answered"),
        ("provider:south", "probe", "A test phone of the operator's answered"),
    ],
)
def test_whose_word_it_is(actor: str, kind: str, text: str) -> None:
    """A customer tells, or an answer that a provider brought."""
    word = ("feedback", "delivered", {"confirmed": True, "kind": kind}, actor)
    told = delivered(confirmed="confirmed")
    found = layers(told, timeline(*DELIVERED_TIMELINE, word), START).confirmed
    assert found.cause is not None
    assert (found.cause.code, found.cause.text, found.cause.event) == (kind, text, 5)


def test_a_receipt_alone_gives_no_probability() -> None:
    """How often a receipt holds isn't measured, so no number is made up."""
    found = outcome_layer(delivered(), timeline(*DELIVERED_TIMELINE), START)
    assert found.probability is None
    assert found.eta is None


def test_layers_survive_a_forgotten_timeline() -> None:
    """The row alone still tells the states."""
    found = layers(delivered(confirmed="confirmed"), [], START)
    assert found.execution.state == "handed_off"
    assert found.confirmed.state == "confirmed"
    assert found.outcome.since == at(0)


def _advised(of: Message, *steps: tuple[Any, ...]) -> tuple[bool, bool]:
    found = retry_advice(of, timeline(*steps))
    assert found.why
    return found.safe, found.useful


def test_the_cause_names_the_part_that_was_refused() -> None:
    """A reason of its own is its provider's word for one part, and not for the message."""
    lacks = ("part_refused", "failed", {"part": 2, "status": 0x45})
    failed = delivered(state=State.FAILED, reason="provider_error", segments=3)
    found = layers(failed, timeline(ACCEPTED, CLAIMED, lacks), START)
    assert found.execution.state == "handed_off"
    assert found.outcome.cause is not None
    assert found.outcome.cause.text == (
        "Part 2 of 3 was refused: the provider had an error of its own"
    )
    assert found.outcome.cause.event == 3


def test_waiting_for_a_bind_is_said() -> None:
    waiting = message(State.WAITING, attempts=1, reason="not_bound")
    cause = layers(waiting, timeline(ACCEPTED, CLAIMED, ("not_bound", "waiting")), START)
    assert cause.execution.cause is not None
    assert cause.execution.cause.text == (
        "The provider said that we weren't bound; it is tried again"
    )


def test_advice_on_sending_again() -> None:
    """Safe only where no copy can arrive, useful only where it may fare better."""
    failed = delivered(state=State.FAILED, reason="unknown_subscriber")
    absent = delivered(state=State.FAILED, reason="absent_subscriber")
    doubt = message(State.AMBIGUOUS, reach=Reach.HANDOFF_UNKNOWN)
    assert _advised(delivered()) == (False, False)
    assert _advised(delivered(confirmed="confirmed")) == (False, False)
    assert _advised(delivered(confirmed="denied")) == (False, True)
    assert _advised(doubt) == (False, False)
    assert _advised(delivered(state=State.UNKNOWN, reach=Reach.HANDOFF_UNKNOWN)) == (
        False,
        True,
    )
    assert _advised(message()) == (False, False)
    assert _advised(message(State.SUBMITTED, reach=Reach.HANDED_OFF)) == (False, False)
    assert _advised(delivered(state=State.UNKNOWN)) == (False, True)
    assert _advised(message(State.CANCELLED)) == (True, True)
    assert _advised(failed) == (True, False)
    assert _advised(absent) == (True, True)
    assert _advised(delivered(state=State.EXPIRED, reason="made_up")) == (True, True)
    part = ("receipt_failed", "failed", {"part": 2})
    assert _advised(delivered(state=State.FAILED, segments=2), part) == (False, True)
    assert _advised(failed, ("receipt_failed", "failed")) == (True, False)
    lacks = ("part_refused", "failed", {"part": 2})
    assert _advised(delivered(state=State.FAILED, segments=3), lacks) == (False, True)


def test_advice_on_an_open_message_says_until_when_to_wait() -> None:
    """No earlier than its outcome is final."""
    assert retry_advice(message(), []).not_before == "2027-01-18T08:00:00.000000Z"
    doubt = message(State.AMBIGUOUS, reach=Reach.HANDOFF_UNKNOWN)
    assert retry_advice(doubt, []).not_before == "2027-01-18T08:00:00.000000Z"
    assert retry_advice(delivered(), []).not_before is None


def test_a_roll_up_counts_every_layer() -> None:
    """Each layer adds up to all messages."""
    found = roll_up(
        [
            (State.DELIVERED, Reach.HANDED_OFF, 1, "confirmed", 3),
            (State.SUBMITTED, Reach.HANDED_OFF, 1, "none", 2),
            (State.ACCEPTED, Reach.NONE, 0, "none", 1),
        ]
    )
    assert found.api == {"accepted": 6}
    assert found.execution == {"handed_off": 5, "queued": 1}
    assert found.outcome == {"delivered": 3, "pending": 3}
    assert found.confirmed == {"confirmed": 3, "none": 3}


def test_only_a_final_verdict_is_a_verdict() -> None:
    """Every open state has none, every terminal state its own."""
    for state in State:
        found = outcome_layer(message(state, changed_at_us=START + SECOND), [], START)
        assert found.verdict == (state.value if state in TERMINAL else None)
        assert found.final == (state in TERMINAL)
