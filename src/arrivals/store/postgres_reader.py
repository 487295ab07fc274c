"""Read on PostgreSQL: what an account asks for is read in a role that sees no other's rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.queries import Reader
from arrivals.store.statements import POSTGRESQL


class PostgresReader(Reader):
    """The verbs of one reading session."""

    def __init__(self, session: PostgresConnection) -> None:
        super().__init__(session, POSTGRESQL)
        self._session = session

    @property
    def is_broken(self) -> bool:
        """Whether the session is lost."""
        return self._session.is_broken

    @contextlib.contextmanager
    def seen_by(self, account_id: int) -> Iterator[None]:
        """Show one state of the database, and of it this account's rows only."""
        if self._session.in_transaction:
            yield
            return
        self._session.script(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
            "SET LOCAL ROLE arrivals_tenant;"
            f"SET LOCAL arrivals.account = '{int(account_id)}'"
        )
        try:
            yield
        finally:
            if not self._session.is_broken:
                self._session.script("ROLLBACK")
