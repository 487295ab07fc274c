"""Turn a cell's counts into what a message's silence means.

A curve is a discrete hazard of two competing ends, a positive and a negative final receipt,
with a share that never hears anything: Kaplan-Meier and Aalen-Johansen over the cell's bins.
Those whose age lies within a bin count as half at risk in it (the life table's convention).
Each hazard is shrunk towards the same bin of the parent's curve, as if `strength` hand-offs of
the parent's kind had been seen too, so that a new cell begins as its parent and leaves it as it
learns. Between the edges of a bin a curve is straight.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from arrivals.outcome.cells import BINS, EDGES_S, FIRST_EDGE_S, HORIZON_S, Exposure

STRENGTH: Final = 60.0  # hand-offs that a parent's word is worth; see `strength_of`
STRENGTH_MIN: Final = 5.0
STRENGTH_MAX: Final = 1_000.0
CHECKPOINT_MIN_S: Final = 5.0
CHECKPOINT_MAX_S: Final = 3_600.0  # a slower cell is looked at before they all came
CHECKPOINT_SHARE: Final = 0.9  # of the positive receipts that ever come
LATE_CHANCE: Final = 0.001  # a receipt less likely than this isn't waited for
NEVER: Final = 1e-9  # less than this of a cell's receipts is none


class Ends(NamedTuple):
    """How those who were handed off stand at an age; the three add up to 1."""

    waiting: float
    positive: float
    negative: float


class Belief(NamedTuple):
    """How often each word of a route is followed by a delivery."""

    positive: float  # of those with a positive receipt
    silent: float  # of those that never hear anything
    negative: float = 0.0


class Curve(msgspec.Struct, frozen=True):
    """What becomes of a cell's hand-offs with age; lists run over the bins or their edges."""

    hazard_positive: list[float]
    hazard_negative: list[float]
    waiting: list[float]
    positive: list[float]
    negative: list[float]
    weight: float  # hand-offs of its own behind it, as they count now

    def at(self, age_s: float) -> Ends:
        """Return how hand-offs of an age stand."""
        if age_s >= HORIZON_S:
            return Ends(self.waiting[BINS], self.positive[BINS], self.negative[BINS])
        place = bisect_right(EDGES_S, max(age_s, 0.0)) - 1
        begin, end = EDGES_S[place], EDGES_S[place + 1]
        share = (max(age_s, 0.0) - begin) / (end - begin)
        return Ends(
            self.waiting[place] + share * (self.waiting[place + 1] - self.waiting[place]),
            self.positive[place] + share * (self.positive[place + 1] - self.positive[place]),
            self.negative[place] + share * (self.negative[place + 1] - self.negative[place]),
        )

    def positive_by(self, age_s: float) -> float:
        """Return the chance that a positive receipt comes by an age: a detector's p0."""
        return self.at(age_s).positive

    def heard_by(self, age_s: float) -> float:
        """Return the share of the final receipts that come which have come by an age."""
        ever = 1.0 - self.waiting[BINS]
        return (1.0 - self.at(age_s).waiting) / ever if ever >= NEVER else 0.0

    def p_delivered(self, silent_s: float, belief: Belief) -> float:
        """Return the chance that a message was or will be delivered, silent for so long."""
        positive, negative, silence = self._still(silent_s)
        sum_ = positive + negative + silence
        if sum_ < NEVER:  # nobody has been silent for so long: it is what silence ends as
            return belief.silent
        said = positive * belief.positive + negative * belief.negative + silence * belief.silent
        return min(max(said / sum_, 0.0), 1.0)

    def p_receipt_still_coming(self, silent_s: float) -> float:
        """Return the chance that a final receipt comes within the horizon, after a silence."""
        positive, negative, silence = self._still(silent_s)
        sum_ = positive + negative + silence
        return (positive + negative) / sum_ if sum_ >= NEVER else 0.0

    def eta_s(self, silent_s: float, share: float) -> float | None:
        """Return the age by which a share of the receipts still to come will have come.

        None: none is to be expected.
        """
        positive, negative, _ = self._still(silent_s)
        if positive + negative < NEVER:
            return None
        return self._age_of(1.0 - (1.0 - share) * (positive + negative), (1.0, 1.0))

    def checkpoint_s(self) -> float:
        """Return the age by which nine in ten of the positive receipts came, 5 s to an hour.

        Whether a message has its receipt by then is known soon, and for every message.
        """
        wanted = 1.0 - (1.0 - CHECKPOINT_SHARE) * self.positive[BINS]
        age_s = self._age_of(wanted, (1.0, 0.0))
        return min(max(age_s, CHECKPOINT_MIN_S), CHECKPOINT_MAX_S)

    def final_after_s(self, chance: float = LATE_CHANCE) -> float:
        """Return the age after which a receipt is too unlikely to be waited for."""
        return next(e for e in EDGES_S[1:] if self.p_receipt_still_coming(e) <= chance)

    def _still(self, silent_s: float) -> tuple[float, float, float]:
        """Return what is still to come at an age: positive, negative, and nothing ever."""
        now = self.at(silent_s)
        return (
            self.positive[BINS] - now.positive,
            self.negative[BINS] - now.negative,
            self.waiting[BINS],
        )

    def _age_of(self, wanted: float, of: tuple[float, float]) -> float:
        """Return the age at which the receipts asked for have come to this share."""
        missing = 1.0 - wanted
        left = [
            of[0] * (self.positive[BINS] - p) + of[1] * (self.negative[BINS] - n)
            for p, n in zip(self.positive, self.negative, strict=True)
        ]
        place = next(place for place, each in enumerate(left) if each <= missing)
        if not place:
            return 0.0
        before, after = left[place - 1], left[place]
        share = (before - missing) / (before - after)
        return EDGES_S[place - 1] + share * (EDGES_S[place] - EDGES_S[place - 1])


