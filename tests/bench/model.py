"""What the model of outcomes costs: end to end with it and without, an event, a cell."""

from __future__ import annotations

import statistics
from dataclasses import replace

from tests.bench.end_to_end import MESSAGES, SINGLE, single_sends
from tests.bench.figures import Figure, Found, Size
from tests.bench.site import Ground
from tests.outcome import cost

PAIRS = 4  # in turn: what one pair says is the machine's mood
EVENTS = 200_000


async def run(size: Size) -> Found:
    """Measure pairs of runs, the one that learns first in every second of them."""
    found = Found()
    pairs = max(1, min(PAIRS, round(PAIRS * size.scale)))
    for connections in SINGLE:
        ratios: list[float] = []
        for pair in range(pairs):
            on_first = (Ground(), Ground(learns=False))
            grounds = on_first if pair % 2 == 0 else on_first[::-1]
            rates = {}
            for ground in grounds:
                size.say(f"model, {connections} connections, learns: {ground.learns}")
                figure = await single_sends(size.of(MESSAGES), connections, ground=ground)
                rates[ground.learns] = _named(figure, learns=ground.learns)
            on, off = rates[True], rates[False]
            ratios.append(on.settled_per_s / off.settled_per_s)
            if pair == pairs - 1:  # the last pair is shown; the ratio is the median of all
                found.figures += [off, on.beside("it learns nothing", off.settled_per_s)]
        found.measures[f"learning_{connections}"] = statistics.median(ratios)
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        found.notes.append(f"{connections} connections, learning to not, pair by pair: {each}.")
    costs = cost.measure(size.of(EVENTS))
    found.measures["cell_bytes"] = costs["bytes_a_cell"]
    found.measures["event_us"] = costs["us_an_event"]
    found.notes.append(
        f"An event takes {costs['us_an_event']:.1f} µs of the model's sums and a curve"
        f" {costs['us_a_curve']:.0f} µs; a cell takes {costs['bytes_a_cell']:,.0f} bytes in"
        f" memory and {costs['bytes_kept']:,.0f} kept."
    )
    return found


def _named(figure: Figure, *, learns: bool) -> Figure:
    what = "the model learns" if learns else "it learns nothing"
    return replace(figure, name=f"{figure.name}, {what}")
