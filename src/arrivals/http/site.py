"""What every endpoint of one process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from arrivals.flows.plan import Plan
from arrivals.flows.platform import Platform
from arrivals.http.quotes import Quotes
from arrivals.store.activity import ActivityLog

QueueFull = Callable[[Plan], int | None]

# Takes method, path template, status, and microseconds: None if it was held open on purpose.
CountAnswer = Callable[[str, str, int, int | None], None]


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
