"""Choose the store behind the contract; the one place that names a backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from arrivals.clock import Clock
from arrivals.store.sqlite import DATABASE_NAME, SqliteStore


def open_store(
    folder: Path,
    clock: Clock,
    *,
    exclusive: bool = True,
    begin_reader: Callable[[], None] | None = None,
) -> SqliteStore:
    """Return the store of a data folder, not yet opened.

    `exclusive` keeps the folder to one serving process; a command beside it opens without.
    `begin_reader` is called once on every thread that reads.
    """
    return SqliteStore(folder, clock, exclusive=exclusive, begin_reader=begin_reader)


def holds_database(folder: Path) -> bool:
    """Tell whether a folder is a data folder already."""
    return (folder / DATABASE_NAME).is_file()
