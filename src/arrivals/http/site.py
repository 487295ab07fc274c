"""What every endpoint of one process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from arrivals.core.errors import Code
from arrivals.flows.plan import Plan
from arrivals.flows.platform import Platform
from arrivals.http.exchange import BODIES_OCTETS_MAX, BODIES_OF_ACCOUNT_OCTETS_MAX
from arrivals.http.quotes import Quotes
from arrivals.http.room import Room
from arrivals.store.activity import ActivityLog

QueueFull = Callable[[Plan], int | None]

# Takes method, path template, status, and microseconds: None if it was held open on purpose.
CountAnswer = Callable[[str, str, int, int | None], None]


# Requests that are being worked on at once; past it nothing new is begun. Waits aren't among
# them.
REQUESTS_IN_HAND_MAX: Final = 10_000
REQUESTS_OF_ACCOUNT_MAX: Final = 2_500
# Requests that wait for an outcome: each costs a connection, and a look at each change.
WAITS_MAX: Final = 5_000
WAITS_OF_ACCOUNT_MAX: Final = 1_000
# Batches that come in at once: each may keep some MiB.
STREAMS_MAX: Final = 32
STREAMS_OF_ACCOUNT_MAX: Final = 8


def _room(code: Code, each_max: int, all_max: int) -> Room:
    return Room(code, each_max=each_max, all_max=all_max)


def never_full(plan: Plan) -> int | None:  # noqa: ARG001 - the shape of QueueFull
    """Take everything: the queue is bounded by the disk alone."""
    return None


@dataclass(kw_only=True, slots=True)
class Site:
    """The platform and what the doors keep beside it."""

    platform: Platform
    activity: ActivityLog
    quotes: Quotes
    queue_full: QueueFull = never_full  # seconds until there's room, None if there is
    answered: CountAnswer | None = None
    in_hand: Room = field(
        default_factory=lambda: _room(
            Code.QUEUE_FULL, REQUESTS_OF_ACCOUNT_MAX, REQUESTS_IN_HAND_MAX
        )
    )
    waits: Room = field(
        default_factory=lambda: _room(Code.TOO_MANY_WAITS, WAITS_OF_ACCOUNT_MAX, WAITS_MAX)
    )
    streams: Room = field(
        default_factory=lambda: _room(
            Code.TOO_MANY_STREAMS, STREAMS_OF_ACCOUNT_MAX, STREAMS_MAX
        )
    )
    bodies: Room = field(
        default_factory=lambda: _room(
            Code.QUEUE_FULL, BODIES_OF_ACCOUNT_OCTETS_MAX, BODIES_OCTETS_MAX
        )
    )
