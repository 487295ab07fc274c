"""Let old messages count less in a sum, by half after a week, without touching it again.

A message counts 2^(weeks since a landmark) when it is told, and everything is divided by what
one counts now when it is read. The landmark is a number of seasons since 1970, so that sums of
two nodes can be added; it moves now and then, before the weights get too big to be exact.
"""

from __future__ import annotations

import math
from typing import Final

from arrivals.outcome.cells import HALF_LIVES_S, Pace

HALF_US: Final = HALF_LIVES_S[Pace.WEEK] * 1e6
HALVES_A_SEASON: Final = 24
SEASON_US: Final = int(HALVES_A_SEASON * HALF_US)


def season_of(at_us: int) -> int:
    """Return the landmark before a time."""
    return at_us // SEASON_US


def weight(at_us: int, season: int) -> float:
    """Return what a message of a time counts against a landmark."""
    return float(2.0 ** ((at_us - season * SEASON_US) / HALF_US))


def shrinkage(before: int, after: int) -> float:
    """Return what sums are multiplied by when their landmark moves."""
    return math.ldexp(1.0, -HALVES_A_SEASON * (after - before))


def scale(season: int, now_us: int) -> float:
    """Return what sums are multiplied by to be read now."""
    return float(2.0 ** ((season * SEASON_US - now_us) / HALF_US))
