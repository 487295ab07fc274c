"""SQLite behind the contract: WAL, every commit synced, one writer, many readers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from arrivals.clock import Clock
from arrivals.core.message import TRANSITIONS
from arrivals.store.api import (
    Item,
    Result,
    RuleBroken,
    Step,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    Transaction,
)
from arrivals.store.folders import (
    DATABASE_NAME,
    FilesInPlace,
    FolderLock,
    logs_without_database,
    room_at,
)
from arrivals.store.group_commit import GroupCommit
from arrivals.store.soundness import DAMAGED_FIX, is_out_of_room, look_at
from arrivals.store.sqlite_reader import ReaderPool
from arrivals.store.sqlite_transaction import SqliteTransaction
from arrivals.store.statements import migrations

T = TypeVar("T")

BUSY_TIMEOUT_MS: Final = 5_000  # an admin command's transaction is far shorter
OPEN_AGAIN_S: Final = 0.01
READERS: Final = 2  # one per core of the smallest machine; reading shares the loop's GIL
WAL_AUTOCHECKPOINT_PAGES: Final = 16_000  # 64 MiB: seldom enough not to stall commits
CACHE_KIB: Final = 65_536
OPENING_LOOK_S: Final = 2.0  # for damage, before it is served; `doctor` looks for longer


ROOM_MIN_OCTETS: Final = 1 << 20  # a send to thousands and its events take no more
PROBED: Final = "probed_at"


def _probe(tx: Transaction, items: Sequence[None]) -> list[None]:
    tx.set_setting(PROBED, str(tx.now_us))
    return list(items)


_PROBE: Final = Step("probe", 0, _probe)


def connect(path: Path) -> apsw.Connection:
    """Open a connection with the settings that durability and the readers need."""
    with contextlib.suppress(FileExistsError):
        # The log and its index get the modes of the file they belong to.
        path.touch(mode=0o600, exist_ok=False)
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Plans don't depend on the values: otherwise a claim is prepared anew at every transaction.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    if (mode := _turn_on_log(connection)) != "wal":
        raise StoreUnavailable(f"{path} can't keep a write-ahead log there, only {mode}")
    for pragma in (
        # NORMAL loses acknowledged messages at power loss; FULL syncs at every commit.
        "synchronous = FULL",
        # Elsewhere a sync is one; macOS hands it to the drive and only this empties its cache.
        "fullfsync = ON",
        f"wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}",
        f"cache_size = -{CACHE_KIB}",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _turn_on_log(connection: apsw.Connection) -> object:
    """Turn on the write-ahead log; of several openers of a new file, SQLite lets none wait."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            return connection.execute("PRAGMA journal_mode = WAL").get
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(OPEN_AGAIN_S)


def migrate(connection: apsw.Connection) -> list[int]:
    """Bring the schema up to date, all or nothing; return the migrations that ran.

    Raises StoreUnavailable if a newer Arrivals has been here.
    """
    connection.execute("BEGIN IMMEDIATE").fetchall()
    try:
        ran = _run_missing(connection)
        _fill_moves(connection)
        connection.execute("COMMIT").fetchall()
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK").fetchall()
    return ran


def _run_missing(connection: apsw.Connection) -> list[int]:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY)"
    ).fetchall()
    done = {version for (version,) in connection.execute("SELECT version FROM schema_versions")}
    known = dict(migrations())
    if unknown := done - known.keys():
        raise StoreUnavailable(f"a newer Arrivals made this database (schema {max(unknown)})")
    missing = sorted(known.keys() - done)
    for version in missing:
        connection.execute(known[version]).fetchall()
        connection.execute("INSERT INTO schema_versions VALUES (?)", (version,)).fetchall()
    return missing


def _fill_moves(connection: apsw.Connection) -> None:
    """Make the database's table of moves the core's."""
    legal = {(source.value, target.value) for (source, _), target in TRANSITIONS.items()}
    present = set(connection.execute("SELECT from_state, to_state FROM moves"))
    for move in present - legal:
        connection.execute("DELETE FROM moves WHERE (from_state, to_state) = (?, ?)", move)
    for move in legal - present:
        connection.execute("INSERT INTO moves VALUES (?, ?)", move)


