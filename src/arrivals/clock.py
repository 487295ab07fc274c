"""The one place that asks the machine for the time and for chance."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Wall time for deadlines, monotonic time for durations."""

    def now_us(self) -> int:
        """Return the wall time in microseconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""


class SystemClock:
    """The machine's clocks, and a wall time that never goes back.

    Where the machine's is set back, this one goes on at half its speed until the other has
    caught up. So what waits for a time is delayed and never stuck until then, and deadlines
    of before and after stay in order.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] | None = None,
        monotonic_ns: Callable[[], int] | None = None,
    ) -> None:
        """Read these two, in nanoseconds; by default the machine's."""
        self._wall_ns = wall_ns or time.time_ns
        self._monotonic_ns = monotonic_ns or time.monotonic_ns
        self._last_us = self._wall_ns() // 1_000
        self._last_at_us = self._monotonic_ns() // 1_000

    def now_us(self) -> int:
        """Return the wall time in microseconds since 1970, UTC."""
        at_us = self._monotonic_ns() // 1_000
        least_us = self._last_us + (at_us - self._last_at_us) // 2
        now_us = max(self._wall_ns() // 1_000, least_us)
        self._last_us, self._last_at_us = now_us, at_us
        return now_us

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return self._monotonic_ns() / 1e9


class Chance(Protocol):
    """Where jitter and secrets come from."""

    def uniform(self) -> float:
        """Return a number in [0, 1)."""

    def entropy(self, octets: int) -> bytes:
        """Return unguessable bytes."""


class SystemChance:
    """The machine's randomness."""

    def __init__(self) -> None:
        self._random = random.Random()

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    def entropy(self, octets: int) -> bytes:
        """Return unguessable bytes."""
        return os.urandom(octets)


class SeededChance:
    """Chance that can be had again: one name, one sequence."""

    def __init__(self, name: str) -> None:
        self._random = random.Random(name)

    def uniform(self) -> float:
        """Return a number in [0, 1)."""
        return self._random.random()

    def entropy(self, octets: int) -> bytes:
        """Return bytes that look unguessable."""
        return self._random.randbytes(octets)
