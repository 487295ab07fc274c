"""Routes with known truth: honest ones, and fakers of a share of their receipts."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from arrivals.outcome.fakes import (
    Ages,
    Part,
    Score,
    contradiction,
    conversions,
    missing_tail,
    no_negatives,
    score,
    too_fast,
    too_uniform,
)
from arrivals.outcome.strata import Stratum

STRATA = 12  # accounts, each with a conversion rate of its own
PEERS = 5  # times the route's own traffic
BINS = 36  # of receipts' ages, from half a second to 72 hours
_RATIO = math.log(72 * 3600 / 0.5) / BINS
LOG_AGES = [math.log(0.5) + (place + 0.5) * _RATIO for place in range(BINS)]

TAIL = 0.05  # of phones are off for more than ten minutes
TAIL_INVENTED = 0.002
NEGATIVE = 0.03
REASSIGNED = 0.02  # of numbers that were called unknown have an owner again


def hits(draw: random.Random, trials: int, chance: float) -> int:
    """Return how many of so many trials hit."""
    return sum(draw.random() < chance for _ in range(trials))


def mix(draw: random.Random, messages: int, spread: float) -> list[int]:
    """Share messages out to the strata, unevenly by `spread`."""
    weights = [math.exp(spread * draw.gauss(0, 1)) for _ in range(STRATA)]
    return [round(messages * weight / sum(weights)) for weight in weights]


def strata(
    draw: random.Random, messages: int, fake: float, *, spread: float = 1.0
) -> list[Stratum]:
    """Return positive receipts and their conversions, on a route and on its peers.

    The two carry different mixes of the same accounts; `spread` says how different.
    """
    rates = [draw.uniform(0.4, 0.8) for _ in range(STRATA)]
    ours, theirs = mix(draw, messages, spread), mix(draw, PEERS * messages, spread)
    return [
        Stratum(hits(draw, own, rate * (1 - fake)), own, hits(draw, other, rate), other)
        for rate, own, other in zip(rates, ours, theirs, strict=True)
    ]


def crude(found: list[Stratum]) -> list[Stratum]:
    """Return the strata thrown together, as a crude ratio would."""
    return [Stratum(*(sum(column) for column in zip(*found, strict=True)))]


def ages(draw: random.Random, receipts: int, *, invented: bool) -> Ages:
    """Return the ages of receipts, by bin: handsets', or those that a machine invents."""
    counts = [0.0] * BINS
    for _ in range(receipts):
        seconds = draw.lognormvariate(math.log(3), 0.15 if invented else 0.9)
        if not invented and draw.random() < TAIL:
            seconds = 600 + draw.weibullvariate(5 * 3600, 0.7)
        place = int(math.log(max(seconds, 0.5) / 0.5) / _RATIO)
        counts[min(place, BINS - 1)] += 1
    return Ages(counts, LOG_AGES)


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a route is, and how much of it is seen."""

    fake: float = 0.0  # of messages are dropped, and a receipt invented
    receipts: int = 2_000
    dead: int = 40  # messages to numbers that a trusted route calls unknown

    def parts(self, draw: random.Random) -> list[Part]:
        """Return what every detector says of it, except a canary's word."""
        invented = round(self.fake * self.receipts)
        real, peers = self.receipts - invented, PEERS * self.receipts
        own_ages = ages(draw, real, invented=False)
        if invented:
            more = ages(draw, invented, invented=True)
            pairs = zip(own_ages.counts, more.counts, strict=True)
            own_ages = Ages([own + other for own, other in pairs], LOG_AGES)
        dead_rate = self.fake + (1 - self.fake) * REASSIGNED
        return [
            missing_tail(hits(draw, real, TAIL), self.receipts, hits(draw, peers, TAIL), peers),
            too_fast(own_ages, ages(draw, peers, invented=False)),
            too_uniform(own_ages, ages(draw, peers, invented=False)),
            no_negatives(
                hits(draw, real, NEGATIVE), self.receipts, hits(draw, peers, NEGATIVE), peers
            ),
            contradiction(
                hits(draw, self.dead, dead_rate),
                self.dead,
                hits(draw, PEERS * self.dead, REASSIGNED),
                PEERS * self.dead,
            ),
            conversions(strata(draw, self.receipts, self.fake)),
        ]

    def judged(self, seed: int) -> Score:
        """Return the score of all detectors together."""
        return score(self.parts(random.Random(seed)))
