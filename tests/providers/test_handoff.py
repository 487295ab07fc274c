"""What answers do to what follows: binds forgotten, hand-offs lost."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from arrivals.providers.api import (
    NotBound,
    NotSent,
    Taken,
    Unanswered,
)
from arrivals.providers.smpp import SmppConnection
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Framer, Pdu, encode
from tests.providers.certificates import self_signed
from tests.providers.gatekeeper import a_gatekeeper
from tests.providers.parts import final, taking
from tests.providers.smsc import News, Peer, an_smsc, connected, submission

pytestmark = pytest.mark.slow

LONG = "a long text " * 27  # three parts
THROTTLED, QUEUE_FULL, SYSTEM_ERROR = c.ESME_RTHROTTLED, c.ESME_RMSGQFUL, c.ESME_RSYSERR
FORGOTTEN = c.ESME_RINVBNDSTS


# --- forgotten ------------------------------------------------------------------------


async def test_a_provider_that_forgot_us_is_bound_anew_and_nothing_is_burnt():
    """ "Wrong bind state" for each submit until somebody restarted the gateway."""
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        forgot: list[Peer] = []
        smsc.judging = lambda peer, _: FORGOTTEN if peer in forgot else "A1"
        connection.submit([submission(1)])
        await news.results(1)
        forgot += smsc.peers
        connection.submit([submission(2), submission(3)])
        await news.results(3)
        assert news.of(2) == news.of(3) == [NotBound(FORGOTTEN)]
        begin = time.monotonic()
        async with asyncio.timeout(5):
            await connection.ready()
        assert time.monotonic() - begin < 0.2, "at once"
        assert len(smsc.binds) == 2
        assert not connection.is_broken
        connection.submit([submission(2)])
        await news.results(4)
        assert isinstance(news.of(2)[-1], Taken)


async def test_what_is_under_way_on_a_forgotten_bind_has_a_moment():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        connection.submit([submission(n) for n in range(1, 4)])
        [(peer, one), (_, two), (_, _)] = await smsc.submitted(3)
        peer.answer(one, FORGOTTEN)
        await news.results(1)
        assert (connection.up, connection.capacity()) == (False, 0)
        assert "aren't bound" in (connection.trouble or "")
        peer.answer(two, "A2")
        await news.results(3)
        assert [type(each) for each in news.of(2) + news.of(3)] == [Taken, Unanswered]


async def test_a_part_that_meets_a_forgotten_bind_goes_out_on_the_next():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, seen: FORGOTTEN if n == 3 and seen == 1 else None)
        connection.submit([submission(1, LONG)])
        assert isinstance(await final(news), Taken)
        assert len(smsc.binds) == 2


async def test_a_bind_that_is_forgotten_each_time_is_tried_less_and_less():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = lambda *_: FORGOTTEN
        begin, told = time.monotonic(), 0
        while time.monotonic() - begin < 4:
            if connection.capacity():
                told += 1
                connection.submit([submission(told)])
                await news.results(told)
            await asyncio.sleep(0.01)
        assert {type(each.result) for each in news.answers} == {NotBound}
        assert len(smsc.binds) <= 7
        assert connection.is_broken == (told >= 10)


class Raw(asyncio.Protocol):
    """An SMSC that answers as its test says, in octets."""

    def __init__(self, answers: dict[int, Callable[[Pdu], bytes]], seen: list[int]) -> None:
        self.answers, self.seen = answers, seen
        self._framer = Framer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for pdu in self._framer.feed(data):
            if isinstance(pdu, Pdu):
                self.seen.append(pdu.command_id)
                answer = self.answers.get(pdu.command_id)
                if answer is not None:
                    self.transport.write(answer(pdu))  # type: ignore[attr-defined]


async def raw_smsc(
    answers: dict[int, Callable[[Pdu], bytes]], seen: list[int]
) -> tuple[asyncio.Server, int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Raw(answers, seen), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def saying(command_id: int, status: int, number: int | None = None) -> Callable[[Pdu], bytes]:
    """Answer with a status, under the request's number or one of its own."""

    def answer(pdu: Pdu) -> bytes:
        sequence = pdu.sequence_number if number is None else number
        fields: dict[str, int | bytes] = {}
        if command_id == c.BIND_TRANSCEIVER_RESP and not status:
            fields = {"system_id": b"raw"}
        return encode(Pdu(command_id, status, sequence, fields))

    return answer


