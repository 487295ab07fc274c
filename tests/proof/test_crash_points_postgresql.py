"""Crash points of a process on PostgreSQL, whose server goes on."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.postgres.fixtures import need_programs
from tests.proof.test_crash_points import PATIENCE_S, ROOT

POINTS_A_CASE = 15
CASES = 2


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 10)
@pytest.mark.parametrize("case", range(CASES))
def test_crash_points_keep_every_promise(case: int):
    """The same invariants as on SQLite, by the same judge."""
    need_programs()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.proof.crash_points_postgresql", "--json"),
            *("--jobs", "1", "--seed", str(case * POINTS_A_CASE)),
            *("--points", str(POINTS_A_CASE)),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["points"] == POINTS_A_CASE
