"""Cells: sums over events that forget, wait in bounded memory, and come in any order."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.cells import (
    BINS,
    EDGES_S,
    FORMAT,
    HALF_LIVES_S,
    HORIZON_S,
    LEVEL_SLOTS,
    LEVELS,
    TICK_US,
    Cell,
    Exposure,
    Pace,
    UnreadableCell,
    answered,
    bin_of,
    sent,
    withdrawn,
)

NOW_US = 1_764_590_000_000_000
DAY_US = 86_400_000_000
SECOND_US = 1_000_000

Event = tuple[int, int, bool | None]  # told at, sent at, and what came (None: it was sent)

LIVES = st.lists(
    st.tuples(
        st.integers(0, 5 * DAY_US),  # how long ago it was sent
        st.none() | st.tuples(st.integers(0, 6 * DAY_US), st.booleans()),
    ),
    max_size=30,
)


def events_of(lives) -> list[Event]:
    found: list[Event] = []
    for ago_us, receipt in lives:
        sent_us = NOW_US - ago_us
        found.append((sent_us, sent_us, None))
        if receipt is not None:
            after_us, positive = receipt
            found.append((sent_us + after_us, sent_us, positive))
    return found


def in_time(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event[0])


def tell(cell: Cell, event: Event) -> None:
    now_us, sent_us, positive = event
    if positive is None:
        sent([cell], sent_us, now_us)
    else:
        answered([cell], sent_us, now_us, positive=positive)


def told(events) -> Cell:
    cell = Cell()
    for event in events:
        tell(cell, event)
    return cell


def numbers(found: Exposure) -> list[float]:
    return [*found.positive, *found.negative, *found.at_risk]


def assert_same(one: Cell, other: Cell) -> None:
    """Both say the same at the same moment, to the rounding."""
    end = NOW_US + 10 * DAY_US
    for cell in (one, other):
        cell.move_to(max(one.tick, other.tick))
    assert one.waiting == other.waiting
    for pace in Pace:
        assert numbers(one.exposure(pace, end)) == pytest.approx(
            numbers(other.exposure(pace, end)), rel=1e-9, abs=1e-12
        )


@given(LIVES, st.randoms(use_true_random=False))
def test_the_order_of_events_is_nothing(lives, chance: random.Random) -> None:
    """However late and disordered events are told, the cell is the same."""
    events = in_time(events_of(lives))
    shuffled = events[:]
    chance.shuffle(shuffled)
    assert_same(told(events), told(shuffled))


@given(LIVES, LIVES, st.integers(0, 100))
def test_two_nodes_are_one(here, there, cut: int) -> None:
    """Two cells' sum is the cell of all events, also if a receipt came to the other node."""
    one = told(in_time(events_of([*here, *there])))
    events = [*events_of(here), *events_of(there)]
    mine, theirs = told(events[:cut]), told(events[cut:])
    mine.merge(theirs)
    assert_same(mine, one)


@given(LIVES)
def test_a_kept_cell_comes_back(lives) -> None:
    """Encoding loses nothing."""
    cell = told(in_time(events_of(lives)))
    back = Cell.decode(cell.encode())
    assert (back.tick, back.day, back.next_day) == (cell.tick, cell.day, cell.next_day)
    assert back.exits == cell.exits
    assert back.waiting == cell.waiting
    assert_same(back, cell)


def test_an_empty_cell_is_small() -> None:
    """A cell takes as many bytes as it has to say."""
    assert len(Cell().encode()) < 10


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"junk",
        msgspec.msgpack.encode([FORMAT + 1, 0, 0, [], []]),
        msgspec.msgpack.encode([FORMAT, 0, 0, [[10_000, 1.0]], []]),
        msgspec.msgpack.encode([FORMAT, 0, 0, [], [[0, 1 << 40]]]),
    ],
)
def test_what_is_no_cell_is_refused(kept: bytes) -> None:
    """Other formats and junk raise one exception."""
    with pytest.raises(UnreadableCell):
        Cell.decode(kept)


def test_bins_begin_at_their_edges() -> None:
    """An edge belongs to the bin it opens, and the horizon closes the last one."""
    assert [bin_of(edge) for edge in EDGES_S] == list(range(BINS + 1))
    assert bin_of(HORIZON_S - 1) == BINS - 1
    assert bin_of(HORIZON_S * 10) == BINS
    ratios = [after / before for before, after in pairwise(EDGES_S[1:])]
    assert ratios == pytest.approx([1.4565] * len(ratios), rel=1e-3)


@given(st.integers(0, int(HORIZON_S) - 1), st.integers(0, 10**12))
def test_those_who_wait_are_found_near_their_age(age_s: int, offset_us: int) -> None:
    """A slot's middle is within a sixteenth of the age, or half a tick."""
    cell = Cell()
    now_us = NOW_US + offset_us
    sent([cell], now_us - age_s * SECOND_US, now_us)
    ((since_us, count),) = cell.waiting_since()
    assert count == 1
    error_s = abs((now_us - since_us) / 1e6 - age_s)
    assert error_s <= max(age_s / LEVEL_SLOTS * 1.1, TICK_US / 1e6)


