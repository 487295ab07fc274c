"""What the sweeper does beside sweeping: forgetting as fast as things come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arrivals.flows import sweep
from arrivals.flows.sweep import RAW_FOR_US, Sweeper
from tests.flows.installation import Installation, installed, provider
from tests.flows.script import SetClock

RAW = [("north", None, "00")]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def here(tmp_path: Path, clock: SetClock) -> AsyncIterator[Installation]:
    async with installed(
        tmp_path, providers=[provider("north", 1)], started=False, clock=clock
    ) as installation:
        yield installation


async def left(here: Installation) -> int:
    found = await here.rows("SELECT count(*) FROM raw_receipts")
    return int(found[0][0])


async def test_what_has_piled_up_is_forgotten_in_one_go(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """Round after round and turn after turn, without waiting a minute between."""
    monkeypatch.setattr(sweep, "FORGET_MAX", 10)
    monkeypatch.setattr(sweep, "SWEEP_EVERY_S", 0.001)
    await here.in_transaction(lambda tx: tx.keep_raw(RAW * 123))
    clock.tick(RAW_FOR_US / 1_000_000 + 1)
    await here.in_transaction(lambda tx: tx.keep_raw(RAW * 4))
    task = asyncio.create_task(Sweeper(here.platform).run())
    try:
        async with asyncio.timeout(5):
            while await left(here) == 127:  # begin once the sweeper runs
                clock.tick(sweep.FORGET_EVERY_S)
                await asyncio.sleep(0.005)
            # The clock stands still from here on.
            while await left(here) > 4:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await left(here) == 4


async def test_a_turn_of_forgetting_is_bounded(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """What is due must not wait until everything old is gone."""
    monkeypatch.setattr(sweep, "FORGET_MAX", 10)
    await here.in_transaction(lambda tx: tx.keep_raw(RAW * 75))
    clock.tick(RAW_FOR_US / 1_000_000 + 1)
    sweeper = Sweeper(here.platform)
    assert await sweeper._forget_some()
    assert await left(here) == 75 - sweep.FORGET_ROUNDS_MAX * 10
    assert not await sweeper._forget_some()
    assert await left(here) == 0
