"""Sentences about a message: each rests on events that are there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.catalogue import Strategy
from arrivals.core.explain import explain
from arrivals.core.message import Message, Move, Reach, State
from arrivals.core.selection import (
    Candidate,
    Estimate,
    Obstacle,
    Question,
    record_of,
    select,
)
from arrivals.core.timeline import AWAY, BROKEN, SLOWED, UNBOUND, Adjustment
from tests.core.timelines import (
    ACCEPTED,
    CLAIMED,
    DELIVERED_TIMELINE,
    RECEIPT,
    SECOND,
    START,
    TAKEN,
    Step,
    delivered,
    message,
    timeline,
    trace,
)

COUNTS_AS_DELIVERED = (
    "So it counts as delivered on the word of a receipt, which speaks for the carrier"
)


def told(of: Message, *steps: tuple[Any, ...], **changes: Any) -> list[str]:
    return [each.text for each in explain(trace(of, **changes), timeline(*steps))]


def test_one_parts_receipt_stands_for_silent_ones() -> None:
    """Said of the wait that ended, never as a receipt that nobody sent."""
    clock = ("receipt_delivered", "delivered", {"provider": "north"}, "clock")
    part = ("receipt_delivered", "submitted", {"attempt": 1, "part": 1, "depth": "carrier"})
    sentences = told(delivered(segments=2, parts="1:d."), ACCEPTED, CLAIMED, TAKEN, part, clock)
    assert sentences[4] == (
        "For 1.0 s no other part's receipt came, and north may send one for all: "
        "so it counts for the whole."
    )
    assert sentences[5] == f"{COUNTS_AS_DELIVERED}."


def said(kind: str, body: dict[str, Any] | None = None, state: str = "waiting") -> str:
    """Return the sentence about one event, the second of a timeline."""
    return told(message(State.WAITING), ACCEPTED, (kind, state, body or {}))[1]


def test_a_delivered_message_is_told_from_end_to_end() -> None:
    """Every event has a sentence that cites it, then comes what it adds up to."""
    sentences = explain(trace(delivered()), timeline(*DELIVERED_TIMELINE))
    assert [(each.text, each.cites) for each in sentences] == [
        ("Accepted over route 3 to NL: 1 segment in GSM-7, 0.087 EUR held.", [1]),
        ("After 1.0 s in our queue, attempt 1 took it to north.", [2]),
        ("north took it after 20 ms and named it 7f3a. That is not a delivery.", [3]),
        ("A receipt from north says DELIVRD.", [4]),
        (
            "So it counts as delivered on the word of a receipt, which speaks for the carrier.",
            [4],
        ),
        ("The hold of 0.087 EUR was captured, since it was handed off.", [4]),
    ]


SLOW: Step = ("throttled", "waiting", {"provider": "north", "status": 0x58}, "provider:north")
FULL: Step = ("throttled", "waiting", {"provider": "north", "status": 0x14}, "provider:north")
BACK: Step = ("due", "waiting", {}, "clock")


@pytest.mark.parametrize(
    ("steps", "sentence", "cites"),
    [
        ((SLOW, BACK, CLAIMED, SLOW, BACK, CLAIMED, SLOW, CLAIMED, TAKEN),
         'north said "not so fast" 3 times (ESME_RTHROTTLED);'
         " it took 8.0 s until it took the message.",
         [3, 6, 9, 11]),
        ((SLOW, CLAIMED, FULL),
         'north said "not so fast" 2 times (ESME_RTHROTTLED, ESME_RMSGQFUL);'
         " that went on for 2.0 s.",
         [3, 5]),
        ((SLOW, CLAIMED, ("failed_over", "waiting", {"provider": "north", "cause": SLOWED})),
         'north said "not so fast" 2 times (ESME_RTHROTTLED); after 2.0 s it moved on.',
         [3, 5]),
        ((("throttled", "waiting"), CLAIMED, ("throttled", "waiting"), CLAIMED,
          ("taken", "submitted", {"provider": "south"})),
         'The provider said "not so fast" 2 times; that went on for 2.0 s.',
         [3, 5]),
        ((("part_held", "sending", {"provider": "north", "part": 1, "status": 0x58}),
          ("part_held", "sending", {"provider": "north", "part": 1, "status": 0x58}),
          ("part_held", "sending", {"provider": "north", "part": 1, "status": 0x08}),
          ("part_held", "sending", {"provider": "north", "part": 1}), TAKEN),
         'north said "not so fast" 2 times (ESME_RTHROTTLED);'
         " it took 4.0 s until it took the message.",
         [3, 4, 7]),
    ],
    ids=["taken", "still", "moved on", "taken by another", "parts"],
)  # fmt: skip
def test_a_provider_that_slows_a_message_again_and_again_is_summed_up(
    steps: tuple[Step, ...], sentence: str, cites: list[int]
) -> None:
    """Reports of a provider whose queue is full never said how long that took."""
    events = timeline(ACCEPTED, CLAIMED, *steps)
    found = explain(trace(message(State(events[-1].to_state))), events)
    [said] = [each for each in found if "not so fast" in each.text]
    assert (said.text, said.cites) == (sentence, cites)


def test_once_is_said_once() -> None:
    sentences = told(message(State.WAITING), ACCEPTED, CLAIMED, SLOW)
    assert not any("not so fast" in each for each in sentences)


def test_a_message_that_lacks_a_part_failed_by_that() -> None:
    """Never as one that its provider didn't answer for."""
    lacking = ("part_refused", "failed", {"provider": "north", "part": 2, "status": 0x45})
    failed = delivered(state=State.FAILED, reason="provider_error", segments=3)
    sentences = told(failed, ACCEPTED, CLAIMED, lacking)
    assert sentences[3] == (
        "So it failed: part 2 of 3 was refused: the provider had an error of its own."
    )


