"""A network of promises: connections in memory that are slow, held, cut and meddled with.

    dialling end ──write──▶ stream ──(meddler: what leaves, and when)──▶ listening end
                 ◀───────── stream ◀──write──

A stream keeps its order, as TCP does. A wire can be *held*: then nothing arrives at either end
and neither learns that the other is gone (a half-open connection); what was under way arrives
when it is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from arrivals.clock import Chance

LATENCY_S: Final = (0.0002, 0.02)
TICK_S: Final = 1e-7
HIGH_WATER: Final = 65_536  # octets not read by the other end; then the writer is told to pause

Chunks = Sequence[tuple[float, bytes]]  # what leaves, and how much later than it could


class Meddler(Protocol):
    """Sits in the middle of one connection."""

    def outward(self, data: bytes) -> Chunks:
        """Return what becomes of the dialling end's bytes."""

    def inward(self, data: bytes) -> Chunks:
        """Return what becomes of the listening end's bytes."""

    def reached_provider(self, data: bytes) -> bytes:
        """See what the listening end would read; return what it does read."""

    def reached_platform(self, data: bytes) -> None:
        """See what the dialling end reads."""


class End(asyncio.Transport):
    """One end of a wire."""

    peer: End
    protocol: asyncio.Protocol

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self._loop = wire.network.loop
        self._closing = self._lost = self._deaf = self._paused = False
        self._unread: list[bytes] = []
        self._held: list[Callable[[], None]] = []  # what comes once the wire is let go
        self._under_way = 0  # octets written and not read by the other end
        self._last_at = 0.0  # when the last of what was written arrives

    def write(self, data: Any) -> None:
        """Send; what is written to an end that is closed goes nowhere."""
        if self._closing or self._lost or not data:
            return
        for later_s, chunk in self._wire.meddled(self, bytes(data)):
            # Later by a little than what was written before: equal times have no order.
            at = max(self._last_at + TICK_S, self._wire.arrival())
            if not later_s:
                self._last_at = at
            self._under_way += len(chunk)
            self._loop.call_at(at + later_s, self.peer.arrive, chunk)
        if self._under_way > HIGH_WATER and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def arrive(self, chunk: bytes) -> None:
        """Take what the other end wrote, unless the wire is held."""
        if not self._waits(lambda: self.arrive(chunk)):
            self._unread.append(chunk)
            self._read()

    def _waits(self, event: Callable[[], None]) -> bool:
        """Keep an event while the wire is held; what is kept comes in its order."""
        held_until = self._wire.held_until
        if held_until <= self._loop.time():
            return False
        if not self._held:
            self._loop.call_at(held_until, self._let_go)
        self._held.append(event)
        return True

    def _let_go(self) -> None:
        kept, self._held = self._held, []
        for event in kept:
            event()

    def _read(self) -> None:
        while self._unread and not self._deaf and not self._lost:
            chunk = self._unread.pop(0)
            self.peer.was_read(len(chunk))
            for piece in self._wire.in_pieces(self._wire.read_by(self, chunk)):
                if not self._lost:
                    self.protocol.data_received(piece)

    def was_read(self, octets: int) -> None:
        """Note how much the other end has read."""
        self._under_way -= octets
        if self._paused and self._under_way < HIGH_WATER // 2 and not self._lost:
            self._paused = False
            self.protocol.resume_writing()

    def close(self) -> None:
        """End it in order: what was written arrives, then the other end hears of it."""
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self.lose, None)
            self._loop.call_at(max(self._last_at, self._wire.arrival()), self.peer.end, None)

    def abort(self) -> None:
        """Cut it."""
        if not self._lost:
            self._closing = True
            self._loop.call_soon(self.lose, None)
            reset = ConnectionResetError(104, "Connection reset by peer")
            self._loop.call_at(self._wire.arrival(), self.peer.end, reset)

    def end(self, error: Exception | None) -> None:
        """Hear that the other end is gone, unless the wire is held."""
        if self._waits(lambda: self.end(error)):
            return
        if error is not None:
            self.lose(error)
        elif not self._lost:
            self.protocol.eof_received()
            self.close()

    def lose(self, error: Exception | None) -> None:
        """Tell the protocol that it is over, once."""
        self._closing = True
        if not self._lost:
            self._lost = True
            self._wire.network.forget(self._wire)
            self.protocol.connection_lost(error)

    def pause_reading(self) -> None:
        """Leave what arrives to wait."""
        self._deaf = True

    def resume_reading(self) -> None:
        """Read on."""
        if self._deaf:
            self._deaf = False
            self._loop.call_soon(self._read)

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        """Know nothing more."""
        return default


