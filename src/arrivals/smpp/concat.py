"""The parts of a long message: user data headers (3GPP TS 23.040 9.2.3.24) and sar_* TLVs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import UnencodablePdu, make_tlv

if TYPE_CHECKING:
    from arrivals.smpp.pdu import Pdu, Tlvs

# Information element identifiers, 3GPP TS 23.040 9.2.3.24.1 and 9.2.3.24.8.
CONCATENATION_8_BIT: Final = 0x00
CONCATENATION_16_BIT: Final = 0x08
# Of no use yet; and most letters and digits are among them, of a text that has no header.
_RESERVED: Final = range(0x26, 0x70)
PARTS_MAX: Final = 255  # one octet counts them


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a long message; `number` counts from 1."""

    reference: int
    total: int
    number: int


def _part(reference: int, total: int, number: int) -> Part | None:
    """Return a part if its figures can be true."""
    if not 1 <= number <= total:
        return None
    return Part(reference=reference, total=total, number=number)


def header_8_bit(part: Part) -> bytes:
    """Return the user data header of a part, its reference in one octet."""
    _check(part, 0xFF)
    return bytes((5, CONCATENATION_8_BIT, 3, part.reference, part.total, part.number))


def header_16_bit(part: Part) -> bytes:
    """Return the user data header of a part, its reference in two octets."""
    _check(part, 0xFFFF)
    high, low = divmod(part.reference, 256)
    return bytes((6, CONCATENATION_16_BIT, 4, high, low, part.total, part.number))


def sar_tlvs(part: Part) -> Tlvs:
    """Return the TLVs of a part (section 5.3.2.22 to 24)."""
    _check(part, 0xFFFF)
    return (
        make_tlv(c.TLV_SAR_MSG_REF_NUM, part.reference),
        make_tlv(c.TLV_SAR_TOTAL_SEGMENTS, part.total),
        make_tlv(c.TLV_SAR_SEGMENT_SEQNUM, part.number),
    )


def _check(part: Part, reference_max: int) -> None:
    if not 0 <= part.reference <= reference_max or not 1 <= part.number <= part.total:
        raise UnencodablePdu(f"no header can say {part}")
    if part.total > PARTS_MAX:
        raise UnencodablePdu(f"{part.total} parts is over {PARTS_MAX}")


def split_user_data(pdu: Pdu) -> tuple[bytes, bytes]:
    """Return the user data header, its length octet included, and the text's octets.

    The header is empty when esm_class says there is none, and when what stands there doesn't
    add up to one: some set the flag and send the text alone.
    """
    data = pdu.message
    if not pdu.number("esm_class") & c.ESM_UDHI or not data:
        return b"", data
    end = 1 + data[0]
    if not _adds_up(data[:end], end):
        return b"", data
    return data[:end], data[end:]


def _adds_up(header: bytes, end: int) -> bool:
    """Tell whether a header's elements fill it to the octet (3GPP TS 23.040 9.2.3.24)."""
    at = 1
    while at + 2 <= len(header):
        if header[at] in _RESERVED:
            return False
        at += 2 + header[at + 1]
    return at == end == len(header)


def part_of(pdu: Pdu) -> Part | None:
    """Return which part of a long message this is, by its header or else its sar_* TLVs."""
    part = _part_of_header(split_user_data(pdu)[0])
    return part or (_part_of_tlvs(pdu) if pdu.tlvs else None)


def _part_of_header(header: bytes) -> Part | None:
    at = 1
    while at + 2 <= len(header):
        element, length = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + length]
        at += 2 + length
        if element == CONCATENATION_8_BIT and len(value) == 3:
            return _part(value[0], value[1], value[2])
        if element == CONCATENATION_16_BIT and len(value) == 4:
            return _part(value[0] << 8 | value[1], value[2], value[3])
    return None


def _part_of_tlvs(pdu: Pdu) -> Part | None:
    reference = pdu.tlv_int(c.TLV_SAR_MSG_REF_NUM)
    if reference is None:  # nearly always
        return None
    total = pdu.tlv_int(c.TLV_SAR_TOTAL_SEGMENTS)
    number = pdu.tlv_int(c.TLV_SAR_SEGMENT_SEQNUM)
    if total is None or number is None:
        return None
    return _part(reference, total, number)