def test_what_holds_a_message_now_is_said_and_cites_nothing() -> None:
    """No event tells how things stand at this moment."""
    held = ["its account is paused", "route 3 is paused"]
    told = explain(trace(message(State.ACCEPTED)), timeline(ACCEPTED), held)
    assert told[-1].text == "It waits now because its account is paused, and route 3 is paused."
    assert told[-1].cites == []


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        ("throttled",
         {"provider": "north", "status": 0x58, "not_before": START + 4 * SECOND},
         "north asked us to slow down (ESME_RTHROTTLED); nothing was taken."
         " The next try is in 3.0 s or later."),
        ("throttled", {}, "The provider asked us to slow down; nothing was taken."
         " It stays in the queue."),
        ("throttled", {"provider": "north", "status": 0x58, "whole_bind": True},
         "north asked us to slow down (ESME_RTHROTTLED), not with this message alone;"
         " nothing was taken. It stays in the queue."),
        ("not_bound",
         {"provider": "north", "status": 0x04, "not_before": START + 2 * SECOND},
         "north said that we weren't bound (ESME_RINVBNDSTS); nothing was taken."
         " The next try is in 1.0 s or later."),
        ("part_held",
         {"provider": "north", "status": 0x58, "part": 1, "until": START + 4 * SECOND,
          "parts_accepted": [1]},
         "Part 1 of 1 was put off by north (ESME_RTHROTTLED). Part 1 was taken already."
         " It is tried again within 3.0 s."),
        ("part_held", {"provider": "north", "part": 1, "parts_accepted": [1]},
         "Part 1 of 1 waits to go out to north. Part 1 was taken already."),
        ("part_held", {}, "A part waits to go out to the provider."),
        ("part_refused",
         {"provider": "north", "status": 0x45, "part": 1, "reason": "provider_error",
          "parts_accepted": [1, 2]},
         "Part 1 of 1 was refused by north (ESME_RSUBMITFAIL): the provider had an error of"
         " its own. Parts 1, 2 were taken, so it is never sent again whole."),
        ("part_refused", {}, "A part was refused by the provider."),
        ("failed_over",
         {"provider": "north", "to": "south", "status": 0x58, "cause": SLOWED},
         "north asked us to slow down for longer than the route waits (ESME_RTHROTTLED),"
         " so it moved on to south."),
        ("failed_over",
         {"provider": "north", "to": "south", "status": 0x04, "cause": UNBOUND},
         "north said again and again that we weren't bound (ESME_RINVBNDSTS),"
         " so it moved on to south."),
        ("diverted", {"provider": "north", "to": "south", "cause": AWAY},
         "north was away, so the route's policy moved it on to south."),
        ("diverted", {"provider": "north", "to": "south", "cause": BROKEN},
         "north takes messages and never answers, so the route's policy moved it on to south."),
        ("diverted", {"provider": "north", "to": "south", "cause": SLOWED},
         "north was slowing us for longer than the route waits, so the route's policy moved"
         " it on to south."),
        ("claimed", {"provider": "north", "attempt": 1, "held_us": 60 * SECOND},
         "After 1.0 s in our queue, 1.0 s of it held back by north, attempt 1 took it to"
         " north."),
        ("not_sent", {"cause": "the bind is down"},
         "It never left for the provider: the bind is down; so nothing can arrive from this "
         "try. It stays in the queue."),
        ("refused", {"provider": "north", "status": "E7", "reason": "opted_out"},
         "north refused it (E7): the recipient opted out."),
        ("refused_retryable", {"reason": "provider_error"},
         "The provider refused it for now: the provider had an error of its own."
         " It stays in the queue."),
        ("failed_over", {"provider": "north", "to": "south", "reason": "no_route"},
         "north refused it: the provider has no way to this destination. "
         "The route allows another provider, so it moved on to south."),
        ("diverted", {"provider": "north"},
         "north was away, so the route's policy moved it on to its next provider."),
        ("unanswered",
         {"provider": "north", "attempt": 2, "cause": "timeout", "policy": "resend"},
         "north never answered attempt 2 (timeout): it may have the message or not."
         " The policy is to send it once more if no word comes."),
        ("lease_lost", {"policy": "fail"},
         "Whoever was sending it stopped, and its bytes may have left."
         " The policy is to call that a failure."),
        ("resend_allowed", {"set_by": "route"},
         "The policy, set by the route, lets it go out a second time: a duplicate may arrive."),
        ("resend_allowed", {},
         "The policy lets it go out a second time: a duplicate may arrive."),
        ("resend_dropped", {"cause": "the resend was refused"},
         "It isn't sent again: the resend was refused."
         " What went out before is still waited for."),
        ("resend_dropped", {},
         "It isn't sent again. What went out before is still waited for."),
        ("fail_wanted", {}, "The policy calls a hand-off without an answer a failure."),
        ("taken", {"late": True}, "Late, but it came: the provider took it."
         " That is not a delivery."),
        ("receipt_failed", {"provider": "north", "stat": "UNDELIV", "err": "006",
                            "reason": "absent_subscriber", "part": 2},
         "A receipt for part 2 from north says UNDELIV, error 006:"
         " the phone was off or out of coverage."),
        ("receipt_delivered", {"id_form": "hex_to_decimal"},
         "A receipt from the provider says delivered."
         " It names the message's id in another form (hex to decimal)."),
        ("receipt", {"inferred": True, "matched_by": "destination", "conflict": True},
         "A receipt from the provider says receipt."
         " It was matched by destination, not by its id."
         " It contradicts what was known; the stronger word stands."),
        ("receipt_delivered", {"provider": "north", "stat": "DELIVRD", "came_over": "south",
                               "number_differs": True},
         "A receipt from north says DELIVRD. It came over south, another login."
         " It names another number; its id is this message's alone, and decides."),
        ("receipt_delivered", {"provider": "north", "stat": "DELIVRD", "unswapped": True},
         "A receipt from north says DELIVRD. Its addresses stand as we sent them."),
        ("receipt_failed", {"provider": "north", "stat": "UNDELIV", "tlv_said": "DELIVRD",
                            "text_said": "UNDELIV"},
         "A receipt from north says UNDELIV."
         " Its message_state says DELIVRD and its text UNDELIV."),
        ("receipt_delivered", {"provider": "north", "stat": "DELIVRD", "tlv_said": "DELIVRD"},
         "A receipt from north says DELIVRD."
         " Its message_state says DELIVRD and its text nothing known."),
        ("given_up", {"cause": "the retries are used up"},
         "We stopped trying: the retries are used up."),
        ("feedback", {"confirmed": True, "kind": "otp"},
         "Your own system says that the person got it (otp)."),
        ("feedback", {"kind": "asked_again"},
         "Your own system says that the person asked for another one. That is only a hint."),
        ("feedback", {}, "Your own system says that the person did not get it (support)."),
        ("feedback", {"kind": "click", "by": "scanner", "why": "too_soon"},
         "Its link was opened by what came sooner than anybody could have read it:"
         " a machine's click, which confirms nothing."),
        ("feedback", {"kind": "click", "by": "scanner", "why": "newer"},
         "Its link was opened by what is no person (newer):"
         " a machine's click, which confirms nothing."),
        ("feedback", {"kind": "click", "by": "human", "confirmed": True},
         "Your own system says that the person got it (click)."),
        ("due", {}, "After a wait of 1.0 s it was back in the queue."),
        ("put_on_hold", {"cause": "an operator asked"}, "Put on hold: an operator asked."),
    ],
)  # fmt: skip
def test_each_kind_of_event_has_its_sentence(
    kind: str, body: dict[str, Any], sentence: str
) -> None:
    """Filled from the event's own body, and shorter where that tells less."""
    assert said(kind, body) == sentence


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"noticed": "BX-1", "after_us": 45_000_000},
         "45 s after its hand-off another code was asked for, to the same number (BX-1):"
         " perhaps this one hadn't come. That is only a hint."),
        ({"noticed": "BX-1"},
         "Soon after its hand-off another code was asked for, to the same number (BX-1):"
         " perhaps this one hadn't come. That is only a hint."),
    ],
)  # fmt: skip
def test_what_we_noticed_is_told_from_what_customers_say(
    body: dict[str, Any], sentence: str
) -> None:
    noticed = ("feedback", "delivered", {"kind": "asked_again", **body}, "worker")
    told = explain(trace(delivered()), timeline(*DELIVERED_TIMELINE, noticed))
    assert (told[4].text, told[4].cites) == (sentence, [5])


