"""Mistakes to be planted: a proof that finds none of them proves nothing."""

from __future__ import annotations

from arrivals.store.sqlite import SqliteWriter
from arrivals.store.sqlite_transaction import SqliteTransaction

# The callers hear before the disk does.
CARELESS_PRAGMAS = ("synchronous = NORMAL",)


class LateWriter(SqliteWriter):
    """Commit when the next transaction begins: after everybody was answered."""

    _is_late = False

    def begin(self) -> SqliteTransaction:
        if self._is_late:
            self._is_late = False
            super().commit()
        return super().begin()

    def commit(self) -> None:
        self._is_late = True


class HalvingWriter(SqliteWriter):
    """Commit the money of a transaction by itself, after all the rest."""

    def commit(self) -> None:
        if self._transaction is None:
            raise AssertionError("nothing was begun")
        self._connection.execute("COMMIT").fetchall()
        self._connection.execute("BEGIN IMMEDIATE").fetchall()
        super().commit()
