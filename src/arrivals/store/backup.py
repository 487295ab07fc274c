"""Copy the database while it is in use, and put a copy into an empty data folder.

A copy gets its name when it is whole, checked and on the disk, and not before: whatever goes
wrong on the way, a full disk too, leaves nothing under that name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import apsw

from arrivals.clock import Clock
from arrivals.store.api import StoreDamaged, StoreError, StoreFull, StoreUnavailable
from arrivals.store.beside import reading
from arrivals.store.checking import Checking
from arrivals.store.folders import (
    DATABASE_NAME,
    LOG_ENDINGS,
    UNFINISHED_NAME,
    kept_from_serving,
    left_over,
    sync_folder,
)
from arrivals.store.seal import check_seal, mark, seal, unmark
from arrivals.store.soundness import DAMAGED_FIX, is_out_of_room, look_at
from arrivals.store.statements import SQLITE, migrations

Prepared = TypeVar("Prepared")

PAGES_A_STEP: Final = 1_000  # 4 MB between two reports of progress
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

NO_BACKUP_FIX: Final = "name a file that `arrivals backup` wrote, whole"


def back_up(
    folder: Path,
    target: Path,
    clock: Clock,
    progress: Callable[[int, int], None],
    *,
    as_it_is: bool = False,
) -> tuple[int, str]:
    """Copy a folder's database, as of one moment, into a new file, and check the copy.

    Return its size in octets, and what is wrong with it: nothing, unless it is wanted
    `as_it_is`. `progress` is told (pages done, pages in all). Raises StoreError.
    """
    if os.path.lexists(target):
        raise StoreUnavailable(
            f"{target} is there already, and isn't overwritten", "name a new file"
        )
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with _written_at(target):
            _remove(unfinished)
            os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with reading(folder) as source:
            _copy(source, unfinished, progress, sealed=True)
        trouble = _trouble(unfinished, clock)
        if trouble and not as_it_is:
            raise StoreDamaged(
                f"there is no backup: what {folder} holds is damaged: {trouble}",
                f"{DAMAGED_FIX}; or keep a copy as it is: arrivals backup FILE --as-it-is",
            )
        with _written_at(target):
            seal(unfinished)
            _sync(unfinished)
            unfinished.rename(target)
            sync_folder(target.parent)
            return target.stat().st_size, trouble
    finally:
        with contextlib.suppress(OSError):  # what can't be removed has no backup's name
            _remove(unfinished)


def restore(source: Path, folder: Path, prepare: Callable[[Path], Prepared]) -> Prepared:
    """Put a backup into a data folder that has nothing of a database; raises StoreError.

    `prepare` is given a folder with the whole copy before it gets its name, so that what it
    does and the copy appear together or not at all; return what that returned.
    """
    _must_be_alone(source)
    with _written_at(folder):
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with kept_from_serving(folder, make=False):
            if names := left_over(folder):
                raise StoreUnavailable(
                    f"{folder} isn't empty: it has {', '.join(names)}",
                    "restore into a new folder with --data, or move all of these away "
                    "together: a log is played back into whichever database lies beside it",
                )
            unfinished = folder / UNFINISHED_NAME
            try:
                unfinished.mkdir(mode=0o700)
                prepared = _restored(source, unfinished, prepare)
                (unfinished / DATABASE_NAME).rename(folder / DATABASE_NAME)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            for each in (folder, *(each.parent for each in made)):
                sync_folder(each)
    return prepared


def _restored(source: Path, unfinished: Path, prepare: Callable[[Path], Prepared]) -> Prepared:
    check_seal(source)
    copy = unfinished / DATABASE_NAME
    copy.touch(mode=0o600)
    try:
        backup = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            _copy(backup, copy, lambda _done, _of: None, sealed=False)
        finally:
            backup.close()
        _must_be_ours(copy, source)
        trouble = _trouble(copy, None)
    except (apsw.NotADBError, apsw.CorruptError, apsw.SQLError):
        raise StoreDamaged(
            f"{source} is damaged, or not a backup of Arrivals", NO_BACKUP_FIX
        ) from None
    except apsw.Error as error:
        raise StoreError(f"{source} can't be read: {error}", NO_BACKUP_FIX) from None
    if trouble:
        raise StoreDamaged(f"{source} is damaged: {trouble}", "restore an older backup")
    prepared = prepare(unfinished)
    if any((unfinished / f"{DATABASE_NAME}{ending}").exists() for ending in LOG_ENDINGS):
        raise StoreFull(f"no room on the disk of {unfinished.parent}", "make room there")
    _sync(copy)
    return prepared


def _must_be_alone(source: Path) -> None:
    """Refuse what isn't one file: a database in use isn't whole without its log."""
    if not source.is_file():
        raise StoreUnavailable(f"there is no file {source}", NO_BACKUP_FIX)
    for ending in LOG_ENDINGS:
        if (log := source.with_name(f"{source.name}{ending}")).exists():
            raise StoreUnavailable(
                f"{source} has a log beside it, {log.name}: it isn't a backup, or the log "
                "isn't its own",
                "take a backup of that folder with `arrivals backup`; if the file is a backup "
                "nevertheless, copy it to a folder without that log",
            )


def _must_be_ours(copy: Path, source: Path) -> None:
    """Raise StoreError if a database isn't one that this program can serve."""
    connection = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = connection.execute("SELECT max(version) FROM schema_versions").get
        connection.execute("SELECT count(*) FROM meta").fetchall()
    finally:
        connection.close()
    newest = max(version for version, _ in migrations(SQLITE))
    if not isinstance(found, int):
        raise StoreDamaged(f"{source} is damaged: it has no schema", NO_BACKUP_FIX)
    if found > newest:
        raise StoreUnavailable(
            f"a newer Arrivals wrote {source} (schema {found})", "install that one first"
        )


def _copy(
    source: apsw.Connection,
    target: Path,
    progress: Callable[[int, int], None],
    *,
    sealed: bool,
) -> None:
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
        mark(copy) if sealed else unmark(copy)
    except apsw.Error as error:
        if is_out_of_room(error):
            raise StoreFull(
                f"no room for the copy on the disk of {target.parent}", "make room there"
            ) from None
        raise
    finally:
        copy.close()


def _trouble(copy: Path, clock: Clock | None) -> str:
    """Return what is wrong with a copy, in words: its file, and what costs little to prove."""
    connection = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = look_at(connection)
        if found.troubles or clock is None:
            return found.words
        broken = [each for each in Checking(connection, SQLITE, clock).cheap() if each.count]
        return "; ".join(f"this doesn't hold: {each.sentence}" for each in broken)
    finally:
        connection.close()


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    for ending in ("", *LOG_ENDINGS):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)


@contextlib.contextmanager
def _written_at(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"no room on the disk of {place}", "make room there") from None
        raise StoreUnavailable(
            f"{place} can't be written: {error.strerror}",
            "let this user write there, or name another place",
        ) from None
