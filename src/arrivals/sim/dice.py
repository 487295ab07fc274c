"""Draws by name: each thing that is drawn has a sequence of its own, so others keep theirs."""

from __future__ import annotations

from typing import TypeVar

from arrivals.clock import SeededChance

T = TypeVar("T")


class Dice:
    """Draws, of one name."""

    def __init__(self, name: str) -> None:
        """Begin the sequence of this name."""
        self.chance = SeededChance(name)

    def happens(self, share: float) -> bool:
        """Tell whether something of this share happens."""
        return self.chance.uniform() < share

    def between(self, low: float, high: float) -> float:
        """Draw a number."""
        return low + (high - low) * self.chance.uniform()

    def pick(self, *of: T) -> T:
        """Draw one of several."""
        return of[int(self.chance.uniform() * len(of))]

    def share(self, often: float, most: float) -> float:
        """Draw a share that is zero unless this kind of trouble is in this run."""
        value = round(self.between(0.01, most), 3)
        return value if self.happens(often) else 0.0