@pytest.mark.parametrize(
    ("depth", "country", "word"),
    [
        ("submitted", "NL", "speaks for the provider only."),
        ("carrier", "NL", "speaks for the carrier."),
        ("handset", "NL", "speaks for the handset."),
        ("handset", "PH", "speaks for the provider only: in the Philippines networks invent "
         "receipts, or send none (api.support.vonage.com 204014863, 2026-11)."),
        ("submitted", "PH", "speaks for the provider only."),
    ],
)  # fmt: skip
def test_whose_word_delivered_is(depth: str, country: str, word: str) -> None:
    """And where receipts mean less than their provider's do elsewhere, who says so."""
    receipt = ("receipt_delivered", "delivered", {"attempt": 1, "depth": depth})
    sentences = told(delivered(), ACCEPTED, CLAIMED, TAKEN, receipt, country=country)
    assert any(each.endswith(word) for each in sentences)


def test_two_hand_offs_that_arrived_are_said_to_be_two() -> None:
    second = ("receipt_delivered", "delivered", {"attempt": 2})
    sentences = told(delivered(), *DELIVERED_TIMELINE, second)
    assert any("two hand-offs arrived" in each for each in sentences)


def test_an_end_promises_no_next_try() -> None:
    """A refusal that ends the message doesn't say that it stays in the queue."""
    assert said("refused_retryable", state="failed") == "The provider refused it for now."


