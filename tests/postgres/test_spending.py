"""Many processes spend one account's funds, to the last and not beyond."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections import Counter

import psycopg
import pytest

from arrivals.core.ledger import PostingKind, posting
from arrivals.core.money import Micros
from arrivals.store.api import Refused, Transaction
from tests.postgres.stores import (
    all_of,
    deadlocks,
    funds,
    ledger_sums,
    opened,
    until_somebody_waits,
)
from tests.store.ground import PRICE, Ground

LONGEST_S = 30.0  # for what takes about four


def hold(tx: Transaction, account_id: int = 1, kind: PostingKind = PostingKind.HOLD) -> int:
    return tx.post(posting(kind, account_id, PRICE, "EUR"))


def open_balance(limit: int, tx: Transaction) -> None:
    tx.open_balance(1, "EUR", limit)


async def outcomes(grounds: list[Ground], each: int, at_once: int = 100) -> Counter[str]:
    """Hold one price `each` times on every store, all stores at once; count what came of it."""

    async def spend(ground: Ground) -> list[object]:
        found: list[object] = []
        while len(found) < each:
            count = min(at_once, each - len(found))
            found += await all_of([ground.run(hold) for _ in range(count)])
        return found

    spent = await asyncio.gather(*(spend(ground) for ground in grounds))
    return Counter(
        "held" if isinstance(one, int) else "refused" if isinstance(one, Refused) else repr(one)
        for found in spent
        for one in found
    )


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "at_once"), [(0, 25), (70 * PRICE, 25), (0, 2)])
async def test_32_stores_spend_what_there_is_exactly(
    database: str, limit: int, at_once: int
) -> None:
    async with opened(database, 32) as grounds:
        await grounds[0].fund(amount=(640 * PRICE) - limit, limit=limit)
        before = deadlocks(database)
        began = time.monotonic()
        found = await outcomes(grounds, 25, at_once)
        took_s = time.monotonic() - began
    assert found == {"held": 640, "refused": 160}
    assert funds(database) == (-limit, 640 * PRICE, limit)
    assert ledger_sums(database) == []
    assert deadlocks(database) == before
    assert took_s < LONGEST_S


@pytest.mark.slow
async def test_spending_while_others_release_and_capture(database: str) -> None:
    """What is released may be spent again by anybody, and no more than that."""
    rng = random.Random(20)
    async with opened(database, 8) as grounds:
        await grounds[0].fund(amount=100 * PRICE)
        assert await outcomes(grounds[:1], 60) == {"held": 60}
        before = deadlocks(database)

        async def release(ground: Ground) -> None:
            await ground.run(lambda tx: hold(tx, kind=PostingKind.RELEASE) and None)

        async def capture(ground: Ground) -> None:
            await ground.run(lambda tx: hold(tx, kind=PostingKind.CAPTURE) and None)

        works = [release(rng.choice(grounds)) for _ in range(30)]
        works += [capture(rng.choice(grounds)) for _ in range(30)]
        rng.shuffle(works)
        settled = asyncio.gather(*works)
        found: Counter[str] = Counter()
        while not settled.done():
            found += await outcomes(grounds, 3)
        await settled
        found += await outcomes(grounds, 12)
    assert found.keys() == {"held", "refused"}
    assert found["held"] == 70  # 40 that were left, and 30 that came back
    assert funds(database) == (0, 70 * PRICE, 0)
    assert ledger_sums(database) == []
    assert deadlocks(database) == before


@pytest.mark.slow
async def test_a_new_process_spends_many_accounts_in_one_transaction(database: str) -> None:
    """Nothing is in its slots yet, and all of it is in another's."""
    accounts = range(1, 61)
    async with opened(database, 2) as (first, second):
        for account_id in accounts:
            await first.fund(account_id, amount=10 * PRICE)

        def spend(tx: Transaction) -> int:
            return sum(bool(hold(tx, each)) for each in accounts for _ in range(10))

        assert await second.run(spend) == 600
        works = [second.run(functools.partial(hold, account_id=each)) for each in accounts]
        refused = await all_of(works)
    assert all(isinstance(each, Refused) for each in refused)
    assert {funds(database, each)[0] for each in accounts} == {0}
    assert ledger_sums(database) == []


async def test_what_moves_between_slots_while_we_wait_is_neither_lost_nor_doubled(
    database: str,
) -> None:
    """Another process takes some of ours: we see it there, and can have it back."""
    async with opened(database, 2) as (first, second):
        await first.fund(amount=10 * PRICE)
        await second.run(lambda tx: tx.balance(1))  # so that its slot is there
        with psycopg.connect(database) as mover:
            mover.execute("SELECT FROM balances WHERE slot = 0 FOR UPDATE")
            reading = asyncio.ensure_future(first.run(lambda tx: tx.balance(1)))
            await until_somebody_waits(database)
            for slot, change in ((0, -6 * PRICE), (1, 6 * PRICE)):
                mover.execute(
                    "UPDATE balances SET available = available + %s WHERE slot = %s",
                    (change, slot),
                )
        seen = await reading
        assert seen is not None
        assert (seen.available, seen.held) == (10 * PRICE, 0)
        await first.run(lambda tx: [hold(tx) for _ in range(10)])
    assert funds(database) == (0, 10 * PRICE, 0)


async def test_a_limit_changes_while_somebody_opens_a_slot(database: str) -> None:
    """What comes into a slot that the change didn't see stays there."""
    async with opened(database, 3) as (first, second, third):
        await first.fund(amount=10 * PRICE)
        await second.run(lambda tx: tx.balance(1))

        async def release(ground: Ground) -> None:
            await ground.run(lambda tx: hold(tx, kind=PostingKind.RELEASE) and None)

        works = []
        for n in range(20):
            works += [release(second), release(third)]
            works.append(first.run(functools.partial(open_balance, n * PRICE)))
        await asyncio.gather(*works)
    assert funds(database)[0] == 50 * PRICE
    assert ledger_sums(database) == []


async def test_a_limit_below_the_debt_is_refused_wherever_the_debt_is(database: str) -> None:
    async with opened(database, 2) as (first, second):
        await first.fund(amount=0, limit=5 * PRICE)
        await second.run(lambda tx: [hold(tx) for _ in range(4)])
        with pytest.raises(Exception, match="check constraint"):
            await second.run(lambda tx: tx.open_balance(1, "EUR", 3 * PRICE))
        await second.run(lambda tx: tx.open_balance(1, "EUR", 4 * PRICE))
        with pytest.raises(Refused):
            await first.run(hold)
    assert funds(database) == (-4 * PRICE, 4 * PRICE, 4 * PRICE)


async def test_a_partial_amount_is_what_all_slots_hold_together(database: str) -> None:
    async with opened(database, 3) as grounds:
        for n, ground in enumerate(grounds):
            await ground.fund(amount=0) if not n else None
            await ground.run(
                lambda tx: tx.post(posting(PostingKind.RELEASE, 1, Micros(PRICE), "EUR"))
            )
        found = await grounds[2].run(lambda tx: tx.balance(1))
        assert found is not None
        assert found.available == 3 * PRICE
        await grounds[1].run(lambda tx: [hold(tx) for _ in range(3)])
    assert funds(database)[0] == 0
