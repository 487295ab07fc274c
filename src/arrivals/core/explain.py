"""Explain a message in sentences, each citing the events that it rests on.

Every kind of event has a saying, filled from that event's own body; the last sentences say
what it adds up to: the outcome, how sure that is, the money, and what is still open. A
sentence never says more than its events do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.conclusion import Sentence, conclusion, doubts, money, slowed_by
from arrivals.core.depth import limit_of
from arrivals.core.feedback import feedback_sentence
from arrivals.core.instants import rfc3339, spell
from arrivals.core.layers import Forecast
from arrivals.core.message import Move, State, is_terminal
from arrivals.core.reasons import REASONS
from arrivals.core.selection import Estimate, Obstacle, Record, WhyNot
from arrivals.core.text import ENCODING_NAMES
from arrivals.core.timeline import (
    ACCEPTED,
    BROKEN,
    DUE,
    JUDGED,
    PART_HELD,
    SLOWED,
    TimelineEvent,
    Trace,
    held_us,
    part_of,
    provider_of,
    result_of,
)
from arrivals.core.verdicts import verdict_sentence
from arrivals.core.wording import capital, code_name, lower, price, spaced, subject, upper

__all__ = ["Sentence", "explain"]


class _Said(msgspec.Struct, frozen=True):
    """An event with what its sentence needs beside it."""

    event: TimelineEvent
    before: TimelineEvent | None
    trace: Trace

    @property
    def waited(self) -> str:
        return spell(self.event.at_us - self.before.at_us if self.before else 0)

    @property
    def provider(self) -> str:
        return provider_of(self.event) or "the provider"

    @property
    def status(self) -> str:
        """The provider's code in parentheses, or nothing."""
        status = self.event.body.get("status")
        if status is None:
            return ""
        return f" ({code_name(status)})"

    @property
    def attempt(self) -> str:
        number = self.event.body.get("attempt")
        return f"attempt {number}" if number else "an attempt"

    @property
    def held(self) -> str:
        """How much of the wait its provider held it back, as a clause, or nothing."""
        if self.before is None:
            return ""
        held = held_us(self.event, self.event.at_us - self.before.at_us)
        return f", {spell(held)} of it held back by {self.provider}" if held else ""

    @property
    def part(self) -> str:
        return part_of(self.event, self.trace.message)

    @property
    def parts_there(self) -> str:
        """The parts that were taken, as a sentence, or nothing."""
        parts = [str(each) for each in self.event.body.get("parts_accepted", ())]
        if not parts:
            return ""
        which = f"Part {parts[0]} was" if len(parts) == 1 else f"Parts {', '.join(parts)} were"
        return f" {which} taken"

    @property
    def because(self) -> str:
        """The reason as a clause, or nothing."""
        code = self.event.body.get("reason") or self.event.body.get("cause")
        if not code:
            return ""
        reason = REASONS.get(str(code))
        return f": {lower(reason.title) if reason else str(code)}"

    @property
    def next_try(self) -> str:
        at_us = self.event.body.get("not_before")
        if not isinstance(at_us, int):
            return "" if is_terminal(State(self.event.to_state)) else " It stays in the queue."
        return f" The next try is in {spell(max(0, at_us - self.event.at_us))} or later."


def explain(
    trace: Trace,
    events: Sequence[TimelineEvent],
    held_by: Sequence[str] = (),
    *,
    forecast: Forecast | None = None,
    alarms: Sequence[str] = (),
) -> list[Sentence]:
    """Return what happened and what it adds up to, in order.

    No event tells how things stand at this moment: `held_by` is what keeps a queued message
    where it is, `forecast` what the model makes of it, `alarms` what is wrong with its like.
    """
    sentences: list[Sentence] = []
    for before, event in zip([None, *events], events, strict=False):
        text = _SAYINGS.get(event.kind, _other)(_Said(event, before, trace))
        sentences.append(Sentence(text=text, cites=[event.seq]))
        if event.kind == ACCEPTED and trace.selection is not None:
            sentences.append(Sentence(text=_selected(trace.selection), cites=[event.seq]))
    if events and trace.message.seq > events[-1].seq:
        told = f"Only the first {len(events):,} of its {trace.message.seq:,} events are told."
        sentences.append(Sentence(text=told, cites=[events[-1].seq]))
    sentences += slowed_by(events)
    limit = limit_of(trace.country, trace.sender)
    sentences.append(conclusion(trace.message, events, limit))
    sentences += doubts(trace.message, forecast, alarms)
    if held_by:
        waits = f"It waits now because {', and '.join(held_by)}."
        sentences.append(Sentence(text=waits, cites=[]))
    sentences += money(trace, events)
    return sentences


