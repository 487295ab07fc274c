"""Carriers' requests whose octets break their layout, and what is read of them all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp.bent import read_bent
from arrivals.smpp.pdu import Framer, MalformedPdu, Pdu, decode, encode
from arrivals.smpp.receipts import parse_receipt
from tests.smpp.receipt_cases import USUAL, receipt

ID_TLV = (c.TLV_RECEIPTED_MESSAGE_ID, b"7F\0")
STATE_TLV = (c.TLV_MESSAGE_STATE, b"\2")
# What a receipt is read from; a tail that spells one of these is no stray one.
TELLING = {
    c.TLV_RECEIPTED_MESSAGE_ID, c.TLV_MESSAGE_STATE, c.TLV_MESSAGE_PAYLOAD,
    c.TLV_NETWORK_ERROR_CODE, c.TLV_DELIVERY_FAILURE_REASON, c.TLV_USER_MESSAGE_REFERENCE,
    c.TLV_SAR_MSG_REF_NUM, c.TLV_SAR_TOTAL_SEGMENTS, c.TLV_SAR_SEGMENT_SEQNUM,
}  # fmt: skip


def with_tail(pdu: Pdu, tail: bytes) -> bytes:
    """Return a PDU's frame with octets behind it that its length counts."""
    body = encode(pdu)[16:] + tail
    return encode(Pdu(pdu.command_id, 0, pdu.sequence_number, body=body))


def read(frame: bytes) -> Pdu | MalformedPdu:
    (found,) = Framer(read_bent).feed(frame)
    assert isinstance(found, Pdu | MalformedPdu)
    return found


