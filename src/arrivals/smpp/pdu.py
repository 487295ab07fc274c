"""Bytes to PDUs and back: one value for every PDU, known or not, and the framing of a stream.

`layouts.LAYOUTS` is the truth. submit_sm, deliver_sm and their responses, nearly all of a
carrier's traffic, have a quicker way through; whatever that finds odd goes to the table,
which knows the right complaint.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.smpp import layouts
from arrivals.smpp.faults import FramingError, MalformedPdu, ProtocolFault, UnencodablePdu

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "HEADER_OCTETS",
    "PDU_OCTETS_MAX",
    "Fields",
    "Frame",
    "Framer",
    "FramingError",
    "MalformedPdu",
    "Pdu",
    "ProtocolFault",
    "Tlvs",
    "UnencodablePdu",
    "decode",
    "destinations",
    "encode",
    "failures",
    "make_tlv",
    "pack_destinations",
    "pack_failures",
    "read_header",
    "read_tlvs",
    "table_body",
    "table_decode",
]

PDU_OCTETS_MAX: Final = 0x11000  # 64 KB of message_payload, and 4 KB for what goes with it
HEADER_OCTETS: Final = 16

_HEADER = struct.Struct(">IIII")
_TLV_HEADER = struct.Struct(">HH")
_NO_TLVS: tuple[tuple[int, bytes], ...] = ()
_MESSAGE_NAMES: Final = layouts.FIELD_NAMES[c.SUBMIT_SM]
_MESSAGE_COMMANDS: Final = frozenset({c.SUBMIT_SM, c.DELIVER_SM})
_MESSAGE_RESPONSES: Final = frozenset({c.SUBMIT_SM_RESP, c.DELIVER_SM_RESP})
_SECRET_FIELDS: Final = frozenset({"password", "short_message"})

Fields = dict[str, int | bytes]
Tlvs = tuple[tuple[int, bytes], ...]


class _Hidden:
    """Octets that are shown by their number only."""

    def __init__(self, value: int | bytes) -> None:
        self._octets = len(value) if isinstance(value, bytes) else 0

    def __repr__(self) -> str:
        return f"<{self._octets} octets>"


class Pdu(msgspec.Struct, frozen=True, gc=False):
    """One PDU. Mandatory fields by SMPP's own names; an absent one is zero or empty.

    `tlvs` are raw and in order, unknown ones too. `body` is set, and is what will be
    written, for an unknown command and for a PDU whose body breaks its layout (missing
    counts); what could be read of such a one is still in `fields` and `tlvs`.
    """

    command_id: int
    command_status: int = 0
    sequence_number: int = 0
    fields: Fields = {}
    tlvs: Tlvs = ()
    body: bytes | None = None

    def __repr__(self) -> str:
        """Show everything but what must not reach a log: passwords and texts."""
        fields = {
            name: _Hidden(value) if name in _SECRET_FIELDS else value
            for name, value in self.fields.items()
        }
        tlvs = [
            (tag, _Hidden(value) if tag == c.TLV_MESSAGE_PAYLOAD else value)
            for tag, value in self.tlvs
        ]
        body = None if self.body is None else _Hidden(self.body)
        return (
            f"Pdu({c.command_name(self.command_id)}, {c.status_name(self.command_status)}, "
            f"{self.sequence_number}, {fields}, {tlvs}, {body})"
        )

    def octets(self, name: str) -> bytes:
        """Return a string field, empty when absent."""
        value = self.fields.get(name, b"")
        return value if isinstance(value, bytes) else b""

    def number(self, name: str) -> int:
        """Return an integer field, zero when absent."""
        value = self.fields.get(name, 0)
        return value if isinstance(value, int) else 0

    def tlv(self, tag: int) -> bytes | None:
        """Return the raw value of the first TLV with `tag`."""
        for known, value in self.tlvs:
            if known == tag:
                return value
        return None

    def tlv_int(self, tag: int) -> int | None:
        """Return a TLV as a big-endian integer, padded or not; None if that isn't one.

        A number too large for its tag is junk, and no caller should have to bound it.
        """
        value = self.tlv(tag)
        if not value:
            return None
        number = int.from_bytes(value, "big")
        shape = layouts.TLVS.get(tag)
        return None if shape and number >> 8 * shape.octets_max else number

    def tlv_text(self, tag: int) -> bytes | None:
        """Return a TLV up to its NUL, which some peers leave out."""
        value = self.tlv(tag)
        return None if value is None else value.partition(b"\0")[0]

    @property
    def is_response(self) -> bool:
        """Whether this answers a request (generic_nack does)."""
        return self.command_id & c.RESPONSE != 0

    @property
    def message(self) -> bytes:
        """The user data, wherever it travels: message_payload, else short_message."""
        payload = self.tlv(c.TLV_MESSAGE_PAYLOAD) if self.tlvs else None
        return payload or self.octets("short_message")


def make_tlv(tag: int, value: int | bytes) -> tuple[int, bytes]:
    """Return a TLV in its tag's shape (section 5.3.2), or raise UnencodablePdu.

    Strings are given without their NUL. An unknown tag takes octets as they are.
    """
    shape = layouts.TLVS.get(tag)
    if shape is None:
        if isinstance(value, int):
            raise UnencodablePdu(f"TLV 0x{tag:04X} is unknown: give octets, not an int")
        return tag, value
    try:
        if shape.kind is layouts.Integer:
            return tag, layouts.Integer(shape.name, shape.octets_max).write(value)
        if shape.kind is layouts.CString:
            return tag, layouts.CString(shape.name, shape.octets_max).write(value)
    except layouts.FieldFault as fault:
        raise UnencodablePdu(fault.reason) from None
    if isinstance(value, int) or not shape.octets_min <= len(value) <= shape.octets_max:
        raise UnencodablePdu(f"{shape.name} is {shape.octets_min} to {shape.octets_max} octets")
    return tag, value


def encode(pdu: Pdu, *, sequence_number: int | None = None) -> bytes:
    """Return the octets of a PDU, or raise UnencodablePdu.

    `sequence_number` overrides the value's own, which spares a copy on the way out.
    """
    number = pdu.sequence_number if sequence_number is None else sequence_number
    body = pdu.body
    if body is None:
        body = _quick_body(pdu)
        if body is None:
            body = table_body(pdu)
        if pdu.tlvs:
            body += _write_tlvs(pdu.tlvs)
    length = HEADER_OCTETS + len(body)
    if length > PDU_OCTETS_MAX:
        raise UnencodablePdu(f"{length} octets is over {PDU_OCTETS_MAX}")
    try:
        return _HEADER.pack(length, pdu.command_id, pdu.command_status, number) + body
    except struct.error as error:
        raise UnencodablePdu(f"header: {error}") from None


def _quick_body(pdu: Pdu) -> bytes | None:
    """Return the mandatory body of a hot PDU, or None to leave it to the table."""
    if pdu.command_id in _MESSAGE_COMMANDS:
        return _quick_message(pdu.fields)
    if pdu.command_id in _MESSAGE_RESPONSES and len(pdu.fields) == 1:
        message_id = pdu.fields.get("message_id")
        if type(message_id) is bytes and len(message_id) < 65 and 0 not in message_id:
            return message_id + b"\0"
    return None


def _quick_message(fields: Fields) -> bytes | None:
    get: Callable[[str, int | bytes], Any] = fields.get  # wrong types raise, below
    service_type = get("service_type", b"")
    source = get("source_addr", b"")
    destination = get("destination_addr", b"")
    schedule = get("schedule_delivery_time", b"")
    validity = get("validity_period", b"")
    message = get("short_message", b"")
    try:
        strings = b"%b%b%b%b%b" % (service_type, source, destination, schedule, validity)
        if (
            0 in strings
            or len(service_type) > 5
            or len(source) > 20
            or len(destination) > 20
            or len(schedule) > 16
            or len(validity) > 16
            or not fields.keys() <= _MESSAGE_NAMES
        ):
            return None
        return b"%b\0%b%b\0%b%b\0%b%b\0%b\0%b%b" % (
            service_type,
            bytes((get("source_addr_ton", 0), get("source_addr_npi", 0))),
            source,
            bytes((get("dest_addr_ton", 0), get("dest_addr_npi", 0))),
            destination,
            bytes((get("esm_class", 0), get("protocol_id", 0), get("priority_flag", 0))),
            schedule,
            validity,
            bytes(
                (
                    get("registered_delivery", 0),
                    get("replace_if_present_flag", 0),
                    get("data_coding", 0),
                    get("sm_default_msg_id", 0),
                    len(message),
                )
            ),
            message,
        )
    except (TypeError, ValueError):
        return None


def table_body(pdu: Pdu) -> bytes:
    """Return the mandatory body by the table alone; the quick way must agree with it."""
    layout = layouts.LAYOUTS.get(pdu.command_id)
    if layout is None:
        raise UnencodablePdu(f"{c.command_name(pdu.command_id)} is unknown: give it a body")
    strange = pdu.fields.keys() - layouts.FIELD_NAMES[pdu.command_id]
    if strange:
        name = c.command_name(pdu.command_id)
        raise UnencodablePdu(f"{name} has no field {', '.join(sorted(strange))}")
    try:
        return b"".join([field.write(pdu.fields.get(field.name)) for field in layout])
    except layouts.FieldFault as fault:
        raise UnencodablePdu(fault.reason) from None


def _write_tlvs(tlvs: Tlvs) -> bytes:
    try:
        return b"".join([_TLV_HEADER.pack(tag, len(value)) + value for tag, value in tlvs])
    except struct.error:
        raise UnencodablePdu("a TLV's tag and length are two octets each") from None


def decode(data: bytes | memoryview) -> Pdu:
    """Return the one whole PDU that `data` is, or raise MalformedPdu.

    A response is never malformed by its body: its status and number have been told, and
    losing them would make a known outcome unknown.
    """
    data = bytes(data)
    if len(data) < HEADER_OCTETS:
        raise MalformedPdu(c.ESME_RINVCMDLEN, "shorter than a header")
    length, command_id, status, number = _HEADER.unpack_from(data)
    if length != len(data):
        raise MalformedPdu(
            c.ESME_RINVCMDLEN, "command_length isn't the PDU's", number, command_id
        )
    if command_id in _MESSAGE_COMMANDS:
        found = _read_message(data)
        if found is not None:
            fields, at = found
            tlvs = _NO_TLVS if at == length else _read_tlvs_of(data, at, number, command_id)
            return Pdu(command_id, status, number, fields, tlvs)
    elif (
        command_id in _MESSAGE_RESPONSES
        and length <= HEADER_OCTETS + 65
        and data.find(b"\0", HEADER_OCTETS) == length - 1
    ):
        return Pdu(command_id, status, number, {"message_id": data[HEADER_OCTETS:-1]})
    return _read_by_table(data, command_id, status, number)


def read_header(data: bytes) -> tuple[int, int, int]:
    """Return the command_id, the status and the sequence number of a whole PDU."""
    return _HEADER.unpack_from(data)[1:]


def table_decode(data: bytes) -> Pdu:
    """Return the one whole PDU by the table alone; the quick way must agree with it."""
    _, command_id, status, number = _HEADER.unpack_from(data)
    return _read_by_table(data, command_id, status, number)


def _read_by_table(data: bytes, command_id: int, status: int, number: int) -> Pdu:
    layout = layouts.LAYOUTS.get(command_id)
    if layout is None:
        return Pdu(command_id, status, number, body=data[HEADER_OCTETS:])
    fields: Fields = {}
    at = HEADER_OCTETS
    try:
        for field in layout:
            fields[field.name], at = field.read(data, at)
        return Pdu(command_id, status, number, fields, _read_all_tlvs(data, at))
    except layouts.FieldFault as fault:
        if command_id & c.RESPONSE:
            return _read_broken_response(data, command_id, status, number, fields)
        raise MalformedPdu(fault.status, fault.reason, number, command_id) from None


def _read_broken_response(
    data: bytes, command_id: int, status: int, number: int, fields: Fields
) -> Pdu:
    """Keep the body raw, and an identifier that has only lost its NUL or is too long."""
    body = data[HEADER_OCTETS:]
    layout = layouts.LAYOUTS[command_id]
    if body and layout and not fields and isinstance(layout[0], layouts.CString):
        fields = {layout[0].name: body.partition(b"\0")[0]}
    return Pdu(command_id, status, number, fields, body=body)


def _read_message(data: bytes) -> tuple[Fields, int] | None:
    """Return submit_sm's or deliver_sm's fields and where its TLVs begin.

    Named by their NULs: a service_type, b source, d destination, s schedule, v validity.
    None when anything is odd.
    """
    try:
        find = data.index
        a = find(0, 16)
        b = find(0, a + 3)
        d = find(0, b + 3)
        s = find(0, d + 4)
        v = find(0, s + 1)
        end = v + 6 + data[v + 5]
    except (ValueError, IndexError):
        return None
    if end > len(data) or a > 21 or b - a > 23 or d - b > 23 or s - d > 20 or v - s > 17:
        return None
    return {
        "service_type": data[16:a],
        "source_addr_ton": data[a + 1],
        "source_addr_npi": data[a + 2],
        "source_addr": data[a + 3 : b],
        "dest_addr_ton": data[b + 1],
        "dest_addr_npi": data[b + 2],
        "destination_addr": data[b + 3 : d],
        "esm_class": data[d + 1],
        "protocol_id": data[d + 2],
        "priority_flag": data[d + 3],
        "schedule_delivery_time": data[d + 4 : s],
        "validity_period": data[s + 1 : v],
        "registered_delivery": data[v + 1],
        "replace_if_present_flag": data[v + 2],
        "data_coding": data[v + 3],
        "sm_default_msg_id": data[v + 4],
        "short_message": data[v + 6 : end],
    }, end


def _read_tlvs_of(data: bytes, at: int, number: int, command_id: int) -> Tlvs:
    try:
        return _read_all_tlvs(data, at)
    except layouts.FieldFault as fault:
        raise MalformedPdu(fault.status, fault.reason, number, command_id) from None


def _read_all_tlvs(data: bytes, at: int) -> Tlvs:
    tlvs, end = read_tlvs(data, at)
    if end == len(data):
        return tlvs
    if len(data) - end < 4:
        raise layouts.FieldFault(c.ESME_RINVOPTPARSTREAM, "a TLV's header is cut off")
    tag, _ = _TLV_HEADER.unpack_from(data, end)
    reason = f"TLV 0x{tag:04X} is longer than its PDU"
    raise layouts.FieldFault(c.ESME_RINVOPTPARSTREAM, reason)


def read_tlvs(data: bytes, at: int) -> tuple[Tlvs, int]:
    """Return the TLVs at a place, and where what is no TLV begins: the end if all are."""
    end = len(data)
    tlvs = []
    while end - at >= 4:
        tag, length = _TLV_HEADER.unpack_from(data, at)
        after = at + 4 + length
        if after > end:
            break
        tlvs.append((tag, data[at + 4 : after]))
        at = after
    return tuple(tlvs), at


def destinations(pdu: Pdu) -> list[Fields]:
    """Return a submit_multi's destinations, each by its fields (a dl_name stands alone)."""
    return _read_listing(layouts.DESTINATIONS, pdu)


