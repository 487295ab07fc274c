"""Who owns a bind: what stands still for a while costs no bind, and sends nothing meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from arrivals.clock import SystemClock
from arrivals.flows import lease
from arrivals.flows.lease import RENEW, TAKE, Lease, LeaseLost
from arrivals.store.api import StoreUnavailable

# The real distances, a twentieth as long.
RENEW_EVERY_S, GIVE_UP_AFTER_S, LEASE_S = 0.2, 0.4, 0.6
Renewing = Callable[[], Awaitable[bool]]


class Time(SystemClock):
    """The machine's, which a test can let jump, as it does for a process that stood still."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.jumped_s


class Renewals:
    """A store that renews as the test says."""

    is_shared = True

    def __init__(self, renew: Renewing) -> None:
        self.renew = renew
        self.asked = 0

    async def write(self, step: Any, _: Any) -> Any:
        if step is TAKE:
            return 7
        assert step is RENEW
        self.asked += 1
        return await self.renew()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(lease, "RENEW_EVERY_S", RENEW_EVERY_S)
    monkeypatch.setattr(lease, "GIVE_UP_AFTER_S", GIVE_UP_AFTER_S)
    monkeypatch.setattr(lease, "LEASE_S", LEASE_S)
    monkeypatch.setattr(lease, "ASK_S", 0.1)
    monkeypatch.setattr(lease, "LOOK_EVERY_S", 0.02)
    caplog.set_level(logging.WARNING)


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def away() -> bool:
    raise StoreUnavailable("the database can't be reached")


async def never() -> bool:
    await asyncio.Event().wait()
    return True


async def kept(renew: Renewing) -> tuple[Lease, Renewals, Time, asyncio.Task[None]]:
    """Take a lease and begin to keep it."""
    store, clock = Renewals(renew), Time()
    owned = Lease(SimpleNamespace(store=store, clock=clock), "north", "me")  # type: ignore[arg-type]
    assert await owned.take()
    keeping = asyncio.create_task(owned.keep(lambda: False))
    await asyncio.sleep(0.05)
    return owned, store, clock, keeping


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a clock has no event to wait for
            await asyncio.sleep(0.005)


async def stopped(keeping: asyncio.Task[None]) -> None:
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_a_process_that_stood_still_asks_before_it_unbinds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was the only one there, and nobody had taken its bind meanwhile."""
    owned, store, clock, keeping = await kept(yes)
    clock.jumped_s = 20 * LEASE_S
    assert not owned.is_held
    asked = store.asked
    await until(lambda: store.asked > asked and owned.is_held)
    assert "this process stood still" in caplog.text
    assert "nobody had taken it" in caplog.text
    await stopped(keeping)


async def test_a_process_that_stood_still_too_long_leaves_the_bind_to_its_owner() -> None:
    """The epoch tells that somebody else has begun."""
    owned, _, clock, keeping = await kept(no)
    clock.jumped_s = 20 * LEASE_S
    with pytest.raises(LeaseLost, match="another process owns"):
        await asyncio.wait_for(keeping, 5)
    assert not owned.is_held


@pytest.mark.parametrize("trouble", [away, never])
async def test_a_store_that_is_away_for_less_than_a_lease_costs_no_bind(
    trouble: Renewing, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing leaves from the moment at which it could be too late; then it goes on."""
    answers = asyncio.Event()

    async def renew() -> bool:
        if trouble is away and not answers.is_set():
            return await away()
        await answers.wait()
        return True

    owned, _, _, keeping = await kept(renew)
    await until(lambda: not owned.is_held)
    await until(lambda: "nothing is sent until its lease is renewed" in caplog.text)
    answers.set()
    await until(lambda: owned.is_held)
    await until(lambda: "its lease is renewed" in caplog.text)
    assert caplog.text.count("nothing is sent until") == 1
    await stopped(keeping)


@pytest.mark.parametrize("trouble", [away, never])
async def test_a_store_that_is_away_for_a_whole_lease_costs_the_bind(trouble: Renewing) -> None:
    """Another process may reach it where this one can't."""
    owned, _, clock, keeping = await kept(trouble)
    with pytest.raises(LeaseLost, match="another may own it"):
        await asyncio.wait_for(keeping, 5)
    assert not owned.is_held
    assert clock.monotonic() - owned._renewed_at >= LEASE_S