async def trouble(connection: SmppConnection, word: str) -> None:
    async with asyncio.timeout(5):
        while word not in (connection.trouble or ""):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", [c.ENQUIRE_LINK_RESP, c.GENERIC_NACK])
async def test_a_probe_that_says_that_we_aren_t_bound_is_believed(kind: int):
    seen: list[int] = []
    server, port = await raw_smsc(
        {
            c.BIND_TRANSCEIVER: saying(c.BIND_TRANSCEIVER_RESP, 0),
            c.ENQUIRE_LINK: saying(kind, FORGOTTEN),
        },
        seen,
    )
    async with server, connected(port, settings={"enquire_link_s": 0.3}) as (connection, _):
        await trouble(connection, "aren't bound")
        async with asyncio.timeout(5):
            while seen.count(c.BIND_TRANSCEIVER) < 2:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [None, 0, 77])
@pytest.mark.parametrize("status", [c.ESME_RINVCMDID, c.ESME_RSYSERR])
async def test_a_bind_refused_by_a_nack_is_refused_at_once(number: int | None, status: int):
    """The gateway waited ten seconds and said that there was no answer."""
    server, port = await raw_smsc(
        {c.BIND_TRANSCEIVER: saying(c.GENERIC_NACK, status, number)}, []
    )
    async with server, connected(port, wait=False) as (connection, _):
        async with asyncio.timeout(2):
            await trouble(connection, f"by a generic_nack: {c.status_name(status)}")
        hint = "transmitter+receiver" in (connection.trouble or "")
        assert hint == (status == c.ESME_RINVCMDID)


@pytest.mark.parametrize(
    ("octets", "word"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "tls = true"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "web server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
    ],
)
async def test_a_port_that_speaks_something_else_is_named(octets: bytes, word: str):
    server, port = await raw_smsc({c.BIND_TRANSCEIVER: lambda _: octets}, [])
    async with server, connected(port, wait=False) as (connection, _):
        await trouble(connection, word)


@pytest.mark.parametrize(("tls", "hint"), [(False, "tls = true"), (True, "our IP address")])
async def test_who_hangs_up_without_a_word_may_want_tls(tls: bool, hint: str, tmp_path: Path):
    """A port for TLS, or a firewall that knows us not; once heard, it's a loss like any."""
    context: ssl.SSLContext | None = None
    settings: dict[str, object] = {}
    if tls:
        context, certificate = await asyncio.to_thread(self_signed, tmp_path)
        settings = {"tls": True, "tls_ca": str(certificate)}
    async with (
        a_gatekeeper(lambda _: None, context) as gate,
        connected(gate.port, wait=False, settings=settings) as (connection, _),
    ):
        await trouble(connection, hint)
        assert "hung up without an answer" in (connection.trouble or "")
    garbled: list[Pdu | bytes] = [Pdu(c.ENQUIRE_LINK_RESP, 0, 99)]  # to what nobody asked
    async with (
        a_gatekeeper(lambda pdu: garbled if pdu.sequence_number == 1 else None) as gate,
        connected(gate.port, wait=False) as (connection, _),
    ):
        await gate.until(c.BIND_TRANSCEIVER)
        assert "hung up" not in (connection.trouble or "")


