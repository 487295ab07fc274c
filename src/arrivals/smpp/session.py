"""One SMPP connection, for both roles: binds, window, sequence numbers and timers.

A session has no socket and no clock. Its caller gives it the bytes that came and the
monotonic time in seconds, and takes back events and the bytes to write. A batch goes in
and a batch comes out, so that a busy link costs one call each way.

What the session does by itself: it answers enquire_link and unbind, asks enquire_link,
refuses commands that are unknown or illegal in this state, and keeps the stream alive
over a malformed body. What it never does: send a request twice. A request without an
answer is told as Unanswered and its token is remembered, bounded, for a late answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.smpp.bent import read_bent
from arrivals.smpp.events import (
    Answered,
    BindForgotten,
    BindRefused,
    BindRequested,
    Bound,
    Event,
    Fault,
    LateAnswer,
    LinkDead,
    Nacked,
    PeerUnbound,
    ProtocolError,
    RequestReceived,
    Unanswered,
    UnansweredReason,
    Unbound,
    UnexpectedAnswer,
)
from arrivals.smpp.layouts import BODILESS_ON_ERROR, LAYOUTS, UNANSWERED
from arrivals.smpp.outstanding import Outstanding, Sent
from arrivals.smpp.pdu import Framer, FramingError, MalformedPdu, Pdu, Tlvs, encode, make_tlv
from arrivals.smpp.states import (
    BINDS,
    BOUND,
    LEGAL_REQUESTS,
    OWN_REQUESTS,
    TAKEN_REQUESTS,
    WINDOWED,
    Role,
    SessionState,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Answered",
    "BindForgotten",
    "BindRefused",
    "BindRequested",
    "Bound",
    "Event",
    "Fault",
    "LateAnswer",
    "LinkDead",
    "Nacked",
    "PeerUnbound",
    "ProtocolError",
    "RequestReceived",
    "Role",
    "Session",
    "SessionSettings",
    "SessionState",
    "Unanswered",
    "UnansweredReason",
    "Unbound",
    "UnexpectedAnswer",
    "WindowFull",
    "WrongState",
]

# Queries, cancels and replaces are outside the window; this bounds them all the same.
CONTROL_REQUESTS_MAX: Final = 100


class WindowFull(Exception):
    """As many requests are unanswered as may be; nothing was sent."""


class WrongState(Exception):
    """This role may not send this command in this state; nothing was sent."""


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one connection behaves. Times are seconds."""

    window: int = 10  # unanswered messages at once; what most SMSCs grant
    response_timeout_s: float = 10.0
    enquire_link_s: float | None = 15.0  # between probes, whatever the traffic; None: never
    enquire_link_missed_max: int = 2  # silent probes until the link is dead
    bind_timeout_s: float = 10.0  # for the bind to come, and for its answer
    interface_version: int = c.INTERFACE_VERSION_3_4
    late_answers_max: int = 10_000  # timed-out requests remembered: 16 min at 10 a second
    first_sequence_number: int = 1


