"""Spans: ids jump to a new one, look-ups stay in one, and what has ended leaves whole."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from arrivals.core.message import Move
from arrivals.store.postgres_connection import BY_KEY, PostgresConnection
from arrivals.store.postgres_schema import migrate
from arrivals.store.postgres_spans import DAY_US, LOCK_TIMEOUT_MS, Upkeep, keep_up
from arrivals.store.postgres_transaction import SQL
from arrivals.store.rows import MATCHES_MAX, Handoff
from tests.postgres.server import create_database, drop_database, execute
from tests.postgres.stores import gaps, opened, until_somebody_waits
from tests.store.ground import BEGIN_US, CLAIMED, ENDED, TAKEN, Ground, delivered

pytestmark = pytest.mark.slow

WEEK_US = 7 * DAY_US
ROUNDS_MAX = 5  # on a busy machine a round may give way to autovacuum or to the load


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """Return a database of the test's own: lent ones keep their spans as they are."""
    name = f"spans_{os.urandom(6).hex()}"
    url = create_database(postgres_server, name)
    with_schema = PostgresConnection(url, application="test")
    migrate(with_schema)
    with_schema.close()
    yield url
    drop_database(postgres_server, name)


def keep(url: str, now_us: int = BEGIN_US) -> Upkeep:
    session = PostgresConnection(url, application="test")
    try:
        done = keep_up(session, now_us, 90)
        assert done is not None
        return done
    finally:
        session.close()


def spans(url: str) -> list[int]:
    return [n for (n,) in execute(url, "SELECT n FROM spans ORDER BY n")]


def tables_of(url: str, key: int) -> list[str]:
    """Return the tables that hold a message, and its order."""
    found = execute(
        url,
        f"SELECT tableoid::regclass::text FROM messages WHERE id = {key}"
        f" UNION ALL SELECT tableoid::regclass::text FROM orders WHERE id = {key} >> 17",
    )
    return sorted(name for (name,) in found)


async def end(ground: Ground, key: int) -> None:
    await ground.drive(key, CLAIMED, TAKEN, delivered(1))


async def test_a_span_that_is_a_week_old_is_followed_by_the_next(database: str) -> None:
    async with opened(database) as (ground,):
        await ground.fund()
        assert keep(database).begun is None
        [first] = await ground.accept()
        assert keep(database, BEGIN_US + WEEK_US - 1).begun is None
        assert keep(database, BEGIN_US + WEEK_US).begun == 1
        [second] = await ground.accept()
        assert keep(database, BEGIN_US + WEEK_US).begun is None
        assert await ground.load(first) != await ground.load(second)
    assert (first >> 17 >> 24, second >> 17) == (0, 1 << 24)
    assert tables_of(database, first) == ["messages_0", "orders_0"]
    assert tables_of(database, second) == ["messages_1", "orders_1"]
    assert spans(database) == [0, 1, 2]


async def test_an_idle_span_goes_on(database: str) -> None:
    keep(database)
    assert keep(database, BEGIN_US + 5 * WEEK_US).begun is None
    assert spans(database) == [0, 1]


async def test_ids_that_run_out_go_on_in_the_next_span(database: str) -> None:
    execute(database, f"SELECT setval('order_ids', {(1 << 24) - 3})")
    async with opened(database) as (ground,):
        await ground.fund()
        keys = [(await ground.accept())[0] for _ in range(4)]
        keep(database)
        keys += await ground.accept()
    assert [key >> 17 for key in keys] == list(range((1 << 24) - 2, (1 << 24) + 3))
    assert spans(database) == [0, 1, 2]


