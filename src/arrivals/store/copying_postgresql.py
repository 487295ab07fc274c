"""A whole PostgreSQL database as one end of a copy."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader

from arrivals.store.api import RuleBroken, StoreError, StoreUnavailable
from arrivals.store.beside import shown
from arrivals.store.copying import ROWS_A_STRETCH, TABLES, Row, Totals
from arrivals.store.postgres import _SLOT_LOCK, SLOTS_MAX
from arrivals.store.postgres_beside import changing_database, has_schema
from arrivals.store.postgres_connection import connected, named
from arrivals.store.postgres_schema import migrate

# PostgreSQL's text holds every character but this one, and its JSON no escape of it.
_NUL: Final = "\x00"
_NUL_ESCAPED: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_REPLACED: Final = "\ufffd"

_COLUMNS: Final = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
    " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
# PostgreSQL's own: a slot is a process's, a lease its database's clock's, and events are
# numbered by the transaction that wrote them.
_ITS_OWN: Final = {"events": {"tx"}, "binds": {"leased_until", "up"}}
_BALANCES: Final = (
    "(SELECT account_id, 0::bigint AS slot, currency, sum(available)::bigint AS available,"
    " sum(held)::bigint AS held, sum(credit_limit)::bigint AS credit_limit"
    " FROM balances GROUP BY account_id, currency)"
)
_ORDER_FLOOR: Final = "SELECT value::bigint FROM meta WHERE name = 'order_floor'"

Session = psycopg.Connection[Any]


@contextlib.contextmanager
def taken_whole(url: str, *, empty: bool = False) -> Iterator[Session]:
    """Open a database in one transaction, with every writer's place taken.

    With `empty`, make the schema if there is none, and refuse a database that holds anything.
    Raises StoreError or RuleBroken, whether at once or later; what isn't committed is undone.
    """
    with changing_database(url, "arrivals copy") as session:
        if empty:
            migrate(session)
        elif not has_schema(session):
            raise StoreUnavailable(f"{shown(url)} holds no Arrivals database")
    try:
        with connected(url, application_name="arrivals copy") as connection:
            connection.adapters.register_loader("json", TextLoader)
            connection.execute("SET row_security = off")
            connection.execute("SET synchronous_commit = on")
            connection.commit()
            _take_slots(connection, url)
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            if empty:
                _must_be_empty(connection, url)
            elif connection.execute(
                "SELECT 1 FROM spans WHERE detached_at IS NOT NULL"
            ).fetchone():
                raise StoreUnavailable(f"{shown(url)} has given old spans away; it isn't whole")
            yield connection
            connection.rollback()
    except psycopg.Error as error:
        found = named(error)
        lost = (error.sqlstate or "08")[:2] in {"08", "57"}  # the connection, or the server
        if not isinstance(found, RuleBroken) and not lost:
            found = StoreError(f"the copy failed: {error.diag.message_primary or error}")
        raise found from None


def _take_slots(connection: Session, url: str) -> None:
    for slot in range(SLOTS_MAX):
        taken = connection.execute("SELECT pg_try_advisory_lock(%s)", [_SLOT_LOCK | slot])
        if not taken.fetchall()[0][0]:
            raise StoreUnavailable(f"{shown(url)} is in use by another arrivals process")
    connection.commit()  # the locks are the session's


def _must_be_empty(connection: Session, url: str) -> None:
    for table in TABLES:
        query = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))
        if connection.execute(query).fetchone():
            raise StoreUnavailable(f"{shown(url)} isn't empty: it has {table}")


def _types(connection: Session, table: str) -> dict[str, str]:
    return dict(connection.execute(_COLUMNS, [table]).fetchall())


class PostgresSource:
    """A database that is copied to a folder."""

    def __init__(self, connection: Session) -> None:
        self._connection = connection

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of the columns that a folder has too."""
        own = _ITS_OWN.get(table, set())
        return tuple(name for name in _types(self._connection, table) if name not in own)

    def count(self, table: str) -> int:
        """Return how many rows there are; balances are one for each account."""
        found = self._connection.execute(f"SELECT count(*) FROM {_from(table)} AS t")  # noqa: S608
        return int(found.fetchall()[0][0])

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of a table, in its order."""
        text = f"SELECT {', '.join(columns)} FROM {_from(table)} AS t ORDER BY {TABLES[table]}"  # noqa: S608
        with self._connection.cursor(name="copying") as cursor:
            cursor.itersize = ROWS_A_STRETCH
            yield from cursor.execute(text)


def _from(table: str) -> str:
    return _BALANCES if table == "balances" else table


class PostgresTarget:
    """An empty database that a folder is copied into."""

    def __init__(self, connection: Session) -> None:
        self._connection = connection

    def columns(self, table: str) -> tuple[str, ...]:
        """Return the names of a table's columns."""
        return tuple(_types(self._connection, table))

    def storable(self, table: str, columns: Sequence[str]) -> Callable[[Row], Row]:
        """Return what replaces the one character that PostgreSQL has no place for."""
        types = _types(self._connection, table)
        documents = {place for place, name in enumerate(columns) if types[name] == "json"}

        def storable(row: Row) -> Row:
            if not any(
                isinstance(each, str) and ("\\u0000" in each or _NUL in each) for each in row
            ):
                return row
            return tuple(
                _without_nul(each, is_json=place in documents)
                if isinstance(each, str)
                else each
                for place, each in enumerate(row)
            )

        return storable

    def prepare(self, orders: Sequence[int]) -> None:
        """Make the partitions that orders belong in; raw receipts of past days need none."""
        present = {n for (n,) in self._connection.execute("SELECT n FROM spans").fetchall()}
        for span in sorted(set(orders) - present):
            self._connection.execute("SELECT add_span(%s)", [span])

    def write(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
        """Insert rows with COPY; triggers and constraints see each of them."""
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def totals(self, table: str, columns: Sequence[str]) -> Totals:
        """Return what the table holds now."""
        types = _types(self._connection, table)
        sums = [
            sql.SQL("coalesce(sum({}), 0)::text").format(
                sql.SQL("{}" if types[name] == "bigint" else "length({}::text)").format(
                    sql.Identifier(name)
                )
            )
            for name in columns
        ]
        query = sql.SQL("SELECT count(*), {} FROM {}").format(
            sql.SQL(", ").join(sums), sql.Identifier(table)
        )
        count, *found = self._connection.execute(query).fetchall()[0]
        return Totals(tuple(columns), count, [int(each) for each in found])

    def commit(self) -> None:
        """Let every sequence go on above the ids that came, and make it all durable."""
        execute = self._connection.execute
        floor = execute(_ORDER_FLOOR).fetchone()
        highest = max(self._highest("orders"), floor[0] if floor else 0)
        self._continue("order_ids", highest)
        self._continue("posting_ids", self._highest("postings"))
        for table in ("rates", "parked_receipts", "raw_receipts", "batches", "alarms"):
            found = execute("SELECT pg_get_serial_sequence(%s, 'id')", [table]).fetchall()
            self._continue(found[0][0], self._highest(table))
        spans = {n for (n,) in execute("SELECT n FROM spans").fetchall()}
        for span in sorted({(highest + 1) >> 24, ((highest + 1) >> 24) + 1} - spans):
            execute("SELECT add_span(%s)", [span])
        self._connection.commit()
        self._connection.autocommit = True
        execute("ANALYZE")  # without it the first plans are guesses about empty tables
        self._connection.autocommit = False

    def _highest(self, table: str) -> int:
        query = sql.SQL("SELECT coalesce(max(id), 0) FROM {}").format(sql.Identifier(table))
        return int(self._connection.execute(query).fetchall()[0][0])

    def _continue(self, sequence: str, highest: int) -> None:
        if highest:
            self._connection.execute("SELECT setval(%s::regclass, %s)", [sequence, highest])


def _without_nul(text: str, *, is_json: bool) -> str:
    if is_json:
        text = _NUL_ESCAPED.sub(lambda found: found[1] + _REPLACED, text)
    return text.replace(_NUL, _REPLACED)
