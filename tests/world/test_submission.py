"""What a submit_sm is read as, and that identities don't know about time or order."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arrivals.core.text import encode_gsm7
from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, header_8_bit, header_16_bit, sar_tlvs
from arrivals.smpp.pdu import Pdu, encode, make_tlv
from arrivals.world.mailbox import Parcel, pdu_of
from arrivals.world.provider import Receipts
from arrivals.world.submission import (
    Occurrences,
    Submission,
    decode_text,
    read_submission,
    read_validity,
)
from tests.smpp import strategies

NOW_US = 1_793_577_600_000_000  # 2026-11-02 00:00 UTC


def pdu(text: bytes = b"hello", to: bytes = b"447700900001", **fields: int | bytes) -> Pdu:
    return Pdu(
        c.SUBMIT_SM,
        fields={
            "source_addr": b"Arrivals",
            "destination_addr": to,
            "short_message": text,
            **fields,
        },
    )


def read(*pdus: Pdu, occurrences: Occurrences | None = None) -> list[Submission]:
    counts = occurrences or Occurrences()
    return [read_submission(one, "north", counts, at_s=0.0, now_us=NOW_US) for one in pdus]


@given(st.permutations(list(range(12))))
def test_identities_are_the_same_in_any_order(order: list[int]) -> None:
    kinds = [
        pdu(b"text %d" % (number % 4), b"4477009000%02d" % (number % 3)) for number in order
    ]
    in_order = [pdu(b"text %d" % (n % 4), b"4477009000%02d" % (n % 3)) for n in range(12)]
    assert {s.identity for s in read(*kinds)} == {s.identity for s in read(*in_order)}


def test_repeats_differ_and_so_do_texts_numbers_and_senders() -> None:
    four = read(pdu(), pdu(), pdu(b"other"), pdu(to=b"447700900002"), pdu(source_addr=b"X"))
    assert len({submission.identity for submission in four}) == 5
    assert [submission.occurrence for submission in four] == [1, 2, 1, 1, 1]


def test_a_plus_makes_no_other_number() -> None:
    one, two = read(pdu(to=b"+447700900001"), pdu(to=b"447700900001"))
    assert one.destination == two.destination == "447700900001"
    assert two.occurrence == 2


def cut(header: str, reference: int, number: int, text: bytes) -> Pdu:
    part = Part(reference=reference, total=3, number=number)
    if header == "sar":
        return Pdu(c.SUBMIT_SM, fields=pdu(text).fields, tlvs=sar_tlvs(part))
    front = (header_8_bit if header == "udh8" else header_16_bit)(part)
    return pdu(front + text, esm_class=c.ESM_UDHI)


@pytest.mark.parametrize("header", ["udh8", "udh16", "sar"])
def test_parts_are_known_and_share_a_group(header: str) -> None:
    parts = read(*(cut(header, 99, number, b"part %d" % number) for number in (1, 2, 3)))
    assert [(p.part, p.parts, p.octets) for p in parts] == [
        (1, 3, b"part 1"),
        (2, 3, b"part 2"),
        (3, 3, b"part 3"),
    ]
    assert {p.concatenation for p in parts} == {99}
    assert len({p.group for p in parts}) == 1
    assert len({p.identity for p in parts}) == 3


def test_a_parts_identity_doesnt_depend_on_the_senders_reference() -> None:
    (one,) = read(cut("udh8", 1, 2, b"same"))
    (two,) = read(cut("udh16", 200, 2, b"same"))
    assert (one.identity, one.group) == (two.identity, two.group)


def test_a_second_long_message_is_another_group() -> None:
    first, _, second = read(
        cut("udh8", 1, 1, b"a"), cut("udh8", 1, 2, b"b"), cut("udh8", 2, 1, b"c")
    )
    assert first.group != second.group


def test_what_is_turned_away_isnt_counted() -> None:
    occurrences = Occurrences()
    read_submission(pdu(), "north", None, at_s=0.0, now_us=NOW_US)
    assert read(pdu(), occurrences=occurrences)[0].occurrence == 1


def test_occurrences_are_bounded_and_recent_ones_survive() -> None:
    occurrences = Occurrences(occurrences_max=10)
    for _ in range(5):
        assert occurrences.count(b"often") >= 1
        for number in range(9):
            occurrences.count(b"%d" % number)
    assert occurrences.count(b"often") == 6
    for number in range(30):
        occurrences.count(b"new %d" % number)
    assert occurrences.count(b"often") == 1


def test_reference_validity_and_wishes_are_read() -> None:
    one = Pdu(
        c.SUBMIT_SM,
        fields=pdu(registered_delivery=0x11, validity_period=b"000000000130000R").fields,
        tlvs=(make_tlv(c.TLV_USER_MESSAGE_REFERENCE, 4711),),
    )
    (submission,) = read(one)
    assert submission.reference == 4711
    assert submission.validity_s == 90.0
    assert submission.registered_delivery == 0x11


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        ("000000000060000R", 60.0),
        ("000002120000000R", 2.5 * 86_400),
        ("000100000000000R", 30 * 86_400.0),
        ("261102000130000+", 90.0),
        ("261102010130004+", 90.0),
        ("261101230130004-", 90.0),
        ("261101000000000+", 0.0),
        ("261399000000000+", None),
        ("000000000060000X", None),
        ("soon", None),
    ],
)
def test_validity_periods(period: str, seconds: float | None) -> None:
    assert read_validity(period, NOW_US) == seconds


@given(st.text(max_size=20))
def test_any_validity_period_is_read_or_not(period: str) -> None:
    assert read_validity(period, NOW_US) is None or read_validity(period, NOW_US) >= 0  # type: ignore[operator]


@given(st.binary(), st.integers(0, 255))
def test_any_octets_are_some_text(octets: bytes, data_coding: int) -> None:
    assert isinstance(decode_text(octets, data_coding), str)


def test_texts_read_as_they_were_written() -> None:
    assert decode_text(encode_gsm7("20 € {now}"), 0) == "20 € {now}"
    assert decode_text("шесть 🙂".encode("utf-16-be"), 8) == "шесть 🙂"
    assert decode_text("née".encode("latin-1"), 3) == "née"
    # Texts that flash up, as gateways send them.
    assert decode_text(encode_gsm7("20 €"), 0x10) == decode_text(encode_gsm7("20 €"), 0xF0)
    assert decode_text(encode_gsm7("20 €"), 0x10) == "20 €"
    assert decode_text("шесть".encode("utf-16-be"), 0x18) == "шесть"
    assert decode_text("née".encode("latin-1"), 0xF5) == "née"


@given(strategies.pdus((c.SUBMIT_SM,)))
@example(Pdu(c.SUBMIT_SM, tlvs=((c.TLV_USER_MESSAGE_REFERENCE, b"\1\0\0"),)))
def test_whatever_is_submitted_can_be_shown_and_reported(pdu: Pdu) -> None:
    """One ESME's odd PDU must not end in an error on another's connection."""
    (submission,) = read(pdu)
    assert isinstance(submission.text, str)
    parcel = Parcel(
        submission=submission,
        message_id="1" * 20,
        state="DELIVRD",
        error="000",
        submitted_us=NOW_US,
        done_us=NOW_US,
        origin=None,
    )
    encode(pdu_of(parcel, Receipts()))
