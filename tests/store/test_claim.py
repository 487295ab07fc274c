"""Claim: who is next, who waits, who owns the bind, and that lanes are shared fairly."""

from __future__ import annotations

from collections import Counter

import pytest

from arrivals.core.fairness import FairRanks
from arrivals.core.message import Move, State
from arrivals.store.api import RuleBroken, Transaction
from tests.store.ground import CLAIMED, NOBODY, Ground, accept, move

pytestmark = pytest.mark.each_backend


async def test_the_lowest_ranks_are_claimed_in_order(funded: Ground):
    await funded.accept(*({"rank": rank} for rank in (30, 10, 40, 20)))
    assert [each.message.rank for each in await funded.claim(3)] == [10, 20, 30]
    assert [each.message.rank for each in await funded.claim(3)] == [40]
    assert await funded.claim(3) == []


async def test_a_claim_brings_what_the_provider_must_be_told(funded: Ground):
    await funded.accept(
        {"text": None},
        {"text": "its own", "encoding": "ucs2"},
        text="the order's",
        sender="007",
    )
    common, own = await funded.claim()
    assert (common.sender, common.text, common.encoding) == ("007", "the order's", "gsm7")
    assert (own.sender, own.text, own.encoding) == ("007", "its own", "ucs2")
    assert common.providers == ("north", "south")
    assert common.message.state is State.ACCEPTED


async def test_lanes_and_providers_are_apart(funded: Ground):
    await funded.accept({"lane": 0}, {"lane": 2}, {"provider_id": "south"})
    assert await funded.claim() == []
    assert len(await funded.claim(lane=0)) == 1
    assert len(await funded.claim(lane=2)) == 1
    assert len(await funded.claim(provider_id="south")) == 1


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_claim_for_nothing_gets_nothing(funded: Ground, limit: int):
    await funded.accept()
    assert await funded.claim(limit) == []


async def test_what_is_paused_stays_where_it_is(funded: Ground):
    await funded.fund(2)
    await funded.accept({"rank": 1, "route_id": 8}, route_id=8)
    await funded.accept({"rank": 2}, account_id=2)
    await funded.accept({"rank": 3})
    [only] = await funded.claim(1, paused=([2], [8]))
    assert only.message.rank == 3
    assert await funded.claim(paused=([2, 9], [8])) == []
    [second] = await funded.claim(paused=([], [8]))
    assert second.message.account_id == 2
    [third] = await funded.claim(paused=([2], []))
    assert third.message.route_id == 8


async def test_only_what_is_ready_is_claimed(funded: Ground):
    """A scheduled or waiting message has no place in a lane until its time has come."""
    [scheduled, waiting] = await funded.accept(
        {"rank": None, "state": "scheduled"}, {"rank": 2}
    )
    await funded.drive(waiting, CLAIMED, (Move.THROTTLED, {"rank": None}))
    assert await funded.claim() == []
    message = await funded.load(scheduled)
    assert message.rank is None
    assert message.state is State.SCHEDULED


async def test_nothing_is_claimed_twice(funded: Ground):
    """Two claims of one transaction, and any number of later ones."""
    await funded.accept(*[{}] * 10)

    def twice(tx: Transaction) -> list[int]:
        keys = []
        for _ in range(2):
            claimed = [each.message for each in tx.claim("north", 1, 3, NOBODY)]
            moved = [
                move(each, Move.CLAIMED, tx.now_us, rank=None, attempts=1) for each in claimed
            ]
            tx.save([message for message, _ in moved], [event for _, event in moved])
            keys += [each.key for each in claimed]
        return keys

    keys = await funded.run(twice)
    keys += [each.message.key for each in await funded.claim()]
    assert len(keys) == 10
    assert len(set(keys)) == 10


