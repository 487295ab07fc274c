"""A lean HTTP/1.1 load generator: so many connections, each with one request at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


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
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._received[:end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else end])
        if len(self._received) < end + 4 + length:
            return
        if not head.startswith(b"http/1.1 20"):  # Kannel says 202
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
    loop = asyncio.get_running_loop()
    opened = [
        (await loop.create_connection(lambda: Connection(next_request), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(each.done for each in opened))
    latencies = sorted(latency for each in opened for latency in each.latencies)
    return latencies, sum(each.refused for each in opened)
