"""A server of whole PDUs whose every answer the test chooses, down to none at all."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

from arrivals.smpp.pdu import Framer, Pdu, encode

# What to write back for a PDU: PDUs, or octets as they are; None closes the connection.
Manners = Callable[[Pdu], list[Pdu | bytes] | None]


class Gatekeeper:
    """Where it listens, and what came."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[Pdu] = []
        self.changed = asyncio.Event()

    async def until(self, command_id: int) -> Pdu:
        """Wait for a PDU of this kind, and return the first."""
        async with asyncio.timeout(15):
            while not self.named(command_id):
                self.changed.clear()
                await self.changed.wait()
        return self.named(command_id)[0]

    def named(self, command_id: int) -> list[Pdu]:
        return [each for each in self.heard if each.command_id == command_id]


def answered(pdu: Pdu, status: int = 0, **more: object) -> Pdu:
    """Return the answer to a request, with `fields` and `tlvs` of the test's own."""
    found = {"fields": {}, "tlvs": (), **more}
    fields, tlvs = found["fields"], found["tlvs"]
    assert isinstance(fields, dict)
    assert isinstance(tlvs, tuple)
    return Pdu(pdu.command_id | 0x80000000, status, pdu.sequence_number, fields, tlvs)


@contextlib.asynccontextmanager
async def a_gatekeeper(
    manners: Manners, tls: ssl.SSLContext | None = None, greeting: bytes = b""
) -> AsyncIterator[Gatekeeper]:
    """Listen on a free port, and answer by these manners."""
    here = Gatekeeper()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer()
        writer.write(greeting)
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                for pdu in framer.feed(data):
                    if not isinstance(pdu, Pdu):
                        continue
                    here.heard.append(pdu)
                    here.changed.set()
                    said = manners(pdu)
                    if said is None:
                        return
                    for each in said:
                        writer.write(each if isinstance(each, bytes) else encode(each))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        # Whoever talks to it has gone by now; a socket left open would be another test's fault.
        if serving:
            await asyncio.wait(serving, timeout=1)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
