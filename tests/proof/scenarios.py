"""Play every scenario again and again, by seed, and see whether each is as its file states.

    python -m tests.proof.scenarios --plays 54 --state FILE    # each with two seeds
    arrivals scenarios --run happy-liar --seed 2               # one of them again

The same as `arrivals scenarios`, with more seeds and to be resumed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext

from arrivals.sim.repertoire import play_one
from arrivals.world.scenario import scenario_names
from tests.proof.long_run import LongRun, Wrong, main


def scenarios(ground: None, plays: range) -> Iterator[Wrong]:
    """Play the n-th of all plays: every scenario with seed 1, then every one with seed 2."""
    names = scenario_names()
    for n in plays:
        seed, place = divmod(n, len(names))
        found = play_one(names[place], seed + 1)
        yield n, [f"{found.name}, seed {found.seed}: {miss}" for miss in found.misses]


PLAYS = LongRun(name="scenarios", unit="plays", ground=nullcontext, each=scenarios, chunk=1)

if __name__ == "__main__":
    sys.exit(main(PLAYS))
