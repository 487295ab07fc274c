"""Streams of recipients: begun once, moved on by their id, and counted without a gap."""

from __future__ import annotations

import msgspec
import pytest

from arrivals.store.api import RuleBroken, StaleWrite
from arrivals.store.rows import Batch
from tests.store.ground import Ground

NEW = Batch(0, 1, "007", '{"route_id":1}', 5)


async def test_a_stream_is_begun_moved_on_and_found(ground: Ground):
    assert await ground.run(lambda tx: tx.batch(1, "007")) is None
    begun = await ground.run(lambda tx: tx.save_batch(NEW))
    assert begun == msgspec.structs.replace(NEW, batch_id=begun.batch_id)
    assert begun.batch_id > 0
    assert await ground.run(lambda tx: tx.batch(1, "007")) == begun
    moved = msgspec.structs.replace(
        begun, lines=10, accepted=7, refused=3, cost=70, prefix_hash="00ff", refusals='["é"]',
        finished_at_us=99,
    )  # fmt: skip
    assert await ground.run(lambda tx: tx.save_batch(moved)) == moved
    assert await ground.run(lambda tx: tx.batch(1, "007")) == moved


async def test_a_key_belongs_to_its_account(ground: Ground):
    """Invariant 43."""
    first = await ground.run(lambda tx: tx.save_batch(NEW))
    other = msgspec.structs.replace(NEW, account_id=2)
    second = await ground.run(lambda tx: tx.save_batch(other))
    assert first.batch_id != second.batch_id
    assert await ground.run(lambda tx: tx.batch(3, "007")) is None
    assert await ground.run(lambda tx: tx.batch(1, "7")) is None


async def test_a_stream_is_not_begun_twice(ground: Ground):
    """A second beginning would set the first one's progress back to nothing."""
    begun = await ground.run(lambda tx: tx.save_batch(NEW))
    moved = msgspec.structs.replace(begun, lines=1, accepted=1)
    await ground.run(lambda tx: tx.save_batch(moved))
    with pytest.raises(StaleWrite):
        await ground.run(lambda tx: tx.save_batch(NEW))
    with pytest.raises(StaleWrite):
        await ground.run(lambda tx: tx.save_batch(msgspec.structs.replace(NEW, batch_id=77)))
    assert await ground.run(lambda tx: tx.batch(1, "007")) == moved


async def test_what_a_stream_is_for_does_not_change(ground: Ground):
    begun = await ground.run(lambda tx: tx.save_batch(NEW))
    other = msgspec.structs.replace(begun, options="{}", created_at_us=77, key="x")
    await ground.run(lambda tx: tx.save_batch(other))
    assert await ground.run(lambda tx: tx.batch(1, "007")) == begun


async def test_lines_add_up(ground: Ground):
    """Invariant 19."""
    begun = await ground.run(lambda tx: tx.save_batch(NEW))
    wrong = msgspec.structs.replace(begun, lines=3, accepted=1, refused=1)
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.save_batch(wrong))
