"""A copy: everything arrives as it was, or nothing does."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import apsw
import psycopg
import pytest

from arrivals.clock import SystemClock
from arrivals.store.api import RuleBroken, StoreError, StoreUnavailable
from arrivals.store.copying import TABLES, copy_installation
from arrivals.store.folders import DATABASE_NAME
from arrivals.store.postgres import PostgresStore
from arrivals.store.rows import StoredAnswer
from arrivals.store.sqlite import SqliteStore, connect
from arrivals.store.verifying import run_checks
from tests.postgres.server import execute
from tests.store.inhabited import NORTH, home, inhabit, settle_all

pytestmark = pytest.mark.slow  # a database for each test, and the flows that fill it

# What COPY, JSON and SQL each have a word for.
TEXTS = (
    "plain",
    'it\'s "quoted", with \\ and \\\\ and \\n and \\N and \\.',
    "two\nlines\r\nand\ta tab",
    "\\.\n",
    "📨 emoji, ключ and \u2028",
    '{"a": [1, null], "b": "\\u0041"}',
    "%s :name ? {values}",
    "",
)


def quiet(_table: str, _done: int, _count: int) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder in which something of every kind has happened, with texts of every kind."""
    made = tmp_path_factory.mktemp("copied") / "data"
    asyncio.run(fill(made))
    return made


async def fill(folder: Path) -> None:
    await inhabit(folder)
    async with home(folder) as here:
        for each in TEXTS:
            if each:
                await here.send("31600000001", text=each, client_ref=each[:20])
        await settle_all(here)
        answer = StoredAnswer(1, "POST /", "k'1", "hash", 200, '{"a":"\\n"}', 1)
        await here.in_transaction(lambda tx: tx.store_answers([answer]))
        for days in range(3):  # raw receipts of several days
            await here.in_transaction(
                lambda tx, day=days: tx._run(
                    "keep_raw",
                    tx.now_us - day * 86_400_000_000,
                    f'[["{NORTH}",null,"{day}\\\\n"]]',
                )
            )


def everything(place: str | Path) -> dict[str, list[Any]]:
    """Return every row of every table, by column names, in an order of its own."""
    found = {}
    for table, order in TABLES.items():
        columns = ", ".join(
            each
            for each in columns_of(place, table)
            if each not in {"tx", "leased_until", "up"}
        )
        rows = ask(place, f"SELECT {columns} FROM {table} ORDER BY {order}")
        found[table] = sorted(rows, key=repr)
    return found


def columns_of(place: str | Path, table: str) -> list[str]:
    if isinstance(place, Path):
        return sorted(str(row[1]) for row in ask(place, f"PRAGMA table_info({table})"))
    text = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
    return sorted(name for (name,) in ask(place, text))


def ask(place: str | Path, text: str) -> list[Any]:
    if isinstance(place, Path):
        connection = apsw.Connection(str(place / DATABASE_NAME))
        try:
            return connection.execute(text).fetchall()
        finally:
            connection.close()
    with psycopg.connect(place) as session:
        session.adapters.register_loader("json", psycopg.types.string.TextLoader)
        return session.execute(text).fetchall()


def broken(place: str | Path) -> dict[str, int]:
    return {
        each.sentence: each.count for each in run_checks(place, SystemClock()) if each.count
    }


def test_everything_arrives_and_comes_back(folder, postgres_url, tmp_path) -> None:
    """There and back again nothing is lost or changed, and both ends are sound."""
    before = everything(folder)
    told: dict[str, tuple[int, int]] = {}
    copied = copy_installation(
        folder, postgres_url, lambda table, done, count: told.update({table: (done, count)})
    )
    assert everything(postgres_url) == before
    assert copied.rows == {table: len(rows) for table, rows in before.items()}
    assert told == {table: (len(rows), len(rows)) for table, rows in before.items()}
    assert all(copied.rows[table] for table in TABLES)
    assert broken(folder) == broken(postgres_url) == {}
    copy_installation(postgres_url, tmp_path / "back", quiet)
    assert everything(tmp_path / "back") == before
    assert broken(tmp_path / "back") == {}
    assert (tmp_path / "back" / DATABASE_NAME).stat().st_mode & 0o077 == 0


