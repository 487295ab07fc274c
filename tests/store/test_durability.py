"""Durability: what is acknowledged is synced, one process owns a folder, a full disk is told.

These look at files, locks and system calls, so they ask for a backend that lives in a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from arrivals.store.api import StoreDamaged, StoreFull, StoreUnavailable, Transaction
from arrivals.store.folders import DATABASE_NAME
from arrivals.store.sqlite import (
    WAL_AUTOCHECKPOINT_PAGES,
    SqliteStore,
    named,
)
from tests.store.ground import Ground, StillClock, accept

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 50

PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,  # FULL: every commit is synced before it is answered
    "fullfsync": 1,
    "foreign_keys": 1,
    "temp_store": 2,
    "wal_autocheckpoint": WAL_AUTOCHECKPOINT_PAGES,
    "busy_timeout": 5_000,
    "query_only": 0,
}


@pytest.fixture(autouse=True)
def _lives_in_a_folder(request: pytest.FixtureRequest) -> None:
    if "ground" in request.fixturenames:
        ground: Ground = request.getfixturevalue("ground")
        if not ground.backend.lives_in_a_folder:
            pytest.skip("this backend keeps its files, locks and syncs to itself")


# --- every connection -----------------------------------------------------------------------


async def test_the_writer_is_set_up_for_durability(ground: Ground):
    for name, value in PRAGMAS.items():
        assert await ground.value(f"PRAGMA {name}") == value, name


async def test_readers_are_set_up_alike_and_only_read(ground: Ground):
    def look(reader: Any) -> dict[str, Any]:
        return {name: reader._connection.execute(f"PRAGMA {name}").get for name in PRAGMAS}

    assert await ground.store.read(look) == {**PRAGMAS, "query_only": 1}
    with pytest.raises(StoreUnavailable):
        await ground.store.read(
            lambda reader: reader._connection.execute("INSERT INTO meta VALUES ('a', 'b')").get
        )


# --- invariant 15 ---------------------------------------------------------------------------


def _child(*words: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def _traced(tmp_path: Path, count: int, *how: str) -> list[bool]:
    """Return, for every acknowledgement in turn, whether the log was synced before it."""
    if shutil.which("strace") is None:
        pytest.skip("strace isn't installed here")
    log = tmp_path / "trace"
    calls = "trace=write,pwrite64,fsync,fdatasync"
    child = _child(
        "tests.store.acknowledging", str(tmp_path / "data"), str(count), *how,
        before=["strace", "-f", "-y", "-e", calls, "-o", str(log)],
    )  # fmt: skip
    if "ptrace" in child.stderr and child.returncode:
        pytest.skip("this machine lets nobody trace a process")
    assert child.returncode == 0, child.stderr
    return synced_before_each(log.read_text("utf-8", "replace").splitlines())


def synced_before_each(lines: Sequence[str]) -> list[bool]:
    """Read a trace: at each acknowledgement, were new frames of the log written and synced?"""
    answers: list[bool] = []
    under_way: dict[str, str] = {}
    wrote = synced = False
    for line in lines:
        process, _, call = line.partition(" ")
        if "<unfinished" in call:
            under_way[process] = call
        elif "resumed>" in call:
            call = under_way.pop(process, "") + call
        if re.match(r"pwrite64\(\d+<[^>]*-wal>", call.lstrip()):
            wrote, synced = True, False
        elif re.match(r"f(data)?sync\(\d+<[^>]*-wal>.*= 0", call.lstrip()):
            synced = True
        elif '"acknowledged' in call and "resumed>" not in call:
            answers.append(wrote and synced)
            wrote = False
    return answers


@pytest.mark.slow
def test_every_acknowledged_write_was_synced_before(tmp_path: Path):
    """Invariant 15, by the order of the system calls."""
    assert _traced(tmp_path, 20) == [True] * 20


@pytest.mark.slow
def test_the_order_test_sees_what_is_not_synced(tmp_path: Path):
    """The canary: with synchronous = NORMAL the very same test must fail."""
    assert _traced(tmp_path, 20, "normal") == [False] * 20


def test_a_trace_is_read_as_it_happened():
    def trace(*calls: str) -> list[bool]:
        return synced_before_each(calls)

    write = '1 pwrite64(5</d/arrivals.db-wal>, "x"..., 4096, 0) = 4096'
    sync = "1 fdatasync(5</d/arrivals.db-wal>) = 0"
    other = "1 fdatasync(4</d/arrivals.db>) = 0"
    failed = "1 fdatasync(5</d/arrivals.db-wal>) = -1 EIO"
    begun = "1 fdatasync(5</d/arrivals.db-wal> <unfinished ...>"
    ended = "1 <... fdatasync resumed>) = 0"
    told = '2 write(1<pipe:[1]>, "acknowledged\\n", 13) = 13'
    assert trace(write, sync, told, told) == [True, False]
    assert trace(sync, write, told) == [False]
    assert trace(write, other, told) == [False]
    assert trace(write, failed, told) == [False]
    assert trace(write, begun, told, ended) == [False]
    assert trace(write, begun, ended, told) == [True]


# --- one process, one folder ----------------------------------------------------------------


async def test_a_second_process_is_turned_away(ground: Ground, tmp_path: Path):
    child = _child("tests.store.acknowledging", str(tmp_path / "data"), "1")
    assert child.returncode != 0
    assert "StoreUnavailable" in child.stderr
    assert "in use by another arrivals process" in child.stderr
    assert "acknowledged" not in child.stdout


async def test_a_folder_stays_taken_whatever_is_deleted_in_it(ground: Ground, tmp_path: Path):
    """Somebody tidied up what looked like a stale lock, and a second server began."""
    for name in ("lock", "arrivals.db"):
        (tmp_path / "data" / name).unlink()
        child = _child("tests.store.acknowledging", str(tmp_path / "data"), "1")
        assert child.returncode != 0
        assert "in use by another arrivals process" in child.stderr
        assert "acknowledged" not in child.stdout


@pytest.mark.parametrize("name", ["arrivals.db", "arrivals.db-wal", "arrivals.db-shm"])
async def test_nothing_is_acknowledged_into_a_file_that_is_gone(
    funded: Ground, tmp_path: Path, name: str
):
    """What is written to a deleted file is lost; moved back, it goes on."""
    await funded.accept()
    file = tmp_path / "data" / name
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match=f"{name} was moved, deleted or replaced"):
        await funded.accept()
    file.write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="moved, deleted or replaced"):
        await funded.accept()
    (tmp_path / "elsewhere").rename(file)
    await funded.accept()
    assert (await _counts(funded))["orders"] == 2


async def test_no_database_begins_where_anothers_log_lies(tmp_path: Path):
    """SQLite would throw the log away, and with it the newest messages."""
    (tmp_path / "arrivals.db-wal").write_bytes(b"the newest messages")
    store = SqliteStore(tmp_path, StillClock())
    with pytest.raises(StoreDamaged, match=r"arrivals\.db-wal"):
        await store.open()
    assert (tmp_path / "arrivals.db-wal").read_bytes() == b"the newest messages"
    assert not (tmp_path / DATABASE_NAME).exists()
    (tmp_path / DATABASE_NAME).touch()  # what some tools do that only wanted to look
    with pytest.raises(StoreDamaged, match=r"arrivals\.db-wal"):
        await store.open()
    (tmp_path / "arrivals.db-wal").rename(tmp_path / "kept")
    await store.open()
    await store.close()


async def test_a_damaged_database_is_not_served(tmp_path: Path):
    """It says which page, and what to do; and a command's opening costs no look."""
    store = SqliteStore(tmp_path, StillClock())
    await store.open()
    await store.close()
    connection = apsw.Connection(str(tmp_path / DATABASE_NAME))
    page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'").get
    connection.close()
    with (tmp_path / DATABASE_NAME).open("rb+") as file:
        file.seek((page - 1) * 4096)
        file.write(os.urandom(4096))
    with pytest.raises(StoreDamaged, match=f"page {page} is damaged") as found:
        await store.open()
    assert "arrivals restore FILE" in found.value.fix


