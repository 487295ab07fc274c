"""An SMSC that does what the test says, and a sink that keeps what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from arrivals.clock import Clock, SystemClock
from arrivals.core.catalogue import Provider
from arrivals.core.text import segment
from arrivals.providers.api import Answer, Ignored, Receipt, Reply, Result, Submission
from arrivals.providers.smpp import SmppConnection
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.receipts import format_receipt
from arrivals.smpp.session import BindRequested, RequestReceived, Role, Session, SessionSettings


class News:
    """The sink of a connection under test."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.receipts: list[Receipt] = []
        self.replies: list[Reply] = []
        self.nothing: list[Ignored] = []
        self.tokens: list[object] = []
        self._changed = asyncio.Event()
        self.lease_runs = True

    def may_send(self) -> bool:
        return self.lease_runs

    def answered(self, answers: Sequence[Answer]) -> None:
        self.answers.extend(answers)
        self._changed.set()

    def received(self, receipts: Sequence[Receipt], tokens: Sequence[object]) -> None:
        self.receipts.extend(receipts)
        self.tokens.extend(tokens)
        self._changed.set()

    def replied(self, replies: Sequence[Reply], tokens: Sequence[object]) -> None:
        self.replies.extend(replies)
        self.tokens.extend(tokens)
        self._changed.set()

    def of(self, key: int) -> list[Result]:
        return [each.result for each in self.answers if each.key == key]

    def ignored(self, ignored: Sequence[Ignored], tokens: Sequence[object]) -> None:
        self.nothing.extend(ignored)
        self.tokens.extend(tokens)
        self._changed.set()

    async def results(self, count: int) -> list[Result]:
        await self.until(lambda: len(self.answers) >= count)
        return [each.result for each in self.answers]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Chance:
    def uniform(self) -> float:
        return 0.0

    def entropy(self, octets: int) -> bytes:
        return bytes(octets)


class Peer(asyncio.Protocol):
    """One connection of the SMSC: binds are taken, submits wait for the test's answer."""

    def __init__(self, smsc: Smsc) -> None:
        self.smsc = smsc
        self.loop = asyncio.get_running_loop()
        self.session = Session(Role.SMSC, SessionSettings(window=1_000), self.loop.time())
        self.transport: Any = None
        self.submits: list[Pdu] = []
        self.acknowledged = 0
        self.bound_as = 0
        self.is_bound = self.is_gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.smsc.peers.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.connection_lost()
        self.is_gone = True
        self.smsc.changed()

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive_data(data, self.loop.time()):
            if isinstance(event, BindRequested):
                self.bound_as = event.pdu.command_id
                if self.smsc.bound >= self.smsc.binds_max:
                    self.session.refuse_bind(event.pdu, c.ESME_RALYBND, self.loop.time())
                    continue
                self.is_bound = True
                self.smsc.binds.append((event.pdu.command_id, event.pdu.octets("password")))
                self.session.accept_bind(event.pdu, self.loop.time(), b"test")
            elif isinstance(event, RequestReceived):
                self.submits.append(event.pdu)
                self.smsc.submits.append((self, event.pdu))
                self.smsc.most_open = max(self.smsc.most_open, len(self.submits))
                if self.smsc.answering is not None:
                    self.answer(event.pdu, self.smsc.answering(len(self.smsc.submits)))
                elif self.smsc.judging is not None:
                    word = self.smsc.judging(self, event.pdu)
                    if word is not None:
                        self.answer(event.pdu, word)
            elif type(event).__name__ == "Answered":
                self.acknowledged += 1
        self.flush()
        self.smsc.changed()

    def answer(self, pdu: Pdu, status_or_id: int | str) -> None:
        self.submits.remove(pdu)
        if isinstance(status_or_id, int):
            self.session.send_response(pdu, status_or_id)
        else:
            self.session.send_response(pdu, 0, {"message_id": status_or_id.encode()})
        self.flush()

    def deliver(self, message_id: str, state: str, source: str = "31612345678") -> None:
        text, tlvs = format_receipt(
            message_id=message_id, state=state, submit_date="2401010000", done_date="2401010001"
        )
        fields: dict[str, int | bytes] = {
            "source_addr": source.encode(),
            "esm_class": c.ESM_DELIVERY_RECEIPT,
            "short_message": text,
        }
        pdu = Pdu(c.DELIVER_SM, fields=fields, tlvs=tlvs)
        self.session.send_request(pdu, self.loop.time(), object())
        self.flush()

    def send(self, pdu: Pdu) -> None:
        self.session.send_request(pdu, self.loop.time(), object())
        self.flush()

    def flush(self) -> None:
        data = self.session.bytes_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)


class Smsc:
    """A listener, and everything that reached it in order."""

    def __init__(self) -> None:
        self.port = 0
        self.peers: list[Peer] = []
        self.binds: list[tuple[int, bytes]] = []
        self.submits: list[tuple[Peer, Pdu]] = []
        self.most_open = 0
        self.binds_max = 100
        self.answering: Callable[[int], int | str] | None = None  # by the number of the submit
        self.judging: Callable[[Peer, Pdu], int | str | None] | None = None  # by what it is
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def listen(self, tls: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Peer(self), "127.0.0.1", self.port, ssl=tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self.peers:
            peer.transport.abort()
        await self._server.wait_closed()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def bound(self) -> int:
        return sum(peer.is_bound and not peer.is_gone for peer in self.peers)

    async def submitted(self, count: int) -> list[tuple[Peer, Pdu]]:
        await self.until(lambda: len(self.submits) >= count)
        return self.submits


@contextlib.asynccontextmanager
async def an_smsc(tls: ssl.SSLContext | None = None) -> AsyncIterator[Smsc]:
    smsc = Smsc()
    await smsc.listen(tls)
    try:
        yield smsc
    finally:
        await smsc.close()


@contextlib.asynccontextmanager
async def connected(
    port: int,
    *,
    password: str = "world",
    wait: bool = True,
    clock: Clock | None = None,
    **changes: Any,
) -> AsyncIterator[tuple[SmppConnection, News]]:
    """Connect to a port, and wait for the bind."""
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "system_id": "north",
        "response_timeout_s": 1.0,
        **changes.pop("settings", {}),
    }
    provider = Provider(
        **{"provider_id": "north", "sandbox": True, "settings": settings, **changes}
    )
    connection = SmppConnection(provider, password, clock or SystemClock(), Chance())
    news = News()
    await connection.start(news)
    try:
        if wait:
            async with asyncio.timeout(10):
                await connection.ready()
        yield connection, news
    finally:
        await connection.stop()


def submission(
    number: int = 1, text: str = "hello", msisdn: str = "31612345678", **changes: Any
) -> Submission:
    return Submission(
        **{
            "key": number,
            "attempt": 1,
            "epoch": 1,
            "sender": "ACME",
            "msisdn": msisdn,
            "text": text,
            "segments": len(segment(text)),
            "reference": number & 0xFFFF,
            "expires_at_us": SystemClock().now_us() + 3_600_000_000,
            **changes,
        }
    )
