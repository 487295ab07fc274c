"""A lean HTTP/1.1 load generator: so many connections, each with one request at a time.

`load` is a closed loop: a connection sends its next request when the last was answered, so a
slow server is asked less. `open_load` (open_loop.py) asks at a constant rate, come what may.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """A whole response."""

    status: int
    head: bytes
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300  # Kannel says 202

    @property
    def retry_after_s(self) -> int | None:
        """What its Retry-After says."""
        found = _RETRY_AFTER.search(self.head)
        return int(found[1]) if found else None


def answer_in(received: bytes) -> Answer | None:
    """Return the response that was received, or None while it isn't whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end]
    if _CHUNKED.search(head):  # as Jasmin does; its body is of no interest
        is_whole = received.endswith(b"\r\n0\r\n\r\n")
        return Answer(int(head[9:12]), head, b"") if is_whole else None
    length = _LENGTH.search(head)
    if length is None:
        raise ValueError("a response without a length")
    if len(received) < end + 4 + int(length[1]):
        return None
    return Answer(int(head[9:12]), head, received[end + 4 :])


def in_turn(
    messages: int, recipients: int, write: Callable[[int, list[str]], bytes]
) -> Callable[[], bytes | None]:
    """Return what gives one request after another, and in the end None.

    `write` makes one, from its number and its recipients, who all differ.
    """
    sent = 0

    def next_request() -> bytes | None:
        nonlocal sent
        if sent >= messages:
            return None
        numbers = [f"316{number % 10**8:08d}" for number in range(sent, sent + recipients)]
        sent += recipients
        return write(sent // recipients - 1, numbers)

    return next_request


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends its next request when the last was answered."""

    def __init__(self, next_request: Callable[[], bytes | None]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.refused = 0
        self._next_request = next_request
        self._transport: asyncio.Transport | None = None
        self._began = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def start(self) -> None:
        """Send the first request."""
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = answer_in(self._received)
        if answer is None:
            return
        if not answer.is_good:
            self.refused += 1
        self._received = b""
        self.latencies.append(time.perf_counter() - self._began)
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def _go_on(self) -> None:
        request = self._next_request()
        if self._transport is None or request is None:
            self.done.set_result(None)
            if self._transport is not None:
                self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)


def request(host: str, path: str, key: str, body: bytes) -> bytes:
    """Return one POST as bytes."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-API-KEY: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    port: int, connections: int, next_request: Callable[[], bytes | None]
) -> tuple[list[float], int]:
    """Send until `next_request` has no more; return the latencies in seconds and refusals."""
    return await finished(await opened(port, connections, next_request))


async def opened(
    port: int, connections: int, next_request: Callable[[], bytes | None]
) -> list[Connection]:
    """Open connections that send nothing yet.

    Kannel's listen queue is short: one that overflows it comes a second later, and that second
    is no message's.
    """
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: Connection(next_request), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]


async def finished(connections: Sequence[Connection]) -> tuple[list[float], int]:
    """Let them send until there is no more; return the latencies in seconds and refusals."""
    for each in connections:
        each.start()
    await asyncio.gather(*(each.done for each in connections))
    latencies = sorted(latency for each in connections for latency in each.latencies)
    return latencies, sum(each.refused for each in connections)
