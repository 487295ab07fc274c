"""Spells, rush hours and nights: the right share of time, and the same for whoever asks."""

from __future__ import annotations

import itertools
import statistics

import pytest

from arrivals.world.hours import (
    DAY_S,
    TURNS_MAX,
    hour_at,
    rush_factor,
    sleeps_s,
    troubled,
)
from arrivals.world.tables import Bursts, Night, Rush

SPELLS = Bursts(calm_s=600, lasts_s=200)


def spells(days: int, name: str = "north", seed: int = 1) -> list[bool]:
    return [troubled(SPELLS, name, at, seed) for at in range(0, days * DAY_S, 10)]


def test_spells_have_their_share_and_their_length() -> None:
    told = spells(20)
    assert sum(told) / len(told) == pytest.approx(0.25, abs=0.02)
    lengths = [10 * len(list(run)) for bad, run in itertools.groupby(told) if bad]
    assert statistics.fmean(lengths) == pytest.approx(200, rel=0.1)
    assert statistics.stdev(lengths) == pytest.approx(200, rel=0.15)  # exponential


def test_spells_are_the_same_in_any_order_and_differ_by_name_and_seed() -> None:
    backwards = [troubled(SPELLS, "north", at, 1) for at in reversed(range(0, DAY_S, 10))]
    assert spells(1) == backwards[::-1]
    assert len({tuple(spells(1, name, seed)) for name in "ab" for seed in (1, 2)}) == 4


def test_without_a_calm_there_are_no_spells_and_many_are_bounded() -> None:
    assert not any(troubled(Bursts(errors=1), "north", at, 1) for at in range(100))
    wild = Bursts(calm_s=0.001, lasts_s=0.001)
    assert {troubled(wild, "north", at * 100.0, 1) for at in range(500)} <= {True, False}
    assert TURNS_MAX == 10_000


def test_the_hour_goes_round() -> None:
    assert hour_at(0, 9.5) == 9.5
    assert hour_at(3_600 * 15, 9.5) == 0.5


def test_a_rush_is_at_its_peaks_and_nowhere_else() -> None:
    rush = Rush(factor=5, peaks_h=(9, 23.5), width_h=2)
    assert rush_factor(rush, 9) == 5
    assert rush_factor(rush, 8) == rush_factor(rush, 10) == pytest.approx(3)
    assert rush_factor(rush, 7) == rush_factor(rush, 15) == 1
    assert rush_factor(rush, 0.5) == pytest.approx(3)  # over midnight
    assert rush_factor(Rush(), 9) == rush_factor(Rush(factor=9, peaks_h=()), 9) == 1


def test_the_same_phones_are_off_every_night() -> None:
    night = Night(share=0.4, from_h=22, until_h=7, spread_s=600)
    numbers = [f"44770090{n:04d}" for n in range(2_000)]
    asleep = {number for number in numbers if sleeps_s(night, number, 23.0, 1)}
    assert asleep == {number for number in numbers if sleeps_s(night, number, 3.0, 1)}
    assert len(asleep) / 2_000 == pytest.approx(0.4, abs=0.04)
    for number in asleep:
        assert 4 * 3_600 <= sleeps_s(night, number, 3.0, 1) <= 4 * 3_600 + 600
    assert not any(sleeps_s(night, number, hour, 1) for number in numbers for hour in (7, 21.9))
