"""Do what is due: start what was scheduled, retry, expire, resend, and stop waiting for news.

Every open message has one time at which somebody must look at it again. The sweep takes
those whose time has come, so nothing is forgotten and nothing is searched for.

A sweep that fails for no fault of the store is tried again with fewer messages, down to the one
that it fails on. That one is put off, so that the others' time comes (invariant 31).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from arrivals.core.catalogue import Catalogue
from arrivals.core.fairness import FairRanks
from arrivals.core.message import Message, Move, Reach, State, allows
from arrivals.core.parts import PARTS_WAIT_US, has_arrived_in_part
from arrivals.core.replies import REPLY_WINDOW_US
from arrivals.core.verdicts import Judged, body_of
from arrivals.flows.alarms import Alarms
from arrivals.flows.answer import Recording
from arrivals.flows.claim import expire
from arrivals.flows.doubt import is_awaited, unnamed
from arrivals.flows.journal import Journal
from arrivals.flows.parked import Parked
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Endings, Platform
from arrivals.flows.receive import match_parked
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.sweep")

SWEEP_ORDER: Final = 45
SWEEP_MAX: Final = 500
SHRINK_BY: Final = 8  # a sweep after one that failed: 500, 62, 7, 1 messages, then none
SWEEP_EVERY_S: Final = 0.25
FORGET_EVERY_S: Final = 60.0
FORGET_MAX: Final = 1_000  # of a kind in one transaction
# In one turn; while some is left every turn goes on. With four turns a second that is more
# than receipts can come in, and no turn keeps what is due waiting for longer than a moment.
FORGET_ROUNDS_MAX: Final = 5
ALARM_EVERY_S: Final = 10.0

PUT_OFF_US: Final = 600 * 1_000_000  # long enough to disturb nobody, and to mend what it was

DAY_US: Final = 86_400 * 1_000_000
PARKED_FOR_US: Final = 3 * DAY_US  # the longest that carriers take for a receipt
RAW_FOR_US: Final = 7 * DAY_US
ANSWERS_FOR_US: Final = 7 * DAY_US

_UNJUDGED: Final[tuple[Move, Judged | None]] = (Move.DEADLINE_PASSED, None)


def sweep_step(
    catalogue: Callable[[], Catalogue],
    ranks: FairRanks,
    defaults: Defaults,
    endings: Callable[[], Endings | None] = lambda: None,
) -> Step[int, tuple[set[int], set[str], int]]:
    """Return the step that does what is due.

    `endings` tells how those end whose deadlines have passed; None: all as unknown.
    Its result is the messages it touched, the providers whose queues grew, and how many
    messages were due.
    """

    def run(tx: Transaction, limits: Sequence[int]) -> list[tuple[set[int], set[str], int]]:
        due = tx.due(max(limits))
        sweep = _Sweep(tx, catalogue(), ranks, defaults, endings())
        sweep.run(due)
        return [(sweep.touched, sweep.queues, len(due)) for _ in limits]

    return Step("sweep", SWEEP_ORDER, run)


class _Sweep:
    def __init__(
        self,
        tx: Transaction,
        catalogue: Catalogue,
        ranks: FairRanks,
        defaults: Defaults,
        endings: Endings | None,
    ) -> None:
        self._tx = tx
        self._endings = endings
        self._catalogue = catalogue
        self._ranks = ranks
        self._defaults = defaults
        self._journal = Journal(tx, catalogue)
        self.touched: set[int] = set()
        self.queues: set[str] = set()

    def run(self, due: Sequence[Message]) -> None:
        self._journal.add(due)
        lost = [each for each in due if each.state is State.SENDING]
        for each in due:
            if each.state is not State.SENDING:
                self._one(each)
        self._journal.flush()
        self.touched |= self._journal.touched
        match_parked(self._tx, self._catalogue, self._doubts_ended(due), self.touched)
        if lost:
            recording = Recording(self._tx, self._catalogue, self._ranks, self._defaults)
            recording.lose(lost)
            self.touched |= recording.journal.touched

    def _doubts_ended(self, due: Sequence[Message]) -> dict[str, set[str]]:
        """Return the destinations, by provider, of which one doubt less is left."""
        found: dict[str, set[str]] = {}
        for each in due:
            if is_awaited(each) and not is_awaited(self._journal.get(each.key) or each):
                found.setdefault(each.provider_id, set()).add(unnamed(each.msisdn))
        return found

    def _one(self, message: Message) -> None:
        now_us = self._tx.now_us
        if message.state in {State.SUBMITTED, State.AMBIGUOUS}:
            self._no_news(message)
        elif message.expires_at_us <= now_us:
            expire(self._journal, message)
        else:
            self._ready(message)

    def _ready(self, message: Message) -> None:
        """Put a message whose time has come into its lane, at the lane's own time."""
        scheduled = message.state is State.SCHEDULED
        place = self._ranks.take if scheduled else self._ranks.front
        rank = place(message.provider_id, message.lane, message.account_id)
        self._journal.note(
            message,
            "due",
            "clock",
            {"cause": "its time to send has come" if scheduled else "its wait is over"},
            rank=rank,
            wake_at_us=message.expires_at_us,
        )
        self.queues.add(message.provider_id)

    def _no_news(self, message: Message) -> None:
        """Do what the policy says about a hand-off in doubt, or stop waiting altogether."""
        speaks_at_us = self._speaks_for_all_at(message)
        if speaks_at_us is not None and self._tx.now_us >= speaks_at_us:
            body: dict[str, Any] = {
                "provider": message.provider_id,
                "cause": "one part's receipt came, and none for the others",
            }
            self._journal.move(message, Move.RECEIPT_DELIVERED, "clock", body, reason=None)
            return
        in_doubt = message.state is State.AMBIGUOUS and message.reach is not Reach.HANDED_OFF
        if self._tx.now_us >= message.outcome_deadline_us:
            self._end(message)
        elif in_doubt and message.on_ambiguous == "fail":
            self._journal.move(message, Move.FAIL_WANTED, "clock", {"policy": "fail"})
        elif in_doubt and self._may_resend(message):
            self._resend(message)
        else:
            cause = {"cause": "there is nothing to do but wait for a receipt"}
            wake_at_us = speaks_at_us or message.outcome_deadline_us
            self._journal.note(message, "due", "clock", cause, wake_at_us=wake_at_us)

    def _end(self, message: Message) -> None:
        """End a message that nobody spoke of, as unknown or as what is as good as sure."""
        end = _UNJUDGED if self._endings is None else self._endings.get(message.key)
        if end is None or not allows(message.state, end[0]):
            return  # it came to this a moment ago: the next sweep knows what to say
        move, judged = end
        body = {"cause": "the outcome deadline passed with no sufficient evidence"}
        inferred = move is Move.FILTER_INFERRED
        self._journal.move(
            message,
            move,
            "clock",
            body | body_of(judged),
            reason="silently_filtered" if inferred else message.reason or "no_receipt",
            verdict=judged.verdict if judged else None,
        )

    def _speaks_for_all_at(self, message: Message) -> int | None:
        """Return when a part that arrived will stand for the others, if they stay silent.

        Had anything been said of them, the message would have ended by it.
        """
        provider = self._catalogue.providers.get(message.provider_id)
        unknown = provider is not None and provider.receipts_per == "unknown"
        if not unknown or not has_arrived_in_part(message.parts):
            return None
        return min(message.changed_at_us + PARTS_WAIT_US, message.outcome_deadline_us)

    def _may_resend(self, message: Message) -> bool:
        """Tell whether it may go out a second time: by its policy, once, and still of use."""
        wanted = message.on_ambiguous == "resend" and not message.resends
        return wanted and message.expires_at_us > self._tx.now_us

    def _resend(self, message: Message) -> None:
        body = {
            "policy": "resend",
            "risk": "the first hand-off may have arrived: the person may get it twice",
        }
        rank = self._ranks.front(message.provider_id, message.lane, message.account_id)
        self._journal.move(
            message,
            Move.RESEND_ALLOWED,
            "clock",
            body,
            resends=message.resends + 1,
            reason="resend",
            rank=rank,
            wake_at_us=message.expires_at_us,
        )
        self.queues.add(message.provider_id)


