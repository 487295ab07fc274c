"""The mandatory fields of every SMPP 3.4 PDU, and the shape of every TLV, as tables.

A PDU's layout is a tuple of fields; each kind of field knows how to read and write itself.
Lists (submit_multi's destinations and failures) are counted but stay raw octets here;
`pdu.destinations` and `pdu.failures` open them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.smpp import constants as c

SHORT_MESSAGE_MAX: Final = 255  # 254 in 3.4; 5.0 and the market use the whole octet


class FieldFault(Exception):
    """A field that breaks its bounds; carries the command_status to answer with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Integer(msgspec.Struct, frozen=True):
    """An unsigned big-endian integer of `size` octets."""

    name: str
    size: int = 1

    def read(self, data: bytes, at: int) -> tuple[int, int]:
        """Return the value and where the next field begins."""
        end = at + self.size
        if end > len(data):
            raise FieldFault(c.ESME_RINVCMDLEN, f"{self.name} is cut off")
        return int.from_bytes(data[at:end], "big"), end

    def write(self, value: int | bytes | None) -> bytes:
        """Return the octets of `value`; absent is zero."""
        if value is None:
            return bytes(self.size)
        if not isinstance(value, int) or not 0 <= value < 1 << 8 * self.size:
            raise FieldFault(
                c.ESME_RINVCMDLEN, f"{self.name} is an unsigned int of {self.size} octets"
            )
        return value.to_bytes(self.size, "big")


class CString(msgspec.Struct, frozen=True):
    """Octets up to a NUL; `octets_max` counts the NUL, as the specification does."""

    name: str
    octets_max: int
    status: int = c.ESME_RINVCMDLEN

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the value without its NUL and where the next field begins."""
        end = data.find(b"\0", at, at + self.octets_max)
        if end < 0:
            cut = len(data) < at + self.octets_max
            raise FieldFault(
                c.ESME_RINVCMDLEN if cut else self.status,
                f"{self.name} has no NUL within {self.octets_max} octets",
            )
        return data[at:end], end + 1

    def write(self, value: int | bytes | None) -> bytes:
        """Return the octets of `value` with a NUL; absent is empty."""
        if value is None:
            return b"\0"
        if not isinstance(value, bytes) or len(value) >= self.octets_max or 0 in value:
            raise FieldFault(
                self.status, f"{self.name} is bytes without NUL, under {self.octets_max} octets"
            )
        return value + b"\0"


class Octets(msgspec.Struct, frozen=True):
    """Octets counted by one octet before them (sm_length, which no PDU value carries)."""

    name: str
    octets_max: int = SHORT_MESSAGE_MAX
    status: int = c.ESME_RINVMSGLEN

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the value and where the next field begins."""
        if at >= len(data):
            raise FieldFault(c.ESME_RINVCMDLEN, f"the length of {self.name} is missing")
        end = at + 1 + data[at]
        if end > len(data):
            raise FieldFault(self.status, f"{self.name} is shorter than its length says")
        return data[at + 1 : end], end

    def write(self, value: int | bytes | None) -> bytes:
        """Return the count and the octets; absent is empty."""
        if value is None:
            return b"\0"
        if not isinstance(value, bytes) or len(value) > self.octets_max:
            raise FieldFault(self.status, f"{self.name} is at most {self.octets_max} octets")
        return bytes((len(value),)) + value


class Listing(msgspec.Struct, frozen=True):
    """A count and its items, kept raw (the count included).

    `flagged` items begin with a flag: 1 is an address, 2 a distribution list's name
    (section 4.5.1.1); otherwise each is an address and a 4-octet status (4.5.2.1).
    """

    name: str
    flagged: bool

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the raw listing and where the next field begins."""
        count, end = Integer(self.name).read(data, at)
        for _ in range(count):
            end = self.read_item(data, end)[1]
        return data[at:end], end

    def read_item(self, data: bytes, at: int) -> tuple[dict[str, int | bytes], int]:
        """Return one item's fields and where the next item begins."""
        layout = FAILURE
        if self.flagged:
            flag, at = Integer("dest_flag").read(data, at)
            if flag not in (1, 2):
                raise FieldFault(c.ESME_RINVDESTFLAG, f"dest_flag {flag}")
            layout = ADDRESS if flag == 1 else LIST_NAME
        fields: dict[str, int | bytes] = {}
        for field in layout:
            fields[field.name], at = field.read(data, at)
        return fields, at

    def write(self, value: int | bytes | None) -> bytes:
        """Return the raw listing once it is proved well-formed; absent is an empty one."""
        if value is None:
            return b"\0"
        if not isinstance(value, bytes) or self.read(value, 0)[1] != len(value):
            raise FieldFault(c.ESME_RINVNUMDESTS, f"{self.name} is a count and its items")
        return value