async def test_an_order_accepted_during_the_jump_is_in_exactly_one_span(
    database: str,
) -> None:
    keep(database)
    async with opened(database, 3) as grounds:
        await grounds[0].fund(amount=10**12)
        await grounds[0].accept()
        keys: list[int] = []
        stopped = asyncio.Event()

        async def customer(ground: Ground) -> None:
            while not stopped.is_set():
                keys.extend(await ground.accept({}, {}))

        customers = [asyncio.ensure_future(customer(each)) for each in grounds for _ in "ab"]
        for n in range(1, 4):
            before = len(keys)
            while len(keys) < before + 40:  # noqa: ASYNC110 - under load, whenever that is
                await asyncio.sleep(0.01)
            begun = None
            while begun is None:  # where others are in the way, the next round does it
                done = await asyncio.to_thread(keep, database, BEGIN_US + n * WEEK_US)
                begun = done.begun
            assert begun == n
        stopped.set()
        await asyncio.gather(*customers)
    assert len(keys) == len(set(keys))
    found = execute(database, "SELECT id, tableoid::regclass::text FROM messages")
    assert len(found) == len(keys) + 1
    assert {key >> 41 for key in keys} == {0, 1, 2, 3}
    assert all(name == f"messages_{key >> 41}" for key, name in found)
    assert gaps(database) == []


def scanned(url: str, statement: str, *values: Any) -> set[str]:
    """Return the tables and indexes of spans that a statement really looks into."""
    session = PostgresConnection(url, application="test", settings=BY_KEY)
    try:
        [(plan,)] = session.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values
        ).fetchall()
    finally:
        session.close()
    import json

    def walk(node: dict[str, Any]) -> Iterator[str]:
        if node.get("Actual Loops") and "Relation Name" in node:
            yield node["Relation Name"]
        for each in node.get("Plans", ()):
            yield from walk(each)

    plan = json.loads(plan) if isinstance(plan, str) else plan
    return set(walk(plan[0]["Plan"]))


async def grown(url: str, count: int) -> list[int]:
    """Accept and end a message in each of so many spans; return their keys."""
    keys = []
    async with opened(url) as (ground,):
        await ground.fund()
        for n in range(count):
            [key] = await ground.accept()
            await end(ground, key)
            handoff = Handoff("north", "id-1", key, 1, 1, BEGIN_US)
            await ground.run(lambda tx, handoff=handoff: tx.add_handoffs([handoff]))  # type: ignore[misc]
            keys.append(key)
            keep(url, BEGIN_US + (n + 1) * WEEK_US)
    return keys


async def test_look_ups_by_key_look_into_one_span_and_receipts_into_a_handful(
    database: str,
) -> None:
    keep(database)
    keys = await grown(database, 8)
    assert spans(database) == list(range(10))
    assert scanned(database, SQL["load"], f"[{keys[3]}]") == {"messages_3", "orders_3"}
    asked = '[[0, "north", "id-1"]]'
    looked = scanned(database, SQL["match"], asked, MATCHES_MAX)
    handoffs = {name for name in looked if name.startswith("handoffs")}
    assert handoffs == {f"handoffs_{n}" for n in range(5, 10)}
    async with opened(database) as (ground,):
        found = await ground.run(lambda tx: tx.match([("north", ["id-1"])]))
        assert [each.handoff.message_id for each in found] == keys[:4:-1]
        assert set(await ground.run(lambda tx: tx.load(keys))) == set(keys)


async def test_what_has_ended_is_detached_whole_after_its_time(database: str) -> None:
    keep(database)
    keys = await grown(database, 2)
    late = BEGIN_US + WEEK_US + 90 * DAY_US
    assert keep(database, late - 1).detached == ()
    names = ("handoffs_0", "events_0", "adjustments_0", "messages_0", "orders_0")
    async with opened(database) as (ground,):
        assert await ground.store.keep_up(90) == ()
        ground.clock.us = late
        assert await ground.store.keep_up(90) == names
        assert await ground.store.keep_up(90) == ()
        assert set(await ground.run(lambda tx: tx.load(keys))) == {keys[1]}
        # Nothing was deleted: it is all there for whoever archives it.
        assert [execute(database, f"SELECT count(*) FROM {name}") for name in names] == [
            [(count,)] for count in (1, 4, 0, 1, 1)
        ]
        # What is still looked for there is simply gone.
        assert await ground.store.read(lambda reader: reader.report(1, keys[0])) is None
    [noted] = execute(
        database,
        "SELECT detached_at, handoffs_detached_at, last_posting FROM spans WHERE n = 0",
    )
    assert noted[:2] == (late, late)
    assert noted[2] == execute(database, "SELECT max(id) FROM postings")[0][0]


