"""Keep the messages of which a part is put off, and let each go on in its time.

They hold memory and nothing else: no place in a window, no lease on a bind. Whoever recorded
them is told by when it will hear more, and hears it by then even if nothing could be sent.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Final

import msgspec

from arrivals.clock import Clock
from arrivals.providers.binds import Bind
from arrivals.providers.flight import Flight

HELD_MAX: Final = 1_000  # messages, about 2 MB; more than that end with the provider's no
NEWS_US: Final = 180_000_000  # after a part was due: a hold of the bind, and a slow answer
NEWS_LEFT_US: Final = 60_000_000  # what is left of that when it is told anew
LOOK_S: Final = 0.25  # how soon a part that finds no room is tried again
LOOK_ROUND_S: Final = 10.0  # how often all of them are looked through
_US: Final = 1_000_000


class _Held(msgspec.Struct, order=True):
    due_us: int
    order: int  # of coming, among those due at once
    until_us: int
    bind: Bind
    flight: Flight


class HeldParts:
    """Messages that wait to go on; times are wall time, as their validity is."""

    def __init__(
        self,
        clock: Clock,
        go_on: Callable[[Bind, Flight], bool],
        hold: Callable[[Flight, int, int], None],
        give_up: Callable[[Flight], None],
        tell: Callable[[], None],
    ) -> None:
        """Begin with none; `go_on` says whether there was room, `hold` tells a new promise."""
        self._clock = clock
        self._go_on, self._hold, self._give_up, self._tell = go_on, hold, give_up, tell
        self._heap: list[_Held] = []
        self._order = itertools.count()
        self._round_us = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, bind: Bind, flight: Flight, due_us: int) -> bool:
        """Take a message that goes on at `due_us`; return whether there is a place for it."""
        if len(self._heap) >= HELD_MAX:
            return False
        held = _Held(due_us, next(self._order), due_us + NEWS_US, bind, flight)
        heapq.heappush(self._heap, held)
        self._hold(flight, held.until_us, due_us)
        if self._heap[0] is held:
            self._look_in(due_us - self._clock.now_us())
        return True

    def stop(self) -> list[Flight]:
        """Return all that wait, and wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
        flights = [each.flight for each in sorted(self._heap)]
        self._heap.clear()
        return flights

    def _look_in(self, wait_us: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.001, wait_us / _US)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now_us = self._clock.now_us()
        if now_us - self._round_us >= LOOK_ROUND_S * _US:
            self._round_us = now_us
            self._look_through(now_us)
        wait_us = self._let_go(now_us)
        if self._heap:
            self._look_in(wait_us)
        self._tell()

    def _let_go(self, now_us: int) -> int:
        """Let go on what is due, as long as there is room; return when to look again."""
        while self._heap and self._heap[0].due_us <= now_us:
            held = heapq.heappop(self._heap)
            if not self._go_on(held.bind, held.flight):
                heapq.heappush(self._heap, held)
                return int(LOOK_S * _US)
        return self._heap[0].due_us - now_us if self._heap else 0

    def _look_through(self, now_us: int) -> None:
        """End what has no time left, and renew promises that come to their end."""
        held, self._heap = self._heap, []
        for each in held:
            if each.flight.submission.expires_at_us <= now_us:
                self._give_up(each.flight)
            else:
                heapq.heappush(self._heap, each)
        for each in self._heap:
            if each.until_us - now_us < NEWS_LEFT_US:
                each.until_us = now_us + NEWS_US
                self._hold(each.flight, each.until_us, each.due_us)
