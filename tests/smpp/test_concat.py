"""The parts of a long message, in headers and in TLVs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp.concat import (
    Part,
    header_8_bit,
    header_16_bit,
    part_of,
    sar_tlvs,
    split_user_data,
)
from arrivals.smpp.pdu import Pdu, Tlvs, UnencodablePdu

PART = Part(reference=0x42, total=3, number=2)


def message(user_data: bytes, tlvs: Tlvs = (), esm_class: int = c.ESM_UDHI) -> Pdu:
    fields: dict[str, int | bytes] = {"esm_class": esm_class, "short_message": user_data}
    return Pdu(c.SUBMIT_SM, fields=fields, tlvs=tlvs)


def test_headers_as_octets() -> None:
    assert header_8_bit(PART).hex() == "050003420302"
    assert header_16_bit(Part(reference=0x1234, total=3, number=2)).hex() == "06080412340302"
    assert sar_tlvs(PART) == ((0x020C, b"\0\x42"), (0x020E, b"\3"), (0x020F, b"\2"))


@given(st.integers(0, 255), st.integers(1, 255), st.data())
def test_parts_round_trip(reference: int, total: int, data: st.DataObject) -> None:
    part = Part(reference=reference, total=total, number=data.draw(st.integers(1, total)))
    for header in (header_8_bit(part), header_16_bit(part)):
        assert part_of(message(header + b"text")) == part
        assert split_user_data(message(header + b"text")) == (header, b"text")
    assert part_of(message(b"text", sar_tlvs(part), esm_class=0)) == part


def test_header_wins_over_tlvs_and_other_elements_are_passed_over() -> None:
    other = Part(reference=9, total=9, number=9)
    ports = bytes.fromhex("0b0504158a0000") + bytes.fromhex("0003420302")
    assert part_of(message(ports + b"text", sar_tlvs(other))) == PART


def test_payload_has_a_header_too() -> None:
    value = message(b"", ((c.TLV_MESSAGE_PAYLOAD, header_8_bit(PART) + b"long"),))
    assert part_of(value) == PART
    assert split_user_data(value)[1] == b"long"


@pytest.mark.parametrize(
    "user_data",
    [
        b"",
        b"\x05\x00\x03\x42\x03",  # runs past the data
        b"\x05\x00\x03\x42\x03\x04text",  # part 4 of 3
        b"\x05\x00\x03\x42\x03\x00text",  # part 0
        b"\x04\x00\x02\x42\x03text",  # too short an element
        b"\x05\x08\x03\x42\x03\x01text",
        b"\x02\x70\x00text",
    ],
)
def test_no_part_is_made_of_nonsense(user_data: bytes) -> None:
    assert part_of(message(user_data)) is None


@pytest.mark.parametrize(
    "user_data",
    [
        b"id:7F stat:DELIVRD text:" + b"x" * 90,  # the flag, and a text of letters
        b"\x05 is my number",  # an element longer than its header
        b"\x05\x00\x03\x42\x03",  # runs past the data
        b"\x04\x00\x03\x42\x03\x01text",  # its elements run past it
        b"\x01\x00text",  # too short for one element
        b"\x06\x00\x03\x42\x03\x01text",  # an octet too many
    ],
)
def test_a_header_that_does_not_add_up_is_text(user_data: bytes) -> None:
    assert split_user_data(message(user_data)) == (b"", user_data)


def test_an_empty_header_is_one() -> None:
    assert split_user_data(message(b"\0text")) == (b"\0", b"text")


def test_no_part_without_the_flag_or_with_some_of_the_tlvs() -> None:
    assert part_of(message(header_8_bit(PART) + b"text", esm_class=0)) is None
    assert part_of(message(b"text", sar_tlvs(PART)[:2], esm_class=0)) is None


@pytest.mark.parametrize(
    ("reference", "total", "number"),
    [(256, 2, 1), (-1, 2, 1), (1, 2, 3), (1, 2, 0), (1, 256, 1)],
)
def test_parts_that_no_header_can_say(reference: int, total: int, number: int) -> None:
    with pytest.raises(UnencodablePdu):
        header_8_bit(Part(reference=reference, total=total, number=number))
