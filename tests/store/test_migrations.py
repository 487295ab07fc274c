"""Migrations: a schema is made once, whole, and never by two at a time."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import apsw
import pytest

from arrivals.core.message import TRANSITIONS
from arrivals.store.api import StoreUnavailable
from arrivals.store.sqlite import DATABASE_NAME, SqliteStore, connect, migrate
from arrivals.store.statements import migrations, statements
from tests.store.ground import Ground, StillClock


def _schema(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return list(connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name"))


def test_a_fresh_schema_is_made_once(tmp_path: Path):
    connection = connect(tmp_path / "fresh.db")
    assert migrate(connection) == [number for number, _ in migrations()]
    before = _schema(connection)
    changes = connection.total_changes()
    assert migrate(connection) == []
    assert _schema(connection) == before
    assert connection.total_changes() == changes, "an up-to-date schema is only looked at"


def test_migrations_are_numbered_without_a_gap():
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_migration_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = (*migrations(), (99, "CREATE TABLE half (x); SELECT no_such_function()"))
    monkeypatch.setattr("arrivals.store.sqlite.migrations", lambda: broken)
    connection = connect(tmp_path / "broken.db")
    with pytest.raises(apsw.SQLError):
        migrate(connection)
    assert _schema(connection) == []
    assert not connection.in_transaction


def test_the_moves_follow_the_core(tmp_path: Path):
    """Invariant 21: a move that a newer table dropped, or has, is dropped or there."""
    connection = connect(tmp_path / "old.db")
    migrate(connection)
    connection.execute("DELETE FROM moves WHERE from_state = 'accepted'").fetchall()
    connection.execute("INSERT INTO moves VALUES ('delivered', 'accepted')").fetchall()
    migrate(connection)
    moves = set(connection.execute("SELECT from_state, to_state FROM moves"))
    assert moves == {(source.value, to.value) for (source, _), to in TRANSITIONS.items()}


def test_a_newer_database_is_left_alone(tmp_path: Path):
    connection = connect(tmp_path / "newer.db")
    migrate(connection)
    connection.execute("INSERT INTO schema_versions VALUES (999)").fetchall()
    with pytest.raises(StoreUnavailable, match="999"):
        migrate(connection)
    assert not connection.in_transaction


def test_many_openers_migrate_once(tmp_path: Path):
    ran: list[list[int]] = []
    together = threading.Barrier(4)

    def open_one() -> None:
        connection = connect(tmp_path / "shared.db")
        together.wait(10)
        ran.append(migrate(connection))
        connection.close()

    connect(tmp_path / "shared.db").close()
    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert sorted(ran) == [[], [], [], [number for number, _ in migrations()]]


async def test_two_stores_open_a_new_folder_at_once(tmp_path: Path):
    stores = [SqliteStore(tmp_path / "data", StillClock(), exclusive=False) for _ in range(2)]
    await asyncio.gather(*(each.open() for each in stores))
    for each in stores:
        await each.close()
    assert (tmp_path / "data" / DATABASE_NAME).exists()


async def test_the_schema_is_at_its_newest(ground: Ground):
    newest = await ground.value("SELECT max(version) FROM schema_versions")
    assert newest == migrations()[-1][0]


def test_statements_have_names_and_end_without_a_semicolon():
    found = statements("write")
    assert len(found) > 40
    assert all(
        text and not text.endswith(";") and "-- name" not in text for text in found.values()
    )
