"""Where each example begins: an installation with a catalogue and funds, made cheaply.

Thousands of examples want one each. On SQLite it's a copy of a folder, in memory where the
machine has such a place; on PostgreSQL a database that is emptied after use.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from arrivals.core.money import Micros
from tests.backends import SQLITE, Backend
from tests.flows.installation import account, installed, provider, route
from tests.flows.script import SetClock
from tests.model.reference import Account
from tests.postgres.databases import EmptyDatabases
from tests.postgres.fixtures import running_server

COST = 7_000  # what north charges us for a hand-off
FUNDS = 200_000
REFUNDED = frozenset({"failed", "unknown", "expired"})
ACCOUNTS = {
    1: Account(available=FUNDS),
    2: Account(available=FUNDS, refund_on=REFUNDED, recharge=True),
}

Place = AbstractContextManager[str]


@contextmanager
def places(backend: Backend) -> Iterator[Callable[[], Place]]:
    """Give a function that prepares a place for one example at each call."""
    if backend is SQLITE:
        memory = Path("/dev/shm")  # noqa: S108 - a commit there waits for no disk
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
            asyncio.run(_install(f"{folder}/prepared"))
            yield lambda: _copied(Path(folder))
        return
    with running_server() as url:
        databases = EmptyDatabases(url)
        yield lambda: _emptied(databases)
        databases.drop()


@contextmanager
def _copied(folder: Path) -> Iterator[str]:
    place = folder / "example"
    shutil.copytree(folder / "prepared", place)
    try:
        yield str(place)
    finally:
        shutil.rmtree(place)


@contextmanager
def _emptied(databases: EmptyDatabases) -> Iterator[str]:
    with databases.lent() as lend:
        place = lend()
        asyncio.run(_install(place))
        yield place


async def _install(place: str) -> None:
    """Lay out a catalogue that every example shares."""
    async with installed(
        place,
        providers=[provider(each, 1, cost=Micros(COST)) for each in ("north", "south")],
        routes=[route(1, ["north"], failover=False)],
        accounts=[
            account(key, refund_on=each.refund_on, recharge=each.recharge)
            for key, each in ACCOUNTS.items()
        ],
        started=False,
        clock=SetClock(),
        funds=Micros(FUNDS),
    ):
        pass
