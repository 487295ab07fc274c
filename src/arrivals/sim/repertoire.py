"""Play shipped scenarios by name, one after another or several at once."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from arrivals.sim.findings import Finding, finding_of
from arrivals.sim.stage import Tell, play
from arrivals.world.scenario import load_scenario


def play_one(
    name: str, seed: int | None = None, most: int | None = None, *, tell: Tell | None = None
) -> Finding:
    """Play a scenario, with its own seed unless one is given, and count what came of it."""
    scenario = load_scenario(name)
    chosen = scenario.seed if seed is None else seed
    return finding_of(play(scenario, chosen, most=most, tell=tell))


def play_many(
    names: Sequence[str], seed: int | None, most: int | None, jobs: int
) -> Iterator[Finding]:
    """Yield what each of them came to, in order, from `jobs` processes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as processes:
        try:
            yield from processes.map(functools.partial(play_one, seed=seed, most=most), names)
        finally:
            processes.shutdown(wait=False, cancel_futures=True)
