"""What the model costs: `python -m tests.outcome.cost` prints µs an event and bytes a cell.

Timings are this machine's, and noisy; the loop's own cost is measured beside and shown.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import tracemalloc
from typing import Any

from arrivals.outcome.cells import Cell, Pace, answered, sent
from arrivals.outcome.hierarchy import Path, Tree

START_US = 1_764_590_000_000_000
RATE = 10_000  # messages a second, each with a hand-off and a receipt
LEAVES = 2_000
CURVES = 500

Event = tuple[int, int, Path, bool]


def events(count: int) -> list[Event]:
    """Return hand-offs and receipts in time, over many leaves."""
    chance = random.Random(5)
    found: list[Event] = []
    for number in range(count // 2):
        leaf = int(LEAVES * chance.random() ** 2)  # a few are busy, most are not
        path = (f"C{leaf % 3}", f"carrier{leaf % 7}", f"p{leaf % 5}", f"t{leaf}")
        sent_us = START_US + number * 1_000_000 // RATE
        age_us = int(chance.lognormvariate(1.2, 0.9) * 1e6)
        found += [(sent_us, sent_us, path, False), (sent_us + age_us, sent_us, path, True)]
    return sorted(found)


def measure(count: int = 200_000, repeats: int = 5) -> dict[str, Any]:
    """Return the figures; a time is the median of several runs."""
    told = events(count)
    times, idle = [], []
    for _ in range(repeats):
        tree = Tree()
        idle.append(_time(told, None))
        times.append(_time(told, tree))
    now_us = told[-1][0]
    begun = time.process_time()
    drawn = told[:CURVES]
    for number, (_, _, path, _) in enumerate(drawn):
        tree.curve(path, now_us + number * 120_000_000, Pace.WEEK)
    curve_us = (time.process_time() - begun) / len(drawn) * 1e6
    each_us = statistics.median(times) / count * 1e6
    return {
        "events": count,
        "cells": len(tree),
        "us_an_event": round(each_us, 2),
        "us_of_the_loop": round(statistics.median(idle) / count * 1e6, 2),
        "share_of_a_core": round(each_us * 2 * RATE / 1e6, 3),  # at RATE, two events a message
        "us_a_curve": round(curve_us, 1),
        "bytes_a_cell": _bytes_a_cell(),
        "bytes_kept": statistics.mean(len(cell.encode()) for _, cell in tree.cells()),
    }


def _time(told: list[Event], tree: Tree | None) -> float:
    begun = time.process_time()
    for now_us, sent_us, path, is_receipt in told:
        if tree is None:
            continue
        if is_receipt:
            tree.answered(path, sent_us, now_us, positive=True)
        else:
            tree.sent(path, sent_us, now_us)
    return time.process_time() - begun


def _bytes_a_cell(count: int = 200) -> float:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    cells = [Cell() for _ in range(count)]
    for cell in cells:
        for number in range(50):
            at_us = START_US + number * 1_000_000
            sent([cell], at_us, at_us)
            answered([cell], at_us, at_us + 500_000, positive=True)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    found = measure(wanted.events)
    if wanted.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:18} {value}")
    print("on", sys.version.split()[0])


if __name__ == "__main__":
    main()
