"""SMPP frames, read by the book and not by our own decoder: the auditor's eyes.

What is needed of SMPP 3.4 to see who was handed what: section 3.2 for the frame, 4.4.1 for
submit_sm and deliver_sm; `said` reads receipts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

BIND_RECEIVER: Final = 0x00000001
SUBMIT_SM: Final = 0x00000004
DELIVER_SM: Final = 0x00000005
RESPONSE: Final = 0x80000000
SUBMIT_SM_RESP: Final = SUBMIT_SM | RESPONSE
DELIVER_SM_RESP: Final = DELIVER_SM | RESPONSE
GENERIC_NACK: Final = 0x80000000
BIND_TRANSMITTER: Final = 0x00000002
BIND_TRANSCEIVER: Final = 0x00000009
RINVBNDSTS: Final = 0x04
RINVSYSTYP: Final = 0x53
# What says that a submit_sm isn't written as it should be (section 5.1.3).
MISSPOKEN: Final = frozenset({0x01, 0x02, 0x15, 0x43, 0x48, 0x49, 0x62, 0xC0, 0xC1, 0xC3})
RTHROTTLED: Final = 0x58
RMSGQFUL: Final = 0x14

_HEADER: Final = struct.Struct(">IIII")
_TLV: Final = struct.Struct(">HH")
_UDHI: Final = 0x40
_CONCATENATED: Final = 0x00
_UCS2: Final = 8
_SAR_SERIES: Final = 0x020C
_SAR_PARTS: Final = 0x020E
_SAR_PART: Final = 0x020F
_PAYLOAD: Final = 0x0424
# 3GPP TS 23.038, 6.2.1 and what of its extension is ever written here.
_GSM: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_ESCAPED: Final = {0x65: "€", 0x3C: "[", 0x3E: "]"}
_ESCAPE: Final = 0x1B


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
    esm_class: int
    data_coding: int
    part: int
    parts: int
    series: bytes  # the reference that the parts share
    octets: bytes  # without the header of a part
    tlvs: dict[int, bytes]
    whole: bool  # the message in one piece, however long


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
    """Read a submit_sm or deliver_sm; of its TLVs, those that are whole."""
    at = _after_zero(body, 0) + 2  # service_type, then type and plan of the source
    end = _after_zero(body, at)
    source, at = body[at : end - 1], end + 2
    end = _after_zero(body, at)
    destination, at = body[at : end - 1], end
    esm_class, at = body[at], _after_zero(body, _after_zero(body, at + 3)) + 2
    data_coding, length = body[at], body[at + 2]
    octets = body[at + 3 : at + 3 + length]
    tlvs = _read_tlvs(body, at + 3 + length)
    octets = tlvs.get(_PAYLOAD, octets)
    series = tlvs.get(_SAR_SERIES, b"")
    part, parts = tlvs.get(_SAR_PART, b"\1")[0], tlvs.get(_SAR_PARTS, b"\1")[0]
    if esm_class & _UDHI and (header := _header(octets)):
        octets = octets[len(header) :]
        if header[1] == _CONCATENATED:
            series, parts, part = header[3:4], header[4], header[5]
    return Short(
        source.decode("latin-1"),
        destination.decode("latin-1"),
        esm_class,
        data_coding,
        part,
        parts,
        series,
        octets,
        tlvs,
        _PAYLOAD in tlvs,
    )


def read_id(body: bytes) -> str:
    """Read the id of a submit_sm_resp."""
    return body.partition(b"\0")[0].decode("latin-1")


def _read_tlvs(body: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at + _TLV.size <= len(body):
        tag, length = _TLV.unpack_from(body, at)
        at += _TLV.size + length
        if at <= len(body):
            found.setdefault(tag, body[at - length : at])
    return found


def _header(octets: bytes) -> bytes:
    """Return a user data header that adds up, whole; nothing if there's none (23.040)."""
    end, at = 1 + octets[0] if octets else 0, 1
    while at + 1 < end <= len(octets):
        at += 2 + octets[at + 1]
    return octets[:end] if 1 < at == end <= len(octets) else b""


def shown(short: Short, alphabet: str) -> str:
    """Return what a handset shows, where data_coding 0 is of this alphabet."""
    if short.data_coding == _UCS2:
        return short.octets.decode("utf-16-be", "replace")
    if short.data_coding or alphabet != "gsm7":
        return short.octets.decode("ascii" if alphabet == "ascii" else "latin-1", "replace")
    text, escaped = "", False
    for septet in short.octets:
        if escaped:
            text += _GSM_ESCAPED.get(septet, "?")
        elif septet != _ESCAPE:
            text += _GSM[septet] if septet < len(_GSM) else "?"
        escaped = septet == _ESCAPE and not escaped
    return text


def _after_zero(body: bytes, at: int) -> int:
    return body.index(b"\0", at) + 1
