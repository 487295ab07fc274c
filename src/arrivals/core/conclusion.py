"""Say what a message's events add up to: outcome, money, and who slowed it down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.core.asking import what_to_ask
from arrivals.core.depth import Limit
from arrivals.core.instants import rfc3339, spell
from arrivals.core.layers import Forecast, came_twice, depth_of_receipts
from arrivals.core.message import Message, Move, Reach, State, is_inferred, is_terminal
from arrivals.core.money import Micros, format_amount
from arrivals.core.reasons import REASONS, RefusalKind, reason_for_status
from arrivals.core.timeline import (
    PART_HELD,
    TimelineEvent,
    Trace,
    ended_by,
    evidence,
    is_answer,
    is_receipt,
    is_word,
    lacking_part,
    provider_of,
    result_of,
)
from arrivals.core.wording import capital, code_name, lower, price


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be said, and the events that say it."""

    text: str
    cites: list[int]


def slowed_by(events: Sequence[TimelineEvent]) -> list[Sentence]:
    """Say which providers slowed a message down again and again, and what that cost."""
    found: dict[str, list[TimelineEvent]] = {}
    for event in events:
        if _is_slowing(event):
            found.setdefault(provider_of(event) or "the provider", []).append(event)
    return [_slowed(name, told, events) for name, told in found.items() if len(told) > 1]


def _is_slowing(event: TimelineEvent) -> bool:
    """Tell whether a provider asks in it to go slower with a message, or with a part of it."""
    if event.kind != PART_HELD:
        return result_of(event) == "throttled"
    status = event.body.get("status")
    return isinstance(status, int) and reason_for_status(status).kind is RefusalKind.THROTTLED


def _slowed(
    provider: str, told: Sequence[TimelineEvent], events: Sequence[TimelineEvent]
) -> Sentence:
    """Say how often one provider slowed a message down, and how long that took."""
    first, last = told[0], told[-1]
    statuses = dict.fromkeys(code_name(event.body.get("status")) for event in told)
    codes = ", ".join(each for each in statuses if each)
    named = f" ({codes})" if codes else ""
    text = f'{capital(provider)} said "not so fast" {len(told)} times{named}; '
    taken = next((each for each in events[last.seq :] if each.kind == Move.TAKEN), None)
    cites = [each.seq for each in told]
    if last.kind == Move.FAILED_OVER:
        text += f"after {spell(last.at_us - first.at_us)} it moved on."
    elif taken is not None and provider_of(taken) in {provider, None}:
        text += f"it took {spell(taken.at_us - first.at_us)} until it took the message."
        cites.append(taken.seq)
    else:
        text += f"that went on for {spell(last.at_us - first.at_us)}."
    return Sentence(text=text, cites=cites)


_VERDICTS: Final[dict[State, str]] = {
    State.DELIVERED: "So it counts as delivered on the word of a receipt, which speaks for",
    State.FAILED: "So it failed",
    State.FILTERED: "So it was filtered: somebody chose not to deliver it, and said so",
    State.EXPIRED: "So it expired",
    State.CANCELLED: "So it was cancelled, and nothing was sent",
    State.UNKNOWN: "So nobody knows: it may have arrived, and we don't call that a failure",
}

_SPEAKS_FOR: Final = {
    "submitted": "the provider only",
    "carrier": "the carrier",
    "handset": "the handset",
}

_ENDS: Final = frozenset(state.value for state in _VERDICTS)


def conclusion(
    message: Message, events: Sequence[TimelineEvent], limit: Limit | None
) -> Sentence:
    """Say how a message ended and on whose word, or how it stands."""
    end = ended_by(events)
    if not is_terminal(message.state):
        return Sentence(
            text=_still_open(message, events), cites=[event.seq for event in events[-1:]]
        )
    text = f"{_VERDICTS[message.state]}{_why_so(message, end)}."
    if is_inferred(message):
        text = "So it counts as filtered, by what is missing; nobody said so."
    if message.state is State.DELIVERED:
        text = f"{_VERDICTS[message.state]} {_whose_word(message, events, limit)}."
    if ask := what_to_ask(message, end):
        text += f" {ask}"
    if came_twice(message, events):
        text += " By their receipts two hand-offs arrived: the person may have it twice."
    if end is not None and end.from_state in _ENDS:
        text += f" It had counted as {end.from_state} before."
    cites = [] if end is None else [end.seq]
    cites += [each.seq for each in events if is_receipt(each) and each.seq not in cites]
    if message.confirmed != "none":
        word = [each for each in events if is_word(each)][-1:]
        text += f" {_whether_it_came(message, word)}"
        cites += [each.seq for each in word]
    return Sentence(text=text, cites=sorted(cites))


