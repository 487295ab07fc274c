"""Read a message's timeline: its attempts, its evidence, and whose time each wait was.

A timeline is the list of a message's events, gapless from 1. Nothing else is kept about
what happened, so whatever is shown of it is folded from here, at the moment it is asked for.
A body may lack any key: older events told less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arrivals.core.depth import Limit, shallowest
from arrivals.core.instants import rfc3339
from arrivals.core.message import Message, Move, State, is_terminal
from arrivals.core.parts import count_of
from arrivals.core.reasons import status_name
from arrivals.core.selection import Record

# Feedback that is a hint, and neither a yes nor a no.
ASKED_AGAIN: Final = "asked_again"  # the person wanted another one
SCANNER_CLICK: Final = "scanner_click"  # a machine opened the link
JUDGED: Final = "judged"  # the kind of the event that records the model's verdict


class TimelineEvent(msgspec.Struct, frozen=True, array_like=True):
    """One line of a message's timeline."""

    seq: int
    at_us: int
    kind: str
    from_state: str | None
    to_state: str
    actor: str
    body: dict[str, Any]


class Adjustment(msgspec.Struct, frozen=True, array_like=True):
    """Money moved after settlement, by a revision."""

    n: int
    kind: str  # refund | recharge
    amount: int
    at_us: int


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """One message whole: what changes, what its order fixed, and its money since."""

    message: Message
    country: str
    encoding: str
    text: str | None  # None once it was erased
    client_ref: str | None
    order_client_ref: str | None
    sender: str
    category: str
    accepted_at_us: int
    send_at_us: int | None
    currency: str
    request_id: str
    batch_id: int | None
    rate_prefix: str | None
    rate_price: int | None  # per segment
    rate_version: int | None
    adjustments: tuple[Adjustment, ...] = ()
    selection: Record | None = None  # of its order's providers, where its route compares them


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One hand-off of a message to a provider, and how it ended."""

    attempt: int
    provider: str | None
    result: str  # open | accepted | refused | throttled | not_bound | not_sent | ambiguous
    started_at: str
    answered_at: str | None = None
    elapsed_ms: float | None = None
    late: bool = False  # the answer came after we had stopped waiting
    status: str | None = None  # the provider's own code, by name
    reason: str | None = None
    provider_ids: list[str] = []
    parts_accepted: list[int] = []
    not_before: str | None = None
    events: list[int] = []


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing somebody said, or the silence, that bears on the outcome."""

    seq: int
    at: str
    kind: str  # receipt | refusal | feedback | silence | alarm
    source: str
    says: str
    error: str | None = None
    reason: str | None = None
    attempt: int | None = None
    part: int | None = None
    depth: str | None = None
    limited_by: str | None = None  # why it vouches for less than its provider's do elsewhere
    matched_by: str | None = None
    inferred: bool = False
    confidence: float | None = None
    claimed_at: str | None = None  # their clock, as they wrote it; never used to order
    conflict: bool = False


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One event, and whose time had passed since the one before it."""

    seq: int
    at: str
    kind: str
    from_state: str | None
    to_state: str
    actor: str
    whose: str | None  # us | provider | carrier | customer; null once the message has ended
    waited_ms: float
    facts: dict[str, Any]


# Other parts' silence, taken for a sign that one receipt spoke for all of them.
ONE_FOR_ALL: Final = "no receipt for the other parts"

MISSING_ALIKE: Final = "receipts of messages like it are missing"

# Why a message moves on to another provider, beside a refusal.
AWAY: Final = "the provider is away"
BROKEN: Final = "the provider takes messages and never answers"
SLOWED: Final = "the provider is slowing us"
UNBOUND: Final = "the provider says that we aren't bound"

PART_HELD: Final = "part_held"  # the kind of the event that tells of a part put off
DUE: Final = "due"  # the kind of the event with which a wait is over
OPEN: Final = "open"
AMBIGUOUS: Final = "ambiguous"
ACCEPTED: Final = "accepted"

# Kinds stay plain text here: a timeline may hold events of a newer version.
_RESULTS: Final[dict[str, str]] = {
    Move.TAKEN: ACCEPTED,
    Move.THROTTLED: "throttled",
    Move.NOT_SENT: "not_sent",
    Move.NOT_BOUND: "not_bound",
    Move.REFUSED: "refused",
    Move.REFUSED_RETRYABLE: "refused",
    Move.FAILED_OVER: "refused",
    Move.PART_REFUSED: "refused",
    Move.UNANSWERED: AMBIGUOUS,
    Move.LEASE_LOST: AMBIGUOUS,
}
# A message may move on to another provider though it wasn't refused.
_PUT_OFF: Final[dict[str, str]] = {SLOWED: "throttled", UNBOUND: "not_bound"}
# What still may be learnt about an attempt that has this result.
_MENDED: Final[dict[str, frozenset[str]]] = {
    OPEN: frozenset(_RESULTS.values()),
    AMBIGUOUS: frozenset(_RESULTS.values()) - {AMBIGUOUS},
}

_WHOSE: Final[dict[str, str]] = {
    State.ACCEPTED: "us",
    State.SCHEDULED: "customer",
    State.WAITING: "us",
    State.SENDING: "provider",
    State.AMBIGUOUS: "provider",
    State.SUBMITTED: "carrier",
}
# One in the queue too, where it was held back for most of it.
_QUEUED: Final = frozenset({State.ACCEPTED, State.WAITING})
# A wait that a provider asked for, or caused, is the provider's.
_PROVIDERS_WAIT: Final = frozenset({Move.THROTTLED, Move.NOT_BOUND, Move.REFUSED_RETRYABLE})

_REFUSALS: Final = frozenset(
    {Move.REFUSED, Move.FAILED_OVER, Move.PART_REFUSED, Move.REFUSED_RETRYABLE}
)
_OF_ATTEMPTS: Final = frozenset({*_RESULTS, Move.CLAIMED, PART_HELD})
_MOMENTS: Final = frozenset({"not_before", "send_at", "resend_at", "until", "due", "came_at"})


def attempts(events: Sequence[TimelineEvent]) -> list[Attempt]:
    """Fold the events into attempts, in the order they began."""
    found: dict[int, Attempt] = {}
    for event in events:
        if event.kind not in _OF_ATTEMPTS and not is_receipt(event):
            continue
        number = event.body.get("attempt") or max(found, default=1)
        before = found.get(number)
        if before is None:
            before = Attempt(
                attempt=number,
                provider=provider_of(event),
                result=OPEN,
                started_at=rfc3339(event.at_us),
            )
        found[number] = _after(before, event)
    return [found[number] for number in sorted(found)]


def _after(before: Attempt, event: TimelineEvent) -> Attempt:
    seen = msgspec.structs.replace(before, events=[*before.events, event.seq])
    if is_receipt(event):
        # A receipt proves that an attempt in doubt was taken after all.
        if before.result != AMBIGUOUS:
            return seen
        return msgspec.structs.replace(seen, result=ACCEPTED, reason=None)
    if event.kind == PART_HELD:
        parts = list(event.body.get("parts_accepted", ()))
        return msgspec.structs.replace(seen, parts_accepted=parts)
    result = result_of(event)
    if event.kind == Move.CLAIMED or result not in _MENDED.get(before.result, ()):
        return seen
    body = event.body
    status = body.get("status")
    elapsed_us = body.get("elapsed_us")
    not_before = body.get("not_before")
    return msgspec.structs.replace(
        seen,
        result=result,
        answered_at=None if result == AMBIGUOUS else rfc3339(event.at_us),
        elapsed_ms=None if elapsed_us is None else elapsed_us / 1_000,
        late=bool(body.get("late")),
        status=status_name(status) if isinstance(status, int) else status,
        reason=body.get("reason") or body.get("cause"),
        provider_ids=[str(each) for each in body.get("ids", ())],
        parts_accepted=list(body.get("parts_accepted", ())),
        not_before=None if not_before is None else rfc3339(not_before),
    )


def result_of(event: TimelineEvent) -> str:
    """Return what an event tells of its attempt."""
    return _PUT_OFF.get(str(event.body.get("cause")), _RESULTS.get(event.kind, OPEN))


def is_refusal(event: TimelineEvent) -> bool:
    """Tell whether a provider said in it that it doesn't want the message."""
    return event.kind in _REFUSALS and result_of(event) == "refused"


