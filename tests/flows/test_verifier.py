"""The verifier: it proves beside the traffic, tells what it finds, and outlives the store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arrivals.flows import verifying
from arrivals.flows.verifying import Verifier
from arrivals.store.api import StoreUnavailable
from arrivals.store.verified import Verified
from arrivals.store.verifying import verify_in_turn
from tests.flows.installation import Installation, installed, provider

EVERY_S = 0.05


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    async with installed(place, providers=[provider("north", 1)], started=False) as found:
        yield found


@contextlib.asynccontextmanager
async def at_work(here: Installation) -> AsyncIterator[None]:
    task = asyncio.create_task(Verifier(here.platform, here.place, EVERY_S).run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5)


async def newest(here: Installation) -> Verified | None:
    found: Verified | None = await here.store.read(lambda reader: reader.last_run())
    return found


async def ran(here: Installation, times: int) -> Verified:
    """Wait for so many more runs to be kept."""
    before = await newest(here)
    wanted = times + (before.run if before else 0)
    async with asyncio.timeout(20):
        while True:
            found = await newest(here)
            if found is not None and found.run >= wanted:
                return found
            await asyncio.sleep(0.01)


async def test_it_proves_again_and_again(here: Installation) -> None:
    """First everything, then what changed; and it takes place beside the traffic."""
    async with at_work(here):
        first = await ran(here, 1)
        assert (first.kind, first.violations) == ("full", 0)
        await here.send("31600000001", "31600000002")
        later = await ran(here, 2)
    assert (later.kind, later.violations) == ("incremental", 0)
    assert later.full_at_us == first.full_at_us


async def test_it_outlives_the_store(
    here: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that is away is asked again, and said to be."""
    tries: list[object] = []

    def away(*words: Any) -> object:
        tries.append(words)
        if len(tries) < 3:
            raise StoreUnavailable("away")
        return verify_in_turn(*words)

    monkeypatch.setattr(verifying, "verify_in_turn", away)
    async with at_work(here):
        await ran(here, 1)
    assert "it couldn't be verified" in caplog.text


async def test_it_tells_what_is_broken_once_and_when_it_holds(
    here: Installation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balance that was tampered with, and put right."""
    monkeypatch.setattr("arrivals.store.verifying.LOOK_AGAIN_AFTER_S", 0.0)
    caplog.set_level(logging.WARNING, "arrivals.verify")
    async with at_work(here):
        await ran(here, 1)
        await here.damage("UPDATE balances SET available = available + 1 WHERE account_id = 1")
        async with asyncio.timeout(20):
            while (await ran(here, 1)).found[6] != 1:
                pass
        await ran(here, 1)
        await here.damage("UPDATE balances SET available = available - 1 WHERE account_id = 1")
        async with asyncio.timeout(20):
            while (await ran(here, 1)).found[6]:
                pass
        await ran(here, 1)  # what a run found is told after it is written
    said = [each.getMessage() for each in caplog.records if each.name == "arrivals.verify"]
    assert [each.split(":")[0] for each in said] == [
        "invariant 6 is broken 1 times",
        "invariant 6 holds",
    ]