def test_sums_outgrow_64_bits(folder, postgres_url, tmp_path) -> None:
    """As those of many rows' times do."""
    copy_installation(folder, postgres_url, quiet)
    execute(postgres_url, f"UPDATE messages SET wake_at = {1 << 62} + id % 7, rank = rank")
    execute(postgres_url, "UPDATE messages SET provider_cost = -provider_cost")
    copy_installation(postgres_url, tmp_path / "back", quiet)
    assert everything(tmp_path / "back")["messages"] == everything(postgres_url)["messages"]


async def test_balances_of_many_slots_become_one(postgres_url, tmp_path) -> None:
    """What several processes kept apart is one sum in a folder."""
    async with contextlib.AsyncExitStack() as stack:
        homes = []
        for n in range(3):
            store = PostgresStore(postgres_url, SystemClock(), holder=f"test-{n}")
            await store.open()
            stack.push_async_callback(store.close)
            homes.append(await stack.enter_async_context(home(postgres_url, store)))
        for each in homes:
            await asyncio.gather(*(each.send("31600000001", account_id=n) for n in (1, 2, 1)))
        await settle_all(homes[2])
    assert execute(postgres_url, "SELECT min(held) < 0, max(slot) FROM balances") == [(True, 2)]
    await asyncio.to_thread(copy_installation, postgres_url, tmp_path / "back", quiet)
    assert broken(tmp_path / "back") == {}
    sums = "SELECT account_id, sum(available), sum(held) FROM balances GROUP BY 1 ORDER BY 1"
    assert ask(tmp_path / "back", sums) == ask(postgres_url, sums)
    assert ask(tmp_path / "back", "SELECT DISTINCT slot FROM balances") == [(0,)]


