"""What is due later, in the world's own time, on one timer of the loop."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, Final

DUE_MAX: Final = 1_000_000  # entries; the world answers ESME_RMSGQFUL when it holds as many

TURN_MAX: Final = 1_000  # entries in one turn, so that sockets get theirs

_Entry = tuple[float, int, Callable[..., None], tuple[Any, ...]]


class Agenda:
    """Call things when they're due, in order; those due at once share one turn."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, speed: float, after_turn: Callable[[], None]
    ) -> None:
        """Begin at zero. `after_turn` is called once after each turn."""
        self._loop = loop
        self._speed = speed
        self._began = loop.time()
        self._after_turn = after_turn
        self._due: list[_Entry] = []
        self._entries = 0  # breaks ties: what was entered first comes first
        self._timer: asyncio.TimerHandle | None = None

    @property
    def now_s(self) -> float:
        """The world's time."""
        return (self._loop.time() - self._began) * self._speed

    @property
    def full(self) -> bool:
        """Whether nothing more should be entered."""
        return len(self._due) >= DUE_MAX

    def enter(self, due_s: float, action: Callable[..., None], *arguments: object) -> None:
        """Call `action` at a time of the world, in a later turn of the loop."""
        self._entries += 1
        entry = (due_s, self._entries, action, arguments)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._set_timer()

    def close(self) -> None:
        """Forget everything."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(
            self._began + self._due[0][0] / self._speed, self._take_turn
        )

    def _take_turn(self) -> None:
        self._timer = None
        now_s = self.now_s
        due = self._due
        for _ in range(TURN_MAX):
            if not due or due[0][0] > now_s:
                break
            _, _, action, arguments = heapq.heappop(due)
            action(*arguments)
        if due and self._timer is None:
            self._set_timer()
        self._after_turn()
