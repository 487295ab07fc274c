"""A data folder: what is in it, who may serve from it, and whether its files stay in place."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from arrivals.store.api import StoreUnavailable

DATABASE_NAME: Final = "arrivals.db"
REQUESTS_NAME: Final = "activity.db"
LOCK_NAME: Final = "lock"
LOG_ENDINGS: Final = ("-wal", "-shm", "-journal")
UNFINISHED_NAME: Final = f".{DATABASE_NAME}.unfinished"


def left_over(folder: Path) -> list[str]:
    """Return the names of all that belongs to a database in a folder, whole or not.

    A log is played back into whichever database lies beside it, be it another one's.
    """
    names = [
        f"{name}{ending}"
        for name in (DATABASE_NAME, UNFINISHED_NAME, REQUESTS_NAME)
        for ending in ("", *LOG_ENDINGS)
    ]
    return [name for name in names if os.path.lexists(folder / name)]


def logs_without_database(folder: Path) -> list[str]:
    """Return the names of logs whose database is gone; a new one would swallow them.

    A file without content is no database either, and what begins with it has no log yet.
    """
    database = folder / DATABASE_NAME
    if not database.exists():
        endings: Sequence[str] = LOG_ENDINGS
    elif not database.stat().st_size:
        endings = LOG_ENDINGS[:1]
    else:
        return []
    names = [f"{DATABASE_NAME}{ending}" for ending in endings]
    return [name for name in names if (folder / name).exists()]


def room_at(folder: Path) -> int:
    """Return how many octets this user may still write on a folder's disk."""
    found = os.statvfs(folder)
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail  # some is kept for root
    return free * found.f_frsize


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a file's own sync says nothing of its name."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class FolderLock:
    """Keep a data folder to one serving process; the kernel frees it when that dies.

    What is locked is the folder itself, and that of the database where its file is a link to
    elsewhere: nobody can delete those and leave the database. The file `lock` is what servers
    of earlier versions lock; with `make` false it isn't made where there is none.
    """

    def __init__(self, folder: Path, *, make: bool = True) -> None:
        self._files: list[int] = []
        places = {folder.resolve(), (folder / DATABASE_NAME).resolve().parent}
        try:
            for each in sorted(places):
                if each.is_dir():
                    self._take(each, os.O_RDONLY)
            if make or (folder / LOCK_NAME).exists():
                self._take(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT)
        except BlockingIOError:
            self.release()
            raise StoreUnavailable(
                f"{folder} is in use by another arrivals process",
                "stop that process, or choose another folder with --data",
            ) from None
        except OSError:
            self.release()
            raise

    def _take(self, path: Path, flags: int) -> None:
        self._files.append(os.open(path, flags, 0o600))
        fcntl.flock(self._files[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Give the folder free."""
        files, self._files = self._files, []
        for each in files:
            os.close(each)


@contextlib.contextmanager
def kept_from_serving(folder: Path, *, make: bool = True) -> Iterator[None]:
    """Hold a folder as a serving process would; raises StoreUnavailable if one does."""
    lock = FolderLock(folder, make=make)
    try:
        yield
    finally:
        lock.release()


class FilesInPlace:
    """A database's files as they were when it was opened.

    A process writes on into a file that was deleted or moved away, and what it writes there is
    lost. So this is asked before a commit: three looks at names, some microseconds.
    """

    def __init__(self, database: Path) -> None:
        """Remember the database and its log, as far as they are there."""
        paths = [database, *(database.with_name(f"{database.name}{e}") for e in LOG_ENDINGS)]
        self._known: Sequence[tuple[Path, tuple[int, int]]] = [
            (each, found) for each in paths if (found := _identity(each)) is not None
        ]

    def check(self) -> None:
        """Raise StoreUnavailable if one isn't where it was."""
        for path, known in self._known:
            if _identity(path) != known:
                raise StoreUnavailable(
                    f"{path} was moved, deleted or replaced while it is in use",
                    "put back the very file that was there, else stop the server: what it "
                    "writes from now on would be lost, so it takes nothing",
                )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path's own takes thrice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino
