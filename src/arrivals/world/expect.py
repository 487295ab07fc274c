"""What must come of a scenario: shares to measure, each with what it may be off by."""

from __future__ import annotations

import math
from typing import Final, Literal

import msgspec

from arrivals.world.people import ActKind
from arrivals.world.tables import Part, Seconds, Share

Truth = Literal["reached", "filtered", "failed", "expired", "lost", "refused"]
Reported = Literal["delivered", "failed", "filtered", "expired", "silent", "refused"]
Verdict = Literal[
    "delivered",
    "likely_delivered",
    "failed",
    "filtered",
    "likely_filtered",
    "expired",
    "unknown",
]
Quantile = Literal["p50", "p90", "p99"]

SIGMAS: Final = 3.5  # one healthy share in two thousand lies farther off by chance
_WHOLE_OFF_BY: Final = 0.001


class Expect(Part, frozen=True):
    """Shares of one stream's messages, were each handed to its provider once.

    A share may be off by what chance makes of so many messages, and by `tolerance` at least:
    where troubles come in spells, messages aren't each their own chance.
    """

    truth: dict[Truth, Share]  # by ending
    reported: dict[Reported, Share]  # by what the first final word says
    tolerance: Share = 0.002
    acts: dict[ActKind, Share] = msgspec.field(
        default_factory=dict
    )  # what users do, of all messages
    arrives_s: dict[Quantile, Seconds] = msgspec.field(
        default_factory=dict
    )  # from submit to handset, of those that get there
    arrives_off_by: Share = 0.2  # of the time itself
    # What the platform says in the end, of all messages it accepted.
    verdicts: dict[Verdict, Share] = msgspec.field(default_factory=dict)
    verdicts_tolerance: Share = 0.02

    def off_by(self, share: float, count: int) -> float:
        """Return how far a share of so many messages may lie from an expected one."""
        return max(self.tolerance, _by_chance(share, count))

    def verdict_off_by(self, share: float, count: int) -> float:
        """Return the same for the share of a verdict, which was measured in a play itself."""
        return max(self.verdicts_tolerance, math.sqrt(2) * _by_chance(share, count))

    def __post_init__(self) -> None:
        """Refuse shares that don't make a whole."""
        for shares in (self.truth, self.reported, self.verdicts):
            if shares and abs(sum(shares.values()) - 1) > _WHOLE_OFF_BY:
                raise ValueError("expected shares sum to 1")


class Shows(Part, frozen=True):
    """What a play of the scenario must show as a whole, whatever its streams' shares are."""

    raises: tuple[str, ...] = ()  # words that stand in some alarm
    never_raises: tuple[str, ...] = ()  # words that stand in none
    delivered_right: Share = 0.99  # of what is called delivered, that it arrived
    failed_right: Share = 0.97  # of what is called failed, that it didn't
    twice: Share = 0.0  # of all messages, that arrive more than once


def _by_chance(share: float, count: int) -> float:
    return SIGMAS * math.sqrt(share * (1 - share) / count)
