"""Providers that misbehave: deaf, mute, half gone, gone for long, or talking without end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from arrivals.clock import SystemClock
from arrivals.providers import binds, link, smpp
from arrivals.providers.api import Taken, Unanswered
from arrivals.providers.link import GOODBYE_S, Link
from arrivals.providers.smpp import SmppConnection
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Framer, Pdu, encode
from tests.providers.smsc import News, Smsc, an_smsc, connected, submission

pytestmark = pytest.mark.slow

PROBE = encode(Pdu(c.ENQUIRE_LINK, 0, 1))
UNBIND = encode(Pdu(c.UNBIND, 0, 2))
SPEED = 25
SILENCE = {"response_timeout_s": 10.0, "enquire_link_s": 15.0}  # what is set by default


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let timers be late by as much of a hurried second as of one of ours."""
    monkeypatch.setattr(link, "TICK_S", link.TICK_S / SPEED)


class HurriedClock(SystemClock):
    """A clock by which the timers of a minute take seconds."""

    def monotonic(self) -> float:
        return super().monotonic() * SPEED


class RawPeer(asyncio.Protocol):
    """An SMSC of octets: it says what its test writes, and reads when its test lets it."""

    def __init__(self, answers_binds: bool) -> None:
        self.answers_binds = answers_binds
        self.transport: Any = None
        self.heard: list[Pdu] = []
        self.ended = False
        self._framer = Framer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True

    def data_received(self, data: bytes) -> None:
        pdus = [each for each in self._framer.feed(data) if isinstance(each, Pdu)]
        self.heard += pdus
        for pdu in pdus:
            if pdu.command_id == c.BIND_TRANSCEIVER and self.answers_binds:
                answer = Pdu(
                    c.BIND_TRANSCEIVER_RESP, 0, pdu.sequence_number, {"system_id": b"raw"}
                )
                self.transport.write(encode(answer))


class RawSmsc:
    """Where raw peers are found, in the order in which they connected."""

    def __init__(self, port: int, peers: list[RawPeer]) -> None:
        self.port = port
        self.peers = peers


@contextlib.asynccontextmanager
async def a_raw_smsc(*, answers_binds: bool = True) -> AsyncIterator[RawSmsc]:
    peers: list[RawPeer] = []

    def connect() -> RawPeer:
        peers.append(RawPeer(answers_binds))
        return peers[-1]

    listener = socket.socket()
    # Small buffers between us: what isn't read soon stays where it was written.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(connect, sock=listener)
    try:
        yield RawSmsc(listener.getsockname()[1], peers)
    finally:
        server.close()
        for peer in peers:
            peer.transport.abort()
        await server.wait_closed()


