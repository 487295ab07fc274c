"""Receipts: whose they are, and what each of them says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.story import StoryRow, tell, told

# Each: the story's name, its table, and what is set up differently for it.
STORIES: list[StoryRow] = [
    ("the receipt before the answer: invariant 37", """
        accept   31612345678
        claim
        receipt  A1 DELIVRD
        parked   1
        state    sending
        answer   1 taken A1
        state    delivered
        parked   0
        """, {}),
    ("hexadecimal in the answer, decimal in the receipt: invariant 37", """
        accept   31612345678
        claim
        answer   1 taken 00B8BE19
        receipt  12107289 DELIVRD
        state    delivered
        """, {}),
    ("decimal in the answer, hexadecimal in the receipt", """
        accept   31612345678
        claim
        answer   1 taken 12107289
        receipt  B8BE19 DELIVRD
        state    delivered
        """, {}),
    ("padded in the receipt, other case in the answer", """
        accept   31612345678 31612345679
        claim    north 2
        answer   1 taken 77
        answer   2 taken AbC-xYz
        receipt  0000000077 DELIVRD
        receipt  aBc-XyZ DELIVRD to=31612345679
        state    delivered
        state    2 delivered
        """, {}),
    ("padded in the answer, parked in another form", """
        accept   31612345678
        claim
        receipt  12107289 DELIVRD
        answer   1 taken b8be19
        state    delivered
        """, {}),
    ("without an id, by our reference", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 unanswered
        answer   2 unanswered
        receipt  - DELIVRD sent=2
        state    ambiguous
        state    2 delivered
        """, {}),
    ("with an unknown id, by destination", """
        accept   31612345678
        claim
        answer   1 unanswered
        receipt  X9 DELIVRD
        state    delivered
        """, {}),
    ("neither id nor destination: nothing could ever match it", """
        accept   31612345678
        claim
        receipt  - DELIVRD to=
        parked   0
        answer   1 taken A1
        state    submitted
        """, {}),
    ("the same without an id, twice: it is counted and changes nothing", """
        accept   31612345678
        claim
        answer   1 unanswered
        receipt  - UNKNOWN
        receipt  - UNKNOWN
        is       seen 2
        events   accepted claimed unanswered receipt
        """, {}),
    ("two that waited together, of one id in two forms", """
        accept   31612345678
        claim
        receipt  12107289 ENROUTE
        receipt  00B8BE19 DELIVRD
        parked   2
        take     north
        state    delivered
        parked   0
        """, {}),
    ("two that waited together, of one id and two destinations", """
        accept   31612345678 31612345679
        claim    north 2
        receipt  A1 DELIVRD
        receipt  A1 UNDELIV to=31612345679
        parked   2
        take     north
        state    delivered
        state    2 failed
        """, {}),
    ("an attempt that was refused after all is in doubt no more", """
        accept   31612345678
        claim
        answer   1 unanswered
        receipt  A1 UNKNOWN
        answer   1 refused_now carrier_error
        receipt  - DELIVRD
        parked   1
        state    waiting
        """, {}),
    ("two in doubt: parked, until one of them is explained", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 unanswered
        answer   2 unanswered
        receipt  X9 DELIVRD
        parked   1
        late     1 taken A1
        state    submitted
        state    2 delivered
        parked   0
        """, {}),
    ("one still under way may be the one: parked until it answers", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 unanswered
        receipt  X9 DELIVRD
        parked   1
        answer   2 taken A2
        state    delivered
        state    2 submitted
        """, {}),
    ("progress and then the end of one in doubt", """
        accept   31612345678
        claim
        answer   1 unanswered
        receipt  X9 ENROUTE
        state    submitted
        receipt  X9 DELIVRD
        state    delivered
        """, {}),
    ("both waited for the doubt: one found the other's way", """
        accept   31612345678
        claim
        receipt  X9 ENROUTE
        receipt  X9 DELIVRD
        parked   2
        answer   1 unanswered
        state    delivered
        parked   0
        """, {}),
    ("one that came before it was handed off can't be its own: invariant 37", """
        accept   31612345670
        receipt  X1 DELIVRD to=31612345678
        parked   1
        pass     3600
        accept   31612345678
        claim    north 2
        answer   2 unanswered
        state    ambiguous
        parked   1
        receipt  X2 DELIVRD
        state    delivered
        """, {}),
    ("nor where the provider gave no id", """
        accept   31612345670
        receipt  X1 DELIVRD to=31612345678
        parked   1
        pass     3600
        accept   31612345678
        claim    north 2
        answer   2 taken ''
        state    submitted
        parked   1
        """, {}),
    ("a resend that waits is dropped by the first one's receipt", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        receipt  X1 DELIVRD
        state    delivered
        claim    north 0
        """, {}),
    ("by any receipt: somebody has it", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        receipt  X1 UNRECOGNISED
        state    submitted
        claim    north 0
        """, {}),
    ("and a long one stays in doubt for its other parts' receipts", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        receipt  X3 DELIVRD
        state    ambiguous
        claim    north 0
        receipt  X2 DELIVRD
        receipt  X1 DELIVRD
        state    delivered
        """, {}),
    ("the first one's receipt while the resend is under way, by our reference", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        receipt  X1 DELIVRD sent=1
        state    delivered
        answer   2 taken A2
        receipt  A2 UNDELIV
        state    delivered
        balance  99.95
        """, {}),
    ("and when the resend is in doubt as well", """
        accept   31612345678 31612345678 on_ambiguous=resend
        claim    north 2
        answer   1 unanswered
        answer   2 unanswered
        tick     61
        claim    north 2
        answer   3 unanswered
        answer   4 unanswered
        receipt  X1 UNDELIV sent=1
        state    failed
        receipt  X4 DELIVRD sent=4
        state    2 delivered
        """, {}),
    ("taken without an id, by destination", """
        accept   31612345678
        claim
        answer   1 taken ''
        state    submitted
        receipt  X9 DELIVRD
        state    delivered
        """, {}),
    ("two taken without ids: parked", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 taken ''
        answer   2 taken ''
        receipt  - DELIVRD
        parked   1
        """, {}),
    ("another provider's receipt never touches it: invariant 38", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD provider=south
        state    submitted
        parked   1
        """, {"providers": ("north", "south")}),
    ("nor does one of a provider we don't know", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD provider=nowhere
        state    submitted
        """, {}),
    ("one for another destination does, if nothing else has the id", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD to=31600000000
        state    delivered
        told     number_differs True
        """, {}),
    ("a destination written nationally is the same", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD to=0612345678
        state    delivered
        """, {}),
    ("a reused id goes to the open message: invariant 38", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 taken A1
        receipt  A1 UNDELIV
        state    failed
        answer   2 taken A1
        receipt  A1 DELIVRD done=2
        state    failed
        state    2 delivered
        """, {}),
    ("and to the older one if only that is still open", """
        accept   31612345678 31612345678
        claim    north 2
        answer   1 taken A1
        pass     1
        answer   2 taken A1
        receipt  A1 DELIVRD
        state    submitted
        state    2 delivered
        receipt  A1 DELIVRD done=2
        state    delivered
        """, {}),
    ("a reused id without a destination fits two, so neither", """
        accept   31612345678 31612345679
        claim    north 2
        answer   1 taken A1
        answer   2 taken A1
        receipt  A1 DELIVRD to=
        parked   1
        receipt  A1 DELIVRD to=31612345679
        state    2 delivered
        """, {}),
    ("the same receipt again changes a counter: invariant 35", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        is       seen 3
        events   accepted claimed taken receipt_delivered
        """, {}),
    ("words that are no end", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 ACCEPTD
        receipt  A1 ENROUTE
        receipt  A1 UNKNOWN
        receipt  A1 UNRECOGNISED
        state    submitted
        events   accepted claimed taken receipt_progress receipt_progress receipt receipt
        """, {}),
    ("an EXPIRED that is the carrier's word", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 EXPIRED
        state    expired
        is       execution handed_off
        balance  99.95
        """, {}),
    ("an EXPIRED that is only a timer's", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        receipt  A1 EXPIRED
        state    submitted
        tick     121
        state    unknown
        """, {"provider": {"expired_is_final": False}, "grace": 60}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
