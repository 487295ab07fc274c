"""Solve how long a CUSUM runs before it alarms by chance, and the threshold for a wanted rate.

A CUSUM is a walk that can't fall below zero; it ends where it reaches its threshold. Cut into
cells it is a Markov chain (Brook and Evans, Biometrika 59, 1972), and the mean number of steps
to its end, L, solves

    L(i) = 1 + sum over moves of p * L(max(0, i + step)),   L = 0 from the threshold on.

A step that ends between two cells is shared between them, which widens the walk a little: runs
come out too short, so thresholds come out too high, never too low. The equations are nearly
diagonal, and diagonally dominant, so plain elimination within the band is exact and quick.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

CELLS_MAX: Final = 1 << 14  # of one walk: ten times what the flattest watched walk needs
RATE_MIN: Final = 1e-12  # rarer than this drowns in the rounding of doubles
_CELLS_A_STEP: Final = 4
_CELLS_A_LONG_STEP_MAX: Final = 32
_CELLS_FIRST: Final = 16
_CLOSE: Final = 1.05  # runs may be this many times as long as wanted: 0.05 of a threshold


class Move(NamedTuple):
    """One thing that a step of the walk may do."""

    chance: float
    step: float


class NoThreshold(ValueError):
    """The walk is too flat, or the wanted rate too small, for a walk of CELLS_MAX cells."""


def threshold(moves: Sequence[Move], false_alarms: float) -> float:
    """Return a threshold with at most `false_alarms` a step while nothing has changed.

    The chances of the moves add up to 1. Raises NoThreshold.
    """
    if false_alarms < RATE_MIN:
        raise NoThreshold(f"a rate below {RATE_MIN:g} can't be solved for")
    cell = _cell(moves)
    scaled = [Move(each.chance, each.step / cell) for each in moves]
    few, short, enough = 0, 1.0, _CELLS_FIRST
    while (length := run_length(scaled, enough) * false_alarms) < 1:
        few, short, enough = enough, length, enough * 2
        if enough > CELLS_MAX:
            raise NoThreshold(f"no threshold within {CELLS_MAX} cells of {cell:.3g}")
    # Runs grow about exponentially with the cells, so the logarithms are on a line.
    while enough - few > 1 and length > _CLOSE:
        share = math.log(short) / (math.log(short) - math.log(length)) if few else 0.5
        middle = min(max(few + math.ceil(share * (enough - few)), few + 1), enough - 1)
        tried = run_length(scaled, middle) * false_alarms
        if tried < 1:
            few, short = middle, tried
        else:
            enough, length = middle, tried
    return enough * cell


def _cell(moves: Sequence[Move]) -> float:
    """Return a cell that divides the longest fall or, failing that, the shortest step well."""
    steps = sorted(abs(each.step) for each in moves)
    first = abs(moves[0].step)  # the step that all messages share is cut without a rest
    cuts = math.ceil(_CELLS_A_STEP * first / steps[0])
    return first / min(max(cuts, _CELLS_A_STEP), _CELLS_A_LONG_STEP_MAX)


def run_length(moves: Sequence[Move], cells: int) -> float:
    """Return the mean number of steps from 0 to `cells`, with steps counted in cells."""
    below = max(0, *(math.ceil(-each.step) for each in moves))
    above = max(0, *(math.floor(each.step) + 1 for each in moves))
    rows = [_equation(moves, cells, place, below, above) for place in range(cells)]
    lengths = [1.0] * cells
    # From the top down, so that the walk's beginning is the last unknown that is left.
    for place in range(cells - 1, 0, -1):
        row = rows[place]
        pivot = row[below]
        rest = [(column, row[column]) for column in range(below) if row[column]]
        for other in range(max(0, place - above), place):
            ahead = place - other
            factor = rows[other][below + ahead] / pivot
            if factor:
                target = rows[other]
                for column, value in rest:
                    target[ahead + column] -= factor * value
                lengths[other] -= factor * lengths[place]
    return lengths[0] / rows[0][below]


def _equation(
    moves: Sequence[Move], cells: int, place: int, below: int, above: int
) -> list[float]:
    """Return one place's coefficients, for the places from `below` under it to `above` over."""
    row = [0.0] * (below + 1 + above)
    row[below] = 1.0
    for chance, step in moves:
        whole = math.floor(step)
        part = step - whole
        for ahead, share in ((whole, 1 - part), (whole + 1, part)):
            target = max(0, place + ahead)
            if share and target < cells:
                row[target - place + below] -= chance * share
    return row
