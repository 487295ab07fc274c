"""Texts that deny, count or doubt an arrival, texts without their mark, and hostile ones."""

from __future__ import annotations

import time
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, Tlvs
from arrivals.smpp.receipt_states import UNRECOGNISED, state_in
from arrivals.smpp.receipt_texts import (
    ID_CHARS_MAX,
    TEXT_CHARS_READ,
    WORD_CHARS_MAX,
    has_abbreviation,
    readable,
    scan_text,
    speaks_of_an_end,
    tell_of_a_state,
)
from arrivals.smpp.receipts import (
    Receipt,
    id_candidates,
    may_report,
    normal_form,
    parse_receipt,
)
from tests.smpp.receipt_cases import USUAL, receipt


def read(text: bytes, tlvs: Tlvs = ()) -> Receipt:
    found = parse_receipt(receipt(text, tlvs))
    assert found is not None
    return found


def wide(text: str) -> bytes:
    return text.encode("utf-16-be")


# --- what could take an arrival back ----------------------------------------------------------

# (the kind of report, its text)
DOUBTED = [
    ("denied in another script", wide("id:1 stat:не DELIVRD err:1")),
    ("denied in another script, joined", wide("id:1 stat:未DELIVRD")),
    ("denied in another script, joined behind", wide("id:1 stat:DELIVRD未")),
    ("denied in another script, without its key", wide("id:1 未DELIVRD")),
    ("denied in another script, in UTF-8", "id:1 stat:не DELIVRD".encode()),
    ("a sign that denies", wide("id:1 stat:≠DELIVRD")),
    ("counts in JSON", b'{"id":"1","delivered":0,"failed":1}'),
    ("counts in JSON with blanks", b'{"id":"1", "delivered": 0, "failed": 1}'),
    ("counts in words", b"id:1 Delivered: 0; Failed: 1"),
    ("counts, the failures first", b"id:1 Failed: 0; Delivered: 1"),
    ("counts as in a query", b"id:1 delivered=0 failed=1"),
    ("none of one", b"id:1 stat:delivered 0/1"),
    ("a success, zero times", b"id:1 stat:delivery success 0"),
    ("a share of nothing", b"id:1 stat:Delivered: 0%"),
    ("a zero before the word", b"id:1 stat:0-DELIVRD"),
    ("two states between commas", b"id:1 stat:DELIVRD,UNDELIV"),
    ("two states between semicolons", b"id:1 stat:DELIVRD;FAILED"),
    ("two states between pipes", b"id:1 stat:DELIVRD|FAILED"),
    ("two states, the failure first", b"id:1 stat:UNDELIV,DELIVRD"),
    ("a reason that is a failure", b"id:1 stat:DELIVRD reason:UNDELIV"),
    ("an exclamation mark before the word", b"id:1 stat:!DELIVRD"),
    ("one and a quotation mark", b'id:1 stat:!"DELIVRD"'),
    ("one before a number", b"id:1 stat:!2"),
    ("a tilde", b"stat:~DELIVRD id:1"),
    ("a minus", b"id:1 stat:-DELIVRD"),
    ("a minus without the key", b"id:1 -DELIVRD err:1"),
    ("a question", b"id:1 stat:DELIVRD?"),
    ("delivered, a question", b"id:1 stat:delivered to handset?"),
    ("failed to be, without the key", b"id:1 failed to be DELIVRD"),
    ("isn't, without the key", b"id:1 isn't DELIVRD"),
    ("another language's not", b"id:1 nicht DELIVRD"),
    ("a refusal beside the word", b"id:1 rejected by network, DELIVRD impossible"),
    ("a reason before the word", b"id:1 error 45 absent subscriber, DELIVRD"),
    ("a sentence behind err", b"id:1 err:045 Your order is DELIVRD"),
    ("a harmless sentence behind err", b"id:1 err:045 Your message is DELIVRD"),
    ("two fields behind err", b"id:1 err:045 DELIVRD, FAILED"),
    ("a verb's stem", b"id:1 stat:DELIVER"),
    ("a stem that is cut", b"id:1 stat:DELIV"),
    (
        "words that are taken back behind what is kept of them",
        b"id:1 stat:delivered to handset of the recipient on the mobile device at phone NOT",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "text", [each[1] for each in DOUBTED], ids=[each[0] for each in DOUBTED]
)
def test_no_doubted_arrival_is_one(text: bytes) -> None:
    found = read(text)
    assert found.message_id == "1"
    assert found.state in {UNRECOGNISED, "UNDELIV", "REJECTD"}


# (the kind of report, its text, the state)
PLAIN = [
    ("a code behind a slash", b"id:1 stat:DELIVRD/000", "DELIVRD"),
    ("a code behind a colon", b"id:1 stat:DELIVRD:000", "DELIVRD"),
    ("a code in brackets", b"id:1 stat:DELIVRD(0)", "DELIVRD"),
    ("a code behind a blank", b"id:1 stat:DELIVRD 000 err:0", "DELIVRD"),
    ("a failure's code", b"id:1 stat:UNDELIV/045", "UNDELIV"),
    ("a failure's code that is zero", b"id:1 stat:UNDELIV:000", "UNDELIV"),
    ("a code behind what is no abbreviation", b"id:1 stat:DELIVERED:0", UNRECOGNISED),
    ("a code and no key", b"id:1 DELIVRD:000", "DELIVRD"),
    ("a code and no key, between commas", b"id:1,DELIVRD,000", "DELIVRD"),
    ("letters left out", b"id:1 stat:DLVRD", "DELIVRD"),
    ("other letters left out", b"id:1 stat:DELVRD", "DELIVRD"),
    ("a failure that is cut", b"id:1 stat:UNDEL", "UNDELIV"),
    ("all of one", b"id:1 stat:delivered (1/1)", "DELIVRD"),
    ("a share of all", b"id:1 stat:Delivered 100%", "DELIVRD"),
    ("a date behind the word", b"id:1 stat:delivered 26-11-30 10:01", "DELIVRD"),
    ("none that failed", b"id:1 stat:undelivered 0", UNRECOGNISED),
    ("a failure and its code", b"id:1 stat:Failed (-1)", "UNDELIV"),
    ("a failure, a comma and a message", b"id:1 stat:UNDELIV,hello if you", "UNDELIV"),
    ("quotation marks of another alphabet", wide("id:1 stat:“DELIVRD” err:0"), "DELIVRD"),
    ("a blank of no width", wide("id:1 stat:DELIVRD\u200b err:0"), "DELIVRD"),
    ("emphasis", b"id:1 stat:*DELIVRD*!", "DELIVRD"),
    ("a harmless sentence", b"id:1 your message was DELIVRD err:0", "DELIVRD"),
    ("a message quoted behind err", b"id:1 DELIVRD err:0 your payment failed", "DELIVRD"),
    ("a message under its own key", b"id:1 stat:DELIVRD net:a msg:it failed", "DELIVRD"),
    ("on its way, without a key", b"id:1 queued at operator err:0", "ENROUTE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "state"), [each[1:] for each in PLAIN], ids=[each[0] for each in PLAIN]
)
def test_what_is_said_plainly(text: bytes, state: str) -> None:
    found = read(text)
    assert (found.message_id, found.state) == ("1", state)


@given(st.sampled_from("!~-?^\xac≠не未✗"), st.sampled_from(["stat:", ""]))
def test_no_character_before_the_word_leaves_it_delivered(odd: str, key: str) -> None:
    assert read(wide(f"id:1 {key}{odd}DELIVRD")).state != "DELIVRD"


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        (b"client id:77 stat:DELIVRD id:ABC", "ABC"),
        (b"part id:2 id:ABC stat:DELIVRD", "ABC"),
        (b"id:ABC SMSC id:4 stat:DELIVRD", "ABC"),
        (b"stat:DELIVRD smsc id:4 message id:ABC", "ABC"),
        (b"client id:77 stat:DELIVRD", None),
        (b"id:F00001/1 stat:DELIVRD", "F00001/1"),
    ],
)
def test_somebody_else_s_id_is_not_the_message_s(text: bytes, message_id: str | None) -> None:
    found = read(text)
    assert (found.message_id, found.state) == (message_id, "DELIVRD")


