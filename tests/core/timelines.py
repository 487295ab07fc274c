"""Messages and timelines for the tests of what is shown of them."""

from __future__ import annotations

from typing import Any

import msgspec

from arrivals.core.message import Message, Reach, State
from arrivals.core.money import Micros
from arrivals.core.timeline import TimelineEvent, Trace

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
KEY = 7 << 17


def message(state: State = State.ACCEPTED, **changes: Any) -> Message:
    """Return a message of one segment, valid for a day."""
    plain = Message(
        key=KEY,
        account_id=1,
        route_id=3,
        msisdn="31612345678",
        segments=1,
        price=Micros(87_000),
        expires_at_us=START + 86_400 * SECOND,
        outcome_deadline_us=START + 3 * 86_400 * SECOND,
        on_ambiguous="wait",
        lane=0,
        provider_id="north",
        state=state,
        changed_at_us=START,
    )
    return msgspec.structs.replace(plain, **changes)


def delivered(**changes: Any) -> Message:
    """Return a message that a receipt called delivered, or that ended otherwise since."""
    settled = {"resolution": "captured", "attempts": 1, "reach": Reach.HANDED_OFF}
    return msgspec.structs.replace(message(State.DELIVERED), **(settled | changes))


def trace(of: Message, **changes: Any) -> Trace:
    """Return a message whole."""
    plain = Trace(
        message=of,
        country="NL",
        encoding="gsm7",
        text="Hello",
        client_ref=None,
        order_client_ref=None,
        sender="ARRIVALS",
        category="otp",
        accepted_at_us=START,
        send_at_us=None,
        currency="EUR",
        request_id="r-1",
        batch_id=None,
        rate_prefix="31",
        rate_price=87_000,
        rate_version=1,
    )
    return msgspec.structs.replace(plain, **changes)


def timeline(*steps: tuple[Any, ...]) -> list[TimelineEvent]:
    """Build a timeline from (kind, to_state, body, actor) steps, a second apart.

    The body may be left out, and so may the actor.
    """
    found: list[TimelineEvent] = []
    for seq, (kind, state, *rest) in enumerate(steps, 1):
        body = rest[0] if rest else {}
        actor = rest[1] if len(rest) > 1 else "worker"
        before = found[-1].to_state if found else None
        at_us = START + (seq - 1) * SECOND
        found.append(TimelineEvent(seq, at_us, kind, before, state, actor, body))
    return found


Step = tuple[Any, ...]

ACCEPTED: Step = ("accepted", "accepted", {}, "api")
CLAIMED: Step = ("claimed", "sending", {"attempt": 1, "provider": "north", "epoch": 4})
TAKEN: Step = (
    "taken", "submitted",
    {"attempt": 1, "provider": "north", "ids": ["7f3a"], "elapsed_us": 20_000},
    "provider:north",
)  # fmt: skip
RECEIPT: Step = (
    "receipt_delivered", "delivered",
    {"attempt": 1, "provider": "north", "stat": "DELIVRD", "err": "000", "matched_by": "id",
     "depth": "carrier", "settlement": "captured", "claimed_at": "2611221918"},
    "carrier:north",
)  # fmt: skip
UNANSWERED: Step = (
    "unanswered", "ambiguous",
    {"attempt": 1, "provider": "north", "cause": "no response in 10 s", "policy": "wait"},
)  # fmt: skip
DELIVERED_TIMELINE = (ACCEPTED, CLAIMED, TAKEN, RECEIPT)