async def test_a_command_opens_beside_and_both_write(ground: Ground, tmp_path: Path):
    """An administrator's command shares the folder for a moment."""
    beside = SqliteStore(tmp_path / "data", StillClock(), exclusive=False)
    await beside.open()
    try:
        other = Ground(store=beside, backend=ground.backend, clock=ground.clock)
        await other.fund()
        balance = await ground.run(lambda tx: tx.balance(1))
        assert balance is not None
        await ground.accept()
        assert (await other.run(lambda tx: tx.balance(1))) != balance
    finally:
        await beside.close()
    await ground.accept()


async def test_a_folder_that_failed_to_open_is_free_again(tmp_path: Path):
    (tmp_path / DATABASE_NAME).write_bytes(b"this is no database, only a text" * 100)
    store = SqliteStore(tmp_path, StillClock())
    with pytest.raises(StoreDamaged):
        await store.open()
    (tmp_path / DATABASE_NAME).unlink()
    await store.open()
    await store.close()


async def test_a_folder_that_cant_be_one_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    store = SqliteStore(tmp_path / "file", StillClock())
    with pytest.raises(StoreUnavailable, match="file"):
        await store.open()
    with pytest.raises(StoreUnavailable, match="isn't open"):
        await store.write(None, None)  # type: ignore[arg-type]


