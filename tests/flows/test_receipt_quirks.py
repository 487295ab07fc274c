"""The fourteen ways in which receipts bend what they should be, each from its bytes to its end.

Where a quirk is one of text alone, the parser's own cases are in tests/smpp/receipt_cases.py;
how a connection acknowledges is in tests/providers/test_smpp.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from tests.flows.story import tell
from tests.smpp.receipt_cases import RECEIPT_CASES

pytestmark = pytest.mark.slow  # `make check` plays the stories of receipts, queues and outcomes

QUIRKS: Final = {
    1: "the id is hexadecimal in one place and decimal in the other, padded, or in other case",
    2: "an id that looks like a number, and isn't one",
    3: "the receipt comes before the answer",
    4: "a throttled first attempt leaves nothing to match",
    5: "one receipt for all parts of a long message, on any of them; or one for each",
    6: "a long message's receipts come later than a short one's",
    7: "other layouts: commas, keys run together, zeros for a date, no error code",
    8: "dates in minutes or seconds, in a zone that nobody tells",
    9: "words of a vendor's own, and error codes with letters",
    10: "a receipt that contradicts the one before it, or comes after the end",
    11: "the same receipt again and again",
    12: "ACCEPTD that the provider made itself",
    13: "no id at all",
    14: "receipts for an attempt that the message has left behind",
}

# Each: the quirk's number, the story's name, its table, and what is set up differently for it.
STORIES: Final[list[tuple[int, str, str, dict[str, Any]]]] = [
    (1, "hexadecimal in the answer, ten decimal digits in the receipt", """
        accept   31612345678
        claim
        answer   1 taken 00B8BE19
        deliver  'id:0012107289 sub:001 dlvrd:001 stat:DELIVRD err:000 text:'
        state    delivered
        told     id_form hex_to_decimal
        """, {}),
    (1, "the reverse", """
        accept   31612345678
        claim
        answer   1 taken 12107289
        deliver  'id:B8BE19 stat:DELIVRD err:000 text:'
        state    delivered
        told     id_form decimal_to_hex
        """, {}),
    (1, "fewer zeros", """
        accept   31612345678
        claim
        answer   1 taken 0000012345
        deliver  'id:12345 stat:DELIVRD err:000 text:'
        state    delivered
        told     id_form leading_zeros
        """, {}),
    (1, "another case says nothing", """
        accept   31612345678
        claim
        answer   1 taken aBcD-1
        deliver  'id:AbCd-1 stat:DELIVRD err:000 text:'
        state    delivered
        told     id_form None
        """, {}),
    (1, "the TLV has it as given and the text in another form", """
        accept   31612345678
        claim
        answer   1 taken 75BCD15
        deliver  'id:0123456789 stat:DELIVRD err:000 text:' id=75bcd15
        state    delivered
        told     id_form None
        """, {}),
    (1, "one number means two messages: their destinations tell", """
        accept   31612345678 31612345679
        claim    north 2
        answer   1 taken 16
        answer   2 taken 0x10
        deliver  'id:16 stat:UNDELIV err:000 text:'
        state    failed
        state    2 submitted
        """, {}),
    (1, "and of two to one destination the exact id", """
        accept   31612345678
        claim
        answer   1 taken 10
        accept   31612345678
        claim
        answer   2 taken 16
        deliver  'id:16 stat:DELIVRD err:000 text:'
        state    delivered
        """, {}),
    (2, "zeros are no padding in what is no number", """
        accept   31612345678
        claim
        answer   1 taken 0e999f21-58f6-4c0b-8cf6-0b6e4a4c9d11
        deliver  'id:e999f21-58f6-4c0b-8cf6-0b6e4a4c9d11 stat:UNDELIV err:000 text:'
        state    submitted
        parked   1
        deliver  'id:0E999F21-58F6-4C0B-8CF6-0B6E4A4C9D11 stat:DELIVRD err:000 text:'
        state    delivered
        """, {}),
    (3, "it waits for the id, and tells when it came", """
        accept   31612345678
        claim
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        state    sending
        parked   1
        pass     5
        answer   1 taken A1
        state    delivered
        parked   0
        told     came_at *
        """, {}),
    (4, "what the second attempt was named still matches", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     60
        claim
        answer   2 taken A2
        deliver  'id:A2 stat:DELIVRD err:000 text:'
        state    delivered
        told     attempt 2
        """, {}),
    (4, "and what the first was named, for a provider that took it all the same", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     60
        claim
        late     1 taken A1
        answer   2 taken A2
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        state    delivered
        told     attempt 1
        """, {}),
    (5, "on any part, where it is known to speak for all", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        deliver  'id:A2 sub:001 dlvrd:001 stat:DELIVRD err:000 text:'
        state    delivered
        """, {"provider": {"receipts_per": "message"}}),
    (5, "on any part, where nobody knows: after a wait for the others", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        deliver  'id:A3 sub:001 dlvrd:001 stat:DELIVRD err:000 text:'
        state    submitted
        tick     3601
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}}),
    (5, "one for each: all of them count, not the last one only", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        deliver  'id:A3 stat:DELIVRD err:000 text:'
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        state    submitted
        deliver  'id:A2 stat:UNDELIV err:000 text:'
        state    failed
        """, {}),
    (6, "they are waited for as long as for any other, and late ones fold to the same end", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        tick     7200
        deliver  'id:A2 stat:DELIVRD err:000 text:'
        tick     7200
        state    submitted
        deliver  'id:A3 stat:DELIVRD err:000 text:'
        state    delivered
        """, {}),
    (7, "commas between keys", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1,stat:UNDELIV,err:1,done date:2311142213'
        state    failed
        """, {}),
    (7, "no keys at all: the TLVs say whose it is", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'DELIVRD,2311142213,000' id=A1
        state    delivered
        """, {}),
    (7, "keys run together, zeros for a date, no error code", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 submitdate:2311142213 donedate:0000000000 stat:DELIVRD'
        state    delivered
        told     claimed_at None
        """, {}),
    (7, "the TLV's state against the text's", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD err:000 text:' state=5
        state    failed
        """, {}),
    (8, "what a date claims is kept as it is and orders nothing", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 done date:9912312359 stat:ENROUTE err:000 text:'
        told     claimed_at 9912312359
        pass     5
        deliver  'id:A1 done date:700101000000 stat:DELIVRD err:000 text:'
        told     claimed_at 700101000000
        state    delivered
        """, {}),
    (9, "a word for failure", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:FAILED err:E0x1F text:'
        state    failed
        told     err E0x1F
        """, {}),
    (9, "a word for delivery", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVERED err:000 text:'
        state    delivered
        """, {}),
    (9, "a word for a list of those who want nothing", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:BLIST err:000 text:'
        is       reason opted_out
        """, {}),
    (9, "words for being on its way", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:SUBMITD err:000 text:'
        deliver  'id:A1 stat:SENT err:000 text:'
        state    submitted
        says     receipt_progress
        """, {}),
    (9, "a word that nobody knows ends nothing", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:GREYLISTED err:000 text:'
        state    submitted
        told     stat UNRECOGNISED
        """, {}),
    (10, "delivered and then not: both stay, and the first stands", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        deliver  'id:A1 stat:UNDELIV err:001 text:'
        state    delivered
        told     conflict True
        events   accepted claimed taken receipt_delivered receipt_failed
        """, {}),
    (10, "not and then delivered: both stay, and the second stands", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:UNDELIV err:001 text:'
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        state    delivered
        told     conflict True
        events   accepted claimed taken receipt_failed receipt_delivered
        """, {}),
    (10, "of one part", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        told     conflict None
        deliver  'id:A1 stat:UNDELIV err:001 text:'
        told     conflict True
        state    failed
        """, {}),
    (10, "on its way after the end", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        deliver  'id:A1 stat:ENROUTE err:000 text:' esm_class=32
        state    delivered
        told     conflict None
        """, {}),
    (11, "it is counted", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 done date:2311142213 stat:DELIVRD err:000 text:'
        deliver  'id:A1 done date:2311142213 stat:DELIVRD err:000 text:'
        deliver  'id:A1 done date:2311142213 stat:DELIVRD err:000 text:'
        is       seen 3
        events   accepted claimed taken receipt_delivered
        """, {}),
    (11, "and parked once", """
        accept   31612345678
        claim
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        parked   1
        """, {}),
    (12, "it vouches for the provider only, and ends nothing", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:ACCEPTD err:000 text:'
        told     depth submitted
        depth    submitted
        state    submitted
        """, {"provider": {"receipt_depth": "handset", "acceptd_is_own": True}}),
    (12, "the carrier's own vouches for the carrier, and for no handset", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:ACCEPTD err:000 text:'
        told     depth carrier
        depth    carrier
        state    submitted
        """, {"provider": {"receipt_depth": "handset"}}),
    (13, "the only message to that number it may be about", """
        accept   31612345678
        claim
        answer   1 unanswered
        deliver  'sub:001 dlvrd:001 stat:DELIVRD err:000 text:'
        state    delivered
        told     confidence 0.9
        """, {}),
    (13, "of two it is neither's", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 unanswered
        answer   2 unanswered
        deliver  'sub:001 dlvrd:001 stat:DELIVRD err:000 text:'
        state    ambiguous
        parked   1
        """, {}),
    (14, "any attempt that arrived is the message's end", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1
        answer   2 taken B1
        deliver  'id:B1 stat:UNDELIV err:001 text:'
        state    failed
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        state    delivered
        told     attempt 1
        twice    no
        """, {}),
    (14, "two that arrived are a duplicate", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1
        answer   2 taken B1
        deliver  'id:B1 stat:DELIVRD err:000 text:'
        twice    no
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        twice    yes
        """, {}),
    (14, "of a long one, two that arrived whole", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1 A2 A3
        answer   2 taken B1 B2 B3
        deliver  'id:A1 stat:DELIVRD err:000 text:'
        deliver  'id:A2 stat:DELIVRD err:000 text:'
        deliver  'id:A3 stat:DELIVRD err:000 text:'
        deliver  'id:B1 stat:DELIVRD err:000 text:'
        deliver  'id:B2 stat:DELIVRD err:000 text:'
        twice    no
        deliver  'id:B3 stat:DELIVRD err:000 text:'
        twice    yes
        """, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "setting"),
    [pytest.param(table, setting, id=f"{n}: {name}") for n, name, table, setting in STORIES],
)
async def test_a_quirk(tmp_path: Path, table: str, setting: dict[str, Any]):
    """On one database: what a receipt says doesn't depend on where it is kept."""
    await tell(str(tmp_path / "data"), table, setting)


def test_no_quirk_is_left_out():
    assert {number for number, *_ in STORIES} == set(QUIRKS)


def test_the_parsers_cases_name_quirks_that_are_there():
    named = {name.partition(":")[0] for name, *_ in RECEIPT_CASES if name[0].isdigit()}
    assert {int(number) for number in named} <= set(QUIRKS)
    assert named