def is_receipt(event: TimelineEvent) -> bool:
    """Tell whether an event is a delivery report, whatever it did."""
    reported = event.kind == "receipt" or event.kind.startswith("receipt_")
    return reported and event.kind != Move.RECEIPT_FABRICATED


def provider_of(event: TimelineEvent) -> str | None:
    """Return the provider that an event speaks of."""
    named = event.body.get("provider")
    if named:
        return str(named)
    kind, _, name = event.actor.partition(":")
    return name if name and kind in {"provider", "carrier"} else None


def evidence(events: Sequence[TimelineEvent], limit: Limit | None = None) -> list[Evidence]:
    """Return what bears on the outcome, in the order it came.

    `limit` is what receipts can mean at most for such a message.
    """
    return [found for event in events if (found := _evidence(event, limit)) is not None]


def _evidence(event: TimelineEvent, limit: Limit | None) -> Evidence | None:
    body = event.body
    at = rfc3339(event.at_us)
    source = provider_of(event) or event.actor
    if is_receipt(event) and event.actor == "clock":
        return Evidence(
            seq=event.seq, at=at, kind="silence", source=event.actor, says=ONE_FOR_ALL
        )
    if is_receipt(event):
        # A receipt that doesn't say whose word it is speaks for the carrier at most.
        claimed = str(body.get("depth", "carrier"))
        depth = shallowest((claimed, limit.depth)) if limit else claimed
        return Evidence(
            seq=event.seq,
            at=at,
            kind="receipt",
            source=source,
            says=str(body.get("stat") or event.kind.removeprefix("receipt_")),
            error=body.get("err") or None,
            reason=body.get("reason"),
            attempt=body.get("attempt"),
            part=body.get("part"),
            depth=depth,
            limited_by=limit.why if limit and depth != claimed else None,
            matched_by=body.get("matched_by"),
            inferred=bool(body.get("inferred")),
            confidence=body.get("confidence"),
            claimed_at=body.get("claimed_at"),
            conflict=bool(body.get("conflict")),
        )
    if is_refusal(event):
        status = body.get("status")
        unsaid = "not sent" if body.get("cause") and body.get("part") else "refused"
        says = status_name(status) if isinstance(status, int) else unsaid
        return Evidence(
            seq=event.seq,
            at=at,
            kind="refusal",
            source=source,
            says=says,
            reason=body.get("reason"),
            attempt=body.get("attempt"),
            part=body.get("part"),
        )
    if event.kind == "feedback":
        if hint := hint_of(event):
            return Evidence(
                seq=event.seq,
                at=at,
                kind="feedback",
                source=source,
                says=hint,
                reason=body.get("why"),
                depth="carrier" if hint == SCANNER_CLICK else None,
            )
        says = "confirmed" if body.get("confirmed") else "denied"
        return Evidence(
            seq=event.seq, at=at, kind="feedback", source=source, says=says, depth="user"
        )
    if event.kind == JUDGED:
        return Evidence(
            seq=event.seq, at=at, kind="alarm", source=event.actor, says=MISSING_ALIKE
        )
    if event.kind in {Move.DEADLINE_PASSED, Move.FILTER_INFERRED}:
        return Evidence(
            seq=event.seq, at=at, kind="silence", source=event.actor, says="no final receipt"
        )
    return None


