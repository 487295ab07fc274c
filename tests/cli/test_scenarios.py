"""`arrivals scenarios` as somebody types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from arrivals.cli import app
from arrivals.sim import repertoire
from arrivals.world.scenario import Scenario, load_scenario, scenario_names
from tests.cli.typed import type_in
from tests.tidy_checks import ROOT


def scenarios(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["scenarios", *words])
    return result.exit_code, result.stdout


def test_all_are_listed() -> None:
    code, said = scenarios("--list")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()[1:]] == list(scenario_names())
    _, listed = scenarios("--list", "--json")
    assert [each["name"] for each in json.loads(listed)] == list(scenario_names())


def my_day() -> str:
    """Return the example of the documents."""
    text = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    return text[text.index("# my-day.toml") :].partition("```")[0]


@pytest.mark.slow
def test_ones_own_file_is_played(tmp_path: Path) -> None:
    path = tmp_path / "my-day.toml"
    path.write_text(my_day(), "utf-8")
    code, said = scenarios("--run", str(path), "--most", "100")
    assert (code, "my-day" in said, "100 messages" in said) == (0, True, True)


@pytest.mark.parametrize(
    ("change", "words", "fix"),
    [
        (("[expect.codes]", "[expect.other]"),
         "doesn't say what must come of its stream 'codes'", "add [expect.codes]"),
        (("[[traffic]]", "[[disturbances]]"), "disturbances[0]", "docs/sandbox.md"),
        (('begins_h = 9', 'begins_hour = 9'), "did you mean 'begins_h'?", "docs/sandbox.md"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_judged_says_why(
    tmp_path: Path, change: tuple[str, str], words: str, fix: str
) -> None:
    path = tmp_path / "my-day.toml"
    path.write_text(my_day().replace(*change), "utf-8")
    found = type_in("scenarios", "--run", path)
    assert found.code == 64
    assert words in " ".join(found.err.split())
    assert fix in " ".join(found.err.split())


def test_a_file_without_traffic_says_so(tmp_path: Path) -> None:
    path = tmp_path / "my-day.toml"
    path.write_text(my_day().partition("[[traffic]]")[0], "utf-8")
    found = type_in("scenarios", "--run", path)
    assert (found.code, "sends nothing" in " ".join(found.err.split())) == (64, True)
    missing = type_in("scenarios", "--run", tmp_path / "none.toml")
    assert (missing.code, "none.toml" in missing.err) == (64, True)


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