def test_every_table_is_copied(folder, empty_databases) -> None:
    """A table that a migration adds has to be named; the request log is left behind."""
    tables = {
        name for (name,) in ask(folder, "SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    assert set(TABLES) == tables - {"schema_versions", "moves", "verified"}
    with empty_databases.lent() as lend:
        names = execute(
            lend(),
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace",
        )
    assert set(TABLES) == {each for (each,) in names} - {
        "schema_versions", "moves", "writers", "spans", "lanes", "verified",
        "request_hours", "request_lines",
    }  # fmt: skip


@pytest.mark.parametrize("back", [False, True], ids=["there", "and back"])
def test_an_installation_goes_on_where_it_was(folder, postgres_url, tmp_path, back) -> None:
    """Ids go on above the copied ones, keys and message ids stay valid, money can be spent."""
    copy_installation(folder, postgres_url, quiet)
    place: str | Path = postgres_url
    if back:
        place = tmp_path / "back"
        copy_installation(postgres_url, place, quiet)
    newest = {
        table: max_id(place, table) for table in ("orders", "postings", "batches", "rates")
    }

    async def go_on() -> None:
        async with home(place) as here:
            accepted = await here.send("31600000001", "31600000002")
            assert accepted.order.order_id == newest["orders"] + 1
            await settle_all(here)

    asyncio.run(go_on())
    assert max_id(place, "postings") > newest["postings"]
    assert max_id(place, "rates") == newest["rates"]  # the same prices aren't imported anew
    assert broken(place) == {}
    secret = "SELECT value FROM meta WHERE name = 'message_id_secret'"
    assert ask(place, secret) == ask(folder, secret)


def max_id(place: str | Path, table: str) -> int:
    return int(ask(place, f"SELECT max(id) FROM {table}")[0][0])


def test_sequences_go_on_above_what_came(folder, postgres_url) -> None:
    """Of every table that numbers its rows."""
    copy_installation(folder, postgres_url, quiet)
    for table in ("rates", "parked_receipts", "raw_receipts", "batches"):
        value = f"SELECT nextval(pg_get_serial_sequence('{table}', 'id'))"
        assert execute(postgres_url, value)[0][0] == max_id(folder, table) + 1
    assert execute(postgres_url, "SELECT nextval('posting_ids')")[0][0] > max_id(
        folder, "postings"
    )
    epochs = "SELECT epoch FROM binds ORDER BY provider_id"
    assert ask(folder, epochs) == ask(postgres_url, epochs)


def test_orders_far_on_get_their_spans(folder, postgres_url, tmp_path) -> None:
    """The spans of all orders are made, the one that new orders begin in and its next."""
    moved = copied_folder(folder, tmp_path / "far")
    high, low = 5 << 24, ask(moved, "SELECT max(id) FROM orders")[0][0]
    spoil(
        moved,
        f"UPDATE orders SET id = {high} WHERE id = {low};"
        + "".join(
            f"UPDATE {table} SET {key} = {key} + (({high} - {low}) << 17)"
            f" WHERE {key} >> 17 = {low};"
            for table, key in (
                ("messages", "id"), ("events", "message_id"), ("handoffs", "message_id"),
                ("adjustments", "message_id"),
            )
        )
        + f"INSERT INTO meta VALUES ('order_floor', '{(7 << 24) - 1}')",
    )  # fmt: skip
    copy_installation(moved, postgres_url, quiet)
    assert [n for (n,) in execute(postgres_url, "SELECT n FROM spans ORDER BY n")] == [
        0, 1, 5, 7, 8,
    ]  # fmt: skip
    assert execute(postgres_url, "SELECT nextval('order_ids')") == [(7 << 24,)]
    assert broken(postgres_url) == {}


def copied_folder(folder: Path, to: Path) -> Path:
    connection = apsw.Connection(str(folder / DATABASE_NAME))
    to.mkdir()
    connection.execute(f"VACUUM INTO '{to / DATABASE_NAME}'")
    connection.close()
    return to


def spoil(folder: Path, text: str) -> None:
    connection = connect(folder / DATABASE_NAME)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(text)
    for _, created in triggers:
        connection.execute(str(created))
    connection.close()


@pytest.mark.parametrize(
    "plant",
    [
        "UPDATE adjustments SET amount = amount + 1",
        "UPDATE messages SET rank = NULL, wake_at = NULL WHERE rank IS NOT NULL",
        "UPDATE balances SET available = -1",
        "UPDATE events SET body = 'no JSON' WHERE seq = 2",
    ],
)
def test_what_breaks_a_rule_is_not_copied(folder, postgres_url, tmp_path, plant) -> None:
    """The target's rules are in force, and a refusal leaves nothing of the copy."""
    spoilt = copied_folder(folder, tmp_path / "spoilt")
    spoil(spoilt, plant)
    with pytest.raises((RuleBroken, StoreError)):
        copy_installation(spoilt, postgres_url, quiet)
    rows = [execute(postgres_url, f"SELECT count(*) FROM {table}") for table in TABLES]
    assert rows == [[(0,)]] * len(TABLES)
    copy_installation(folder, postgres_url, quiet)


def test_a_copy_that_is_cut_off_leaves_nothing(folder, postgres_url, tmp_path) -> None:
    """In neither direction."""

    def stop_at_events(table: str, _done: int, _count: int) -> None:
        if table == "events":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_installation(folder, postgres_url, stop_at_events)
    assert execute(postgres_url, "SELECT count(*) FROM meta") == [(0,)]
    copy_installation(folder, postgres_url, quiet)
    with pytest.raises(KeyboardInterrupt):
        copy_installation(postgres_url, tmp_path / "back", stop_at_events)
    assert [each.name for each in (tmp_path / "back").iterdir()] == ["lock"]
    copy_installation(postgres_url, tmp_path / "back", quiet)


def test_a_target_that_holds_something_is_refused(folder, postgres_url) -> None:
    """Of either kind, and so is a second copy."""
    copy_installation(folder, postgres_url, quiet)
    with pytest.raises(StoreUnavailable, match="isn't empty"):
        copy_installation(folder, postgres_url, quiet)
    with pytest.raises(StoreUnavailable, match="isn't empty"):
        copy_installation(postgres_url, folder, quiet)


async def test_what_is_served_is_not_copied(folder, postgres_url, tmp_path) -> None:
    """Neither from a folder, nor from or to a database."""
    served = copied_folder(folder, tmp_path / "served")
    store = SqliteStore(served, SystemClock())
    await store.open()
    try:
        with pytest.raises(StoreUnavailable, match="in use"):
            await asyncio.to_thread(copy_installation, served, postgres_url, quiet)
    finally:
        await store.close()
    database = PostgresStore(postgres_url, SystemClock(), holder="test")
    await database.open()
    try:
        for places in ((served, postgres_url), (postgres_url, tmp_path / "back")):
            with pytest.raises(StoreUnavailable, match="in use"):
                await asyncio.to_thread(copy_installation, places[0], places[1], quiet)
    finally:
        await database.close()
    await asyncio.to_thread(copy_installation, served, postgres_url, quiet)


def test_nobody_writes_at_either_end_meanwhile(folder, postgres_url, tmp_path) -> None:
    """A server that starts during the copy is told, and a command waits or is."""
    source = copied_folder(folder, tmp_path / "source")
    tried: list[str] = []

    def serve(table: str, _done: int, _count: int) -> None:
        if table != "messages" or tried:
            return
        for store in (
            SqliteStore(source, SystemClock()),
            PostgresStore(postgres_url, SystemClock(), holder="test"),
        ):
            with pytest.raises(StoreUnavailable) as refused:
                asyncio.run(store.open())
            tried.append(str(refused.value))

    copy_installation(source, postgres_url, serve)
    assert len(tried) == 2


@pytest.fixture
def nul(folder, tmp_path) -> Path:
    spoilt = copied_folder(folder, tmp_path / "nul")
    spoil(
        spoilt,
        "UPDATE messages SET text = 'a' || char(0) || 'b'"
        " WHERE id = (SELECT min(id) FROM messages);"
        """UPDATE events SET body = '{"x":"\\u0000","y":"\\\\u0000"}' WHERE seq = 1;""",
    )
    return spoilt


def test_the_character_that_postgresql_cannot_hold_is_replaced(nul, postgres_url) -> None:
    """As it is when a message is accepted; an escaped backslash before it is left alone."""
    copy_installation(nul, postgres_url, quiet)
    text = "SELECT text FROM messages ORDER BY id LIMIT 1"
    assert ask(postgres_url, text) == [("a\ufffdb",)]
    body = "SELECT body->>'x', body->>'y' FROM events WHERE seq = 1 LIMIT 1"
    assert ask(postgres_url, body) == [("\ufffd", "\\u0000")]


def test_two_of_a_kind_have_programs_of_their_own(folder, postgres_url, tmp_path) -> None:
    """And an empty place isn't copied."""
    with pytest.raises(StoreUnavailable, match="arrivals backup"):
        copy_installation(folder, tmp_path / "other", quiet)
    with pytest.raises(StoreUnavailable, match="pg_dump"):
        copy_installation(postgres_url, postgres_url, quiet)
    with pytest.raises(StoreUnavailable, match="holds no Arrivals database"):
        copy_installation(tmp_path / "none", postgres_url, quiet)
    with pytest.raises(StoreUnavailable, match="holds no Arrivals database"):
        copy_installation(postgres_url, tmp_path / "none", quiet)
    assert not (tmp_path / "none").exists()
    assert list(tmp_path.iterdir()) == []
