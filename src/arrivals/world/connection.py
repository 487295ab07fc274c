"""One ESME's connection: bytes between a socket and a session, in batches.

Whatever one read brings is answered with one write. A peer that doesn't read is not read
from either, so nothing here grows with its silence.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final, cast

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.session import (
    Answered,
    BindRequested,
    Event,
    LinkDead,
    Nacked,
    PeerUnbound,
    RequestReceived,
    Role,
    Session,
    SessionSettings,
    Unanswered,
    UnansweredReason,
    Unbound,
)
from arrivals.smpp.states import BOUND, SessionState
from arrivals.world.mailbox import Mailbox, Parcel, pdu_of

if TYPE_CHECKING:
    from arrivals.world.exchange import Exchange

WINDOW_MAX: Final = 10_000  # receipts in flight; each provider's own window is below it
LEAVING_TICKS_MAX: Final = 10  # for a peer to take the last bytes
JUNK: Final = b"\xff" * 64  # no command_length is like this: the stream is lost

_LENGTH_AND_COMMAND: Final = struct.Struct(">II")
_RECEIVING: Final = frozenset({SessionState.BOUND_RX, SessionState.BOUND_TRX})


class Connection(asyncio.Protocol):
    """One connection, from accept to loss."""

    def __init__(self, exchange: Exchange, acknowledge_within_s: float) -> None:
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._settings = SessionSettings(
            window=WINDOW_MAX, response_timeout_s=acknowledge_within_s, enquire_link_s=30.0
        )
        self.session = Session(Role.SMSC, self._settings, self._loop.time())
        self.system_id = ""  # once bound
        self.unanswered = 0  # submits whose answer is due later
        self.submits = 0  # that came on this bind
        self.dropped = False  # gone, though not everything that came was read
        self._answer_last = b""  # the bind's, behind what is told before it
        self._forgets_link = False
        self._mailbox: Mailbox | None = None
        self._writable = True
        self._leaving = False
        self._overdue_ticks = 0
        self._returned: list[object] = []  # receipts that a lost bind didn't acknowledge

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the world has connections enough."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._exchange.admit(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle everything that one read brought, then write once."""
        for event in self.session.receive_data(data, self._loop.time()):
            self._take(event)
        self._return_receipts()
        self._exchange.touch(self)
        self._exchange.settle()

    def pause_writing(self) -> None:
        """Stop reading from a peer that doesn't read."""
        self._writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on with a peer that reads again."""
        self._writable = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self._exchange.settle(self._mailbox)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it's gone
        """Put receipts that nobody acknowledged back into the mailbox."""
        self._transport = None
        self._leave()
        for event in self.session.connection_lost():
            self._take(event)
        self._return_receipts()
        self._exchange.dismiss(self)

    # The exchange's side

    @property
    def bound(self) -> bool:
        """Whether a bind was accepted and still holds."""
        return self.session.state in BOUND

    @property
    def room(self) -> int:
        """How many more receipts this bind takes now."""
        if not self._writable or self._mailbox is None or self._exchange.garbage:
            return 0
        session = self.session
        return min(session.window_free, self._mailbox.habits.window - session.outstanding)

    def deliver(self, parcel: Parcel) -> None:
        """Send a receipt, or a reply."""
        if self._mailbox is not None:
            pdu = pdu_of(parcel, self._mailbox.habits)
            self.session.send_request(pdu, self._loop.time(), parcel)
            self._exchange.touch(self)

    def answer(self, sequence_number: int, status: int, message_id: str | None) -> None:
        """Answer a submit_sm, unless the bind has gone."""
        if self._transport is None or self.session.state is SessionState.CLOSED:
            return
        request = Pdu(c.SUBMIT_SM, sequence_number=sequence_number)
        fields = {} if message_id is None else {"message_id": message_id.encode("latin-1")}
        self.session.send_response(request, status, fields)
        self._exchange.touch(self)

    def answer_late(self, sequence_number: int, status: int, message_id: str | None) -> None:
        """Answer a submit_sm that was counted as unanswered."""
        self.unanswered -= 1
        self.answer(sequence_number, status, message_id)

    def flush(self) -> None:
        """Write everything queued, or junk of no meaning in its place."""
        data = self.session.bytes_to_send()
        if self._transport is None:
            return
        if self._answer_last:
            data, self._answer_last = data + self._answer_last, b""
        if self._forgets_link:
            data = _in_the_wrong_state(data)
        if data:
            self._transport.write(JUNK if self._exchange.garbage else data)
        if self._leaving:
            self._transport.close()

    def tick(self) -> None:
        """Do what the session's timers ask; cut off a peer that won't let go."""
        if self._leaving:
            self._overdue_ticks += 1
            if self._overdue_ticks > LEAVING_TICKS_MAX:
                self.abort()
            return
        now = self._loop.time()
        due = self.session.next_timer()
        if due is None or due > now:
            return
        for event in self.session.tick(now):
            self._take(event)
        self._return_receipts()
        self._exchange.touch(self)

    def unbind(self) -> None:
        """Say goodbye, if there's somebody to say it to."""
        if self.bound:
            self.session.unbind(self._loop.time())
        self._leaving = True
        self.flush()

    def forget(self, link: bool) -> None:  # noqa: FBT001 - as the scenario says
        """Not know any more that this is a bind; nor, if `link`, that it's a link."""
        self._forgets_link = link
        if self._mailbox is not None:
            self._mailbox.close_to(self)

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.dropped = True
        if self._transport is not None:
            self._transport.abort()

    # Events

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(pdu):
                self._request(pdu)
            case Answered(token, _, pdu):
                self._acknowledged(token, pdu.command_status)
            case Nacked(token, pdu):
                self._acknowledged(token, pdu.command_status or c.ESME_RSYSERR)
            case Unanswered(_, _, UnansweredReason.TIMEOUT):
                self._acknowledged(event.token, c.ESME_RSYSERR)
            case Unanswered(token):
                self._returned.append(token)
            case BindRequested(pdu):
                self._bind(pdu)
            case PeerUnbound() | Unbound() | LinkDead():
                self._leave()
            case _:  # a protocol error was answered; a late answer changes nothing here
                pass

    def _request(self, pdu: Pdu) -> None:
        if self.dropped:
            return
        if pdu.command_id == c.SUBMIT_SM:
            self._exchange.submit(self, pdu)
        else:
            self.session.send_response(pdu, c.ESME_RINVCMDID)

    def _acknowledged(self, token: object, status: int) -> None:
        if self._mailbox is not None and isinstance(token, Parcel):
            self._mailbox.acknowledged(token, status)
            self._exchange.expect(self._mailbox)

    def _return_receipts(self) -> None:
        """Put what a lost bind left unacknowledged back into the mailbox, in its order."""
        if self._mailbox is not None and self._returned:
            self._mailbox.take_back(t for t in self._returned if isinstance(t, Parcel))
            self._exchange.expect(self._mailbox)
        self._returned.clear()

    def _leave(self) -> None:
        self._leaving = True
        if self._mailbox is not None:
            self._mailbox.close_to(self)

    def _bind(self, pdu: Pdu) -> None:
        now = self._loop.time()
        system_id = pdu.octets("system_id").decode("latin-1")
        status = self._exchange.judge_bind(system_id, pdu)
        if status != c.ESME_ROK:
            self.session.refuse_bind(pdu, status, now)
            return
        self.session.accept_bind(pdu, now, self._exchange.NAME)
        self.system_id = system_id
        self._mailbox = self._exchange.mailbox(system_id)
        if self.session.state in _RECEIVING:
            if self._mailbox.habits.before_bind_answer:
                self._answer_last = self.session.bytes_to_send()
            self._mailbox.open_to(self)
            self._exchange.expect(self._mailbox)


def _in_the_wrong_state(data: bytes) -> bytes:
    """Return PDUs in which every answer to a probe says that there's no bind here."""
    told, at = bytearray(data), 0
    while at < len(told):
        length, command_id = _LENGTH_AND_COMMAND.unpack_from(told, at)
        if command_id == c.ENQUIRE_LINK_RESP:
            told[at + 8 : at + 12] = c.ESME_RINVBNDSTS.to_bytes(4, "big")
        at += length
    return bytes(told)