def failures(pdu: Pdu) -> list[Fields]:
    """Return a submit_multi_resp's failed destinations, each with its error_status_code."""
    return _read_listing(layouts.FAILURES, pdu)


def _read_listing(listing: layouts.Listing, pdu: Pdu) -> list[Fields]:
    raw = pdu.octets(listing.name)
    items = []
    at = 1
    while at < len(raw):
        item, at = listing.read_item(raw, at)
        items.append(item)
    return items


def pack_destinations(items: list[Fields]) -> bytes:
    """Return the dest_addresses of a submit_multi from its destinations' fields."""
    return _write_listing(layouts.DESTINATIONS, items)


def pack_failures(items: list[Fields]) -> bytes:
    """Return the unsuccess_smes of a submit_multi_resp from the failures' fields."""
    return _write_listing(layouts.FAILURES, items)


def _write_listing(listing: layouts.Listing, items: list[Fields]) -> bytes:
    if len(items) > 255:
        raise UnencodablePdu(f"{listing.name} holds at most 255, not {len(items)}")
    parts = [bytes((len(items),))]
    for item in items:
        named = "dl_name" in item
        layout = layouts.LIST_NAME if named else layouts.ADDRESS
        if listing.flagged:
            parts.append(b"\2" if named else b"\1")
        else:
            layout = layouts.FAILURE
        try:
            parts += [field.write(item.get(field.name)) for field in layout]
        except layouts.FieldFault as fault:
            raise UnencodablePdu(fault.reason) from None
    return b"".join(parts)


Frame = Pdu | MalformedPdu | FramingError


class Framer:
    """Cut a stream into PDUs, bounded before anything is kept.

    `forgive` is asked what a malformed frame says, before it counts as malformed.
    """

    def __init__(self, forgive: Callable[[bytes], Pdu | None] | None = None) -> None:
        self._forgive = forgive
        self._rest = b""
        self._lost = False

    def feed(self, data: bytes) -> list[Frame]:
        """Return what is complete. A FramingError comes last, and then nothing more."""
        if self._lost:
            return []
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= 4:
            length = int.from_bytes(data[at : at + 4], "big")
            if not HEADER_OCTETS <= length <= PDU_OCTETS_MAX:
                self._lost = True
                self._rest = b""
                frames.append(FramingError(f"command_length {length}"))
                return frames
            if at + length > end:
                break
            frame = data[at : at + length]
            try:
                frames.append(decode(frame))
            except MalformedPdu as fault:
                fault.octets = frame
                frames.append((self._forgive and self._forgive(frame)) or fault)
            at += length
        self._rest = data[at:]
        return frames
