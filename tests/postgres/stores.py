"""Several stores on one PostgreSQL database, each with a writer and a slot of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

from arrivals.store.postgres import PostgresStore
from tests.backends import POSTGRESQL
from tests.postgres.server import execute
from tests.store.ground import Ground, StillClock

_NAMES = itertools.count()


@contextlib.asynccontextmanager
async def opened(url: str, count: int = 1) -> AsyncIterator[list[Ground]]:
    """Open stores on one database; close them all at the end."""
    clock = StillClock()
    stores = [PostgresStore(url, clock, holder=f"several-{next(_NAMES)}") for _ in range(count)]
    try:
        for each in stores:
            await each.open()
        yield [Ground(store=each, backend=POSTGRESQL, clock=clock) for each in stores]
    finally:
        await asyncio.gather(*(each.close() for each in stores))


def deadlocks(url: str) -> int:
    """Return how many deadlocks the server has counted in this database."""
    [(count,)] = execute(
        url,
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    )
    return int(count)


def funds(url: str, account_id: int = 1) -> tuple[int, int, int]:
    """Return what is available, held, and owed at most, over all slots."""
    [found] = execute(
        url,
        "SELECT sum(available)::bigint, sum(held)::bigint, sum(credit_limit)::bigint"
        f" FROM balances WHERE account_id = {account_id}",
    )
    return found[0], found[1], found[2]


def ledger_sums(url: str) -> list[tuple[Any, ...]]:
    """Return the accounts whose cached balance isn't the sum of their postings: none."""
    return execute(
        url,
        """
        WITH moved AS (
          SELECT debit AS place, -amount AS amount FROM postings
          UNION ALL SELECT credit, amount FROM postings),
        sums AS (SELECT place, sum(amount) AS amount FROM moved GROUP BY place),
        cached AS (
          SELECT 'funds:' || account_id AS place, sum(available) AS amount
          FROM balances GROUP BY account_id
          UNION ALL
          SELECT 'held:' || account_id, sum(held) FROM balances GROUP BY account_id)
        SELECT cached.place, cached.amount, coalesce(sums.amount, 0)
        FROM cached LEFT JOIN sums USING (place)
        WHERE cached.amount <> coalesce(sums.amount, 0)
        """,
    )


def gaps(url: str) -> list[tuple[Any, ...]]:
    """Return the messages whose events aren't 1, 2, … up to their own number: none."""
    return execute(
        url,
        """
        SELECT m.id, m.seq, count(e.seq), min(e.seq), max(e.seq)
        FROM messages AS m LEFT JOIN events AS e ON e.message_id = m.id
        GROUP BY m.id, m.seq
        HAVING count(e.seq) <> m.seq OR max(e.seq) <> m.seq OR min(e.seq) <> 1
        """,
    )


async def until_somebody_waits(url: str, what: str = "Lock") -> None:
    """Wait until a session of this database waits for such an event."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE datname = current_database() AND '{what}' IN (wait_event_type, wait_event)"
    )
    async with asyncio.timeout(10):
        while (await asyncio.to_thread(execute, url, waiting))[0][0] == 0:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


async def all_of(works: Sequence[Any]) -> list[Any]:
    """Wait for all; return each result or the exception in its place."""
    return await asyncio.gather(*works, return_exceptions=True)
