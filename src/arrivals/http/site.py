"""What every endpoint of one process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from arrivals.flows.platform import Platform
from arrivals.http.admission import Admission
from arrivals.http.quotes import Quotes
from arrivals.store.activity import ActivityLog

# Takes method, path template, status, and microseconds: None if it was held open on purpose.
CountAnswer = Callable[[str, str, int, int | None], None]


@dataclass(kw_only=True, slots=True)
class Site:
    """The platform and what the doors keep beside it."""

    platform: Platform
    activity: ActivityLog
    quotes: Quotes
    admission: Admission = field(default_factory=Admission)
    answered: CountAnswer | None = None
