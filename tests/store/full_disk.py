"""Fill the disk under a store and report what became of every write, as JSON on stdout.

`python -m tests.store.full_disk FOLDER limit|ballast`: either a limit on the size of files
stands for the end of the disk, or the folder lies on a small disk, partly full of ballast.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arrivals.clock import SystemClock
from arrivals.store.api import Step, StoreFull, Transaction
from arrivals.store.sqlite import SqliteStore

WRITES_MAX = 400
OCTETS = 20_000  # of each item: several pages, so that a write fails in its middle
LIMIT_OCTETS = 1_000_000
BALLAST_OCTETS = 2_000_000  # more than what a probe wants to see free
PROBES = 6


def _write(tx: Transaction, items: Sequence[int]) -> Sequence[int]:
    for item in items:
        tx.set_setting(f"n{item}", "x" * OCTETS)
    return items


async def fill(store: SqliteStore, make_room: Callable[[], None]) -> dict[str, Any]:
    """Write until the disk is full and thrice more; make room; write on."""
    step: Step[int, int] = Step("write", 1, _write)
    acknowledged: list[int] = []
    refused: list[int] = []

    async def write(n: int) -> None:
        try:
            await store.write(step, n)
        except StoreFull:
            refused.append(n)
        else:
            acknowledged.append(n)

    n = 0
    while len(refused) < 4 and n < WRITES_MAX:
        await asyncio.gather(*(write(n + k) for k in range(4)))
        n += 4
    read_when_full = await store.read(_names)
    ready_when_full = [await _is_ready(store) for _ in range(PROBES)]
    make_room()
    ready_with_room = await _is_ready(store)
    for k in range(4):
        await write(n + k)
    return {
        "acknowledged": sorted(acknowledged),
        "refused": sorted(refused),
        "read_when_full": read_when_full,
        "ready_when_full": ready_when_full,
        "ready_with_room": ready_with_room,
        "present": await store.read(_names),
        "after": [n, n + 1, n + 2, n + 3],
    }


async def _is_ready(store: SqliteStore) -> bool:
    try:
        await store.probe()
    except StoreFull:
        return False
    return True


def _names(reader: Any) -> list[int]:
    rows = reader._connection.execute(
        "SELECT name FROM meta WHERE length(value) > 99"
    ).fetchall()
    return sorted(int(name[1:]) for (name,) in rows)


async def main(folder: Path, how: str) -> None:
    """Fill the folder's disk, one way or the other."""
    ballast = folder.parent / "ballast"
    if how == "ballast":
        ballast.write_bytes(b"x" * BALLAST_OCTETS)
    store = SqliteStore(folder, SystemClock())
    await store.open()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)

    def make_room() -> None:
        ballast.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_OCTETS, most))
    report = await fill(store, make_room)
    await store.close()
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
