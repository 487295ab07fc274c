"""The one place that asks the machine for the time and for chance."""

from __future__ import annotations

import os
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for deadlines, monotonic time for durations."""

    def now_us(self) -> int:
        """Return the wall time in microseconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """Return the wall time in microseconds since 1970, UTC."""
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return time.monotonic()


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
