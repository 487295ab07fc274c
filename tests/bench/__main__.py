"""Measure throughput and latency from the request to the settled outcome; judge the targets.

    make bench                                      # all of it, in full size
    make bench ARGS="--only sends mixed --scale 0.1"   # some of it, to see it work
    make bench ARGS="--only growth --stored 1000000"

Each figure stands beside a limit that was measured in the same round: what the same HTTP
server does without any work, what the disk syncs, what two processes say to each other in SMPP.
On small machines only such ratios last; docs/performance.md says how to read them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import uvloop

from tests.bench import (
    batches,
    end_to_end,
    growth,
    memory,
    mixed,
    model,
    overload,
    postgres,
    report,
    sends,
    start_up,
)
from tests.bench.figures import Found, Size, medians, spreads
from tests.bench.report import Result
from tests.proof.__main__ import digest_of_source

# What a part fails with; the others are measured all the same.
TROUBLES = (AssertionError, OSError, RuntimeError, TimeoutError, ValueError, httpx.HTTPError)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing to measure."""

    about: str
    run: Callable[[Size], Awaitable[Found]]
    once: bool = False  # it does its rounds itself, or one says it all


PARTS = {
    "sends": Part(about="single sends acknowledged durably; nothing leaves meanwhile",
                  run=sends.run),
    "batches": Part(about="100,000 recipients in one stream", run=batches.run),
    "end-to-end": Part(about="from the request to the settled outcome", run=end_to_end.run),
    "late-receipts": Part(about="the same, with receipts that come after seconds",
                          run=end_to_end.run_late),
    "mixed": Part(about="one code a second while bulk waits", run=mixed.run),
    "memory": Part(about="a million messages queued", run=memory.run, once=True),
    "overload": Part(about="ten times more than fits", run=overload.run),
    "slow-commit": Part(about="end to end, with 2 ms added to each commit",
                        run=end_to_end.run_slow),
    "start-up": Part(about="until it can be used", run=start_up.run, once=True),
    "model": Part(about="end to end while the model of outcomes learns, beside not",
                  run=model.run, once=True),
    "postgresql": Part(about="2 API and 2 worker processes beside one on SQLite",
                       run=postgres.run),
    "growth": Part(about="ten million messages stored beside none, a thousand accounts",
                   run=growth.run, once=True),
}  # fmt: skip


async def measured(name: str, size: Size) -> Result:
    """Run a part's rounds and return their medians; raises what the part fails with."""
    part = PARTS[name]
    began, busy = time.monotonic(), os.getloadavg()[0]
    found: list[Found] = []
    for number in range(1, (1 if part.once else size.rounds) + 1):
        if not part.once:
            size.say(f"{name}, round {number} of {size.rounds}")
        found.append(await part.run(size))
    return Result(
        part=name,
        about=part.about,
        figures=medians([each.figures for each in found]),
        measures=spreads([each.measures for each in found]),
        notes=list(dict.fromkeys(note for each in found for note in each.notes)),
        rounds=size.rounds if name == "growth" or not part.once else 1,
        minutes=(time.monotonic() - began) / 60,
        on=datetime.now(UTC).date().isoformat(),
        source=digest_of_source(),
        machine=report.machine(report.use_folder(None)),
        busy=busy,
    )


async def bench(names: Sequence[str], size: Size, *, write: bool) -> tuple[list[Result], bool]:
    """Run parts in turn, keeping each as it ends; also tell whether all ran."""
    results: list[Result] = []
    for number, name in enumerate(names, 1):
        size.say(f"[{number}/{len(names)}] {name}: {PARTS[name].about}")
        try:
            result = await measured(name, size)
        except TROUBLES as error:
            size.say(f"{name} failed: {type(error).__name__}: {error}")
            continue
        results.append(result)
        if write:
            report.keep([result], list(PARTS))
    return results, len(results) == len(names)


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for and report; 1 if a part failed or, if strict, a target did."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", nargs="+", metavar="PART", choices=PARTS, help=", ".join(PARTS)
    )
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each, as a share")
    parser.add_argument("--rounds", type=int, default=3, help="medians are of so many")
    parser.add_argument(
        "--stored", type=int, default=10_000_000, help="messages for growth, at scale 1"
    )
    parser.add_argument(
        "--folder", type=Path, help="where data is put, on the disk that matters"
    )
    parser.add_argument("--json", action="store_true", help="end with JSON on stdout")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the targets as an SVG")
    parser.add_argument(
        "--write", action="store_true", help="put the results into docs/performance.*"
    )
    parser.add_argument("--strict", action="store_true", help="fail if a target isn't held")
    asked = parser.parse_args(words)
    if asked.write and asked.scale != 1:
        parser.error("only what ran in full size is written: --write goes with --scale 1")
    report.use_folder(asked.folder)
    size = Size(scale=asked.scale, rounds=asked.rounds, stored=asked.stored, say=_teller())
    names = [name for name in PARTS if not asked.only or name in asked.only]
    results, ran = uvloop.run(bench(names, size, write=asked.write))
    if asked.plot is not None:
        asked.plot.write_text(report.plot(results), "utf-8")
    print(_as_json(results) if asked.json else report.table(results))
    if asked.scale != 1:
        size.say(f"at scale {asked.scale:g}: the targets are meant for full size")
    missed = any(each.held is False for each in report.judged(results))
    return int(not ran or (asked.strict and missed))


def _as_json(results: Sequence[Result]) -> str:
    targets = [
        {"held": each.held, "bound": each.target.words, **msgspec.to_builtins(each)}
        for each in report.judged(results)
    ]
    return json.dumps({"parts": msgspec.to_builtins(results), "targets": targets})


def _teller() -> Callable[[str], None]:
    """Return what tells the progress, with the minutes so far."""
    began = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"  {minutes:3}:{seconds:02}  {text}", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
