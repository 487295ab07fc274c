"""An ESME of plain octets: nothing of ours writes or reads what passes here.

It binds, submits and acknowledges by SMPP 3.4's own tables, and keeps every deliver_sm as it
was on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import NamedTuple

TRANSCEIVER, SUBMIT, DELIVER, ENQUIRE = 0x09, 0x04, 0x05, 0x15
RESPONSE = 0x8000_0000
WAIT_S = 20.0


class Frame(NamedTuple):
    """One PDU."""

    command: int
    status: int
    sequence: int
    body: bytes


class Delivered(NamedTuple):
    """One deliver_sm, cut at its mandatory fields."""

    source: str
    destination: str
    esm_class: int
    data_coding: int
    text: bytes  # the short_message
    rest: bytes  # whatever comes after it


class RawEsme:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.frames: list[Frame] = []  # in the order they came
        self.delivered: list[Delivered] = []
        self.closed = False
        self._reader, self._writer = reader, writer
        self._sequence = 0
        self._changed = asyncio.Condition()
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int) -> RawEsme:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def __aenter__(self) -> RawEsme:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(16)
                length, command, status, sequence = struct.unpack(">IIII", head)
                body = await self._reader.readexactly(length - 16)
                self.frames.append(Frame(command, status, sequence, body))
                if command == DELIVER:
                    self.delivered.append(cut(body))
                    self.write(DELIVER | RESPONSE, b"\0", sequence)
                async with self._changed:
                    self._changed.notify_all()
        self.closed = True
        async with self._changed:
            self._changed.notify_all()

    def write(self, command: int, body: bytes = b"", sequence: int | None = None) -> int:
        if sequence is None:
            self._sequence += 1
            sequence = self._sequence
        self._writer.write(struct.pack(">IIII", 16 + len(body), command, 0, sequence) + body)
        return sequence

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)  # type: ignore[arg-type]

    async def answer(self, command: int, sequence: int) -> Frame | None:
        """Wait for an answer; None when the connection ends without it."""

        def found() -> list[Frame]:
            wanted = command | RESPONSE
            return [f for f in self.frames if f[0] == wanted and f.sequence == sequence]

        await self.until(lambda: self.closed or found())
        return found()[0] if found() else None

    async def bind(
        self,
        system_id: str = "north",
        password: str = "world",
        *,
        system_type: str = "",
        version: int = 0x34,
        address_range: str = "",
        command: int = TRANSCEIVER,
    ) -> int:
        """Return the status that a bind is answered with."""
        body = f"{system_id}\0{password}\0{system_type}\0".encode()
        body += bytes((version, 0, 0)) + address_range.encode() + b"\0"
        answer = await self.answer(command, self.write(command, body))
        assert answer is not None
        return answer.status

    def submit(
        self,
        destination: str = "447700900001",
        text: bytes = b"hello",
        *,
        source: str = "ACME",
        source_type: tuple[int, int] = (5, 0),
        service_type: str = "",
        validity: str = "",
        esm_class: int = 0,
        data_coding: int = 0,
        tlvs: bytes = b"",
    ) -> int:
        """Write a submit_sm and return its number."""
        body = service_type.encode() + b"\0" + bytes(source_type) + source.encode() + b"\0"
        body += bytes((1, 1)) + destination.encode() + b"\0" + bytes((esm_class, 0, 0)) + b"\0"
        body += validity.encode() + b"\0" + bytes((1, 0, data_coding, 0, len(text))) + text
        return self.write(SUBMIT, body + tlvs)

    async def submitted(self, *what: object, **how: object) -> int | None:
        """Submit, and return the status that it's answered; None when it never is."""
        answer = await self.answer(SUBMIT, self.submit(*what, **how))  # type: ignore[arg-type]
        return None if answer is None else answer.status

    async def receipt(self) -> Delivered:
        """Wait for the first deliver_sm."""
        await self.until(lambda: self.delivered)
        return self.delivered[0]


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def cut(body: bytes) -> Delivered:
    """Read the mandatory fields of a deliver_sm, by section 4.6.1."""
    _, body = body.split(b"\0", 1)
    source, body = body[2:].split(b"\0", 1)
    destination, body = body[2:].split(b"\0", 1)
    esm_class = body[0]
    _, _, body = body[3:].split(b"\0", 2)
    data_coding, length = body[2], body[4]
    text, rest = body[5 : 5 + length], body[5 + length :]
    return Delivered(source.decode(), destination.decode(), esm_class, data_coding, text, rest)
