"""Measure what comes of scenarios, to write down what to expect of them.

Run `python -m tests.world.measure [--seeds N] [name ...]`; it prints each stream's shares,
averaged over seeds, as a scenario file has them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import Counter
from typing import NamedTuple

from arrivals.world.fate import Ending
from arrivals.world.scenario import Scenario, load_scenario, scenario_names
from tests.world.rehearsal import Rehearsal, reported

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Measured(NamedTuple):
    """One stream's shares in one seed."""

    truth: dict[str, float]
    reported: dict[str, float]
    acts: dict[str, float]
    arrives_s: dict[str, float]


def measure(scenario: Scenario, seed: int) -> dict[str, Measured]:
    """Rehearse everything that a scenario sends, and return each stream's shares."""
    tallies = {stream.name: Tally() for stream in scenario.traffic}
    for send, _, fate, acts in Rehearsal(scenario, seed).play():
        tally = tallies[send.stream.name]
        tally.truth[fate.ending.value] += 1
        tally.reported[reported(fate)] += 1
        for act in acts:
            tally.acts[act.kind] += 1
        if fate.ending is Ending.REACHED:
            tally.times_s.append(fate.ended_s)
    return {name: _shares(tally) for name, tally in tallies.items()}


class Tally:
    """One stream's counts."""

    def __init__(self) -> None:
        self.truth, self.reported = Counter[str](), Counter[str]()
        self.acts = Counter[str]()
        self.times_s: list[float] = []


def _shares(tally: Tally) -> Measured:
    count = tally.truth.total()
    words = (tally.truth, tally.reported, tally.acts)
    truth, said, done = ({word: n / count for word, n in each.items()} for each in words)
    times = sorted(tally.times_s)
    quantiles = {name: times[int(q * len(times))] for name, q in QUANTILES.items() if times}
    return Measured(truth, said, done, quantiles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=scenario_names())
    parser.add_argument("--seeds", type=int, default=5)
    wanted = parser.parse_args()
    for name in wanted.names:
        scenario = load_scenario(name)
        seeds = [measure(scenario, seed) for seed in range(1, wanted.seeds + 1)]
        for stream in seeds[0]:
            sys.stdout.write(f"\n# {name}\n[expect.{stream}]\n")
            for field in Measured._fields:
                tables = [getattr(seed[stream], field) for seed in seeds]
                words = dict.fromkeys(word for table in tables for word in table)
                sys.stdout.write(f"{field} = {{ {_line(words, tables)} }}\n")


def _line(words: dict[str, None], tables: list[dict[str, float]]) -> str:
    def told(word: str) -> str:
        shares = [table.get(word, 0.0) for table in tables]
        spread = max(shares) - min(shares)
        return f"{word} = {statistics.fmean(shares):.4g} (±{spread / 2:.2g})"

    return ", ".join(told(word) for word in words)


if __name__ == "__main__":
    main()