def doubts(
    message: Message, forecast: Forecast | None, alarms: Sequence[str]
) -> list[Sentence]:
    """Say how true a receipt's word probably is, and which alarms stand about such messages.

    Both are of this moment, so no event tells of them; whoever saw a message arrive needs none.
    """
    if message.confirmed != "none" or message.reach is Reach.NONE:
        return []
    found = [f"An alarm stands: {each}." for each in alarms]
    chance = None if forecast is None else forecast.probability
    if chance is not None and message.state is State.DELIVERED:
        such = "By what such receipts turned out to be worth"
        found.insert(0, f"{such}, it arrived with a probability of {chance:.1%}.")
    return [Sentence(text=each, cites=[]) for each in found]


def _whether_it_came(message: Message, word: Sequence[TimelineEvent]) -> str:
    if any(is_answer(each) for each in word):
        return "It was answered, so it arrived."
    said = "says it arrived" if message.confirmed == "confirmed" else "says it did not arrive"
    return f"Your own system {said}."


def _whose_word(message: Message, events: Sequence[TimelineEvent], limit: Limit | None) -> str:
    """Return for whom a receipt speaks and, where that is less than usual, why."""
    found = evidence(events, limit)
    # What ended as delivered without a receipt on its timeline is of an older version.
    text = _SPEAKS_FOR.get(depth_of_receipts(message.segments, found), "the carrier")
    if limit is not None and any(each.limited_by for each in found):
        text += f": {limit.why} ({limit.source}, {limit.as_of})"
    return text


def _why_so(message: Message, end: TimelineEvent | None) -> str:
    """Return what a verdict leaves out: why it failed, where it expired."""
    lacking = lacking_part(end, message)
    reason = REASONS.get(message.reason or "")
    if message.state is State.FAILED and reason is not None:
        return f": {lacking}{lower(reason.title)}"
    if message.state is State.EXPIRED:
        return " in our queue" if message.reach is Reach.NONE else " after it was handed off"
    return ""


def _still_open(message: Message, events: Sequence[TimelineEvent]) -> str:
    deadline = rfc3339(message.outcome_deadline_us)
    if message.state is State.AMBIGUOUS and any(e.body.get("parts_accepted") for e in events):
        return (
            "So a part of it was handed off, and it is open whether the rest was; "
            f"it ends as unknown at {deadline}."
        )
    if message.state is State.AMBIGUOUS:
        return (
            f"So it is open whether it was handed off at all; it ends as unknown at {deadline}."
        )
    if message.reach is Reach.HANDED_OFF:
        return (
            "So it is handed off and nobody has said yet whether it arrived; "
            f"without a word it ends as unknown at {deadline}."
        )
    return (
        "So it isn't handed off yet, and nothing is known about its outcome; "
        f"it is of use until {rfc3339(message.expires_at_us)}."
    )


def money(trace: Trace, events: Sequence[TimelineEvent]) -> list[Sentence]:
    """Say what became of the hold, and what moved since."""
    message = trace.message
    if message.resolution is None:
        return []
    settled = next(
        (event for event in events if event.body.get("settlement")), ended_by(events)
    )
    sure = "was" if message.reach is Reach.HANDED_OFF else "may have been"
    what = "was released: you pay nothing"
    if message.resolution == "captured":
        what = f"was captured, since it {sure} handed off"
    found = [
        Sentence(
            text=f"The hold of {price(trace)} {what}.", cites=[settled.seq] if settled else []
        )
    ]
    for each in trace.adjustments:
        amount = f"{format_amount(Micros(each.amount))} {trace.currency}"
        came = "came back to you" if each.kind == "refund" else "was charged again"
        newest = [event.seq for event in events if event.at_us <= each.at_us][-1:]
        text = f"After the outcome was revised, {amount} {came}."
        found.append(Sentence(text=text, cites=newest))
    return found
