"""Providers that lose a share of what they are handed, or answer it late."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable

import pytest

from arrivals.providers.api import NotSent, Taken, Throttled, Unanswered
from arrivals.providers.smpp import SmppConnection
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from arrivals.smpp.pdu import Pdu, encode
from tests.providers.smsc import News, Peer, Smsc, an_smsc, connected, submission

pytestmark = pytest.mark.slow

LONG = "a long text " * 20  # two parts
QUICK = {"response_timeout_s": 0.3}


async def hand_over(
    connection: SmppConnection, numbers: Callable[[], int], seconds: float, text: str = "hi"
) -> None:
    """Hand over as much as it takes, for so long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await connection.ready()
        connection.submit([submission(numbers(), text) for _ in range(connection.capacity())])
        await asyncio.sleep(0.01)


def count(news: News, kind: type) -> int:
    return sum(isinstance(each.result, kind) for each in news.answers)


@contextlib.asynccontextmanager
async def losing(
    judge: Callable[[Peer, Pdu], int | str | None], window: int
) -> AsyncIterator[tuple[SmppConnection, News, Smsc]]:
    async with (
        an_smsc() as smsc,
        connected(smsc.port, window=window, settings=QUICK) as (connection, news),
    ):
        smsc.judging = judge
        yield connection, news, smsc


async def test_a_refusal_is_an_answer_too():
    async with an_smsc() as smsc, connected(smsc.port, window=3) as (connection, news):
        smsc.judging = lambda *_: 0x0B
        connection.submit([submission(n) for n in range(30)])
        await news.results(30)
        assert not connection.is_broken


async def test_one_silence_with_a_window_of_one_is_no_outage():
    quick = {"response_timeout_s": 0.2}
    async with (
        an_smsc() as smsc,
        connected(smsc.port, window=1, settings=quick) as (connection, news),
    ):
        connection.submit([submission(1)])
        assert [type(each) for each in await news.results(1)] == [Unanswered]
        assert not connection.is_broken


@pytest.mark.parametrize(("window", "taken", "drops"), [(10, 1, 10), (2, 1, 3), (1, 1, 2)])
async def test_a_crash_loop_that_answers_one_gets_little(window: int, taken: int, drops: int):
    """It answered one of each session and dropped the connection at the tenth."""
    seen: dict[Peer, int] = {}
    ids = itertools.count(1)

    def judge(peer: Peer, _: Pdu) -> str | None:
        seen[peer] = seen.get(peer, 0) + 1
        if seen[peer] >= drops:
            peer.transport.abort()
        return f"A{next(ids)}" if seen[peer] <= taken else None

    async with losing(judge, window) as (connection, news, _):
        await hand_over(connection, itertools.count(1).__next__, 6)
        assert connection.is_broken
        assert count(news, Unanswered) <= 3 * max(window, 3) + 6


@pytest.mark.parametrize("cuts", [True, False])
async def test_long_messages_whose_second_part_is_lost_count_as_lost(cuts: bool):
    """The first part was answered each time, so nothing ever counted."""
    ids = itertools.count(1)

    def judge(peer: Peer, pdu: Pdu) -> str | None:
        part = part_of(pdu)
        if part is not None and part.number == 1:
            return f"A{next(ids)}"
        if cuts:
            peer.transport.abort()
        return None

    async with losing(judge, 4) as (connection, news, _):
        await hand_over(connection, itertools.count(1).__next__, 5, LONG)
        assert connection.is_broken
        assert count(news, Unanswered) <= 16


async def test_answers_after_the_time_out_keep_a_slow_provider_in_use():
    """Each answer came at 1.6 times the time-out, after we had hung up."""
    ids = itertools.count(1)

    def judge(peer: Peer, pdu: Pdu) -> None:
        later = asyncio.get_running_loop().call_later
        later(0.48, lambda: peer.answer(pdu, f"A{next(ids)}"))

    async with losing(judge, 5) as (connection, news, _):
        await hand_over(connection, itertools.count(1).__next__, 6)
        assert count(news, Taken) >= 20, "told late, but told"
        assert count(news, Unanswered) - count(news, Taken) <= 10


async def test_a_provider_that_unbinds_may_answer_what_is_under_way():
    """It unbound and answered ten 100 ms later: all ten were in doubt."""
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        connection.submit([submission(number) for number in range(10)])
        sent = list(await smsc.submitted(10))
        sent[0][0].transport.write(encode(Pdu(c.UNBIND), sequence_number=9))
        await asyncio.sleep(0.1)
        assert connection.capacity() == 0
        for peer, pdu in sent:
            peer.answer(pdu, f"A{pdu.sequence_number}")
        assert {type(each) for each in await news.results(10)} == {Taken}
        await smsc.until(lambda: len(smsc.binds) == 2)


async def test_a_provider_that_unbinds_and_says_no_more_is_left_soon():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        connection.submit([submission(1)])
        peer, _ = (await smsc.submitted(1))[0]
        peer.transport.write(encode(Pdu(c.UNBIND), sequence_number=9))
        async with asyncio.timeout(2):
            assert [type(each) for each in await news.results(1)] == [Unanswered]


async def test_a_bind_that_sends_one_receipt_and_drops_is_dialled_ever_more_rarely():
    """It was dialled again 51 times in 20 s, for ever."""
    async with an_smsc() as smsc, connected(smsc.port):
        begin, cut = time.monotonic(), set[Peer]()
        while time.monotonic() - begin < 5:
            for peer in set(smsc.peers) - cut:
                if peer.bound_as:
                    cut.add(peer)
                    peer.deliver("A1", "DELIVRD")
                    await asyncio.sleep(0.05)
                    peer.transport.abort()
            await asyncio.sleep(0.02)
        assert len(smsc.binds) <= 6


async def test_a_sender_that_is_throttled_for_good_makes_room_for_another():
    """Two hundred of them came first, each to a fresh number; nobody else got anywhere."""
    ids = itertools.count(1)

    def judge(_: Peer, pdu: Pdu) -> int | str:
        is_bad = pdu.octets("source_addr") == b"BAD"
        return c.ESME_RTHROTTLED if is_bad else f"A{next(ids)}"

    async with losing(judge, 10) as (connection, news, _):
        waiting = [
            submission(n, sender="BAD" if n < 100 else "GOOD", msisdn=f"316{n:08d}")
            for n in range(150)
        ]
        async with asyncio.timeout(5):
            while waiting:
                await connection.ready()
                room = connection.capacity()
                connection.submit(waiting[:room])
                del waiting[:room]
                await asyncio.sleep(0.005)
            await news.until(lambda: count(news, Taken) == 50)
        assert count(news, Throttled) + count(news, NotSent) == 100
        assert connection.held_for_s == 0.0


async def test_a_provider_that_throttles_everybody_is_held_all_the_same():
    ids = itertools.count(1)

    def judge(_: Peer, __: Pdu) -> int:
        next(ids)
        return c.ESME_RTHROTTLED

    numbers = itertools.count(1)
    async with losing(judge, 10) as (connection, _, __):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await connection.ready()
            connection.submit(
                [
                    submission(n, sender=f"S{n % 5}", msisdn=f"{30 + n % 7}6{n:08d}")
                    for n in itertools.islice(numbers, connection.capacity())
                ]
            )
            await asyncio.sleep(0.01)
        assert next(ids) <= 30
