"""Hold the model to worlds whose truth is known: `python -m tests.outcome.gates --json`.

Each message is scored, at several ages and as long as it is silent, with what the model knew
up to six hours before it was sent; the model goes on learning all the time. The first four
fifths of the messages are only learnt from.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from typing import Any

from arrivals.outcome import calibration
from arrivals.outcome.anchors import Book, Said
from arrivals.outcome.calibration import Scored
from arrivals.outcome.cells import Pace
from arrivals.outcome.hierarchy import Tree
from arrivals.outcome.trust import p_delivered
from tests.outcome.truth import HORIZON_S, START_US, WORLDS, Told, World

AGES_S = (0.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0)
SEEDS = 5
LEARNT_EVERY_US = 6 * 3_600_000_000


def play(
    world: World, count: int, pace: Pace = Pace.WEEK, **tree: Any
) -> dict[float, list[tuple[Scored, Scored]]]:
    """Return what was said at each age, by the model and by "pending means delivered"."""
    model, book = Tree(**tree), Book()
    said: dict[float, list[tuple[Scored, Scored]]] = defaultdict(list)
    messages = world.messages(count)
    events = sorted(
        (event for told in messages for event in _events(told)), key=lambda event: event[0]
    )
    scored_from_us = START_US + int(0.8 * world.days * 86_400e6)
    for now_us, what, told in events:
        sent_us = _us(told.sent_s)
        if what == "sent":
            if now_us >= scored_from_us:
                _look(
                    model, book, told, now_us // LEARNT_EVERY_US * LEARNT_EVERY_US, said, pace
                )
            model.sent(told.path, sent_us, now_us)
        elif what == "receipt":
            model.answered(told.path, sent_us, now_us, positive=told.positive)
        elif told.reports:
            word = Said.SILENT
            if told.receipt_s is not None:
                word = Said.POSITIVE if told.positive else Said.NEGATIVE
            book.told(told.path, told.source, word, sent_us)
            if told.converted_s is not None:
                book.anchored(told.path, told.source, word, sent_us)
    return said


def _events(told: Told) -> list[tuple[int, str, Told]]:
    found = [(_us(told.sent_s), "sent", told)]
    settled_s = HORIZON_S
    if told.receipt_s is not None:
        found.append((_us(told.sent_s + told.receipt_s), "receipt", told))
        settled_s = told.receipt_s + 600.0  # ten minutes to convert in
    found.append((_us(told.sent_s + settled_s), "settled", told))
    return found


def _look(model: Tree, book: Book, told: Told, as_of_us: int, said: Any, pace: Pace) -> None:
    curve = model.curve(told.path, as_of_us, pace)
    trust = book.trust(told.path, as_of_us)
    for age_s in AGES_S:
        if told.receipt_s is None or told.receipt_s > age_s:
            chance = p_delivered(curve, age_s, trust)
            p = chance.p if chance.p is not None else (chance.low + chance.high) / 2
            said[age_s].append((Scored(p, told.arrived), Scored(1.0, told.arrived)))


def _us(seconds: float) -> int:
    return START_US + int(seconds * 1e6)


def report(
    kind: str, seeds: int, count: int, first_seed: int = 0, **options: Any
) -> dict[str, Any]:
    """Return the figures of a world: pooled over its seeds, and the worst seed's error."""
    pooled: dict[float, list[tuple[Scored, Scored]]] = defaultdict(list)
    worst: dict[float, float] = defaultdict(float)
    for seed in range(first_seed, first_seed + seeds):
        for age_s, said in play(World(seed, kind), count, **options).items():
            pooled[age_s] += said
            worst[age_s] = max(worst[age_s], _score([ours for ours, _ in said]).ece)
    rows = {}
    for age_s, said in sorted(pooled.items()):
        ours, naive = _score([a for a, _ in said]), _score([b for _, b in said])
        rows[age_s] = {
            "count": ours.count,
            "brier": round(ours.brier, 4),
            "ece": round(ours.ece, 4),
            "worst_ece": round(worst[age_s], 4),
            "naive_brier": round(naive.brier, 4),
            "naive_ece": round(naive.ece, 4),
            "gain": round(1 - ours.brier / naive.brier, 3),
        }
    return {
        "world": kind,
        "first_seed": first_seed,
        "seeds": seeds,
        "messages": count,
        "ages": rows,
    }


def _score(said: list[Scored]) -> calibration.Score:
    found = calibration.score(said)
    assert found is not None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="others than they were made on"
    )
    parser.add_argument("--world", choices=WORLDS, action="append")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    found = [
        report(kind, wanted.seeds, wanted.messages, wanted.first_seed)
        for kind in wanted.world or WORLDS
    ]
    if wanted.json:
        print(json.dumps(found, indent=2))
        return
    for each in found:
        print(each["world"])
        for age_s, row in each["ages"].items():
            print(f"  silent {age_s:>8g} s", row)


if __name__ == "__main__":
    main()
