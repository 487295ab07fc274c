"""Let the model speak where something follows from it: at deadlines, and while an alarm is on.

A deadline that passes in silence ends a message as unknown, or as filtered where that is as
good as sure; the event keeps what was thought. And a message that an alarm says was kept from
its recipient gets a word of its own while the alarm is on, which outlasts both the alarm and
this process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Final

from arrivals.core.catalogue import Catalogue
from arrivals.core.message import Move
from arrivals.core.timeline import JUDGED, TimelineEvent, Trace
from arrivals.core.verdicts import Judged, body_of, ending, is_worth_noting, judged_of
from arrivals.flows.journal import Journal
from arrivals.flows.platform import Endings, Foresee, Platform
from arrivals.store.api import Step, Transaction

JUDGE_ORDER: Final = 75
MODEL: Final = "model"  # who says so, in events
PIECE: Final = 50  # messages judged before the loop goes on: some milliseconds
NOTED_MAX: Final = 2_000  # silent messages looked at in one look

_Noted = Mapping[int, Judged]
_Journey = tuple[Trace, list[TimelineEvent]]


def judge_step(catalogue: Callable[[], Catalogue]) -> Step[_Noted, set[int]]:
    """Return the step that records verdicts on open messages; its result is whom it touched."""

    def run(tx: Transaction, wanted: Sequence[_Noted]) -> list[set[int]]:
        journal = Journal(tx, catalogue())
        journal.load({key for each in wanted for key in each})
        for verdicts in wanted:
            for key, judged in verdicts.items():
                message = journal.get(key)
                if message is not None and is_worth_noting(message, judged):
                    body = body_of(judged)
                    journal.note(message, JUDGED, MODEL, body, verdict=judged.verdict)
        journal.flush()
        return [journal.touched for _ in wanted]

    return Step("judge", JUDGE_ORDER, run)


class Judging:
    """What one process's model says of messages of which nobody else does."""

    def __init__(self, platform: Platform, foresee: Foresee) -> None:
        self._platform = platform
        self._foresee = foresee
        self._judge = judge_step(lambda: platform.catalogue)
        self._noted = 0  # where the next of many begins

    async def endings(self, limit: int, *, has_opinion: bool) -> Endings:
        """Return how each message ends whose deadline has passed.

        A model that has no opinion is asked only about what it has spoken of before.
        """
        now_us = self._platform.clock.now_us()
        due = await self._platform.store.read(lambda reader: reader.ending(now_us, limit))
        found: dict[int, tuple[Move, Judged | None]] = {
            key: (Move.DEADLINE_PASSED, None) for key, _ in due
        }
        asked = [key for key, verdict in due if has_opinion or verdict]
        async for _, journeys in self._pieces(asked):
            for trace, events in journeys:
                forecast = self._foresee(trace, events)
                if forecast is not None:
                    found[trace.message.key] = ending(trace.message, forecast)
        return found

    async def note(self, keys: Sequence[int]) -> Collection[int]:
        """Record what is probably filtered; return whom nothing more need be said of.

        Of more than NOTED_MAX each call takes the next ones, and begins again after the last.
        """
        done: set[int] = set()
        begin = self._noted if self._noted < len(keys) else 0
        self._noted = begin + NOTED_MAX
        async for piece, journeys in self._pieces(keys[begin : self._noted]):
            found = {each.message.key: self._verdict(each, events) for each, events in journeys}
            noted = {key: judged for key, judged in found.items() if judged is not None}
            if noted:
                touched = await self._platform.store.write(self._judge, noted)
                self._platform.changes.publish(touched)
            waiting = {
                each.message.key
                for each, _ in journeys
                if each.message.resolution is None and each.message.key not in noted
            }
            done |= set(piece) - waiting
        return done

    def _verdict(self, trace: Trace, events: Sequence[TimelineEvent]) -> Judged | None:
        forecast = self._foresee(trace, events)
        judged = None if forecast is None else judged_of(forecast)
        return judged if is_worth_noting(trace.message, judged) else None

    async def _pieces(
        self, keys: Sequence[int]
    ) -> AsyncIterator[tuple[Sequence[int], list[_Journey]]]:
        """Read messages a few at a time, so that the loop isn't held up by many."""
        for at in range(0, len(keys), PIECE):
            yield keys[at : at + PIECE], await self._journeys(keys[at : at + PIECE])

    async def _journeys(self, keys: Sequence[int]) -> list[_Journey]:
        return await self._platform.store.read(lambda reader: reader.journeys(keys))
