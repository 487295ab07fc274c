"""Compare one route with its peers, like with like.

Accounts differ in how often their messages convert, and routes carry different mixes of
accounts, so a crude ratio of two rates finds differences that aren't the routes'. The
Mantel-Haenszel risk ratio compares within each stratum (an account, template class and
country) and adds up; the variance of its logarithm is Greenland and Robins' (Biometrics 41,
1985), which holds for few large strata and for many small ones.

Counts may be weighted, so they are floats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

Z_99: Final = 2.3263478740408408  # a normal variable stays below it 99 times in 100
LIMIT_LOG_MAX: Final = 50.0  # farther from a ratio no limit says anything


class Stratum(NamedTuple):
    """What came of comparable messages on one route, and on its peers."""

    hits: float
    trials: float
    peer_hits: float
    peer_trials: float


class RiskRatio(msgspec.Struct, frozen=True, kw_only=True):
    """How many times as often a route hits as its peers; 1 is no difference."""

    rr: float
    low: float  # the truth is lower once in 100
    high: float  # the truth is higher once in 100
    se_log: float  # the standard error of ln(rr)


def risk_ratio(strata: Iterable[Stratum]) -> RiskRatio | None:
    """Return the Mantel-Haenszel risk ratio of a route against its peers.

    None when no stratum has both, or nothing was hit on either side: nothing can be compared.
    """
    both = [each for each in strata if each.trials > 0 and each.peer_trials > 0]
    if not any(each.hits or each.peer_hits for each in both):
        return None
    both = [_turned(each) for each in _uncertain([_turned(each) for each in _uncertain(both)])]
    ours, theirs, spread = [], [], []
    for each in both:
        total = each.trials + each.peer_trials
        ours.append(each.hits * each.peer_trials / total)
        theirs.append(each.peer_hits * each.trials / total)
        all_hits = each.hits + each.peer_hits
        spread.append(
            all_hits * each.trials * each.peer_trials / total**2
            - each.hits * each.peer_hits / total
        )
    # fsum is exact, so the order of the strata can't matter.
    ours_sum, theirs_sum = math.fsum(ours), math.fsum(theirs)
    rr = ours_sum / theirs_sum
    se_log = math.sqrt(max(0.0, math.fsum(spread)) / (ours_sum * theirs_sum))
    factor = math.exp(min(Z_99 * se_log, LIMIT_LOG_MAX))
    return RiskRatio(rr=rr, low=rr / factor, high=rr * factor, se_log=se_log)


def _uncertain(strata: list[Stratum]) -> list[Stratum]:
    """Take half a trial from a side that always or never hit: it has no error to show."""
    trials = math.fsum(each.trials for each in strata)
    hits = math.fsum(each.hits for each in strata)
    half = min(0.5, trials / 2)
    if hits < half:
        return [each._replace(hits=half * each.trials / trials) for each in strata]
    if hits > trials - half:
        share = 1 - half / trials
        return [each._replace(hits=share * each.trials) for each in strata]
    return strata


def _turned(stratum: Stratum) -> Stratum:
    return Stratum(stratum.peer_hits, stratum.peer_trials, stratum.hits, stratum.trials)
