"""Read every event once, in an order that what commits later can't break into.

Neither ids nor times are in the order of commits: a transaction that began early may commit
late. A cursor over them would pass by what isn't visible yet, and never come back.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from arrivals.core.message import State

FEED_MAX: Final = 1_000


class EventCursor(NamedTuple):
    """The place after an event; the one with zeros is before all of them."""

    tx: int = 0
    message_id: int = 0
    seq: int = 0


class FeedEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event, with the number of the transaction that wrote it."""

    tx: int
    message_id: int
    seq: int
    at_us: int
    kind: str
    from_state: State | None
    to_state: State
    actor: str
    body: dict[str, Any]

    @property
    def cursor(self) -> EventCursor:
        """The place after it."""
        return EventCursor(self.tx, self.message_id, self.seq)
