"""Kannel and Jasmin beside us: what is said of the rounds, and one small run of all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.figures import Figure, Spread
from tests.bench.load import answer_in
from tests.bench.peers import DOCUMENT, OURS, TABLE, THEIRS, standing, table

ROOT = Path(__file__).resolve().parents[2]
SINGLE, MANY = (each.name for each in OURS)
RUN_TIMEOUT_S = 600


ONLY = "Kannel, file store, callbacks"


def rates(*settled_per_s: float | None) -> list[Figure | None]:
    return [
        Figure(name="", messages=10, accepted_per_s=2 * each, settled_per_s=each)
        if each
        else None
        for each in settled_per_s
    ]


def test_ratios_are_of_one_round() -> None:
    """A round that was slow for both says the same as one that was fast for both."""
    found = {SINGLE: rates(100, 10, 300), MANY: rates(200, 20, 600), "slow": rates(10, 1, 20)}
    seen = standing("slow", found)
    assert seen.ratios[SINGLE] == Spread(median=10, least=10, most=15)
    assert seen.ratios[MANY] == Spread(median=20, least=20, most=30)
    assert (seen.rounds, seen.accepted_per_s, seen.settled_per_s) == (3, 20, 10)


def test_a_failed_round_pairs_with_none() -> None:
    """What a peer did before it failed is compared with the same rounds of ours."""
    found = {SINGLE: rates(100, 10), MANY: rates(100, 10), "ended": rates(50, None)}
    seen = standing("ended", found)
    assert (seen.rounds, seen.ratios[SINGLE].most) == (1, 2)


def test_the_table_names_who_is_lacking() -> None:
    """Every standing is a row, and the reason for none stands below."""
    found = {SINGLE: rates(100), MANY: rates(200), "slow": rates(10)}
    text = table([standing(name, found) for name in found], {"gone": "apt install gone"}, "v1.")
    assert "| slow | 10 | 20 | 10 | **10.00 ×** (10.00 to 10.00) | **20.00 ×**" in text
    assert f"| {SINGLE} | 10 | 200 | 100 |  |  |" in text
    assert "Not in all rounds: gone (apt install gone)." in text


def test_the_document_has_a_place_for_it() -> None:
    """The markers that the command writes between are there, once."""
    assert len(TABLE.findall(DOCUMENT.read_text("utf-8"))) == 1


def test_a_chunked_answer_ends_with_its_last_chunk() -> None:
    """Jasmin answers so: whole only when the empty chunk came."""
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc"
    assert answer_in(start) is None
    whole = answer_in(start + b"\r\n0\r\n\r\n")
    assert whole is not None
    assert whole.is_good


@pytest.mark.slow
@pytest.mark.timeout(RUN_TIMEOUT_S)
def test_a_small_run_says_of_everybody() -> None:
    """Each peer has a standing, or a reason for having none; ours always have one."""
    # One configuration: to start all of them takes minutes, and is for the command itself.
    words = ["--rounds", "1", "--scale", "0.01", "--json", "--only", ONLY]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.peers", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    told = json.loads(done.stdout)
    standings = {each["name"]: each for each in told["standings"]}
    assert {SINGLE, MANY} <= set(standings)
    theirs = [each for each in THEIRS if ONLY in each.name]
    assert set(standings) | set(told["lacking"]) == {each.name for each in (*OURS, *theirs)}
    for each in theirs:
        if each.name in standings:
            assert standings[each.name]["settled_per_s"] > 0
            assert standings[each.name]["ratios"][SINGLE]["median"] > 0
