"""Readers beside the writer: connections of their own, on threads of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from arrivals.store.queries import Reader
from arrivals.store.statements import SQLITE

T = TypeVar("T")


class ReaderPool:
    """Run queries on a few threads, each with its own read-only connection."""

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        threads: int,
        begin: Callable[[], None] | None = None,
    ) -> None:
        """Read on `threads` threads, each of which calls `begin` first."""
        self._connect = connect
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._threads = ThreadPoolExecutor(threads, "arrivals-reader", begin)

    async def run(self, query: Callable[[Reader], T]) -> T:
        """Run one query; a long one holds back the log's checkpoint, so it must be bounded."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._run_here, query
        )

    def close(self) -> None:
        """Wait for what runs, then close."""
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _run_here(self, query: Callable[[Reader], T]) -> T:
        if not hasattr(self._local, "reader"):
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON").fetchall()
            self._connections.append(connection)
            self._local.reader = Reader(connection, SQLITE)
        return query(self._local.reader)
