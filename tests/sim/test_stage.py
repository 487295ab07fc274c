"""Scenarios played with the whole platform: a sample of them, small; `make prove` plays all."""

from __future__ import annotations

from collections import Counter

import pytest

from arrivals.sim.findings import finding_of
from arrivals.sim.stage import play
from arrivals.world.scenario import load_scenario, parse_scenario

PEOPLE = """
name = "people"
about = "Everybody types in every code that arrives, and half of them arrive."
[[traffic]]
name = "codes"
text = "Your code is {code}"
count = 60
over_s = 600
[users]
conversion = 1.0
[providers.default]
receipts = { coverage = 0.0 }
[[carriers]]
name = "one"
filter = { base = 0.5, modes = { silent = 1 } }
[expect.codes]
truth = { reached = 0.5, filtered = 0.5 }
reported = { silent = 1 }
"""


@pytest.mark.slow
def test_a_play_is_as_stated_and_the_same_again() -> None:
    scenario = load_scenario("balance-race")
    first = play(scenario, 1, most=300)
    assert finding_of(first).misses == []
    assert first == play(scenario, 1, most=300)
    assert first != play(scenario, 2, most=300)


@pytest.mark.slow
def test_only_what_people_told_is_known_where_receipts_say_nothing() -> None:
    """Truth comes from the world, verdicts from the platform: each message's own."""
    found = play(parse_scenario(PEOPLE), 1)
    pairs = Counter((each.truth, each.verdict == "delivered") for each in found.messages)
    assert set(pairs) == {("reached", True), ("filtered", False)}
    assert 15 < pairs["reached", True] < 45
    assert found.days > 2  # until nothing more may come


@pytest.mark.slow
def test_what_cannot_be_paid_is_turned_away() -> None:
    scenario = parse_scenario(PEOPLE.replace("count = 60", "count = 60\nfunds_for = 20"))
    found = play(scenario, 1)
    assert (len(found.messages), found.turned_away) == (20, 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["early-dlr", "node-crash-mid-send", "timeout-but-accepted"])
def test_a_sample_is_as_stated(name: str) -> None:
    found = finding_of(play(load_scenario(name), 1, most=200))
    assert found.misses == []
    assert found.messages == 200
