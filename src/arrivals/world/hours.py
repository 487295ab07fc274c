"""What the time is to a world: spells of trouble, rush hours, and nights.

A spell is chance like everything else: a day's turns of the weather are drawn from seed, name
and day, so whoever asks about a moment gets the same answer, in any order.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from arrivals.world.draws import Draws

if TYPE_CHECKING:
    from arrivals.world.tables import Bursts, Night, Rush

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
TURNS_MAX: Final = 10_000  # of the weather, in a day
DAYS_KEPT: Final = 512


def troubled(bursts: Bursts, name: str, at_s: float, seed: int) -> bool:
    """Tell whether a moment lies in one of a named part's spells."""
    if not bursts.calm_s:
        return False
    day, into_s = divmod(at_s, DAY_S)
    begins_bad, turns = _turns(seed, name, int(day), bursts.calm_s, bursts.lasts_s)
    return begins_bad ^ bool(bisect_right(turns, into_s) & 1)


@lru_cache(maxsize=DAYS_KEPT)
def _turns(
    seed: int, name: str, day: int, calm_s: float, lasts_s: float
) -> tuple[bool, tuple[float, ...]]:
    """Return how a day begins, and when the weather turns in it."""
    chance = Draws(seed, b"%b/%d" % (name.encode(), day))
    # Exponential lengths have no memory, so each day may begin anew.
    bad = begins_bad = chance.happens(lasts_s / (calm_s + lasts_s), b"day begins bad")
    turns: list[float] = []
    at_s = 0.0
    while len(turns) < TURNS_MAX:
        mean_s = lasts_s if bad else calm_s
        at_s -= mean_s * math.log(chance.u(b"turn %d" % len(turns)))
        if at_s >= DAY_S:
            break
        turns.append(at_s)
        bad = not bad
    return begins_bad, tuple(turns)


def hour_at(at_s: float, begins_h: float) -> float:
    """Return the hour of the day, from 0 to 24, of a world that began at `begins_h`."""
    return (begins_h + at_s / HOUR_S) % 24


def rush_factor(rush: Rush, hour: float) -> float:
    """Return how many times as long everything takes at an hour of the day."""
    if rush.factor <= 1:
        return 1.0
    nearest_h = min((_apart(hour, peak) for peak in rush.peaks_h), default=12.0)
    if nearest_h >= rush.width_h:
        return 1.0
    return 1 + (rush.factor - 1) * (1 + math.cos(math.pi * nearest_h / rush.width_h)) / 2


def sleeps_s(night: Night, number: str, hour: float, seed: int) -> float:
    """Return how long a number's phone is still off for the night; 0 when it's on."""
    if not night.share or (hour - night.from_h) % 24 >= (night.until_h - night.from_h) % 24:
        return 0.0
    phone = Draws(seed, number.encode())
    if not phone.happens(night.share, b"night"):
        return 0.0
    return (night.until_h - hour) % 24 * HOUR_S + phone.u(b"wakes") * night.spread_s


def _apart(one_h: float, other_h: float) -> float:
    apart = abs(one_h - other_h) % 24
    return min(apart, 24 - apart)
