"""Remember what a cell showed in the last two hours, so that cells can be compared since then.

A chart's own counts begin where its own change did. To find the cause of an alarm, all cells
are asked for the same window (`alarms.py`), which this keeps in slots of five minutes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.instants import SECOND_US
from arrivals.outcome.alarms import Node, Path

SLOT_US: Final = 5 * 60 * SECOND_US
SLOTS: Final = 24


def _zeros() -> list[int]:
    return [0] * SLOTS


class Recent(msgspec.Struct, array_like=True):
    """One cell's last messages, by the time of their checkpoint."""

    slots: list[int] = msgspec.field(default_factory=_zeros)  # which five minutes each is
    messages: list[int] = msgspec.field(default_factory=_zeros)
    expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * SLOTS)
    observed: list[int] = msgspec.field(default_factory=_zeros)

    def add(self, at_us: int, *, usual: float, positive: bool) -> None:
        """Count one message; one that is older than what is remembered is left out."""
        slot = at_us // SLOT_US
        place = slot % SLOTS
        if slot < self.slots[place]:
            return
        if slot > self.slots[place]:
            self.slots[place] = slot
            self.messages[place] = self.observed[place] = 0
            self.expected[place] = 0.0
        self.messages[place] += 1
        self.expected[place] += usual
        self.observed[place] += positive

    def since(self, at_us: int, now_us: int, *, cell: Path, alarmed: bool) -> Node:
        """Return what it showed since the slot that `at_us` is in, two hours back at most."""
        newest = now_us // SLOT_US
        oldest = max(at_us // SLOT_US, newest - SLOTS + 1)
        places = [place for place in range(SLOTS) if oldest <= self.slots[place] <= newest]
        return Node(
            cell=cell,
            messages=sum(self.messages[place] for place in places),
            expected=sum(self.expected[place] for place in places),
            observed=sum(self.observed[place] for place in places),
            alarmed=alarmed,
        )