def test_acceptance_tells_parts_alphabet_and_schedule() -> None:
    """And leaves out a country that nobody knows."""
    long = message(segments=3)
    text = told(long, ACCEPTED, country="", encoding="ucs2", send_at_us=START)[0]
    assert text == (
        "Accepted over route 3: 3 segments in UCS-2, 0.087 EUR held."
        " It was to go out at 2027-01-15T08:00:00.000000Z."
    )


def test_a_choice_by_outcome_says_what_was_known() -> None:
    """Shares, but no cost; and it cites the event by which it was accepted."""
    honest = Estimate(delivered=0.97, low=0.931, high=0.99)
    liar = Estimate(delivered=0.333, low=0.29, high=0.38)
    away = Candidate(provider="far", cost=1, obstacle=Obstacle.AWAY)
    question = Question(
        strategy=Strategy.OUTCOME,
        floor=0.85,
        candidates=(
            Candidate(provider="budget", cost=18, estimate=liar),
            Candidate(provider="north", cost=36, estimate=honest),
            Candidate(provider="new", cost=9),
            away,
        ),
    )
    text = told(message(), ACCEPTED, selection=record_of(question, select(question)))[1]
    assert text == (
        "Of its providers north goes first, least cost for a delivered message."
        " budget: 33.3% arrive, at least 29.0% (not sure to reach 85%);"
        " north: 97.0% arrive, at least 93.1%;"
        " new: how many arrive isn't known (too few were confirmed to compare it);"
        " far: how many arrive isn't known (it can't be reached)."
    )
    only = msgspec.structs.replace(question, candidates=question.candidates[:1])
    found = explain(
        trace(message(), selection=record_of(only, select(only))), timeline(ACCEPTED)
    )
    assert found[1].cites == [1]
    assert "None is sure to deliver the 85% that the route asks for." in found[1].text


