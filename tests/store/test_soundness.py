"""A look at a file for damage: what it sees, and that it ends when its time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from arrivals.store.folders import DATABASE_NAME
from arrivals.store.soundness import look_at
from tests.store.inhabited import inhabit


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    asyncio.run(inhabit(tmp_path))
    opened = apsw.Connection(str(tmp_path / DATABASE_NAME))
    yield opened
    opened.close()


def test_a_sound_file_is_sound(connection: apsw.Connection) -> None:
    for quick in (True, False):
        found = look_at(connection, quick=quick, seconds=60)
        assert (found.troubles, found.finished, found.words) == ((), True, "")


@pytest.mark.parametrize("quick", [True, False])
def test_a_look_ends_when_its_time_is_up(connection: apsw.Connection, *, quick: bool) -> None:
    """And says that it didn't see all; nothing is interrupted afterwards."""
    connection.execute("CREATE TABLE many (a INTEGER PRIMARY KEY, b TEXT)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
        " INSERT INTO many SELECT i, 'text' || i FROM n"
    ).fetchall()
    assert not look_at(connection, quick=quick, seconds=0).finished
    assert connection.execute("SELECT count(*) FROM many").get == 50_000
    assert look_at(connection, quick=quick).finished


def test_a_text_that_is_none_is_seen(connection: apsw.Connection) -> None:
    """Though every page and index is in order."""
    connection.execute("UPDATE orders SET text = CAST(x'61ff62' AS TEXT)").fetchall()
    assert connection.execute("PRAGMA integrity_check").get == "ok"
    assert look_at(connection).troubles == ("a text in the table orders is damaged",)


@pytest.mark.parametrize("name", ["message_id_secret", "key_pepper"])
def test_a_secret_that_is_lost_is_seen(connection: apsw.Connection, name: str) -> None:
    """Without it no id could be read, or no key would be known."""
    for spoil in (
        "UPDATE meta SET value = 'x' WHERE name = ?",
        "DELETE FROM meta WHERE name = ?",
    ):
        connection.execute(spoil, (name,)).fetchall()
        [trouble] = look_at(connection).troubles
        assert name.replace("_", " ") in trouble


def test_the_pages_are_named(connection: apsw.Connection) -> None:
    """For whoever looks into the file."""
    page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").get
    with Path(connection.filename).open("rb+") as file:
        file.seek((int(str(page)) - 1) * 4096)
        file.write(b"\xff" * 4096)
    again = apsw.Connection(connection.filename)
    assert f"page {page} is damaged" in look_at(again).words
    again.close()
