"""The last two hours of a cell, and the way from messages to one named cause."""

from __future__ import annotations

import random
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.alarms import Node, Path, causes
from arrivals.outcome.attribution import Dimension, Tally
from arrivals.outcome.change import Chart, Kind, limits, observe
from arrivals.outcome.recent import SLOT_US, SLOTS, Recent

START_US = 1_800_000_000_000_000 // SLOT_US * SLOT_US
TIMES = st.integers(START_US, START_US + 3 * SLOTS * SLOT_US)


def since(recent: Recent, at_us: int, now_us: int) -> tuple[int, float, int]:
    """Return the counts of a window."""
    node = recent.since(at_us, now_us, cell=("a",), alarmed=False)
    return node.messages, node.expected, node.observed


def test_a_window_holds_what_came_in_it() -> None:
    recent = Recent()
    for minute in range(60):
        at_us = START_US + minute * 60_000_000
        recent.add(at_us, usual=0.5, positive=minute >= 30)
    now_us = START_US + 59 * 60_000_000
    assert since(recent, START_US, now_us) == (60, 30.0, 30)
    assert since(recent, START_US + 30 * 60_000_000, now_us) == (30, 15.0, 30)
    # It begins with a whole slot, and ends now.
    assert since(recent, START_US + 34 * 60_000_000, now_us) == (30, 15.0, 30)
    assert since(recent, START_US, START_US + 29 * 60_000_000) == (30, 15.0, 0)


def test_what_is_older_than_two_hours_is_forgotten() -> None:
    recent = Recent()
    recent.add(START_US, usual=0.9, positive=True)
    later_us = START_US + SLOTS * SLOT_US
    assert since(recent, START_US, later_us) == (0, 0, 0)
    recent.add(later_us, usual=0.9, positive=False)
    recent.add(START_US, usual=0.9, positive=True)
    assert since(recent, 0, later_us) == (1, 0.9, 0)


@given(st.lists(st.tuples(TIMES, st.booleans()), max_size=100), TIMES)
def test_a_window_counts_what_is_near_enough(
    messages: list[tuple[int, bool]], at_us: int
) -> None:
    """As if every message had been kept; stored and read again it says the same."""
    recent = Recent()
    now_us = max((each for each, _ in messages), default=START_US)
    for each_us, positive in sorted(messages):
        recent.add(each_us, usual=0.25, positive=positive)
    oldest = max(at_us // SLOT_US, now_us // SLOT_US - SLOTS + 1)
    kept = [positive for each_us, positive in messages if each_us // SLOT_US >= oldest]
    expected = (len(kept), 0.25 * len(kept), sum(kept))
    assert since(recent, at_us, now_us) == expected
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(recent), type=Recent)
    assert since(stored, at_us, now_us) == expected


@pytest.mark.parametrize("seed", range(5))
def test_from_messages_to_one_named_cause(seed: int) -> None:
    """One of six cells loses nearly all of one template: one cause, its cell, its template."""
    draw = random.Random(seed)
    leaves = list(product(("blue", "red"), ("alpha", "beta", "gamma")))
    cells: list[Path] = [(), ("blue",), ("red",), *leaves]
    charts = {cell: Chart(cell=cell, kind=Kind.RECEIPTS) for cell in cells}
    recent = {cell: Recent() for cell in cells}
    bounds, tally = limits(Kind.RECEIPTS, 0.9, false_alarms=1e-7), Tally()
    hit = ("red", "beta")
    rung: list[Node] = []
    for number in range(20_000):
        at_us = START_US + number * 200_000
        leaf, template = draw.choice(leaves), draw.choice("xyz")
        bad = number > 5_000 and leaf == hit and template == "x"
        positive = draw.random() < (0.1 if bad else 0.9)
        if leaf == hit and number > 5_000:
            tally.add({Dimension.TEMPLATE: template}, usual=0.9, positive=positive)
        for cell in ((), leaf[:1], leaf):
            recent[cell].add(at_us, usual=0.9, positive=positive)
            alarm = observe(charts[cell], bounds, positive=positive, usual=0.9, at_us=at_us)
            if alarm is not None:
                assert number > 5_000
                rung = causes(
                    recent[each].since(
                        alarm.began_us,
                        at_us,
                        cell=each,
                        alarmed=charts[each].raised_message > 0,
                    )
                    for each in cells
                )
    assert [each.cell for each in rung] == [hit]
    assert [each.value for each in tally.findings()] == ["x"]
