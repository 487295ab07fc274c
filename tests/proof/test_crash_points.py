"""Crash points of a process on SQLite; `python -m tests.proof.crash_points` runs many more.

They run in a process of their own, which has one thread and may therefore fork.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 150
POINTS_A_CASE = 170
CASES = 6  # more than 1,000 points


def _python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def _crash(first: int, count: int, *words: str) -> dict[str, Any]:
    done = _python(
        *("-m", "tests.proof.crash_points", "--json", "--jobs", "1"),
        *("--seed", str(first), "--points", str(count), *words),
    )
    assert done.returncode in {0, 1}, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == bool(facts["wrong"]), done.stderr
    return facts


def test_a_few_crash_points_keep_every_promise():
    """Invariants 1, 2, 6, 7, 9, 13, 15, 17, 18, 20, 24, 25 and 37."""
    facts = _crash(0, 5)
    assert (facts["points"], facts["wrong"]) == (5, {})


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 10)
@pytest.mark.parametrize("case", range(CASES))
def test_crash_points_keep_every_promise(case: int):
    """The same, at other points."""
    facts = _crash(1_000 + case * POINTS_A_CASE, POINTS_A_CASE)
    assert (facts["points"], facts["wrong"]) == (POINTS_A_CASE, {})


@pytest.mark.slow
@pytest.mark.parametrize(("mistake", "points"), [("LateWriter", 20), ("HalvingWriter", 60)])
def test_the_points_see_a_planted_mistake(mistake: str, points: int):
    """The canary: with such a writer some of the same points must be wrong."""
    done = _python(
        "-c",
        "from tests.proof.crash_points import crashes, sqlite_ground\n"
        f"from tests.proof.mistakes import {mistake}\n"
        f"with sqlite_ground({mistake}) as ground:\n"
        f"    print(sum(bool(wrong) for _, wrong in crashes(ground, range({points}))))",
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2


@pytest.mark.slow
def test_a_long_run_goes_on_where_it_was(tmp_path: Path):
    state = tmp_path / "state"
    _crash(0, 2, "--state", str(state))
    [noted] = state.read_text("utf-8").splitlines()
    assert json.loads(noted)["count"] == 2
    marked = noted.replace('"wrong": {}', '"wrong": {"1": ["as it was"]}')
    state.write_text(marked + "\n", "utf-8")
    # What was done is not done again, and counts as it was noted.
    assert _crash(0, 2, "--state", str(state))["wrong"] == {"1": ["as it was"]}
    # Another stretch is another run.
    assert _crash(2, 1, "--state", str(state))["wrong"] == {}


@pytest.mark.slow
def test_one_point_can_be_tried_again():
    done = _python("-m", "tests.proof.crash_points", "--point", "3")
    assert (done.returncode, done.stdout) == (0, "as promised\n")
