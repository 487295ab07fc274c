"""Run many examples of the model: `python -m tests.model --examples 5000 [--json]`.

An example that fails is printed as the steps that lead there, with a line that replays it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.backends import BACKENDS, Backend
from tests.model.machine import Model, machine
from tests.model.places import Place, places


def main() -> None:
    """Run the examples that were asked for, backend by backend, and say what came out."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=40, help="in one example, at most")
    parser.add_argument("--backend", choices=[each.name for each in BACKENDS])
    parser.add_argument(
        "--no-shrink", action="store_true", help="show the first failure as it is"
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked = parser.parse_args()
    phases = set(Phase) - ({Phase.shrink} if asked.no_shrink else set()) - {Phase.explain}
    wanted = settings(
        max_examples=asked.examples,
        stateful_step_count=asked.steps,
        deadline=None,
        print_blob=True,
        phases=tuple(phases),
        suppress_health_check=list(HealthCheck),
    )
    for backend in BACKENDS:
        if asked.backend in {None, backend.name}:
            figures = run(backend, wanted)
            print(json.dumps(figures) if asked.json else _told(figures), flush=True)


def run(backend: Backend, wanted: settings) -> dict[str, object]:
    """Run the machine on one backend, with progress; a disagreement is raised."""
    began = time.monotonic()
    with places(backend) as new_place:
        shown = _Progress(backend.name, wanted.max_examples, new_place)
        here: type[Model] = machine(backend, shown.next)
        run_state_machine_as_test(here, settings=wanted)
    return {
        "backend": backend.name,
        "examples": shown.count,
        "steps": here.steps_in_all,
        "seconds": round(time.monotonic() - began, 1),
    }


class _Progress:
    """Count the examples that begin, on one line of the terminal."""

    def __init__(self, name: str, total: int, new_place: Callable[[], Place]) -> None:
        self.count = 0
        self._name, self._total, self._new_place = name, total, new_place

    def next(self) -> Place:
        """Return the place of the next example."""
        self.count += 1
        if self.count % 50 == 0:
            print(f"\r{self._name}: {self.count} of {self._total}", end="", file=sys.stderr)
        return self._new_place()


def _told(figures: dict[str, object]) -> str:
    words = "{backend}: {examples} examples, {steps} steps, no disagreement, {seconds} s"
    return "\n" + words.format(**figures)


if __name__ == "__main__":
    main()
