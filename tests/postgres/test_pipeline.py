"""Statements that go out without waiting: the first that fails is the one that is told."""

from __future__ import annotations

import asyncio

import pytest

from arrivals.store.api import RuleBroken, Transaction
from tests.postgres.stores import opened
from tests.store.ground import new_message, new_order


@pytest.mark.parametrize("asks", [True, False], ids=["at the next question", "at the end"])
async def test_the_first_error_is_told_whatever_was_sent_after_it(
    postgres_url: str, asks: bool
) -> None:
    async with opened(postgres_url) as (ground,):
        await ground.fund()

        def work(tx: Transaction) -> None:
            [order_id] = tx.next_order_ids(1)
            tx.insert_orders([new_order(order_id, tx.now_us, count=0)])
            tx.insert_messages([new_message(order_id << 17, 1, tx.now_us, segments=0)])
            tx.set_setting("never", "kept")
            if asks:
                tx.setting("never")

        with pytest.raises(RuleBroken, match="orders_count_check"):
            await ground.run(work)
        # The session goes on, and nothing of the transaction remains.
        assert await ground.run(lambda tx: tx.setting("never")) is None
        assert await ground.value("SELECT count(*) FROM orders") == 0


async def test_a_good_item_is_kept_beside_one_that_fails_late(postgres_url: str) -> None:
    """Invariant 31: poison that shows only when its transaction settles fails alone too."""
    async with opened(postgres_url) as (ground,):
        await ground.fund()
        await ground.run(lambda tx: tx.set_setting("before", "1"))

        def poison(tx: Transaction) -> None:
            [order_id] = tx.next_order_ids(1)
            tx.insert_orders([new_order(order_id, tx.now_us, count=0)])

        results = await asyncio.gather(
            ground.run(lambda tx: tx.set_setting("good", "1")),
            ground.run(poison),
            ground.run(lambda tx: tx.set_setting("better", "1")),
            return_exceptions=True,
        )
        assert [type(each) for each in results] == [type(None), RuleBroken, type(None)]
        assert await ground.run(lambda tx: (tx.setting("good"), tx.setting("better"))) == (
            "1",
            "1",
        )
