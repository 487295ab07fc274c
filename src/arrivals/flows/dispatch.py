"""Hand messages to providers: claim what the window allows, make the intent durable, send.

Claim and intent are one transaction, for no more messages than there is room for, and only
after its commit do bytes leave. So a crash leaves at most a window's worth in doubt, and
everything else simply queued.

One Dispatcher owns one provider's bind, for as long as its lease lasts. Taking the bind gives
it an epoch larger than every epoch before; what an older epoch was sending becomes AMBIGUOUS
and is never queued by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue, Flow
from arrivals.core.dialect import PLAIN
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import handoff_reference
from arrivals.core.message import Message, Move, Reach
from arrivals.core.parts import begin
from arrivals.core.text import analyse
from arrivals.core.timeline import AWAY, BROKEN, SLOWED
from arrivals.flows.answer import ANSWER_ORDER, Recording, answer_step
from arrivals.flows.conditions import Condition
from arrivals.flows.divert import LANES, Diversion, divert_step
from arrivals.flows.ignored import KEEP_IGNORED
from arrivals.flows.journal import Journal
from arrivals.flows.lease import Lease
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.flows.poison import Claimant
from arrivals.flows.receipt_habits import usual_forms
from arrivals.flows.receive import KEEP_RAW, receive_step
from arrivals.flows.replies import Heard, expect_replies, reply_step
from arrivals.providers.api import (
    Answer,
    Connection,
    Ignored,
    NotSent,
    Receipt,
    Reply,
    Submission,
)
from arrivals.store.api import Step, StoreError, StoreFull, StoreUnavailable, Transaction
from arrivals.store.rows import Outgoing

_log = logging.getLogger("arrivals.dispatch")

CLAIM_ORDER: Final = 50
CLAIM_MAX: Final = 500
RECOVER_MAX: Final = 1_000

# Every so many claims the lanes are served from the other end, so that a flood of codes
# slows bulk down and never stops it.
BULK_FIRST_EVERY: Final = 4

# A claimed message that nobody answered for is in doubt after this, whatever went wrong:
# well past any provider's response timeout and pace.
SENDING_MAX_US: Final = 300 * 1_000_000

IDLE_LOOK_S: Final = 1.0  # a queue that nobody announced is found this late
FAILOVER_AFTER_S: Final = 30.0  # a provider that is away this long loses its queue to the next
STORE_RETRY_S: Final = 0.5
FACTS_WAIT_S: Final = 2.0  # for answers and receipts that are being recorded at the end


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A bind owner's wish for work."""

    provider_id: str
    epoch: int
    limit: int
    bulk_first: bool = False
    held_us: int = 0  # for how long the provider's throttling has held the queue back


def claim_step(
    catalogue: Callable[[], Catalogue], ranks: FairRanks
) -> Step[ClaimRequest, list[Submission]]:
    """Return the step that claims messages and writes their intents."""

    def run(tx: Transaction, requests: Sequence[ClaimRequest]) -> list[list[Submission]]:
        return [_claim(tx, each, catalogue(), ranks) for each in requests]

    return Step("claim", CLAIM_ORDER, run)


def _claim(
    tx: Transaction, request: ClaimRequest, catalogue: Catalogue, ranks: FairRanks
) -> list[Submission]:
    if tx.bind_epoch(request.provider_id) != request.epoch:
        return []  # somebody newer owns the bind: an old epoch claims nothing
    paused = catalogue.paused()
    journal = Journal(tx, catalogue)
    submissions: list[Submission] = []
    provider = catalogue.providers.get(request.provider_id)
    alphabet = PLAIN.alphabet if provider is None else provider.dialect.alphabet
    for lane in reversed(LANES) if request.bulk_first else LANES:
        wanted = request.limit - len(submissions)
        if wanted <= 0:
            break
        claimed = tx.claim(request.provider_id, lane, wanted, paused)
        if claimed:
            highest = claimed[-1].message.rank or 0
            ranks.claimed(request.provider_id, lane, highest)
            tx.note_lane(request.provider_id, lane, highest)
            expect_replies(tx, claimed)
        for outgoing in claimed:
            submission = _intend(tx, journal, outgoing, request, alphabet)
            if submission is not None:
                submissions.append(submission)
    journal.flush()
    return submissions


