"""Run every proof in its long form, and write what came of it into docs/guarantees.md.

    python -m tests.proof                  # all of it: hours; goes on where it was stopped
    python -m tests.proof --scale 0.01     # a hundredth, to see it work; writes nothing

What is finished is kept in .proofs/, by a digest of the source: a changed source begins anew.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = ROOT / ".proofs"
GUARANTEES: Final = ROOT / "docs" / "guarantees.md"
TABLE: Final = re.compile(r"(<!-- proofs: begin -->\n).*?(<!-- proofs: end -->)", re.DOTALL)

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One long run: a module that takes a size and reports as JSON."""

    name: str
    module: str
    size: int
    words: str  # its arguments, {size} and {state} filled in
    told: Callable[[list[Facts]], tuple[str, int]]  # what was tried, and how often it failed


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a proof."""

    name: str
    tried: str
    failed: int
    minutes: float  # of its processes together
    command: str


def _tried(unit: str) -> Callable[[list[Facts]], tuple[str, int]]:
    return lambda facts: (f"{facts[-1][unit]:,} {unit}", len(facts[-1]["wrong"]))


def _lives(facts: list[Facts]) -> tuple[str, int]:
    said = [f"{each['examples']:,} on {each['backend']}" for each in facts]
    return f"lives: {', '.join(said)}", 0


def _killed(facts: list[Facts]) -> tuple[str, int]:
    last = facts[-1]
    restarts = f", {last['restarts']} of the database" if "restarts" in last else ""
    return f"{last['acknowledged']:,} messages, {last['kills']} kills{restarts}", int(
        not last["good"]
    )


def _fuzzed(facts: list[Facts]) -> tuple[str, int]:
    return f"{facts[-1]['rounds']} rounds of 1,000 examples a property", 0


def _planted(facts: list[Facts]) -> tuple[str, int]:
    found = facts[-1]["canaries"]
    missed = sum(not each["caught_by"] for each in found)
    return f"{len(found)} planted bugs, {len(found) - missed} caught", missed


PROOFS: Final = (
    Proof(name="Kills at statement boundaries", module="tests.proof.crash_points", size=20_000,
          words="--points {size} --state {state} --json", told=_tried("points")),
    Proof(name="The same on PostgreSQL", module="tests.proof.crash_points_postgresql", size=200,
          words="--points {size} --state {state} --json", told=_tried("points")),
    Proof(name="Losses of power", module="tests.proof.power_loss", size=50_000,
          words="--states {size} --state {state} --json", told=_tried("states")),
    Proof(name="Damaged files", module="tests.proof.damaged_files", size=5_000,
          words="--files {size} --state {state} --json", told=_tried("files")),
    Proof(name="Whole worlds with faults", module="tests.proof.worlds", size=20_000,
          words="--seeds {size} --state {state} --json", told=_tried("seeds")),
    Proof(name="Scenarios with known truth", module="tests.proof.scenarios", size=54,
          words="--plays {size} --state {state} --json", told=_tried("plays")),
    Proof(name="Model beside the store", module="tests.model", size=2_000,
          words="--backend sqlite --examples {size} --json", told=_lives),
    Proof(name="Model beside it on PostgreSQL", module="tests.model", size=300,
          words="--backend postgresql --examples {size} --json", told=_lives),
    Proof(name="kill -9 of a real server", module="tests.e2e.kill_run", size=10_000,
          words="--kills 20 --messages {size} --json", told=_killed),
    Proof(name="kill -9 of a cluster", module="tests.e2e.cluster_run", size=50_000,
          words="--restarts 5 --messages {size} --json", told=_killed),
    Proof(name="Fuzzing", module="tests.fuzz", size=5,
          words="--minutes {size} --json", told=_fuzzed),
    Proof(name="Planted bugs", module="tests.proof.canaries", size=1,
          words="--json", told=_planted),
)  # fmt: skip


def main(words: Sequence[str] | None = None) -> int:
    """Run what isn't finished yet; the exit code is 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of each, as a share")
    parser.add_argument("--only", nargs="*", metavar="MODULE", help="only these")
    parser.add_argument("--json", action="store_true", help="end with JSON on stdout")
    parser.add_argument("--table", action="store_true", help="run nothing; write what is kept")
    asked = parser.parse_args(words)
    digest = digest_of_source()
    chosen = [each for each in PROOFS if not asked.only or _name(each) in asked.only]
    found = [
        _kept(proof, digest, asked.scale) if asked.table else _run(proof, digest, asked.scale)
        for proof in chosen
    ]
    results = [each for each in found if each is not None]
    missing = [proof.name for proof, each in zip(chosen, found, strict=True) if each is None]
    table = table_of(results, missing, digest)
    print(json.dumps([asdict(each) for each in results]) if asked.json else table)
    if asked.scale == 1 and not asked.only and not any(each.failed for each in results):
        text = GUARANTEES.read_text("utf-8")
        GUARANTEES.write_text(TABLE.sub(lambda found: found[1] + table + found[2], text))
    return int(any(each.failed for each in results))


def _name(proof: Proof) -> str:
    return proof.module.rpartition(".")[2]


def digest_of_source() -> str:
    """Return a word that changes with any file of the source."""
    digest = blake2b(digest_size=6)
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in {".py", ".sql", ".toml"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(proof: Proof, digest: str, scale: float) -> Result:
    if kept := _kept(proof, digest, scale):
        return kept
    size = _size(proof, scale)
    state = _file(proof, digest, scale).with_suffix(".jsonl")
    state.parent.mkdir(parents=True, exist_ok=True)
    shown = f"python -m {proof.module} {proof.words.format(size=size, state='FILE')}"
    print(f"{proof.name}: {shown}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", proof.module]
    command += proof.words.format(size=size, state=state).split()
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - began
    facts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if facts:  # what a run that was resumed did before counts too
        seconds = facts[-1].get("process_seconds", seconds)
    tried, failed = proof.told(facts) if facts else ("it said nothing", 1)
    result = Result(
        name=proof.name,
        tried=tried,
        failed=failed or int(done.returncode != 0),
        minutes=round(seconds / 60, 1),
        command=shown,
    )
    if not result.failed:
        text = json.dumps(asdict(result))
        _file(proof, digest, scale).write_text(text, "utf-8")
    return result


def _size(proof: Proof, scale: float) -> int:
    return max(1, round(proof.size * scale))


def _file(proof: Proof, digest: str, scale: float) -> Path:
    return KEPT / digest / f"{_name(proof)}-{_size(proof, scale)}.json"


def _kept(proof: Proof, digest: str, scale: float) -> Result | None:
    """Return the result of a run that was finished before."""
    file = _file(proof, digest, scale)
    return Result(**json.loads(file.read_text("utf-8"))) if file.exists() else None


def table_of(results: Sequence[Result], missing: Sequence[str], digest: str) -> str:
    """Return the results as a table in Markdown."""
    rows = [
        f"| {each.name} | {each.tried} | {each.failed or 'none'} | {each.minutes:g} "
        f"| `{each.command}` |"
        for each in results
    ]
    today = datetime.now(UTC).date().isoformat()
    head = [
        "| | tried | broke a promise | process minutes | command |",
        "|---|---|---|---|---|",
    ]
    foot = ["", f"By `make prove` on {today}, of the source whose digest is `{digest}`."]
    if missing:
        foot.append(f"Not run to their end on it: {', '.join(missing)}.")
    foot.append("")
    return "\n".join([*head, *rows, *foot])


if __name__ == "__main__":
    sys.exit(main())
