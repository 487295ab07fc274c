"""A COMMIT whose answer is lost: the caller hears the truth, or that nobody knows it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from arrivals.core.ledger import PostingKind, funding, posting
from arrivals.core.money import Micros
from arrivals.store import postgres
from arrivals.store.api import StoreUnavailable, Transaction
from tests.postgres.cut_wire import CutWire, Place
from tests.postgres.fixtures import QUICK, need_programs
from tests.postgres.server import PostgresServer, execute, short_folder
from tests.postgres.stores import all_of, ledger_sums, opened, until_somebody_waits
from tests.store.ground import Ground

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """Return a server whose processes may be stopped, and which may be restarted."""
    need_programs()
    with (
        short_folder() as folder,
        PostgresServer(folder / "server", version=None, **QUICK) as server,
    ):
        yield server


@pytest.fixture
def url(own_server: PostgresServer, request: pytest.FixtureRequest) -> str:
    return own_server.create_database(f"lost_{os.urandom(6).hex()}")


@pytest.fixture
def wire(url: str) -> Iterator[CutWire]:
    with CutWire(url) as wire:
        yield wire


@pytest.fixture
async def ground(wire: CutWire) -> AsyncIterator[Ground]:
    async with opened(wire.url) as (ground,):
        await ground.fund(amount=0)
        yield ground


def pay_in(tx: Transaction) -> int:
    """Put one in, and nothing that would keep it from happening twice."""
    return tx.post(posting(PostingKind.RELEASE, 1, Micros(1), "EUR"))


def paid_in(url: str) -> int:
    [(total,)] = execute(url, "SELECT coalesce(sum(amount), 0)::bigint FROM postings")
    return int(total)


def writers_process(url: str) -> int:
    [(pid,)] = execute(
        url,
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'arrivals writer%'",
    )
    return int(pid)


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_lost_answer_is_looked_up(
    ground: Ground, wire: CutWire, url: str, place: Place
) -> None:
    for n in range(1, 6):
        wire.cut(place)
        await ground.run(pay_in)
        assert wire.cuts == n
        assert paid_in(url) == n
    assert ledger_sums(url) == []


async def test_wires_that_are_cut_under_load_lose_nothing_and_double_nothing(
    ground: Ground, wire: CutWire, url: str
) -> None:
    for n in range(30):
        wire.cut("after" if n % 2 else "before")
        await asyncio.gather(*(ground.run(pay_in) for _ in range(20)))
    assert wire.cuts == 30
    assert paid_in(url) == 600
    assert ledger_sums(url) == []


async def test_a_commit_unread_by_a_process_that_stands_still_is_waited_for(
    ground: Ground, wire: CutWire, url: str
) -> None:
    pid = writers_process(url)
    going_on = threading.Timer(1.0, os.kill, (pid, signal.SIGCONT))
    going_on.start()
    wire.cut("after", lambda: os.kill(pid, signal.SIGSTOP))
    await ground.run(pay_in)
    assert not going_on.is_alive()  # before that, nobody could know
    assert paid_in(url) == 1


async def test_one_that_stands_still_for_too_long_isnt_called_undone(
    ground: Ground, wire: CutWire, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOOK_UP_S", 0.5)
    pid = writers_process(url)
    wire.cut("after", lambda: os.kill(pid, signal.SIGSTOP))
    with pytest.raises(StoreUnavailable, match="doesn't say"):
        await ground.run(pay_in)
    assert paid_in(url) == 0
    os.kill(pid, signal.SIGCONT)
    await ground.run(pay_in)  # waits for the account's row, if it must
    assert paid_in(url) == 2


async def test_a_commit_that_waits_for_a_copy_which_is_gone_isnt_called_done(
    ground: Ground, wire: CutWire, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed here, would be lost with this server, and so hasn't happened yet."""
    monkeypatch.setattr(postgres, "LOOK_UP_S", 1.0)
    execute(
        url,
        "ALTER SYSTEM SET synchronous_standby_names = 'gone'",
        "SELECT pg_reload_conf()",
        "CHECKPOINT",
    )
    try:
        waiting = asyncio.ensure_future(ground.run(pay_in))
        await until_somebody_waits(url, "SyncRep")
        # An operator who ends the wait doesn't make it durable either.
        execute(
            url,
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        )
        with pytest.raises(StoreUnavailable, match="doesn't say"):
            await waiting
    finally:
        execute(url, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    await ground.run(pay_in)
    assert paid_in(url) == 2


async def test_a_server_that_crashes_under_load_keeps_what_was_acknowledged(
    own_server: PostgresServer, url: str
) -> None:
    acknowledged: list[int] = []
    refused = 0

    def pay(n: int, tx: Transaction) -> bool:
        if tx.posted(1, f"n{n}") is None:
            tx.post(funding(1, Micros(1), "EUR", "cash", f"n{n}"))
        return True

    async def customer(ground: Ground, numbers: range) -> None:
        nonlocal refused
        for n in numbers:
            while True:
                try:
                    await ground.run(lambda tx, n=n: pay(n, tx))  # type: ignore[misc]
                except StoreUnavailable:
                    refused += 1
                    await asyncio.sleep(0.05)
                else:
                    acknowledged.append(n)
                    break

    async with opened(url, 3) as grounds:
        await grounds[0].fund(amount=0)
        customers = [
            asyncio.ensure_future(customer(grounds[n % 3], range(n * 100, n * 100 + 60)))
            for n in range(30)
        ]
        for _ in range(2):
            before = len(acknowledged)
            while len(acknowledged) < before + 200:  # noqa: ASYNC110 - under load, whenever that is
                await asyncio.sleep(0.01)
            await asyncio.to_thread(own_server.stop, "immediate")
            kept = list(acknowledged)
            await asyncio.to_thread(own_server.start)
            there = execute(url, "SELECT reference FROM postings WHERE kind = 'funding'")
            assert {f"n{n}" for n in kept} <= {reference for (reference,) in there}
        assert not [each for each in await all_of(customers) if each]
    assert sorted(acknowledged) == sorted(
        n for first in range(0, 3000, 100) for n in range(first, first + 60)
    )
    assert paid_in(url) == len(acknowledged)
    assert ledger_sums(url) == []


async def test_readers_and_writer_outlive_a_restart_between_two_calls(
    own_server: PostgresServer, url: str
) -> None:
    async with opened(url) as (ground,):
        await ground.fund()
        await ground.store.read(lambda reader: reader.balance(1))
        await asyncio.to_thread(own_server.stop, "immediate")
        with pytest.raises(StoreUnavailable):
            await ground.store.read(lambda reader: reader.balance(1))
        with pytest.raises(StoreUnavailable):
            await ground.run(pay_in)
        await asyncio.to_thread(own_server.start)
        assert await ground.store.read(lambda reader: reader.balance(1)) is not None
        await ground.run(pay_in)
