"""Print the rows of `arrivals.outcome.solved`: `python -m tests.outcome.solved`."""

from __future__ import annotations

import sys

from arrivals.outcome.change import Kind, Limits, limits
from arrivals.outcome.solved import FIRST, RATE, STEPS


def solved() -> list[Limits]:
    """Solve the limits of all chances."""
    chances = [parts / STEPS for parts in range(FIRST, STEPS + 1)]
    return [limits(Kind.RECEIPTS, each, false_alarms=RATE) for each in chances]


if __name__ == "__main__":
    for each in solved():
        row = f"    ({each.warn:.6f}, {each.alarm:.6f}, {each.recover:.6f}),\n"
        sys.stdout.write(row)