def _intend(
    tx: Transaction,
    journal: Journal,
    outgoing: Outgoing,
    request: ClaimRequest,
    alphabet: str,
) -> Submission | None:
    message, epoch = outgoing.message, request.epoch
    if message.expires_at_us <= tx.now_us:
        journal.add([message])
        expire(journal, message)
        return None
    attempt = message.attempts + 1
    reference = handoff_reference(message.key, attempt)
    body = {"attempt": attempt, "provider": message.provider_id, "epoch": epoch}
    if request.held_us:
        body["held_us"] = request.held_us
    # The price stands, and the parts are as many as this provider's alphabet asks for.
    segments = analyse(outgoing.text, alphabet).segments
    if segments != message.segments:
        body["segments"] = segments
    after = journal.move(
        message,
        Move.CLAIMED,
        "worker",
        body,
        attempts=attempt,
        epoch=epoch,
        parts=begin(
            message.parts,
            message.segments,
            attempt,
            segments,
            may_be_out=message.reach is not Reach.NONE,
        ),
        rank=None,
        wake_at_us=min(tx.now_us + SENDING_MAX_US, message.outcome_deadline_us),
    )
    return Submission(
        key=message.key,
        attempt=attempt,
        epoch=epoch,
        sender=outgoing.sender,
        msisdn=message.msisdn,
        text=outgoing.text,
        segments=segments,
        reference=reference,
        expires_at_us=after.expires_at_us,
    )


def expire(journal: Journal, message: Message) -> None:
    """End a queued message whose validity passed, or drop the resend it waited for."""
    if message.reach:
        journal.move(
            message,
            Move.RESEND_DROPPED,
            "clock",
            {"cause": "the validity passed before the resend"},
            reason="provider_timeout_unknown",
            rank=None,
            wake_at_us=message.outcome_deadline_us,
        )
        return
    body = {"cause": "the validity passed in our queue", "where": "queue"}
    journal.move(message, Move.VALIDITY_PASSED, "clock", body, reason="expired_in_our_queue")


def recover_step(
    catalogue: Callable[[], Catalogue], ranks: FairRanks, defaults: Defaults
) -> Step[tuple[str, int], int]:
    """Return the step that puts in doubt what older epochs of a bind were sending."""

    def run(tx: Transaction, binds: Sequence[tuple[str, int]]) -> list[int]:
        counts = []
        for provider_id, epoch in binds:
            lost = tx.sending(provider_id, epoch, RECOVER_MAX)
            Recording(tx, catalogue(), ranks, defaults).lose(lost)
            counts.append(len(lost))
        return counts

    return Step("recover", ANSWER_ORDER, run)


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)


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
        self._claimant = Claimant(platform, claim_step(catalogue, ranks))
        self._answer = answer_step(
            catalogue, ranks, defaults, lambda: platform.conditions.troubled
        )
        self._receive = receive_step(catalogue, usual_forms(catalogue, platform.habits))
        self._reply = reply_step(catalogue, defaults.probes)
        self._recover = recover_step(catalogue, ranks, defaults)
        self._divert = divert_step(catalogue, ranks)

    @property
    def is_idle(self) -> bool:
        """Whether it could send and found nothing to."""
        return self._waiting

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
        while await self._platform.store.write(self._recover, bind):
            pass  # until there is none: what others had locked may be left out of one look
        await self.connection.start(self)
        try:
            while True:
                await self._turn()
        finally:
            await self._finish()

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
        self._spawn(self._record(self._answer, list(answers), ()))

    def received(self, receipts: Sequence[Receipt], tokens: Sequence[object]) -> None:
        """Record receipts; they are acknowledged once they are durable."""
        self._platform.inbound.took(self.provider_id, len(receipts))
        self._spawn(self._record(self._receive, list(receipts), tokens))

    def replied(self, replies: Sequence[Reply], tokens: Sequence[object]) -> None:
        """Record replies; they are acknowledged once what they prove is durable."""
        self._platform.inbound.took(self.provider_id, len(replies))
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
        """Record facts; while the store can't, they wait, and so does the provider."""
        while True:
            try:
                return [await self._platform.store.write(step, facts)]
            except (StoreFull, StoreUnavailable):
                await asyncio.sleep(STORE_RETRY_S)
            except Exception:  # noqa: BLE001 - poison: one bad fact must not hold up others
                if len(facts) == 1:
                    _log.exception("%s: a fact could not be recorded", step.name)
                    if step is self._receive:
                        # It will be acknowledged: its bytes must be there. If they can't be
                        # kept either, it isn't, and its provider sends it again.
                        await self._platform.store.write(KEEP_RAW, facts[0])
                    return []
                break
        return [result for each in facts for result in await self._keep(step, [each])]
