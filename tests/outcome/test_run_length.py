"""Mean run lengths: known walks, simulation, and thresholds on the safe side."""

from __future__ import annotations

import math
import random

import pytest

from arrivals.outcome.run_length import (
    CELLS_MAX,
    RATE_MIN,
    Move,
    NoThreshold,
    run_length,
    threshold,
)


def played(moves: list[Move], end: float, runs: int, seed: int) -> float:
    """Return the mean of so many runs of a walk, played."""
    draw = random.Random(seed).random
    steps = 0
    for _ in range(runs):
        height = 0.0
        while height < end:
            steps += 1
            chance = draw()
            for move in moves:
                chance -= move.chance
                if chance < 0:
                    break
            height = max(0.0, height + move.step)
    return steps / runs


@pytest.mark.parametrize("cells", [1, 2, 5, 20])
def test_a_walk_that_only_climbs_takes_as_many_steps(cells: int) -> None:
    assert run_length([Move(1.0, 1.0)], cells) == pytest.approx(cells)


@pytest.mark.parametrize("cells", [1, 2, 5, 20])
def test_a_walk_with_a_wall_at_zero_is_known(cells: int) -> None:
    """Up or down by one with equal chances, held at zero: n (n + 1) steps."""
    moves = [Move(0.5, 1.0), Move(0.5, -1.0)]
    assert run_length(moves, cells) == pytest.approx(cells * (cells + 1))


def test_a_run_of_successes_is_known() -> None:
    """Four in a row, or back to the start: the sum of the chances' inverse powers."""
    moves = [Move(0.3, 1.0), Move(0.7, -4.0)]
    assert run_length(moves, 4) == pytest.approx(sum(0.3**-power for power in range(1, 5)))


@pytest.mark.parametrize(
    ("usual", "fall_to"), [(0.9, 0.89), (0.55, 0.8), (0.1, 0.8), (0.99, 0.89), (0.4, 0.5)]
)
def test_thresholds_keep_their_rate(usual: float, fall_to: float) -> None:
    """A played walk runs at least as long as wanted, and not much longer."""
    moves = [
        Move(usual, math.log(fall_to)),
        Move(1 - usual, math.log((1 - fall_to * usual) / (1 - usual))),
    ]
    mean = played(moves, threshold(moves, 1 / 500), runs=400, seed=20)
    assert 500 * 0.85 <= mean <= 500 * 1.6  # 400 runs have an error of 5 %


def test_a_rarer_false_alarm_needs_a_higher_threshold() -> None:
    moves = [Move(0.9, math.log(0.89)), Move(0.1, math.log(0.199 / 0.1))]
    found = [threshold(moves, rate) for rate in (1e-3, 1e-4, 1e-5, 1e-6)]
    assert found == sorted(found)
    # A likelihood ratio's threshold grows by about ln 10 for each factor of ten.
    assert found[-1] - found[-2] == pytest.approx(math.log(10), abs=0.2)


def test_a_threshold_out_of_reach_is_refused() -> None:
    """A walk without a drift comes far by chance, and the rarest rates drown in rounding."""
    drifting = [Move(0.5, 1.0), Move(0.5, -1.0)]
    with pytest.raises(NoThreshold, match=f"{CELLS_MAX} cells"):
        threshold(drifting, 1e-9)
    with pytest.raises(NoThreshold, match="below 1e-12"):
        threshold(drifting, RATE_MIN / 2)
