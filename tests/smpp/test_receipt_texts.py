"""Receipts' texts in other alphabets and layouts than appendix B's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, decode, encode
from arrivals.smpp.receipt_states import UNRECOGNISED
from arrivals.smpp.receipt_texts import tell_of_a_state
from arrivals.smpp.receipts import parse_receipt, resembles_receipt
from tests.smpp.receipt_cases import USUAL, receipt

PLAIN = USUAL.decode()

ALPHABETS = [
    ("UTF-16, high octets first", PLAIN.encode("utf-16-be")),
    ("UTF-16, low octets first", PLAIN.encode("utf-16-le")),
    ("UTF-16, high octets first, with its mark", b"\xfe\xff" + PLAIN.encode("utf-16-be")),
    ("UTF-16, low octets first, with its mark", b"\xff\xfe" + PLAIN.encode("utf-16-le")),
    ("UTF-8 with its mark", b"\xef\xbb\xbf" + USUAL),
    ("UTF-16 with a NUL too many", PLAIN.encode("utf-16-be") + b"\0"),
    ("UTF-16 that quotes another script", (PLAIN + "Ваш код").encode("utf-16-be")),
    ("ASCII", USUAL),
    ("ASCII with NULs behind it", USUAL.replace(b"Hello", b"") + b"\0\0\0"),
]


@pytest.mark.parametrize("coding", [0, 1, 3, 4, 8, 0xF0])
@pytest.mark.parametrize(
    "octets", [each[1] for each in ALPHABETS], ids=[each[0] for each in ALPHABETS]
)
def test_any_alphabet_under_any_data_coding(octets: bytes, coding: int) -> None:
    found = parse_receipt(receipt(octets, coding=coding))
    assert found is not None
    assert (found.message_id, found.state, found.error) == ("0123456789", "DELIVRD", "000")
    assert found.raw == octets


# (the kind of report, the text, its id, its state, its error)
LAYOUTS = [
    (
        "the state's word without its key",
        PLAIN.replace("stat:DELIVRD", "DELIVRD"),
        "0123456789", "DELIVRD", "000",
    ),
    (
        "a failure's word without its key",
        PLAIN.replace("stat:DELIVRD err:000", "UNDELIV err:045"),
        "0123456789", "UNDELIV", "045",
    ),
    ("the word without its key, behind err", "id:7F err:000 DELIVRD", "7F", "DELIVRD", "000"),
    ("a phrase without its key", "id:7F Message was not delivered err:5", "7F", "UNDELIV", "5"),
    ("a negated word without its key", "id:7F was not DELIVRD err:5", "7F", "UNDELIV", "5"),
    ("the same behind err", "id:7F err:5 not DELIVRD", "7F", UNRECOGNISED, "5"),
    ("a word where the message is quoted", "id:7F err:5 Delivered", "7F", UNRECOGNISED, "5"),
    ("two states without keys", "id:7F DELIVRD UNDELIV err:5", "7F", UNRECOGNISED, "5"),
    ("a quoted word", 'id:7F stat:"DELIVRD" err:"000" text:', "7F", "DELIVRD", "000"),
    ("a word in single quotes", "id:'7F' stat:'DELIVRD' err:'000'", "7F", "DELIVRD", "000"),
    ("equals signs", "id=7F stat=DELIVRD err=000 text=hi", "7F", "DELIVRD", "000"),
    ("a query", "id=7F&sub=001&stat=UNDELIV&err=1", "7F", "UNDELIV", "1"),
    ("pipes", "id:7F|sub:001|stat:EXPIRED|err:0|text:x", "7F", "EXPIRED", "0"),
    ("semicolons", "id:7F;stat:DELIVRD;err:000;", "7F", "DELIVRD", "000"),
    ("a full stop behind the word", "id:7F stat:DELIVRD. err:000", "7F", "DELIVRD", "000"),
    ("a number for the state", "id:7F stat:2 err:000", "7F", "DELIVRD", "000"),
    ("long words", "id:7F stat:Delivered to handset err:0", "7F", "DELIVRD", "0"),
    ("long words of a failure", "id:7F stat:Not delivered err:1", "7F", "UNDELIV", "1"),
    ("JSON", '{"id":"7F","stat":"DELIVRD","err":0,"text":"hi"}', "7F", "DELIVRD", "0"),
    ("JSON with blanks", '{ "id" : "7F", "status" : "failed" }', "7F", "UNDELIV", None),
    ("JSON with numbers", '{"id":"7F","stat":2}', "7F", "DELIVRD", None),
    ("XML", "<dlr><id>7F</id><stat>DELIVRD</stat></dlr>", "7F", "DELIVRD", None),
    ("XML with attributes", '<dlr id="7F" stat="UNDELIV"/>', "7F", "UNDELIV", None),
    ("XML without quotes", "<dlr id=7F stat=UNDELIV/>", "7F", "UNDELIV", None),
    ("keys in capitals", "ID:7F STAT:DELIVRD ERR:000 TEXT:", "7F", "DELIVRD", "000"),
    ("a blank before the colon", "Id : 7F Stat : DELIVRD Err : 000", "7F", "DELIVRD", "000"),
    ("msgid and status", "msgid:7F status:DELIVERED", "7F", "DELIVRD", None),
    ("message_id and message_state", "message_id=7F message_state=5", "7F", "UNDELIV", None),
    ("smsid and a delivery status", "smsid:7F,delivery_status:sent", "7F", "ENROUTE", None),
    ("error_code", "id:7F stat:UNDELIV error_code:27", "7F", "UNDELIV", "27"),
    ("a key that nobody knows", "id:7F smsc:a4 stat:DELIVRD mcc:262", "7F", "DELIVRD", None),
    (
        "a key that nobody knows behind long words",
        "id:7F stat:Delivered to handset mccmnc:26201", "7F", "DELIVRD", None,
    ),
    (
        "a key that nobody knows, which speaks of a failure",
        "id:7F stat:Delivered to handset result:failed", "7F", UNRECOGNISED, None,
    ),
    (
        "a key that nobody knows, whose message speaks of a failure",
        "id:7F stat:DELIVRD msg:payment failed", "7F", "DELIVRD", None,
    ),
    ("a word, a comma and a message", "id:7F stat:UNDELIV,hello you", "7F", "UNDELIV", None),
    ("two states, one unknown", "id:7F status:OK stat:DELIVRD", "7F", "DELIVRD", None),
    ("two states, one failed", "id:7F stat:DELIVRD status:FAILED", "7F", "UNDELIV", None),
    ("a date with a clock", "id:7F donedate:2026-11-30 10:01 DELIVRD", "7F", "DELIVRD", None),
    ("a date that is none", "id:7F done date:DELIVRD err:0", "7F", "DELIVRD", "0"),
    ("nothing behind a key", "id: stat:DELIVRD", None, "DELIVRD", None),
    ("GSM's own underscore", "id:A\x117F stat:DELIVRD", "A_7F", "DELIVRD", None),
    ("behind a header's length alone", "\xf0id:A7 stat:DELIVRD", "A7", "DELIVRD", None),
    ("a line each, without keys", "UNDELIVERABLE\n2611221201", None, "UNDELIV", None),
    ("a tag's end is no key", "</id>7F</id> a>b id>c", None, UNRECOGNISED, None),
    ("a quotation", "id:7F stat:UNDELIV text:stat:DELIVRD", "7F", "UNDELIV", None),
    ("a quotation alone", "id:7F text:stat:DELIVRD DELIVRD", "7F", UNRECOGNISED, None),
    ("a quotation in JSON", '{"id":"7F","text":"DELIVRD","x":1}', "7F", UNRECOGNISED, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message_id", "state", "error"),
    [each[1:] for each in LAYOUTS],
    ids=[each[0] for each in LAYOUTS],
)
def test_layouts(text: str, message_id: str | None, state: str, error: str | None) -> None:
    found = parse_receipt(decode(encode(receipt(text.encode("latin-1")))))
    assert found is not None
    assert (found.message_id, found.state, found.error) == (message_id, state, error)


def test_octets_tell_of_a_state_or_not() -> None:
    assert tell_of_a_state(b"\1\2id:7 stat:whatever")
    assert tell_of_a_state("UNDELIV".encode("utf-16-le"))
    assert not tell_of_a_state(b"Thank you")


quotes = st.text(st.characters(max_codepoint=255), max_size=60)


@given(quotes)
def test_a_quotation_decides_nothing(quote: str) -> None:
    for head in ("id:7F text:", "id:7F err:1 Text: ", '{"id":"7F","text":"', "id=7F|text="):
        found = parse_receipt(receipt((head + quote).encode("latin-1")))
        assert found is not None
        assert (found.message_id, found.state) == ("7F", UNRECOGNISED)


# --- marks -----------------------------------------------------------------------------------

SHORT = b"id:7F stat:DELIVRD err:000"


@pytest.mark.parametrize(
    ("esm_class", "intermediate"),
    [(0x04, False), (0x24, False), (0x0C, False), (0x14, False), (0x44, False), (0x20, True),
     (0x28, True)],
)  # fmt: skip
def test_odd_classes_that_are_marked(esm_class: int, *, intermediate: bool) -> None:
    found = parse_receipt(receipt(SHORT, esm_class=esm_class))
    assert found is not None
    assert (found.state, found.intermediate) == ("DELIVRD", intermediate)


@pytest.mark.parametrize("esm_class", [0x00, 0x08, 0x10, 0x18, 0x40, 0x03, 0x80])
def test_an_unmarked_receipt_is_one_where_the_provider_s_are(esm_class: int) -> None:
    arrived = receipt(SHORT, esm_class=esm_class)
    assert parse_receipt(arrived) is None
    assert resembles_receipt(arrived)
    found = parse_receipt(arrived, unmarked=True)
    assert found is not None
    assert (found.message_id, found.state, found.intermediate) == ("7F", "DELIVRD", False)


@pytest.mark.parametrize(
    ("text", "tlvs"),
    [
        (b"Hello", ()),
        (b"DELIVRD", ()),
        (b"id:7F stat:whatever", ()),
        (b"my id: 4839", ()),
        (b"stat:DELIVRD", ()),
        (b"yes", ((c.TLV_RECEIPTED_MESSAGE_ID, b"7F\0"),)),
    ],
    ids=["a greeting", "a word alone", "no state", "no receipt", "no id", "an acknowledgement"],
)
def test_without_an_id_and_a_state_nothing_unmarked_is_a_receipt(
    text: bytes, tlvs: tuple[()]
) -> None:
    assert parse_receipt(receipt(text, tlvs, esm_class=0x08), unmarked=True) is None


def test_an_acknowledgement_with_a_state_is_a_receipt_where_they_are_unmarked() -> None:
    tlvs = ((c.TLV_RECEIPTED_MESSAGE_ID, b"7F\0"), (c.TLV_MESSAGE_STATE, b"\5"))
    found = parse_receipt(receipt(b"", tlvs, esm_class=0x08), unmarked=True)
    assert found is not None
    assert (found.message_id, found.state) == ("7F", "UNDELIV")


def test_where_marks_can_t_be_trusted_a_final_word_is_final() -> None:
    final = parse_receipt(receipt(SHORT, esm_class=0x20), unmarked=True)
    on_its_way = parse_receipt(receipt(b"id:7F stat:SENT", esm_class=0x20), unmarked=True)
    assert final is not None
    assert on_its_way is not None
    assert (final.intermediate, on_its_way.intermediate) == (False, True)


def test_an_empty_payload_hides_no_text() -> None:
    found = parse_receipt(receipt(SHORT, ((c.TLV_MESSAGE_PAYLOAD, b""),)))
    assert found is not None
    assert found.message_id == "7F"
    assert Pdu(c.DELIVER_SM, tlvs=((c.TLV_MESSAGE_PAYLOAD, b""),)).message == b""