async def test_only_the_owner_may_look(ground: Ground, tmp_path: Path):
    """Invariant 45 begins with the file's mode: the log holds texts and numbers too."""
    await ground.fund()
    await ground.store.read(lambda reader: None)
    folder = tmp_path / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
    assert set(modes) == {"arrivals.db", "arrivals.db-wal", "arrivals.db-shm", "lock"}
    assert set(modes.values()) == {0o600}


# --- a full disk ----------------------------------------------------------------------------


async def test_a_disk_that_fills_within_a_step_leaves_nothing(funded: Ground):
    """The database gives up in the middle of a verb; all of the transaction goes."""
    await funded.accept()
    before = await _counts(funded)
    commits = funded.store.commits
    pages = await funded.value("PRAGMA page_count")
    await funded.value(f"PRAGMA max_page_count = {pages + 3}")

    def much(tx: Transaction) -> None:
        for _ in range(20):
            accept(tx, [{"text": "x" * 500, "price": 0}] * 50, {})

    with pytest.raises(StoreFull):
        await funded.run(much)
    # Reading goes on, and no half of it was tried.
    assert await _counts(funded) == before
    assert funded.store.commits[0] - commits[0] == 2 + len(before)

    await funded.value("PRAGMA max_page_count = 1000000")
    await funded.run(much)
    assert (await _counts(funded))["messages"] == 1_001


async def _counts(ground: Ground) -> dict[str, int]:
    tables = ("orders", "messages", "events", "postings")
    return {name: await ground.value(f"SELECT count(*) FROM {name}") for name in tables}


def _check_full(child: subprocess.CompletedProcess[str]) -> None:
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    assert report["refused"], "the disk never filled"
    assert report["acknowledged"]
    # All that was acknowledged is there and nothing else: no part of what was refused.
    assert report["present"] == report["acknowledged"]
    assert set(report["after"]) <= set(report["acknowledged"])
    assert report["read_when_full"] == [
        n for n in report["acknowledged"] if n not in report["after"]
    ]


@pytest.mark.slow
def test_files_that_may_not_grow_are_a_full_disk(tmp_path: Path):
    """A quota or a limit says EFBIG or EDQUOT where a full disk says ENOSPC."""
    _check_full(_child("tests.store.full_disk", str(tmp_path / "data"), "limit"))


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path: Path):
    """A small disk in memory, in a name space of its own that ends with the process."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=4m none "{disk}" || exit 77; exec "$@"'
    child = _child(
        "tests.store.full_disk", str(disk / "data"), "ballast",
        before=["unshare", "--mount", "sh", "-c", mount, "sh"],
    )  # fmt: skip
    if child.returncode == 77 or "unshare failed" in child.stderr:
        pytest.skip("this machine doesn't let root mount anything")
    _check_full(child)
    # It isn't ready at any look, though small writes still fit into the log at some.
    report = json.loads(child.stdout)
    assert report["ready_when_full"] == [False] * len(report["ready_when_full"])
    assert report["ready_with_room"]
    assert not any(disk.iterdir())


# --- the contract's words for trouble -------------------------------------------------------


async def test_a_locked_database_is_unavailable(ground: Ground, tmp_path: Path):
    await ground.value("PRAGMA busy_timeout = 1")
    other = apsw.Connection(str(tmp_path / "data" / DATABASE_NAME))
    other.execute("BEGIN IMMEDIATE").fetchall()
    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            await ground.run(lambda tx: tx.set_setting("a", "b"))
    finally:
        other.close()
    await ground.run(lambda tx: tx.set_setting("a", "b"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (apsw.FullError("x"), StoreFull),
        (apsw.BusyError("x"), StoreUnavailable),
        (apsw.LockedError("x"), StoreUnavailable),
        (apsw.IOError("x"), StoreUnavailable),
        (apsw.CantOpenError("x"), StoreUnavailable),
        (apsw.ReadOnlyError("x"), StoreUnavailable),
        (apsw.CorruptError("x"), StoreDamaged),
        (apsw.NotADBError("x"), StoreDamaged),
        (apsw.SQLError("x"), apsw.SQLError),
    ],
)
def test_trouble_has_a_name(error: apsw.Error, expected: type[Exception]):
    assert type(named(error)) is expected