TAILS = [
    ("one NUL of a text that counts itself without", b"\0"),
    ("two NULs of a UCS-2 text", b"\0\0"),
    ("three NULs", b"\0\0\0"),
    ("four NULs, which are an empty TLV 0", b"\0\0\0\0"),
    ("a TLV's tag alone", b"\x00\x1e"),
    ("a TLV's tag and half its length", b"\x04\x27\x00"),
    ("a TLV that is longer than its PDU", b"\x04\x27\x00\x05\x02"),
    ("a TLV whose length is written the other way round", b"\x04\x27\x01\x00\x02"),
    ("a vendor's TLV, cut off in its value", b"\x14\x03\x00\x20carr"),
    ("words of a vendor's own", b"EOM"),
    ("octets of the next buffer", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9"),
    ("a line's end", b"\r\n"),
]


@pytest.mark.parametrize("tail", [each[1] for each in TAILS], ids=[each[0] for each in TAILS])
@pytest.mark.parametrize("tlvs", [(), (ID_TLV, STATE_TLV)], ids=["text", "TLVs"])
def test_a_stray_tail_never_refuses_a_receipt(tail: bytes, tlvs: tuple[()]) -> None:
    sound = receipt(USUAL, tlvs)
    frame = with_tail(sound, tail)
    found = read(frame)
    assert isinstance(found, Pdu)
    assert found.fields == decode(encode(sound)).fields
    assert found.tlvs[: len(tlvs)] == tlvs
    assert parse_receipt(found) == parse_receipt(sound)
    assert encode(found) == frame, "no octet of it is lost"


@given(st.binary(max_size=80), st.sampled_from([(), (ID_TLV,), (ID_TLV, STATE_TLV)]))
def test_any_tail_gives_the_same_receipt(tail: bytes, tlvs: tuple[()]) -> None:
    sound = receipt(USUAL, tlvs)
    found = read(with_tail(sound, tail))
    assert isinstance(found, Pdu)
    more = found.tlvs[len(tlvs) :] if found.tlvs[: len(tlvs)] == tlvs else found.tlvs
    if TELLING.isdisjoint(tag for tag, _ in more):
        was, now = parse_receipt(sound), parse_receipt(found)
        assert was is not None
        assert now is not None
        assert (now.message_id, now.state, now.error, now.raw) == (
            was.message_id, was.state, was.error, was.raw,
        )  # fmt: skip


@pytest.mark.parametrize("nuls", [1, 2])
def test_tlvs_behind_uncounted_nuls_are_read(nuls: int) -> None:
    tlvs = encode(Pdu(c.UNBIND, tlvs=((0x0427, b"\2"), (0x001E, b"0123456789\0"))))[16:]
    found = read(with_tail(receipt(b""), bytes(nuls) + tlvs))
    assert isinstance(found, Pdu)
    assert found.tlvs == ((0x0427, b"\2"), (0x001E, b"0123456789\0"))


def test_what_is_behind_nuls_counts_only_if_it_is_tlvs_to_the_end() -> None:
    found = read(with_tail(receipt(USUAL), b"\0\x04\x27\x00\x01\x05\x00"))
    assert isinstance(found, Pdu)
    assert found.tlvs == ()


@pytest.mark.parametrize(
    ("command_id", "tail"),
    [
        (c.ENQUIRE_LINK, b"\0"),
        (c.UNBIND, b"\0\0"),
        (c.DATA_SM, b"\0"),
        (c.ALERT_NOTIFICATION, b"\0\1"),
    ],
)
def test_no_command_of_a_carrier_s_falls_to_its_tail(command_id: int, tail: bytes) -> None:
    sound = Pdu(command_id, 0, 7)
    found = read(with_tail(sound, tail))
    assert isinstance(found, Pdu)
    assert (found.command_id, found.sequence_number) == (command_id, 7)


def test_a_text_behind_a_length_of_zero_is_read() -> None:
    found = read(with_tail(receipt(b""), USUAL))
    assert isinstance(found, Pdu)
    assert parse_receipt(found) == parse_receipt(receipt(USUAL))


def _bent_body(**changes: bytes) -> bytes:
    """Return a deliver_sm's body with strings that its layout doesn't allow."""
    says = {"service": b"", "source": b"4917012345678", "destination": b"ARRIVALS"} | changes
    return (
        says["service"] + b"\0\1\1" + says["source"] + b"\0\5\0" + says["destination"] + b"\0"
        + says.get("esm", b"\4") + b"\0\0" + says.get("schedule", b"") + b"\0\0\0\0\0\0"
        + says.get("length", bytes((len(USUAL),))) + says.get("text", USUAL)
    )  # fmt: skip


BENT = [
    ("a source of 30 digits", {"source": b"0" * 17 + b"4917012345678"}),
    ("a destination with a host's name", {"destination": b"arrivals.sms.example.net"}),
    ("a service_type of a vendor's", {"service": b"BULK_SMS"}),
    ("a date that is too long", {"schedule": b"2026-11-30T10:00:00Z"}),
    ("a length that counts more octets than there are", {"length": b"\xff"}),
]


@pytest.mark.parametrize("changes", [each[1] for each in BENT], ids=[each[0] for each in BENT])
def test_a_marked_receipt_is_read_past_broken_fields(changes: dict[str, bytes]) -> None:
    body = _bent_body(**changes)
    found = read(encode(Pdu(c.DELIVER_SM, 0, 7, body=body)))
    assert isinstance(found, Pdu)
    assert found.body == body
    said = parse_receipt(found)
    assert said is not None
    assert (said.message_id, said.state) == ("0123456789", "DELIVRD")


@pytest.mark.parametrize(
    ("command_id", "body"),
    [
        (c.DELIVER_SM, _bent_body(esm=b"\0", length=b"\xff")),  # no receipt: nothing is guessed
        (c.DELIVER_SM, _bent_body(source=b"9" * 300)),
        (c.DELIVER_SM, b"\0\1"),
        (c.DELIVER_SM, _bent_body(text=b"", length=b"")),
        (c.SUBMIT_MULTI, b"\0\1\1me\0\1\3"),
        (0x0BAD, b""),
    ],
)
def test_what_cannot_be_read_is_malformed_or_unknown(command_id: int, body: bytes) -> None:
    frame = encode(Pdu(command_id, 0, 7, body=body))
    assert read_bent(frame) is None
    found = read(frame)
    if command_id in (c.DELIVER_SM, c.SUBMIT_MULTI):
        assert isinstance(found, MalformedPdu)
        assert found.octets == frame


def test_a_customer_s_request_is_whole_or_malformed() -> None:
    (found,) = Framer().feed(with_tail(Pdu(c.SUBMIT_SM), b"\0"))
    assert isinstance(found, MalformedPdu)
    assert found.status == c.ESME_RINVOPTPARSTREAM


@given(st.binary(max_size=120), st.sampled_from([c.DELIVER_SM, c.DATA_SM, c.ENQUIRE_LINK]))
def test_any_octets_are_read_or_not(body: bytes, command_id: int) -> None:
    frame = encode(Pdu(command_id, 0, 7, body=body))
    found = read_bent(frame)
    assert found is None or encode(found) == frame