@pytest.mark.parametrize(
    ("status", "binds"), [(c.ESME_RINVPASWD, 1), (c.ESME_RINVSYSID, 1), (c.ESME_RALYBND, 3)]
)
async def test_a_login_that_is_refused_is_not_tried_again_at_once(status: int, binds: int):
    """Five binds in seven seconds lock an account; one that is in use may be free soon."""
    seen: list[int] = []
    server, port = await raw_smsc(
        {c.BIND_TRANSCEIVER: saying(c.BIND_TRANSCEIVER_RESP, status)}, seen
    )
    async with server, connected(port, wait=False) as (connection, _):
        await trouble(connection, c.status_name(status))
        await asyncio.sleep(2.0)
        found = seen.count(c.BIND_TRANSCEIVER)
    assert (found == 1) if binds == 1 else (found >= binds)


async def test_tls_to_a_plain_port_is_named():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(encode(Pdu(c.GENERIC_NACK, c.ESME_RINVCMDLEN, 0)))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connected(port, wait=False, settings={"tls": True}) as (connection, _):
        await trouble(connection, "doesn't speak TLS")


# --- hand-offs that get lost ----------------------------------------------------------


def numbered() -> Callable[[Peer, Pdu], str]:
    ids = itertools.count(1)
    return lambda *_: f"A{next(ids)}"


async def drive(connection: SmppConnection, news: News, seconds: float) -> int:
    """Hand over as much as it says it takes; return how many."""
    begin, key = time.monotonic(), 1_000
    while time.monotonic() - begin < seconds:
        room = connection.capacity()
        if room:
            connection.submit([submission(key + n) for n in range(room)])
            key += room
        await asyncio.sleep(0.005)
    return key - 1_000


async def test_a_crash_loop_behind_a_balancer_gets_a_window_and_then_one_at_a_time():
    """It binds, takes the window and drops the connection: thousands ended in doubt."""
    async with an_smsc() as smsc, connected(smsc.port, window=20) as (connection, news):

        def crash(peer: Peer, _: Pdu) -> None:
            if len(peer.submits) >= 20 or connection.is_broken:
                peer.transport.abort()

        smsc.judging = crash
        handed = await drive(connection, news, 4)
        assert connection.is_broken
        assert "one message at a time" in (connection.trouble or "")
        assert 20 < handed <= 20 + 4
        assert len(smsc.submits) <= 20 + 4
        smsc.judging = numbered()
        taken = len(news.answers)
        await drive(connection, news, 9)
        assert not connection.is_broken
        assert connection.trouble is None
        assert {type(each.result) for each in news.answers[taken + 1 :]} == {Taken}


async def test_a_provider_that_answers_nothing_gets_a_window_and_then_one_at_a_time():
    quick = {"response_timeout_s": 0.2}
    async with (
        an_smsc() as smsc,
        connected(smsc.port, window=10, settings=quick) as (connection, news),
    ):
        handed = await drive(connection, news, 3)
        assert connection.is_broken
        assert handed <= 10 + 3
        assert {type(each.result) for each in news.answers} == {Unanswered}


async def test_a_provider_that_restarts_is_back_within_two_seconds():
    async with an_smsc() as smsc, connected(smsc.port, window=10) as (connection, news):
        connection.submit([submission(n) for n in range(10)])
        await smsc.submitted(10)
        smsc.judging = numbered()
        smsc.peers[0].transport.abort()
        await news.results(10)
        begin = time.monotonic()
        while connection.is_broken or not connection.up:
            if connection.capacity():
                connection.submit([submission(100 + n) for n in range(connection.capacity())])
            await asyncio.sleep(0.005)
        assert time.monotonic() - begin < 2
        assert connection.capacity() >= 1


async def test_what_was_claimed_before_the_breaker_opened_is_given_back():
    async with an_smsc() as smsc, connected(smsc.port, window=3) as (connection, news):
        connection.submit([submission(n) for n in range(1, 6)])
        await smsc.submitted(3)
        smsc.peers[0].transport.abort()
        await news.results(5)
        connection.submit([submission(n) for n in range(6, 9)])
        await news.results(8)
        kinds = {each.key: type(each.result) for each in news.answers}
        assert [kinds[n] for n in range(1, 4)] == [Unanswered] * 3
        assert [kinds[n] for n in range(4, 9)] == [NotSent] * 5
        assert len(smsc.submits) == 3
