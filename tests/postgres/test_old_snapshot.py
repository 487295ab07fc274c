"""While somebody holds an old snapshot open, work goes on at its pace."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict

import psycopg
import pytest

from arrivals.core.ledger import PostingKind, posting
from arrivals.core.message import Move
from arrivals.store.api import Transaction
from arrivals.store.rows import Handoff
from tests.postgres.stores import opened
from tests.store.ground import NOBODY, PRICE, TAKEN, Ground, delivered, move

ROUNDS = 160
MESSAGES = 50  # in each round
EDGE = 30  # rounds that are early, and that are late
# Without the water a look for what is due took seven times as long after 12,000 messages.
WORSE_MAX = 3.0
SHARE_MAX = 0.15  # of the time


async def rounds(ground: Ground, count: int) -> dict[str, list[float]]:
    """Accept, claim, send and end; return how long the looks took, in order."""
    took: dict[str, list[float]] = defaultdict(list)

    def claim(tx: Transaction) -> list[int]:
        began = time.perf_counter()
        claimed = tx.claim("north", 1, MESSAGES, NOBODY)
        took["claim"].append(time.perf_counter() - began)
        wake_at_us = tx.now_us + 1_000_000
        changes = {"rank": None, "attempts": 1, "epoch": 1, "wake_at_us": wake_at_us}
        moved = [move(each.message, Move.CLAIMED, tx.now_us, **changes) for each in claimed]
        tx.save([message for message, _ in moved], [event for _, event in moved])
        return [each.message.key for each in claimed]

    def end(keys: list[int], tx: Transaction) -> None:
        found = list(tx.load(keys).values())
        for what, changes in (TAKEN, delivered(1)):
            moved = [move(each, what, tx.now_us, **changes) for each in found]
            tx.save([message for message, _ in moved], [event for _, event in moved])
            found = [message for message, _ in moved]

    def due(tx: Transaction) -> None:
        began = time.perf_counter()
        assert tx.due(500) == []
        took["due"].append(time.perf_counter() - began)

    def spend(tx: Transaction) -> None:
        for kind in (PostingKind.HOLD, PostingKind.RELEASE):
            tx.post(posting(kind, 1, PRICE, "EUR"))

    for _ in range(count):
        ground.clock.us += 300_000
        await ground.accept(*({} for _ in range(MESSAGES)))
        keys = await ground.run(claim)
        assert len(keys) == MESSAGES
        await ground.run(lambda tx, keys=keys: end(keys, tx))  # type: ignore[misc]
        await ground.run(due)
        began = time.perf_counter()
        await ground.run(spend)
        took["spend"].append(time.perf_counter() - began)
    return took


@pytest.mark.slow
async def test_looks_dont_get_slower_and_slower(database: str) -> None:
    async with opened(database) as (ground,):
        await ground.fund(amount=10**12)
        free = await rounds(ground, 2 * EDGE)
        with psycopg.connect(database) as old:
            old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            old.execute("SELECT 1 FROM messages LIMIT 1")
            held = await rounds(ground, ROUNDS)
            began = time.perf_counter()
            last = await rounds(ground, EDGE)
            took_s = time.perf_counter() - began
    for what, times in last.items():
        early, late = statistics.median(held[what][:EDGE]), statistics.median(times)
        assert late < WORSE_MAX * early, (what, early, late)
        without = statistics.median(free[what][-EDGE:])
        assert late < WORSE_MAX * without, (what, without, late)
    # Now and then a look is from the beginning, and wades; that has its share, and no more.
    for what in ("claim", "due"):
        assert sum(last[what]) < SHARE_MAX * took_s, (what, sum(last[what]), took_s)


@pytest.mark.slow
async def test_an_id_that_was_used_again_and_again_finds_the_open_and_the_newest(
    database: str,
) -> None:
    """Thousands have it; the one that still waits is the eldest."""
    async with opened(database) as (ground,):
        await ground.fund(amount=10_000 * PRICE)
        keys: list[int] = []
        for _ in range(4):
            keys += await ground.accept(*({} for _ in range(500)))

        def send(tx: Transaction) -> None:
            tx.add_handoffs([Handoff("north", "1", key, 1, 1, n) for n, key in enumerate(keys)])
            found = [each for each in tx.load(keys).values() if each.key != keys[0]]
            for what, changes in (
                (Move.CLAIMED, {"rank": None, "attempts": 1}), TAKEN, delivered(1),
            ):  # fmt: skip
                moved = [move(each, what, tx.now_us, **changes) for each in found]
                tx.save([message for message, _ in moved], [event for _, event in moved])
                found = [message for message, _ in moved]

        await ground.run(send)
        began = time.perf_counter()
        found = await ground.run(lambda tx: tx.match([("north", ["1"])]))
        still = await ground.run(lambda tx: tx.match_reused("north", "1", [], len(keys)))
        took_s = time.perf_counter() - began
    assert [each.handoff.message_id for each in found[:2]] == [keys[-1], keys[-2]]
    assert len(found) == 100
    assert [each.handoff.message_id for each in still] == [keys[0]]
    assert took_s < 1