def hint_of(event: TimelineEvent) -> str | None:
    """Return what an event hints at that neither confirms nor denies, if it does."""
    if event.kind != "feedback":
        return None
    if event.body.get("by") == "scanner":
        return SCANNER_CLICK
    return ASKED_AGAIN if event.body.get("kind") == ASKED_AGAIN else None


def is_word(event: TimelineEvent) -> bool:
    """Tell whether it is a yes or no: the customer's, or an answer of whoever got it."""
    return event.kind == "feedback" and hint_of(event) is None


def is_answer(event: TimelineEvent) -> bool:
    """Tell whether it is an answer from a handset, which a provider brought."""
    return event.kind == "feedback" and provider_of(event) is not None


def stages(events: Sequence[TimelineEvent]) -> list[Stage]:
    """Return each event with the time before it, and whose time that was."""
    found: list[Stage] = []
    waited_because = ""
    for before, event in zip([None, *events], events, strict=False):
        state = event.from_state if event.from_state is not None else ""
        whose = _WHOSE.get(state)
        if state == State.WAITING and waited_because in _PROVIDERS_WAIT:
            whose = "provider"
        waited_us = 0 if before is None else event.at_us - before.at_us
        if state in _QUEUED and 2 * held_us(event, waited_us) > waited_us:
            whose = "provider"
        found.append(
            Stage(
                seq=event.seq,
                at=rfc3339(event.at_us),
                kind=event.kind,
                from_state=event.from_state,
                to_state=event.to_state,
                actor=event.actor,
                whose=whose,
                waited_ms=waited_us / 1_000,
                facts=_facts(event.body),
            )
        )
        if event.to_state != event.from_state or event.kind == DUE:
            waited_because = event.kind
    return found


