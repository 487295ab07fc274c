"""What a provider wants of a bind and of a submit_sm, and what it answers to anything else.

SMPP leaves much of this open and providers close it, each in a way of its own. Facts first:
a scenario file states what is wanted; whoever writes otherwise is refused with the status
that such providers give.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from arrivals.smpp import constants as c
from arrivals.world.tables import Part

if TYPE_CHECKING:
    from arrivals.smpp.pdu import Pdu

Alphabet = Literal["gsm7", "latin-1", "ascii"]
ValidityForm = Literal["relative", "absolute", "none"]
LongForm = Literal["udh", "sar", "payload"]
TlvRefusal = Literal["", "not_allowed", "bad_stream", "bad_length"]
Octet = Annotated[int, msgspec.Meta(ge=0, le=255)]

ESME_RINVESMCLASS: Final = 0x43
ESME_RINVSRCTON: Final = 0x48
ESME_RINVSRCNPI: Final = 0x49
ESME_ROPTPARNOTALLWD: Final = 0xC1

# How a provider that takes no optional parameters says so.
TLV_REFUSALS: Final[dict[TlvRefusal, int]] = {
    "": c.ESME_ROK,
    "not_allowed": ESME_ROPTPARNOTALLWD,
    "bad_stream": c.ESME_RINVOPTPARSTREAM,
    "bad_length": c.ESME_RINVCMDLEN,
}
LONG_REFUSALS: Final[dict[LongForm, int]] = {
    "udh": ESME_RINVESMCLASS,
    "sar": ESME_ROPTPARNOTALLWD,
    "payload": c.ESME_RINVMSGLEN,
}
PATTERNS_MAX: Final = 256


class SenderWanted(Part, frozen=True):
    """The type and plan that senders of one pattern must have."""

    pattern: str  # of the whole sender
    ton: Octet
    npi: Octet

    def __post_init__(self) -> None:
        """Refuse what is no pattern."""
        try:
            _compiled(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is no pattern: {error}") from None


class Dialect(Part, frozen=True):
    """What one provider wants; None and the whole of a choice are: it doesn't mind."""

    system_type: str | None = None  # of the bind, else ESME_RINVSYSTYP
    interface_version: Octet | None = None  # likewise, else ESME_RBINDFAIL
    address_range: str | None = None  # likewise, else ESME_RBINDFAIL
    service_type: str | None = None  # of each submit_sm, else ESME_RINVSERTYP
    refuses_tlvs: TlvRefusal = ""  # what it answers to any optional parameter
    user_message_reference: bool = True  # no: it's the one that it doesn't allow
    validity: tuple[ValidityForm, ...] = ("relative", "absolute", "none")
    alphabet: Alphabet = "gsm7"  # what it reads data_coding 0 as
    senders: tuple[SenderWanted, ...] = ()  # the first full match decides
    long_messages: tuple[LongForm, ...] = ("udh", "sar", "payload")
    octets_max: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0  # of a short_message; 0: any


ANY: Final = Dialect()


def judge_bind(dialect: Dialect, pdu: Pdu) -> int:
    """Return the status for how a bind is written."""
    if _differs(dialect.system_type, pdu, "system_type"):
        return c.ESME_RINVSYSTYP
    wanted = dialect.interface_version
    if wanted is not None and pdu.number("interface_version") != wanted:
        return c.ESME_RBINDFAIL
    return c.ESME_RBINDFAIL if _differs(dialect.address_range, pdu, "address_range") else 0


def judge_submit(dialect: Dialect, pdu: Pdu) -> int:
    """Return the status for how a submit_sm is written."""
    if dialect == ANY:
        return c.ESME_ROK
    if _differs(dialect.service_type, pdu, "service_type"):
        return c.ESME_RINVSERTYP
    if pdu.tlvs and dialect.refuses_tlvs:
        return TLV_REFUSALS[dialect.refuses_tlvs]
    if not dialect.user_message_reference and pdu.tlv(c.TLV_USER_MESSAGE_REFERENCE) is not None:
        return ESME_ROPTPARNOTALLWD
    if validity_form(pdu.octets("validity_period")) not in dialect.validity:
        return c.ESME_RINVEXPIRY
    octets_max = dialect.octets_max
    if octets_max and len(pdu.octets("short_message")) > octets_max:
        return c.ESME_RINVMSGLEN
    return _judge_long(dialect, pdu) or _judge_sender(dialect, pdu)


def validity_form(period: bytes) -> ValidityForm:
    """Return how a validity_period is written (section 7.1.1)."""
    if not period:
        return "none"
    return "relative" if period.endswith(b"R") else "absolute"


def _differs(wanted: str | None, pdu: Pdu, field: str) -> bool:
    return wanted is not None and pdu.octets(field) != wanted.encode("latin-1")


def _judge_long(dialect: Dialect, pdu: Pdu) -> int:
    used: list[LongForm] = []
    if pdu.number("esm_class") & c.ESM_UDHI:
        used.append("udh")
    if pdu.tlv(c.TLV_SAR_MSG_REF_NUM) is not None:
        used.append("sar")
    if pdu.tlv(c.TLV_MESSAGE_PAYLOAD) is not None:
        used.append("payload")
    refused = (LONG_REFUSALS[form] for form in used if form not in dialect.long_messages)
    return next(refused, c.ESME_ROK)


def _judge_sender(dialect: Dialect, pdu: Pdu) -> int:
    source = pdu.octets("source_addr").decode("latin-1")
    for wanted in dialect.senders:
        if _compiled(wanted.pattern).fullmatch(source):
            if pdu.number("source_addr_ton") != wanted.ton:
                return ESME_RINVSRCTON
            return (
                c.ESME_ROK if pdu.number("source_addr_npi") == wanted.npi else ESME_RINVSRCNPI
            )
    return c.ESME_ROK


@lru_cache(maxsize=PATTERNS_MAX)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
