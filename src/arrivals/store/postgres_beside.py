"""Look into a PostgreSQL database beside the processes that serve it: read only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import msgspec
import psycopg

from arrivals.clock import Clock
from arrivals.store.api import StoreError, StoreUnavailable
from arrivals.store.postgres_connection import PostgresConnection, named
from arrivals.store.postgres_schema import missing_migrations
from arrivals.store.postgres_words import without_password

# Outside a transaction every statement is one of its own, so no old snapshot is ever held.
# A table is read in stretches of its key, or looked up row by row: without statistics the
# planner would join whole tables. What row security would hide must be an error, not a clean
# bill.
_LOOK: Final = (
    "SET default_transaction_read_only = on; SET row_security = off; SET jit = off;"
    " SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)
CLOCK_LOOKS: Final = 5

# No such table, column or function.
_SCHEMA_MISSING: Final = frozenset({"42P01", "42703", "42883"})


@contextlib.contextmanager
def reading_database(url: str) -> Iterator[PostgresConnection]:
    """Open the database of a URL for reading.

    Raises StoreUnavailable if it isn't reached or has no schema yet, StoreError if it can't be
    read, whether at once or later.
    """
    with session_beside(url) as session:
        if not has_schema(session):
            raise StoreUnavailable(f"{without_password(url)} holds no Arrivals database")
        yield session


@contextlib.contextmanager
def session_beside(url: str) -> Iterator[PostgresConnection]:
    """Open any database for reading; raises StoreError, whether at once or later."""
    with _session(url, "arrivals look", _LOOK) as session:
        yield session


@contextlib.contextmanager
def changing_database(url: str, application: str) -> Iterator[PostgresConnection]:
    """Open any database to change more than messages; raises StoreError or RuleBroken."""
    with _session(url, application, "SET row_security = off") as session:
        yield session


@contextlib.contextmanager
def _session(url: str, application: str, settings: str) -> Iterator[PostgresConnection]:
    """Open a session, and turn PostgreSQL's words for trouble into the contract's."""
    try:
        session = PostgresConnection(url, application=application, settings=settings)
        try:
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


def why(error: psycopg.Error) -> str:
    """Return what the server said, in one line."""
    words = error.diag.message_primary or "it ended the session"
    return words.strip().splitlines()[-1]


def has_schema(session: PostgresConnection) -> bool:
    """Tell whether an Arrivals has made its tables there."""
    return session.execute("SELECT to_regclass('schema_versions')").get is not None


class PostgresFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a database and its server say about themselves."""

    version: int  # the first number of it
    version_text: str
    is_standby: bool
    settings: dict[str, str]  # as the server has them for whoever sets nothing
    encoding: str
    octets: int
    schema_version: int | None  # None: there is none yet
    missing: list[int]  # migrations
    refused: str  # why this program can't work with the schema; "": it can
    has_tenant_role: bool
    ahead_us: int  # how far the database's clock is ahead of this machine's
    unsure_us: int  # by how much that may be wrong


_SETTINGS: Final = (
    "SELECT name, reset_val FROM pg_settings"
    " WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')"
)
_SERVER: Final = (
    "SELECT current_setting('server_version_num')::int / 10000,"
    " current_setting('server_version'), pg_is_in_recovery(),"
    " current_setting('server_encoding'), pg_database_size(current_database())"
)


def postgres_facts(url: str, clock: Clock) -> PostgresFacts:
    """Return what the database of a URL says about itself; raises StoreError."""
    with session_beside(url) as session:
        settings = dict(session.execute(_SETTINGS).fetchall())
        version, text, is_standby, encoding, octets = session.execute(_SERVER).fetchall()[0]
        schema_version, missing, refused = None, list[int](), ""
        if has_schema(session):
            schema_version = session.execute("SELECT max(version) FROM schema_versions").get
            try:
                missing = missing_migrations(session)
            except StoreUnavailable as error:
                refused = str(error)
        ahead_us, unsure_us = _clock_difference(session, clock)
        return PostgresFacts(
            version=version,
            version_text=text,
            is_standby=is_standby,
            settings=settings,
            encoding=encoding,
            octets=octets,
            schema_version=schema_version,
            missing=missing,
            refused=refused,
            has_tenant_role=_can_be_tenant(session),
            ahead_us=ahead_us,
            unsure_us=unsure_us,
        )


def _can_be_tenant(session: PostgresConnection) -> bool:
    """Try it: to be a member is not enough on every version."""
    try:
        session.script("BEGIN; SET LOCAL ROLE arrivals_tenant; ROLLBACK")
    except psycopg.errors.DatabaseError:
        session.script("ROLLBACK")
        return False
    return True


def _clock_difference(session: PostgresConnection, clock: Clock) -> tuple[int, int]:
    """Return how far the database's clock is ahead, and half the round trip, the shortest."""
    question = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    found = []
    for _ in range(CLOCK_LOOKS):
        asked = clock.now_us()
        theirs = int(session.execute(question).get)
        answered = clock.now_us()
        found.append(((answered - asked) // 2, theirs - (asked + answered) // 2))
    unsure_us, ahead_us = min(found)
    return ahead_us, unsure_us
