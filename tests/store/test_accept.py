"""Accept: orders, messages, ids, and the times they are given."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.core.ids import message_key
from arrivals.core.message import Message, State
from arrivals.store.api import RuleBroken, Transaction
from tests.store.ground import HOUR_US, PRICE, Ground, accept, new_message, new_order


async def test_an_accepted_message_is_queued_with_its_first_event(funded: Ground):
    """Invariants 15, 20 and 22: it has its place, and its timeline begins at 1."""
    [key] = await funded.accept({"rank": 41})
    message = await funded.load(key)
    assert message == Message(
        key=key,
        account_id=1,
        route_id=7,
        msisdn="31612345678",
        segments=1,
        price=PRICE,
        expires_at_us=message.changed_at_us + HOUR_US,
        outcome_deadline_us=message.changed_at_us + 2 * HOUR_US,
        on_ambiguous="wait",
        lane=1,
        provider_id="north",
        state=State.ACCEPTED,
        changed_at_us=message.changed_at_us,
        rank=41,
        wake_at_us=message.changed_at_us + HOUR_US,
    )
    events = await funded.sql(
        "SELECT seq, at, kind, from_state, to_state, actor, body FROM events"
        " WHERE message_id = ?",
        key,
    )
    assert events == [(1, message.changed_at_us, "accepted", None, "accepted", "api", "{}")]


async def test_order_ids_are_never_given_twice(funded: Ground):
    def work(tx: Transaction) -> list[int]:
        return [*tx.next_order_ids(3), *tx.next_order_ids(2), *tx.next_order_ids(1)]

    given = await funded.run(work)
    assert len(set(given)) == 6
    assert given == sorted(given)
    [key] = await funded.accept()
    [next_key] = await funded.accept()
    assert next_key >> 17 > key >> 17


async def test_order_ids_begin_above_the_floor_at_once(ground: Ground):
    """A restored copy jumps ahead, so that no id is ever answered twice."""

    def work(tx: Transaction) -> tuple[int, int]:
        before = tx.next_order_ids(1)[0]
        tx.set_setting("order_floor", "1000")
        return before, tx.next_order_ids(1)[0]

    before, after = await ground.run(work)
    assert before < 1000 < after <= 1002
    assert await ground.run(lambda tx: tx.next_order_ids(1)[0]) in {after, after + 1}


async def test_time_goes_on_though_the_clock_stands_still_or_goes_back(ground: Ground):
    """Invariant 40."""
    first = await ground.run(lambda tx: tx.now_us)
    ground.clock.us -= 5_000_000
    second = await ground.run(lambda tx: tx.now_us)
    ground.clock.us += 60_000_000
    third = await ground.run(lambda tx: tx.now_us)
    assert first < second < third == ground.clock.us


async def test_an_order_is_accepted_whole_or_not_at_all(funded: Ground):
    """Invariant 16: what is refused leaves no order, message, event or money."""
    with pytest.raises(RuleBroken):
        await funded.accept({}, {"segments": 0})
    for table in ("orders", "messages", "events"):
        assert await funded.value(f"SELECT count(*) FROM {table}") == 0
    assert await funded.value("SELECT count(*) FROM postings WHERE kind = 'hold'") == 0
    balance = await funded.run(lambda tx: tx.balance(1))
    assert balance is not None
    assert balance.held == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"segments": 0},
        {"price": -1},
        {"encoding": "latin1"},
        {"lane": 3},
        {"lane": -1},
        {"rank": None, "wake_at_us": None},  # nobody would ever look at it
        {"rank": 5, "state": "submitted"},  # in a queue, though somebody has it
        {"state": "delivered", "rank": None},  # ended, and its hold unresolved
        {"msisdn": None},
        {"provider_id": None},
        {"price": 2**63},  # would become a float
    ],
    ids=str,
)
async def test_no_such_message(funded: Ground, wrong: dict[str, Any]):
    """Invariants 4, 10, 12 and 20, where the database refuses."""

    def work(tx: Transaction) -> None:
        key = message_key(tx.next_order_ids(1)[0], 0)
        tx.insert_messages([new_message(key, 1, tx.now_us, **wrong)])

    with pytest.raises(RuleBroken):
        await funded.run(work)


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_id": 0},
        {"order_id": 2**46},
        {"outcome_deadline_us": 1},
        {"on_ambiguous": "hope"},
        {"count": 0},
        {"cost": -1},
    ],
    ids=str,
)
async def test_no_such_order(ground: Ground, wrong: dict[str, Any]):
    def work(tx: Transaction) -> None:
        order = {"order_id": tx.next_order_ids(1)[0], **wrong}
        tx.insert_orders([new_order(order.pop("order_id"), tx.now_us, **order)])

    with pytest.raises(RuleBroken):
        await ground.run(work)


async def test_an_id_is_used_once(funded: Ground):
    [key] = await funded.accept()
    with pytest.raises(RuleBroken):
        await funded.run(lambda tx: tx.insert_messages([new_message(key, 1, tx.now_us)]))
    with pytest.raises(RuleBroken):
        await funded.run(lambda tx: tx.insert_orders([new_order(key >> 17, tx.now_us)]))


@pytest.mark.parametrize(
    "change",
    [
        "cost = 0",
        "currency = 'USD'",
        "hold_posting = 9",
        "count = 2",
        "decision = '{}'",
        "expires_at = 1",
        "outcome_deadline = outcome_deadline + 1",
        "on_ambiguous = 'resend'",
        "providers = '[]'",
        "key_id = 'another'",
    ],
)
async def test_what_was_committed_to_is_never_edited(funded: Ground, change: str):
    """Invariant 10: the order's half of the snapshot."""
    await funded.accept()
    with pytest.raises(RuleBroken, match="fixed at accept"):
        await funded.sql(f"UPDATE orders SET {change}")


@pytest.mark.parametrize(
    "change",
    ["price = 0", "rate_id = 9", "segments = 2", "encoding = 'ucs2'", "account_id = 2"],
)
async def test_a_price_is_never_edited(funded: Ground, change: str):
    """Invariant 10: the message's half of the snapshot."""
    await funded.accept()
    with pytest.raises(RuleBroken, match="the price is fixed at accept"):
        await funded.sql(f"UPDATE messages SET {change}")


async def test_nothing_given_is_nothing_done(ground: Ground):
    def work(tx: Transaction) -> None:
        tx.insert_orders([])
        tx.insert_messages([])
        tx.store_answers([])

    await ground.run(work)
    assert await ground.value("SELECT count(*) FROM messages") == 0


async def test_many_orders_in_one_transaction(funded: Ground):
    def work(tx: Transaction) -> list[list[int]]:
        return [accept(tx, [{"segments": n} for n in range(1, 4)], {}) for _ in range(5)]

    orders = await funded.run(work)
    assert len({key >> 17 for keys in orders for key in keys}) == 5
    assert [key & 0x1FFFF for key in orders[4]] == [0, 1, 2]
    assert await funded.value("SELECT count(*) FROM messages") == 15
    assert await funded.value("SELECT count(*) FROM postings WHERE kind = 'hold'") == 1
