"""Learn from outcomes as they come in, beside whatever else the process does.

It follows the events that were committed, a few seconds behind and in bounded readings, so it
never stands in the way of a message; what it missed while nobody ran it reads later. What it
learnt is kept every minute with the place it came to, and a new process goes on from there:
nothing is learnt twice. On a shared database each worker reads all of it for itself; the others
look at what was kept.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.core.compare import Covariates, Expected
from arrivals.core.layers import Forecast
from arrivals.core.replies import digits_of
from arrivals.core.selection import Estimate
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.flows.alarms import Changes, read_alarms, record, tell
from arrivals.flows.foresight import foresee
from arrivals.flows.judging import Judging
from arrivals.flows.platform import Endings, Platform
from arrivals.flows.receipt_habits import LEARNT, observe
from arrivals.flows.second_requests import Noticing
from arrivals.outcome.anchors import PROBES
from arrivals.outcome.cells import UnreadableCell
from arrivals.outcome.episodes import Cell, Trouble, TroubleKind, follow
from arrivals.outcome.habits import Habit
from arrivals.outcome.hierarchy import destination_of
from arrivals.outcome.learner import Calibration, Fact, Learner, Subject
from arrivals.store.api import Step, StoreError, Transaction
from arrivals.store.feed import EventCursor, FeedEvent
from arrivals.store.queries import Reader

_log = logging.getLogger("arrivals.learning")

LEARN_ORDER: Final = 70
LEARN_EVERY_S: Final = 1.0
BEHIND_US: Final = 2_000_000  # a commit that takes longer than this may be passed by
EVENTS_MAX: Final = 500  # in one reading: some milliseconds
KEEP_EVERY_S: Final = 60.0
# What happened longer ago is history, of an installation that is new to learning. It can wait:
# after each reading the loop has so many times as long for what is sent now.
HISTORY_US: Final = 60_000_000
HISTORY_RESTS: Final = 4.0
KINDS: Final = frozenset(
    {
        "taken",
        "receipt_delivered",
        "receipt_failed",
        "receipt_filtered",
        "receipt_expired",
        "deadline_passed",
        "feedback",
    }
)
_KINDS: Final = tuple(sorted(KINDS))


class Look(msgspec.Struct, frozen=True):
    """What is found wrong, and what was at the look before."""

    found: list[Trouble]
    before: list[tuple[TroubleKind, Cell]]


class _Kept(msgspec.Struct, frozen=True):
    shared: bool  # a shared database counts its places in another way
    cursor: EventCursor
    learnt: str
    habits: dict[str, Habit] = {}  # by provider


def _keep(tx: Transaction, wanted: Sequence[_Kept]) -> list[None]:
    tx.set_setting(LEARNT, msgspec.json.encode(wanted[-1]).decode())
    return [None for _ in wanted]


def _kept(tx: Transaction, wanted: Sequence[None]) -> list[str | None]:
    found = tx.setting(LEARNT)
    return [found for _ in wanted]


def _follow(tx: Transaction, looks: Sequence[Look]) -> list[Changes]:
    """Begin alarms, let them go on and end them."""
    return [
        record(tx, follow(tx.standing_alarms(), look.found, look.before, tx.now_us))
        for look in looks
    ]


FOLLOW: Final[Step[Look, Changes]] = Step("alarms", LEARN_ORDER, _follow)
KEEP: Final[Step[_Kept, None]] = Step("keep what was learnt", LEARN_ORDER, _keep)
KEPT: Final[Step[None, str | None]] = Step("read what was learnt", LEARN_ORDER, _kept)


class Learning:
    """One process's model of outcomes: learns on a worker, and foresees for whoever asks."""

    def __init__(self, platform: Platform, secret: bytes, *, learns: bool) -> None:
        """Learn from events if `learns`; otherwise look at what others keep."""
        self._platform = platform
        self._secret = secret
        self._learns = learns
        self._learner = Learner(secret)
        self._cursor = EventCursor()
        self._lag_us = 0  # how long ago the newest that was read happened
        self._seen: str | None = None  # what was kept when it was last read
        self._found: list[Trouble] = []  # at the last look
        self._noticing = Noticing(platform)
        self._judging = Judging(platform, self.foresee)

    @property
    def cells(self) -> int:
        """How many cells the model has."""
        return self._learner.cells

    def foresee(self, trace: Trace, events: Sequence[TimelineEvent]) -> Forecast | None:
        """Return what is to be thought of a message now."""
        platform = self._platform
        now_us = platform.clock.now_us()
        return foresee(self._learner, platform.catalogue, trace, events, now_us)

    async def endings(self, limit: int) -> Endings:
        """Return how messages end of which nobody spoke until their deadlines."""
        return await self._judging.endings(limit, has_opinion=self._learner.has_opinion)

    def expect(self, told: Covariates) -> Expected:
        """Return what is to be expected now of such a message at its hand-off."""
        return self._learner.expect(told, self._platform.clock.now_us())

    def calibration(self) -> Calibration:
        """Return how good forecasts were, and how much isn't known."""
        return self._learner.calibration(self._platform.clock.now_us())

    def estimate(self, country: str, sender: str, provider_id: str) -> Estimate:
        """Return what is known now of a provider's messages to a country."""
        now_us = self._platform.clock.now_us()
        return self._learner.estimate(destination_of(country, sender), provider_id, now_us)

    def destinations(self, provider_id: str) -> dict[str, Estimate]:
        """Return what is known of a provider, by country and kind of sender."""
        now_us, learner = self._platform.clock.now_us(), self._learner
        return {
            each: learner.estimate(each, provider_id, now_us)
            for each in learner.destinations(provider_id, now_us)
        }

    async def run(self) -> None:
        """Learn until cancelled, or read again and again what others learnt."""
        await self.restore()
        while True:
            try:
                await read_alarms(self._platform)
                if self._learns:
                    await self._learn_and_keep()
                else:
                    await asyncio.sleep(KEEP_EVERY_S)
                    await self.restore()
            except StoreError as error:
                _log.warning("nothing could be learnt: %s", error)
                await asyncio.sleep(LEARN_EVERY_S)
            except Exception as error:  # noqa: BLE001 - a model's mistake must not end the server
                _log.error("something couldn't be learnt: %s", type(error).__name__)
                await asyncio.sleep(LEARN_EVERY_S)

    async def _learn_and_keep(self) -> None:
        clock = self._platform.clock
        patience = self._platform.patience
        until = clock.monotonic() + KEEP_EVERY_S * patience
        began = self._cursor
        while clock.monotonic() < until:
            started = clock.monotonic()
            if await self.learn_some():
                await asyncio.sleep(rest_s(clock.monotonic() - started, self._lag_us))
            else:
                await asyncio.sleep(LEARN_EVERY_S * patience)
        if self._cursor != began:
            await self.keep()
        await self.look()
        self._learner.settled(await self._judging.note(self._learner.silent()))

    async def look(self) -> None:
        """Record the alarms that begin, go on or end; log the first and the last of each."""
        found = self._learner.troubles(self._platform.clock.now_us())
        before = [(each.kind, each.cell) for each in self._found]
        changed, standing = await self._platform.store.write(FOLLOW, Look(found, before))
        self._found = found
        self._platform.alarms = tuple(standing)
        tell(changed)

    async def learn_some(self) -> bool:
        """Learn from the next events; False if there's hardly anything to learn from yet."""
        cursor, until_us = self._cursor, self._platform.clock.now_us() - BEHIND_US
        events, self._cursor, subjects = await self._platform.store.read(
            lambda reader: _next(reader, cursor, until_us)
        )
        probes = self._platform.defaults.probes
        self._learner.learn(facts_of(events, subjects, probes))
        observe(self._platform.habits, events)
        self._lag_us = until_us - events[-1].at_us if events else 0
        # One read needn't come to the end: a shared database gives a stretch at a time.
        behind = self._lag_us > LEARN_EVERY_S * 1e6
        more = behind or len(events) == EVENTS_MAX
        if not more:
            self._learner.look(until_us)
        await self._noticing.notice(events, subjects)
        return more

    async def keep(self) -> None:
        """Keep what was learnt, with the place it came to."""
        learnt = b64encode(self._learner.encode()).decode()
        shared = self._platform.store.is_shared
        habits = self._platform.habits.by_provider
        await self._platform.store.write(KEEP, _Kept(shared, self._cursor, learnt, habits))

    async def restore(self) -> None:
        """Go on from what was kept, unless it was kept in a way that nobody can read now."""
        found = await self._platform.store.write(KEPT, None)
        if found is None or found == self._seen:
            return
        self._seen = found
        try:
            kept, learner = _read(found, self._secret)
        except (msgspec.DecodeError, UnreadableCell, ValueError) as error:
            _log.warning("what was learnt is begun anew: %s", type(error).__name__)
            return
        if kept.shared == self._platform.store.is_shared:
            self._learner, self._cursor = learner, kept.cursor
            self._platform.habits.by_provider = kept.habits


