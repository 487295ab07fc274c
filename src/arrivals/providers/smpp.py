"""A provider over SMPP: bound as long as it can be, its window kept, its news acknowledged.

The session (smpp/) owns the protocol and this module owns the sockets. Every submission is
answered once: by the provider, by its silence, or by the proof that its PDU never reached
a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final

from arrivals.clock import Chance, Clock
from arrivals.core.catalogue import Provider
from arrivals.core.pacing import Pacer, within
from arrivals.core.reasons import RefusalKind, reason_for_status
from arrivals.providers.api import Answer, Receipt, Refused, Reply, Result, Sink, Submission
from arrivals.providers.dialling import BINDS, WINDOW_MAX, link_settings
from arrivals.providers.flight import Flight
from arrivals.providers.link import Link
from arrivals.providers.submissions import read_receipt, read_reply, submit_sm
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, UnencodablePdu
from arrivals.smpp.session import (
    Answered,
    BindRefused,
    Bound,
    Event,
    LateAnswer,
    Nacked,
    RequestReceived,
    UnansweredReason,
)
from arrivals.smpp.session import Unanswered as SessionUnanswered

_log = logging.getLogger("arrivals.providers")

RECONNECT_FIRST_S: Final = 0.5
RECONNECT_MAX_S: Final = 30.0
STOP_WAIT_S: Final = 2.0  # for answers that are under way
CLOSE_WAIT_S: Final = 0.5  # for the provider to see us off
RECEIVER_FIRST_S: Final = 5.0  # what a transmitter waits for its receiver, and no longer
UNANSWERED_MAX: Final = 10  # submits in a row, a usual window of them: the bind is stuck
# Receipts and replies read and not durable yet, about 20 MB; then we don't read.
OWED_MAX: Final = 10_000
_US: Final = 1_000_000


class _News:
    """What one reading of a link brought to be recorded, and whom to acknowledge for it."""

    __slots__ = ("receipts", "replies", "reply_tokens", "tokens")

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.tokens: list[object] = []
        self.replies: list[Reply] = []
        self.reply_tokens: list[object] = []


class SmppConnection:
    """One provider's binds."""

    def __init__(
        self,
        provider: Provider,
        password: str,
        clock: Clock,
        chance: Chance,
        *,
        patience: float = 1.0,
    ) -> None:
        """Prepare to dial; `patience` is how much rarer its timers are looked at."""
        self.provider_id = provider.provider_id
        self.trouble: str | None = "not connected yet"
        self.submitted = self.throttled = self.inbound_ignored = 0
        self._provider = provider
        self._clock = clock
        self._chance = chance
        self._patience = patience
        self._settings = link_settings(provider, password)
        window = min(provider.window, WINDOW_MAX)
        limit = provider.throughput
        self._pacer = Pacer(*within(limit)) if limit else Pacer(None, window)
        self._pending: deque[tuple[Flight, int, Pdu]] = deque()
        self._room = asyncio.Event()
        self._receiving = asyncio.Event()
        self._links: dict[int, Link] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._sink: Sink | None = None
        self._answers: list[Answer] = []
        self._owed = 0  # receipts and replies that nobody acknowledged yet
        self._unanswered = 0  # submits in a row that timed out
        self._stopping = False
        self._wake: asyncio.TimerHandle | None = None

    # --- what the dispatcher asks ----------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a bind is there that messages may go out on."""
        return self._transmitter() is not None

    @property
    def is_broken(self) -> bool:
        """Whether hand-offs to it got lost in a row."""
        return False

    @property
    def held_for_s(self) -> float:
        """For how long throttling has held back what could have gone out."""
        return 0.0

    @property
    def window_used(self) -> int:
        """How many PDUs wait for their answer."""
        link = self._transmitter()
        return link.session.outstanding if link else 0

    def capacity(self) -> int:
        """Return how many messages may be handed over now: window and pace."""
        return self._capacity(self._now_us())

    def _capacity(self, now_us: int) -> int:
        link = self._transmitter()
        if link is None or self._stopping:
            return 0
        free = link.session.window_free - len(self._pending)
        return max(0, min(free, self._pacer.available(now_us)))

    async def ready(self) -> None:
        """Wait until `capacity` is above zero."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()  # only an error of ours ends it; whoever waits must not wait on
        while not self._capacity(now_us := self._now_us()):
            self._room.clear()
            self._wake_when_paced(now_us)
            await self._room.wait()

    def submit(self, batch: Sequence[Submission]) -> None:
        """Send what was claimed; every one will be answered to the sink."""
        now_us = self._clock.now_us()
        for submission in batch:
            try:
                pdus = submit_sm(submission, now_us, self._provider.dialect)
            except (UnencodablePdu, ValueError):
                malformed = Refused(0, "message_malformed", retryable=False, elsewhere=False)
                self._answer(submission, malformed)
                continue
            flight = Flight(submission, len(pdus), self._provider.error_namespace)
            self._pending.extend((flight, part, pdu) for part, pdu in enumerate(pdus, 1))
        self._pump()
        self._tell()

    def acknowledge(self, tokens: Sequence[object]) -> None:
        """Answer the deliver_sm of receipts and replies that are durable now."""
        flushed: set[Link] = set()
        for token in tokens:
            if isinstance(token, tuple):
                link, pdu = token
                link.answer(pdu)
                flushed.add(link)
        for link in flushed:
            link.flush()
        self._owed -= len(tokens)
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        """Read on while what comes is recorded as fast as it comes, or nearly so."""
        for link in self._links.values():
            link.read(self._owed < OWED_MAX)

    # --- staying connected -----------------------------------------------------------

    async def start(self, sink: Sink) -> None:
        """Begin to connect, and stay connected until stopped."""
        self._sink = sink
        for command_id in BINDS[str(self._provider.settings.get("bind", "transceiver"))]:
            loop = asyncio.get_running_loop()
            self._tasks.append(loop.create_task(self._stay_bound(command_id)))

    async def stop(self) -> None:
        """Finish what is under way within a short time, then unbind and close."""
        self._stopping = True
        self._drop_pending("the platform is stopping")
        self._tell()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WAIT_S):
                while self.window_used:
                    self._room.clear()
                    await self._room.wait()
        await self._close_links()
        if self._wake is not None:
            self._wake.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close_links(self) -> None:
        """Unbind, close, and see every link to its end: then all it owed is told."""
        links = [link for link in self._links.values() if link.is_connected]
        for link in links:
            link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WAIT_S):
                for link in links:
                    await link.closed.wait()
        for link in links:
            await link.abort()

    async def _stay_bound(self, command_id: int) -> None:
        if command_id == c.BIND_TRANSMITTER:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECEIVER_FIRST_S):
                    await self._receiving.wait()
        wait_s = RECONNECT_FIRST_S
        while not self._stopping:
            link = Link(
                self._settings, command_id, self._clock, self._on_events, self._patience
            )
            self._links[command_id] = link
            try:
                await link.open()
                await link.closed.wait()
                if link.was_bound:
                    wait_s = RECONNECT_FIRST_S
                self._trouble(link.reason)
            except (OSError, UnicodeError) as error:  # no such name, no answer, no trust
                why = getattr(error, "strerror", None) or type(error).__name__
                self._trouble(f"can't connect: {why}")
            finally:
                self._links.pop(command_id, None)
                link.close()
            if self._transmitter() is None:
                self._drop_pending("the connection was lost")
            self._tell()
            await asyncio.sleep(wait_s * (0.5 + self._chance.uniform() / 2))
            wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    def _trouble(self, reason: str) -> None:
        if reason != self.trouble and not self._stopping:
            _log.warning("provider %s: %s", self.provider_id, reason)
        self.trouble = reason

    def _transmitter(self) -> Link | None:
        link = self._links.get(c.BIND_TRANSCEIVER) or self._links.get(c.BIND_TRANSMITTER)
        return link if link is not None and link.is_bound else None

    # --- sending ---------------------------------------------------------------------

    def _pump(self) -> None:
        """Send pending parts while the window and the pace allow it."""
        link = self._transmitter()
        if link is None:
            self._drop_pending("not bound")
            return
        if self._sink is not None and self._pending and not self._sink.may_send():
            self._drop_pending("the bind's lease has run out")
            return
        now, now_us = self._clock.monotonic(), self._now_us()
        while self._pending:
            flight, part, pdu = self._pending[0]
            if not flight.stopped:
                if not link.session.window_free or not self._pacer.take(1, now_us):
                    self._wake_when_paced(now_us)
                    break
                self._send(link, flight, part, pdu, now)
            else:
                # A part was refused: the rest of its message stays here.
                flight.stays()
            self._pending.popleft()
            self._conclude(flight)
        link.flush()

    def _send(self, link: Link, flight: Flight, part: int, pdu: Pdu, now: float) -> None:
        try:
            link.session.send_request(pdu, now, (flight, part))
        except UnencodablePdu:
            self._pacer.give_back(1, self._now_us())
            flight.left()
            flight.refused(part, c.ESME_RINVMSGLEN)
            return
        flight.left()
        self.submitted += 1

    def _drop_pending(self, cause: str) -> None:
        """Give back what never reached the socket."""
        while self._pending:
            flight, _, _ = self._pending.popleft()
            flight.stays()
            self._conclude(flight, cause)

    def _wake_when_paced(self, now_us: int) -> None:
        """Come back when the pace allows more than it did at `now_us`.

        It must be the very moment at which there was too little: by a later one there may be
        enough, and then nothing would wake us.
        """
        next_us = self._pacer.next_at(now_us)
        if next_us is None or self._wake is not None:
            return
        delay_s = max(0.001, (next_us - now_us) / _US)
        self._wake = asyncio.get_running_loop().call_later(delay_s, self._paced)

    def _paced(self) -> None:
        self._wake = None
        self._pump()
        self._tell()
        self._room.set()

    # --- what comes back -------------------------------------------------------------

    def _on_events(self, link: Link, events: Sequence[Event]) -> None:
        news = _News()
        accepted = sum(self._on_event(link, event, news) for event in events)
        if accepted:
            self._pacer.succeeded(self._now_us())
        if self._pending:
            self._pump()
        self._tell()
        if news.receipts and self._sink is not None:
            self._owed += len(news.tokens)
            self._sink.received(news.receipts, news.tokens)
        if news.replies and self._sink is not None:
            self._owed += len(news.reply_tokens)
            self._sink.replied(news.replies, news.reply_tokens)
        self._read_or_wait()
        self._room.set()

    def _on_event(self, link: Link, event: Event, news: _News) -> int:
        """Take one event; return how many parts it tells were accepted."""
        match event:
            case Answered(token, _, pdu, waited_s):
                return self._on_answer(token, pdu, waited_s)
            case Nacked(token, pdu):
                return self._on_answer(token, pdu, 0.0)
            case RequestReceived(pdu):
                self._on_request(link, pdu, news)
            case SessionUnanswered(token, _, reason):
                self._on_silence(token)
                if reason is UnansweredReason.TIMEOUT:
                    self._suspect(link)
            case LateAnswer(pdu, token):
                self._on_late(token, pdu)
            case Bound():
                self._on_bound(link)
            case BindRefused(status):
                self._trouble(f"the bind was refused: {c.status_name(status)}")
            case _:  # the link ends with it, and says so itself
                pass
        return 0

    def _on_bound(self, link: Link) -> None:
        self.trouble = None
        _log.info("provider %s: bound", self.provider_id)
        if link.receives:
            self._receiving.set()

    def _on_request(self, link: Link, pdu: Pdu, news: _News) -> None:
        if pdu.command_id not in (c.DELIVER_SM, c.DATA_SM):
            return  # an alert_notification: it asks for no answer, and we asked for none
        receipt = read_receipt(self.provider_id, pdu)
        if receipt is not None:
            self._unanswered = 0
            news.receipts.append(receipt)
            news.tokens.append((link, pdu))
            return
        reply = read_reply(self.provider_id, pdu, self._clock.now_us())
        if reply is not None:
            news.replies.append(reply)
            news.reply_tokens.append((link, pdu))
            return
        self.inbound_ignored += 1
        link.answer(pdu)
        link.flush()

    def _on_answer(self, token: object, pdu: Pdu, waited_s: float) -> int:
        self._unanswered = 0
        flight, part = _of(token)
        taken = _took(pdu)
        if taken:
            flight.taken(part, _message_id(pdu), waited_s)
        else:
            flight.refused(part, _status(pdu))
            if self._is_throttle(_status(pdu)):
                self.throttled += 1
                self._pacer.throttled(self._now_us())
        self._conclude(flight)
        return int(taken)

    def _on_silence(self, token: object) -> None:
        flight, _ = _of(token)
        flight.silent()
        self._conclude(flight)

    def _suspect(self, link: Link) -> None:
        """Leave a bind that lives and does nothing, before all we have goes into it."""
        self._unanswered += 1
        if self._unanswered >= UNANSWERED_MAX:
            self._unanswered = 0
            link.reason = "the provider answers no submit_sm"
            link.close()

    def _on_late(self, token: object, pdu: Pdu) -> None:
        flight, part = _of(token)
        ended = flight.ended
        result = flight.late(part, _message_id(pdu) if _took(pdu) else None, _status(pdu))
        if ended and result is not None:
            self._answer(flight.submission, result, late=True)

    def _conclude(self, flight: Flight, cause: str = "it was not sent") -> None:
        """Answer for a submission once nothing more of it is under way."""
        result = flight.end(cause)
        if result is not None:
            self._answer(flight.submission, result)

    def _is_throttle(self, status: int) -> bool:
        meaning = reason_for_status(status, self._provider.error_namespace)
        return meaning.kind is RefusalKind.THROTTLED

    def _answer(self, submission: Submission, result: Result, *, late: bool = False) -> None:
        self._answers.append(
            Answer(
                provider_id=self.provider_id,
                key=submission.key,
                attempt=submission.attempt,
                epoch=submission.epoch,
                result=result,
                late=late,
            )
        )

    def _tell(self) -> None:
        if self._answers and self._sink is not None:
            answers, self._answers = self._answers, []
            self._sink.answered(answers)

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * _US)


def _of(token: object) -> tuple[Flight, int]:
    if not isinstance(token, tuple):
        raise TypeError("a submit_sm carries its flight and its part")
    return token


def _took(pdu: Pdu) -> bool:
    # A yes without an id can't be matched by id, but it is a yes.
    return pdu.command_status == c.ESME_ROK and pdu.command_id == c.SUBMIT_SM_RESP


def _status(pdu: Pdu) -> int:
    """Return the status of a no; one that says no and gives no status is an error of theirs."""
    return pdu.command_status or c.ESME_RSYSERR


def _message_id(pdu: Pdu) -> str:
    return pdu.octets("message_id").decode("latin-1")
