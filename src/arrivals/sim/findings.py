"""Count what a platform said beside what really happened, and compare it with what was expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from arrivals.world.scenario import Scenario

TRUTHS: Final = ("reached", "filtered", "failed", "expired", "lost", "refused", "not_sent")
VERDICTS: Final = (
    "delivered", "likely_delivered", "failed", "filtered", "likely_filtered", "expired",
    "unknown", "open",
)  # fmt: skip


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One message in the end: what really became of it, and what is said of it."""

    stream: str
    truth: str  # of TRUTHS: the best that came of any of its hand-offs
    arrivals: int  # how often it's on the handset
    state: str  # what the receipts and deadlines made of it
    verdict: str  # of VERDICTS
    probability: float | None
    charged: bool


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that came of one scenario."""

    scenario: Scenario  # as it was played: a longer stream's count is what it was cut to
    seed: int
    messages: tuple[Seen, ...]
    turned_away: int  # sends that weren't accepted, for want of funds
    alarms: tuple[str, ...]  # all that were raised, in order
    broken: tuple[str, ...]  # promises that the database shows to be broken
    days: float  # of its own time
