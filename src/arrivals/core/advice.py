"""Say whether to send a message again: what that may repeat, and whether it may help."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arrivals.core.instants import rfc3339
from arrivals.core.message import Message, Move, Reach, State, is_inferred, is_terminal
from arrivals.core.reasons import REASONS, Reason, Retry
from arrivals.core.timeline import TimelineEvent, is_receipt


class RetryAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether sending it again may make a duplicate, and whether it may help."""

    safe: bool
    useful: bool
    not_before: str | None
    why: str


def retry_advice(message: Message, events: Sequence[TimelineEvent]) -> RetryAdvice:
    """Say whether the customer should send this message again."""
    if message.confirmed == "confirmed":
        return _advice(safe=False, useful=False, why="it arrived; another would be a duplicate")
    if message.state is State.DELIVERED:
        denied = message.confirmed == "denied"
        why = "a receipt says that it arrived; another would be a duplicate"
        if denied:
            why = "a receipt says that it arrived, and your own system that it didn't"
        return _advice(safe=False, useful=denied, why=why)
    if message.state is State.AMBIGUOUS or message.reach is Reach.HANDOFF_UNKNOWN:
        return _advice(
            safe=False,
            useful=is_terminal(message.state),
            why="the provider never answered and may have it; another may be a duplicate",
            until=None if is_terminal(message.state) else message,
        )
    if not is_terminal(message.state):
        return _advice(safe=False, useful=False, why=_in_hand(message), until=message)
    if message.state is State.UNKNOWN:
        return _advice(
            safe=False,
            useful=True,
            why="it was handed off and no word came back; another may be a duplicate",
        )
    if is_inferred(message):
        why = "it was probably filtered, but nobody said so; another may be a duplicate"
        return _advice(safe=False, useful=True, why=why)
    if message.state is State.CANCELLED:
        return _advice(safe=True, useful=True, why="it was cancelled before any hand-off")
    repeats = _may_repeat(events)
    if repeats is not None:
        return _advice(safe=False, useful=True, why=repeats)
    return _by_reason(REASONS.get(message.reason or ""))


def _may_repeat(events: Sequence[TimelineEvent]) -> str | None:
    """Return why another one may repeat parts of a message that failed, if it may."""
    if any(event.kind == Move.PART_REFUSED for event in events):
        return "parts of it were taken, and one was refused; another may repeat them"
    if any(is_receipt(event) and event.body.get("part") for event in events):
        return "some parts of it may have arrived; another may repeat them"
    return None


def _in_hand(message: Message) -> str:
    if message.reach is Reach.HANDED_OFF:
        return "the provider has it, and its outcome is still open"
    return "it is still in our hands, and we go on trying"


def _by_reason(reason: Reason | None) -> RetryAdvice:
    if reason is None:
        return _advice(safe=True, useful=True, why="it didn't arrive")
    why = f"it didn't arrive ({reason.code}): {reason.fix}"
    return _advice(safe=True, useful=reason.retry is not Retry.NEVER, why=why)


def _advice(*, safe: bool, useful: bool, why: str, until: Message | None = None) -> RetryAdvice:
    """Build advice; `until` is an open message, whose end is worth waiting for."""
    not_before = rfc3339(until.outcome_deadline_us) if until else None
    return RetryAdvice(safe=safe, useful=useful, not_before=not_before, why=why)
