"""Processes that meet: at the same messages, the same keys, the same due times."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from arrivals.core.catalogue import Catalogue
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import MessageIds
from arrivals.core.ledger import PostingKind, funding, posting
from arrivals.core.message import Message, noted
from arrivals.core.money import Micros
from arrivals.flows.plan import Defaults
from arrivals.flows.second_requests import notice_step
from arrivals.flows.sweep import sweep_step
from arrivals.outcome.second_requests import AskedAgain
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import Event, Handoff, StoredAnswer
from tests.postgres.server import execute
from tests.postgres.stores import all_of, deadlocks, gaps, ledger_sums, opened
from tests.store.ground import PRICE, Ground, accept, event_of

pytestmark = pytest.mark.slow


def note_all(tx: Transaction, batches: Sequence[Sequence[int]]) -> list[list[int]]:
    """Append an event to each message, each batch by a load and a save of its own."""
    done = []
    for keys in batches:
        found = tx.load(keys)
        moved: list[tuple[Message, Event]] = []
        for before in (found[key] for key in keys):
            after = noted(before, tx.now_us)
            moved.append((after, event_of(before, after)))
        tx.save([message for message, _ in moved], [event for _, event in moved])
        done.append([message.seq for message, _ in moved])
    return done


NOTE = Step("note", 30, note_all)


@pytest.mark.slow
async def test_overlapping_batches_in_any_order_all_succeed(
    database: str,
) -> None:
    """Every transaction loads several sets in turn, so they meet in circles at times."""
    rng = random.Random(3)
    accounts = list(range(1, 9))
    rounds = 12
    async with opened(database, 4) as grounds:
        for account_id in accounts:
            await grounds[0].fund(account_id, amount=1_000 * PRICE)
        keys = await grounds[0].accept(*({} for _ in range(40)))
        before = deadlocks(database)

        def move_money(order: list[int], tx: Transaction) -> None:
            for account_id in order:
                tx.post(posting(PostingKind.HOLD, account_id, PRICE, "EUR"))
            for account_id in reversed(order):
                tx.post(posting(PostingKind.RELEASE, account_id, PRICE, "EUR"))

        async def worker(ground: Ground) -> int:
            noted_count = 0
            for _ in range(rounds):
                works: list[Any] = []
                for _ in range(3):
                    some = rng.sample(keys, 12)
                    noted_count += len(some)
                    works.append(ground.store.write(NOTE, some))
                    order = rng.sample(accounts, 5)
                    works.append(ground.run(lambda tx, order=order: move_money(order, tx)))  # type: ignore[misc]
                await asyncio.gather(*works)
            return noted_count

        began = time.monotonic()
        counts = await asyncio.gather(*(worker(each) for each in grounds))
        took_s = time.monotonic() - began
    found = deadlocks(database) - before
    # Met once in a circle, a transaction meets nobody in one again.
    assert found <= 2 * 4 * rounds, found
    assert took_s < 30
    assert gaps(database) == []
    assert ledger_sums(database) == []
    [(events,)] = execute(database, "SELECT count(*) FROM events")
    assert events == len(keys) + sum(counts)


async def test_workers_that_notice_a_second_request_note_it_once(database: str) -> None:
    """Every worker reads all events, so all of them notice it, at about the same time."""
    nothing = Catalogue(version=1, accounts={}, keys={}, providers={}, routes={}, prices={})
    step = notice_step(lambda: nothing, MessageIds(b"a secret of this test"))
    async with opened(database, 3) as grounds:
        await grounds[0].fund(amount=1_000 * PRICE)
        keys = await grounds[0].accept(*({} for _ in range(40)))
        asked = [AskedAgain(key, keys[0], 45_000_000) for key in keys]
        noted = await asyncio.gather(
            *(each.store.write(step, one) for each in grounds for one in asked)
        )
    assert sorted(key for key in noted if key is not None) == keys
    [(events,)] = execute(database, "SELECT count(*) FROM events WHERE kind = 'feedback'")
    assert events == len(keys)
    assert gaps(database) == []


@pytest.mark.slow
async def test_what_is_due_is_done_once_by_two_sweepers(database: str) -> None:
    async with opened(database, 2) as grounds:
        await grounds[0].fund(amount=1_000 * PRICE)
        soon = grounds[0].clock.us
        late = {"state": "scheduled", "rank": None, "wake_at_us": soon}
        keys = await grounds[0].accept(*(late for _ in range(300)))

        def no_catalogue() -> Catalogue:
            return Catalogue(
                version=1, accounts={}, keys={}, providers={}, routes={}, prices={}
            )

        async def sweeper(ground: Ground) -> list[int]:
            sweep = sweep_step(no_catalogue, FairRanks(), Defaults())
            done: list[int] = []
            for _ in range(12):
                touched, _, count = await ground.store.write(sweep, 40)
                assert len(touched) == count
                done += touched
            return done

        done = await asyncio.gather(*(sweeper(each) for each in grounds))
    assert sorted(done[0] + done[1]) == sorted(keys)
    assert execute(database, "SELECT DISTINCT seq FROM messages") == [(2,)]
    assert gaps(database) == []


async def test_due_skips_what_another_has_locked(database: str) -> None:
    async with opened(database, 2) as (first, second):
        await first.fund()
        due = {"wake_at_us": first.clock.us}
        keys = await first.accept(due, due, due)
        locked = asyncio.Event()
        loop = asyncio.get_running_loop()
        seen: list[list[int]] = []

        def look(tx: Transaction) -> None:
            mine = tx.due(2)
            loop.call_soon_threadsafe(locked.set)
            while not seen:  # the other's transaction runs within this one
                time.sleep(0.001)
            assert [each.key for each in mine] == keys[:2]

        async def other() -> None:
            await locked.wait()
            try:
                seen.append(await second.run(lambda tx: [each.key for each in tx.due(5)]))
            except BaseException:
                seen.append([])
                raise

        await asyncio.gather(first.run(look), other())
    assert seen == [[keys[2]]]


def answered(tx: Transaction, items: Sequence[str]) -> list[tuple[bool, str]]:
    """Accept under a key as accept_step does: the stored answer, or an order with one."""
    results = []
    for key in items:
        name = (1, "POST /v1/messages", key)
        stored = tx.stored_answers([name]).get(name)
        if stored is not None:
            results.append((False, stored.answer))
            continue
        [message] = accept(tx, ({},), {})
        tx.store_answers([StoredAnswer(*name, "hash", 200, f'"{message}"', tx.now_us)])
        results.append((True, f'"{message}"'))
    return results


ANSWERED = Step("answered", 10, answered)


async def test_one_key_at_two_stores_at_once_makes_one_order(database: str) -> None:
    async with opened(database, 4) as grounds:
        await grounds[0].fund()
        for n in range(20):
            found = await asyncio.gather(
                *(each.store.write(ANSWERED, f"key-{n}") for each in grounds for _ in "ab")
            )
            assert len({answer for _, answer in found}) == 1
            assert sum(new for new, _ in found) == 1
    assert execute(database, "SELECT count(*) FROM orders") == [(20,)]
    assert ledger_sums(database) == []


async def test_one_reference_at_two_stores_at_once_is_posted_once(database: str) -> None:
    async with opened(database, 4) as grounds:
        await grounds[0].fund(amount=0)

        def pay(reference: str, tx: Transaction) -> int:
            before = tx.posted(1, reference)
            if before is not None:
                return before[0]
            return tx.post(funding(1, Micros(5), "EUR", "cash", reference))

        for n in range(20):
            works = [each.run(lambda tx, n=n: pay(f"r{n}", tx)) for each in grounds]  # type: ignore[misc]
            assert len(set(await asyncio.gather(*works))) == 1
    assert execute(database, "SELECT sum(amount)::bigint FROM postings") == [(100,)]
    assert ledger_sums(database) == []


async def test_one_stream_begun_at_two_stores_at_once_is_told_to_the_second(
    database: str,
) -> None:
    async with opened(database, 2) as grounds:
        await grounds[0].fund()
        found = await all_of(
            [each.store.write(ANSWERED, "same") for each in grounds for _ in range(30)]
        )
    assert not [each for each in found if isinstance(each, BaseException)]


async def test_one_receipt_counted_at_two_stores_at_once_is_counted_twice(
    database: str,
) -> None:
    async with opened(database, 4) as grounds:
        await grounds[0].fund()
        [key] = await grounds[0].accept()
        handoff = Handoff("north", "id-1", key, 1, 1, 1)
        await grounds[0].run(lambda tx: tx.add_handoffs([handoff]))

        def count(tx: Transaction) -> int:
            [found] = tx.match([("north", ["id-1"])])
            tx.load([key])
            seen = dict(found.seen)
            seen["x"] = seen.get("x", 0) + 1
            tx.see([(found.handoff, seen)])
            return seen["x"]

        for _ in range(10):
            await asyncio.gather(*(each.run(count) for each in grounds))
        [found] = await grounds[0].run(lambda tx: tx.match([("north", ["id-1"])]))
    assert found.seen == {"x": 40}


async def test_the_catalogue_never_has_one_version_twice(database: str) -> None:
    async with opened(database, 3) as grounds:

        def change(ground_number: int, n: int, tx: Transaction) -> int:
            names = [f"{ground_number}-{n}", "same", "other"]
            for name in names if ground_number % 2 else reversed(names):
                tx.put("route", name, "{}")
            tx.add_price_list(7, "EUR", [("31", "Netherlands", 5)])
            return int(tx.setting("catalogue_version") or 0)

        versions: list[int] = []
        for n in range(10):
            works = [
                each.run(lambda tx, g=g, n=n: change(g, n, tx))  # type: ignore[misc]
                for g, each in enumerate(grounds)
            ]
            versions += await asyncio.gather(*works)
    assert sorted(versions) == list(range(1, 31))
    assert execute(database, "SELECT count(*), max(version) FROM price_lists") == [(30, 30)]


async def test_order_ids_are_given_out_once_while_their_floor_rises(database: str) -> None:
    async with opened(database, 3) as grounds:
        taken: list[int] = []

        async def take(ground: Ground) -> None:
            for _ in range(60):
                taken.extend(await ground.run(lambda tx: list(tx.next_order_ids(3))))

        async def lift(ground: Ground) -> None:
            for _ in range(60):
                [(last,)] = await ground.sql("SELECT last_value FROM order_ids")
                floor = str(int(last) + 2)
                await ground.run(lambda tx, floor=floor: tx.set_setting("order_floor", floor))  # type: ignore[misc]

        await asyncio.gather(take(grounds[0]), take(grounds[1]), lift(grounds[2]))
    assert len(taken) == len(set(taken)) == 360


def slots(url: str) -> list[int]:
    found = execute(
        url,
        "SELECT objid::bigint FROM pg_locks JOIN pg_database ON pg_locks.database ="
        " pg_database.oid WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        f" AND classid::bigint = {1 << 60 >> 32} AND datname = current_database() ORDER BY 1",
    )
    return [slot for (slot,) in found]


HOLD_A_SLOT = """
import asyncio, sys
from arrivals.clock import SystemClock
from arrivals.store.postgres import PostgresStore
async def main():
    store = PostgresStore(sys.argv[1], SystemClock(), holder="killed")
    await store.open()
    print("open", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def held(database: str, wanted: list[int]) -> None:
    """Wait until these slots are held: one is free once the server sees its session end."""
    async with asyncio.timeout(10):
        while slots(database) != wanted:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_each_store_has_a_slot_and_a_killed_ones_is_free_again(database: str) -> None:
    async with opened(database, 2):
        assert slots(database) == [0, 1]
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else goes on in this loop
            [sys.executable, "-c", HOLD_A_SLOT, database], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            assert slots(database) == [0, 1, 2]
            process.send_signal(signal.SIGKILL)
        await held(database, [0, 1])
        async with opened(database):
            assert slots(database) == [0, 1, 2]
    await held(database, [])
    assert execute(database, "SELECT count(*) FROM writers") == [(0,)]
