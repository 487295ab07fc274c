"""Copy the database while it is in use, and put a copy into an empty data folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from arrivals.store.api import StoreError, StoreUnavailable
from arrivals.store.beside import DATABASE_NAME, reading

PAGES_A_STEP: Final = 1_000  # 4 MB between two reports of progress


def back_up(folder: Path, target: Path, progress: Callable[[int, int], None]) -> int:
    """Copy a folder's database, as of one moment, into a new file; return its size in octets.

    `progress` is told (pages done, pages in all). The file appears under its name only when
    it is whole and synced. Raises StoreError.
    """
    if target.exists():
        raise StoreUnavailable(f"{target} is there already, and isn't overwritten")
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with reading(folder) as source:
            _copy(source, unfinished, progress)
        unfinished.rename(target)
    except OSError as error:
        raise StoreUnavailable(f"{target} can't be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def restore(source: Path, folder: Path) -> None:
    """Put a backup into a data folder that has no database yet; raises StoreError."""
    if not source.is_file():
        raise StoreUnavailable(f"there is no file {source}")
    if (folder / DATABASE_NAME).exists():
        raise StoreUnavailable(f"{folder} has a database already; restore into an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = folder / f".{DATABASE_NAME}.unfinished"
        unfinished.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{folder} can't be written: {error.strerror}") from None
    try:
        backup = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            _copy(backup, unfinished, lambda _done, _of: None)
        finally:
            backup.close()
        _check_copy(unfinished)
        unfinished.rename(folder / DATABASE_NAME)
    except (apsw.NotADBError, apsw.CorruptError, apsw.SQLError):
        raise StoreError(f"{source} is damaged, or not a backup of Arrivals") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(source: apsw.Connection, target: Path, progress: Callable[[int, int], None]) -> None:
    copy = apsw.Connection(str(target))
    try:
        # One reading transaction, so that a busy writer can't make the copy begin anew.
        source.execute("BEGIN").fetchall()
        try:
            source.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(PAGES_A_STEP)
                    done = backup.page_count - backup.remaining
                    progress(done, backup.page_count)
        finally:
            source.execute("ROLLBACK").fetchall()
        # A copy of a database with a log keeps that mode; alone in its file it needs none.
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        copy.close()
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _check_copy(path: Path) -> None:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.execute("SELECT count(*) FROM schema_versions").fetchall()
        if (found := connection.execute("PRAGMA quick_check(1)").get) != "ok":
            raise StoreError(f"the backup is damaged: {found}")
    finally:
        connection.close()
