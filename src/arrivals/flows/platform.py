"""What every flow and every door of one process shares: the store, the snapshot, the keys."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from arrivals.clock import Chance, Clock
from arrivals.core.catalogue import Account, ApiKey, Catalogue
from arrivals.core.compare import Expect
from arrivals.core.errors import Code, refuse
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import MessageIds, hash_api_key, parse_api_key
from arrivals.core.instants import rfc3339
from arrivals.core.layers import Forecast
from arrivals.core.message import Message, Move
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.core.verdicts import Judged
from arrivals.flows.accept import Request, Result, accept_step
from arrivals.flows.amend import Amended, Amendment, amend_step
from arrivals.flows.changes import Changes
from arrivals.flows.choosing import Choosing
from arrivals.flows.conditions import Conditions
from arrivals.flows.ignored import Inbound
from arrivals.flows.plan import Defaults, Plan, SendRequest, plan
from arrivals.flows.replies import Heard
from arrivals.flows.traffic import Traffic
from arrivals.flows.uses import Uses
from arrivals.outcome.calibration import HELD_OUT_SHARE
from arrivals.outcome.episodes import Episode
from arrivals.outcome.habits import Habits
from arrivals.outcome.learner import Calibration
from arrivals.store.api import Store, StoreFull, StoreUnavailable

# Verified keys are remembered, so that a key is hashed once and not at every request.
KEYS_REMEMBERED_MAX: Final = 10_000


Endings = Mapping[int, tuple[Move, Judged | None]]
Foresee = Callable[[Trace, Sequence[TimelineEvent]], Forecast | None]


def _nothing_learnt(trace: Trace, events: Sequence[TimelineEvent]) -> None:
    """Foresee nothing: no model runs in this process."""


def nothing_checked() -> Calibration:
    """Return what is known where no model runs."""
    return Calibration(reporters=0, held_out_share=HELD_OUT_SHARE, waiting=0, groups=[])


class Platform:
    """One process of an installation."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        chance: Chance,
        catalogue: Catalogue,
        secret: bytes,
        pepper: bytes,
        defaults: Defaults,
        ranks: FairRanks,
    ) -> None:
        self.store = store
        self.clock = clock
        self.chance = chance
        self.catalogue = catalogue
        self.ids = MessageIds(secret)
        self.defaults = defaults
        self.ranks = ranks
        self.changes = Changes()
        self.uses = Uses()  # of keys
        self.stream_turn = asyncio.Lock()  # of the streams, one at a time keeps the loop
        self.conditions = Conditions()  # what ails the providers whose binds it owns
        self.traffic = Traffic()  # what went to them and came back, in numbers
        self.patience = 1.0  # times as long between looks for what nobody announced
        self.alarms: tuple[Episode, ...] = ()  # those that stood when the list was last read
        self.replies = {"confirmed": 0, "repeated": 0, "unmatched": 0}  # of handsets, so far
        self.inbound = Inbound(clock)  # what providers sent, and what of it came to nothing
        self.habits = Habits()  # how providers write their receipts
        self.binds: Callable[[], Mapping[str, bool]] = dict  # which providers can be reached
        self.foresee: Foresee = _nothing_learnt  # what the model of outcomes makes of a message
        # How messages end of which nobody spoke until their deadlines, by the model.
        self.endings: Callable[[int], Awaitable[Endings]] | None = None
        self.expect: Expect | None = None  # what it expects at a hand-off, where it runs
        self.calibration: Callable[[], Calibration] = nothing_checked  # and how good that was
        self.choosing = Choosing(self)
        self._pepper = pepper
        self._verified: dict[str, str] = {}
        self._accept = accept_step(ranks)
        self._amend = amend_step(lambda: self.catalogue)

    def swap(self, catalogue: Catalogue) -> None:
        """Decide from now on by this snapshot."""
        self.catalogue = catalogue
        self._verified.clear()

    def heard(self, replies: Heard) -> None:
        """Count replies that were recorded, and tell of the messages that they confirm."""
        self.replies["confirmed"] += len(replies.confirmed)
        self.replies["repeated"] += replies.repeated
        self.replies["unmatched"] += replies.unmatched
        if replies.confirmed:
            self.changes.publish(replies.confirmed)

    def authenticate(self, key: str | None) -> tuple[Account, ApiKey]:
        """Return whose key this is, or raise the Refusal."""
        if not key:
            raise refuse(Code.MISSING_KEY)
        key_id = self._verified.get(key) or self._verify(key)
        found = self.catalogue.keys.get(key_id)
        if found is None or not found.active:
            raise refuse(Code.INVALID_KEY)
        now_us = self.clock.now_us()
        if found.expires_at_us is not None and now_us >= found.expires_at_us:
            raise refuse(Code.KEY_EXPIRED, expired_at=rfc3339(found.expires_at_us))
        self.uses.note(key_id, now_us)
        return self.catalogue.accounts[found.account_id], found

    def _verify(self, key: str) -> str:
        parts = parse_api_key(key.strip())
        found = self.catalogue.keys.get(parts.key_id) if parts else None
        if found is None or not hmac.compare_digest(
            found.digest, hash_api_key(self._pepper, key.strip())
        ):
            raise refuse(Code.INVALID_KEY)
        if len(self._verified) >= KEYS_REMEMBERED_MAX:
            self._verified.clear()
        self._verified[key] = found.key_id
        return found.key_id

    def plan(self, request: SendRequest) -> Plan:
        """Decide a request against the present snapshot, or raise the Refusal."""
        now_us = self.clock.now_us()
        return plan(request, self.catalogue, self.defaults, now_us, self.choosing)

    async def accept(self, request: Request) -> Result:
        """Commit to a planned send; what comes back is durable, or a Refusal to answer with."""
        # Told before the commit, so that the claim shares it: one sync for both.
        self.changes.queued(request.plan.decision.providers[0])
        try:
            return await self.store.write(self._accept, request)
        except StoreFull:
            return refuse(Code.DISK_FULL)
        except StoreUnavailable:
            return refuse(Code.UNAVAILABLE)

    async def amend(self, amendment: Amendment) -> Amended:
        """Apply a customer's word about a message; return the message as it stands after it."""
        try:
            result = await self.store.write(self._amend, amendment)
        except StoreFull:
            return refuse(Code.DISK_FULL)
        except StoreUnavailable:
            return refuse(Code.UNAVAILABLE)
        if isinstance(result, Message):
            self.changes.publish([result.key])
        return result
