"""Look into a database beside the processes that serve it: read only, in short transactions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.store.api import StoreDamaged, StoreError, StoreFull, StoreUnavailable
from arrivals.store.backend import holds_database, is_postgresql
from arrivals.store.documents import read_catalogue
from arrivals.store.folders import DATABASE_NAME
from arrivals.store.reading import ReadingConnection
from arrivals.store.soundness import DAMAGED_FIX, Looked, look_at
from arrivals.store.statements import POSTGRESQL, SQLITE, statements

BUSY_TIMEOUT_MS: Final = 5_000


@contextlib.contextmanager
def looking_into(place: str | Path) -> Iterator[tuple[ReadingConnection, str]]:
    """Open a data folder or the database of a URL for reading; also give its dialect.

    Raises StoreError, whether at once or while it is read.
    """
    if is_postgresql(place):
        from arrivals.store.postgres_beside import reading_database  # where it is used only

        with reading_database(str(place)) as session:
            yield session, POSTGRESQL
    else:
        with reading(Path(place)) as connection:
            yield connection, SQLITE


@contextlib.contextmanager
def noting_in(place: str | Path) -> Iterator[ReadingConnection]:
    """Open a database for one small statement that changes it; raises StoreError.

    Of a folder nothing waits for its sync, and a power cut may undo it.
    """
    if is_postgresql(place):
        from arrivals.store.postgres_beside import changing_database

        with changing_database(str(place), "arrivals note") as session:
            yield session
    else:
        with reading(Path(place), query_only=False) as connection:
            yield connection


def kept_setting(place: str | Path, name: str) -> str | None:
    """Return a value of the installation itself, if it has one; raises StoreError."""
    with looking_into(place) as (connection, dialect):
        found = connection.execute(statements("write", dialect)["setting"], (name,)).get
    return None if found is None else str(found)


def kept_catalogue(place: str | Path) -> Catalogue:
    """Return the catalogue without its prices; raises StoreError."""
    with looking_into(place) as (connection, dialect):
        texts = statements("write", dialect)

        def rows(name: str, *values: Any) -> list[Any]:
            if name == "price_lists":
                return []
            return connection.execute(texts[name], values).fetchall()

        return read_catalogue(rows)


def must_hold_database(place: str | Path) -> None:
    """Raise StoreUnavailable if a folder or a database is empty, or isn't reached."""
    if is_postgresql(place):
        with looking_into(place):
            return
    if not holds_database(place):
        raise StoreUnavailable(f"{place} holds no Arrivals database")


def shown(place: str | Path) -> str:
    """Return a place in words for a person or a log: a URL without its password."""
    if is_postgresql(place):
        from arrivals.store.postgres_words import without_password  # where it is used only

        return without_password(str(place))
    return str(place)


@contextlib.contextmanager
def reading(folder: Path, *, query_only: bool = True) -> Iterator[apsw.Connection]:
    """Open the database of a data folder for reading, or for a note in it.

    Raises StoreUnavailable if there is none or it is locked, StoreError if it is damaged,
    whether at once or while it is read.
    """
    path = folder / DATABASE_NAME
    if not path.is_file():
        raise StoreUnavailable(f"{folder} holds no Arrivals database")
    try:
        # Not SQLITE_OPEN_READONLY: a log that a killed process left has to be recovered.
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.execute(f"PRAGMA query_only = {query_only:d}").fetchall()
            # The server's writer syncs and copies back the log, not whoever comes by.
            connection.execute("PRAGMA synchronous = NORMAL").fetchall()
            connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
            yield connection
        finally:
            connection.close()
    except (apsw.BusyError, apsw.LockedError):
        raise StoreUnavailable(f"{path} is locked by another process") from None
    except (apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError, apsw.ReadOnlyError):
        raise StoreUnavailable(f"{path} can't be opened by this user") from None
    except (apsw.CorruptError, apsw.NotADBError):
        raise StoreDamaged(f"{path} is damaged, or not a database", DAMAGED_FIX) from None
    except (UnicodeDecodeError, msgspec.DecodeError):  # which quote what they couldn't read
        raise StoreDamaged(
            f"{path} is damaged: it holds a text that can't be read", DAMAGED_FIX
        ) from None
    except apsw.FullError:
        raise StoreFull(f"no room on the disk of {path}") from None
    except apsw.SQLError as error:
        raise StoreError(
            f"{path} isn't an Arrivals database of this version: {error}"
        ) from None
    except apsw.Error as error:
        raise StoreError(f"{path} can't be read: {error}") from None


class DatabaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a database says about itself."""

    sqlite_version: str
    journal_mode: str
    octets: int
    log_octets: int  # of the write-ahead log beside it
    schema_version: int
    catalogue_version: int


def database_facts(folder: Path) -> DatabaseFacts:
    """Return what the database of a data folder says about itself; raises StoreError."""
    path = folder / DATABASE_NAME
    log = path.with_name(f"{DATABASE_NAME}-wal")
    with reading(folder) as connection:
        version = connection.execute(
            "SELECT value FROM meta WHERE name = 'catalogue_version'"
        ).get
        return DatabaseFacts(
            sqlite_version=apsw.sqlite_lib_version(),
            journal_mode=str(connection.execute("PRAGMA journal_mode").get),
            octets=path.stat().st_size,
            log_octets=log.stat().st_size if log.exists() else 0,
            schema_version=int(
                connection.execute("SELECT max(version) FROM schema_versions").get or 0
            ),
            catalogue_version=int(version or 0),
        )


def look_for_damage(folder: Path, seconds: float | None = None) -> Looked:
    """Look at every page and text of a folder's database, for so long at most.

    The log can't be copied back meanwhile, and grows. Never raises a StoreError.
    """
    try:
        with reading(folder) as connection:
            return look_at(connection, seconds=seconds)
    except StoreError as error:
        return Looked(troubles=(str(error),), finished=True)