def rest_s(took_s: float, lag_us: int) -> float:
    """Return how long to rest after a reading that took so long and lags so far behind."""
    return took_s * HISTORY_RESTS if lag_us > HISTORY_US else 0.0


def _read(found: str, secret: bytes) -> tuple[_Kept, Learner]:
    kept = msgspec.json.decode(found, type=_Kept)
    return kept, Learner.decode(b64decode(kept.learnt), secret)


def kept_calibration(found: str, now_us: int) -> Calibration:
    """Return the calibration within what was kept; raises ValueError if it can't be read."""
    return _read(found, b"")[1].calibration(now_us)


def _next(
    reader: Reader, cursor: EventCursor, until_us: int
) -> tuple[list[FeedEvent], EventCursor, list[tuple[Subject, str]]]:
    events, after = reader.recent_events(cursor, until_us, EVENTS_MAX, _KINDS)
    keys = {each.message_id for each in events if each.kind in KINDS}
    return events, after, reader.subjects(sorted(keys)) if keys else []


def facts_of(
    events: Sequence[FeedEvent],
    subjects: Sequence[tuple[Subject, str]],
    probes: frozenset[str] = frozenset(),
) -> list[Fact]:
    """Return what there is to learn from events; what was deleted meanwhile is left out.

    Messages to `probes` are an account of their own: each that arrives is answered, if its
    sender is a number.
    """
    known = {
        subject.key: (_probed(subject) if subject.msisdn in probes else subject, provider_id)
        for subject, provider_id in subjects
    }
    found = []
    for event in events:
        if event.kind not in KINDS or event.message_id not in known:
            continue
        subject, provider_id = known[event.message_id]
        found.append(
            Fact(
                subject=subject,
                kind=event.kind,
                seq=event.seq,
                at_us=event.at_us,
                from_state=event.from_state,
                to_state=event.to_state,
                provider=event.body.get("provider") or provider_id,
                confirmed=bool(event.body.get("confirmed")),
            )
        )
    return found


def _probed(subject: Subject) -> Subject:
    can_answer = bool(digits_of(subject.sender))
    return msgspec.structs.replace(subject, account=PROBES) if can_answer else subject