# --- one saying for each kind of event ------------------------------------------------


def _accepted(said: _Said) -> str:
    message, trace = said.trace.message, said.trace
    where = f" to {trace.country}" if trace.country else ""
    parts = "1 segment" if message.segments == 1 else f"{message.segments} segments"
    alphabet = ENCODING_NAMES[trace.encoding]
    text = (
        f"Accepted over route {message.route_id}{where}: {parts} in {alphabet}, "
        f"{price(trace)} held."
    )
    if trace.send_at_us is not None:
        text += f" It was to go out at {rfc3339(trace.send_at_us)}."
    return text


def _selected(record: Record) -> str:
    """Say which provider goes first and what was known of each, but nothing of its cost."""
    asked, chosen = record.question, record.selection
    estimates = {each.provider: each.estimate for each in asked.candidates}
    floor = f"{asked.floor:.0%}"
    told = []
    for each in chosen.considered:
        share = _share(estimates[each.provider_id])
        why = _WHY_NOT.get(each.why_not or "", each.why_not)
        behind = f" ({why.format(floor=floor)})" if why else ""
        told.append(f"{each.provider_id}: {share}{behind}")
    text = f"Of its providers {chosen.providers[0]} goes first, {chosen.rule.value}."
    if chosen.floor_unmet:
        text += f" None is sure to deliver the {floor} that the route asks for."
    return f"{text} {'; '.join(told)}."


def _share(known: Estimate) -> str:
    if known.delivered is None:
        return "how many arrive isn't known"
    return f"{known.delivered:.1%} arrive, at least {known.low:.1%}"


_WHY_NOT: Final[dict[str, str]] = {
    WhyNot.TOO_FEW_ANCHORS: "too few were confirmed to compare it",
    WhyNot.BELOW_FLOOR: "not sure to reach {floor}",
    WhyNot.TOO_SLOW: "its receipts come too late",
    WhyNot.MORE_EXPENSIVE: "dearer for a delivered message",
    WhyNot.NOT_MUCH_CHEAPER: "not cheaper by enough to change",
    WhyNot.EXPLORING: "the choice, but for learning about another",
    Obstacle.AWAY: "it can't be reached",
    Obstacle.BROKEN: "it takes messages and never answers",
    Obstacle.SLOWING: "it is slowing us",
    Obstacle.NO_HEADROOM: "what waits there would outlast the message",
}


def _claimed(said: _Said) -> str:
    held = said.held
    return f"After {said.waited} in our queue{held}, {said.attempt} took it to {said.provider}."


def _due(said: _Said) -> str:
    if said.event.from_state == State.SCHEDULED:
        return f"After {said.waited} its time to be sent had come, and it joined the queue."
    return f"After a wait of {said.waited} it was back in the queue."


def _diverted(said: _Said) -> str:
    target = said.event.body.get("to", "its next provider")
    why = _TROUBLES.get(str(said.event.body.get("cause")), "was away")
    return f"{capital(said.provider)} {why}, so the route's policy moved it on to {target}."


_TROUBLES: Final[dict[str, str]] = {
    BROKEN: "takes messages and never answers",
    SLOWED: "was slowing us for longer than the route waits",
}


def _taken(said: _Said) -> str:
    body = said.event.body
    elapsed_us = body.get("elapsed_us")
    after = "" if elapsed_us is None else f" after {spell(elapsed_us)}"
    ids = [str(each) for each in body.get("ids", ())]
    name = f" and named it {', '.join(ids)}" if ids else ""
    late = "Late, but it came: " if body.get("late") else ""
    return f"{late}{subject(said.provider, late)} took it{after}{name}. That is not a delivery."


