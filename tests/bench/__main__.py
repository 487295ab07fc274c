"""`make bench`: throughput and latency from the request to the settled outcome.

Where Debian's Kannel is installed (`apt install kannel`), it runs in turn with us under the
same load and against the same carrier world, and the medians are compared: on a small
machine only what one run measured side by side can be.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import uvloop

from tests.bench import kannel
from tests.bench.batches import batch
from tests.bench.end_to_end import Figure, median_of, single_sends

# Messages, connections, recipients a request.
PARTS = [(100_000, 16, 100)]
BATCH = 100_000
SIDE_BY_SIDE = [(20_000, 64), (20_000, 256)]  # messages, connections


async def main(scale: float, rounds: int, *, as_json: bool) -> None:
    """Run the parts one after another and print a table."""
    figures: list[Figure] = []
    for messages, connections in SIDE_BY_SIDE:
        figures += await side_by_side(_scaled(messages, scale), connections, rounds)
    for messages, connections, recipients in PARTS:
        count = _scaled(messages, scale)
        _say(f"{count:,} messages, {recipients} a request")
        figures.append(await single_sends(count, connections, recipients))
    count = _scaled(BATCH, scale)
    _say(f"one batch of {count:,}")
    figures.append(await batch(count))
    if as_json:
        print(json.dumps([asdict(each) for each in figures]))
    else:
        _print(figures)


async def side_by_side(messages: int, connections: int, rounds: int) -> list[Figure]:
    """Run single sends, and Kannel with and without callbacks, in turn; return medians."""
    found: dict[str, list[Figure]] = {}
    for number in range(1, rounds + 1):
        _say(f"{connections} connections, round {number} of {rounds}")
        figures = [await single_sends(messages, connections)]
        if kannel.is_installed():
            for callbacks in (True, False):
                _say(f"Kannel {'with' if callbacks else 'without'} callbacks")
                sent = await kannel.kannel_sends(messages, connections, callbacks=callbacks)
                figures.append(sent)
        for each in figures:
            found.setdefault(each.name, []).append(each)
    if not kannel.is_installed():
        _say("Kannel isn't installed, so there is nothing to compare with")
    return [median_of(each) for each in found.values()]


def _print(figures: list[Figure]) -> None:
    print(f"{'':34}{'accepted/s':>12}{'settled/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}")
    for each in figures:
        print(
            f"{each.name:34}{each.accepted_per_s:>12,.0f}{each.settled_per_s:>12,.0f}"
            f"{each.p50_ms:>9.1f}{each.p99_ms:>9.1f}{each.cpu_us_per_message:>9.0f}"
        )
    ours = figures[0]
    for each in figures:
        if not each.name.startswith("Kannel"):
            ours = each
            continue
        print(f"{ours.name} to {each.name}: {ours.settled_per_s / each.settled_per_s:.2f}")


def _scaled(count: int, scale: float) -> int:
    return max(1_000, int(count * scale))


def _say(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages")
parser.add_argument("--rounds", type=int, default=3, help="of what runs in turn with Kannel")
parser.add_argument("--json", action="store_true")
chosen = parser.parse_args()
uvloop.run(main(chosen.scale, chosen.rounds, as_json=chosen.json))
