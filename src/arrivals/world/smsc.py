"""The carrier world as a server: listening, speed, and faults on demand."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, Self

from arrivals.world.connection import Connection
from arrivals.world.exchange import Exchange
from arrivals.world.truth import TruthLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from arrivals.world.breaks import Breaks
    from arrivals.world.inbox import Inbox
    from arrivals.world.scenario import Scenario
    from arrivals.world.truth import Acted

HOUSEKEEPING_S: Final = 0.05  # real time: how late the truth file and link timers may be
GOODBYE_S: Final = 0.5  # real time for peers to take the last bytes, then they're cut off
SPEED_MAX: Final = 1_000_000.0


class CarrierWorld:
    """A real SMPP server behind which a scenario's providers and carriers live.

    It lives on one event loop. `speed` quickens everything behind the server: answers,
    handsets and receipts, rate limits and brown-outs. `now_us` tells wall time, for dates.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        now_us: Callable[[], int],
        password: str | None = None,
        truth_path: Path | None = None,
        acknowledge_within_s: float = 10.0,
        housekeeping_s: float = HOUSEKEEPING_S,
        on_act: Callable[[Acted], None] | None = None,
    ) -> None:
        """Prepare; nothing listens before `start`. A `password` replaces the scenario's.

        `on_act` is told what users do, as it happens: whoever plays the customers' systems
        passes it on as feedback.
        """
        if not 0 < speed <= SPEED_MAX or math.isnan(speed):
            raise ValueError(f"speed is above 0 and at most {SPEED_MAX:.0f}")
        self.scenario = scenario
        self.seed = seed
        self.speed = speed
        self.host = host
        self.port = port  # the real one after `start`
        self.truth = TruthLedger(truth_path)
        self._now_us = now_us
        self._password = password
        self._on_act = on_act
        self._acknowledge_within_s = acknowledge_within_s
        self._housekeeping_s = housekeeping_s
        self._exchange: Exchange | None = None
        self._server: asyncio.Server | None = None
        self._housekeeping: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    @property
    def inbox(self) -> Inbox:
        """The texts that reached handsets."""
        return self._inside.inbox

    @property
    def binds(self) -> dict[str, int]:
        """How many binds each system_id has now."""
        counts: dict[str, int] = {}
        for connection in self._inside.connections:
            if connection.bound:
                counts[connection.system_id] = counts.get(connection.system_id, 0) + 1
        return counts

    @property
    def _inside(self) -> Exchange:
        if self._exchange is None:
            raise RuntimeError("the carrier world has not been started")
        return self._exchange

    async def start(self) -> None:
        """Listen; raise OSError when the port can't be had."""
        self._exchange = Exchange(
            self.scenario,
            self.seed,
            self.truth,
            loop=asyncio.get_running_loop(),
            speed=self.speed,
            now_us=self._now_us,
            password=self._password,
            on_act=self._on_act,
        )
        await self._listen()
        self._keep_house()

    async def stop(self) -> None:
        """Unbind and close everything, within a second, and write the last of the truth."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            self._housekeeping = None
        if self._server is not None:
            self._server.close()
        if self._exchange is not None:
            self._exchange.agenda.close()
            await self._say_goodbye(self._exchange)
        await self._close_listener()
        self.truth.close()

    # Faults on demand

    async def go_away(self) -> None:
        """Vanish: stop listening and cut every connection. What was accepted goes on."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._inside.connections):
            connection.abort()
        await self.truth.until(lambda: not self._inside.connections)
        await self._close_listener()

    async def come_back(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            await self._listen()

    def refuse_binds(self, refuse: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """Answer new binds ESME_RBINDFAIL, or take them again."""
        self._inside.refusing_binds = refuse

    def garbage(self, send: bool = True) -> None:  # noqa: FBT001, FBT002 - a switch
        """Write junk instead of every answer, or sense again."""
        self._inside.send_garbage(send)

    def break_down(self, breaks: Breaks | None) -> None:
        """Let every provider break down like this, or be as the scenario says again (None)."""
        self._inside.breaks = breaks

    # Inside

    async def _listen(self) -> None:
        exchange = self._inside
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(exchange, self._acknowledge_within_s), self.host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _say_goodbye(self, exchange: Exchange) -> None:
        for connection in tuple(exchange.connections):
            connection.unbind()
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.truth.until(lambda: not exchange.connections)
        except TimeoutError:
            for connection in tuple(exchange.connections):
                connection.abort()
            await self.truth.until(lambda: not exchange.connections)

    def _keep_house(self) -> None:
        exchange = self._inside
        for connection in tuple(exchange.connections):
            connection.tick()
        exchange.settle()
        self.truth.flush()
        self._housekeeping = asyncio.get_running_loop().call_later(
            self._housekeeping_s, self._keep_house
        )


async def run_world(
    *,
    scenario: Scenario,
    seed: int,
    stop: asyncio.Event,
    now_us: Callable[[], int],
    speed: float = 1.0,
    host: str = "127.0.0.1",
    port: int = 0,
    password: str | None = None,
    truth_path: Path | None = None,
    started: Callable[[CarrierWorld], None] | None = None,
) -> None:
    """Run a carrier world until `stop` is set; `started` is called once it listens."""
    world = CarrierWorld(
        scenario,
        seed,
        speed,
        host,
        port,
        now_us=now_us,
        password=password,
        truth_path=truth_path,
    )
    async with world:
        if started is not None:
            started(world)
        await stop.wait()
