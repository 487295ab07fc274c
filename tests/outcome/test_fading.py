"""Old messages count less, and moving the landmark changes nothing that is read."""

from __future__ import annotations

import pytest

from arrivals.outcome.fading import HALF_US, SEASON_US, scale, season_of, shrinkage, weight

NOW_US = 1_790_000_000_000_000
SEASON = season_of(NOW_US)


def test_a_message_counts_half_after_a_week() -> None:
    told = weight(NOW_US, SEASON)
    assert told * scale(SEASON, NOW_US) == pytest.approx(1.0)
    assert told * scale(SEASON, NOW_US + round(HALF_US)) == pytest.approx(0.5)
    assert weight(NOW_US, SEASON) < 2**25


def test_sums_may_change_their_landmark() -> None:
    later_us = NOW_US + SEASON_US
    told = weight(NOW_US, SEASON) * shrinkage(SEASON, SEASON + 1)
    assert told * scale(SEASON + 1, later_us) == pytest.approx(2.0**-24)
    assert shrinkage(SEASON, SEASON) == 1.0


def test_what_was_never_told_is_read_as_nothing() -> None:
    assert scale(0, NOW_US) == 0.0