async def eventually(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    """Wait for what tells nobody."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def only_link(connection: SmppConnection) -> Link:
    [link] = connection._binds.links
    return link


# --- mute -----------------------------------------------------------------------------


async def test_a_bind_that_is_never_answered_is_given_up_and_tried_again():
    async with (
        a_raw_smsc(answers_binds=False) as smsc,
        connected(smsc.port, wait=False, clock=HurriedClock(), settings=SILENCE) as (
            connection,
            _,
        ),
    ):
        await eventually(lambda: len(smsc.peers) >= 3)
        assert all(peer.ended for peer in smsc.peers[:-1])
        assert not connection.up
        assert "no bind or answer in time" in (connection.trouble or "")
        assert not connection.is_broken, "nothing was handed to it, nothing got lost"


async def test_a_provider_that_falls_silent_leaves_a_doubt_and_is_bound_anew():
    """What nobody answers is ambiguous after ten seconds, and the bind is new within thirty."""
    clock = HurriedClock()
    async with (
        a_raw_smsc() as smsc,
        connected(smsc.port, clock=clock, settings=SILENCE) as (connection, news),
    ):
        begin = clock.monotonic()
        connection.submit([submission(n) for n in range(3)])
        results = await news.results(3)
        assert {type(each) for each in results} == {Unanswered}
        assert 10 <= clock.monotonic() - begin < 20
        await eventually(lambda: smsc.peers[0].ended)
        assert 20 <= clock.monotonic() - begin <= 30
        await eventually(lambda: len(smsc.peers) == 2 and connection.up)
        sent = [pdu for peer in smsc.peers for pdu in peer.heard]
        assert [pdu.command_id for pdu in sent].count(c.SUBMIT_SM) == 3, "never sent again"


async def test_a_bind_that_lives_and_answers_no_submit_is_left():
    """Its probes say nothing of that, and every message that goes into it ends in doubt."""
    quick = {"response_timeout_s": 0.3}
    async with (
        an_smsc() as smsc,
        connected(smsc.port, window=3, settings=quick) as (connection, news),
    ):
        connection.submit([submission(1), submission(2)])
        await news.results(2)
        connection.submit([submission(3)])
        peer, pdu = (await smsc.submitted(3))[2]
        peer.answer(pdu, "A3")  # one answer between proves little
        await news.results(3)
        connection.submit([submission(4)])
        await news.results(4)
        assert (len(smsc.binds), connection.up, connection.is_broken) == (1, True, False)
        connection.submit([submission(5)])
        await news.results(5)
        assert connection.is_broken
        await smsc.until(lambda: len(smsc.binds) == 2)
        kinds = [type(each.result) for each in news.answers]
        assert kinds == [Unanswered, Unanswered, Taken, Unanswered, Unanswered]
        async with asyncio.timeout(5):
            await connection.ready()
        assert connection.capacity() == 1, "one message tries it"
        assert len(smsc.submits) == 5, "never sent again"


async def test_an_idle_link_to_nowhere_is_noticed():
    clock = HurriedClock()
    async with (
        a_raw_smsc() as smsc,
        connected(smsc.port, clock=clock, settings=SILENCE),
    ):
        begin = clock.monotonic()
        await eventually(lambda: smsc.peers[0].ended)
        assert clock.monotonic() - begin <= 45


# --- deaf -----------------------------------------------------------------------------


async def deafen(smsc: RawSmsc, connection: SmppConnection) -> RawPeer:
    [peer] = smsc.peers
    peer.transport.pause_reading()
    transport = only_link(connection)._transport
    assert transport is not None
    ours = transport.get_extra_info("socket")
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    return peer


async def test_a_peer_that_doesn_t_read_is_not_read_from():
    """What we owe it stays bounded, and nothing is lost once it reads again."""
    async with a_raw_smsc() as smsc, connected(smsc.port) as (connection, _):
        peer = await deafen(smsc, connection)
        transport = only_link(connection)._transport
        assert transport is not None
        for _ in range(100):
            peer.transport.write(PROBE * 5_000)
        await eventually(lambda: not transport.is_reading())
        most = transport.get_write_buffer_size()
        for _ in range(20):
            await asyncio.sleep(0.01)
            most = max(most, transport.get_write_buffer_size())
        assert most < 500_000
        assert peer.transport.get_write_buffer_size() > 1_000_000, "it waits where it came from"
        peer.transport.resume_reading()
        await eventually(lambda: len(peer.heard) > 500_000)
        assert transport.is_reading()
        assert connection.up


@pytest.mark.parametrize("way", ["unbinds", "says nothing more"])
async def test_a_deaf_peer_that_leaves_is_let_go(way: str):
    async with a_raw_smsc() as smsc, connected(smsc.port) as (connection, _):
        peer = await deafen(smsc, connection)
        transport = only_link(connection)._transport
        assert transport is not None
        # Enough that octets of ours wait for good, and not so much that we stop reading.
        transport.set_write_buffer_limits(high=10_000_000)
        peer.transport.write(PROBE * 20_000)
        await eventually(lambda: transport.get_write_buffer_size() > 0)
        if way == "unbinds":
            peer.transport.write(UNBIND)
        else:
            peer.transport.write_eof()
        await eventually(lambda: len(smsc.peers) == 2, GOODBYE_S + 3)


# --- talking without end --------------------------------------------------------------


async def test_no_more_receipts_are_read_than_can_be_recorded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(smpp, "OWED_MAX", 100)
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        [peer] = smsc.peers
        peer.session.settings = msgspec.structs.replace(peer.session.settings, window=10_000)
        for number in range(6_000):
            peer.deliver(f"A{number}", "DELIVRD")
        await news.until(lambda: len(news.receipts) >= 100)
        transport = only_link(connection)._transport
        assert transport is not None
        await eventually(lambda: not transport.is_reading())
        held = len(news.receipts)
        await asyncio.sleep(0.1)
        assert len(news.receipts) == held < 3_000, "one read more than allowed, and no second"
        assert connection.up
        acknowledged = 0
        while acknowledged < 6_000:
            await news.until(lambda: bool(news.tokens))
            tokens, news.tokens = news.tokens, []
            acknowledged += len(tokens)
            connection.acknowledge(tokens)
        await smsc.until(lambda: peer.acknowledged == 6_000)
        assert [each.external_id for each in news.receipts] == [f"a{n}" for n in range(6_000)]


# --- gone -----------------------------------------------------------------------------


async def test_an_hour_away_is_a_patient_wait(monkeypatch: pytest.MonkeyPatch):
    """Attempts grow rare, nothing is kept of them, and the provider is found again."""
    waits: list[float] = []
    sleep = asyncio.sleep
    dialled: list[Link] = []
    opened = Link.open

    async def hurried(delay_s: float) -> None:
        waits.append(delay_s)
        await sleep(0)

    async def counted(dialling: Link) -> None:
        dialled.append(dialling)
        await opened(dialling)

    monkeypatch.setattr(Link, "open", counted)
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        monkeypatch.setattr(asyncio, "sleep", hurried)
        await smsc.close()
        while sum(waits) < 3_600:
            await sleep(0.01)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        assert all(earlier <= later for earlier, later in itertools.pairwise(waits))
        assert max(waits) <= binds.RECONNECT_MAX_S
        assert len(dialled) <= sum(waits) / (binds.RECONNECT_MAX_S / 2) + 10
        assert len(connection._binds.links) <= 1
        assert not connection._senders[0].pending
        assert not connection._handoff._answers
        await smsc.listen()
        async with asyncio.timeout(binds.RECONNECT_MAX_S):
            await connection.ready()
        await answered(smsc, connection, news)


async def answered(smsc: Smsc, connection: SmppConnection, news: News) -> None:
    smsc.answering = lambda number: f"A{number}"
    connection.submit([submission(1)])
    [result] = await news.results(1)
    assert isinstance(result, Taken)


async def test_a_peer_that_unbinds_is_bound_again():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        connection.submit([submission(1)])
        [(peer, _)] = await smsc.submitted(1)
        peer.session.unbind(peer.loop.time())
        peer.flush()
        assert await news.results(1) == [Unanswered("no answer came")]
        await smsc.until(lambda: len(smsc.binds) == 2)
        async with asyncio.timeout(5):
            await connection.ready()


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0\0\0",
        b"\0\0\0\x0f",
        b"\xff" * 64,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\x10\x80\0\0\4",
    ],
)
async def test_junk_instead_of_a_bind_s_answer(octets: bytes):
    """Also half a PDU and then nothing: whatever it is, the next bind is tried."""
    async with (
        a_raw_smsc(answers_binds=False) as smsc,
        connected(smsc.port, wait=False, clock=HurriedClock(), settings=SILENCE) as (
            connection,
            _,
        ),
    ):
        await eventually(lambda: bool(smsc.peers and smsc.peers[0].heard))
        smsc.peers[0].transport.write(octets)
        await eventually(lambda: len(smsc.peers) >= 2 and bool(smsc.peers[1].heard))
        assert smsc.peers[0].ended
        assert not connection.up


async def test_an_error_of_our_own_isn_t_waited_for(monkeypatch: pytest.MonkeyPatch):
    """Whoever asks for the connection learns that it won't come, and can make a new one."""

    async def fail(_: Link) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(Link, "open", fail)
    async with connected(1, wait=False) as (connection, _):
        await eventually(connection._binds._tasks[0].done)
        with pytest.raises(RuntimeError, match="ours"):
            await connection.ready()