class SqliteStore:
    """The store of one process, in one folder."""

    is_shared: Final = False

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        exclusive: bool = True,
        begin_reader: Callable[[], None] | None = None,
    ) -> None:
        self._begin_reader = begin_reader
        self._folder = folder
        self._clock = clock
        self._exclusive = exclusive
        self._lock: FolderLock | None = None
        self._writer: GroupCommit | None = None
        self._readers: ReaderPool | None = None

    @property
    def path(self) -> Path:
        """The database file."""
        return self._folder / DATABASE_NAME

    @property
    def commits(self) -> tuple[int, int]:
        """How many transactions were committed, and how many items they held."""
        writer = self._open_writer()
        return writer.commits, writer.items

    @property
    def totals(self) -> dict[tuple[str, ...], int]:
        """What was counted in transactions that this process has committed."""
        return dict(self._open_writer().totals)  # one step, beside the writer

    async def open(self) -> None:
        """Open or create the folder and bring its schema up to date; raises a StoreError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._exclusive:
                self._lock = FolderLock(self._folder)
            self._refuse_lone_logs()
            writer = GroupCommit(
                lambda: SqliteWriter(self.path, self._clock, look=self._exclusive)
            )
            await writer.start()
            self._writer = writer
        except OSError as error:
            raise StoreUnavailable(f"{self._folder}: {error.strerror}") from error
        except apsw.Error as error:
            raise named(error) from error
        finally:
            if self._writer is None:
                self._unlock()
        self._readers = ReaderPool(lambda: connect(self.path), READERS, self._begin_reader)

    async def write(self, step: Step[Item, Result], item: Item) -> Result:
        """Run a step for one item in the next shared transaction; return after its commit."""
        return await self._open_writer().write(step, item)

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run a query on a reader's connection, on a reader's thread; raises a StoreError."""
        if self._readers is None:
            raise StoreUnavailable("the store isn't open")
        try:
            return await self._readers.run(query)
        except apsw.Error as error:
            raise named(error) from error

    async def probe(self) -> None:
        """Commit a line of our own, where there is room; raises a StoreError.

        A log that has grown already takes small writes on a full disk, until it doesn't: who
        asked that alone would hear yes and no in turn.
        """
        try:
            room = room_at(self._folder)
        except OSError as error:
            raise StoreUnavailable(f"{self._folder}: {error.strerror}") from error
        if room < ROOM_MIN_OCTETS:
            raise StoreFull("no room on the disk for the database", "make room on that disk")
        await self.write(_PROBE, None)

    async def keep_up(self, keep_days: int | None = None) -> Sequence[str]:  # noqa: ARG002
        """Do nothing: one file needs no room made ahead."""
        return ()

    async def close(self) -> None:
        """Finish what was submitted, then close."""
        if self._writer is not None:
            await self._writer.close()
        readers, self._writer, self._readers = self._readers, None, None
        if readers is not None:
            await asyncio.to_thread(readers.close)
        self._unlock()

    def _refuse_lone_logs(self) -> None:
        """Begin no new database where the log of another lies: it holds its newest messages."""
        if names := logs_without_database(self._folder):
            raise StoreDamaged(
                f"{self._folder} has {' and '.join(names)}, and the database they belong to is "
                "gone",
                f"put {DATABASE_NAME} back beside them, or move all of them away together",
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open_writer(self) -> GroupCommit:
        if self._writer is None:
            raise StoreUnavailable("the store isn't open")
        return self._writer


class SqliteWriter:
    """The writer's connection; implements the group commit's backend."""

    def __init__(self, path: Path, clock: Clock, *, look: bool = False) -> None:
        """Open the database and bring it up to date; `look` for damage before it is served."""
        self._clock = clock
        self._connection = connect(path)
        if look:
            _refuse_damaged(self._connection, path)
        migrate(self._connection)
        self._files = FilesInPlace(path)
        self._transaction: SqliteTransaction | None = None
        self._latest_us = 0

    def begin(self) -> SqliteTransaction:
        """Begin, holding the write lock from the first statement."""
        if self._connection.in_transaction:  # an error met the rollback too
            self._connection.execute("ROLLBACK").fetchall()
        self._connection.execute("BEGIN IMMEDIATE").fetchall()
        self._latest_us = max(self._latest_us + 1, self._clock.now_us())
        self._transaction = SqliteTransaction(self._connection, self._latest_us)
        return self._transaction

    def commit(self) -> None:
        """Write the gathered postings and balances, then commit and sync."""
        if self._transaction is None:
            raise AssertionError("nothing was begun")
        self._files.check()
        self._transaction.finish()
        self._connection.execute("COMMIT").fetchall()

    def rollback(self) -> None:
        """Undo; SQLite may have done so already (a full disk does)."""
        self._transaction = None
        with contextlib.suppress(apsw.Error):  # then the next begin tries, and tells
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK").fetchall()

    def mend(self, error: BaseException) -> bool:  # noqa: ARG002
        """Run nothing anew: nobody else writes in between."""
        return False

    def named(self, error: BaseException) -> BaseException:
        """Turn SQLite's word for trouble into the contract's."""
        return named(error) if isinstance(error, apsw.Error) else error

    def close(self) -> None:
        """Checkpoint and close."""
        self._connection.close()


def _refuse_damaged(connection: apsw.Connection, path: Path) -> None:
    found = look_at(connection, quick=True, seconds=OPENING_LOOK_S)
    if found.troubles:
        connection.close()
        raise StoreDamaged(f"{path} is damaged: {found.words}", DAMAGED_FIX)


def named(error: apsw.Error) -> Exception:
    """Turn SQLite's word for trouble into the contract's, where the contract has one."""
    if is_out_of_room(error):
        return StoreFull("no room on the disk for the database", "make room on that disk")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreUnavailable("the database is locked by another process")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreDamaged("the database file is damaged", DAMAGED_FIX)
    if isinstance(error, apsw.CantOpenError | apsw.IOError | apsw.ReadOnlyError):
        return StoreUnavailable(f"the database can't be read or written: {error}")
    if isinstance(error, apsw.ConstraintError):
        return RuleBroken(str(error))  # names the rule and quotes no value
    return error
