"""What was solved beforehand is what would be solved now."""

from __future__ import annotations

import pytest

from arrivals.outcome import watch
from arrivals.outcome.solved import CHARTS, FIRST, STEPS, limits_of
from tests.outcome.solved import solved


@pytest.mark.slow
def test_the_rows_are_what_solving_gives() -> None:
    for parts, wanted in enumerate(solved(), FIRST):
        found = limits_of(parts / STEPS)
        assert (found.warn, found.alarm, found.recover) == pytest.approx(
            (wanted.warn, wanted.alarm, wanted.recover), abs=1e-5
        )
        assert found.fall_to == wanted.fall_to


def test_each_chart_of_a_message_has_its_share_of_the_false_alarms() -> None:
    assert len(watch.WATCHED) == CHARTS


@pytest.mark.parametrize("usual", [0.0, 0.04, 0.1])
def test_what_is_hardly_ever_heard_has_the_first_row(usual: float) -> None:
    assert limits_of(usual) == limits_of(FIRST / STEPS)
