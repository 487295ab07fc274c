"""The disk that remembers: what it notes, and what a loss of power may leave of it."""

from __future__ import annotations

import random
from pathlib import Path

import apsw

from tests.proof.recorded_disk import (
    Deleted,
    Platter,
    RecordingDisk,
    Said,
    Synced,
    Truncated,
    Wrote,
)

NAME = "a.db"


def _found(*deeds: object, before: bytes = b"") -> set[bytes | None]:
    """Return everything that can be found of a file after these deeds."""
    platter = Platter({NAME: before} if before else {})
    for deed in deeds:
        platter.do(deed)  # type: ignore[arg-type]
    chance = random.Random(1)
    return {platter.after_loss_of_power(chance).get(NAME) for _ in range(300)}


def test_what_was_synced_is_there_and_nothing_else_is_certain():
    wrote = Wrote(NAME, 0, b"new")
    assert _found(wrote, Synced(NAME), before=b"old") == {b"new"}
    assert _found(wrote, before=b"old") == {b"new", b"old"}


def test_a_new_file_may_be_missing_until_its_first_sync():
    assert _found(Wrote(NAME, 0, b"new")) == {None, b"", b"new"}
    assert _found(Wrote(NAME, 0, b"new"), Synced(NAME)) == {b"new"}


def test_writes_are_lost_alone_and_come_in_any_order():
    two = (Wrote(NAME, 0, b"1"), Wrote(NAME, 1, b"2"))
    assert _found(*two, before=b"ab") == {b"ab", b"1b", b"a2", b"12"}
    same = (Wrote(NAME, 0, b"1"), Wrote(NAME, 0, b"2"))
    assert _found(*same, before=b"a") == {b"a", b"1", b"2"}


def test_a_write_is_torn_between_sectors_and_never_within_one():
    wrote = Wrote(NAME, 0, b"n" * 1024)
    found = _found(wrote, before=b"o" * 1024)
    old, new = b"o" * 512, b"n" * 512
    assert found == {old + old, new + old, old + new, new + new}


def test_a_truncation_is_a_write_like_any_other():
    assert _found(Truncated(NAME, 1), before=b"ab") == {b"ab", b"a"}
    assert _found(Truncated(NAME, 1), Synced(NAME), before=b"ab") == {b"a"}


def test_a_deleted_file_is_gone():
    deleted = Deleted(NAME, synced=True)
    assert _found(deleted, before=b"old") == {None}


def test_it_notes_what_sqlite_does_in_the_order_of_what_is_said(tmp_path: Path):
    disk = RecordingDisk("test-noting")
    path = str(tmp_path / NAME)
    with disk.as_default():
        connection = apsw.Connection(path)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL").fetchall()
    connection.execute("CREATE TABLE t (a)").fetchall()
    disk.deeds.append(Said("created"))
    connection.execute("INSERT INTO t VALUES (1)").fetchall()
    disk.deeds.append(Said("inserted"))
    deeds = list(disk.deeds)
    connection.close()
    disk.unregister()
    after = deeds[deeds.index(Said("created")) + 1 : -1]
    assert {type(each) for each in after} == {Wrote, Synced}
    assert after[-1] == Synced(f"{NAME}-wal")
    # A platter to which all of it was done holds what SQLite wrote.
    platter = Platter({})
    for each in deeds:
        platter.do(each)
    assert not platter.unsafe
    (tmp_path / "found").mkdir()
    for name, content in platter.after_loss_of_power(random.Random(1)).items():
        (tmp_path / "found" / name).write_bytes(content)
    found = apsw.Connection(str(tmp_path / "found" / NAME))
    assert found.execute("SELECT a FROM t").fetchall() == [(1,)]
    found.close()
    # The default is what it was: whoever opens a database now isn't noted.
    assert apsw.vfs_names()[0] == disk.below