Field = Integer | CString | Octets | Listing
Layout = tuple[Field, ...]


def _address(prefix: str, name: str, octets_max: int, status: int) -> Layout:
    return (
        Integer(f"{prefix}_ton"),
        Integer(f"{prefix}_npi"),
        CString(name, octets_max, status),
    )


_SERVICE_TYPE = CString("service_type", 6, c.ESME_RINVSERTYP)
_SOURCE = _address("source_addr", "source_addr", 21, c.ESME_RINVSRCADR)
_DESTINATION = _address("dest_addr", "destination_addr", 21, c.ESME_RINVDSTADR)
_MESSAGE_ID = CString("message_id", 65, c.ESME_RINVMSGID)
_SCHEDULE = CString("schedule_delivery_time", 17, c.ESME_RINVSCHED)
_VALIDITY = CString("validity_period", 17, c.ESME_RINVEXPIRY)
_SYSTEM_ID = CString("system_id", 16, c.ESME_RINVSYSID)
_PASSWORD = CString("password", 9, c.ESME_RINVPASWD)
_SHORT_MESSAGE = Octets("short_message")

ADDRESS: Final[Layout] = _DESTINATION
LIST_NAME: Final[Layout] = (CString("dl_name", 21, c.ESME_RINVDLNAME),)
FAILURE: Final[Layout] = (*_DESTINATION, Integer("error_status_code", 4))
DESTINATIONS: Final = Listing("dest_addresses", flagged=True)
FAILURES: Final = Listing("unsuccess_smes", flagged=False)

_BIND: Layout = (
    _SYSTEM_ID,
    _PASSWORD,
    CString("system_type", 13, c.ESME_RINVSYSTYP),
    Integer("interface_version"),
    Integer("addr_ton"),
    Integer("addr_npi"),
    CString("address_range", 41),
)
_DELIVERY: Layout = (
    Integer("esm_class"),
    Integer("protocol_id"),
    Integer("priority_flag"),
    _SCHEDULE,
    _VALIDITY,
    Integer("registered_delivery"),
    Integer("replace_if_present_flag"),
    Integer("data_coding"),
    Integer("sm_default_msg_id"),
    _SHORT_MESSAGE,
)
MESSAGE: Final[Layout] = (_SERVICE_TYPE, *_SOURCE, *_DESTINATION, *_DELIVERY)

LAYOUTS: Final[dict[int, Layout]] = {
    c.BIND_RECEIVER: _BIND,
    c.BIND_TRANSMITTER: _BIND,
    c.BIND_TRANSCEIVER: _BIND,
    c.BIND_RECEIVER_RESP: (_SYSTEM_ID,),
    c.BIND_TRANSMITTER_RESP: (_SYSTEM_ID,),
    c.BIND_TRANSCEIVER_RESP: (_SYSTEM_ID,),
    c.OUTBIND: (_SYSTEM_ID, _PASSWORD),
    c.UNBIND: (),
    c.UNBIND_RESP: (),
    c.GENERIC_NACK: (),
    c.ENQUIRE_LINK: (),
    c.ENQUIRE_LINK_RESP: (),
    c.SUBMIT_SM: MESSAGE,
    c.SUBMIT_SM_RESP: (_MESSAGE_ID,),
    c.DELIVER_SM: MESSAGE,
    c.DELIVER_SM_RESP: (_MESSAGE_ID,),
    c.SUBMIT_MULTI: (_SERVICE_TYPE, *_SOURCE, DESTINATIONS, *_DELIVERY),
    c.SUBMIT_MULTI_RESP: (_MESSAGE_ID, FAILURES),
    c.DATA_SM: (
        _SERVICE_TYPE,
        *_address("source_addr", "source_addr", 65, c.ESME_RINVSRCADR),
        *_address("dest_addr", "destination_addr", 65, c.ESME_RINVDSTADR),
        Integer("esm_class"),
        Integer("registered_delivery"),
        Integer("data_coding"),
    ),
    c.DATA_SM_RESP: (_MESSAGE_ID,),
    c.QUERY_SM: (_MESSAGE_ID, *_SOURCE),
    c.QUERY_SM_RESP: (
        _MESSAGE_ID,
        CString("final_date", 17),
        Integer("message_state"),
        Integer("error_code"),
    ),
    c.CANCEL_SM: (_SERVICE_TYPE, _MESSAGE_ID, *_SOURCE, *_DESTINATION),
    c.CANCEL_SM_RESP: (),
    c.REPLACE_SM: (
        _MESSAGE_ID,
        *_SOURCE,
        _SCHEDULE,
        _VALIDITY,
        Integer("registered_delivery"),
        Integer("sm_default_msg_id"),
        _SHORT_MESSAGE,
    ),
    c.REPLACE_SM_RESP: (),
    c.ALERT_NOTIFICATION: (
        *_address("source_addr", "source_addr", 65, c.ESME_RINVSRCADR),
        *_address("esme_addr", "esme_addr", 65, c.ESME_RINVDSTADR),
    ),
}
FIELD_NAMES: Final[dict[int, frozenset[str]]] = {
    command_id: frozenset(field.name for field in layout)
    for command_id, layout in LAYOUTS.items()
}

