"""The canaries: every mistake still applies, and the proofs see a few of them each time.

`python -m tests.proof.canaries` hunts them all.
"""

from __future__ import annotations

import json
import py_compile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.proof.canaries.__main__ import main
from tests.proof.canaries.harnesses import HARNESSES, End, _end_of, _end_of_suite
from tests.proof.canaries.planting import SOURCE, Canary, NotPlanted, planted, read_canaries

CANARIES = read_canaries()
INVARIANTS = range(1, 49)

HARMLESS = Canary(
    name="harmless",
    breaks="Nothing: a local has another name.",
    invariants=[],
    file="core/retry.py",
    find="wait_us -= int(wait_us * SPREAD * (1 - jitter))",
    replace="wait_us -= int(wait_us * SPREAD * (1.0 - jitter))",
)


@pytest.mark.parametrize("name", CANARIES)
def test_a_canary_applies_once_and_compiles(name: str, tmp_path: Path):
    canary = CANARIES[name]
    text = (SOURCE / "arrivals" / canary.file).read_text("utf-8")
    changed = canary.in_text(text)
    assert changed != text
    if canary.file.endswith(".py"):
        file = tmp_path / "changed.py"
        file.write_text(changed, "utf-8")
        py_compile.compile(str(file), doraise=True)


def test_a_canary_says_what_it_breaks():
    for each in CANARIES.values():
        assert each.breaks.endswith(".")
        assert each.invariants
        assert set(each.invariants) <= set(INVARIANTS)


def test_a_line_that_isnt_there_once_is_told():
    for text in ("", HARMLESS.find * 2):
        with pytest.raises(NotPlanted, match="not once"):
            HARMLESS.in_text(text)


def test_what_a_harness_says_is_told_apart():
    assert _end_of("") is End.GREEN
    assert _end_of("invariant 25: it was handed off again") is End.CAUGHT
    assert _end_of("RuleBroken: CHECK constraint failed: held >= 0") is End.CAUGHT
    assert _end_of("invariant 31: nobody handled NameError('message')") is End.BROKEN
    assert _end_of_suite(0, "3 passed")[0] is End.GREEN
    assert _end_of_suite(1, "FAILED tests/a.py::test_b - assert 1 == 2")[0] is End.CAUGHT
    assert _end_of_suite(1, "ERROR tests/a.py - ImportError: no x")[0] is End.BROKEN
    assert _end_of_suite(4, "no such file")[0] is End.BROKEN


@pytest.mark.slow
def test_a_copy_is_what_runs():
    with planted(HARMLESS) as copy:
        assert HARMLESS.replace in (copy / "arrivals" / HARMLESS.file).read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "harness"),
    [
        ("synced-now-and-then", "power"),
        ("blind-resend", "crash"),
        ("cancelled-by-strangers", "sim"),
        ("old-epoch-claims", "model"),
    ],
)
def test_a_harness_catches_its_canary(name: str, harness: str):
    assert main([name, "--harness", harness, "--no-sound-run"]) == 0


@pytest.mark.slow
def test_one_that_nobody_catches_fails_the_run(capsys: pytest.CaptureFixture[str]):
    hasty = {name: replace(HARNESSES[name], effort=2) for name in ("crash", "sim")}
    known = {"harmless": HARMLESS}
    assert main(["--json"], known, hasty) == 1
    [facts] = json.loads(capsys.readouterr().out)["canaries"]
    assert [run["end"] for run in facts["runs"]] == ["green", "green"]
    assert facts["caught_by"] is None


@pytest.mark.slow
def test_nothing_is_hunted_by_a_harness_that_is_red_already(
    capsys: pytest.CaptureFixture[str],
):
    red = {"order": replace(HARNESSES["order"], suite=("tests/nowhere.py",))}
    assert main(["--json"], {"harmless": HARMLESS}, red) == 1
    [facts] = json.loads(capsys.readouterr().out)["canaries"]
    assert (facts["caught_by"], facts["runs"]) == (None, [])


@pytest.mark.slow
def test_a_harness_that_cant_start_has_caught_nothing(capsys: pytest.CaptureFixture[str]):
    clumsy = replace(HARMLESS, name="clumsy", replace="wait_us -= nobody_knows_this_name")
    hasty = {"model": replace(HARNESSES["model"], effort=20)}
    assert main(["--json", "--no-sound-run"], {"clumsy": clumsy}, hasty) == 1
    [facts] = json.loads(capsys.readouterr().out)["canaries"]
    assert [run["end"] for run in facts["runs"]] == ["broken"]
