"""A provider over SMPP: bound as long as it can be, its window kept, its news acknowledged.

The session (smpp/) owns the protocol and this module gives its events to those they concern:
`binds` keeps the connections, `handoff` what goes out; what comes in is read here. Every
submission is answered once: by the provider, by its silence, or by the proof that its PDU
never reached a socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from arrivals.clock import Chance, Clock
from arrivals.core.catalogue import Provider
from arrivals.providers.api import Ignored, Sink, Submission
from arrivals.providers.binds import LEAVE_WAIT_S, UNREACHED, Bind, Binds
from arrivals.providers.dialling import addresses_of, link_settings
from arrivals.providers.handoff import BROKEN, HandOff, is_broken
from arrivals.providers.inbound import News, ignored_event, read_request
from arrivals.providers.link import REFUSED, UNBOUND, Link
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.session import (
    Answered,
    BindForgotten,
    Bound,
    Event,
    LateAnswer,
    Nacked,
    PeerUnbound,
    ProtocolError,
    RequestReceived,
    Unanswered,
    UnexpectedAnswer,
)

_log = logging.getLogger("arrivals.providers")

STOP_WAIT_S: Final = 2.0  # for answers that are under way
# Receipts and replies read and not durable yet, about 20 MB; then we don't read.
OWED_MAX: Final = 10_000
_US: Final = 1_000_000

_FORGOTTEN: Final = "the provider says that we aren't bound: we bind anew"
_MUTE: Final = "the provider answers no submit_sm"


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
        self.refusal = ""  # why a bind isn't there: the provider's no, or that it isn't reached
        self.inbound_ignored = 0
        self._provider = provider
        self._clock = clock
        self._settings = link_settings(provider, password)
        count = int(str(provider.settings.get("binds", 1)))
        self._binds = Binds(
            self._settings,
            addresses_of(provider),
            clock,
            chance,
            kind=str(provider.settings.get("bind", "transceiver")),
            count=count,
            patience=patience,
        )
        self._senders = self._binds.senders
        self.window = self._settings.window * count
        self._handoff = HandOff(
            provider,
            self._senders,
            self.window,
            clock,
            chance,
            self._on_broken,
            self._on_mended,
        )
        self._sink: Sink | None = None
        self._owed = 0  # receipts and replies that nobody acknowledged yet

    # --- what the dispatcher asks ----------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether a bind is there that messages may go out on."""
        return any(bind.live is not None for bind in self._senders)

    @property
    def is_broken(self) -> bool:
        """Whether hand-offs got lost in a row on all of its binds: it is being probed."""
        return is_broken(self._senders)

    @property
    def lacks(self) -> str:
        """Say which of its binds aren't there, though messages may go out; "" if all are."""
        return self._binds.missing if self.up else ""

    @property
    def held_for_s(self) -> float:
        """For how long throttling has held back what could have gone out; 0.0: it doesn't."""
        return self._handoff.held_for_s

    @property
    def window_used(self) -> int:
        """How many PDUs wait for their answer."""
        return sum(bind.link.session.outstanding for bind in self._senders if bind.link)

    @property
    def submitted(self) -> int:
        """How many PDUs went out."""
        return self._handoff.submitted

    @property
    def throttles(self) -> dict[str, int]:
        """How many answers were throttled, by whom they concern: a message, or the bind."""
        return self._handoff.throttles

    def capacity(self) -> int:
        """Return how many messages may be handed over now: window, breaker and pace."""
        return self._handoff.capacity(int(self._clock.monotonic() * _US))

    async def ready(self) -> None:
        """Wait until `capacity` is above zero."""
        self._binds.fail()  # whoever waits must not wait on
        await self._handoff.ready()

    def submit(self, batch: Sequence[Submission]) -> None:
        """Send what was claimed; every one will be answered to the sink."""
        self._handoff.submit(batch)

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
        for link in self._binds.links:
            link.read(self._owed < OWED_MAX)

    # --- the beginning and the end ---------------------------------------------------

    async def start(self, sink: Sink) -> None:
        """Begin to connect, and stay connected until stopped."""
        self._sink = self._handoff.sink = sink
        self._binds.start(self._on_events, self._on_lost)

    async def stop(self) -> None:
        """Finish what is under way within a short time, then unbind and close."""
        self._handoff.stop()
        room = self._handoff.room
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WAIT_S):
                while self._handoff.is_under_way:
                    room.clear()
                    await room.wait()
        self._handoff.close()
        await self._binds.stop()

    def _on_lost(self, bind: Bind, reason: str) -> None:
        """Note that a link is no more."""
        self._trouble(reason)
        self._handoff.drop(bind, "the connection was lost")
        self._handoff.tell()
        self._handoff.room.set()

    def _on_broken(self, bind: Bind) -> None:
        """Say that a bind's breaker is open; leave a bind that lives and does nothing."""
        self._trouble(BROKEN)
        if bind.live is not None:
            wait_s = self._settings.response_timeout_s
            self._binds.leave(bind.live, _MUTE, wait_s, late=True)

    def _on_mended(self) -> None:
        _log.info("provider %s: it answers again", self.provider_id)
        self.trouble = None

    def _trouble(self, reason: str) -> None:
        for word in (REFUSED, UNREACHED):
            if word in reason:  # behind a host's name, where there are several
                self.refusal = reason[reason.index(word) :]
        if self.is_broken and reason != BROKEN:
            reason = f"{BROKEN} ({reason})"
        if reason != self.trouble and not self._handoff.stopping:
            _log.warning("provider %s: %s", self.provider_id, reason)
        self.trouble = reason

    # --- what comes back -------------------------------------------------------------

    def _on_events(self, bind: Bind, link: Link, events: Sequence[Event]) -> None:
        news = News(self._clock.now_us())
        accepted = sum(self._on_event(bind, link, event, news) for event in events)
        handoff = self._handoff
        if accepted:
            handoff.some_taken()
        if bind.pending:
            handoff.pump(bind)
        if link.leaving and link.is_settled:
            link.close()
        handoff.tell()
        if self._sink is not None:
            self._owed += news.owed
            news.tell(self._sink)
        self._read_or_wait()
        handoff.room.set()

    def _on_event(self, bind: Bind, link: Link, event: Event, news: News) -> int:
        """Take one event; return how many parts it tells were accepted."""
        match event:
            case Answered(token, _, pdu, waited_s):
                return self._handoff.answered(bind, link, token, pdu, waited_s)
            case Nacked(token, pdu):
                return self._handoff.answered(bind, link, token, pdu, 0.0)
            case RequestReceived(pdu):
                self._on_request(link, pdu, news)
            case Unanswered(token, _, _):
                self._handoff.silent(bind, token)
            case LateAnswer(pdu, token):
                self._handoff.late(bind, link, token, pdu)
            case Bound():
                self._on_bound(link)
            case BindForgotten():
                # What is under way has a moment to be answered.
                self._trouble(_FORGOTTEN)
                self._binds.leave(link, _FORGOTTEN, LEAVE_WAIT_S)
            case PeerUnbound():
                self._binds.leave(link, UNBOUND, LEAVE_WAIT_S)
            case ProtocolError() | UnexpectedAnswer():
                news.add(ignored_event(self.provider_id, event))
            case _:  # the link ends with it, and says so itself
                pass
        return 0

    def _on_bound(self, link: Link) -> None:
        self.trouble = BROKEN if self.is_broken else None
        if not self._binds.missing:
            self.refusal = ""
        _log.info("provider %s: bound", self.provider_id)
        if link.receives:
            self._binds.is_receiving()

    def _on_request(self, link: Link, pdu: Pdu, news: News) -> None:
        said = read_request(self._provider, pdu, news.came_at_us)
        if isinstance(said, Ignored):
            self.inbound_ignored += 1
        # An alert_notification asks for no answer.
        news.add(said, None if pdu.command_id == c.ALERT_NOTIFICATION else (link, pdu))
