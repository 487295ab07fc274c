"""Choose the store behind the contract; the one place that names a backend."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from arrivals.clock import Clock
from arrivals.store.activity import ActivityLog
from arrivals.store.api import Store
from arrivals.store.folders import DATABASE_NAME
from arrivals.store.sqlite import SqliteStore, connect, migrate
from arrivals.store.sqlite_activity import SqliteActivity

POSTGRESQL_SCHEMES: Final = ("postgresql://", "postgres://")


def open_store(
    place: str | Path,
    clock: Clock,
    *,
    exclusive: bool = True,
    begin_reader: Callable[[], None] | None = None,
) -> Store:
    """Return the store of a data folder or a `postgresql://` URL, not yet opened.

    `exclusive` keeps a folder to one serving process; a command beside it opens without.
    `begin_reader` is called once on every thread that reads.
    """
    if is_postgresql(place):
        from arrivals.store.postgres import PostgresStore  # only where it is used: a tenth of
        # a second of every command otherwise

        return PostgresStore(str(place), clock, holder=holder(), begin_reader=begin_reader)
    return SqliteStore(Path(place), clock, exclusive=exclusive, begin_reader=begin_reader)


def activity_log(place: str | Path) -> ActivityLog:
    """Return the request log of a data folder or a `postgresql://` URL, not yet opened.

    A database's store must have been opened before: it makes the tables.
    """
    if is_postgresql(place):
        from arrivals.store.postgres_activity import PostgresActivity

        return ActivityLog(PostgresActivity(str(place)))
    return ActivityLog(SqliteActivity(Path(place)))


def is_postgresql(place: str | Path) -> bool:
    """Tell whether a place is a PostgreSQL database rather than a data folder."""
    return isinstance(place, str) and place.startswith(POSTGRESQL_SCHEMES)


def holds_database(place: str | Path) -> bool:
    """Tell whether a folder is a data folder already; a database is there or isn't reached."""
    return is_postgresql(place) or (Path(place) / DATABASE_NAME).is_file()


def folder_database(path: Path) -> apsw.Connection:
    """Open the database file of a folder, or make it, with its schema up to date."""
    connection = connect(path)
    migrate(connection)
    return connection


def holder() -> str:
    """Return this process's name among all that use a database."""
    return f"{socket.gethostname()}:{os.getpid()}"