def test_a_schedule_comes_due() -> None:
    """The customer's own wait isn't our queue."""
    steps: tuple[Step, ...] = (
        ("accepted", "scheduled", {}, "api"),
        ("due", "scheduled", {}, "clock"),
    )
    assert told(message(), *steps)[1] == (
        "After 1.0 s its time to be sent had come, and it joined the queue."
    )


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (message(), "So it isn't handed off yet"),
        (message(State.SUBMITTED, reach=Reach.HANDED_OFF), "nobody has said yet whether"),
        (
            message(State.AMBIGUOUS, reach=Reach.HANDOFF_UNKNOWN),
            "open whether it was handed off",
        ),
    ],
)
def test_an_open_message_says_what_is_open(of: Message, words: str) -> None:
    """And cites its newest event; it has no money to tell of."""
    *_, last = explain(trace(of), timeline(ACCEPTED, CLAIMED))
    assert words in last.text
    assert last.cites == [2]


@pytest.mark.parametrize(
    ("kind", "who"), [("reply", "The recipient"), ("probe", "A test phone of the operator's")]
)
def test_an_answer_is_told_and_cited(kind: str, who: str) -> None:
    """Whoever denies it afterwards is believed, and then the answer concludes nothing."""
    answer = ("feedback", "delivered", {"confirmed": True, "kind": kind}, "provider:south")
    denial = ("feedback", "delivered", {"confirmed": False}, "customer")
    steps = timeline(*DELIVERED_TIMELINE, answer, denial)
    *_, said, concluded, _ = explain(trace(delivered(confirmed="confirmed")), steps[:-1])
    assert (said.text, said.cites) == (f"{who} answered, over south: so it arrived.", [5])
    assert concluded.text.endswith(" It was answered, so it arrived.")
    assert concluded.cites == [4, 5]
    *_, denied, _ = explain(trace(delivered(confirmed="denied")), steps)
    assert denied.text.endswith(" Your own system says it did not arrive.")
    assert denied.cites == [4, 6]


