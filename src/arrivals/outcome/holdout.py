"""Follow the messages that are never learnt from, to see how good their forecasts were.

One message in ten is held out. From its hand-off it waits here, and at fixed ages it is asked
what the model says of it: as of then, by the word that it had heard by then, and never by what
its own recipient did. At the last age it is closed, and goes into the record with whether
anybody confirmed it; what is confirmed later counts as not confirmed.

A message takes five looks in all. No more than a bound wait at once: beyond half of that, new
ones are let in only as fast as the rest lasts until the oldest leave, so that a busy minute
doesn't speak for the whole day.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from arrivals.outcome.anchors import Said, Source
from arrivals.outcome.calibration import AGES_S
from arrivals.outcome.hierarchy import Path
from arrivals.outcome.record import Group, TrackRecord

HELD_MAX: Final = 10_000  # messages that wait at once; about 3 MB
_LAST: Final = len(AGES_S) - 1
_APART_US: Final = round(AGES_S[_LAST] * 1e6 / (HELD_MAX / 2))  # between two beyond half


class Held(msgspec.Struct, array_like=True):
    """A message that is held out, before it is closed."""

    path: Path
    source: Source
    group: Group
    sent_us: int
    heard: Said | None = None  # its word so far
    confirmed: bool = False
    said: list[float | None] = []  # at each age that has come


Forecast = Callable[[Held, float, int], float | None]  # of a message, at an age, at a time
AnchoredShare = Callable[[Source, int], float | None]  # of what arrives, at a time


class HoldOut:
    """The messages that are held out now."""

    def __init__(self, waiting: Iterable[tuple[int, Held]] = ()) -> None:
        """Go on with those that waited already."""
        self._waiting = dict(waiting)
        self._due = [(_due_us(held), key) for key, held in self._waiting.items()]
        heapq.heapify(self._due)
        self._admitted_us = max((held.sent_us for held in self._waiting.values()), default=0)

    def __len__(self) -> int:
        """Return how many wait to be closed."""
        return len(self._waiting)

    def waiting(self) -> list[tuple[int, Held]]:
        """Return those that wait, to be kept."""
        return sorted(self._waiting.items(), key=lambda item: item[0])

    def sent(self, key: int, held: Held) -> None:
        """Hold a message out from its hand-off on; a repeated one goes on as it was."""
        if key in self._waiting or len(self._waiting) >= HELD_MAX:
            return
        crowded = len(self._waiting) >= HELD_MAX // 2
        if crowded and held.sent_us - self._admitted_us < _APART_US:
            return
        self._admitted_us = held.sent_us
        self._waiting[key] = held
        heapq.heappush(self._due, (held.sent_us, key))

    def heard(self, key: int, said: Said) -> None:
        """Note a message's word; of several the newest counts."""
        held = self._waiting.get(key)
        if held is not None and said is not Said.SILENT:
            held.heard = said

    def confirmed(self, key: int) -> None:
        """Note that a message was received."""
        held = self._waiting.get(key)
        if held is not None:
            held.confirmed = True

    def look(
        self, now_us: int, record: TrackRecord, forecast: Forecast, share: AnchoredShare
    ) -> None:
        """Ask for the forecasts that are due, and close the messages that are old enough."""
        while self._due and self._due[0][0] <= now_us:
            due_us, key = heapq.heappop(self._due)
            held = self._waiting[key]
            held.said.append(forecast(held, AGES_S[len(held.said)], due_us))
            if len(held.said) <= _LAST:
                heapq.heappush(self._due, (_due_us(held), key))
                continue
            del self._waiting[key]
            found = share(held.source, due_us)
            if found is None:
                record.unresolved(held.group, held.sent_us)
            else:
                arrivals = 1.0 / found if held.confirmed else 0.0
                record.came(held.group, held.sent_us, held.said, arrivals)


def _due_us(held: Held) -> int:
    return held.sent_us + round(AGES_S[len(held.said)] * 1e6)
