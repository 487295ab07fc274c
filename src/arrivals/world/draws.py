"""Chance as a pure function: each draw depends on seed, identity and purpose, and on no other.

A shared generator would make every event shift all later ones. Here a draw is a keyed hash
(BLAKE2b: the seed is its key, the purpose its personalisation), so the same message meets
the same fate whatever else happens, and distributions come by inverse transform.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

PURPOSE_OCTETS_MAX: Final = 16  # BLAKE2b's personalisation

K = TypeVar("K")

_NORMAL: Final = NormalDist()
_BITS: Final = 53  # a double's precision: every draw is exact and below 1
_SEED_MASK: Final = (1 << 64) - 1


def u(seed: int, identity: bytes, purpose: bytes) -> float:
    """Return a uniform draw above 0 and below 1; seeds count modulo 2**64."""
    key = (seed & _SEED_MASK).to_bytes(8, "big")
    digest = blake2b(identity, digest_size=8, key=key, person=purpose).digest()
    return ((int.from_bytes(digest, "big") >> (64 - _BITS)) + 0.5) / (1 << _BITS)


def lognormal(draw: float, median: float, sigma: float) -> float:
    """Return the lognormal quantile at `draw`."""
    return median * math.exp(sigma * _NORMAL.inv_cdf(draw))


def weibull(draw: float, scale: float, shape: float) -> float:
    """Return the Weibull quantile at `draw`; a shape below 1 has a long tail."""
    return float(scale * (-math.log1p(-draw)) ** (1 / shape))


class Draws:
    """One identity's draws; what is certain or impossible costs none."""

    __slots__ = ("_identity", "_seed")

    def __init__(self, seed: int, identity: bytes) -> None:
        self._seed = seed
        self._identity = identity

    def u(self, purpose: bytes) -> float:
        """Return the uniform draw for `purpose`, the same each time it's asked."""
        return u(self._seed, self._identity, purpose)

    def happens(self, share: float, purpose: bytes) -> bool:
        """Tell whether something happens that happens to `share` of all."""
        if share <= 0:
            return False
        return share >= 1 or self.u(purpose) < share

    def lognormal(self, median: float, sigma: float, purpose: bytes) -> float:
        """Draw a duration around its median."""
        if median <= 0 or sigma <= 0:
            return median
        return lognormal(self.u(purpose), median, sigma)

    def weibull(self, scale: float, shape: float, purpose: bytes) -> float:
        """Draw a duration with a long tail."""
        return weibull(self.u(purpose), scale, shape) if scale > 0 else 0.0

    def pick(self, shares: Mapping[K, float], purpose: bytes) -> K:
        """Draw one key by its share; shares need not sum to 1."""
        if len(shares) == 1:
            return next(iter(shares))
        rest = self.u(purpose) * sum(shares.values())
        for key, share in shares.items():
            rest -= share
            if rest < 0:
                return key
        return key
