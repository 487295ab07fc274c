"""One harness in a process of its own, until it says that something is wrong.

    python -m tests.proof.canaries.trials sim 150

It tries at most so many seeds, points or states, and prints one line of JSON: how many were
tried, and what the first that went wrong says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from arrivals.sim.explore import run_seeds
from tests.backends import BACKENDS
from tests.model.machine import machine
from tests.model.places import Place, places
from tests.proof import power_loss
from tests.proof.crash_points import crashes, sqlite_ground

Said = Iterator[list[str]]  # of each try what it says is wrong


def crash(count: int) -> Said:
    """Kill a process at one point after another."""
    with sqlite_ground() as ground:
        yield from (wrong for _, wrong in crashes(ground, range(count)))


def power(count: int) -> Said:
    """Take the power away, and look at the order of what was told and synced."""
    with power_loss.ground() as ground:
        yield from (wrong for _, wrong in power_loss.losses(ground, range(count)))


def sim(count: int) -> Said:
    """Play one world after another."""
    yield from (verdict.violations for verdict in run_seeds(range(1, count + 1)))


def model(count: int) -> Said:
    """Hold the store against its model, by the same examples at every run."""
    [backend] = [each for each in BACKENDS if each.is_quick]
    begun = 0
    with places(backend) as new_place:

        def next_place() -> Place:
            nonlocal begun
            begun += 1
            return new_place()

        wanted = settings(
            max_examples=count,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        wrong: list[str] = []
        try:
            run_state_machine_as_test(machine(backend, next_place), settings=wanted)
        except Exception as error:  # noqa: BLE001 - whatever ends an example is what it says
            wrong = [_last_line(error)]
    yield from ([] for _ in range(begun - 1))
    yield wrong


STEPS = 40
TRIALS: dict[str, Callable[[int], Said]] = {
    each.__name__: each for each in (crash, power, sim, model)
}


def _last_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def main(name: str, count: int) -> None:
    """Try until something is wrong."""
    tried, wrong = 0, ""
    try:
        for said in TRIALS[name](count):
            tried += 1
            if said:
                wrong = said[0].strip().splitlines()[-1]
                break
    except Exception as error:  # noqa: BLE001 - the same
        wrong = _last_line(error)
    print(json.dumps({"tried": tried, "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
