"""Turn a submission into submit_sm PDUs. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from arrivals.core.dialect import PLAIN, Dialect, SenderForm
from arrivals.core.text import analyse, encode_segments, encode_whole
from arrivals.providers.api import Submission
from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, header_8_bit, sar_tlvs
from arrivals.smpp.pdu import Fields, Pdu, Tlvs, make_tlv

# Type of number and numbering plan (SMPP 3.4 section 5.2.5 and 5.2.6).
TON_INTERNATIONAL, TON_NATIONAL, TON_NETWORK, TON_ALPHANUMERIC = 1, 2, 3, 5
NPI_UNKNOWN, NPI_ISDN = 0, 1
SHORT_CODE_DIGITS_MAX: Final = 6  # a numeric sender this short belongs to the network
# data_coding (section 5.2.19): 0 is the provider's default alphabet, whichever that is.
DATA_CODING: Final = {"gsm7": 0, "latin-1": 0, "ascii": 0, "ucs2": 8}
FINAL_RECEIPT: Final = 1  # registered_delivery: a receipt for success and for failure

SENDERS_REMEMBERED: Final = 1_000

SECOND_US: Final = 1_000_000
VALIDITY_MIN_S: Final = 60  # shorter ones are refused by SMSCs that count in minutes
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def submit_sm(submission: Submission, now_us: int, dialect: Dialect = PLAIN) -> list[Pdu]:
    """Return the PDUs that carry a message to a provider, in order: one a part, or one."""
    alphabet = dialect.alphabet
    encoding = analyse(submission.text, alphabet).encoding
    ton, npi, address = written_sender(submission.sender, dialect.senders)
    fields: Fields = {
        "source_addr_ton": ton,
        "source_addr_npi": npi,
        "source_addr": address,
        "dest_addr_ton": TON_INTERNATIONAL,
        "dest_addr_npi": NPI_ISDN,
        "destination_addr": submission.msisdn.encode("ascii"),
        "registered_delivery": FINAL_RECEIPT,
        "data_coding": DATA_CODING[encoding],
    }
    if dialect.validity == "relative":
        fields["validity_period"] = validity_period(submission.expires_at_us - now_us)
    elif dialect.validity == "absolute":
        fields["validity_period"] = validity_until(submission.expires_at_us, now_us)
    if dialect.service_type:
        fields["service_type"] = dialect.service_type.encode("ascii")
    tlvs: Tlvs = ()
    if dialect.optional_parameters:
        tlvs = (make_tlv(c.TLV_USER_MESSAGE_REFERENCE, submission.reference),)
    parts = encode_segments(submission.text, alphabet)
    if len(parts) == 1:
        fields["short_message"] = parts[0]
        return [Pdu(c.SUBMIT_SM, fields=fields, tlvs=tlvs)]
    if dialect.long_messages == "payload":
        whole = make_tlv(c.TLV_MESSAGE_PAYLOAD, encode_whole(submission.text, alphabet))
        return [Pdu(c.SUBMIT_SM, fields=fields, tlvs=(*tlvs, whole))]
    return _in_parts(submission, dialect, fields, tlvs, parts)


def _in_parts(
    submission: Submission,
    dialect: Dialect,
    fields: Fields,
    tlvs: Tlvs,
    parts: tuple[bytes, ...],
) -> list[Pdu]:
    """Return the PDUs of a long message that we cut: numbered by TLVs, or by its header."""
    # One octet of the reference, in TLVs too: an SMSC that makes a header of them for the
    # network has cut texts that leave room for this one, not for that of a 16-bit reference.
    reference, total = submission.reference & 0xFF, len(parts)
    if dialect.long_messages == "sar":
        return [
            Pdu(
                c.SUBMIT_SM,
                fields=fields | {"short_message": octets},
                tlvs=(
                    *tlvs,
                    *sar_tlvs(Part(reference=reference, total=total, number=number)),
                ),
            )
            for number, octets in enumerate(parts, 1)
        ]
    fields["esm_class"] = c.ESM_UDHI
    return [
        Pdu(
            c.SUBMIT_SM,
            fields=fields
            | {
                "short_message": header_8_bit(
                    Part(reference=reference, total=total, number=number)
                )
                + octets
            },
            tlvs=tlvs,
        )
        for number, octets in enumerate(parts, 1)
    ]


@lru_cache(maxsize=SENDERS_REMEMBERED)
def written_sender(sender: str, forms: tuple[SenderForm, ...] = ()) -> tuple[int, int, bytes]:
    """Return a sender's TON, its NPI, and its address as it goes out.

    The first of the provider's forms that matches it whole decides, as it goes out or as it
    was given; none: what it looks like.
    """
    ton, npi, address = _by_looks(sender)
    for form in forms:
        pattern = re.compile(form.pattern)
        if pattern.fullmatch(address) or pattern.fullmatch(sender):
            return form.ton, form.npi, address.encode("ascii")
    return ton, npi, address.encode("ascii")


def _by_looks(sender: str) -> tuple[int, int, str]:
    digits = sender.lstrip("+")
    if not digits.isdigit():
        return TON_ALPHANUMERIC, NPI_UNKNOWN, digits
    # The prefix of international calls; a short code may begin with zeros of its own.
    if digits.startswith("00") and len(digits) > SHORT_CODE_DIGITS_MAX + 2:
        return TON_INTERNATIONAL, NPI_ISDN, digits[2:]
    if sender[0] == "+":
        return TON_INTERNATIONAL, NPI_ISDN, digits
    if len(digits) <= SHORT_CODE_DIGITS_MAX:
        return TON_NETWORK, NPI_ISDN, digits
    # No country's code begins with a zero.
    return (TON_NATIONAL if digits[0] == "0" else TON_INTERNATIONAL), NPI_ISDN, digits


def validity_period(left_us: int) -> bytes:
    """Return what is left of a message's validity as relative time (section 7.1.1.2)."""
    return _relative(max(left_us // SECOND_US, VALIDITY_MIN_S))


def validity_until(expires_at_us: int, now_us: int) -> bytes:
    """Return when a message's validity ends as absolute time, in UTC (section 7.1.1.1)."""
    return _absolute(max(expires_at_us // SECOND_US, now_us // SECOND_US + VALIDITY_MIN_S))


@lru_cache(maxsize=64)
def _relative(left_s: int) -> bytes:
    days, rest = divmod(left_s, _DAY_S)
    hours, rest = divmod(rest, _HOUR_S)
    minutes, seconds = divmod(rest, _MINUTE_S)
    return f"0000{min(days, 99):02d}{hours:02d}{minutes:02d}{seconds:02d}000R".encode("ascii")


@lru_cache(maxsize=64)
def _absolute(at_s: int) -> bytes:
    return f"{datetime.fromtimestamp(at_s, UTC):%y%m%d%H%M%S}000+".encode("ascii")
