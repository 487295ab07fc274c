"""Several binds of one provider, over several hosts, some of which are dead."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from arrivals.providers.api import Result, Taken, Throttled, Unanswered
from arrivals.providers.smpp import SmppConnection
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from tests.providers.smsc import News, Smsc, an_smsc, connected, submission

pytestmark = pytest.mark.slow

LONG = "a long text " * 27  # three parts


@contextlib.asynccontextmanager
async def over(
    ports: Sequence[int], *, binds: int = 1, window: int = 10, wait: int = 0, **settings: object
) -> AsyncIterator[tuple[SmppConnection, News]]:
    """Connect over several hosts, and wait until so many are bound."""
    where = {"hosts": [["127.0.0.1", port] for port in ports], "binds": binds, **settings}
    async with connected(ports[0], wait=False, window=window, settings=where) as (it, news):
        async with asyncio.timeout(5):
            while it.capacity() < (wait or binds) * window:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        yield it, news


def counting(smsc: Smsc) -> None:
    smsc.answering = lambda number: f"A{number}"


def kinds(results: Sequence[Result]) -> set[type]:
    return {type(each) for each in results}


async def test_windows_add_up_and_each_bind_keeps_its_own():
    async with an_smsc() as smsc, over([smsc.port], binds=3, window=4) as (connection, news):
        assert len(smsc.binds) == 3
        connection.submit([submission(n) for n in range(12)])
        await smsc.submitted(12)
        assert (connection.window_used, connection.capacity()) == (12, 0)
        assert [len(peer.submits) for peer in smsc.peers] == [4, 4, 4]
        for peer, pdu in list(smsc.submits):
            peer.answer(pdu, "A1")
        assert kinds(await news.results(12)) == {Taken}
        assert connection.capacity() == 12


async def test_all_parts_of_a_message_go_over_one_bind_in_order():
    """Invariant 29, however many binds there are."""
    async with an_smsc() as smsc, over([smsc.port], binds=3, window=2) as (connection, news):
        counting(smsc)
        connection.submit([submission(n, LONG, msisdn=f"3161234560{n}") for n in range(9)])
        await news.results(9)
        for number in range(9):
            mine = [
                (peer, part_of(pdu))
                for peer, pdu in smsc.submits
                if pdu.octets("destination_addr") == f"3161234560{number}".encode()
            ]
            assert [part.number for _, part in mine if part] == [1, 2, 3]
            assert len({peer for peer, _ in mine}) == 1
        assert len({peer for peer, _ in smsc.submits}) == 3


async def test_one_pace_holds_over_all_binds():
    """Invariant 28: PDUs a second, not PDUs a second and bind."""
    async with an_smsc() as smsc:
        where = {"binds": 4}
        async with connected(smsc.port, throughput=20.0, settings=where) as (connection, news):
            counting(smsc)
            begin = time.monotonic()
            connection.submit([submission(n) for n in range(21)])
            await news.results(21)
            assert time.monotonic() - begin >= 0.95


async def test_a_receipt_is_acknowledged_on_the_bind_on_which_it_came():
    async with an_smsc() as smsc, over([smsc.port], binds=2) as (connection, news):
        for number, peer in enumerate(smsc.peers):
            peer.deliver(f"A{number}", "DELIVRD")
        await news.until(lambda: len(news.receipts) == 2)
        second = [
            t
            for t, r in zip(news.tokens, news.receipts, strict=True)
            if "1" in str(r.external_id)
        ]
        connection.acknowledge(second)
        await smsc.until(lambda: smsc.peers[1].acknowledged == 1)
        assert smsc.peers[0].acknowledged == 0
        connection.acknowledge([each for each in news.tokens if each not in second])
        await smsc.until(lambda: smsc.peers[0].acknowledged == 1)


async def test_a_bind_that_is_refused_for_good_is_told_while_messages_go_out():
    """Fewer are granted than asked: everything else looks well."""
    async with an_smsc() as one:
        one.binds_max = 1
        async with over([one.port], binds=2, wait=1) as (connection, _):
            async with asyncio.timeout(5):
                while not connection.refusal:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            assert connection.up
            assert connection.lacks == "some of its binds"
            assert connection.refusal == "the bind was refused: ESME_RALYBND"
            one.binds_max = 2
            async with asyncio.timeout(5):
                while connection.lacks:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            assert connection.refusal == ""


async def test_transmitters_and_receivers_are_counted_apart():
    apart = {"bind": "transmitter+receiver", "binds": 2}
    async with an_smsc() as smsc, connected(smsc.port, settings=apart) as (connection, news):
        await smsc.until(lambda: len(smsc.binds) == 4)
        asked = sorted(kind for kind, _ in smsc.binds)
        assert asked == [c.BIND_RECEIVER] * 2 + [c.BIND_TRANSMITTER] * 2
        assert smsc.binds[0][0] == c.BIND_RECEIVER
        counting(smsc)
        connection.submit([submission(n) for n in range(20)])
        assert kinds(await news.results(20)) == {Taken}
        assert {peer.bound_as for peer, _ in smsc.submits} == {c.BIND_TRANSMITTER}


async def test_binds_are_spread_over_the_hosts():
    async with an_smsc() as one, an_smsc() as two, over([one.port, two.port], binds=4):
        assert (len(one.binds), len(two.binds)) == (2, 2)


async def test_a_dead_host_is_passed_over_and_stops_nobody():
    async with an_smsc() as dead, an_smsc() as alive:
        await dead.close()
        async with over([dead.port, alive.port], binds=2) as (connection, news):
            assert len(alive.binds) == 2
            counting(alive)
            connection.submit([submission(1)])
            assert kinds(await news.results(1)) == {Taken}
        await dead.listen()


async def test_a_host_that_dies_costs_its_own_window_and_no_more():
    async with (
        an_smsc() as one,
        an_smsc() as two,
        over([one.port, two.port], binds=2, window=3) as (connection, news),
    ):
        counting(two)
        connection.submit([submission(n) for n in range(6)])
        await one.submitted(3)
        await one.close()
        results = await news.results(6)
        assert [type(each) for each in results].count(Unanswered) == 3
        assert [type(each) for each in results].count(Taken) == 3
        assert (connection.up, connection.is_broken) == (True, False)
        # Its bind comes back at the other host, behind its breaker.
        await two.until(lambda: len(two.binds) == 2)
        async with asyncio.timeout(5):
            while connection.capacity() < 4:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        assert connection.capacity() == 3 + 1
        await one.listen()


async def test_one_host_that_takes_and_never_answers_is_left_for_the_next():
    """Behind one name some are dead: half of what was handed over was lost, again and again."""
    async with an_smsc() as mute, an_smsc() as alive:
        ports = [mute.port, alive.port]
        async with over(ports, binds=2, window=5, response_timeout_s=0.2) as (connection, news):
            counting(alive)
            ids, handed = itertools.count(1), 0
            begin = time.monotonic()
            while time.monotonic() - begin < 4:
                room = connection.capacity()
                connection.submit([submission(next(ids)) for _ in range(room)])
                handed += room
                await asyncio.sleep(0.01)
            await news.results(handed - 10)
            lost = [each for each in news.answers if isinstance(each.result, Unanswered)]
            assert 5 <= len(lost) <= 5 + 3
            assert not connection.is_broken
            assert {bind.link.was_bound for bind in connection._senders if bind.link} == {True}


async def test_a_bind_that_is_unbound_at_once_is_tried_at_the_next_host():
    async with an_smsc() as crashing, an_smsc() as alive:
        real = crashing.changed

        def changed() -> None:
            real()
            for peer in crashing.peers:
                if peer.bound_as and not peer.is_gone:
                    peer.transport.abort()

        crashing.changed = changed  # type: ignore[method-assign]
        async with over([crashing.port, alive.port], wait=1) as (connection, _):
            await alive.until(lambda: len(alive.binds) == 1)
            await asyncio.sleep(0.3)
            assert connection.up
            assert len(crashing.binds) == 1


async def test_is_broken_only_if_every_bind_is():
    async with (
        an_smsc() as one,
        an_smsc() as two,
        over([one.port, two.port], binds=2, window=3) as (connection, news),
    ):
        connection.submit([submission(n) for n in range(6)])
        await one.submitted(3)
        await two.submitted(3)
        one.peers[0].transport.abort()
        await news.results(3)
        assert not connection.is_broken
        two.peers[0].transport.abort()
        await news.results(6)
        assert connection.is_broken
        assert connection.capacity() == 0


async def test_throttling_on_one_bind_slows_all():
    """A provider counts by login, not by connection."""
    async with an_smsc() as smsc, over([smsc.port], binds=2) as (connection, news):
        smsc.answering = lambda _: c.ESME_RTHROTTLED
        connection.submit(
            [submission(n, "hi", f"3{n}612345678", sender=f"S{n}") for n in range(6)]
        )
        assert kinds(await news.results(6)) == {Throttled}
        assert connection.throttles["bind"] >= 1
        assert connection.capacity() == 0


async def test_all_are_unbound_at_the_end():
    async with an_smsc() as smsc, over([smsc.port], binds=3) as (connection, _):
        await connection.stop()
        await smsc.until(lambda: all(peer.is_gone for peer in smsc.peers))
        assert not connection.up


async def test_a_provider_that_grants_fewer_binds_than_asked_is_used_all_the_same():
    """One bind a login is what many grant: the second is refused, again and again."""
    async with an_smsc() as smsc:
        smsc.binds_max = 1
        async with over([smsc.port], binds=2, wait=1) as (connection, news):
            counting(smsc)
            async with asyncio.timeout(5):
                while "RALYBND" not in (connection.trouble or ""):  # noqa: ASYNC110 - tells nobody
                    await asyncio.sleep(0.01)
            connection.submit([submission(n) for n in range(10)])
            assert kinds(await news.results(10)) == {Taken}
            assert (connection.up, connection.is_broken) == (True, False)
            await asyncio.sleep(1)
            assert len(smsc.peers) <= 5, "after pauses that grow"