class Session:
    """One end of one SMPP connection."""

    def __init__(self, role: Role, settings: SessionSettings, now: float) -> None:
        self.role = role
        self.settings = settings
        self.state = SessionState.OPEN
        self._bound_as = SessionState.OPEN  # what the peer believes while we unbind
        # Of a carrier all that can be read counts; a customer's request is whole or refused.
        self._framer = Framer(read_bent if role is Role.ESME else None)
        self._to_send: list[bytes] = []
        self._next_number = settings.first_sequence_number
        self._sent = Outstanding(settings.response_timeout_s, settings.late_answers_max)
        self._handshake: int | None = None  # our bind's or unbind's sequence number
        self._handshake_until: float | None = now + settings.bind_timeout_s
        self._probe: tuple[int, float] | None = None  # our enquire_link in flight
        self._probe_at: float | None = None
        self._probes_missed = 0
        self._heard_at = now

    # Sending

    @property
    def window_free(self) -> int:
        """How many more messages may be sent before an answer comes; zero unless bound."""
        return self.settings.window - self._sent.windowed if self.state in BOUND else 0

    @property
    def outstanding(self) -> int:
        """How many requests of the caller's wait for their answers."""
        return len(self._sent)

    @property
    def given_up(self) -> int:
        """How many requests timed out whose answers may come yet."""
        return self._sent.late

    def outstanding_tokens(self) -> tuple[object, ...]:
        """Return the tokens of unanswered requests, oldest first."""
        return self._sent.tokens()

    def send_request(self, pdu: Pdu, now: float, token: object = None) -> int:
        """Queue a request and return its sequence number.

        Raise WrongState, WindowFull or UnencodablePdu; then nothing was queued.
        `token` comes back with whatever becomes of the request.
        """
        command_id = pdu.command_id
        if (
            command_id not in LEGAL_REQUESTS[self.role, self.state]
            or command_id in OWN_REQUESTS
        ):
            raise WrongState(f"{self.role} {self.state}: {c.command_name(command_id)}")
        windowed = self._sent.windowed
        if command_id in WINDOWED:
            if windowed >= self.settings.window:
                raise WindowFull(f"{windowed} messages are unanswered")
        elif len(self._sent) - windowed >= CONTROL_REQUESTS_MAX:
            raise WindowFull(f"{CONTROL_REQUESTS_MAX} requests are unanswered")
        number = self._queue_request(pdu)
        if command_id not in UNANSWERED:
            self._sent.add(number, Sent(token, command_id, now))
        return number

    def send_response(
        self,
        request: Pdu,
        status: int = 0,
        fields: Mapping[str, int | bytes] | None = None,
        tlvs: Tlvs = (),
    ) -> None:
        """Queue the answer to a request; binds are answered by accept_bind and refuse_bind.

        An answer that says no goes without a body where SMPP asks for that.
        """
        if request.command_id in UNANSWERED or request.is_response:
            raise WrongState(f"{c.command_name(request.command_id)} takes no answer")
        command_id = request.command_id | c.RESPONSE
        bodiless = status != 0 and not fields and command_id in BODILESS_ON_ERROR
        response = Pdu(
            command_id,
            status,
            request.sequence_number,
            dict(fields) if fields else {},
            tlvs,
            b"" if bodiless and not tlvs else None,
        )
        self._queue(encode(response))

    def bind(
        self,
        command_id: int,
        now: float,
        *,
        system_id: bytes,
        password: bytes = b"",
        system_type: bytes = b"",
        addr_ton: int = 0,
        addr_npi: int = 0,
        address_range: bytes = b"",
    ) -> int:
        """Ask to be bound (ESME); Bound, BindRefused or LinkDead follows."""
        if command_id not in BINDS or command_id not in LEGAL_REQUESTS[self.role, self.state]:
            raise WrongState(f"{self.role} {self.state}: {c.command_name(command_id)}")
        fields: dict[str, int | bytes] = {
            "system_id": system_id,
            "password": password,
            "system_type": system_type,
            "interface_version": self.settings.interface_version,
            "addr_ton": addr_ton,
            "addr_npi": addr_npi,
            "address_range": address_range,
        }
        number = self._queue_request(Pdu(command_id, fields=fields))
        self._bound_as = BINDS[command_id]
        self._begin_handshake(number, SessionState.BINDING, now + self.settings.bind_timeout_s)
        return number

    def accept_bind(
        self, request: Pdu, now: float, system_id: bytes = b"", tlvs: Tlvs = ()
    ) -> None:
        """Answer a BindRequested with yes (SMSC). The session is bound from here on."""
        self._expect_bind(request)
        version = make_tlv(c.TLV_SC_INTERFACE_VERSION, self.settings.interface_version)
        self.send_response(request, 0, {"system_id": system_id}, (version, *tlvs))
        self._become_bound(BINDS[request.command_id], now)

    def refuse_bind(self, request: Pdu, status: int, now: float) -> None:
        """Answer a BindRequested with no (SMSC). The peer may try again, within the time."""
        self._expect_bind(request)
        self.send_response(request, status)
        self.state = SessionState.OPEN
        self._handshake_until = now + self.settings.bind_timeout_s

    def unbind(self, now: float) -> int:
        """Ask to end the session; Unbound or LinkDead follows.

        Answers still come meanwhile; what has none by then is told as Unanswered.
        """
        if c.UNBIND not in LEGAL_REQUESTS[self.role, self.state]:
            raise WrongState(f"{self.role} {self.state}: unbind")
        number = self._queue_request(Pdu(c.UNBIND))
        until = now + self.settings.response_timeout_s
        self._begin_handshake(number, SessionState.UNBINDING, until)
        self._probe_at = None
        return number

    def bytes_to_send(self) -> bytes:
        """Return everything queued, in order, and forget it."""
        if not self._to_send:
            return b""
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data

    # Receiving

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer and return what they mean."""
        events: list[Event] = []
        for frame in self._framer.feed(data):
            if isinstance(frame, Pdu):
                self._heard_at = now
                if frame.command_id & c.RESPONSE:
                    self._receive_response(frame, now, events)
                else:
                    self._receive_request(frame, now, events)
            elif isinstance(frame, MalformedPdu):
                self._heard_at = now
                self._refuse_malformed(frame, events)
            else:
                self._lose_stream(frame, events)
        return events

    def connection_lost(self) -> list[Event]:
        """Take note that the connection is gone; every open request is Unanswered."""
        self._close()
        return self._sent.abandon(UnansweredReason.CONNECTION_LOST)

    # Time

    def next_timer(self) -> float | None:
        """Return when `tick` is next needed; None when nothing is timed."""
        probe_at = self._probe_at
        if self._probe is not None:
            probe_at = self._probe[1] + self.settings.response_timeout_s
        times = (self._sent.deadline(), self._handshake_until, probe_at)
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> list[Event]:
        """Do what is due at `now`."""
        events = self._sent.expire(now)
        if self._handshake_until is not None and now >= self._handshake_until:
            self._die(f"{self.state}: no bind or answer in time", events)
        elif self._probe is not None:
            if now >= self._probe[1] + self.settings.response_timeout_s:
                self._miss_probe(self._probe[1], now, events)
        elif self._probe_at is not None:
            if events and now - self._heard_at >= self.settings.response_timeout_s:
                # A request that met nothing but silence tells as much as a probe would have.
                self._miss_probe(self._heard_at, now, events)
            elif now >= self._probe_at:
                self._send_probe(now)
        return events

    def _send_probe(self, now: float) -> None:
        self._probe = (self._queue_request(Pdu(c.ENQUIRE_LINK)), now)

    def _miss_probe(self, sent_at: float, now: float, events: list[Event]) -> None:
        """Count a probe as missed unless the peer was heard since: traffic proves life too.

        After a missed one the next follows at once, so that a dead link holds nothing up.
        """
        if self._heard_at > sent_at:
            self._probes_missed = 0
            self._schedule_probe(sent_at, now)
            return
        self._probes_missed += 1
        if self._probes_missed >= self.settings.enquire_link_missed_max:
            self._die("the peer has fallen silent", events)
        else:
            self._send_probe(now)

    def _schedule_probe(self, sent_at: float, now: float) -> None:
        self._probe = None
        period = self.settings.enquire_link_s
        if period is not None and self.state in BOUND:
            self._probe_at = max(now, sent_at + period)

    # Responses

    def _receive_response(self, pdu: Pdu, now: float, events: list[Event]) -> None:
        number = pdu.sequence_number
        sent = self._sent.get(number)
        if sent is not None:
            if not sent.is_answered_by(pdu.command_id):
                events.append(UnexpectedAnswer(pdu))
                return
            self._sent.settle(number)
            if pdu.command_id == c.GENERIC_NACK:
                events.append(Nacked(sent.token, pdu))
            else:
                events.append(Answered(sent.token, number, pdu, now - sent.sent_at))
            if pdu.command_status:
                self._note_forgotten(pdu, events)
        elif number == self._handshake or self._refuses_bind(pdu):
            self._finish_handshake(pdu, now, events)
        elif self._probe is not None and number == self._probe[0]:
            self._probes_missed = 0
            self._schedule_probe(self._probe[1], now)
            self._note_forgotten(pdu, events)
        else:
            late = self._sent.settle_late(number, pdu.command_id)
            events.append(
                UnexpectedAnswer(pdu) if late is None else LateAnswer(pdu, late.token)
            )

    def _note_forgotten(self, pdu: Pdu, events: list[Event]) -> None:
        if pdu.command_status == c.ESME_RINVBNDSTS and self.state in BOUND:
            events.append(BindForgotten())

    def _refuses_bind(self, pdu: Pdu) -> bool:
        """Tell whether a generic_nack can only mean our bind, whatever number it gives."""
        return self.state is SessionState.BINDING and pdu.command_id == c.GENERIC_NACK

    def _finish_handshake(self, pdu: Pdu, now: float, events: list[Event]) -> None:
        if self.state is SessionState.UNBINDING:  # whatever it says, we are leaving
            self._close()
            events += self._sent.abandon(UnansweredReason.UNBOUND)
            events.append(Unbound())
        elif pdu.command_id & ~c.RESPONSE in BINDS and pdu.command_status == c.ESME_ROK:
            self._become_bound(self._bound_as, now)
            events.append(Bound(pdu))
        else:
            self.state = SessionState.OPEN
            self._handshake = None
            self._handshake_until = now + self.settings.bind_timeout_s
            events.append(BindRefused(pdu.command_status, pdu))

    # Requests

    def _receive_request(self, pdu: Pdu, now: float, events: list[Event]) -> None:
        command_id = pdu.command_id
        if command_id not in LAYOUTS:
            self._nack(c.ESME_RINVCMDID, pdu.sequence_number)
            reason = f"unknown command 0x{command_id:08X}"
            events.append(ProtocolError(reason, Fault.UNKNOWN_COMMAND, pdu))
        elif command_id not in TAKEN_REQUESTS[self.role.peer, self._state_of_peer()]:
            self._refuse_illegal(pdu, events)
        elif command_id == c.ENQUIRE_LINK:
            self.send_response(pdu)
        elif command_id == c.UNBIND:
            self.send_response(pdu)
            self._close()
            if self.role is Role.SMSC:
                events += self._sent.abandon(UnansweredReason.UNBOUND)
            # Our messages may still be answered for as long as the connection holds.
            events.append(PeerUnbound())
        elif command_id in BINDS:
            self.state = SessionState.BINDING
            self._handshake_until = now + self.settings.bind_timeout_s
            events.append(BindRequested(pdu))
        else:
            events.append(RequestReceived(pdu))

    def _state_of_peer(self) -> SessionState:
        """Our unbind may not have reached the peer: until it answers, it is bound."""
        return self._bound_as if self.state is SessionState.UNBINDING else self.state

    def _refuse_illegal(self, pdu: Pdu, events: list[Event]) -> None:
        name = c.command_name(pdu.command_id)
        reason = f"{name} from {self.role.peer} while {self.state}"
        events.append(ProtocolError(reason, Fault.WRONG_STATE, pdu))
        if pdu.command_id in UNANSWERED:
            return
        again = pdu.command_id in BINDS and self._state_of_peer() in BOUND
        self.send_response(pdu, c.ESME_RALYBND if again else c.ESME_RINVBNDSTS)

    def _refuse_malformed(self, fault: MalformedPdu, events: list[Event]) -> None:
        """Answer a bad body: a bad length by generic_nack (4.3.1), a bad field by its own."""
        name = c.command_name(fault.command_id)
        reason = f"malformed {name}: {fault.reason}"
        events.append(ProtocolError(reason, Fault.MALFORMED, octets=fault.octets))
        if fault.status == c.ESME_RINVCMDLEN or fault.command_id in UNANSWERED:
            self._nack(fault.status, fault.sequence_number)
        else:
            request = Pdu(fault.command_id, sequence_number=fault.sequence_number)
            self.send_response(request, fault.status)

    def _lose_stream(self, fault: FramingError, events: list[Event]) -> None:
        self._nack(c.ESME_RINVCMDLEN, 0)
        events.append(ProtocolError(fault.reason, Fault.STREAM_LOST))
        self._die(f"the stream is lost: {fault.reason}", events)

    def _nack(self, status: int, number: int) -> None:
        self._queue(encode(Pdu(c.GENERIC_NACK, status, number)))

    # State

    def _expect_bind(self, request: Pdu) -> None:
        if (
            self.role is not Role.SMSC
            or self.state is not SessionState.BINDING
            or request.command_id not in BINDS
        ):
            name = c.command_name(request.command_id)
            raise WrongState(f"{self.role} {self.state}: no {name} to answer")

    def _begin_handshake(self, number: int, state: SessionState, until: float) -> None:
        self.state = state
        self._handshake = number
        self._handshake_until = until

    def _become_bound(self, state: SessionState, now: float) -> None:
        self.state = self._bound_as = state
        self._handshake = self._handshake_until = None
        self._schedule_probe(now, now)

    def _close(self) -> None:
        self.state = SessionState.CLOSED
        self._handshake = self._handshake_until = None
        self._probe = self._probe_at = None

    def _die(self, reason: str, events: list[Event]) -> None:
        self._close()
        events.append(LinkDead(reason))

    def _queue_request(self, pdu: Pdu) -> int:
        """Give a request the next free number; numbers wrap and skip what is still awaited."""
        number = self._next_number
        while self._is_awaited(number):
            number = _after(number)
        self._queue(encode(pdu, sequence_number=number))
        self._next_number = _after(number)
        return number

    def _is_awaited(self, number: int) -> bool:
        return (
            number in self._sent
            or number == self._handshake
            or (self._probe is not None and number == self._probe[0])
        )

    def _queue(self, data: bytes) -> None:
        self._to_send.append(data)


def _after(number: int) -> int:
    return 1 if number >= c.SEQUENCE_NUMBER_MAX else number + 1
