"""Plant one mistake after another, and see which harness catches it.

    python -m tests.proof.canaries                 # each until it is caught
    python -m tests.proof.canaries blind-resend --harness sim
    python -m tests.proof.canaries --every         # each against every harness: the matrix

First every harness has to be green on the source as it is: a canary that falls where everything
falls proves nothing. Exit code 1 if a canary wasn't caught, or a harness wasn't green.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial

from tests.proof.canaries.harnesses import HARNESSES, NO_PROOF, End, Harness, Run
from tests.proof.canaries.planting import Canary, planted, read_canaries

Runs = list[Run]


def main(
    words: Sequence[str] | None = None,
    canaries: Mapping[str, Canary] | None = None,
    harnesses: Mapping[str, Harness] = HARNESSES,
) -> int:
    """Do what the command line says; return the exit code."""
    known = read_canaries() if canaries is None else canaries
    asked = _parser(known, harnesses).parse_args(words)
    wanted = [known[name] for name in asked.canaries or known]
    if asked.list:
        print(*(f"{each.name}: {each.breaks} {each.invariants}" for each in wanted), sep="\n")
        return 0
    chosen = [each for each in harnesses.values() if each.name in (asked.harness or harnesses)]
    with ThreadPoolExecutor(asked.jobs) as pool:
        sound: Runs = []
        if not asked.no_sound_run:
            sound = list(pool.map(partial(_run_sound), chosen))
        found: dict[str, Runs] = {each.name: [] for each in wanted}
        if all(each.end is End.GREEN for each in sound):
            hunt = partial(_hunt, chosen, every=asked.every)
            found = dict(zip(found, pool.map(hunt, wanted), strict=True))
    report: Callable[..., None] = _put_json if asked.json else _put_table
    report(wanted, chosen, found, every=asked.every)
    return int(not all(_caught(runs) for runs in found.values()))


def _parser(
    canaries: Mapping[str, Canary], harnesses: Mapping[str, Harness]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.canaries")
    parser.add_argument("canaries", nargs="*", metavar="NAME", help="which; else all")
    parser.add_argument("--harness", nargs="+", choices=list(harnesses), help="with which only")
    parser.add_argument("--every", action="store_true", help="go on after it was caught")
    parser.add_argument("--jobs", type=int, default=2, help="canaries at once")
    parser.add_argument("--no-sound-run", action="store_true", help="don't begin unplanted")
    parser.add_argument("--json", action="store_true", help="report as JSON on stdout")
    parser.add_argument("--list", action="store_true", help="say what there is, and do nothing")
    parse = parser.parse_args

    def parse_known(words: Sequence[str] | None = None) -> argparse.Namespace:
        asked = parse(words)
        if strange := set(asked.canaries) - canaries.keys():
            parser.error(f"no such canary: {', '.join(sorted(strange))}; see --list")
        return asked

    parser.parse_args = parse_known  # type: ignore[method-assign, assignment]
    return parser


def _run_sound(harness: Harness) -> Run:
    with planted(None) as copy:
        run = harness.run(copy)
    _tell(f"{harness.name} on the source as it is", run)
    return run


def _hunt(harnesses: Sequence[Harness], canary: Canary, *, every: bool) -> Runs:
    """Run harnesses on a planted copy: until one catches the canary, or all of them."""
    runs: Runs = []
    with planted(canary) as copy:
        for harness in harnesses:
            runs.append(harness.run(copy))
            _tell(canary.name, runs[-1])
            if runs[-1].end is End.CAUGHT and not every:
                break
    return runs


def _caught(runs: Runs) -> Run | None:
    return next((each for each in runs if each.end is End.CAUGHT), None)


def _tell(name: str, run: Run) -> None:
    after = f" after {run.after}" if run.after else ""
    said = f": {run.said[:100]}" if run.said else ""
    print(
        f"{name}: {run.harness} {run.end}{after}, {run.seconds:.0f} s{said}",
        file=sys.stderr, flush=True,
    )  # fmt: skip


# --- reports ------------------------------------------------------------------------------


def _put_json(
    canaries: Sequence[Canary], _: Sequence[Harness], found: Mapping[str, Runs], *, every: bool
) -> None:
    facts = []
    for each in canaries:
        run = _caught(found[each.name])
        facts.append(
            {
                "name": each.name,
                "breaks": each.breaks,
                "invariants": each.invariants,
                "caught_by": run and run.harness,
                "runs": [asdict(one) for one in found[each.name]],
            }
        )
    print(json.dumps({"every": every, "canaries": facts}))


def _put_table(
    canaries: Sequence[Canary],
    harnesses: Sequence[Harness],
    found: Mapping[str, Runs],
    *,
    every: bool,
) -> None:
    rows = [_matrix_row(each, harnesses, found[each.name]) for each in canaries]
    head = ["canary", *(each.name for each in harnesses)]
    if not every:
        head = ["canary", "invariants", "breaks", "caught by", "after"]
        rows = [_row(each, found[each.name]) for each in canaries]
    print(_line(head), _line("---" for _ in head), *map(_line, rows), sep="\n")
    uncaught = [name for name, runs in found.items() if not _caught(runs)]
    print(f"\n{len(found) - len(uncaught)} of {len(found)} were caught.", *uncaught)


def _row(canary: Canary, runs: Runs) -> list[str]:
    run = _caught(runs)
    by = "nobody" if run is None else run.harness
    if by == NO_PROOF:
        by = "**tests only**"
    after = "" if run is None else f"{run.after or 'one run'}, {run.seconds:.0f} s"
    return [canary.name, ", ".join(map(str, canary.invariants)), canary.breaks, by, after]


def _matrix_row(canary: Canary, harnesses: Sequence[Harness], runs: Runs) -> list[str]:
    words = {End.GREEN: "·", End.BROKEN: "broken"}
    cells = {each.harness: words.get(each.end, each.after or "caught") for each in runs}
    return [canary.name, *(cells.get(each.name, "") for each in harnesses)]


def _line(cells: object) -> str:
    return "| " + " | ".join(cells) + " |"  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
