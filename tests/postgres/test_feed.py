"""The feed of events: none is missed and none repeated, in whichever order commits come."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import psycopg
import pytest

from arrivals.store.api import Store, StoreError
from arrivals.store.feed import EventCursor
from arrivals.store.postgres_reader import FEED_TRANSACTIONS
from tests.backends import SQLITE
from tests.postgres.server import execute
from tests.postgres.stores import opened
from tests.store.ground import StillClock


async def after(store: Store, cursor: EventCursor, limit: int = 100) -> Any:
    return await store.read(lambda reader: reader.events_after(cursor, limit))


async def drained(
    store: Store, cursor: EventCursor, limit: int
) -> tuple[list[Any], EventCursor]:
    """Read until nothing more comes."""
    events: list[Any] = []
    while True:
        found, cursor = await after(store, cursor, limit)
        if not found:
            return events, cursor
        events += found


def write(connection: psycopg.Connection, message_id: int, seq: int = 1) -> None:
    connection.execute(
        "INSERT INTO events (message_id, seq, at, kind, to_state, actor, body)"
        " VALUES (%s, %s, 1, 'accepted', 'accepted', 'api', '{}')",
        (message_id, seq),
    )


async def test_transactions_that_commit_in_reverse_order_are_all_fed_once(
    database: str,
) -> None:
    """Each began, and has its number, before the next; the last commits first."""
    fed: list[int] = []
    cursor = EventCursor()
    async with opened(database) as (ground,):
        began = [psycopg.connect(database) for _ in range(6)]
        for n, connection in enumerate(began):
            write(connection, 600 - n)  # and ids fall as well
        for connection in reversed(began):
            found, cursor = await drained(ground.store, cursor, 1)
            fed += [each.message_id for each in found]
            connection.commit()
            connection.close()
        assert fed == []  # the eldest held back all the others
        found, cursor = await drained(ground.store, cursor, 2)
    assert [each.message_id for each in found] == [600, 599, 598, 597, 596, 595]


@pytest.mark.slow
async def test_nothing_is_missed_or_repeated_while_many_write(database: str) -> None:
    rng = random.Random(7)
    fed: list[tuple[int, int]] = []
    written: list[tuple[int, int]] = []
    cursor = EventCursor()
    open_ones: list[psycopg.Connection] = []
    async with opened(database) as (ground,):
        for n in range(1, 200):
            if len(open_ones) < 8 and rng.random() < 0.6:
                open_ones.append(psycopg.connect(database))
                for seq in range(1, rng.randint(2, 4)):
                    write(open_ones[-1], n, seq)
                    written.append((n, seq))
            elif open_ones:
                ended = open_ones.pop(rng.randrange(len(open_ones)))
                ended.commit()
                ended.close()
            found, cursor = await after(ground.store, cursor, rng.randint(1, 3))
            fed += [(each.message_id, each.seq) for each in found]
        for each in open_ones:
            each.commit()
            each.close()
        found, cursor = await drained(ground.store, cursor, 5)
        fed += [(each.message_id, each.seq) for each in found]
    assert sorted(fed) == sorted(written)


async def test_a_reader_who_is_far_behind_gets_on(database: str) -> None:
    """Thousands of transactions without an event lie between two."""
    with psycopg.connect(database, autocommit=True) as connection:
        write(connection, 1)
        connection.execute(
            f"DO $$ BEGIN FOR n IN 1..{20 * FEED_TRANSACTIONS} LOOP"
            " PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
        write(connection, 2)
    async with opened(database) as (ground,):
        found, cursor = await after(ground.store, EventCursor(), 1)
        assert [each.message_id for each in found] == [1]
        found, cursor = await after(ground.store, cursor, 1)
        assert [each.message_id for each in found] == [2]
        assert await after(ground.store, cursor, 0) == ([], cursor)
        found, cursor = await after(ground.store, cursor)
        assert found == []
        execute(database, "INSERT INTO events (message_id, seq, at, kind, to_state, actor, body) VALUES (3, 1, 1, 'accepted', 'accepted', 'api', '{}')")  # noqa: E501 # fmt: skip
        found, cursor = await after(ground.store, cursor)
        assert [each.message_id for each in found] == [3]


async def test_sqlite_says_that_it_has_none(tmp_path: Path) -> None:
    async with SQLITE.open_at(str(tmp_path / "data"), StillClock()) as store:
        with pytest.raises(StoreError, match="PostgreSQL only"):
            await after(store, EventCursor())
        assert await store.keep_up() == ()
