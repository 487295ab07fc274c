"""Count durations by how long they were, so that many can be told from few that are long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


def place_in(bounds: Sequence[float], value: float) -> int:
    """Return which of the counts between rising bounds a value belongs to."""
    return bisect_left(bounds, value)


class Buckets:
    """How many values there were up to each of some bounds, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin empty; `bounds` rise, and what is above the last is counted apart."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[place_in(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return how many values were at most each bound, as Prometheus names bounds."""
        found: list[tuple[str, float]] = []
        count = 0
        for bound, more in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            count += more
            found.append((bound, float(count)))
        return found
