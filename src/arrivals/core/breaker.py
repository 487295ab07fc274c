"""Stop handing off to a bind that loses what it is handed.

A provider may bind and then drop the connection, or keep it and answer nothing: each message
that goes into it ends in doubt. After so many lost in a row the breaker opens; then one
message at a time tries the ground, after pauses that grow from about a second to a minute. An
answer, whatever it says, lets twice as many out at once, until a whole window may go again.

    closed ──lost in a row──▶ open ──sent──▶ probing ──answered──▶ opening ──proved──▶ closed
                               ▲                │                     │
                               └─────lost───────┴─────────────────────┘

What is in doubt is bounded: a window that was out when it opened, and one message a pause.
An answer to what was out before it opened closes nothing by itself, but lets more out as any
other does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

LOST_MAX: Final = 10  # a usual window of them
LOST_LEAST: Final = 3  # with a window of one or two: a single silence is no outage
PAUSE_FIRST_US: Final = 1_000_000
PAUSE_MAX_US: Final = 60_000_000
SPREAD: Final = 0.5  # the share of a pause that the jitter decides


class State(StrEnum):
    """What may go out."""

    CLOSED = "closed"  # a whole window
    OPEN = "open"  # nothing before the pause is over, then one
    PROBING = "probing"  # one is out, nothing more
    OPENING = "opening"  # as many as answers have earned


class Event(StrEnum):
    """What a bind meets."""

    TRIPPED = "tripped"  # so many were lost in a row
    SENT = "sent"
    LOST = "lost"
    ANSWERED = "answered"
    PROVED = "proved"  # answers have earned a whole window


# What isn't here changes nothing: what was out before it opened may still get lost.
TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.SENT): State.PROBING,
    (State.OPEN, Event.ANSWERED): State.OPENING,
    (State.PROBING, Event.LOST): State.OPEN,
    (State.PROBING, Event.ANSWERED): State.OPENING,
    (State.OPENING, Event.LOST): State.OPEN,
    (State.OPENING, Event.PROVED): State.CLOSED,
}


class Breaker:
    """One bind's breaker; time and chance are handed in."""

    __slots__ = (
        "_allowance",
        "_lost",
        "_lost_max",
        "_pause_us",
        "_until_us",
        "_window",
        "state",
    )

    def __init__(self, window: int) -> None:
        """Begin closed; `window` is how many may be out at once."""
        self.state = State.CLOSED
        self._window = window
        self._lost_max = max(LOST_LEAST, min(window, LOST_MAX))
        self._lost = 0  # in a row
        self._allowance = 1
        self._pause_us = PAUSE_FIRST_US
        self._until_us = 0

    def room(self, out: int, now_us: int) -> int | None:
        """Return how many more may go now, with `out` under way; None: it sets no limit."""
        match self.state:
            case State.CLOSED:
                return None
            case State.OPEN:
                return int(now_us >= self._until_us)
            case State.PROBING:
                return 0
        return max(0, self._allowance - out)

    def next_at(self, now_us: int) -> int | None:
        """Return when a pause ends; None if none is being made."""
        if self.state is State.OPEN and now_us < self._until_us:
            return self._until_us
        return None

    def sent(self) -> None:
        """Note that a message goes out."""
        if self.state is State.OPEN:
            self._go(Event.SENT)

    def answered(self) -> bool:
        """Note that the provider answered, whatever it said; return whether it closes now."""
        self._lost = 0
        if self.state is State.CLOSED:
            return False
        self._go(Event.ANSWERED)
        self._pause_us = PAUSE_FIRST_US
        self._allowance *= 2
        if self._allowance < self._window:
            return False
        self._go(Event.PROVED)
        return True

    def lost(self, now_us: int, jitter: float) -> bool:
        """Note that a message was lost; `jitter` is in [0, 1). Return whether it opens now."""
        self._lost += 1
        if self.state is State.CLOSED:
            if self._lost < self._lost_max:
                return False
            self._go(Event.TRIPPED)
        elif self.state is State.OPEN:
            return False
        else:
            self._go(Event.LOST)
        self._allowance = 1
        self._until_us = now_us + int(self._pause_us * (1 - SPREAD * (1 - jitter)))
        self._pause_us = min(self._pause_us * 2, PAUSE_MAX_US)
        return True

    def _go(self, event: Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
