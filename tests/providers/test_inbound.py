"""From a PDU of a provider's to a receipt, a reply, or nothing that anybody acts on."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.catalogue import Provider
from arrivals.core.dialect import Dialect
from arrivals.providers.api import Fate, Ignored, Receipt, Reply, forms_of
from arrivals.providers.inbound import (
    IGNORED_OCTETS_MAX,
    ignored_event,
    read_receipt,
    read_reply,
    read_request,
)
from arrivals.smpp import constants as c
from arrivals.smpp.events import Fault, ProtocolError, UnexpectedAnswer
from arrivals.smpp.pdu import Pdu, decode, encode, make_tlv
from arrivals.smpp.receipts import format_receipt
from tests.smpp import strategies


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
        written(short_message=b"F1,UNDELIV,045"),
        written(short_message="F1 UNDELIV 045".encode("utf-16-be")),
        written(short_message=b"Message F1 could not be delivered"),
        msgspec.structs.replace(written(), tlvs=((c.TLV_MESSAGE_STATE, b"\5"),)),
        msgspec.structs.replace(written(), tlvs=((c.TLV_NETWORK_ERROR_CODE, b"\3\0\1"),)),
    ],
)
def test_what_surely_isn_t_one_is_none(pdu: Pdu):
    assert read_reply("north", pdu, 7) is None


@given(pdu=strategies.pdus())
def test_whatever_comes_is_a_reply_or_none(pdu: Pdu):
    found = read_reply("north", pdu, 7)
    assert found is None or (found.msisdn.isdigit() and found.sender.isdigit())


# --- what comes to nothing -------------------------------------------------------------

NORTH = Provider(provider_id="north", sandbox=False)


def ignored(found: object) -> Ignored:
    assert isinstance(found, Ignored)
    return found


UNMARKED_TEXT = b"id:77 sub:001 dlvrd:000 stat:UNDELIV err:006"


@pytest.mark.parametrize(
    ("pdu", "fate"),
    [
        (written(short_message=UNMARKED_TEXT), Fate.UNMARKED),
        (written(short_message=UNMARKED_TEXT, esm_class=0x08), Fate.UNMARKED),
        (Pdu(c.ALERT_NOTIFICATION, fields={"source_addr": b"31612345678"}), Fate.ALERT),
    ],
    ids=["unmarked", "of an odd class", "an alert"],
)
def test_what_may_be_a_receipt_is_kept_with_its_octets(pdu: Pdu, fate: Fate):
    found = ignored(read_request(NORTH, pdu, 7))
    assert (found.provider_id, found.fate) == ("north", fate)
    assert found.command == c.command_name(pdu.command_id)
    assert bytes.fromhex(found.raw) == encode(pdu)
    assert found.raw not in repr(found)


@pytest.mark.parametrize("text", [b"F1,UNDELIV,045", "F1 REJECTD".encode("utf-16-le")])
def test_a_report_without_keys_comes_to_nothing_and_is_kept_with_its_octets(text: bytes):
    pdu = written(short_message=text)
    found = ignored(read_request(NORTH, pdu, 7))
    assert (found.fate, bytes.fromhex(found.raw)) == (Fate.UNREADABLE, encode(pdu))


CANARY = b"canary"


@pytest.mark.parametrize(
    "pdu",
    [
        written(short_message=CANARY, destination_addr=b"ARRIVALS"),
        written(short_message=CANARY, source_addr=b"ARRIVALS"),
        written(short_message=CANARY, esm_class=0x08),
        written(short_message=CANARY, esm_class=0x10),
        written(short_message=CANARY + b" was not delivered"),
        Pdu(c.DATA_SM, fields={"esm_class": 8}, tlvs=((c.TLV_MESSAGE_PAYLOAD, CANARY),)),
    ],
    ids=[
        "to a name",
        "from a name",
        "an acknowledgement",
        "a person's",
        "of a delivery",
        "a payload",
    ],
)
def test_what_somebody_may_have_written_is_kept_without_its_text(pdu: Pdu):
    found = ignored(read_request(NORTH, pdu, 7))
    assert found.fate is Fate.UNREADABLE
    kept = bytes.fromhex(found.raw)
    assert CANARY not in kept
    assert decode(kept).octets("source_addr") == pdu.octets("source_addr")


@pytest.mark.parametrize(
    ("text", "whole"),
    [(CANARY, False), (b"id:7F stat:DELIVRD", True), ("DELIVRD".encode("utf-16-be"), True)],
)
def test_of_a_malformed_text_the_octets_are_kept_if_they_tell_of_a_state(
    text: bytes, *, whole: bool
):
    octets = encode(Pdu(c.DELIVER_SM, 0, 7, body=b"\0\1" + text))
    found = ignored_event("north", ProtocolError("why", Fault.MALFORMED, octets=octets))
    assert bytes.fromhex(found.raw) == (octets if whole else octets[:16])


def test_an_unmarked_receipt_is_one_where_the_dialect_says_so():
    north = Provider(
        provider_id="north", sandbox=False, dialect=Dialect(unmarked_receipts=True)
    )
    found = read_request(north, written(short_message=UNMARKED_TEXT), 7)
    assert isinstance(found, Receipt)
    assert (found.external_id, found.word) == ("77", "UNDELIV")
    assert isinstance(read_request(north, written(), 7), Reply)


def test_what_a_handset_wrote_stays_behind_whatever_became_of_it():
    for odd in ({}, {"source_addr": b"9" * 30}):
        pdu = written(short_message=CANARY, **odd)
        refused = ProtocolError("not now", Fault.WRONG_STATE, pdu)
        assert CANARY.hex() not in ignored_event("north", refused).raw


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_its_fate(fault: Fault):
    octets = encode(Pdu(c.DELIVER_SM, 0, 7, body=b"DELIVRD" * 700))
    found = ignored_event("north", ProtocolError("why", fault, octets=octets))
    assert (found.fate.value, found.command) == (fault.value, "deliver_sm")
    assert bytes.fromhex(found.raw) == octets[:IGNORED_OCTETS_MAX]


def test_an_answer_to_nothing_and_a_command_that_nobody_knows_are_kept():
    for pdu, event, fate in (
        (answer := Pdu(c.SUBMIT_SM_RESP, 0, 7, {"message_id": b"A1"}),
         UnexpectedAnswer(answer), Fate.UNASKED),
        (odd := Pdu(0x0BAD, 0, 7, body=b"?"),
         ProtocolError("why", Fault.UNKNOWN_COMMAND, odd), Fate.UNKNOWN_COMMAND),
    ):  # fmt: skip
        found = ignored_event("north", event)
        assert (found.fate, bytes.fromhex(found.raw)) == (fate, encode(pdu))
    lost = ignored_event("north", ProtocolError("why", Fault.STREAM_LOST))
    assert (lost.command, lost.raw) == ("", "")


def test_of_a_receipt_that_breaks_its_layout_all_octets_are_kept():
    whole = encode(deliver("A1"))[16:] + b"\0"
    bent = msgspec.structs.replace(deliver("A1"), body=whole)
    found = read_receipt("north", bent)
    assert found is not None
    assert bytes.fromhex(found.raw)[16:] == whole


def test_addresses_that_stand_as_in_the_submit_sm_are_both_told():
    found = read_receipt("north", deliver(source_addr=b"ARRIVALS", destination_addr=b"+31612"))
    assert found is not None
    assert (found.msisdn, found.other) == ("", "31612")


@given(pdu=strategies.pdus())
def test_whatever_comes_is_something(pdu: Pdu):
    assert read_request(NORTH, pdu, 7) is not None
