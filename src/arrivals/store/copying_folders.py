"""A data folder as one end of a copy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw

from arrivals.store.api import RuleBroken, StoreError, StoreUnavailable
from arrivals.store.backend import folder_database, holds_database
from arrivals.store.copying import TABLES, Row, Totals
from arrivals.store.folders import (
    DATABASE_NAME,
    LOG_ENDINGS,
    UNFINISHED_NAME,
    kept_from_serving,
    left_over,
    sync_folder,
)


class FolderSource:
    """A folder that is copied to a database."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def of(cls, folder: Path) -> Iterator[FolderSource]:
        """Open a folder that nobody serves, and let nobody write; raises StoreError."""
        if not holds_database(folder):
            raise StoreUnavailable(f"{folder} holds no Arrivals database")
        with kept_from_serving(folder), _contract_errors(folder):
            connection = folder_database(folder / DATABASE_NAME)
            try:
                connection.execute("BEGIN IMMEDIATE").fetchall()
                yield cls(connection)
            finally:
                connection.close()

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns."""
        return _columns(self._connection, table)

    def count(self, table: str) -> int:
        """Return how many rows there are."""
        return int(str(self._connection.execute(f"SELECT count(*) FROM {table}").get))  # noqa: S608

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of a table, in its order."""
        text = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {TABLES[table]}"  # noqa: S608
        yield from self._connection.execute(text)


class FolderTarget:
    """A folder without a database, that another is copied into."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns."""
        return _columns(self._connection, table)

    def storable(self, table: str, columns: Sequence[str]) -> Callable[[Row], Row]:  # noqa: ARG002
        """Return a row as it is: SQLite has a place for everything."""
        return lambda row: row

    def prepare(self, orders: Sequence[int]) -> None:
        """Make room: there is room for all."""

    def write(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
        """Insert rows; triggers and constraints see each of them."""
        marks = ", ".join("?" * len(columns))
        text = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
        self._connection.executemany(text, rows).fetchall()

    def totals(self, table: str, columns: Sequence[str]) -> Totals:
        """Return what the table holds now."""
        # In halves: a sum of times outgrows 64 bits, and SQLite's own gives up then.
        size = "CASE typeof({0}) WHEN 'text' THEN length({0}) ELSE {0} END"
        sums = ", ".join(
            f"coalesce(sum({size.format(name)} {half}), 0)"
            for name in columns
            for half in (">> 32", "& 4294967295")
        )
        found = self._connection.execute(f"SELECT count(*), {sums} FROM {table}").fetchall()  # noqa: S608
        count, *halves = (int(str(value)) for value in found[0])
        each = [(high << 32) + low for high, low in zip(halves[::2], halves[1::2], strict=True)]
        return Totals(tuple(columns), count, each)

    def commit(self) -> None:
        """Make it all durable; ids go on above the highest by themselves."""
        self._connection.execute("COMMIT").fetchall()


@contextlib.contextmanager
def folder_target(folder: Path) -> Iterator[FolderTarget]:
    """Make a database in a folder that has none; it gets its name when it is whole."""
    if names := left_over(folder):
        raise StoreUnavailable(
            f"{folder} isn't empty: it has {', '.join(names)}", "name a new folder with --to"
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = folder / UNFINISHED_NAME
    with kept_from_serving(folder), _contract_errors(folder):
        _remove(unfinished)
        try:
            connection = folder_database(unfinished)
            try:
                connection.execute("BEGIN IMMEDIATE").fetchall()
                yield FolderTarget(connection)
                connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            finally:
                connection.close()
            unfinished.rename(folder / DATABASE_NAME)
            sync_folder(folder)
        finally:
            _remove(unfinished)


def _columns(connection: apsw.Connection, table: str) -> tuple[str, ...]:
    return tuple(str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})"))


def _remove(path: Path) -> None:
    for ending in ("", *LOG_ENDINGS):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)


@contextlib.contextmanager
def _contract_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except apsw.ConstraintError as error:
        raise RuleBroken(str(error)) from None
    except (apsw.BusyError, apsw.LockedError):
        raise StoreUnavailable(f"{folder} is in use by another arrivals process") from None
    except apsw.Error as error:
        raise StoreError(f"{folder} can't be read or written: {error}") from None