def test_the_end_of_each_kind() -> None:
    """A failure names its cause, and money that wasn't used came back."""
    failed = message(State.FAILED, reason="invalid_number", resolution="released")
    steps = (ACCEPTED, ("refused", "failed", {"settlement": "released"}))
    assert told(failed, *steps)[2:] == [
        "So it failed: the number isn't a valid destination.",
        "The hold of 0.087 EUR was released: you pay nothing.",
    ]
    unknown = delivered(state=State.UNKNOWN, confirmed="denied")
    assert told(unknown, *DELIVERED_TIMELINE[:3])[-2] == (
        "So nobody knows: it may have arrived, and we don't call that a failure."
        " Your own system says it did not arrive."
    )
    doubt = delivered(state=State.UNKNOWN, reach=Reach.HANDOFF_UNKNOWN)
    assert told(doubt)[-1] == (
        "The hold of 0.087 EUR was captured, since it may have been handed off."
    )
    assert told(message(State.EXPIRED))[-1] == "So it expired in our queue."
    assert told(delivered(state=State.EXPIRED))[-2] == "So it expired after it was handed off."
    confirmed = delivered(confirmed="confirmed")
    assert told(confirmed, *DELIVERED_TIMELINE)[-2].endswith("Your own system says it arrived.")


def test_a_revised_outcome_says_what_it_was_before() -> None:
    """And cites both receipts."""
    first = ("receipt_failed", "failed", {"stat": "UNDELIV"}, "carrier:north")
    found = explain(trace(delivered()), timeline(ACCEPTED, CLAIMED, TAKEN, first, RECEIPT))[-2]
    assert found.text == f"{COUNTS_AS_DELIVERED}. It had counted as failed before."
    assert found.cites == [4, 5]


def test_money_moves_after_a_revision() -> None:
    """A refund and a recharge are sentences of their own, citing what came before them."""
    refund = Adjustment(1, "refund", 87_000, START + 3 * SECOND)
    recharge = Adjustment(2, "recharge", 87_000, START - 1)
    found = explain(
        trace(delivered(), adjustments=(refund, recharge)), timeline(*DELIVERED_TIMELINE)
    )[-2:]
    assert [(each.text, each.cites) for each in found] == [
        ("After the outcome was revised, 0.087 EUR came back to you.", [4]),
        ("After the outcome was revised, 0.087 EUR was charged again.", []),
    ]


def test_a_forgotten_timeline_still_concludes() -> None:
    """Without events there is nothing to cite."""
    found = explain(trace(delivered()), [])
    assert [each.cites for each in found] == [[], []]


KINDS = [*Move, "accepted", "feedback", "due", "diverted", "receipt", "something_newer"]


@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.sampled_from(list(State)),
            st.dictionaries(
                st.sampled_from(["status", "reason", "cause", "stat", "provider", "part"]),
                st.one_of(st.integers(0, 300), st.text(max_size=8)),
            ),
        ),
        max_size=8,
    ),
    state=st.sampled_from(list(State)),
)
def test_any_timeline_can_be_explained(
    kinds: list[tuple[str, State, dict[str, Any]]], state: State
) -> None:
    """Bodies of any age and kinds of the future give sentences, citing only what is there."""
    events = timeline(*((kind, to.value, body) for kind, to, body in kinds))
    found = explain(trace(message(state)), events)
    assert all(each.text.endswith(".") for each in found)
    assert {seq for each in found for seq in each.cites} <= {each.seq for each in events}
    assert len(found) > len(events)


def test_the_sentences_name_no_number_and_no_text() -> None:
    """An explanation can be passed on without passing on the message (invariant 44)."""
    secret = trace(delivered(), text="Your code is 4821")
    shown = msgspec.json.encode(explain(secret, timeline(ACCEPTED, CLAIMED, TAKEN, RECEIPT)))
    assert b"4821" not in shown
    assert b"31612345678" not in shown
