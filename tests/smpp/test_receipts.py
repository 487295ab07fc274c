"""Receipts, read as the market writes them, and the forms of their ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, UnencodablePdu, decode, encode
from arrivals.smpp.receipt_states import STATES
from arrivals.smpp.receipt_texts import read_values, scan_text
from arrivals.smpp.receipts import (
    NUMERIC_ID_MAX,
    IdForm,
    bare_form,
    bare_forms_of,
    candidates_in,
    claimed_us,
    form_between,
    format_receipt,
    id_candidates,
    normal_form,
    parse_receipt,
    resembles_receipt,
)
from tests.smpp.receipt_cases import NOT_RECEIPTS, RECEIPT_CASES, STAT_CASES, USUAL, receipt


@pytest.mark.parametrize(
    ("arrived", "claims"),
    [case[1:] for case in RECEIPT_CASES],
    ids=[c[0] for c in RECEIPT_CASES],
)
def test_quirks(arrived: Pdu, claims: dict[str, object]) -> None:
    found = parse_receipt(decode(encode(arrived)))
    assert found is not None
    assert {name: getattr(found, name) for name in claims} == claims


@pytest.mark.parametrize(("word", "state"), STAT_CASES)
def test_words_of_vendors(word: str, state: str) -> None:
    found = parse_receipt(receipt(USUAL.replace(b"DELIVRD", word.encode())))
    assert found is not None
    assert (found.state, found.stat_raw) == (state, word)


@pytest.mark.parametrize(
    "arrived", [case[1] for case in NOT_RECEIPTS], ids=[case[0] for case in NOT_RECEIPTS]
)
def test_what_a_handset_sends_is_no_receipt(arrived: Pdu) -> None:
    assert parse_receipt(arrived) is None


@pytest.mark.parametrize(
    ("text", "does"),
    [
        (USUAL, True),
        (b"id:7 stat:UNDELIV", True),  # a carrier that says so nowhere else
        (b"stat: the train is late", False),
        (b"my id: 4839", False),
        (b"UNDELIV", False),
        (b"STOP", False),
        (b"", False),
    ],
)
def test_a_text_may_look_like_a_receipt_s(text: bytes, *, does: bool) -> None:
    assert resembles_receipt(Pdu(c.DELIVER_SM, fields={"short_message": text})) is does


def test_data_sm_carries_receipts_too() -> None:
    arrived = Pdu(c.DATA_SM, fields={"esm_class": 4}, tlvs=((c.TLV_MESSAGE_PAYLOAD, USUAL),))
    found = parse_receipt(arrived)
    assert found is not None
    assert found.message_id == "0123456789"


def test_every_word_means_a_state_of_the_specification() -> None:
    assert set(STATES.values()) == set(c.MESSAGE_STATES)


def test_receipts_do_not_show_texts() -> None:
    """Invariant 44: a receipt quotes the message, so its repr leaves that out."""
    found = parse_receipt(receipt(USUAL.replace(b"Hello", b"canary")))
    assert "DELIVRD" in repr(found)
    assert "canary" not in repr(found)


words = st.text("0123456789abcdefABCDEF-", min_size=1, max_size=40)


@given(words, st.sampled_from(sorted(c.MESSAGE_STATES)), words, st.binary(max_size=30))
def test_what_is_formatted_is_parsed(
    message_id: str, state: str, error: str, text: bytes
) -> None:
    short_message, tlvs = format_receipt(
        message_id=message_id,
        state=state,
        submit_date="2611221200",
        done_date="2611221201",
        error=error,
        sub=3,
        dlvrd=2,
        text=text,
        network_error=(3, 0x1234),
        user_message_reference=77,
    )
    for found in (
        parse_receipt(receipt(short_message, tlvs)),
        parse_receipt(receipt(short_message)),
    ):
        assert found is not None
        assert (found.message_id, found.state, found.error) == (message_id, state, error)
        assert (found.submit_date, found.done_date) == ("2611221200", "2611221201")
        assert (found.sub, found.dlvrd, found.text) == (3, 2, text[:20])
    found = parse_receipt(receipt(short_message, tlvs))
    assert found is not None
    assert (found.network_error, found.user_message_reference) == ((3, 0x1234), 77)
    # The letter of appendix B has a shorter way: it must say what the scan says.
    assert scan_text(short_message.decode("latin-1")) == read_values(short_message)


def test_format_counts_and_vendor_words() -> None:
    delivered, tlvs = format_receipt(
        message_id="7F", state="DELIVRD", submit_date="1", done_date="2"
    )
    assert delivered == (
        b"id:7F sub:001 dlvrd:001 submit date:1 done date:2 stat:DELIVRD err:000 text:"
    )
    assert tlvs == ((0x001E, b"7F\0"), (0x0427, b"\2"))
    refused, _ = format_receipt(
        message_id="7F", state="REJECTD", stat="BLIST", submit_date="1", done_date="2"
    )
    assert b"dlvrd:000" in refused
    assert b"stat:BLIST" in refused
    with pytest.raises(UnencodablePdu):
        format_receipt(message_id="7F", state="BLIST", submit_date="1", done_date="2")


@given(st.binary(max_size=200), st.integers(0, 255), st.sampled_from([0, 8]))
def test_any_user_data_is_a_receipt_or_none(data: bytes, esm_class: int, coding: int) -> None:
    found = parse_receipt(receipt(data, esm_class=esm_class, coding=coding))
    assert (found is not None) == (esm_class & 0x24 != 0)
    assert found is None or found.raw == data


# --- Ids -------------------------------------------------------------------------------


def test_candidates_are_most_literal_first() -> None:
    assert id_candidates(" 00B8BE19 ")[:4] == ("00B8BE19", "00b8be19", "b8be19", "12107289")
    assert id_candidates("0127")[:4] == ("0127", "127", "295", "7f")
    assert id_candidates("0")[:1] == ("0",)


def test_only_numbers_are_converted() -> None:
    for literal in ("0e999f21-58f6", "m0127", "0" * 21, "", "١٢٣"):
        assert set(id_candidates(literal)) == {literal, literal.casefold()}


def test_normal_form_keeps_zeros() -> None:
    assert normal_form(" 00B8BE19\n") == "00b8be19"


numbers = st.integers(0, 2**64 - 1)


widths = st.integers(0, NUMERIC_ID_MAX)


@given(numbers, widths, widths)
def test_candidates_hold_every_form_of_the_same_number(
    number: int, stored_width: int, told_width: int
) -> None:
    """Invariant 37: hexadecimal or decimal, padded or stripped, in any case, an id is found."""
    forms = (str(number), f"{number:x}", f"{number:X}")
    stored = {normal_form(form.zfill(stored_width)) for form in forms}
    told_hexadecimal = set(id_candidates(f"{number:X}".zfill(told_width)))
    told_decimal = set(id_candidates(str(number).zfill(told_width)))
    assert stored <= told_hexadecimal
    assert stored <= told_decimal


@given(st.text(max_size=64))
def test_candidates_hold_the_id_itself(message_id: str) -> None:
    candidates = id_candidates(message_id)
    assert normal_form(message_id) in candidates
    assert len(candidates) == len(set(candidates)) <= 62


@pytest.mark.parametrize(
    ("stored", "told", "form"),
    [
        ("7f", "7F", IdForm.AS_GIVEN),
        ("0e999f21-58f6", "0E999F21-58F6", IdForm.AS_GIVEN),
        ("0000012345", "12345", IdForm.LEADING_ZEROS),
        ("12345", "0000012345", IdForm.LEADING_ZEROS),
        ("00b8be19", "12107289", IdForm.HEX_TO_DECIMAL),
        ("b8be19", "0012107289", IdForm.HEX_TO_DECIMAL),
        ("12107289", "00B8BE19", IdForm.DECIMAL_TO_HEX),
        ("000", "0", IdForm.LEADING_ZEROS),
        ("e999f21-58f6", "0e999f21-58f6", None),
        ("12345", "54321", None),
    ],
)
def test_the_form_of_an_id_is_told(stored: str, told: str, form: IdForm | None) -> None:
    assert form_between(stored, told) is form


@given(st.one_of(numbers.map(str), numbers.map(lambda n: f"{n:X}"), words))
def test_every_candidate_has_a_form_that_finds_it(told: str) -> None:
    """So that trying one form first and then all finds what trying all finds."""
    for candidate in id_candidates(told):
        form = form_between(normal_form(candidate), told)
        assert form is not None
        assert normal_form(candidate) in candidates_in(form, told)


@given(
    st.one_of(
        numbers.map(str),
        st.builds(lambda n, width: f"{n:X}".zfill(width), numbers, widths),
        st.text("0123456789abcdefABCDEF", max_size=30),
        words,
    )
)
def test_a_receipt_that_waits_under_one_form_is_found_by_every_candidate(told: str) -> None:
    """Invariant 37: of an answer at most three forms are looked for."""
    for candidate in id_candidates(told):
        forms = bare_forms_of(normal_form(candidate))
        assert bare_form(told) in forms
        assert len(forms) <= 3


@pytest.mark.parametrize(
    ("stored", "forms"),
    [
        ("00b8be19", ("b8be19", "12107289")),
        ("12107289", ("12107289", str(0x12107289), "b8be19")),
        ("0000", ("0",)),
        ("msg-007", ("msg-007",)),
        ("to:31612345678", ("to:31612345678",)),
        ("7" * 26, ("7" * 26,)),
        (str(16**20 - 1), (str(16**20 - 1), "f" * 20)),
        ("", ("",)),
    ],
)
def test_the_forms_that_an_answer_is_looked_up_under(
    stored: str, forms: tuple[str, ...]
) -> None:
    assert bare_forms_of(stored) == forms


@given(words, st.sampled_from(list(IdForm)))
def test_no_form_finds_what_is_no_candidate(told: str, form: IdForm) -> None:
    assert set(candidates_in(form, told)) <= set(id_candidates(told))


SECOND_US = 1_000_000


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("7001010001", 60),
        ("700101000102", 62),
        ("19700101000102", 62),
        ("2611221201", 1_795_348_860),
        ("2613221201", None),  # no thirteenth month
        ("20261122120159+08", None),
        ("yesterday!", None),
        ("٢٦١١٢٢١٢٠١", None),
        ("", None),
    ],
)
def test_a_date_is_read_as_if_it_were_utc(date: str, seconds: int | None) -> None:
    assert claimed_us(date) == (None if seconds is None else seconds * SECOND_US)