def test_what_is_longer_than_a_phrase_is_no_state() -> None:
    assert state_in("un" * 200) == UNRECOGNISED


# --- reports without their mark ---------------------------------------------------------------

REPORTS = [
    b"F1,UNDELIV,045", b"F1 UNDELIV 045", wide("F1 UNDELIV 045"), b"F1UNDELIV", b"F1_UNDELIV_4",
    b"sub:001 dlvrd:000 stat:UNDELIV err:045", b"nr:F1 stat:UNDELIV", b"ref F1 status REJECTD",
    b"Message F1 could not be delivered", b"F1,SENT,0", b"F1 expired", b"F1 FAILED 1",
    b"status=5", b"F1 UNKNOWN 3", b"cannot deliver F1", b"F1 DeliveryFailed", b"err 1 blist",
    b"x" * (TEXT_CHARS_READ + 1),
]  # fmt: skip


@pytest.mark.parametrize("text", REPORTS)
def test_what_has_a_word_of_a_report_s_may_be_one(text: bytes) -> None:
    assert may_report(receipt(text, esm_class=0))


@pytest.mark.parametrize(
    "tlv",
    [
        (c.TLV_MESSAGE_STATE, b"\5"),
        (c.TLV_NETWORK_ERROR_CODE, b"\3\0\1"),
        (c.TLV_RECEIPTED_MESSAGE_ID, b"7F\0"),
    ],
    ids=["message_state", "network_error_code", "receipted_message_id"],
)
def test_what_no_handset_can_set_is_a_report_whatever_its_text(tlv: tuple[int, bytes]) -> None:
    assert may_report(receipt(b"Thank you", (tlv,), esm_class=0))


