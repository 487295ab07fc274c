"""Housekeeping: what has outlived its keeping goes, in bounded steps that find it quickly."""

from __future__ import annotations

import msgspec
import pytest

from arrivals.store.api import Transaction
from arrivals.store.rows import Answerable, StoredAnswer
from tests.store.ground import Ground, park_one
from tests.store.test_receipts import waiting

SECOND_US = 1_000_000
LONG_AGO = 0
KINDS = ("parked", "raw", "answers", "answerable")


async def _leave(ground: Ground, name: str) -> int:
    """Leave one of each kind behind, and return when."""

    def work(tx: Transaction) -> int:
        park_one(tx, "north", [name], name, "{}")
        tx.keep_raw([("north", None, name)])
        tx.store_answers([StoredAnswer(1, "POST /x", name, "h", 200, "", tx.now_us)])
        tx.add_answerable([Answerable("316", name, 1, tx.now_us, 1)])
        return tx.now_us

    ground.clock.us += SECOND_US
    return await ground.run(work)


async def _forget(ground: Ground, before: int, limit: int = 100, **others: int) -> int:
    limits = {f"{kind}_before": before for kind in KINDS} | others
    return await ground.run(lambda tx: tx.forget(limit=limit, **limits))


async def _left(ground: Ground) -> list[int]:
    tables = ("parked_receipts", "parked_forms", "raw_receipts", "idempotency", "answerable")
    return [await ground.value(f"SELECT count(*) FROM {table}") for table in tables]


async def test_only_what_is_older_goes(ground: Ground):
    for name in ("a", "b"):
        await _leave(ground, name)
    kept_from = await _leave(ground, "c")
    assert await _forget(ground, LONG_AGO) == 0
    assert await _forget(ground, kept_from) == 8
    assert await _left(ground) == [1, 1, 1, 1, 1]
    assert len(await ground.run(lambda tx: waiting(tx, "north", ["a", "b", "c"]))) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_has_its_own_age(ground: Ground, kind: str):
    now = await _leave(ground, "a")
    assert await _forget(ground, LONG_AGO, **{f"{kind}_before": now + 1}) == 1


async def test_a_receipt_that_stays_parked_keeps_its_age(ground: Ground):
    """Invariant 37: it is kept for 72 h since it came, however often it was tried."""
    came = await _leave(ground, "a")
    for name in "bcd":
        await _leave(ground, name)
    [tried] = await ground.run(lambda tx: waiting(tx, "north", ["a"]))
    assert not await ground.run(lambda tx: park_one(tx, "north", ["a"], "a", "{}"))
    [again] = await ground.run(lambda tx: waiting(tx, "north", ["a"]))
    assert again == msgspec.structs.replace(tried, count=2)
    assert again.received_at_us == came
    assert await _forget(ground, LONG_AGO, limit=1, parked_before=came + 1) == 1
    assert await ground.run(lambda tx: waiting(tx, "north", ["a"])) == []
    assert len(await ground.run(lambda tx: waiting(tx, "north", ["b", "c", "d"]))) == 3


async def test_a_step_is_bounded_and_the_next_goes_on(ground: Ground):
    """The oldest first; the caller comes again while there is more."""
    for name in "abcde":
        now = await _leave(ground, name)
    counts = [await _forget(ground, now + 1, limit=2) for _ in range(4)]
    assert counts == [8, 8, 4, 0]


async def test_a_message_is_never_forgotten_here(funded: Ground):
    [key] = await funded.accept()
    await _forget(funded, 2**62)
    assert (await funded.load(key)).key == key
