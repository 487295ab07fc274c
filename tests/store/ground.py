"""Empty ground for a test: a store, a clock that stands still, and messages to put there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from arrivals.core.ids import message_key
from arrivals.core.ledger import PostingKind, funding, posting
from arrivals.core.message import Message, Move, Reach, State, advance
from arrivals.core.money import Micros
from arrivals.store.api import Step, Store, Transaction
from arrivals.store.rows import Event, NewMessage, NewOrder, Outgoing, ToPark
from tests.backends import Backend

T = TypeVar("T")

BEGIN_US = 1_750_000_000_000_000
HOUR_US = 3_600_000_000
FUNDS = Micros(1_000_000)
PRICE = Micros(1_000)
NOBODY: tuple[Sequence[int], Sequence[int]] = ((), ())  # nobody is paused


class StillClock:
    """A clock that moves when it's told to."""

    def __init__(self) -> None:
        self.us = BEGIN_US

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6


def _run_each(tx: Transaction, items: Sequence[Callable[[Transaction], Any]]) -> list[Any]:
    return [work(tx) for work in items]


RUN: Step[Callable[[Transaction], Any], Any] = Step("run", 10, _run_each)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """An open store and what a test does with it."""

    store: Store
    backend: Backend
    clock: StillClock

    async def run(self, work: Callable[[Transaction], T]) -> T:
        """Run a function within a transaction; whatever it raises is raised here."""
        result: T = await self.store.write(RUN, work)
        return result

    async def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement of the test's own, past every verb."""
        return await self.run(lambda tx: self.backend.execute(tx, text, values))

    async def value(self, text: str, *values: Any) -> Any:
        """Return the one value of a query."""
        [(found,)] = await self.sql(text, *values)
        return found

    async def fund(self, account_id: int = 1, amount: int = FUNDS, limit: int = 0) -> None:
        """Open an account's balance with money in it."""

        def work(tx: Transaction) -> None:
            tx.open_balance(account_id, "EUR", limit)
            if amount:
                tx.post(
                    funding(account_id, Micros(amount), "EUR", "cash", f"begin-{account_id}")
                )

        await self.run(work)

    async def accept(self, *messages: dict[str, Any], **order: Any) -> list[int]:
        """Commit an order of messages (one plain message, if none is given)."""
        return await self.run(lambda tx: accept(tx, messages or ({},), order))

    async def load(self, key: int) -> Message:
        return await self.run(lambda tx: tx.load([key])[key])

    async def save(self, *moved: tuple[Message, Event]) -> None:
        await self.run(
            lambda tx: tx.save([message for message, _ in moved], [event for _, event in moved])
        )

    async def claim(
        self,
        limit: int = 100,
        *,
        provider_id: str = "north",
        lane: int = 1,
        paused: tuple[Sequence[int], Sequence[int]] = NOBODY,
    ) -> list[Outgoing]:
        """Claim and save as SENDING, in one transaction."""

        def work(tx: Transaction) -> list[Outgoing]:
            claimed = tx.claim(provider_id, lane, limit, paused)
            moved = [
                move(each.message, Move.CLAIMED, tx.now_us, rank=None, attempts=1, epoch=1)
                for each in claimed
            ]
            tx.save([message for message, _ in moved], [event for _, event in moved])
            return claimed

        return await self.run(work)

    async def drive(self, key: int, *moves: tuple[Move, dict[str, Any]]) -> Message:
        """Take a message through moves, each in a transaction of its own."""
        for what, changes in moves:
            message = await self.load(key)
            await self.save(move(message, what, self.clock.us, **changes))
        return await self.load(key)


def accept(
    tx: Transaction, messages: Sequence[dict[str, Any]], order: dict[str, Any]
) -> list[int]:
    """Insert an order with its hold; return the messages' keys."""
    order_id = tx.next_order_ids(1)[0]
    account_id = order.get("account_id", 1)
    rows = [
        new_message(message_key(order_id, n), account_id, tx.now_us, **each)
        for n, each in enumerate(messages)
    ]
    cost = Micros(sum(each.price for each in rows))
    hold = tx.post(posting(PostingKind.HOLD, account_id, cost, "EUR"))
    tx.insert_orders(
        [new_order(order_id, tx.now_us, count=len(rows), cost=cost, hold_posting=hold, **order)]
    )
    tx.insert_messages(rows)
    return [each.key for each in rows]


def park_one(
    tx: Transaction, provider_id: str, forms: Sequence[str], fingerprint: str, receipt: str
) -> bool:
    """Park one receipt; tell whether it wasn't parked already."""
    return bool(tx.park([ToPark(provider_id, fingerprint, receipt, tuple(forms))]))


def new_order(order_id: int, now_us: int, **changes: Any) -> NewOrder:
    return NewOrder(
        **{
            "order_id": order_id,
            "account_id": 1,
            "key_id": "aa000001",
            "route_id": 7,
            "accepted_at_us": now_us,
            "category": "alert",
            "sender": "ARRIVALS",
            "text": "hello",
            "client_ref": None,
            "request_id": "request-1",
            "send_at_us": None,
            "expires_at_us": now_us + HOUR_US,
            "outcome_deadline_us": now_us + 2 * HOUR_US,
            "on_ambiguous": "wait",
            "providers": '["north","south"]',
            "count": 1,
            "cost": PRICE,
            "currency": "EUR",
            "hold_posting": 1,
            "balance_after": 0,
            "decision": "{}",
            **changes,
        }
    )


def new_message(key: int, account_id: int, now_us: int, **changes: Any) -> NewMessage:
    values = {
        "route_id": 7,
        "msisdn": "31612345678",
        "country": "Netherlands",
        "text": None,
        "client_ref": None,
        "encoding": "gsm7",
        "segments": 1,
        "rate_id": 3,
        "price": PRICE,
        "provider_id": "north",
        "lane": 1,
        "state": "accepted",
        "rank": key,
        "wake_at_us": now_us + HOUR_US,
        "at_us": now_us,
        **changes,
    }
    return NewMessage(key, account_id, *values.values())


def move(message: Message, what: Move, now_us: int, **changes: Any) -> tuple[Message, Event]:
    """Return a message after a move, with the event that tells of it."""
    after = advance(message, what, now_us, **changes)
    return after, event_of(message, after, what.value)


def event_of(before: Message, after: Message, kind: str = "noted", **changes: Any) -> Event:
    event = Event(
        after.key, after.seq, after.changed_at_us, kind, before.state, after.state, "clock", {}
    )
    return msgspec.structs.replace(event, **changes)


CLAIMED = (Move.CLAIMED, {"rank": None, "attempts": 1})
TAKEN = (Move.TAKEN, {"reach": Reach.HANDED_OFF})
ENDED = {"rank": None, "wake_at_us": None}


def delivered(posting_id: int) -> tuple[Move, dict[str, Any]]:
    """Return the move that a delivered receipt makes, paid for by this posting."""
    return Move.RECEIPT_DELIVERED, {
        **ENDED, "resolution": "captured", "resolution_posting": posting_id,
    }  # fmt: skip


OPEN_STATES = (State.ACCEPTED, State.SCHEDULED, State.WAITING)
