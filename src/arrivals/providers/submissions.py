"""Turn a submission into submit_sm PDUs, and a deliver_sm into a receipt or a reply. Pure."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from arrivals.core.replies import digits_of
from arrivals.core.text import analyse, encode_segments
from arrivals.providers.api import Receipt, Reply, Submission
from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, header_8_bit
from arrivals.smpp.pdu import Pdu, make_tlv
from arrivals.smpp.receipts import normal_form, parse_receipt, resembles_receipt

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


def read_receipt(provider_id: str, pdu: Pdu) -> Receipt | None:
    """Return the receipt that a deliver_sm or data_sm carries; None for anything else."""
    report = parse_receipt(pdu)
    if report is None:
        return None
    named = dict.fromkeys(each for each in (report.message_id, report.text_id) if each)
    external_id = normal_form(report.message_id or "") or None
    digits = report.source.strip().lstrip("+")
    is_number = digits.isascii() and digits.isdigit()
    said = (
        external_id,
        report.state,
        report.error,
        report.done_date,
        digits,
        report.user_message_reference,
        report.intermediate,
    )
    return Receipt(
        provider_id=provider_id,
        external_id=external_id,
        names=tuple(named),
        word=report.state,
        said=report.stat_raw or "",
        error=report.error or "",
        msisdn=digits.removeprefix("00") if is_number else "",
        reference=report.user_message_reference,
        done=report.done_date,
        intermediate=report.intermediate,
        fingerprint=blake2b(repr(said).encode(), digest_size=8).hexdigest(),
        raw=report.raw.hex(),
    )


def read_reply(provider_id: str, pdu: Pdu, now_us: int) -> Reply | None:
    """Return between whom a handset's message went; its text stays behind.

    None for whatever isn't surely one, such as a receipt that doesn't say that it is: a word
    that something failed must not be taken for proof that it arrived.
    """
    if pdu.number("esm_class") & c.ESM_MESSAGE_TYPE_MASK or resembles_receipt(pdu):
        return None
    msisdn = digits_of(pdu.octets("source_addr").decode("latin-1"))
    sender = digits_of(pdu.octets("destination_addr").decode("latin-1"))
    if not msisdn or not sender:
        return None
    return Reply(provider_id=provider_id, msisdn=msisdn, sender=sender, came_at_us=now_us)
