"""Move a whole installation from a data folder to a PostgreSQL database, or back.

Nobody may write at either end meanwhile: a folder is locked as if it were served, and then as
if by a writer; of a database every writer's place is taken. What arrives is one transaction (of
a folder: one file, named when it is whole), in which the target's own rules stay in force; so
whatever goes wrong leaves nothing. What was read is counted and summed row by row, and compared
with what the target holds before that is committed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from arrivals.store.api import StoreError, StoreUnavailable
from arrivals.store.backend import is_postgresql
from arrivals.store.beside import shown
from arrivals.store.migrating import plan_of

# Every table that both dialects have, and the order of its rows. Adjustments come after the
# messages that they adjust, and in turn: the database sees to that at every insert.
TABLES: Final = {
    "meta": "name",
    "catalogue": "kind, id",
    "price_lists": "route_id, version",
    "rates": "id",
    "postings": "id",
    "balances": "account_id",
    "batches": "id",
    "orders": "id",
    "messages": "id",
    "adjustments": "message_id, n",
    "events": "message_id, seq",
    "handoffs": "message_id, attempt, part",
    "parked_receipts": "id",
    "parked_forms": "parked_id",
    "parked_heard": "provider_id, form",
    "raw_receipts": "id",
    "idempotency": "at",
    "binds": "provider_id",
    "alarms": "id",
    "answerable": "at",
}
ROWS_A_STRETCH: Final = 5_000  # read at once, and between two reports of progress

Row = tuple[Any, ...]
Progress = Callable[[str, int, int], None]  # table, rows done, rows in all


@dataclass
class Totals:
    """How many rows of a table there are, and each column's sum: of a text, its length."""

    columns: tuple[str, ...]
    rows: int = 0
    sums: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = self.sums or [0] * len(self.columns)

    def add(self, row: Row) -> None:
        """Count a row in."""
        self.rows += 1
        for place, value in enumerate(row):
            if value is not None:
                self.sums[place] += len(value) if isinstance(value, str) else value


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What was moved."""

    rows: dict[str, int]  # by table


class Source(Protocol):
    """Where an installation is; nobody writes there until it is closed."""

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns that can be copied."""

    def count(self, table: str) -> int:
        """Return how many rows there are to be copied."""

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of a table, in its order."""


class Target(Protocol):
    """Where it goes to: an open transaction that nobody else sees."""

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns."""

    def storable(self, table: str, columns: Sequence[str]) -> Callable[[Row], Row]:
        """Return what makes a row one that can be stored there."""

    def prepare(self, orders: Sequence[int]) -> None:
        """Make room for orders of these spans."""

    def write(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
        """Insert rows."""

    def totals(self, table: str, columns: Sequence[str]) -> Totals:
        """Return what the table holds now."""

    def commit(self) -> None:
        """Continue ids above the copied ones, and make it all durable."""


def copy_installation(source: str | Path, target: str | Path, progress: Progress) -> Copied:
    """Copy everything from one place into an empty one of the other kind, all or nothing.

    Raises StoreError, or RuleBroken if the target's rules refuse a row.
    """
    if is_postgresql(source) == is_postgresql(target):
        raise StoreUnavailable(
            "a database is copied to another by pg_dump and pg_restore"
            if is_postgresql(source)
            else "a folder is copied to another by `arrivals backup` and `arrivals restore`"
        )
    plan = plan_of(source)
    if plan.schema is None:
        raise StoreUnavailable(f"{shown(source)} holds no Arrivals database")
    if plan.waiting:
        raise StoreUnavailable(
            f"{shown(source)} isn't up to date: run `arrivals migrate` first"
        )
    with contextlib.ExitStack() as stack:
        opened, into = _open(stack, source, target)
        return Copied(rows=_copy(opened, into, progress))


def _open(
    stack: contextlib.ExitStack, source: str | Path, target: str | Path
) -> tuple[Source, Target]:
    from arrivals.store.copying_folders import FolderSource, folder_target
    from arrivals.store.copying_postgresql import PostgresSource, PostgresTarget, taken_whole

    if is_postgresql(source):
        session = stack.enter_context(taken_whole(str(source)))
        return PostgresSource(session), stack.enter_context(folder_target(Path(target)))
    folder = stack.enter_context(FolderSource.of(Path(source)))
    session = stack.enter_context(taken_whole(str(target), empty=True))
    return folder, PostgresTarget(session)


def _copy(source: Source, target: Target, progress: Progress) -> dict[str, int]:
    orders = sorted({int(span) for (span,) in source.rows("orders", ["id >> 24"])})
    target.prepare(orders)
    found: dict[str, int] = {}
    for table in TABLES:
        columns = source.columns(table)
        if unknown := set(columns) - set(target.columns(table)):
            raise StoreError(f"the target has no place for {table}.{min(unknown)}")
        read = Totals(columns)
        count = source.count(table)
        progress(table, 0, count)
        storable = target.storable(table, columns)
        rows = _counted(source.rows(table, columns), storable, read, table, count, progress)
        target.write(table, columns, rows)
        _compare(table, count, read, target.totals(table, columns))
        progress(table, count, count)
        found[table] = count
    target.commit()
    return found


def _counted(
    rows: Iterator[Row],
    storable: Callable[[Row], Row],
    totals: Totals,
    table: str,
    count: int,
    progress: Progress,
) -> Iterator[Row]:
    for row in rows:
        stored = storable(row)
        totals.add(stored)
        yield stored
        if totals.rows % ROWS_A_STRETCH == 0:
            progress(table, totals.rows, count)


def _compare(table: str, count: int, read: Totals, written: Totals) -> None:
    if not count == read.rows == written.rows:
        raise StoreError(
            f"{table}: {count} rows were there, {read.rows} were read, {written.rows} arrived"
        )
    for column, before, after in zip(read.columns, read.sums, written.sums, strict=True):
        if before != after:
            raise StoreError(f"{table}.{column} sums to {before} before and {after} after")