def _throttled(said: _Said) -> str:
    all_of_it = ", not with this message alone" if said.event.body.get("whole_bind") else ""
    return (
        f"{capital(said.provider)} asked us to slow down{said.status}{all_of_it};"
        f" nothing was taken.{said.next_try}"
    )


def _not_bound(said: _Said) -> str:
    return (
        f"{capital(said.provider)} said that we weren't bound{said.status};"
        f" nothing was taken.{said.next_try}"
    )


def _part_held(said: _Said) -> str:
    due_us, until_us = said.event.body.get("due"), said.event.body.get("until")
    news = ""
    if isinstance(due_us, int):
        wait_us = due_us - said.event.at_us
        when = f"in {spell(wait_us)} or later" if wait_us > 0 else "as soon as there is room"
        news = f" It is tried again {when}."
    elif isinstance(until_us, int):  # told before we noted more than the time of the next news
        news = f" It is tried again within {spell(max(0, until_us - said.event.at_us))}."
    there = f"{said.parts_there} already." if said.parts_there else ""
    part = upper(said.part)
    if not said.status:
        return f"{part} waits to go out to {said.provider}.{there}{news}"
    return f"{part} was put off by {said.provider}{said.status}.{there}{news}"


def _part_refused(said: _Said) -> str:
    whole = f"{said.parts_there}, so it is never sent again whole." if said.parts_there else ""
    cause = said.event.body.get("cause")
    if not cause:
        refused = f"was refused by {said.provider}{said.status}{said.because}"
    elif said.status:
        refused = f"was put off by {said.provider}{said.status} and isn't sent again: {cause}"
    else:
        refused = f"never left for {said.provider}: {cause}"
    return f"{upper(said.part)} {refused}.{whole}"


def _not_sent(said: _Said) -> str:
    return (
        f"It never left for {said.provider}{said.because}; so nothing can arrive from this try."
        f"{said.next_try}"
    )


def _refused(said: _Said) -> str:
    return f"{capital(said.provider)} refused it{said.status}{said.because}."


def _refused_for_now(said: _Said) -> str:
    refused = f"{capital(said.provider)} refused it for now{said.status}{said.because}."
    return f"{refused}{said.next_try}"


def _failed_over(said: _Said) -> str:
    target = said.event.body.get("to", "its next provider")
    slow = _PUT_OFF.get(result_of(said.event))
    if slow is not None:
        return f"{capital(said.provider)} {slow}{said.status}, so it moved on to {target}."
    return (
        f"{capital(said.provider)} refused it{said.status}{said.because}. "
        f"The route allows another provider, so it moved on to {target}."
    )


_PUT_OFF: Final[dict[str, str]] = {
    "throttled": "asked us to slow down for longer than the route waits",
    "not_bound": "said again and again that we weren't bound",
}


def _unanswered(said: _Said) -> str:
    cause = said.event.body.get("cause")
    why = f" ({cause})" if cause else ""
    if said.parts_there:
        text = f"{capital(said.provider)} never answered for all of {said.attempt}{why}: "
        text += (
            f"it may have the rest or not.{said.parts_there}, so it is never sent again whole."
        )
        return text + _policy(said)
    text = f"{capital(said.provider)} never answered {said.attempt}{why}: "
    text += "it may have the message or not."
    return text + _policy(said)


def _lease_lost(said: _Said) -> str:
    if said.parts_there:
        known = f"{said.parts_there}, so it is never sent again whole"
        return f"Whoever was sending it stopped.{known}; whether the rest left isn't known."
    return f"Whoever was sending it stopped, and its bytes may have left.{_policy(said)}"


def _policy(said: _Said) -> str:
    policy = said.event.body.get("policy")
    return {
        "wait": " The policy is to wait for a receipt.",
        "query": " The policy is to ask the provider, where it can be asked.",
        "resend": " The policy is to send it once more if no word comes.",
        "fail": " The policy is to call that a failure.",
    }.get(str(policy), "")


