"""Measure the detectors at full size: `python -m tests.outcome.power [--json]`.

What is found and how often chance rings, beside the bars that must be kept; a figure without
a bar is there to be known. It exits with 1 if a bar isn't kept.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from itertools import product

import msgspec

from arrivals.outcome.alarms import Node, causes, fewest, summed
from arrivals.outcome.change import FALSE_ALARMS, Kind, limits, observe
from arrivals.outcome.fakes import conversions, missing_tail
from tests.outcome.charts import false_alarms, found_after, fresh
from tests.outcome.routes import TAIL, TAIL_INVENTED, Route, crude, hits, strata
from tests.outcome.test_attribution import tally

PER = 100_000  # messages, for rates of false alarms
WITHIN = 500  # messages, for a fall to be found


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing measured, and what it must be."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool:
        """Whether its bar is kept."""
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )


def main() -> None:
    """Measure, say every figure as it comes, and exit by the bars."""
    parser = argparse.ArgumentParser(prog="python -m tests.outcome.power", description=__doc__)
    parser.add_argument("--messages", type=int, default=2_000_000, help="without a change")
    parser.add_argument("--runs", type=int, default=200, help="of each change or faker")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked = parser.parse_args()
    figures = []
    for figure in measured(asked.messages, asked.runs):
        figures.append(figure)
        if not asked.json:
            say(told(figure))
    if asked.json:
        say(
            json.dumps(
                [{**msgspec.structs.asdict(each), "kept": each.kept} for each in figures]
            )
        )
    sys.exit(not all(figure.kept for figure in figures))


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def told(figure: Figure) -> str:
    """Return a figure as a line."""
    bar = ""
    if figure.least is not None:
        bar = f"at least {figure.least:g}"
    if figure.most is not None:
        bar = f"at most {figure.most:g}"
    mark = "" if not bar else "  kept" if figure.kept else "  NOT KEPT"
    return f"{figure.what:<72} {figure.value:>8.4g}  {bar}{mark}".rstrip()


def measured(messages: int, runs: int) -> Iterator[Figure]:
    """Yield every figure."""
    yield from chance(messages)
    yield from mistaken(messages // 4)
    yield from falls(runs)
    yield from drilled(runs)
    yield from attributed(runs)
    yield from fakers(runs)
    yield from tails(5 * runs)
    yield from honest(runs)


# --- changes --------------------------------------------------------------------------


def chance(messages: int) -> Iterator[Figure]:
    """Yield how often charts ring while nothing changes."""
    for kind, usual in (
        (Kind.RECEIPTS, 0.9),
        (Kind.RECEIPTS, 0.97),
        (Kind.CONVERSIONS, 0.55),
    ):
        rung = false_alarms(kind, usual, messages, seed=1)
        yield Figure(
            what=f"false alarms a {PER:,} messages, {kind} at {usual}",
            value=rung * PER / messages,
            most=1,
        )
    yield Figure(
        what=f"false alarms a {PER:,} messages, receipts at 0.5 to 0.9 by the hour",
        value=hourly(messages) * PER / messages,
        most=1,
    )


def hourly(messages: int) -> int:
    """Return the false alarms of a chart whose chance goes up and down with the hour."""
    hours = [0.5] * 6 + [0.7] * 6 + [0.9] * 12
    bounds, chart, draw, rung = limits(Kind.RECEIPTS, *hours), fresh(), random.Random(2), 0
    for message in range(messages):
        usual = hours[message // 1_000 % 24]
        positive = draw.random() < usual
        if observe(chart, bounds, positive=positive, usual=usual, at_us=0):
            chart, rung = fresh(), rung + 1
    return rung


def mistaken(messages: int) -> Iterator[Figure]:
    """Yield how often a chart rings that was told of a better past than there was."""
    for error in (0.01, 0.02, 0.04):
        draw, bounds, chart, rung = random.Random(3), limits(Kind.RECEIPTS, 0.9), fresh(), 0
        for _ in range(messages):
            positive = draw.random() < 0.9 - error
            if observe(chart, bounds, positive=positive, usual=0.9, at_us=0):
                chart, rung = fresh(), rung + 1
        yield Figure(
            what=f"alarms a {PER:,} messages, receipts at {0.9 - error:.2f} thought to be 0.9",
            value=rung * PER / messages,
        )


def falls(runs: int) -> Iterator[Figure]:
    """Yield how soon falls are found."""
    for kind, usual, left, bar in (
        (Kind.RECEIPTS, 0.9, 0.8, 0.9),
        (Kind.RECEIPTS, 0.97, 0.8, 0.9),
        (Kind.CONVERSIONS, 0.55, 0.8, 0.9),
        (Kind.CONVERSIONS, 0.7, 0.8, 0.9),
        (Kind.CONVERSIONS, 0.4, 0.8, None),
        (Kind.RECEIPTS, 0.5, 0.8, None),
        (Kind.RECEIPTS, 0.9, 0.9, None),
        (Kind.RECEIPTS, 0.9, 0.0, 0.9),
        (Kind.CONVERSIONS, 0.55, 0.0, 0.9),
    ):
        found = [found_after(kind, usual, left, seed) for seed in range(runs)]
        soon = sum(each is not None and each <= WITHIN for each in found) / runs
        name = f"{kind} {usual} to {usual * left:.2f}"
        yield Figure(what=f"found within {WITHIN}, {name}", value=soon, least=bar)
        after = sorted(each for each in found if each is not None)
        yield Figure(what=f"messages until found, {name}: mean", value=statistics.mean(after))
        yield Figure(
            what=f"messages until found, {name}: 9 of 10", value=after[int(0.9 * len(after))]
        )
    strict = limits(Kind.CONVERSIONS, 0.55, false_alarms=FALSE_ALARMS / 5)
    yield Figure(
        what="threshold that a fifth of the false alarms adds, conversions at 0.55",
        value=strict.alarm - limits(Kind.CONVERSIONS, 0.55).alarm,
    )


# --- causes ---------------------------------------------------------------------------

NAMES = (
    ("blue", "green", "red", "white"),
    ("alpha", "beta", "gamma"),
    ("Acme", "Bank", "Club"),
)


def leaves(draw: random.Random, hit: Callable[[tuple[str, ...]], bool]) -> list[Node]:
    """Return the leaves of a tree of 36, of different sizes; those hit have half left."""
    found = []
    for cell in product(*NAMES):
        messages = draw.randrange(100, 800)
        observed = hits(draw, messages, 0.45 if hit(cell) else 0.9)
        found.append(
            Node(
                cell=cell,
                messages=messages,
                expected=0.9 * messages,
                observed=observed,
                alarmed=observed < 0.75 * 0.9 * messages,
            )
        )
    return found


def drilled(runs: int) -> Iterator[Figure]:
    """Yield how often one cause is one alarm, under its right name."""
    for depth, what in enumerate(("everything", "a carrier", "a provider", "one sender")):
        right = 0
        for run in range(runs):
            draw = random.Random(run)
            cell = tuple(draw.choice(names) for names in NAMES)
            wanted = {0: (), 1: cell[:1], 2: (cell[1],), 3: cell}[depth]

            def hit(leaf: tuple[str, ...], cell=cell, depth=depth) -> bool:
                return (True, leaf[0] == cell[0], leaf[1] == cell[1], leaf == cell)[depth]

            found = leaves(draw, hit)
            best = fewest(causes(summed(found, order)) for order in ((0, 1, 2), (1, 0, 2)))
            named = [each.cell for each in best]
            right += named in ([wanted], [(cell[1], cell[0], *cell[2:])] if depth == 3 else [])
        yield Figure(
            what=f"one alarm, rightly named, when {what} falls by half",
            value=right / runs,
            least=0.9,
        )


def attributed(runs: int) -> Iterator[Figure]:
    """Yield how often an alarm is blamed on the right slice, or on one where there is none."""
    by_chance = sum(bool(tally(lambda _: 0.8, 800, seed).findings()) for seed in range(runs))
    yield Figure(
        what="a slice named where all fall alike, 800 messages",
        value=by_chance / runs,
        most=0.02,
    )
    right = 0
    for seed in range(runs):
        found = tally(lambda m: 0.5 if "Bank-1" in m.values() else 1.0, 800, seed).findings()
        right += bool(found) and found[0].value == "Bank-1"
    yield Figure(
        what="the right template first when it falls by half, 800 messages",
        value=right / runs,
        least=0.9,
    )


# --- fake receipts --------------------------------------------------------------------


def fakers(runs: int) -> Iterator[Figure]:
    """Yield how often the conversions find a faker, by what it fakes and how much is seen."""
    for receipts, fake, seen, least in (
        (2_000, 0.05, "2,000 receipts", None),
        (2_000, 0.1, "2,000 receipts", None),
        (2_000, 0.2, "2,000 receipts", 0.95),
        (3_333, 0.05, "2,000 conversions", None),
        (3_333, 0.1, "2,000 conversions", 0.75),
        (3_333, 0.2, "2,000 conversions", 0.95),
    ):
        found = [
            conversions(strata(random.Random(run), receipts, fake)).found for run in range(runs)
        ]
        yield Figure(
            what=f"fakers of {fake:.0%} found by conversions, {seen}",
            value=sum(found) / runs,
            least=least,
        )
    skims = [conversions(strata(random.Random(run), 3_333, 0.01)) for run in range(runs)]
    yield Figure(
        what="skimmers of 1% found (nobody may claim to)",
        value=sum(part.found for part in skims) / runs,
        most=0.05,
    )
    held = [part.share_max is not None and part.share_max >= 0.01 for part in skims]
    yield Figure(
        what="skimmers of 1% within what is said not to be excluded",
        value=sum(held) / runs,
        least=0.96,
    )
    yield Figure(
        what="the share that can't be excluded then: median",
        value=statistics.median(part.share_max or 0.0 for part in skims),
    )


def tails(runs: int) -> Iterator[Figure]:
    """Yield how often a missing tail is found, and missed where there is one."""
    draw = random.Random(4)
    for receipts, rate, least, most in (
        (150, TAIL_INVENTED, None, None),
        (300, TAIL_INVENTED, 0.95, None),
        (300, TAIL / 5, None, None),
        (150, TAIL, None, 0.01),
        (300, TAIL, None, 0.01),
    ):
        found = 0
        for _ in range(runs):
            peers = hits(draw, 5 * receipts, TAIL)
            found += missing_tail(
                hits(draw, receipts, rate), receipts, peers, 5 * receipts
            ).found
        yield Figure(
            what=f"tail called missing, {receipts} receipts, {rate:.1%} late",
            value=found / runs,
            least=least,
            most=most,
        )


def honest(runs: int) -> Iterator[Figure]:
    """Yield how often routes that fake nothing are blamed."""
    several = 5 * runs
    drawn = [strata(random.Random(run), 2_000, 0.0, spread=1.5) for run in range(several)]
    yield Figure(
        what="honest routes blamed for their accounts, by strata",
        value=sum(conversions(each).found for each in drawn) / several,
        most=0.01,
    )
    yield Figure(
        what="honest routes blamed for their accounts, by the crude ratio",
        value=sum(conversions(crude(each)).found for each in drawn) / several,
    )
    yield Figure(
        what="honest routes suspected by all detectors together, 1,000 receipts",
        value=sum(Route(receipts=1_000).judged(run).suspected for run in range(several))
        / several,
        most=0.01,
    )


if __name__ == "__main__":
    main()
