"""Run one thing tens of thousands of times: in chunks, on several processes, to be resumed.

Each finished chunk is a line of the state file, so a run that was interrupted goes on where it
was. What went wrong is told with the command that does it again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CHUNK = 100
SHOWN_MAX = 20  # violations

Wrong = tuple[int, list[str]]


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """What is run: `each` tries a range of numbers on a ground, and tells what went wrong."""

    name: str  # of the module under tests.proof
    unit: str
    ground: Callable[[], AbstractContextManager[Any]]
    each: Callable[[Any, range], Iterator[Wrong]]
    chunk: int = CHUNK


@dataclass(kw_only=True)
class Chunk:
    """Numbers that were tried, and what went wrong with which."""

    run: str
    first: int
    count: int
    seconds: float = 0.0
    wrong: dict[str, list[str]] = field(default_factory=dict)


def main(run: LongRun, words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    asked = _parser(run).parse_args(words)
    if asked.point is not None:
        return _replay(run, asked.point)
    count = getattr(asked, run.unit)
    chunks = [
        Chunk(run=run.name, first=first, count=min(run.chunk, asked.seed + count - first))
        for first in range(asked.seed, asked.seed + count, run.chunk)
    ]
    done = _done_before(asked.state, chunks)
    todo = [each for each in chunks if each.first not in done]
    began = time.monotonic()
    try:
        for finished in _finish(run, todo, asked.jobs):
            done[finished.first] = finished
            _note(asked.state, finished)
            _tell_progress(run, list(done.values()), count, time.monotonic() - began)
    finally:
        print(file=sys.stderr)
    return _report(run, list(done.values()), as_json=asked.json)


def _parser(run: LongRun) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tests.proof.{run.name}")
    parser.add_argument(f"--{run.unit}", type=int, default=1_000, help="how many are tried")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first")
    parser.add_argument("--point", type=int, help="try this one again, and nothing else")
    parser.add_argument("--state", type=Path, help="where finished chunks are noted")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--json", action="store_true", help="report as JSON on stdout")
    return parser


def _done_before(state: Path | None, chunks: Sequence[Chunk]) -> dict[int, Chunk]:
    """Return the chunks of this run that an earlier one noted."""
    if state is None or not state.exists():
        return {}
    noted = [Chunk(**json.loads(line)) for line in state.read_text("utf-8").splitlines()]
    wanted = {(each.run, each.first, each.count) for each in chunks}
    return {each.first: each for each in noted if (each.run, each.first, each.count) in wanted}


def _note(state: Path | None, chunk: Chunk) -> None:
    if state is not None:
        with state.open("a", encoding="utf-8") as file:
            file.write(json.dumps(vars(chunk)) + "\n")


def _finish(run: LongRun, chunks: Sequence[Chunk], jobs: int) -> Iterator[Chunk]:
    """Run chunks, on processes that have one thread each: they may fork."""
    if jobs == 1 or len(chunks) <= 1:
        yield from (_try(run, each) for each in chunks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for done in as_completed([pool.submit(_try, run, each) for each in chunks]):
            yield done.result()


def _try(run: LongRun, chunk: Chunk) -> Chunk:
    began = time.monotonic()
    with run.ground() as ground:
        numbers = range(chunk.first, chunk.first + chunk.count)
        wrong = {str(n): found for n, found in run.each(ground, numbers) if found}
    seconds = round(time.monotonic() - began, 2)
    return replace(chunk, seconds=seconds, wrong=wrong)


def _replay(run: LongRun, number: int) -> int:
    chunk = _try(run, Chunk(run=run.name, first=number, count=1))
    for found in chunk.wrong.values():
        print(*found, sep="\n")
    print("wrong" if chunk.wrong else "as promised")
    return bool(chunk.wrong)


def _tell_progress(run: LongRun, done: Sequence[Chunk], count: int, seconds: float) -> None:
    tried = sum(each.count for each in done)
    wrong = sum(len(each.wrong) for each in done)
    said = f"\r{tried:,} of {count:,} {run.unit}, {wrong} wrong, {seconds:.0f} s "
    print(said, end="", file=sys.stderr, flush=True)


def _report(run: LongRun, done: Sequence[Chunk], *, as_json: bool) -> int:
    tried = sum(each.count for each in done)
    seconds = sum(each.seconds for each in done)
    wrong = {n: found for each in done for n, found in each.wrong.items()}
    if as_json:
        facts = {"run": run.name, run.unit: tried, "process_seconds": round(seconds, 1)}
        print(json.dumps(facts | {"wrong": wrong}))
    else:
        rate = tried / seconds if seconds else 0
        print(f"{tried:,} {run.unit}, {len(wrong)} wrong, {rate:.0f} a second and process")
    for n, found in list(wrong.items())[:SHOWN_MAX]:
        print(f"{n}: {found[0]}", file=sys.stderr)
        print(f"  again: python -m tests.proof.{run.name} --point {n}", file=sys.stderr)
    return bool(wrong)
