"""Play one world after another, by seed, and see whether each keeps every promise.

    python -m tests.proof.worlds --seeds 20000 --state FILE
    arrivals sim --story --seed 1234                     # that one again, told in order

The same as `arrivals sim --runs`, but to be resumed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext

from arrivals.sim.plan import plan_of
from arrivals.sim.simulation import run_plan
from tests.proof.long_run import LongRun, Wrong, main


def worlds(ground: None, seeds: range) -> Iterator[Wrong]:
    """Run the plan of each seed."""
    for seed in seeds:
        yield seed, list(run_plan(plan_of(seed)).violations)


if __name__ == "__main__":
    sys.exit(main(LongRun(name="worlds", unit="seeds", ground=nullcontext, each=worlds)))
