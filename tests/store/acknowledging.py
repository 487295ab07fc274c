"""Write one thing after another and say so on stdout; run under a tracer by test_durability.

`python -m tests.store.acknowledging FOLDER COUNT [normal]`
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import apsw

from arrivals.clock import SystemClock
from arrivals.store import sqlite
from arrivals.store.api import Step, Transaction

ACKNOWLEDGED = b"acknowledged\n"


def _write(tx: Transaction, items: Sequence[int]) -> Sequence[int]:
    for item in items:
        tx.set_setting(f"n{item}", "x" * 100)
    return items


async def acknowledge(folder: Path, count: int) -> None:
    """Write `count` things, each alone, and acknowledge each when the store says it's done."""
    step: Step[int, int] = Step("write", 1, _write)
    store = sqlite.SqliteStore(folder, SystemClock())
    await store.open()
    for n in range(count):
        await store.write(step, n)
        os.write(1, ACKNOWLEDGED)
    await store.close()


def lose_at_power_loss() -> None:
    """Open connections as too many do: synced now and then, not at every commit."""
    connect = sqlite.connect

    def careless(path: Path) -> apsw.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = NORMAL").fetchall()
        return connection

    sqlite.connect = careless


if __name__ == "__main__":
    if "normal" in sys.argv[3:]:
        lose_at_power_loss()
    asyncio.run(acknowledge(Path(sys.argv[1]), int(sys.argv[2])))