async def test_a_claim_that_is_rolled_back_claimed_nothing(funded: Ground):
    await funded.accept()

    def claim_and_fail(tx: Transaction) -> None:
        [outgoing] = tx.claim("north", 1, 1, NOBODY)
        after, event = move(outgoing.message, Move.CLAIMED, tx.now_us, rank=None, attempts=1)
        tx.save([after], [event])
        raise LookupError

    with pytest.raises(LookupError):
        await funded.run(claim_and_fail)
    assert len(await funded.claim()) == 1


async def test_only_a_queued_message_has_a_place(funded: Ground):
    """Invariant 20: what is being sent can't be claimed by somebody else."""
    [key] = await funded.accept()
    before = await funded.load(key)
    with pytest.raises(RuleBroken):
        await funded.save(move(before, Move.CLAIMED, funded.clock.us, attempts=1))


# --- binds ----------------------------------------------------------------------------------


async def test_each_owner_has_a_larger_epoch(ground: Ground):
    """Invariant 23."""
    assert await ground.run(lambda tx: tx.bind_epoch("north")) == 0
    epochs = [await ground.run(lambda tx: tx.take_bind("north", "a", 0)) for _ in range(3)]
    assert epochs == [1, 2, 3]
    assert await ground.run(lambda tx: tx.bind_epoch("north")) == 3
    assert await ground.run(lambda tx: tx.take_bind("south", "b", 0)) == 1


async def test_a_new_owner_finds_what_older_ones_were_sending(funded: Ground):
    await funded.fund(2)
    await funded.accept({}, {}, {"provider_id": "south"}, {"rank": 99})
    await funded.claim(2)
    await funded.claim(provider_id="south")

    def find(epoch: int, limit: int = 10) -> object:
        return lambda tx: [each.state for each in tx.sending("north", epoch, limit)]

    assert await funded.run(find(1)) == []  # type: ignore[arg-type]
    assert await funded.run(find(2)) == [State.SENDING] * 2  # type: ignore[arg-type]
    assert await funded.run(find(2, 1)) == [State.SENDING]  # type: ignore[arg-type]


# --- fairness -------------------------------------------------------------------------------


async def test_one_account_cannot_starve_another(ground: Ground):
    """Invariant 30: a flood of one account, two who come later, 1/(2N) at the least."""
    for account_id in (1, 2, 3):
        await ground.fund(account_id, 10_000_000)
    ranks = FairRanks()

    async def send(account_id: int, count: int) -> None:
        def work(tx: Transaction) -> None:
            first = ranks.take("north", 1, account_id, count)
            rows = [{"rank": first + n} for n in range(count)]
            accept(tx, rows, {"account_id": account_id})

        await ground.run(work)

    async def serve(count: int) -> Counter[int]:
        claimed = await ground.claim(count)
        for each in claimed:
            ranks.claimed("north", 1, each.message.rank or 0)
        return Counter(each.message.account_id for each in claimed)

    await send(1, 300)
    await serve(20)
    await send(2, 50)
    await send(3, 50)
    served: Counter[int] = Counter()
    for _ in range(12):
        served += await serve(10)
    assert sum(served.values()) == 120
    assert min(served.values()) >= 120 / (2 * 3)

    # The same after a restart, when the places are read from the rows.
    ranks = FairRanks(await ground.run(lambda tx: tx.lane_ranks()))
    await send(2, 20)
    after = await serve(40)
    assert after[2] >= 40 / (2 * 3)


async def test_the_ready_ranks_are_told_by_lane_and_account(funded: Ground):
    await funded.fund(2)
    await funded.accept({"rank": 5}, {"rank": 9}, {"rank": 7, "lane": 0})
    await funded.accept({"rank": 6}, account_id=2)
    await funded.accept({"rank": None, "state": "scheduled"})
    assert sorted(await funded.run(lambda tx: tx.lane_ranks())) == [
        ("north", 0, 1, 7, 7),
        ("north", 1, 1, 5, 9),
        ("north", 1, 2, 6, 6),
    ]
