"""Damage a database, a backup or what lies beside them, and see that nobody calls it whole.

For each number one thing is damaged in one way, and then `backup`, `restore`, the look that
`doctor` takes and a full `verify` are asked. Whoever reports a success must have one: what is
there then is, row by row, what was there before.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from arrivals.clock import SystemClock
from arrivals.store.api import StoreError
from arrivals.store.backup import back_up, restore
from arrivals.store.folders import DATABASE_NAME
from arrivals.store.verifying import look_whole, verify
from tests.proof.long_run import LongRun, Wrong, main
from tests.store.inhabited import home, inhabit

PAGE: Final = 4096
JUNK_OCTETS: Final = 1024
Rows = dict[str, list[tuple[object, ...]]]
Damage = Callable[["Case"], None]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is damaged: always a copy of these."""

    folder: Path
    backup: Path
    log: Path  # of the same database, at a later moment
    rows: Rows
    work: Path


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to be damaged."""

    folder: Path
    backup: Path
    chance: random.Random
    ground: Ground

    @property
    def database(self) -> Path:
        return self.folder / DATABASE_NAME


@contextmanager
def ground() -> Iterator[Ground]:
    """An installation in which something of everything happened, and a backup of it."""
    with tempfile.TemporaryDirectory(prefix="damaged-") as name:
        work = Path(name)
        folder = work / "sound"
        asyncio.run(inhabit(folder))
        asyncio.run(_live_on(folder))
        back_up(folder, work / "backup", SystemClock(), lambda _done, _of: None)
        log = _later_log(folder, work / "later")
        yield Ground(
            folder=folder,
            backup=work / "backup",
            log=log,
            rows=rows_of(folder / DATABASE_NAME),
            work=work,
        )


async def _live_on(folder: Path, log: Path | None = None) -> None:
    """Let some thousand rows come, so that tables have pages; keep the log as it is then."""
    async with home(folder) as here:
        for n in range(12):
            await here.send(*(f"316{n:02d}{k:06d}" for k in range(60)), text="a text " * 20)
        if log is not None:
            shutil.copy(folder / f"{DATABASE_NAME}-wal", log)


def _later_log(folder: Path, into: Path) -> Path:
    """Return the log that a killed server would have left, a day after the backup."""
    shutil.copytree(folder, into)
    asyncio.run(_live_on(into))
    asyncio.run(_live_on(into, into / "log"))
    return into / "log"


def rows_of(database: Path) -> Rows:
    """Return all there is, table by table; the runs of verify aside."""
    connection = apsw.Connection(
        f"file:{database}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
    try:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        return {
            str(name): sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in names
            if name != "verified"
        }
    finally:
        connection.close()


# --- what is done to them -------------------------------------------------------------------


def _page(case: Case, file: Path) -> tuple[int, bytes]:
    pages = file.stat().st_size // PAGE
    number = case.chance.randrange(pages)
    with file.open("rb") as opened:
        opened.seek(number * PAGE)
        return number, opened.read(PAGE)


def _write(file: Path, at: int, octets: bytes) -> None:
    with file.open("rb+") as opened:
        opened.seek(at)
        opened.write(octets)


def junk_in_a_page(case: Case) -> None:
    """A quarter of a page holds anything."""
    number, _ = _page(case, case.database)
    at = case.chance.randrange(PAGE - JUNK_OCTETS)
    _write(case.database, number * PAGE + at, case.chance.randbytes(JUNK_OCTETS))


def a_page_of_zeros(case: Case) -> None:
    """A page was never written."""
    number, _ = _page(case, case.database)
    _write(case.database, number * PAGE, bytes(PAGE))


def a_page_in_anothers_place(case: Case) -> None:
    """A write went elsewhere."""
    number, _ = _page(case, case.database)
    _, other = _page(case, case.database)
    _write(case.database, number * PAGE, other)


def a_file_cut_off(case: Case) -> None:
    """The end is missing."""
    size = case.database.stat().st_size
    os.truncate(case.database, case.chance.randrange(size))


def another_moments_log(case: Case) -> None:
    """Somebody put a backup in the place of the database, and left the log there."""
    shutil.copy(case.ground.log, f"{case.database}-wal")


def a_log_without_database(case: Case) -> None:
    """Somebody moved the database away, and left the log there."""
    shutil.copy(case.ground.log, f"{case.database}-wal")
    case.database.unlink()


def a_backups_octet(case: Case) -> None:
    """One bit of a backup is another one."""
    size = case.backup.stat().st_size
    at = case.chance.randrange(size)
    with case.backup.open("rb") as opened:
        opened.seek(at)
        octet = opened.read(1)[0]
    _write(case.backup, at, bytes([octet ^ 1 << case.chance.randrange(8)]))


def a_backup_cut_off(case: Case) -> None:
    """A copy to elsewhere broke off."""
    os.truncate(case.backup, case.chance.randrange(case.backup.stat().st_size))


def a_log_beside_a_backup(case: Case) -> None:
    """An older backup was overwritten while somebody had it open."""
    shutil.copy(case.ground.log, f"{case.backup}-wal")


DAMAGES: Final[tuple[Damage, ...]] = (
    junk_in_a_page,
    a_page_of_zeros,
    junk_in_a_page,
    a_page_in_anothers_place,
    junk_in_a_page,
    a_file_cut_off,
    a_backups_octet,
    another_moments_log,
    a_backup_cut_off,
    a_log_without_database,
    junk_in_a_page,
    a_log_beside_a_backup,
)


# --- who is asked, and what may be said -----------------------------------------------------


def damaged(ground: Ground, numbers: range) -> Iterator[Wrong]:
    """Damage one thing for each number, and yield what was said wrongly."""
    for number in numbers:
        work = ground.work / str(number)
        work.mkdir()
        shutil.copytree(ground.folder, work / "data")
        shutil.copy(ground.backup, work / "backup")
        case = Case(
            folder=work / "data",
            backup=work / "backup",
            chance=random.Random(number),
            ground=ground,
        )
        damage = DAMAGES[number % len(DAMAGES)]
        damage(case)
        yield number, [f"{damage.__name__}: {each}" for each in _said_wrongly(case, work)]
        shutil.rmtree(work)


def _said_wrongly(case: Case, work: Path) -> Iterator[str]:
    new, into = work / "new", work / "restored"
    for name, ask, of in (
        ("backup", lambda: _backed_up(case, new), new),
        ("restore", lambda: restore(case.backup, into, lambda _: None), into / DATABASE_NAME),
        ("restore beside a log", lambda: _restored_beside(case, work), work / "beside"),
        ("verify", lambda: _verified(case), case.database),
        ("doctor", lambda: _looked(case), case.database),
    ):
        try:
            ask()
        except StoreError as error:
            if of != case.database and of.exists():
                yield f"{name} refuses, and leaves something: {error}"
            continue
        yield from (f"{name} calls it whole: {each}" for each in _differs(of, case))


def _backed_up(case: Case, new: Path) -> None:
    _, trouble = back_up(case.folder, new, SystemClock(), lambda _done, _of: None)
    if trouble:
        raise AssertionError("nobody asked for it as it is")


def _restored_beside(case: Case, work: Path) -> None:
    """Restore into a folder in which a killed server's log lies."""
    folder = work / "beside"
    folder.mkdir()
    shutil.copy(case.ground.log, folder / f"{DATABASE_NAME}-wal")
    try:
        restore(case.backup, folder, lambda _: None)
    finally:
        if not (folder / DATABASE_NAME).exists():
            shutil.rmtree(folder)


def _verified(case: Case) -> None:
    if verify(case.folder, SystemClock(), full=True).run.violations:
        raise StoreError("violations")


def _looked(case: Case) -> None:
    if look_whole(case.folder, SystemClock()).troubles:
        raise StoreError("damaged")


def _differs(database: Path, case: Case) -> Iterator[str]:
    found: Rows | None = None
    with suppress(apsw.Error, UnicodeDecodeError):
        _settle(database)
        found = rows_of(database)
    if found is None:
        yield "it can't be read"
        return
    for table, rows in case.ground.rows.items():
        if found.get(table) != rows:
            yield f"{table} isn't what it was"


def _settle(database: Path) -> None:
    """Play a log back, as the next opener would."""
    connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    connection.close()


RUN: Final = LongRun(name="damaged_files", unit="files", ground=ground, each=damaged)

if __name__ == "__main__":
    sys.exit(main(RUN))