class Wire:
    """One connection: the end that dialled and the end that listened."""

    def __init__(self, network: Network, port: int) -> None:
        self.network = network
        self.port = port
        self.held_until = 0.0
        self.meddler: Meddler | None = None
        self.dialling, self.listening = End(self), End(self)
        self.dialling.peer, self.listening.peer = self.listening, self.dialling

    def meddled(self, end: End, data: bytes) -> Chunks:
        """Return what leaves an end when this is written there."""
        if self.meddler is None:
            return [(0.0, data)]
        outward = end is self.dialling
        return self.meddler.outward(data) if outward else self.meddler.inward(data)

    def read_by(self, end: End, data: bytes) -> bytes:
        """Show the meddler what an end is about to read; return what it reads."""
        if self.meddler is None:
            return data
        if end is self.listening:
            return self.meddler.reached_provider(data)
        self.meddler.reached_platform(data)
        return data

    def arrival(self) -> float:
        """Return when something that leaves now would arrive."""
        return self.network.loop.time() + self.network.latency()

    def in_pieces(self, data: bytes) -> Sequence[bytes]:
        """Cut what one read brings as a network may."""
        return self.network.pieces(data)

    def hold(self, seconds: float) -> None:
        """Let nothing arrive for a while."""
        self.held_until = max(self.held_until, self.network.loop.time() + seconds)

    def cut(self) -> None:
        """Break it: both ends lose it."""
        self.dialling.abort()


class _Listener:
    """What `create_server` returns, as far as it is used."""

    def __init__(self, network: Network, port: int) -> None:
        self._network = network
        self._port = port

    @property
    def sockets(self) -> Sequence[_Listener]:
        return (self,)

    def getsockname(self) -> tuple[str, int]:
        return ("127.0.0.1", self._port)

    def close(self) -> None:
        self._network.listeners.pop(self._port, None)

    async def wait_closed(self) -> None:
        """Return at once: connections end by themselves."""


class Network:
    """All wires between the platform and its providers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        chance: Chance,
        meddle: Callable[[Wire], Meddler | None],
        fragments: float = 0.0,
    ) -> None:
        """Begin with none; `fragments` is the share of reads that come in two pieces."""
        self.loop = loop
        self.listeners: dict[int, Callable[[], asyncio.Protocol]] = {}
        self.wires: dict[Wire, None] = {}
        self._chance = chance
        self._meddle = meddle
        self._fragments = fragments

    def listen(self, protocol_factory: Callable[[], asyncio.Protocol], port: int) -> _Listener:
        """Let others connect to a port."""
        self.listeners[port] = protocol_factory
        return _Listener(self, port)

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol], port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect to a port; raises ConnectionRefusedError where nobody listens."""
        await asyncio.sleep(self.latency() * 2)
        accept = self.listeners.get(port)
        if accept is None:
            raise ConnectionRefusedError(111, "Connection refused")
        wire = Wire(self, port)
        wire.meddler = self._meddle(wire)
        self.wires[wire] = None
        wire.listening.protocol, wire.dialling.protocol = accept(), protocol_factory()
        wire.listening.protocol.connection_made(wire.listening)
        wire.dialling.protocol.connection_made(wire.dialling)
        return wire.dialling, wire.dialling.protocol

    def forget(self, wire: Wire) -> None:
        """Let go of a wire that ended."""
        self.wires.pop(wire, None)

    def to(self, port: int) -> list[Wire]:
        """Return the wires to a port, the oldest first."""
        return [wire for wire in self.wires if wire.port == port]

    def latency(self) -> float:
        """Draw how long something is under way."""
        low, high = LATENCY_S
        return low + (high - low) * self._chance.uniform() ** 3

    def pieces(self, data: bytes) -> Sequence[bytes]:
        """Return bytes as they come out of one read, or of two."""
        if not data:
            return ()
        if len(data) < 2 or self._chance.uniform() >= self._fragments:
            return (data,)
        at = 1 + int(self._chance.uniform() * (len(data) - 1))
        return (data[:at], data[at:])
