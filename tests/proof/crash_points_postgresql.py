"""The same kills of a process whose database is a PostgreSQL server, which goes on running.

    python -m tests.proof.crash_points_postgresql --points 300

Here a boundary also lies between a COMMIT that was sent and its answer: the next process can't
know which of both it was, and the callers ask again.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from arrivals.store.group_commit import Backend
from arrivals.store.postgres import PostgresWriter
from tests.flows.script import SetClock
from tests.postgres.databases import EmptyDatabases
from tests.postgres.fixtures import running_server
from tests.proof.crash_points import Countdown, crashes
from tests.proof.life import prepare
from tests.proof.long_run import LongRun, main

STATEMENTS = ("execute", "script", "settle")


class PostgresGround:
    """A database a point, emptied and prepared anew: to create one takes far longer."""

    def __init__(self, server_url: str) -> None:
        self._databases = EmptyDatabases(server_url)
        self._lent: dict[str, ExitStack] = {}

    def new_place(self) -> str:
        until_forgotten = ExitStack()
        place = until_forgotten.enter_context(self._databases.lent())()
        self._lent[place] = until_forgotten
        clock = SetClock()
        writer = PostgresWriter(place, clock, "prepare")
        prepare(writer, clock)
        writer.close()
        return place

    def open_doomed(self, place: str, clock: SetClock) -> Backend:
        return PostgresWriter(place, clock, "doomed")

    def open_next(self, place: str, clock: SetClock) -> Backend:
        return PostgresWriter(place, clock, "next")

    def watch(self, writer: Backend, countdown: Countdown) -> None:
        connection = writer._connection  # type: ignore[attr-defined]
        for name in STATEMENTS:
            setattr(connection, name, _counted(getattr(connection, name), countdown))
        commit = connection.commit

        def commit_or_die() -> bool:
            countdown()
            if not countdown.left:
                connection._session.pgconn.send_query(b"COMMIT")
                connection._session.pgconn.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            countdown()
            return bool(commit())

        connection.commit = commit_or_die

    def forget(self, place: str) -> None:
        self._lent.pop(place).close()

    def close(self) -> None:
        self._databases.drop()


def _counted(verb: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    def counted(*values: Any) -> Any:
        countdown()
        return verb(*values)

    return counted


@contextmanager
def postgres_ground() -> Iterator[PostgresGround]:
    """Give a ground on a server that runs for it."""
    with running_server() as url:
        ground = PostgresGround(url)
        try:
            yield ground
        finally:
            ground.close()


if __name__ == "__main__":
    run = LongRun(
        name="crash_points_postgresql", unit="points", ground=postgres_ground, each=crashes
    )
    sys.exit(main(run))