async def test_a_span_with_one_open_message_stays(database: str) -> None:
    keep(database)
    async with opened(database) as (ground,):
        await ground.fund()
        [key, other] = await ground.accept({}, {})
        await end(ground, other)
        keep(database, BEGIN_US + WEEK_US)
        assert keep(database, BEGIN_US + 200 * DAY_US).detached == ()
        await ground.drive(key, CLAIMED)
        assert keep(database, BEGIN_US + 200 * DAY_US).detached == ()
        await ground.drive(
            key, (Move.TAKEN, TAKEN[1]), (delivered(1)[0], delivered(1)[1] | ENDED)
        )
    assert len(keep(database, BEGIN_US + 200 * DAY_US).detached) == 5


async def test_to_detach_takes_no_long_lock_and_gives_way_to_a_long_reader(
    database: str,
) -> None:
    keep(database)
    await grown(database, 1)
    late = BEGIN_US + 200 * DAY_US
    async with opened(database, 2) as grounds:
        await grounds[0].fund(2, amount=10**12)  # a quick machine spends the usual funds
        slowest_s = 0.0
        stopped = asyncio.Event()

        async def customer(ground: Ground) -> None:
            nonlocal slowest_s
            while not stopped.is_set():
                began = time.monotonic()
                await ground.accept(account_id=2)
                slowest_s = max(slowest_s, time.monotonic() - began)

        customers = [asyncio.ensure_future(customer(each)) for each in grounds]
        with psycopg.connect(database) as reader:  # a backup, say
            reader.execute("SELECT count(*) FROM messages")
            assert (await asyncio.to_thread(keep, database, late)).detached == ()
        for _ in range(ROUNDS_MAX):
            detached = (await asyncio.to_thread(keep, database, late)).detached
            if detached:
                break
        stopped.set()
        await asyncio.gather(*customers)
    assert len(detached) == 5
    # One try of it, and what its turn costs on a busy machine.
    assert slowest_s < 5 * LOCK_TIMEOUT_MS / 1000


async def test_what_is_written_while_its_days_table_is_attached_is_kept(database: str) -> None:
    """It was on its way to the table of all other days, which doesn't take it any more."""
    async with opened(database) as (ground,):
        day = ground.clock.us // DAY_US
        await ground.run(lambda tx: tx.keep_raw([("north", None, "aa")]))  # prepared by now
        execute(database, "DELETE FROM raw_receipts")
        with psycopg.connect(database) as other:
            other.execute("SELECT add_raw_day(%s)", (day,))
            writing = asyncio.ensure_future(
                ground.run(lambda tx: tx.keep_raw([("north", None, "bb")]))
            )
            await until_somebody_waits(database)
            other.commit()
        await writing
    assert execute(database, f"SELECT raw FROM raw_receipts_{day}") == [("bb",)]


async def test_one_process_does_it_at_a_time(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (4 << 60,))
        session = PostgresConnection(database, application="test")
        assert keep_up(session, BEGIN_US) is None
        session.close()
    assert keep(database) == Upkeep()


async def test_raw_receipts_have_days_made_ahead_and_dropped_whole(database: str) -> None:
    today = BEGIN_US // DAY_US

    def days() -> list[str]:
        found = execute(
            database,
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'raw_receipts'::regclass ORDER BY 1",
        )
        return [name.removeprefix("raw_receipts_") for (name,) in found]

    async with opened(database) as (ground,):

        async def receive() -> None:
            await ground.run(lambda tx: tx.keep_raw([("north", None, "00")]))

        await receive()  # before the first round: it has no day of its own
        assert keep(database).dropped == ()
        assert days() == [str(today + 1), str(today + 2), "other"]
        for _ in range(9):
            ground.clock.us += DAY_US
            await receive()
            keep(database, ground.clock.us)
        assert days() == [str(today + n) for n in range(2, 12)] + ["other"]
        kept = execute(
            database, "SELECT DISTINCT at / 86400000000 FROM raw_receipts ORDER BY 1"
        )
        assert [day - today for (day,) in kept] == [0, *range(2, 10)]
        forgotten = await ground.run(
            lambda tx: tx.forget(
                parked_before=0,
                raw_before=BEGIN_US + DAY_US,
                answers_before=0,
                answerable_before=0,
                limit=10,
            )
        )
        assert forgotten == 1
