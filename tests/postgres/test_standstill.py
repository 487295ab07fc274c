"""A process that stands still in a transaction: others get what it has locked."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from arrivals.core.ledger import PostingKind, posting
from arrivals.flows.lease import TAKE, BindOwner
from arrivals.store import postgres
from arrivals.store.api import Transaction
from tests.postgres.server import execute
from tests.postgres.stores import funds, ledger_sums, opened
from tests.store.ground import PRICE, Ground

Work = Callable[[Transaction], Any]

WRITERS = """
    SELECT state FROM pg_stat_activity WHERE datname = current_database()
    AND application_name LIKE 'arrivals writer %' AND state <> 'idle'
    AND wait_event = 'ClientRead'"""


def owns(tx: Transaction) -> int:
    """Ask who owns the bind, as every claim does: no other can own it meanwhile."""
    return tx.bind_epoch("north")


def renews(tx: Transaction) -> bool:
    """Lock the bind's row by a statement that tells how many rows it changed."""
    return tx.renew_bind("north", 1, 0, up=True)


def leaves(tx: Transaction) -> None:
    """Lock the bind's row by a statement of which nobody asks what came of it."""
    tx.release_bind("north", 1)


class Sleeper:
    """A process that stops after some work in a transaction, until it is woken."""

    def __init__(self, work: Work) -> None:
        self.asleep = threading.Event()
        self.told: list[Any] = []  # what each run of the work told
        self._work = work
        self._woken = threading.Event()

    def __call__(self, tx: Transaction) -> None:
        self.told.append(self._work(tx))
        self.asleep.set()
        assert self._woken.wait(30)

    @contextlib.contextmanager
    def waking(self) -> Iterator[None]:
        """Wake it at the end, so that its thread ends whatever happens here."""
        try:
            yield
        finally:
            self._woken.set()


@contextlib.asynccontextmanager
async def _sleeping(ground: Ground, sleeper: Sleeper) -> AsyncIterator[None]:
    running = asyncio.ensure_future(ground.run(sleeper))
    try:
        with sleeper.waking():
            assert await asyncio.to_thread(sleeper.asleep.wait, 10)
            yield
    finally:
        await running


async def _take(ground: Ground, owner: str) -> int | None:
    return await ground.store.write(TAKE, BindOwner("north", owner))


@pytest.mark.parametrize(
    ("work", "told"), [(owns, [1, 2]), (renews, [True, False]), (leaves, [None, None])]
)
async def test_a_bind_moves_whatever_its_owner_stopped_at(
    database: str, monkeypatch: pytest.MonkeyPatch, work: Work, told: list[Any]
) -> None:
    """Invariant 23: stopped halfway through a claim, it kept the bind until it went on.

    Once awake it runs again what was undone, and learns who owns the bind.
    """
    monkeypatch.setattr(postgres, "STANDSTILL_MS", 300)
    monkeypatch.setattr(postgres, "LOCK_LOOK_MS", 100)
    async with opened(database, 2) as (first, second):
        assert await _take(first, "first") == 1
        execute(database, "UPDATE binds SET leased_until = '-infinity'")
        sleeper = Sleeper(work)
        async with _sleeping(first, sleeper):
            async with asyncio.timeout(10):
                assert await _take(second, "second") == 2
        assert sleeper.told == told
        assert execute(database, "SELECT epoch, owner FROM binds") == [(2, "second")]


async def test_the_server_itself_ends_who_stops_behind_a_question(database: str) -> None:
    """It sees that the transaction is idle, though statements go out without waiting."""
    async with opened(database) as (ground,), _sleeping(ground, Sleeper(owns)):
        assert execute(database, WRITERS) == [("idle in transaction",)]


async def test_funds_move_though_somebody_stopped_while_moving_them(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who spends next waits for a turn, and the sleeper had it."""
    monkeypatch.setattr(postgres, "STANDSTILL_MS", 300)
    monkeypatch.setattr(postgres, "LOCK_LOOK_MS", 100)
    async with opened(database, 3) as (rich, sleepy, poor):
        await rich.fund(1, amount=2 * PRICE)

        def spends(tx: Transaction) -> None:
            tx.post(posting(PostingKind.HOLD, 1, PRICE, "EUR"))
            tx.open_balance(2, "EUR", 0)  # writes money first: or its slot turns out short
            tx.release_bind("north", 1)  # of which nobody asks what came of it

        sleeper = Sleeper(spends)
        async with _sleeping(sleepy, sleeper):
            async with asyncio.timeout(10):
                await poor.run(lambda tx: tx.post(posting(PostingKind.HOLD, 1, PRICE, "EUR")))
        assert funds(database) == (0, 2 * PRICE, 0)
        assert ledger_sums(database) == []
