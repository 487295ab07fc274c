"""`arrivals scenarios` as somebody types it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from arrivals.cli import app
from arrivals.sim import repertoire
from arrivals.world.scenario import Scenario, load_scenario, scenario_names


def scenarios(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["scenarios", *words])
    return result.exit_code, result.stdout


def test_all_are_listed() -> None:
    code, said = scenarios("--list")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()[1:]] == list(scenario_names())
    _, listed = scenarios("--list", "--json")
    assert [each["name"] for each in json.loads(listed)] == list(scenario_names())


@pytest.mark.slow
def test_one_is_played_and_shown() -> None:
    code, said = scenarios("--run", "balance-race", "--most", "100")
    assert code == 0
    assert "reached" in said
    assert "Within tolerance." in said
    code, told = scenarios("--run", "balance-race", "--most", "100", "--seed", "1", "--json")
    found = json.loads(told)
    assert (code, found["name"], found["messages"], found["misses"]) == (
        0, "balance-race", 100, [],
    )  # fmt: skip
    assert sum(sum(row.values()) for row in found["table"].values()) == 100


def test_one_that_is_off_ends_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def stricter(name: str) -> Scenario:
        scenario = load_scenario(name)
        verdicts = scenario.expect["rush"].verdicts
        verdicts["delivered"], verdicts["failed"] = 1.0, 0.0
        return scenario

    monkeypatch.setattr(repertoire, "load_scenario", stricter)
    code, said = scenarios("--run", "balance-race", "--most", "100")
    assert code == 1
    assert "out of tolerance: rush: delivered is" in said


@pytest.mark.parametrize(("name", "near"), [("happy-lier", "happy-liar"), ("???", "--list")])
def test_a_name_that_is_none_is_refused_with_the_nearest(name: str, near: str) -> None:
    result = CliRunner().invoke(app, ["scenarios", "--run", name])
    assert f"no scenario is called {name!r}" in str(result.exception)
    assert near in getattr(result.exception, "fix", "")
