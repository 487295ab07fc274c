"""For simulations: a disk that is full, that fails at a statement, or whose process is dead.

It stands where every connection's statements pass by, so the store's own code meets the
errors where SQLite would raise them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import apsw

_WRITER = "BEGIN IMMEDIATE"


class FaultyDisk:
    """What happens to the statements of one folder's databases."""

    def __init__(self, folder: Path) -> None:
        """Watch every connection to the folder that is opened from now on."""
        self.full = False
        self.statements = 0
        self._folder = str(folder)
        self._fails_at: int | None = None
        self._gone: set[int] = set()  # generations of connections whose process is dead
        self._generation = 0
        self._hook = self._watch
        apsw.connection_hooks.append(self._hook)

    def close(self) -> None:
        """Watch no longer."""
        apsw.connection_hooks.remove(self._hook)

    def fail_in(self, statements: int) -> None:
        """Let one of the writer's statements fail."""
        self._fails_at = self.statements + max(1, statements)

    def take_from_the_living(self) -> None:
        """Let nothing more be done over the connections there are: their process is dead."""
        self._gone.add(self._generation)
        self._generation += 1

    def _watch(self, connection: apsw.Connection) -> None:
        if connection.filename.startswith(self._folder):
            connection.exec_trace = partial(self._trace, connection, self._generation, [False])

    def _trace(
        self,
        connection: apsw.Connection,
        generation: int,
        is_small: list[bool],
        cursor: apsw.Cursor,  # noqa: ARG002 - apsw's signature
        sql: str,
        bindings: Any,  # noqa: ARG002 - apsw's signature
    ) -> bool:
        if generation in self._gone:
            raise apsw.IOError("the process is dead")
        if sql.startswith("PRAGMA max_page_count"):
            return True
        if sql.startswith(_WRITER) and is_small[0] is not self.full:
            is_small[0] = self.full
            pages = 1 if self.full else 1 << 30  # SQLite keeps to what the file has already
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        if connection.in_transaction:
            self.statements += 1
            if self._fails_at is not None and self.statements >= self._fails_at:
                self._fails_at = None
                raise apsw.IOError("disk I/O error")
        return True
