"""How often the words of a route are true, as far as anybody can know: what follows from it."""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.outcome.curves import Belief, Curve

UNANCHORED_MAX: Final = 0.1  # by which a probability may rest on what nobody vouches for


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How often a word was followed by a delivery; `p` is None without an anchor."""

    p: float | None
    low: float
    high: float
    expected: float  # anchors expected if the route were as good as its peers
    observed: float
    level: int | None  # of the nearest cell with anchors enough
    why: str  # where the number comes from


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """How often each word on a message's path is true."""

    positive: Quality
    silent: Quality
    negative: Quality

    def bounds(self) -> tuple[Belief, Belief]:
        """Return the least and the most that may be true, as far as anchors are lacking."""
        low, high = (
            [each.p if each.p is not None else bound for each, bound in bounds]
            for bounds in (
                [(each, each.low) for each in (self.positive, self.silent, self.negative)],
                [(each, each.high) for each in (self.positive, self.silent, self.negative)],
            )
        )
        return Belief(*low), Belief(*high)

    def limits(self) -> tuple[Belief, Belief]:
        """Return the same with what the anchors there are leave in doubt."""
        return (
            Belief(self.positive.low, self.silent.low, self.negative.low),
            Belief(self.positive.high, self.silent.high, self.negative.high),
        )


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """The chance of a delivery; without an independent anchor only bounds."""

    p: float | None
    low: float
    high: float


def p_delivered(curve: Curve, silent_s: float, trust: Trust) -> Chance:
    """Return the chance that a message was or will be delivered, silent for so long.

    It is a number when what nobody vouches for could hardly move it: where no receipt ever
    comes, it doesn't matter how true receipts are.
    """
    least, most = (curve.p_delivered(silent_s, each) for each in trust.bounds())
    low, high = (curve.p_delivered(silent_s, each) for each in trust.limits())
    known = most - least <= UNANCHORED_MAX
    return Chance(p=(least + most) / 2.0 if known else None, low=low, high=high)
