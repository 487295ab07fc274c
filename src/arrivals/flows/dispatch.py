"""Hand messages to providers: claim what the window allows, send, record what comes back.

One Dispatcher owns one provider's bind, for as long as its lease lasts. Taking the bind gives
it an epoch larger than every epoch before; what an older epoch was sending becomes AMBIGUOUS
and is never queued by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from arrivals.core.catalogue import Catalogue, Flow
from arrivals.core.timeline import AWAY, BROKEN, SLOWED
from arrivals.flows.answer import answer_step
from arrivals.flows.claim import ClaimRequest, claim_step, recover_step
from arrivals.flows.conditions import Condition
from arrivals.flows.divert import Diversion, divert_step
from arrivals.flows.ignored import KEEP_IGNORED
from arrivals.flows.lease import Lease
from arrivals.flows.platform import Platform
from arrivals.flows.poison import Claimant
from arrivals.flows.receipt_habits import usual_forms
from arrivals.flows.receive import KEEP_RAW, receive_step
from arrivals.flows.replies import Heard, reply_step
from arrivals.flows.unrecorded import Unrecorded
from arrivals.providers.api import (
    Answer,
    Connection,
    Ignored,
    NotSent,
    Receipt,
    Reply,
    Submission,
)
from arrivals.store.api import Step, StoreError, StoreFull, StoreUnavailable

_log = logging.getLogger("arrivals.dispatch")

CLAIM_MAX: Final = 500

# Every so many claims the lanes are served from the other end, so that a flood of codes
# slows bulk down and never stops it.
BULK_FIRST_EVERY: Final = 4

IDLE_LOOK_S: Final = 1.0  # a queue that nobody announced is found this late
FAILOVER_AFTER_S: Final = 30.0  # a provider that is away this long loses its queue to the next
STORE_RETRY_S: Final = 0.5
FACTS_WAIT_S: Final = 2.0  # for answers and receipts that are being recorded at the end


class Dispatcher:
    """One provider's owner: keeps its window full and records what comes back."""

    def __init__(self, platform: Platform, connection: Connection, owner: str) -> None:
        self.provider_id = connection.provider_id
        self.connection = connection
        self._platform = platform
        self._lease = Lease(platform, connection.provider_id, owner)
        self._work = platform.changes.work_for(connection.provider_id)
        self._facts: set[asyncio.Task[None]] = set()
        self._claiming: asyncio.Future[list[Submission]] | None = None
        self._claims = 0
        self._look_at = 0.0  # when to see next how the provider is: monotonic
        self._waiting = False

        def catalogue() -> Catalogue:
            return platform.catalogue

        ranks, defaults = platform.ranks, platform.defaults
        self._unrecorded = Unrecorded(platform, connection.provider_id)
        self._claimant = Claimant(platform, claim_step(catalogue, ranks))
        usual = usual_forms(catalogue, platform.habits)
        self._answer = answer_step(
            catalogue, ranks, defaults, lambda: platform.conditions.troubled, usual
        )
        self._receive = receive_step(catalogue, usual)
        self._reply = reply_step(catalogue, defaults.probes)
        self._recover = recover_step(catalogue, ranks, defaults)
        self._divert = divert_step(catalogue, ranks)

    @property
    def is_idle(self) -> bool:
        """Whether it could send and found nothing to."""
        return self._waiting

    @property
    def recording(self) -> int:
        """How many batches of answers and receipts aren't durable yet."""
        return len(self._facts)

    @property
    def epoch(self) -> int:
        """Under which epoch it sends; 0 if it doesn't own the bind."""
        return self._lease.epoch

    async def run(self) -> None:
        """Own the bind until cancelled; returns at once if another process owns it.

        Raises LeaseLost when it may not send any more.
        """
        if not await self._lease.take():
            return
        sending = asyncio.ensure_future(self._send())
        keeping = asyncio.ensure_future(self._keep_lease())
        try:
            await asyncio.wait({sending, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, keeping):
                task.cancel()
            ended = await asyncio.gather(sending, keeping, return_exceptions=True)
            with contextlib.suppress(StoreError):  # then it runs out by itself
                await self._lease.release()
        for each in ended:
            if isinstance(each, Exception):
                raise each

    async def _keep_lease(self) -> None:
        if self._platform.store.is_shared:
            await self._lease.keep(lambda: self.connection.up)
        else:
            await asyncio.Event().wait()

    async def _send(self) -> None:
        bind = (self.provider_id, self.epoch)
        await self._resume_unrecorded()
        while await self._platform.store.write(self._recover, bind):
            pass  # until there is none: what others had locked may be left out of one look
        await self.connection.start(self)
        try:
            while True:
                await self._turn()
        finally:
            await self._finish()

    async def _resume_unrecorded(self) -> None:
        """Try again what an earlier process couldn't record, before it is given up for lost."""
        left = await self._unrecorded.left()
        self._unrecorded.resumed(left)
        for each in left:
            self._spawn(self._record(self._answer, [each], ()))  # it was counted when it came
        await asyncio.sleep(0)  # they are with the writer before what puts them in doubt

    async def _turn(self) -> None:
        """Claim once and hand over, or wait for something to do."""
        try:
            async with asyncio.timeout(IDLE_LOOK_S):
                await self.connection.ready()
        except TimeoutError:
            await self._look()
            self._look_at = 0.0  # and again as soon as it takes messages
            return
        self._work.clear()
        claimed = await self._try_claim()
        if claimed:
            self._platform.conditions.claimed(self.provider_id, claimed)
            self._platform.traffic.handed_over(self.provider_id, len(claimed))
            self.connection.submit(claimed)
        # After the claim, so that of a queue that moves on one message is left to try it with.
        if self._platform.clock.monotonic() >= self._look_at:
            await self._look()
        if claimed:
            return
        self._waiting = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_LOOK_S * self._platform.patience):
                await self._work.wait()
        self._waiting = False

    async def _finish(self) -> None:
        """Give back what was claimed and never handed over, then record what is under way."""
        if self._claiming is not None:
            with contextlib.suppress(StoreError):
                self._give_back(await self._claiming)
        with contextlib.suppress(OSError):  # what it couldn't finish is recovered later
            await self.connection.stop()
        if self._facts:
            _, unfinished = await asyncio.wait(self._facts, timeout=FACTS_WAIT_S)
            for task in unfinished:
                task.cancel()
        self._platform.conditions.over(self.provider_id)

    def _give_back(self, claimed: Sequence[Submission]) -> None:
        if claimed:
            stopping = NotSent("the platform is stopping")
            self.answered(
                [
                    Answer(
                        provider_id=self.provider_id,
                        key=each.key,
                        attempt=each.attempt,
                        epoch=each.epoch,
                        result=stopping,
                    )
                    for each in claimed
                ]
            )

    async def _try_claim(self) -> list[Submission]:
        provider = self._platform.catalogue.providers.get(self.provider_id)
        if provider is None or provider.flow is Flow.PAUSED:
            return []
        if not self.may_send() or self._unrecorded.is_full:
            return []
        self._claims += 1
        request = ClaimRequest(
            provider_id=self.provider_id,
            epoch=self.epoch,
            limit=min(self.connection.capacity(), CLAIM_MAX),
            bulk_first=self._claims % BULK_FIRST_EVERY == 0,
            held_us=_us(self.connection.held_for_s),
        )
        claiming = asyncio.ensure_future(self._claimant.claim(request))
        self._claiming = claiming
        try:
            # The claim commits whether or not we are still there to see it.
            claimed = await asyncio.shield(claiming)
        except (StoreFull, StoreUnavailable):
            claimed = []
        self._claiming = None
        if not claimed and claiming.exception() is not None:
            await asyncio.sleep(STORE_RETRY_S)
        return claimed

    async def _look(self) -> None:
        """Note how the provider is; if that lasts, its queue moves on where it may."""
        connection, conditions = self.connection, self._platform.conditions
        name, now = self.provider_id, self._platform.clock.monotonic()
        self._look_at = now + IDLE_LOOK_S
        # One whose window is full isn't away.
        away_s = conditions.note(name, Condition.AWAY, now, there=not connection.up)
        broken_s = conditions.note(name, Condition.BROKEN, now, there=connection.is_broken)
        conditions.slowed(name, connection.held_for_s, now)
        conditions.bound(name, connection.lacks, connection.refusal, now)
        found = None
        if broken_s is not None:  # it has lost enough already
            found = Diversion(name, conditions.unusable, BROKEN, held_us=_us(broken_s))
        elif away_s is not None and away_s >= FAILOVER_AFTER_S:
            found = Diversion(name, conditions.unusable, AWAY, held_us=_us(away_s))
        elif slow := self._slowed_routes():
            held_us = _us(connection.held_for_s)
            found = Diversion(name, conditions.troubled, SLOWED, slow, held_us)
        if found is not None:
            with contextlib.suppress(StoreError):  # the next look tries again
                await self._move_on(found)

    def _slowed_routes(self) -> frozenset[int]:
        """Return the routes that wait no longer for a provider that slows us."""
        return frozenset(
            route.route_id
            for route in self._platform.catalogue.routes.values()
            if self.provider_id in route.providers
            and self._platform.conditions.slows(self.provider_id, route)
        )

    async def _move_on(self, wanted: Diversion) -> None:
        more = True
        while more:
            diverted = await self._platform.store.write(self._divert, wanted)
            for provider_id in diverted.targets:
                self._platform.changes.queued(provider_id)
            more = diverted.more

    # --- the sink --------------------------------------------------------------------

    def may_send(self) -> bool:
        """Tell whether bytes may leave: not under a lease that has run out."""
        return self._lease.is_held

    def answered(self, answers: Sequence[Answer]) -> None:
        """Record a provider's answers."""
        now = self._platform.clock.monotonic()
        self._platform.conditions.heard(self.provider_id, answers, now)
        self._platform.traffic.answered(self.provider_id, answers)
        self._spawn(self._record(self._answer, list(answers), ()))

    def received(self, receipts: Sequence[Receipt], tokens: Sequence[object]) -> None:
        """Record receipts; they are acknowledged once they are durable."""
        self._platform.inbound.took(self.provider_id, len(receipts))
        self._platform.conditions.reported(self.provider_id, self._platform.clock.monotonic())
        self._platform.traffic.received(self.provider_id, receipts)
        self._spawn(self._record(self._receive, list(receipts), tokens))

    def replied(self, replies: Sequence[Reply], tokens: Sequence[object]) -> None:
        """Record replies; they are acknowledged once what they prove is durable."""
        self._platform.inbound.took(self.provider_id, len(replies))
        self._platform.traffic.replied(self.provider_id, len(replies))
        self._spawn(self._record_replies(list(replies), tokens))

    def ignored(self, ignored: Sequence[Ignored], tokens: Sequence[object]) -> None:
        """Count and keep what came to nothing; it is acknowledged once it is kept."""
        self._spawn(self._record_ignored(self._platform.inbound.note(ignored), tokens))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._facts.add(task)
        task.add_done_callback(self._facts.discard)

    async def _record(
        self, step: Step[Any, set[int]], facts: list[Any], tokens: Sequence[object]
    ) -> None:
        touched: set[int] = set().union(*await self._keep(step, facts))
        if tokens:
            self.connection.acknowledge(tokens)
        if touched:
            self._platform.changes.publish(touched)
        self._work.set()

    async def _record_again(self, answer: Answer, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        await self._record(self._answer, [answer], ())

    async def _record_replies(self, replies: list[Reply], tokens: Sequence[object]) -> None:
        heard: list[Heard] = await self._keep(self._reply, replies)
        self.connection.acknowledge(tokens)
        for each in heard:
            self._platform.heard(each)

    async def _record_ignored(self, kept: list[Ignored], tokens: Sequence[object]) -> None:
        if kept:
            await self._keep(KEEP_IGNORED, kept)
        self.connection.acknowledge(tokens)

    async def _keep(self, step: Step[Any, Any], facts: list[Any]) -> list[Any]:
        """Record facts; while the store can't, they wait, and so does the provider.

        An answer that can't be recorded though the store can is tried again and again.
        """
        while True:
            try:
                recorded = [await self._platform.store.write(step, facts)]
            except (StoreFull, StoreUnavailable):
                await asyncio.sleep(STORE_RETRY_S)
            except Exception:  # noqa: BLE001 - poison: one bad fact must not hold up others
                if len(facts) == 1:
                    _log.exception("%s: a fact could not be recorded", step.name)
                    if step is self._answer:
                        wait_s = await self._unrecorded.keep(facts[0])
                        self._spawn(self._record_again(facts[0], wait_s))
                    if step is self._receive:
                        # It will be acknowledged: its bytes must be there. If they can't be
                        # kept either, it isn't, and its provider sends it again.
                        await self._platform.store.write(KEEP_RAW, facts[0])
                    return []
                break
            else:
                if self._unrecorded.waits and step is self._answer:
                    await self._unrecorded.recorded(facts)
                return recorded
        return [result for each in facts for result in await self._keep(step, [each])]


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
