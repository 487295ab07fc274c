"""`arrivals sim` as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from arrivals.cli import app
from arrivals.sim import explore
from arrivals.sim.plan import Plan, plan_of
from tests.sim.test_auditor import blind_resend


def sim(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sim", *words])
    return result.exit_code, result.stdout


def test_one_world_is_told():
    code, said = sim("--seed", "3", "--story")
    assert code == 0
    assert "the process begins" in said
    assert "No invariant was broken." in said
    assert said == sim("--seed", "3", "--story")[1]


@pytest.mark.slow
def test_many_worlds_are_counted():
    code, said = sim("--seed", "5", "--runs", "3", "--jobs", "2", "--json")
    facts = json.loads(said)
    assert (code, facts["runs"], facts["failed"]) == (0, 3, [])
    assert facts["handoffs"] > 0


@pytest.mark.slow
def test_a_failure_is_made_small_kept_and_replays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    blind_resend(monkeypatch)
    monkeypatch.setattr(explore, "SHRINK_RUNS_MAX", 40)
    code, said = sim("--seed", "1", "--runs", "10", "--keep", str(tmp_path), "--json")
    failed = json.loads(said)["failed"]
    assert (code, bool(failed)) == (1, True)
    path = tmp_path / f"sim-{failed[0]}.json"
    kept = msgspec.json.decode(path.read_bytes(), type=Plan)
    assert len(kept.sends) + len(kept.faults) < len(plan_of(failed[0]).sends)
    code, said = sim("--plan", str(path))
    assert code == 1
    assert "invariant 25" in said


@pytest.mark.slow
def test_a_plan_can_be_written_and_run(tmp_path: Path):
    path = tmp_path / "plan.json"
    path.write_bytes(msgspec.json.encode(plan_of(3)))
    assert sim("--plan", str(path), "--json") == sim("--seed", "3", "--json")


def test_what_is_no_plan_is_refused(tmp_path: Path):
    path = tmp_path / "plan.json"
    path.write_text("{}")
    result = CliRunner().invoke(app, ["sim", "--plan", str(path)])
    assert "isn't a plan" in str(result.exception)
