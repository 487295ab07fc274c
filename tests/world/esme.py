"""A small ESME for these tests: it binds, submits, acknowledges, and remembers what came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from arrivals.core.text import encode_segments
from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, header_8_bit, header_16_bit, sar_tlvs
from arrivals.smpp.pdu import Pdu, Tlvs, make_tlv
from arrivals.smpp.receipts import Receipt, parse_receipt
from arrivals.smpp.session import (
    Answered,
    BindRefused,
    Bound,
    LinkDead,
    PeerUnbound,
    RequestReceived,
    Role,
    Session,
    SessionSettings,
)


def now_us() -> int:
    return time.time_ns() // 1000


class Esme(asyncio.Protocol):
    """One bind."""

    def __init__(self, acknowledge: int | None = 0, window: int = 500) -> None:
        self.loop = asyncio.get_running_loop()
        self.session = Session(Role.ESME, SessionSettings(window=window), self.loop.time())
        self.transport: Any = None
        self.acknowledge = acknowledge  # the status for receipts; None: never
        self.answers: dict[Any, Pdu] = {}  # by token
        self.receipts: list[Receipt] = []
        self.from_handsets: list[Pdu] = []
        self.timeline: list[tuple[str, str]] = []  # ("answer" | "receipt", message id)
        self.bind_status: int | None = None
        self.dead = ""
        self.closed = self.unbound = False
        self._changed = asyncio.Event()

    @classmethod
    async def connect(
        cls,
        port: int,
        system_id: str = "north",
        password: str = "world",
        *,
        bind: int = c.BIND_TRANSCEIVER,
        acknowledge: int | None = 0,
        window: int = 500,
    ) -> Esme:
        """Connect and wait for the bind's answer, whatever it says."""
        loop = asyncio.get_running_loop()
        _, esme = await loop.create_connection(
            lambda: cls(acknowledge, window), "127.0.0.1", port
        )
        await esme.bind(system_id, password, bind)
        return esme

    async def bind(self, system_id: str, password: str, bind: int) -> None:
        self.bind_status = None
        self.session.bind(
            bind, self.loop.time(), system_id=system_id.encode(), password=password.encode()
        )
        self.flush()
        await self.until(lambda: self.bind_status is not None or self.closed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.session.connection_lost()
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        for event in self.session.receive_data(data, self.loop.time()):
            self.take(event)
        self.flush()
        self._changed.set()

    def take(self, event: object) -> None:
        match event:
            case Bound():
                self.bind_status = 0
            case BindRefused(status):
                self.bind_status = status
            case Answered(token, _, pdu):
                self.answers[token] = pdu
                self.timeline.append(("answer", pdu.octets("message_id").decode()))
            case RequestReceived(pdu):
                receipt = parse_receipt(pdu)
                if receipt is None:
                    self.from_handsets.append(pdu)
                else:
                    self.receipts.append(receipt)
                    self.timeline.append(("receipt", receipt.message_id or ""))
                if self.acknowledge is not None:
                    self.session.send_response(pdu, self.acknowledge)
            case PeerUnbound():
                self.unbound = True
            case LinkDead(reason):
                self.dead = reason
            case _:
                pass

    def flush(self) -> None:
        data = self.session.bytes_to_send()
        if data and not self.closed:
            self.transport.write(data)

    def submit(
        self,
        destination: str,
        text: str = "hello",
        *,
        source: str = "Arrivals",
        token: object = None,
        header: str = "udh8",
        concatenation: int = 7,
        reference: int | None = None,
        registered_delivery: int = 1,
        **fields: Any,
    ) -> list[Any]:
        """Queue a text, in as many parts as it takes; return the tokens of its parts."""
        segments = encode_segments(text)
        tokens = []
        for number, octets in enumerate(segments, 1):
            part = Part(reference=concatenation, total=len(segments), number=number)
            tlvs: Tlvs = () if reference is None else (make_tlv(0x0204, reference),)
            esm_class, user_data = 0, octets
            if len(segments) > 1 and header == "sar":
                tlvs += sar_tlvs(part)
            elif len(segments) > 1:
                user_data = (header_8_bit if header == "udh8" else header_16_bit)(part) + octets
                esm_class = c.ESM_UDHI
            values = {
                "source_addr": source.encode(),
                "destination_addr": destination.encode(),
                "registered_delivery": registered_delivery,
                "esm_class": esm_class,
                "short_message": user_data,
                **fields,
            }
            tokens.append((token if token is not None else object(), number))
            self.session.send_request(
                Pdu(c.SUBMIT_SM, fields=values, tlvs=tlvs), self.loop.time(), tokens[-1]
            )
        self.flush()
        return tokens

    async def answer(self, token: Any) -> Pdu:
        """Wait for one answer."""
        await self.until(lambda: token in self.answers)
        return self.answers[token]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the world to make a condition true."""
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def message_id(self, token: Any) -> str:
        return self.answers[token].octets("message_id").decode()

    def states(self) -> list[str]:
        return [receipt.state for receipt in self.receipts]

    def close(self) -> None:
        self.transport.abort()
