"""SMPP frames, read by the book and not by our own decoder: the auditor's eyes.

What is needed of SMPP 3.4 to see who was handed what: section 3.2 for the frame, 4.4.1 for
submit_sm and deliver_sm, appendix B for receipts.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

BIND_RECEIVER: Final = 0x00000001
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
RESPONSE: Final = 0x80000000
SUBMIT_SM_RESP: Final = SUBMIT_SM | RESPONSE
DELIVER_SM_RESP: Final = DELIVER_SM | RESPONSE
RTHROTTLED: Final = 0x58
RMSGQFUL: Final = 0x14

_HEADER: Final = struct.Struct(">IIII")
_UDHI: Final = 0x40
_CONCATENATED: Final = 0x00
_UCS2: Final = 8
_SAID: Final = re.compile(rb"id:(?P<id>\S*) .*?stat:(?P<stat>\w+)", re.DOTALL)


class Frame(NamedTuple):
    """One PDU as it was on the wire."""

    command: int
    status: int
    sequence: int
    body: bytes

    def octets(self) -> bytes:
        """Return it as it goes on the wire."""
        length = _HEADER.size + len(self.body)
        return _HEADER.pack(length, self.command, self.status, self.sequence) + self.body


class Short(NamedTuple):
    """What a submit_sm or deliver_sm carries."""

    source: str
    destination: str
    part: int
    parts: int
    octets: bytes  # without the header of a part
    text: str


class Frames:
    """Cuts a stream into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole now; what isn't SMPP ends the stream."""
        self._rest += data
        while len(self._rest) >= _HEADER.size:
            length, command, status, sequence = _HEADER.unpack_from(self._rest)
            if not _HEADER.size <= length <= 65_536:
                self._rest = b""
                return
            if len(self._rest) < length:
                return
            body, self._rest = self._rest[_HEADER.size : length], self._rest[length:]
            yield Frame(command, status, sequence, body)


def read_short(body: bytes) -> Short:
    """Read the mandatory part of a submit_sm or deliver_sm."""
    at = _after_zero(body, 0) + 2  # service_type, then type and plan of the source
    end = _after_zero(body, at)
    source, at = body[at : end - 1], end + 2
    end = _after_zero(body, at)
    destination, at = body[at : end - 1], end
    esm_class, at = body[at], _after_zero(body, _after_zero(body, at + 3)) + 2
    data_coding, length = body[at], body[at + 2]
    octets = body[at + 3 : at + 3 + length]
    part = parts = 1
    if esm_class & _UDHI:
        header = octets[1 : 1 + octets[0]]
        octets = octets[1 + octets[0] :]
        if header[0] == _CONCATENATED:
            parts, part = header[3], header[4]
    text = octets.decode("utf-16-be" if data_coding == _UCS2 else "latin-1", "replace")
    return Short(
        source.decode("latin-1"), destination.decode("latin-1"), part, parts, octets, text
    )


def read_said(octets: bytes) -> tuple[str, str] | None:
    """Return the id and the word of a receipt's text, if it is one."""
    found = _SAID.search(octets)
    return (found["id"].decode("latin-1"), found["stat"].decode("latin-1")) if found else None


def _after_zero(body: bytes, at: int) -> int:
    return body.index(b"\0", at) + 1
