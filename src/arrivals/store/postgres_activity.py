"""Keep the request log in a database, where every process writes its own requests to it.

Its session is its own, and commits without waiting for the disk: what it loses is telemetry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from arrivals.store.api import StoreUnavailable
from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.statements import POSTGRESQL

# Nobody waits for it, and it must hold up nobody: a statement is given up after two seconds.
SETTINGS: Final = (
    "SET synchronous_commit = off; SET statement_timeout = '2s'; SET lock_timeout = '1s'"
)


class PostgresActivity:
    """The log's tables in a database that has the schema."""

    dialect = POSTGRESQL

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: PostgresConnection | None = None

    def open(self) -> None:
        """Connect."""
        try:
            self._connected()
        except psycopg.Error as error:
            raise _unavailable(error) from error

    def write(self, written: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        """Run statements in one transaction."""
        try:
            session = self._connected()
            session.script("BEGIN")
            try:
                for text, values in written:
                    session.execute(text, values)
                session.script("COMMIT")
            except psycopg.Error:
                if not session.is_broken:
                    session.script("ROLLBACK")
                raise
        except psycopg.Error as error:
            raise _unavailable(error) from error

    def rows(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        """Return what a statement finds."""
        try:
            return self._connected().execute(text, values).fetchall()
        except psycopg.Error as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Give the session back."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _connected(self) -> PostgresConnection:
        """Return the session; one that was lost is replaced."""
        if self._session is None or self._session.is_broken:
            self._session = PostgresConnection(
                self._url, application="arrivals activity", settings=SETTINGS
            )
        return self._session


def _unavailable(error: psycopg.Error) -> StoreUnavailable:
    return StoreUnavailable(f"the request log can't be used: {type(error).__name__}")
