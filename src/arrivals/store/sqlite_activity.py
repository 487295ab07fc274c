"""Keep the request log in a SQLite file beside the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from arrivals.store.api import StoreUnavailable
from arrivals.store.statements import SQLITE, statements

FILE_NAME: Final = "activity.db"
BUSY_TIMEOUT_MS: Final = 2_000


class SqliteActivity:
    """The log's tables in a file that isn't synced."""

    dialect = SQLITE

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._connection: apsw.Connection | None = None

    def open(self) -> None:
        """Open or create the file."""
        try:
            connection = apsw.Connection(str(self._path))
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            self._path.chmod(0o600)
            for pragma in ("journal_mode = WAL", "synchronous = OFF"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute(statements("activity", SQLITE)["schema"]).fetchall()
        except apsw.Error as error:
            raise _unavailable(error) from error
        self._connection = connection

    def write(self, written: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        """Run statements in one transaction."""
        connection = self._opened()
        try:
            with connection:
                for text, values in written:
                    connection.execute(text, values).fetchall()
        except apsw.Error as error:
            raise _unavailable(error) from error

    def rows(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        """Return what a statement finds."""
        try:
            return self._opened().execute(text, values).fetchall()
        except apsw.Error as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> apsw.Connection:
        if self._connection is None:
            raise StoreUnavailable("the request log isn't open")
        return self._connection


def _unavailable(error: apsw.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the request log can't be used: {type(error).__name__}")
