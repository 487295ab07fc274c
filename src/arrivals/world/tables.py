"""What the tables of a scenario file are made of: shares, durations and stretches of time.

Every duration is in seconds of the world's own time, which `speed` quickens. A table is read
once, checked field by field, and never changes.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from arrivals.world.draws import Draws

MONTH_S: Final = 30 * 86_400  # longer than any carrier keeps a message

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=MONTH_S)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=MONTH_S)]
Sigma = Annotated[float, msgspec.Meta(ge=0, le=5)]
Factor = Annotated[float, msgspec.Meta(ge=1, le=1000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Weight = Annotated[float, msgspec.Meta(ge=0)]
Hour = Annotated[float, msgspec.Meta(ge=0, lt=24)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a scenario file."""


class Delay(Part, frozen=True):
    """A lognormal duration; without a sigma it's always the median."""

    median_s: Seconds = 0.0
    sigma: Sigma = 0.0

    def draw(self, chance: Draws, purpose: bytes) -> float:
        """Draw one."""
        return chance.lognormal(self.median_s, self.sigma, purpose)


class LongTail(Part, frozen=True):
    """A share of messages that wait for a Weibull-distributed time."""

    share: Share = 0.0
    scale_s: Seconds = 0.0
    shape: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 1.0

    def draw(self, chance: Draws, purpose: bytes) -> float:
        """Draw how long it lasts."""
        return chance.weibull(self.scale_s, self.shape, purpose)


class Bursts(Part, frozen=True):
    """Spells of trouble between calms, each of exponential length (Gilbert and Elliott)."""

    calm_s: Seconds = 0.0  # the mean length of a calm; 0: there are no spells
    lasts_s: PositiveSeconds = 180.0  # the mean length of a spell
    errors: Share = 0.0  # of messages, meanwhile
    slowness: Factor = 1.0  # times the usual delay, meanwhile


class Rush(Part, frozen=True):
    """Hours of the day at which everything takes longer."""

    factor: Factor = 1.0  # at the peak
    peaks_h: tuple[Hour, ...] = (9.0, 18.0)
    width_h: Annotated[float, msgspec.Meta(gt=0, le=12)] = 2.0  # from the peak to none of it


class Night(Part, frozen=True):
    """Phones that are switched off for the night, the same ones every night."""

    share: Share = 0.0  # of numbers
    from_h: Hour = 22.0
    until_h: Hour = 7.0
    spread_s: Seconds = 3_600.0  # within which they're all back