def part_of(event: TimelineEvent, message: Message) -> str:
    """Name the part that an event is about, among those in which its hand-off left."""
    part = event.body.get("part")
    if not isinstance(part, int) or not part:
        return f"part {part}" if part else "a part"
    attempt = event.body.get("attempt", message.attempts)
    # The row of a hand-off that came to nothing may be gone; it had this part at least.
    total = max(part, count_of(message.parts, message.segments, attempt))
    return f"part {part} of {total}"


def lacking_part(end: TimelineEvent | None, message: Message) -> str:
    """Return which part a message lacks, if that is why it ended, as the begin of a reason."""
    if end is None or end.kind != Move.PART_REFUSED:
        return ""
    why = "was refused"
    if end.body.get("cause"):
        why = "was put off" if end.body.get("status") else "never left"
    return f"{part_of(end, message)} {why}: "


def held_us(event: TimelineEvent, waited_us: int) -> int:
    """Return how much of a wait that an event ended its provider held the message back."""
    found = event.body.get("held_us")
    return min(found, waited_us) if isinstance(found, int) else 0


def spent_ms(found: Sequence[Stage]) -> dict[str, float]:
    """Add up whose time a message took until it ended (or until its newest event)."""
    sums = dict.fromkeys(("us", "provider", "carrier", "customer"), 0.0)
    for stage in found:
        if stage.whose is not None:
            sums[stage.whose] = round(sums[stage.whose] + stage.waited_ms, 3)
    return sums


def ended_by(events: Sequence[TimelineEvent]) -> TimelineEvent | None:
    """Return the event that brought a message to the end it stands at now, if it has ended."""
    if not events or not is_terminal(State(events[-1].to_state)):
        return None
    state = events[-1].to_state
    for event in reversed(events):
        if event.from_state != state:
            return event
    return events[0]


def _facts(body: dict[str, Any]) -> dict[str, Any]:
    return {
        name: rfc3339(value) if name in _MOMENTS and isinstance(value, int) else value
        for name, value in body.items()
    }
