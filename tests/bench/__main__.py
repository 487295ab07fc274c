"""`make bench`: throughput and latency from the request to the settled outcome."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import uvloop

from tests.bench.batches import batch
from tests.bench.end_to_end import Figure, single_sends

# Messages, connections, recipients a request.
PARTS = [(20_000, 64, 1), (20_000, 256, 1), (100_000, 16, 100)]
BATCH = 100_000


async def main(scale: float, *, as_json: bool) -> None:
    """Run the parts one after another and print a table."""
    figures: list[Figure] = []
    for messages, connections, recipients in PARTS:
        count = max(1_000, int(messages * scale))
        _say(f"{count:,} messages, {recipients} a request")
        figures.append(await single_sends(count, connections, recipients))
    count = max(1_000, int(BATCH * scale))
    _say(f"one batch of {count:,}")
    figures.append(await batch(count))
    if as_json:
        print(json.dumps([asdict(each) for each in figures]))
        return
    print(f"{'':34}{'accepted/s':>12}{'settled/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}")
    for each in figures:
        print(
            f"{each.name:34}{each.accepted_per_s:>12,.0f}{each.settled_per_s:>12,.0f}"
            f"{each.p50_ms:>9.1f}{each.p99_ms:>9.1f}{each.cpu_us_per_message:>9.0f}"
        )


def _say(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages")
parser.add_argument("--json", action="store_true")
chosen = parser.parse_args()
uvloop.run(main(chosen.scale, as_json=chosen.json))
