"""The auditor's own eyes: frames, alphabets and receipts, read by nothing that is judged."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.sim.frames import read_id, read_short, shown
from arrivals.sim.said import Said, name_of, names_of, read_said
from tests.sim.octets import answer, message, receipt, tlv

USUAL = (
    "id:1001 sub:001 dlvrd:001 submit date:2612010000 done date:2612010001 "
    "stat:{} err:000 text:"
)
ID = tlv(0x001E, b"1001\0")


def said(text: str = USUAL.format("DELIVRD"), **how: Any) -> Said | None:
    return read_said(read_short(receipt(1, text, **how).body))


def word(text: str, **how: Any) -> str:
    found = said(text, **how)
    assert found is not None
    assert found.name == "1001"
    return found.word


# What a part is and what it shows


@pytest.mark.parametrize(
    ("how", "part", "parts", "series", "octets", "whole"),
    [
        ({"text": b"hello"}, 1, 1, b"", b"hello", False),
        ({"text": b"\5\0\3\7\3\2two", "esm_class": 0x40}, 2, 3, b"\7", b"two", False),
        ({"text": b"\5\0\3\7\3\2two"}, 1, 1, b"", b"\5\0\3\7\3\2two", False),
        ({"text": b"id:1 stat:", "esm_class": 0x44}, 1, 1, b"", b"id:1 stat:", False),
        ({"text": b"\0hello", "esm_class": 0x40}, 1, 1, b"", b"\0hello", False),
        ({"text": b"", "esm_class": 0x40}, 1, 1, b"", b"", False),
        (
            {
                "text": b"two",
                "rest": tlv(0x20C, b"\0\7") + tlv(0x20E, b"\3") + tlv(0x20F, b"\2"),
            },
            2, 3, b"\0\7", b"two", False,
        ),
        ({"text": b"", "rest": tlv(0x424, b"x" * 400)}, 1, 1, b"", b"x" * 400, True),
        ({"text": b"hi", "rest": b"\x14\1\0\x10cut"}, 1, 1, b"", b"hi", False),
        ({"text": b"hi", "rest": b"\0\0\0"}, 1, 1, b"", b"hi", False),
    ],
)  # fmt: skip
def test_parts_are_read_in_every_form(
    how: dict[str, Any], part: int, parts: int, series: bytes, octets: bytes, whole: bool
) -> None:
    short = read_short(message(**how))
    assert (short.part, short.parts, short.series) == (part, parts, series)
    assert (short.octets, short.whole) == (octets, whole)


@pytest.mark.parametrize(
    ("octets", "coding", "alphabet", "text"),
    [
        (b"a\x11b\x00c \x1be \x1b< \x7e", 0, "gsm7", "a_b@c € [ ü"),
        (b"a_b@c \xa3", 0, "latin-1", "a_b@c £"),
        (b"a_b \xa3", 0, "ascii", "a_b \ufffd"),
        ("жди €".encode("utf-16-be"), 8, "ascii", "жди €"),
        (b"\xa3", 3, "gsm7", "£"),
    ],
)
def test_texts_are_shown_as_a_provider_reads_them(
    octets: bytes, coding: int, alphabet: str, text: str
) -> None:
    assert shown(read_short(message(octets, data_coding=coding)), alphabet) == text


def test_the_id_of_an_answer_is_read() -> None:
    assert read_id(answer(1, message_id="abc").body) == "abc"
    assert read_id(b"") == ""


# What receipts say


@pytest.mark.parametrize(
    "text",
    [
        USUAL.format("DELIVRD"),
        USUAL.format('"DELIVRD"'),
        USUAL.format("DELIVRD."),
        USUAL.format("2"),
        USUAL.format("DELIVERED"),
        USUAL.format("delivrd"),
        USUAL.format("DELIVRD").replace("stat:", ""),
        USUAL.format("DELIVRD").replace(":", "="),
        USUAL.format("DELIVRD").replace(" ", "|"),
        USUAL.format("DELIVRD") + "stat:UNDELIV",  # the message's own text
    ],
)
def test_a_word_is_read_however_it_is_written(text: str) -> None:
    assert word(text) == "DELIVRD"


@pytest.mark.parametrize(
    ("written", "word_of_it"),
    [
        ("UNDELIVERABLE", "UNDELIV"), ("5", "UNDELIV"), ("REJECTED", "REJECTD"),
        ("ACKED", "ENROUTE"), ("BUFFRED", "ENROUTE"), ("EXPIRED", "EXPIRED"),
        ("NEWWORD", "NEWWORD"),
    ],
)  # fmt: skip
def test_words_have_one_form(written: str, word_of_it: str) -> None:
    assert word(USUAL.format(written)) == word_of_it


@pytest.mark.parametrize("coding", [0, 3, 4, 8])
@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (b"", "utf-16-be"),
        (b"\xfe\xff", "utf-16-be"),
        (b"", "utf-16-le"),
        (b"\xff\xfe", "utf-16-le"),
    ],
)
def test_texts_of_utf_16_are_read_under_any_coding(
    coding: int, mark: bytes, codec: str
) -> None:
    octets = mark + USUAL.format("DELIVRD").encode(codec)
    assert word("", octets=octets, data_coding=coding) == "DELIVRD"


def test_a_state_of_0_is_none_and_another_one_disagrees() -> None:
    assert word(USUAL.format("UNDELIV"), rest=ID + tlv(0x427, b"\0")) == "UNDELIV"
    assert word(USUAL.format("DELIVRD"), rest=ID + tlv(0x427, b"\2")) == "DELIVRD"
    both = said(USUAL.format("DELIVRD"), rest=ID + tlv(0x427, b"\5"))
    assert both is not None
    assert (sorted(both.words), both.word) == (["DELIVRD", "UNDELIV"], "")


@pytest.mark.parametrize(
    ("esm_class", "rest", "marked"),
    [
        (0x04, b"", True), (0x44, b"", True), (0x20, b"", True), (0, ID, True),
        (0, b"", False), (0x01, b"", False), (0x08, ID, False), (0x24, ID, False),
    ],
)  # fmt: skip
def test_a_receipt_is_marked_or_isnt(esm_class: int, rest: bytes, marked: bool) -> None:
    found = said(esm_class=esm_class, rest=rest)
    assert found is not None
    assert found.marked is marked


def test_what_a_handset_writes_is_no_receipt() -> None:
    assert said("Thank you") is None
    assert said("id:1001 and no word") is None


@pytest.mark.parametrize(
    ("answered", "told"),
    [
        ("1001", "1001"), ("1001", "3e9"), ("3E9", "1001"), ("3E9", "3e9"), ("3e9", "3E9"),
        ("1001", "00000001001"), ("00b8be19", "b8be19"), ("a-b-c", "A-B-C"),
    ],
)  # fmt: skip
def test_an_id_is_known_in_every_form(answered: str, told: str) -> None:
    assert name_of(told) in names_of(answered)
    assert name_of("1002") not in names_of(answered)