# Their body is not returned when command_status says no (sections 4.1.2, 4.4.2 and 4.5.2).
BODILESS_ON_ERROR: Final = frozenset(
    {
        c.BIND_RECEIVER_RESP,
        c.BIND_TRANSMITTER_RESP,
        c.BIND_TRANSCEIVER_RESP,
        c.SUBMIT_SM_RESP,
        c.SUBMIT_MULTI_RESP,
    }
)
# Requests that nobody answers (sections 4.1.7 and 4.12.1).
UNANSWERED: Final = frozenset({c.OUTBIND, c.ALERT_NOTIFICATION})


class TlvShape(msgspec.Struct, frozen=True):
    """What a TLV holds: an integer, a NUL-ended string, or octets; lengths in octets."""

    name: str
    kind: type[Integer] | type[CString] | type[Octets]
    octets_min: int
    octets_max: int


def _integer(name: str, size: int = 1) -> TlvShape:
    return TlvShape(name, Integer, size, size)


def _string(name: str, octets_max: int) -> TlvShape:
    return TlvShape(name, CString, 1, octets_max)


def _octets(name: str, octets_min: int, octets_max: int) -> TlvShape:
    return TlvShape(name, Octets, octets_min, octets_max)


# Section 5.3.2, in the order of the tags; congestion_state is 5.0's (4.8.4.18).
TLVS: Final[dict[int, TlvShape]] = {
    0x0005: _integer("dest_addr_subunit"),
    0x0006: _integer("dest_network_type"),
    0x0007: _integer("dest_bearer_type"),
    0x0008: _integer("dest_telematics_id", 2),
    0x000D: _integer("source_addr_subunit"),
    0x000E: _integer("source_network_type"),
    0x000F: _integer("source_bearer_type"),
    0x0010: _integer("source_telematics_id"),
    0x0017: _integer("qos_time_to_live", 4),
    0x0019: _integer("payload_type"),
    0x001D: _string("additional_status_info_text", 256),
    c.TLV_RECEIPTED_MESSAGE_ID: _string("receipted_message_id", 65),
    0x0030: _integer("ms_msg_wait_facilities"),
    0x0201: _integer("privacy_indicator"),
    0x0202: _octets("source_subaddress", 2, 23),
    0x0203: _octets("dest_subaddress", 2, 23),
    c.TLV_USER_MESSAGE_REFERENCE: _integer("user_message_reference", 2),
    0x0205: _integer("user_response_code"),
    0x020A: _integer("source_port", 2),
    0x020B: _integer("destination_port", 2),
    c.TLV_SAR_MSG_REF_NUM: _integer("sar_msg_ref_num", 2),
    0x020D: _integer("language_indicator"),
    c.TLV_SAR_TOTAL_SEGMENTS: _integer("sar_total_segments"),
    c.TLV_SAR_SEGMENT_SEQNUM: _integer("sar_segment_seqnum"),
    c.TLV_SC_INTERFACE_VERSION: _integer("sc_interface_version"),
    0x0302: _integer("callback_num_pres_ind"),
    0x0303: _octets("callback_num_atag", 0, 65),
    0x0304: _integer("number_of_messages"),
    0x0381: _octets("callback_num", 4, 19),
    0x0420: _integer("dpf_result"),
    0x0421: _integer("set_dpf"),
    0x0422: _integer("ms_availability_status"),
    c.TLV_NETWORK_ERROR_CODE: _octets("network_error_code", 3, 3),
    c.TLV_MESSAGE_PAYLOAD: _octets("message_payload", 0, 0xFFFF),
    c.TLV_DELIVERY_FAILURE_REASON: _integer("delivery_failure_reason"),
    0x0426: _integer("more_messages_to_send"),
    c.TLV_MESSAGE_STATE: _integer("message_state"),
    c.TLV_CONGESTION_STATE: _integer("congestion_state"),
    0x0501: _octets("ussd_service_op", 1, 1),
    0x1201: _integer("display_time"),
    0x1203: _integer("sms_signal", 2),
    0x1204: _integer("ms_validity"),
    0x130C: _octets("alert_on_message_delivery", 0, 0),
    0x1380: _integer("its_reply_type"),
    0x1383: _octets("its_session_info", 2, 2),
}
TLV_TAGS: Final[dict[str, int]] = {shape.name: tag for tag, shape in TLVS.items()}
