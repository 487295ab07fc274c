"""Curves: proper, monotone, and what an independent estimator makes of the same data."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.cells import (
    BINS,
    EDGES_S,
    HORIZON_S,
    Cell,
    Exposure,
    Pace,
    answered,
    bin_of,
    sent,
)
from arrivals.outcome.curves import (
    CHECKPOINT_MAX_S,
    CHECKPOINT_MIN_S,
    STRENGTH_MAX,
    STRENGTH_MIN,
    TYPICAL,
    Belief,
    Curve,
    curve_of,
    shrunk,
    strength_of,
)

NOW_US = 1_764_590_000_000_000
HAZARD = st.floats(0.0, 0.5)
CURVES = st.lists(st.tuples(HAZARD, HAZARD), min_size=BINS, max_size=BINS).map(
    lambda found: curve_of([good for good, _ in found], [bad for _, bad in found])
)
AGES = st.floats(0.0, 400_000.0)
SHARES = st.floats(0.0, 1.0)
NOTHING = curve_of([0.0] * BINS, [0.0] * BINS)


@given(CURVES, AGES, SHARES, SHARES, SHARES)
def test_probabilities_are_probabilities(
    curve: Curve, age_s, positive, silent, negative
) -> None:
    """Whatever the hazards, the three ends add up to 1 and no chance leaves 0 to 1."""
    ends = curve.at(age_s)
    assert sum(ends) == pytest.approx(1.0)
    assert all(0.0 <= each <= 1.0 + 1e-12 for each in ends)
    belief = Belief(positive, silent, negative)
    low, high = min(belief), max(belief)
    assert low - 1e-9 <= curve.p_delivered(age_s, belief) <= high + 1e-9
    assert 0.0 <= curve.p_receipt_still_coming(age_s) <= 1.0


@given(CURVES, AGES, AGES)
def test_curves_run_one_way(curve: Curve, one, other) -> None:
    """With age fewer wait, more have heard, and less is still to come."""
    young, old = sorted((one, other))
    before, after = curve.at(young), curve.at(old)
    assert after.waiting <= before.waiting + 1e-12
    assert after.positive >= before.positive - 1e-12
    assert after.negative >= before.negative - 1e-12
    if curve.waiting[BINS] > 1e-6:
        assert curve.p_receipt_still_coming(old) <= curve.p_receipt_still_coming(young) + 1e-9


@given(CURVES, AGES)
def test_what_was_heard_by_an_age_is_what_isnt_still_to_come(curve: Curve, age_s) -> None:
    to_come = curve.p_receipt_still_coming(age_s) * curve.at(age_s).waiting
    ever = 1.0 - curve.at(HORIZON_S).waiting
    assert ever * (1.0 - curve.heard_by(age_s)) == pytest.approx(to_come, abs=1e-8)


@given(CURVES, st.floats(0.0, 200_000.0), st.floats(0.01, 0.99))
def test_an_eta_is_an_inverse(curve: Curve, silent_s, share) -> None:
    """By the ETA just that share of what was to come has come, and never before now."""
    eta_s = curve.eta_s(silent_s, share)
    now, end = curve.at(silent_s), curve.at(HORIZON_S)
    if eta_s is None:
        assert end.waiting == pytest.approx(now.waiting, abs=1e-8)
        return
    assert eta_s >= silent_s * (1 - 1e-6) - 1e-6
    then = curve.at(eta_s)
    to_come = now.waiting - end.waiting
    if to_come > 1e-6:
        assert (now.waiting - then.waiting) / to_come == pytest.approx(share, abs=1e-3)


def test_the_typical_curve_is_its_table() -> None:
    """An installation starts from the table of assumptions."""
    assert TYPICAL.at(5.0).positive == pytest.approx(0.55, abs=0.02)
    assert TYPICAL.at(HORIZON_S).positive == pytest.approx(0.91)
    assert TYPICAL.at(HORIZON_S * 2) == TYPICAL.at(HORIZON_S)
    assert TYPICAL.at(-1.0) == TYPICAL.at(0.0)
    assert TYPICAL.positive_by(30.0) == TYPICAL.at(30.0).positive
    assert TYPICAL.final_after_s() == HORIZON_S
    assert TYPICAL.final_after_s(0.5) < 3_600
    early = TYPICAL.checkpoint_s()
    assert TYPICAL.positive_by(early) == pytest.approx(0.9 * TYPICAL.positive[BINS])


def test_where_no_receipt_ever_comes() -> None:
    """Silence is all there is; no receipt is waited for."""
    assert NOTHING.p_delivered(60.0, Belief(0.99, 0.9)) == pytest.approx(0.9)
    assert NOTHING.p_receipt_still_coming(0.0) == 0.0
    assert NOTHING.eta_s(0.0, 0.5) is None
    assert NOTHING.heard_by(60.0) == 0.0
    assert NOTHING.checkpoint_s() == CHECKPOINT_MIN_S
    slow = curve_of([0.0] * (BINS - 1) + [0.9], [0.0] * BINS)
    assert slow.checkpoint_s() == CHECKPOINT_MAX_S
    assert NOTHING.final_after_s() == EDGES_S[1]


def test_where_everyone_has_heard() -> None:
    """Nobody is silent for so long, so silence counts as what it would end as."""
    all_hear = curve_of([1.0] * BINS, [0.0] * BINS)
    assert all_hear.p_delivered(60.0, Belief(0.99, 0.2)) == 0.2
    assert all_hear.p_receipt_still_coming(60.0) == 0.0
    assert all_hear.eta_s(60.0, 0.5) is None


def test_a_receipt_in_reach_makes_silence_good_news() -> None:
    """Silent before receipts come means little; after it, what silence means."""
    belief = Belief(0.99, 0.1)
    assert TYPICAL.p_delivered(0.0, belief) > 0.85
    assert TYPICAL.p_delivered(86_400.0, belief) < TYPICAL.p_delivered(60.0, belief)


def test_a_young_cell_is_its_parent_and_an_old_one_itself() -> None:
    """Shrinkage gives way to what a cell has seen."""
    empty = Exposure(positive=[0.0] * 37, negative=[0.0] * 37, at_risk=[0.0] * 37)
    assert shrunk(empty, TYPICAL).positive == pytest.approx(TYPICAL.positive)
    assert shrunk(empty, TYPICAL, 0.0).positive == NOTHING.positive
    busy = Exposure(positive=[0.0] * 37, negative=[0.0] * 37, at_risk=[1e6] * 37)
    assert shrunk(busy, TYPICAL).positive[BINS] < 0.001
    assert shrunk(busy, TYPICAL).weight == 1e6


def children(chance: random.Random, differ: float) -> list[Exposure]:
    found = []
    for _ in range(200):
        share = min(max(0.3 + differ * chance.gauss(0, 1), 0.01), 0.9)
        hits = sum(chance.random() < share for _ in range(100))
        found.append(
            Exposure(
                positive=[float(hits)] + [0.0] * 36,
                negative=[0.0] * 37,
                at_risk=[100.0] + [0.0] * 36,
            )
        )
    return found


def test_how_much_a_parent_is_worth() -> None:
    """Children as like as chance makes them share all; unlike ones little."""
    parent = curve_of([0.3] + [0.0] * 35, [0.0] * 36)
    chance = random.Random(1)
    assert strength_of(children(chance, 0.0), parent) > 150
    # A beta of variance .01 around .3 has m = .3 × .7 / .01 - 1 = 20.
    assert strength_of(children(chance, 0.1), parent) == pytest.approx(20, rel=0.4)
    assert strength_of(children(chance, 0.5), parent) == STRENGTH_MIN
    assert strength_of([], parent) == STRENGTH_MAX


# --- against lifelines ----------------------------------------------------------------


def lives(count: int, seed: int, span_s: float) -> list[tuple[int, float | None, bool]]:
    """Draw hand-offs: when they were sent, the age at their receipt, and what it says."""
    chance = random.Random(seed)
    found: list[tuple[int, float | None, bool]] = []
    for _ in range(count):
        sent_us = NOW_US - int(chance.uniform(0, span_s) * 1e6)
        if chance.random() < 0.1:
            found.append((sent_us, None, False))
            continue
        heavy = chance.random() < 0.1
        age_s = chance.lognormvariate(8.5, 1.0) if heavy else chance.lognormvariate(1.2, 0.9)
        found.append((sent_us, age_s, chance.random() < 0.9))
    return found


def cell_of(drawn) -> Cell:
    cell = Cell()
    for sent_us, age_s, positive in drawn:
        sent([cell], sent_us, sent_us)
        if age_s is not None and sent_us + age_s * 1e6 <= NOW_US:
            answered([cell], sent_us, sent_us + int(age_s * 1e6), positive=positive)
    return cell


def as_judged(cell: Cell, drawn, pace: Pace) -> tuple[list, list, list]:
    """Return durations in bins, what ended them (0: still waiting), and weights.

    Who waits now is half at risk in the bin it is in: two halves, one censored before it.
    """
    half_us = (3_600e6, 7 * 86_400e6)[pace]
    durations, ends, weights = [], [], []
    for sent_us, age_s, positive in drawn:
        if age_s is not None and sent_us + age_s * 1e6 <= NOW_US:
            durations.append(float(bin_of(int(age_s * 1e6) / 1e6)))
            ends.append(1 if positive else 2)
            weights.append(2.0 ** ((sent_us - NOW_US) / half_us))
    for since_us, count in cell.waiting_since():
        place = bin_of((NOW_US - since_us) / 1e6)
        weight = count * 2.0 ** ((since_us - NOW_US) / half_us)
        durations += [place - 0.5, place + 0.5]
        ends += [0, 0]
        weights += [weight / 2, weight / 2]
    return durations, ends, weights


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the judge's own, about weights and ties
@pytest.mark.parametrize(
    ("pace", "span_s"),
    [
        (Pace.HOUR, 40.0),
        (Pace.HOUR, 7_200.0),
        (Pace.HOUR, 43_200.0),
        (Pace.WEEK, 40.0),
        (Pace.WEEK, 5 * 86_400.0),
    ],
)
def test_lifelines_draws_the_same_curves(pace: Pace, span_s: float) -> None:
    """Kaplan-Meier to the rounding, Aalen-Johansen as far as it goes with ties.

    With a span of 40 s most still wait; in half a day an hour's memory loses nearly all.
    """
    from lifelines import AalenJohansenFitter, KaplanMeierFitter

    drawn = lives(3_000, 7, span_s)
    cell = cell_of(drawn)
    curve = shrunk(cell.exposure(pace, NOW_US), NOTHING, 0.0)
    durations, ends, weights = as_judged(cell, drawn, pace)
    judge = KaplanMeierFitter().fit(durations, [end > 0 for end in ends], weights=weights)
    theirs = judge.survival_function_at_times(range(BINS)).tolist()
    assert curve.waiting[1:] == pytest.approx(theirs, abs=1e-9)
    for end, ours in ((1, curve.positive), (2, curve.negative)):
        fitter = AalenJohansenFitter(calculate_variance=False, seed=1)
        fitter.fit(durations, ends, event_of_interest=end, weights=weights)
        table = fitter.cumulative_density_.iloc[:, 0]
        found = [float(table[table.index <= place + 0.4].iloc[-1]) for place in range(BINS)]
        assert ours[1:] == pytest.approx(found, abs=0.01)


def test_a_cell_speaks_before_its_messages_have_ended() -> None:
    """With most still waiting, its curve is the one that the ended would give."""
    drawn = lives(4_000, 3, 60.0)
    young = shrunk(cell_of(drawn).exposure(Pace.WEEK, NOW_US), NOTHING, 0.0)
    old = [(sent_us - int(10 * HORIZON_S * 1e6), age_s, said) for sent_us, age_s, said in drawn]
    full = shrunk(cell_of(old).exposure(Pace.WEEK, NOW_US), NOTHING, 0.0)
    assert young.positive[bin_of(20.0)] == pytest.approx(full.positive[bin_of(20.0)], abs=0.03)
    assert all(after >= before for before, after in pairwise(young.positive))
