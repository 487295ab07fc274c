"""An API on a real socket, and clients that write octets to it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from arrivals.http.connection import Connection
from arrivals.http.door import Door
from tests.http.installation import Installation

SILENCE_S = 0.3  # then nothing more comes


@dataclass
class Wire:
    """Where it listens."""

    host: str
    port: int
    state: ServerState
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self, octets: bytes = b"") -> asyncio.StreamReader:
        """Open a connection that stays open, and send octets over it."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        self.writers.append(writer)
        writer.write(octets)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return reader

    async def exchange(self, *pieces: bytes, pause_s: float = 0.01) -> bytes:
        """Send octets over a connection of their own; return all that comes back."""
        reader = await self.connect()
        writer = self.writers[-1]
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)  # so that each comes in by a read of its own
        answer = await rest(reader)
        writer.close()
        return answer

    async def settled(self, connections: int) -> None:
        """Return when there are so many connections."""
        async with asyncio.timeout(5):
            while len(self.state.connections) != connections:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def rest(reader: asyncio.StreamReader, silence_s: float = SILENCE_S) -> bytes:
    """Return what comes until the end or a silence."""
    answer = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(silence_s):
            while octets := await reader.read(65_536):
                answer += octets
    return answer


async def ends(reader: asyncio.StreamReader, within_s: float = 3.0) -> bytes:
    """Return what comes until the end, which has to come."""
    answer = b""
    async with asyncio.timeout(within_s):
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(65_536):
                answer += octets
    return answer


def answered(reader: asyncio.StreamReader) -> bool:
    """Tell whether anything came, or the end."""
    return reader.at_eof() or bool(reader._buffer)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def served(api: Installation, door: Door | None = None) -> AsyncIterator[Wire]:
    """Serve an installation's API on a free port."""
    config = uvicorn.Config(
        api.app, ws="none", lifespan="off", log_config=None, proxy_headers=False
    )
    config.load()
    state = ServerState()
    made: Any = functools.partial(Connection, config, state, {}, door=door or Door())
    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    wire = Wire(host, port, state)
    yield wire
    server.close()
    for writer in wire.writers:
        writer.close()
    async with asyncio.timeout(5):
        while state.connections or state.tasks:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
