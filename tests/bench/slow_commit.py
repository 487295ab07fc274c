"""`arrivals` with some milliseconds added to each commit, as a slower disk would.

    python -m tests.bench.slow_commit MILLISECONDS serve --config arrivals.toml

The writer's thread sleeps once its transaction is synced, before anybody is told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from arrivals.cli import main
from arrivals.store.sqlite import SqliteWriter


def slowed(commit: Callable[[SqliteWriter], None], seconds: float) -> Callable[..., None]:
    """Return a commit that takes longer."""

    def commit_and_wait(writer: SqliteWriter) -> None:
        commit(writer)
        time.sleep(seconds)

    return commit_and_wait


if __name__ == "__main__":
    milliseconds = float(sys.argv.pop(1))
    SqliteWriter.commit = slowed(SqliteWriter.commit, milliseconds / 1000)  # type: ignore[method-assign]
    main()