@pytest.mark.parametrize(
    "text",
    [
        b"Thank you", b"STOP", b"1", b"see you at 10:01", b"No thanks", b"my id: 4839", b"",
        b"I sent it", wide("Спасибо"), b"unknown number, who is this?",
    ],
)  # fmt: skip
def test_what_a_person_answers_is_none(text: bytes) -> None:
    assert not may_report(
        receipt(text, ((c.TLV_USER_MESSAGE_REFERENCE, b"\0\1"),), esm_class=0)
    )


def test_a_receipt_s_own_words_are_told_from_a_person_s() -> None:
    assert has_abbreviation(wide("F1/undeliv/045"))
    assert not has_abbreviation(b"It was not delivered")


# --- bounds -----------------------------------------------------------------------------------

HOSTILE = {
    "commas": b"id:x stat:foo" + b"," * 64_000,
    "words": b"DELIVRD " * 8_000,
    "denied words": b"no DELIVRD " * 5_900,
    "ids": b"id:x " * 13_000,
    "states": b"stat:x y " * 7_000,
    "keys that nobody knows": b"stat:foo " + b" a_b=" * 13_000,
    "quotation marks": b'id:"' * 16_000,
    "blanks": b"stat:foo" + b" " * 64_000 + b"!",
    "UTF-16": wide("DELIVRD, не " * 2_600),
    "another script": wide("未" * 32_000),
    "digits": b"stat:" + b"a1b" * 21_000,
    "dates": b"done date:" + b"1 " * 32_000,
    "tags": b"<id" * 21_000,
    "names of keys": b"message_" * 8_000,
    "one long id": b"id:" + b"a" * 64_000,
    "one long error": USUAL.replace(b"000", b"0" * 64_000),
    "shares": b"0/" * 32_000,
    "exclamations": b"stat:delivered " + b"!-" * 32_000,
}
CPU_S_MAX: Final = 0.02


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_however_long_takes_long_to_read(name: str) -> None:
    payload = ((c.TLV_MESSAGE_PAYLOAD, HOSTILE[name][:65_000]),)
    took: list[float] = []
    for _ in range(3):
        begun = time.process_time()
        parse_receipt(receipt(b"", payload))
        may_report(receipt(b"", payload, esm_class=0))
        speaks_of_an_end(HOSTILE[name][:TEXT_CHARS_READ])
        tell_of_a_state(HOSTILE[name])
        took.append(time.process_time() - begun)
    assert min(took) < CPU_S_MAX


def test_what_stands_behind_the_bound_is_not_read() -> None:
    far = "id:7F " + "x" * TEXT_CHARS_READ + " stat:DELIVRD"
    assert scan_text(far) == {"id": "7F"}
    assert len(readable(wide(far))) == len(readable(far.encode())) == TEXT_CHARS_READ


STEERING = "\x1b[31m"


def test_no_value_steers_a_terminal_or_fills_the_store() -> None:
    for long in ("9" * 600, STEERING * 200):
        for text in (
            USUAL.replace(b"err:000", b"err:" + long.encode()),
            f"id:7F done date:1{long} stat:{long} err:{long}".encode(),
        ):
            found = read(text)
            for value in (found.error, found.done_date, found.stat_raw):
                assert value is None or (
                    value.isprintable() and len(value) <= 4 * WORD_CHARS_MAX
                )
            assert found.raw == text
        found = read(f"id:{long}".encode(), ((c.TLV_RECEIPTED_MESSAGE_ID, long.encode()),))
        for value in (found.message_id, found.text_id):
            assert value is not None
            assert value.isprintable()
            assert len(value) <= 4 * ID_CHARS_MAX


def test_an_id_that_steers_a_terminal_is_still_found() -> None:
    found = read(f"id:{STEERING}7F stat:DELIVRD".encode())
    assert found.message_id == "\\x1b[31m7F"
    assert normal_form(found.message_id) == normal_form(f"{STEERING}7F")
    assert normal_form(f"{STEERING}7F") in id_candidates(f"{STEERING}7F")


def test_an_empty_text_is_nobody_s() -> None:
    assert not may_report(Pdu(c.DELIVER_SM))
    assert readable(b"\xff\xfe") == ""
