"""From a submission to PDUs, and from a PDU to a receipt."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.text import analyse
from arrivals.providers.api import Receipt, Reply, forms_of
from arrivals.providers.submissions import (
    read_receipt,
    read_reply,
    submit_sm,
    validity_period,
)
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from arrivals.smpp.pdu import Pdu, make_tlv
from arrivals.smpp.receipts import format_receipt
from tests.providers.smsc import submission
from tests.smpp import strategies


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


def deliver(message_id: str = "A1", state: str = "DELIVRD", **fields: int | bytes) -> Pdu:
    text, tlvs = format_receipt(
        message_id=message_id, state=state, submit_date="2401010000", done_date="2401010001"
    )
    values: dict[str, int | bytes] = {
        "source_addr": b"+31612345678",
        "esm_class": c.ESM_DELIVERY_RECEIPT,
        "short_message": text,
        **fields,
    }
    return Pdu(c.DELIVER_SM, fields=values, tlvs=tlvs)


def test_a_receipt_in_every_providers_words():
    found = read_receipt("north", deliver("00AB"))
    assert found is not None
    assert (found.provider_id, found.external_id, found.word) == ("north", "00ab", "DELIVRD")
    assert (found.msisdn, found.done, found.intermediate) == (
        "31612345678",
        "2401010001",
        False,
    )
    assert {"00AB", "ab", "171"} <= set(forms_of(found))
    assert bytes.fromhex(found.raw).startswith(b"id:00AB")


def test_equal_receipts_have_equal_fingerprints_and_others_don_t():
    """Invariant 35 stands on these."""
    same = {read_receipt("north", deliver()).fingerprint for _ in range(2)}  # type: ignore[union-attr]
    assert len(same) == 1
    others = [
        deliver("A2"),
        deliver(state="UNDELIV"),
        deliver(source_addr=b"31600000000"),
        deliver(esm_class=c.ESM_INTERMEDIATE_NOTIFICATION),
    ]
    echoed = deliver()
    tlvs = (*echoed.tlvs, make_tlv(c.TLV_USER_MESSAGE_REFERENCE, 7))
    others.append(Pdu(c.DELIVER_SM, fields=echoed.fields, tlvs=tlvs))
    prints = {read_receipt("north", pdu).fingerprint for pdu in others}  # type: ignore[union-attr]
    assert len(prints | same) == len(others) + 1


@pytest.mark.parametrize("source", [b"ACME", b"\xb2\xb3\xb9"])  # superscripts are digits too
def test_a_sender_that_is_no_number_is_no_destination(source: bytes):
    found = read_receipt("north", deliver(source_addr=source))
    assert found is not None
    assert found.msisdn == ""


def test_a_blank_id_is_none():
    found = read_receipt("north", deliver(" "))
    assert found is not None
    assert found.external_id is None


@given(
    st.sampled_from((c.DELIVER_SM, c.DATA_SM)).flatmap(lambda each: strategies.pdus((each,)))
)
def test_any_receipt_can_be_kept_and_read_again(pdu: Pdu):
    found = read_receipt("north", pdu)
    if found is not None:
        assert msgspec.json.decode(msgspec.json.encode(found), type=Receipt) == found
        assert found.reference is None or found.reference <= 0xFFFF


def test_a_handset_s_message_is_no_receipt():
    fields: dict[str, int | bytes] = {
        "source_addr": b"1",
        "short_message": b"id:1 stat:DELIVRD",
    }
    assert read_receipt("north", Pdu(c.DELIVER_SM, fields=fields)) is None


# --- replies --------------------------------------------------------------------------


def written(**changes: int | bytes) -> Pdu:
    fields: dict[str, int | bytes] = {
        "source_addr": b"31612345678",
        "destination_addr": b"31201234567",
        "short_message": b"Thank you",
    }
    return Pdu(c.DELIVER_SM, fields=fields | changes)


@pytest.mark.parametrize("command_id", [c.DELIVER_SM, c.DATA_SM])
def test_a_reply_is_between_two_numbers_and_has_no_text(command_id: int):
    pdu = msgspec.structs.replace(written(), command_id=command_id)
    found = read_reply("north", pdu, 7)
    assert found == Reply(
        provider_id="north", msisdn="31612345678", sender="31201234567", came_at_us=7
    )
    assert "Thank" not in repr(found)


@pytest.mark.parametrize(
    "pdu",
    [
        written(source_addr=b"ARRIVALS"),
        written(source_addr=b""),
        written(destination_addr=b"ARRIVALS"),
        written(esm_class=c.ESM_DELIVERY_ACKNOWLEDGEMENT),
        written(esm_class=c.ESM_INTERMEDIATE_NOTIFICATION),
        written(esm_class=c.ESM_DELIVERY_RECEIPT),
        # A receipt that doesn't say so: its failure would be taken for proof of an arrival.
        written(short_message=b"id:77 sub:001 dlvrd:000 stat:UNDELIV err:006"),
    ],
)
def test_what_surely_isn_t_one_is_none(pdu: Pdu):
    assert read_reply("north", pdu, 7) is None


@given(pdu=strategies.pdus())
def test_whatever_comes_is_a_reply_or_none(pdu: Pdu):
    found = read_reply("north", pdu, 7)
    assert found is None or (found.msisdn.isdigit() and found.sender.isdigit())