def _put_off(tx: Transaction, items: Sequence[None]) -> list[int | None]:
    return [tx.put_off(tx.now_us + PUT_OFF_US) for _ in items]


PUT_OFF: Final[Step[None, int | None]] = Step("put off", SWEEP_ORDER, _put_off)


class Sweeper:
    """Sweep again and again, forget what has outlived its keeping, and raise age alarms."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._endings: Endings | None = None
        self._sweep = sweep_step(
            lambda: platform.catalogue,
            platform.ranks,
            platform.defaults,
            lambda: self._endings,
        )
        self._forget = Step("forget", 90, self._run_forget)
        self._parked = Parked(platform)
        self._alarms = Alarms(platform)
        self._limit = SWEEP_MAX  # of the next sweep; 0: not even one message could be swept

    async def run(self) -> None:
        """Sweep until cancelled."""
        alarmed_at = self._platform.clock.monotonic()
        forgotten_at = (
            alarmed_at - FORGET_EVERY_S
        )  # at once: what is needed ahead must be there
        forgetting = False
        while True:
            try:
                more = await self._once()
                now = self._platform.clock.monotonic()
                if forgetting or now - forgotten_at >= FORGET_EVERY_S:
                    if not forgetting:
                        await self._keep_up()
                    forgotten_at = now
                    forgetting = await self._forget_some()
                if now - alarmed_at >= ALARM_EVERY_S * self._platform.patience:
                    alarmed_at = now
                    await self._alarms.look()
                await self._parked.look()
            except StoreError as error:
                _log.warning("the sweep waits for the store: %s", error)
                self._limit, more = SWEEP_MAX, False
            except Exception:  # noqa: BLE001 - it must outlive anything one batch does to it
                _log.exception("a sweep failed; it goes on with the next")
                more = False
            if not more:
                await asyncio.sleep(SWEEP_EVERY_S * self._platform.patience)

    async def _once(self) -> bool:
        """Sweep once, fewer after each failure; return whether more may be due."""
        limit = self._limit
        if not limit:
            _log.error("a message that can't be swept is put off")
            await self._platform.store.write(PUT_OFF, None)
            self._limit = SWEEP_MAX
            return True
        self._limit = max(limit // SHRINK_BY, int(limit > 1))  # for the next, if this one fails
        if self._platform.endings is not None:
            self._endings = await self._platform.endings(limit)
        touched, queues, count = await self._platform.store.write(self._sweep, limit)
        self._limit = SWEEP_MAX
        self._platform.changes.publish(touched)
        for provider_id in queues:
            self._platform.changes.queued(provider_id)
        return count == limit

    async def _keep_up(self) -> None:
        """Let the store make room ahead, and set aside whole what has outlived its keeping."""
        aside = await self._platform.store.keep_up(self._platform.defaults.keep_days)
        if aside:
            _log.info("set aside, to be archived or dropped: %s", ", ".join(aside))

    async def _forget_some(self) -> bool:
        """Forget for a few rounds; return whether some may be left."""
        for _ in range(FORGET_ROUNDS_MAX):
            if await self._platform.store.write(self._forget, FORGET_MAX) < FORGET_MAX:
                return False
        return True

    def _run_forget(self, tx: Transaction, limits: Sequence[int]) -> list[int]:
        return [
            tx.forget(
                parked_before=tx.now_us - PARKED_FOR_US,
                raw_before=tx.now_us - RAW_FOR_US,
                answers_before=tx.now_us - ANSWERS_FOR_US,
                answerable_before=tx.now_us - REPLY_WINDOW_US,
                limit=limit,
            )
            for limit in limits
        ]
