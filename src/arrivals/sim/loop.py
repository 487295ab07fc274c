"""An event loop whose time is a number: nothing ever waits, and one seed is one history.

Everything that a process asks of the machine goes through its loop: timers, sockets and
threads. So the very code that serves runs here too, unchanged: time jumps to whatever is due
next, connections are those of a simulated network, and what would go to a thread runs on the
spot, a little later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from arrivals.sim.network import Network

TURN_S: Final = 1e-6  # what a turn takes: time goes on even where nobody waits
TURNS_MAX: Final = 20_000_000  # of one run; a loop that turns without end is a fault too


class Stuck(Exception):
    """Nothing is due and nothing can happen any more, or far too much does."""


class _Skip:
    """Stands where the loop would wait for sockets: time passes at once."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        """Let `timeout` seconds have passed."""
        self._turns += 1
        if timeout is None:
            raise Stuck("nothing is due, and nothing else can happen")
        if self._turns > TURNS_MAX:
            raise Stuck("the loop turns without end")
        self._loop.pass_by(timeout + TURN_S)
        return []

    def close(self) -> None:
        """Do nothing: there are no sockets."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without a clock, sockets or threads."""

    network: Network

    def __init__(self, work_s: Callable[[], float]) -> None:
        """Begin at zero; `work_s` tells how long a thread takes for a piece of work."""
        super().__init__()
        self.work_s = work_s
        self._now = 0.0
        self._selector = _Skip(self)
        self._free_at: dict[Any, float] = {}  # by executor

    def time(self) -> float:
        """Return the seconds since the loop was made."""
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run it here, once a thread that does one thing after another would have done it."""
        done_at = max(self._now, self._free_at.get(executor, 0.0)) + self.work_s()
        self._free_at[executor] = done_at
        return self.create_task(_done_after(done_at - self._now, func, args))

    async def create_connection(self, protocol_factory: Any, *where: Any, **_: Any) -> Any:
        """Connect over the simulated network."""
        return await self.network.connect(protocol_factory, int(where[1]))

    async def create_server(self, protocol_factory: Any, *where: Any, **_: Any) -> Any:
        """Listen on the simulated network."""
        return self.network.listen(protocol_factory, int(where[1]))

    def _process_events(self, event_list: list[Any]) -> None:
        """Do nothing: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Do nothing: it never sleeps."""


async def _done_after(seconds: float, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    await asyncio.sleep(seconds)
    return func(*args)
