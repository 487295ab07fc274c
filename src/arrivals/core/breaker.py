"""Stop handing off to a bind that loses what it is handed.

A provider may bind and then drop the connection, or keep it and answer nothing, or answer a
few and lose the rest: each message that goes into it ends in doubt. Lost hand-offs add to a
score and answered ones take a little off, so what opens the breaker is the share that is
lost, and one answer between proves nothing. Then one message at a time tries the ground,
after pauses that grow from about a second to a minute. Each answer lets one more out at once
than were answered in a row, until a whole window may go again.

    closed ──lost too many──▶ open ──sent──▶ probing ──answered──▶ opening ──proved──▶ closed
                               ▲ ▲              │                     │
                               │ └─────unsent───┤                     │
                               └─────lost───────┴─────────────────────┘

Pauses begin anew only when it stayed closed for a while. So what is in doubt is bounded: what
opened it, a window that was out then, and at each try no more than one above what was
answered at it. A provider that loses fewer than one in four is never cut off.

An answer that comes after we gave up on it takes its loss back. When all that was lost since
the last try has come back, the provider is slow and not broken, and more goes out at once. Any
other answer to what was out before it opened changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

LOST_MAX: Final = 10  # a usual window of them, with no answer between
LOST_LEAST: Final = 3  # with a window of one or two: a single silence is no outage
LOSS_WEIGHT: Final = 3  # one loss weighs as much as three answers
PROOF_LEAST: Final = 10  # answered in a row, or a window of them, before it closes
STEADY_US: Final = 60_000_000  # since the last pause: an outage after that is a new one
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

    TRIPPED = "tripped"  # too many were lost, for what was answered
    SENT = "sent"
    UNSENT = "unsent"  # it came back: its bytes never left
    LOST = "lost"
    REGAINED = "regained"  # all that was lost since the last try was answered late
    ANSWERED = "answered"
    PROVED = "proved"  # answers have earned a whole window


# What isn't here changes nothing: what was out before it opened may still get lost.
TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.CLOSED, Event.TRIPPED): State.OPEN,
    (State.OPEN, Event.SENT): State.PROBING,
    (State.OPEN, Event.REGAINED): State.OPENING,
    (State.PROBING, Event.UNSENT): State.OPEN,
    (State.PROBING, Event.LOST): State.OPEN,
    (State.PROBING, Event.REGAINED): State.OPENING,
    (State.PROBING, Event.ANSWERED): State.OPENING,
    (State.OPENING, Event.LOST): State.OPEN,
    (State.OPENING, Event.PROVED): State.CLOSED,
}


class Breaker:
    """One bind's breaker; time and chance are handed in."""

    __slots__ = (
        "_pause_us",
        "_proof",
        "_row",
        "_row_before",
        "_score",
        "_trip",
        "_until_us",
        "state",
    )

    def __init__(self, window: int) -> None:
        """Begin closed; `window` is how many may be out at once."""
        self.state = State.CLOSED
        self._proof = max(window, PROOF_LEAST)
        self._trip = LOSS_WEIGHT * max(LOST_LEAST, min(window, LOST_MAX))
        self._score = 0  # what was lost, less what was answered
        self._row = 0  # answered since the last loss, once it opened
        self._row_before = 0  # and before that loss
        self._pause_us = PAUSE_FIRST_US
        self._until_us = -STEADY_US

    def room(self, out: int, now_us: int) -> int | None:
        """Return how many more may go now, with `out` under way; None: it sets no limit."""
        match self.state:
            case State.CLOSED:
                return None
            case State.OPEN:
                return int(now_us >= self._until_us)
            case State.PROBING:
                return 0
        return max(0, self._row + 1 - out)

    def next_at(self, now_us: int) -> int | None:
        """Return when a pause ends; None if none is being made."""
        if self.state is State.OPEN and now_us < self._until_us:
            return self._until_us
        return None

    def sent(self) -> None:
        """Note that a message goes out."""
        if self.state is State.OPEN:
            self._score = 0  # what this one meets is what counts
            self._go(Event.SENT)

    def unsent(self) -> None:
        """Note that a message that was to go out never left."""
        self._go(Event.UNSENT)

    def answered(self) -> bool:
        """Note a hand-off all of which was answered; return whether it closes now."""
        if self._score:
            self._score -= 1
        if self.state is State.CLOSED:
            return False
        self._go(Event.ANSWERED)
        return self.state is State.OPENING and self._earn(1)

    def regained(self) -> bool:
        """Note that a lost hand-off was answered late; return whether it closes now."""
        self._score = max(0, self._score - LOSS_WEIGHT)
        if self.state is State.CLOSED:
            return False
        self._row_before += 1
        if not self._score:
            self._go(Event.REGAINED)
        if self.state is not State.OPENING:
            return False
        earned, self._row_before = self._row_before, 0
        self._pause_us = PAUSE_FIRST_US
        return self._earn(earned)

    def lost(self, now_us: int, jitter: float) -> bool:
        """Note that a message was lost; `jitter` is in [0, 1). Return whether it opens now."""
        self._score += LOSS_WEIGHT
        match self.state:
            case State.CLOSED:
                if self._score < self._trip:
                    return False
                if now_us - self._until_us >= STEADY_US:
                    self._pause_us = PAUSE_FIRST_US
                self._go(Event.TRIPPED)
            case State.OPEN:
                return False
            case _:
                self._go(Event.LOST)
        self._row, self._row_before = 0, self._row
        self._until_us = now_us + int(self._pause_us * (1 - SPREAD * (1 - jitter)))
        self._pause_us = min(self._pause_us * 2, PAUSE_MAX_US)
        return True

    def _earn(self, answers: int) -> bool:
        """Count answers towards a whole window; return whether that closes it."""
        self._row += answers
        if self._row < self._proof:
            return False
        self._row = self._score = 0
        self._go(Event.PROVED)
        return True

    def _go(self, event: Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
