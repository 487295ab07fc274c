"""What a session tells its caller, as frozen values."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from arrivals.smpp.pdu import Pdu


class UnansweredReason(StrEnum):
    """Why a request has no answer; in every case the peer may have acted on it."""

    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    UNBOUND = "unbound"


class Bound(msgspec.Struct, frozen=True):
    """The session is bound; `pdu` is the bind_resp (ESME)."""

    pdu: Pdu


class BindRefused(msgspec.Struct, frozen=True):
    """The SMSC said no, by bind_resp or generic_nack (ESME); another bind may be tried."""

    status: int
    pdu: Pdu


class BindRequested(msgspec.Struct, frozen=True):
    """A bind waits for accept_bind or refuse_bind (SMSC)."""

    pdu: Pdu


class RequestReceived(msgspec.Struct, frozen=True):
    """A legal request that the caller must answer (outbind and alert_notification aside)."""

    pdu: Pdu


class Answered(msgspec.Struct, frozen=True):
    """The answer to a request, whatever its status."""

    token: object
    sequence_number: int
    pdu: Pdu
    elapsed_s: float


class Nacked(msgspec.Struct, frozen=True):
    """A generic_nack for a request: the peer didn't act on it."""

    token: object
    pdu: Pdu


class Unanswered(msgspec.Struct, frozen=True):
    """A request whose answer will not be waited for any longer."""

    token: object
    sequence_number: int
    reason: UnansweredReason


class LateAnswer(msgspec.Struct, frozen=True):
    """An answer, or a generic_nack, to a request already told as Unanswered."""

    pdu: Pdu
    token: object


class UnexpectedAnswer(msgspec.Struct, frozen=True):
    """An answer to nothing we remember, or of the wrong kind."""

    pdu: Pdu


class PeerUnbound(msgspec.Struct, frozen=True):
    """The peer asked to unbind and was answered; close once the bytes are out.

    An ESME may wait a moment before: answers to what is under way still count.
    """


class Unbound(msgspec.Struct, frozen=True):
    """Our unbind was answered; close."""


class BindForgotten(msgspec.Struct, frozen=True):
    """The peer answers a request of ours as if we weren't bound; bind anew."""


class LinkDead(msgspec.Struct, frozen=True):
    """The link is of no more use; close, then call connection_lost."""

    reason: str


class Fault(StrEnum):
    """In which way a peer broke the protocol."""

    UNKNOWN_COMMAND = "unknown_command"
    WRONG_STATE = "wrong_state"  # a command that it may not send now
    MALFORMED = "malformed"  # a body that breaks its layout
    STREAM_LOST = "stream_lost"  # a length that can't be true


class ProtocolError(msgspec.Struct, frozen=True):
    """The peer broke the protocol and was answered; but for a lost stream the session goes on.

    What it sent is in `pdu`, or in `octets` where no PDU could be made of it.
    """

    reason: str
    fault: Fault
    pdu: Pdu | None = None
    octets: bytes = b""

    def __repr__(self) -> str:
        """Show why, and never the octets: they may be a text."""
        return f"ProtocolError({self.reason!r}, {self.fault}, {self.pdu!r})"


Event = (
    Bound
    | BindRefused
    | BindRequested
    | RequestReceived
    | Answered
    | Nacked
    | Unanswered
    | LateAnswer
    | UnexpectedAnswer
    | PeerUnbound
    | Unbound
    | BindForgotten
    | LinkDead
    | ProtocolError
)
