"""Load at a constant rate, whatever the server does: no request waits for an answer to another.

A latency counts from the moment at which its request was *due*. A generator that waits for slow
answers asks less just when it matters, and its percentiles leave out what it didn't ask
(coordinated omission). Requests fall due by the millisecond, which is what the loop's timers
know; up to one is in each latency.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench.load import Answer, answer_in

TICK_S = 0.001
UNANSWERED_MAX_S = 120.0  # until the last answers are there


@dataclass
class Offered:
    """What was asked, and what came of it."""

    seconds: float = 0.0  # from the first request to the last that fell due
    due: int = 0
    dropped: int = 0  # no connection was free
    latencies: list[float] = field(default_factory=list)  # of what was taken, in seconds
    statuses: Counter[int] = field(default_factory=Counter)
    taken: list[Answer] = field(default_factory=list)
    taken_in_time: int = 0  # before the last fell due
    told_to_wait: int = 0  # refused, with a Retry-After within the run, and asked again then
    then_taken: int = 0


class _Connection(asyncio.Protocol):
    """One keep-alive connection, idle or with one request."""

    def __init__(self, answered: Callable[[_Connection, Answer], None]) -> None:
        self.since = 0.0
        self.is_second = False
        self.transport: asyncio.Transport
        self._answered = answered
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        answer = answer_in(self._received)
        if answer is not None:
            self._received = b""
            self._answered(self, answer)


class OpenLoop:
    """One run at a constant rate."""

    def __init__(
        self, next_request: Callable[[], bytes | None], rate: float, *, drop: bool
    ) -> None:
        """Ask `rate` times a second.

        What finds no free connection is dropped, or else waits for one, and its waiting counts;
        who was told to come again isn't dropped.
        """
        self.offered = Offered()
        self._next_request = next_request
        self._rate = rate
        self._drop = drop
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[float, bool]] = deque()  # due when; whether a second time
        self._in_hand = 0
        self._later = 0  # that were told to come again
        self._until = 0.0
        self._has_ended = False  # nothing falls due any more
        self._all_answered = asyncio.Event()

    async def run(self, port: int, connections: int, seconds: float) -> Offered:
        """Open the connections, ask for so many seconds, and wait for all answers."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            opened = await loop.create_connection(
                lambda: _Connection(self._answered), "127.0.0.1", port
            )
            self._idle.append(opened[1])
        everyone = list(self._idle)
        began = time.perf_counter()
        self._until = began + seconds
        await self._ask(began)
        self.offered.seconds = time.perf_counter() - began
        self._has_ended = True
        self._look_for_the_end()
        async with asyncio.timeout(UNANSWERED_MAX_S):
            await self._all_answered.wait()
        for each in everyone:
            each.transport.close()
        self.offered.latencies.sort()
        return self.offered

    async def _ask(self, began: float) -> None:
        offered = self.offered
        now = began
        while now < self._until:
            now = min(time.perf_counter(), self._until)
            due = round((now - began) * self._rate)
            while offered.due < due:
                self._waiting.append((began + offered.due / self._rate, False))
                offered.due += 1
            self._send()
            if self._drop:
                patient = [each for each in self._waiting if each[1]]
                offered.dropped += len(self._waiting) - len(patient)
                self._waiting = deque(patient)
            await asyncio.sleep(TICK_S)

    def _send(self) -> None:
        while self._waiting and self._idle:
            request = self._next_request()
            if request is None:
                self._waiting.clear()
                return
            connection = self._idle.pop()
            connection.since, connection.is_second = self._waiting.popleft()
            self._in_hand += 1
            connection.transport.write(request)

    def _answered(self, connection: _Connection, answer: Answer) -> None:
        now, offered = time.perf_counter(), self.offered
        self._in_hand -= 1
        self._idle.append(connection)
        offered.statuses[answer.status] += 1
        if answer.is_good:
            offered.latencies.append(now - connection.since)
            offered.taken.append(answer)
            offered.taken_in_time += now < self._until
            offered.then_taken += connection.is_second
        elif not connection.is_second and (wait_s := answer.retry_after_s) is not None:
            self._come_again(now, wait_s)
        self._send()
        self._look_for_the_end()

    def _come_again(self, now: float, wait_s: int) -> None:
        """Ask again when the server said, if the load still lasts: else it proves nothing."""
        if now + wait_s < self._until:
            self.offered.told_to_wait += 1
            self._later += 1
            asyncio.get_running_loop().call_later(wait_s, self._again)

    def _look_for_the_end(self) -> None:
        if self._has_ended and not (self._in_hand or self._waiting or self._later):
            self._all_answered.set()

    def _again(self) -> None:
        self._later -= 1
        self._waiting.append((time.perf_counter(), True))
        self._send()
        self._look_for_the_end()


async def open_load(
    port: int,
    connections: int,
    next_request: Callable[[], bytes | None],
    *,
    rate: float,
    seconds: float,
    drop: bool = False,
) -> Offered:
    """Ask `rate` times a second over so many connections for so many seconds."""
    return await OpenLoop(next_request, rate, drop=drop).run(port, connections, seconds)
