"""From a submission to PDUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.text import analyse
from arrivals.providers.submissions import submit_sm, validity_period
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from tests.providers.smsc import submission


@pytest.mark.parametrize(
    ("sender", "address", "ton", "npi"),
    [
        ("ACME", b"ACME", 5, 0),
        ("A 1", b"A 1", 5, 0),
        ("12345", b"12345", 3, 1),
        ("31612345678", b"31612345678", 1, 1),
        ("+31612345678", b"31612345678", 1, 1),
    ],
)
def test_a_sender_says_what_it_is(sender: str, address: bytes, ton: int, npi: int):
    [pdu] = submit_sm(submission(sender=sender), 0)
    assert pdu.octets("source_addr") == address
    assert (pdu.number("source_addr_ton"), pdu.number("source_addr_npi")) == (ton, npi)


@pytest.mark.parametrize(
    ("left_s", "period"),
    [
        (3 * 86_400 + 4 * 3_600 + 5 * 60 + 6, b"000003040506000R"),
        (60, b"000000000100000R"),
        (1, b"000000000100000R"),  # a minute at least
        (-5, b"000000000100000R"),
    ],
)
def test_a_validity_is_what_is_left_of_it(left_s: int, period: bytes):
    assert validity_period(left_s * 1_000_000) == period


@given(st.text(alphabet=st.sampled_from("aé€ 한🙂["), min_size=1, max_size=600))
def test_as_many_parts_go_out_as_are_charged(text: str):
    """Invariants 11 and 29: one reference, numbered in order."""
    pdus = submit_sm(submission(text=text, reference=0x1234), 0)
    shape = analyse(text)
    assert len(pdus) == shape.segments
    assert {pdu.number("data_coding") for pdu in pdus} == {0 if shape.encoding == "gsm7" else 8}
    assert all(pdu.tlv_int(c.TLV_USER_MESSAGE_REFERENCE) == 0x1234 for pdu in pdus)
    if len(pdus) > 1:
        parts = [part_of(pdu) for pdu in pdus]
        assert [part.number for part in parts if part] == list(range(1, len(pdus) + 1))
        assert {(part.reference, part.total) for part in parts if part} == {(0x34, len(pdus))}
