"""What can be wrong with a PDU.

ValueError
└── UnencodablePdu    ours: a field breaks its bounds; nothing was sent
ProtocolFault
├── MalformedPdu      theirs: one PDU is bad, the stream is still in step
└── FramingError      theirs: the stream is lost, close it
"""

from __future__ import annotations


class UnencodablePdu(ValueError):
    """A PDU value that no octets can say; the reason names the field."""


class ProtocolFault(Exception):
    """What a peer sent breaks the protocol; compared and shown by its values."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.args == self.args

    def __hash__(self) -> int:
        return hash(self.args)


class MalformedPdu(ProtocolFault):
    """One PDU with a sound length and a bad body; `status` is what to answer.

    `octets` is all of it, and no part of what is compared or shown.
    """

    def __init__(
        self, status: int, reason: str, sequence_number: int = 0, command_id: int = 0
    ) -> None:
        super().__init__(status, reason, sequence_number, command_id)
        self.status = status
        self.reason = reason
        self.sequence_number = sequence_number
        self.command_id = command_id
        self.octets = b""


class FramingError(ProtocolFault):
    """A command_length that can't be true; where the next PDU begins is unknown."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