@given(st.lists(st.integers(1, 3 * DAY_US), min_size=1, max_size=12))
def test_time_takes_nobody_along(steps: list[int]) -> None:
    """However the clock moves, those that wait are where a single step has them."""
    slow, fast = Cell(), Cell()
    sent([slow], NOW_US, NOW_US)
    sent([fast], NOW_US, NOW_US)
    now_us = NOW_US
    for step in steps:
        now_us += step
        slow.move_to(now_us // TICK_US)
    fast.move_to(now_us // TICK_US)
    assert slow.waiting == fast.waiting
    assert slow.exits == pytest.approx(fast.exits)


def test_a_clock_never_runs_back() -> None:
    """An older event finds the clock where it was."""
    cell = Cell()
    cell.move_to(100)
    cell.move_to(50)
    assert cell.tick == 100


def test_silence_ends_at_the_horizon() -> None:
    """Whoever waits longer is at risk in every bin, and takes no slot any more."""
    cell = Cell()
    sent([cell], NOW_US, NOW_US)
    cell.move_to((NOW_US + 7 * DAY_US) // TICK_US)
    assert cell.waiting_since() == []
    seen = cell.exposure(Pace.WEEK, NOW_US + 7 * DAY_US)
    assert all(risk > 0 for risk in seen.at_risk)
    # Its receipt comes after all: it is taken from the silent, and stands past the horizon.
    answered([cell], NOW_US, NOW_US + 8 * DAY_US, positive=True)
    after = cell.exposure(Pace.WEEK, NOW_US + 8 * DAY_US)
    # It weighs as its middle slot did, which is within a few hours of when it was sent.
    assert after.at_risk[0] == pytest.approx(2 ** (-8 / 7), rel=0.02)
    assert after.positive[BINS] > 0
    assert after.positive[:BINS] == [0.0] * BINS


def test_withdrawing_is_as_if_it_had_never_been() -> None:
    """A hand-off that proved to be none leaves nothing behind."""
    cell = Cell()
    sent([cell], NOW_US, NOW_US)
    withdrawn([cell], NOW_US, NOW_US + 60 * SECOND_US)
    assert not any(cell.waiting)
    assert numbers(cell.exposure(Pace.HOUR, NOW_US + 60 * SECOND_US)) == [0.0] * 3 * (BINS + 1)


def test_an_answer_to_what_was_never_told() -> None:
    """It counts as a receipt, and the slot below zero as empty."""
    cell = Cell()
    answered([cell], NOW_US, NOW_US + 2 * SECOND_US, positive=False)
    seen = cell.exposure(Pace.HOUR, NOW_US + 2 * SECOND_US)
    assert seen.negative[bin_of(2.0)] > 0
    assert seen.at_risk[0] == pytest.approx(2 ** (-2 / 3600))


@pytest.mark.parametrize("pace", list(Pace))
def test_half_is_forgotten_in_a_half_life(pace: Pace) -> None:
    """After one half-life a receipt counts half; after years nothing has overflowed."""
    half_us = int(HALF_LIVES_S[pace] * 1e6)
    cell = Cell()
    sent([cell], NOW_US, NOW_US)
    answered([cell], NOW_US, NOW_US, positive=True)
    assert cell.exposure(pace, NOW_US).at_risk[0] == pytest.approx(1.0)
    cell.move_to((NOW_US + half_us) // TICK_US)
    assert cell.exposure(pace, NOW_US + half_us).at_risk[0] == pytest.approx(0.5)
    later_us = NOW_US + 10 * 365 * DAY_US
    sent([cell], later_us, later_us)
    answered([cell], later_us, later_us, positive=True)
    assert cell.exposure(pace, later_us).at_risk[0] == pytest.approx(1.0)


def test_late_bins_remember_when_they_were_entered() -> None:
    """What waited ten hours weighs, in that bin, as what was sent just now in the first."""
    cell = Cell()
    sent([cell], NOW_US, NOW_US)
    now_us = NOW_US + 10 * 3_600 * SECOND_US
    answered([cell], NOW_US, now_us, positive=True)
    seen = cell.exposure(Pace.HOUR, now_us)
    place = bin_of(36_000.0)
    assert seen.at_risk[0] == pytest.approx(2**-10)
    assert seen.at_risk[place] == pytest.approx(2 ** ((EDGES_S[place] - 36_000) / 3_600))


def test_a_chain_of_cells_with_different_clocks() -> None:
    """Each cell counts an event at its own clock."""
    early, late = Cell(), Cell()
    late.move_to((NOW_US + 2 * DAY_US) // TICK_US)
    sent([early, late], NOW_US, NOW_US)
    answered([early, late], NOW_US, NOW_US + SECOND_US, positive=True)
    assert (early.day, late.day) == (early.day, early.day + 2)
    end = NOW_US + 2 * DAY_US
    early.move_to(end // TICK_US)
    assert numbers(early.exposure(Pace.WEEK, end)) == pytest.approx(
        numbers(late.exposure(Pace.WEEK, end))
    )


@pytest.mark.slow
def test_memory_is_bounded() -> None:
    """Whatever is told, a cell has so many numbers."""
    times = [NOW_US + number * 12 * SECOND_US for number in range(50_000)]  # a week
    cell = told([(at_us, at_us, None) for at_us in times])
    assert len(cell.waiting) == LEVELS * LEVEL_SLOTS
    assert len(cell.exits) == 2 * (2 * (BINS + 1) + 1)
    kept = sum(cell.waiting)
    assert 0 < kept < 50_000  # the others have waited for longer than the horizon