def _resend_allowed(said: _Said) -> str:
    by = said.event.body.get("set_by")
    whose = f", set by the {by}," if by else ""
    return f"The policy{whose} lets it go out a second time: a duplicate may arrive."


def _resend_dropped(said: _Said) -> str:
    return f"It isn't sent again{said.because}. What went out before is still waited for."


def _receipt(said: _Said) -> str:
    body = said.event.body
    if said.event.actor == "clock":
        return (
            f"For {said.waited} no other part's receipt came, and {said.provider} may send one "
            "for all: so it counts for the whole."
        )
    stat = body.get("stat") or said.event.kind.removeprefix("receipt_")
    error = f", error {body['err']}" if body.get("err") not in {None, "", "000"} else ""
    part = f" for part {body['part']}" if body.get("part") else ""
    text = f"A receipt{part} from {said.provider} says {stat}{error}{said.because}."
    return " ".join([text, *_oddities(body)])


def _oddities(body: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a receipt wasn't as it should be, and what was made of it."""
    if body.get("came_over"):
        yield f"It came over {body['came_over']}, another login."
    if body.get("id_form"):
        yield f"It names the message's id in another form ({spaced(body['id_form'])})."
    if body.get("inferred"):
        yield f"It was matched by {body.get('matched_by', 'inference')}, not by its id."
    if body.get("unswapped"):
        yield "Its addresses stand as we sent them."
    if body.get("number_differs"):
        yield "It names another number; its id is this message's alone, and decides."
    if body.get("tlv_said"):
        told = body.get("text_said") or "nothing known"
        yield f"Its message_state says {body['tlv_said']} and its text {told}."
    if body.get("conflict"):
        yield "It contradicts what was known; the stronger word stands."


def _given_up(said: _Said) -> str:
    return f"We stopped trying{said.because}."


def _feedback(said: _Said) -> str:
    return feedback_sentence(said.event)


def _verdict(said: _Said) -> str:
    return verdict_sentence(said.event)


def _other(said: _Said) -> str:
    return f"{said.event.kind.replace('_', ' ').capitalize()}{said.because}."


def _plain(text: str) -> Callable[[_Said], str]:
    def say(_: _Said) -> str:
        return text

    return say


_SAYINGS: Final[dict[str, Callable[[_Said], str]]] = {
    "accepted": _accepted,
    DUE: _due,
    "diverted": _diverted,
    Move.CLAIMED: _claimed,
    Move.TAKEN: _taken,
    Move.THROTTLED: _throttled,
    Move.NOT_SENT: _not_sent,
    Move.NOT_BOUND: _not_bound,
    PART_HELD: _part_held,
    Move.PART_REFUSED: _part_refused,
    Move.REFUSED: _refused,
    Move.REFUSED_RETRYABLE: _refused_for_now,
    Move.FAILED_OVER: _failed_over,
    Move.UNANSWERED: _unanswered,
    Move.LEASE_LOST: _lease_lost,
    Move.RESEND_ALLOWED: _resend_allowed,
    Move.RESEND_DROPPED: _resend_dropped,
    Move.FAIL_WANTED: _plain("The policy calls a hand-off without an answer a failure."),
    Move.CANCEL_ASKED: _plain("You cancelled it before any hand-off."),
    Move.VALIDITY_PASSED: _plain("Its validity ended in our queue, before any hand-off."),
    Move.DEADLINE_PASSED: _verdict,
    Move.FILTER_INFERRED: _verdict,
    Move.INFERENCE_WITHDRAWN: _plain(
        "Somebody says what became of it after all, so nothing is inferred any more."
    ),
    JUDGED: _verdict,
    Move.GIVEN_UP: _given_up,
    "feedback": _feedback,
    "receipt": _receipt,
    **{move: _receipt for move in Move if move.value.startswith("receipt_")},
    Move.RECEIPT_FABRICATED: _plain(
        "The operator's own test phone got nothing, so the receipt was made up."
    ),
}
