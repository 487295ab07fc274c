"""Turn a submission into submit_sm PDUs. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from arrivals.core.text import analyse, encode_segments
from arrivals.providers.api import Submission
from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, header_8_bit
from arrivals.smpp.pdu import Pdu, make_tlv

# Type of number and numbering plan (SMPP 3.4 section 5.2.5 and 5.2.6).
TON_INTERNATIONAL, TON_NATIONAL, TON_NETWORK, TON_ALPHANUMERIC = 1, 2, 3, 5
NPI_UNKNOWN, NPI_ISDN = 0, 1
SHORT_CODE_DIGITS_MAX: Final = 6  # a numeric sender this short belongs to the network
DATA_CODING: Final = {"gsm7": 0, "ucs2": 8}
FINAL_RECEIPT: Final = 1  # registered_delivery: a receipt for success and for failure

SECOND_US: Final = 1_000_000
VALIDITY_MIN_S: Final = 60  # shorter ones are refused by SMSCs that count in minutes
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def submit_sm(submission: Submission, now_us: int) -> list[Pdu]:
    """Return the PDUs that carry a message, one a part, in order."""
    encoding = analyse(submission.text).encoding
    parts = encode_segments(submission.text)
    source_ton, source_npi = _sender_type(submission.sender)
    fields: dict[str, int | bytes] = {
        "source_addr_ton": source_ton,
        "source_addr_npi": source_npi,
        "source_addr": submission.sender.lstrip("+").encode("ascii"),
        "dest_addr_ton": TON_INTERNATIONAL,
        "dest_addr_npi": NPI_ISDN,
        "destination_addr": submission.msisdn.encode("ascii"),
        "registered_delivery": FINAL_RECEIPT,
        "data_coding": DATA_CODING[encoding],
        "validity_period": validity_period(submission.expires_at_us - now_us),
    }
    reference = (make_tlv(c.TLV_USER_MESSAGE_REFERENCE, submission.reference),)
    if len(parts) == 1:
        fields["short_message"] = parts[0]
        return [Pdu(c.SUBMIT_SM, fields=fields, tlvs=reference)]
    fields["esm_class"] = c.ESM_UDHI
    return [
        Pdu(
            c.SUBMIT_SM,
            fields=fields
            | {
                "short_message": header_8_bit(
                    Part(reference=submission.reference & 0xFF, total=len(parts), number=number)
                )
                + octets
            },
            tlvs=reference,
        )
        for number, octets in enumerate(parts, 1)
    ]


def _sender_type(sender: str) -> tuple[int, int]:
    if not sender.lstrip("+").isdigit():
        return TON_ALPHANUMERIC, NPI_UNKNOWN
    if len(sender) <= SHORT_CODE_DIGITS_MAX:
        return TON_NETWORK, NPI_ISDN
    return TON_INTERNATIONAL, NPI_ISDN


def validity_period(left_us: int) -> bytes:
    """Return what is left of a message's validity as relative time (section 7.1.1.2)."""
    return _relative(max(left_us // SECOND_US, VALIDITY_MIN_S))


@lru_cache(maxsize=64)
def _relative(left_s: int) -> bytes:
    days, rest = divmod(left_s, _DAY_S)
    hours, rest = divmod(rest, _HOUR_S)
    minutes, seconds = divmod(rest, _MINUTE_S)
    return f"0000{min(days, 99):02d}{hours:02d}{minutes:02d}{seconds:02d}000R".encode("ascii")
