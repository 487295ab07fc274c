"""Look into a PostgreSQL database beside the processes that serve it: read only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg

from arrivals.store.api import StoreError, StoreUnavailable
from arrivals.store.beside import without_password
from arrivals.store.postgres_connection import PostgresConnection, named

# Outside a transaction every statement is one of its own, so no old snapshot is ever held.
# A table is read in stretches of its key, or looked up row by row: without statistics the
# planner would join whole tables. What row security would hide must be an error, not a clean
# bill.
_LOOK: Final = (
    "SET default_transaction_read_only = on; SET row_security = off; SET jit = off;"
    " SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)
# No such table, column or function.
_SCHEMA_MISSING: Final = frozenset({"42P01", "42703", "42883"})


@contextlib.contextmanager
def reading_database(url: str) -> Iterator[PostgresConnection]:
    """Open the database of a URL for reading.

    Raises StoreUnavailable if it isn't reached or has no schema yet, StoreError if it can't be
    read, whether at once or later.
    """
    try:
        session = _connect(url)
        try:
            if not has_schema(session):
                raise StoreUnavailable(f"{without_password(url)} holds no Arrivals database")
            yield session
        finally:
            session.close()
    except psycopg.Error as error:
        if error.sqlstate in _SCHEMA_MISSING:
            raise StoreError(
                f"{without_password(url)} isn't an Arrivals database of this version: "
                f"{error.diag.message_primary}"
            ) from None
        found = named(error)
        if isinstance(found, psycopg.Error):
            found = StoreError(f"the database can't be read: {why(error)}")
        raise found from None


def _connect(url: str) -> PostgresConnection:
    try:
        return PostgresConnection(url, application="arrivals look", settings=_LOOK)
    except psycopg.ProgrammingError as error:  # the URL itself can't be read
        raise StoreUnavailable(f"{without_password(url)} can't be used: {error}") from None
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the database can't be reached: {why(error)}") from None


def why(error: psycopg.Error) -> str:
    """Return what the server or the system said, in one line."""
    words = error.diag.message_primary or str(error)
    return (words.strip().splitlines() or [""])[-1].rpartition("failed: ")[2].strip()


def has_schema(session: PostgresConnection) -> bool:
    """Tell whether an Arrivals has made its tables there."""
    return session.execute("SELECT to_regclass('schema_versions')").get is not None
