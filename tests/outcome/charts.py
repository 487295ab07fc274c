"""Play messages to a chart: so many, with so large a chance, from a seed."""

from __future__ import annotations

import random

from arrivals.outcome.change import Alarm, Chart, Kind, Limits, limits, observe

CELL = ("red", "alpha")


def fresh(kind: Kind = Kind.RECEIPTS) -> Chart:
    """Return a chart that has seen nothing."""
    return Chart(cell=CELL, kind=kind)


def false_alarms(kind: Kind, usual: float, messages: int, seed: int) -> int:
    """Return how often a chart alarms while nothing changes; it starts over each time."""
    draw = random.Random(seed).random
    bounds, chart, found = limits(kind, usual), fresh(kind), 0
    for message in range(messages):
        if observe(chart, bounds, positive=draw() < usual, usual=usual, at_us=message):
            chart, found = fresh(kind), found + 1
    return found


def found_after(
    kind: Kind, usual: float, left: float, seed: int, *, before: int = 300, most: int = 5_000
) -> int | None:
    """Return how many messages after a fall to `left` of usual it is found; None if it isn't.

    None also when the alarm came before the fall.
    """
    draw = random.Random(seed).random
    bounds, chart = limits(kind, usual), fresh(kind)
    for message in range(before):
        if observe(chart, bounds, positive=draw() < usual, usual=usual, at_us=message):
            return None
    for message in range(1, most + 1):
        if observe(chart, bounds, positive=draw() < usual * left, usual=usual, at_us=message):
            return message
    return None


def play(
    chart: Chart, bounds: Limits, usual: float, truth: float, messages: int, seed: int
) -> list[Alarm]:
    """Play messages a second apart that cost a thousand micros each; return what was said."""
    draw = random.Random(seed).random
    said = []
    for _ in range(messages):
        alarm = observe(
            chart,
            bounds,
            positive=draw() < truth,
            usual=usual,
            at_us=(chart.messages + 1) * 1_000_000,
            price=1_000,
        )
        if alarm is not None:
            said.append(alarm)
    return said