def curve_of(
    hazard_positive: Sequence[float], hazard_negative: Sequence[float], weight: float = 0.0
) -> Curve:
    """Return the curve that hazards amount to, one of each for every bin."""
    waiting, positive, negative = [1.0], [0.0], [0.0]
    for good, bad in zip(hazard_positive, hazard_negative, strict=True):
        left = waiting[-1]
        positive.append(positive[-1] + left * good)
        negative.append(negative[-1] + left * bad)
        waiting.append(left * max(1.0 - good - bad, 0.0))
    return Curve(
        list(hazard_positive), list(hazard_negative), waiting, positive, negative, weight
    )


def shrunk(exposure: Exposure, parent: Curve, strength: float = STRENGTH) -> Curve:
    """Return a cell's curve, drawn towards its parent's where it has seen little."""
    good, bad = [], []
    for place in range(BINS):
        sum_ = exposure.at_risk[place] + strength
        if sum_ <= 0.0:  # nobody came so far, and no parent is asked
            good.append(0.0)
            bad.append(0.0)
            continue
        good.append(
            (exposure.positive[place] + strength * parent.hazard_positive[place]) / sum_
        )
        bad.append((exposure.negative[place] + strength * parent.hazard_negative[place]) / sum_)
    return curve_of(good, bad, exposure.at_risk[0])


def strength_of(children: Iterable[Exposure], parent: Curve) -> float:
    """Return how much a parent's word is worth to its children, by the method of moments.

    Children who differ no more than chance would have them share all they know (the maximum);
    the beta-binomial's variance says how much more they do (Kleinman, JASA 1973).
    """
    excess, scale = 0.0, 0.0
    for child in children:
        for place in range(BINS):
            risk = child.at_risk[place]
            p = parent.hazard_positive[place]
            chance = p * (1.0 - p)
            excess += (child.positive[place] - risk * p) ** 2 - risk * chance
            scale += max(risk * (risk - 1.0), 0.0) * chance
    if excess * STRENGTH_MAX <= scale:
        return STRENGTH_MAX
    return max(scale / excess - 1.0, STRENGTH_MIN)


# Where an installation starts, gone after some hundred messages: by these ages, so many have
# a positive and a negative receipt. An assumption: the shape of the carrier world's defaults,
# with a tail of phones that were off.
_TYPICAL: Final = (
    (FIRST_EDGE_S, 0.0, 0.0),
    (2.0, 0.20, 0.010),
    (5.0, 0.55, 0.020),
    (30.0, 0.82, 0.030),
    (600.0, 0.86, 0.035),
    (6 * 3600.0, 0.89, 0.040),
    (HORIZON_S, 0.91, 0.040),
)


def _typical() -> Curve:
    good, bad = [0.0], [0.0]
    before = Ends(1.0, 0.0, 0.0)
    for edge in EDGES_S[2:]:
        after = _typical_at(edge)
        good.append((after.positive - before.positive) / before.waiting)
        bad.append((after.negative - before.negative) / before.waiting)
        before = after
    return curve_of(good, bad)


def _typical_at(age_s: float) -> Ends:
    """Return the table's shares at an age, straight in its logarithm between two rows."""
    first, last = next(pair for pair in pairwise(_TYPICAL) if age_s <= pair[1][0])
    share = math.log(age_s / first[0]) / math.log(last[0] / first[0])
    positive, negative = (first[n] + share * (last[n] - first[n]) for n in (1, 2))
    return Ends(1.0 - positive - negative, positive, negative)


TYPICAL: Final = _typical()
