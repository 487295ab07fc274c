"""Receipts of long messages, and how deep receipts reach."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.story import StoryRow, tell, told

pytestmark = pytest.mark.slow  # `make check` plays the stories of receipts, queues and outcomes

# Each: the story's name, its table, and what is set up differently for it.
STORIES: list[StoryRow] = [
    ("all parts arrive: invariant 14's long form", """
        accept   31612345678 LONG
        balance  99.85 0.15
        claim
        answer   1 taken A1 A2 A3
        receipt  A1 DELIVRD
        receipt  A3 DELIVRD
        state    submitted
        receipt  A2 DELIVRD
        state    delivered
        balance  99.85
        """, {}),
    ("one part stays silent", """
        accept   31612345678 valid_for_s=60 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A1 DELIVRD
        receipt  A2 DELIVRD
        tick     121
        state    unknown
        receipt  A3 DELIVRD
        state    delivered
        """, {"grace": 60}),
    ("one part fails", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A1 DELIVRD
        receipt  A2 UNDELIV err=001
        state    failed
        receipt  A3 DELIVRD
        state    failed
        """, {}),
    ("parts of two hand-offs don't make one message", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1 A2 A3
        answer   2 taken B1 B2 B3
        receipt  B2 DELIVRD
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        receipt  B3 DELIVRD
        state    submitted
        receipt  A2 UNDELIV
        state    failed
        receipt  B1 DELIVRD
        state    delivered
        """, {}),
    ("one receipt for all parts, where the profile says so", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 DELIVRD
        state    delivered
        """, {"provider": {"receipts_per": "message"}}),
    ("one receipt for all parts, where nobody knows: it speaks for the silent ones", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 DELIVRD
        state    submitted
        tick     3599
        state    submitted
        tick     2
        state    delivered
        events   accepted claimed taken receipt_delivered receipt_delivered
        depth    carrier
        balance  99.85
        receipt  A2 DELIVRD
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}}),
    ("but not over a part that failed", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 DELIVRD
        tick     60
        receipt  A3 UNDELIV
        state    failed
        tick     3600
        state    failed
        depth    submitted
        """, {"provider": {"receipts_per": "unknown"}}),
    ("whichever comes first", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A3 UNDELIV
        state    failed
        receipt  A2 DELIVRD
        tick     3601
        state    failed
        """, {"provider": {"receipts_per": "unknown"}}),
    ("nor sooner than the last one's receipt allows", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 DELIVRD
        tick     3000
        receipt  A1 DELIVRD
        tick     3000
        state    submitted
        receipt  A3 DELIVRD
        state    delivered
        events   accepted claimed taken receipt_delivered receipt_delivered receipt_delivered
        """, {"provider": {"receipts_per": "unknown"}}),
    ("a part that fails after that is kept as a contradiction", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 DELIVRD
        tick     3601
        state    delivered
        receipt  A3 UNDELIV
        state    delivered
        told     conflict True
        """, {"provider": {"receipts_per": "unknown"}}),
    ("its deadline comes before that: the part that arrived speaks for the others then", """
        accept   31612345678 valid_for_s=60 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 DELIVRD
        tick     119
        state    submitted
        tick     2
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}, "grace": 60}),
    ("and so it does where a second answer was lost meanwhile", """
        accept   31612345678 on_ambiguous=resend valid_for_s=300 LONG
        claim
        answer   1 unanswered
        tick     61
        claim
        receipt  X1 DELIVRD sent=1
        answer   2 unanswered
        tick     61
        state    ambiguous
        tick     300
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}, "grace": 60}),
    ("nobody knows, and no part arrived: it ends as unknown", """
        accept   31612345678 valid_for_s=60 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A2 ENROUTE
        tick     121
        state    unknown
        """, {"provider": {"receipts_per": "unknown"}, "grace": 60}),
    ("one in doubt of which a part arrived", """
        accept   31612345678 LONG
        claim
        answer   1 unanswered
        receipt  X1 DELIVRD
        state    ambiguous
        tick     3601
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}}),
    ("a short one has no parts to wait for", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}}),
    ("handset receipts of all parts vouch for the handset, of two of three for nothing", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A2 A3
        receipt  A1 DELIVRD
        receipt  A2 DELIVRD
        depth    submitted
        receipt  A3 DELIVRD
        depth    handset
        """, {"provider": {"receipt_depth": "handset"}}),
    ("a provider that vouches for itself only", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        state    delivered
        depth    submitted
        """, {"provider": {"receipt_depth": "submitted"}}),
    ("handset receipts to a long code in the US come from the carrier", """
        accept   12025550123 sender=12025550188
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        told     depth handset
        depth    carrier
        """, {"provider": {"receipt_depth": "handset"}}),
    ("and not those to a toll-free number", """
        accept   12025550123 sender=18335550188
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        depth    handset
        """, {"provider": {"receipt_depth": "handset"}}),
    ("in the Philippines they vouch for nothing", """
        accept   639171234567
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        depth    submitted
        """, {"provider": {"receipt_depth": "handset"}}),
    ("parts that share one id, and a receipt for each that is the very same", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A1
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        state    submitted
        receipt  A1 DELIVRD
        state    delivered
        receipt  A1 DELIVRD
        state    delivered
        events   accepted claimed taken receipt_delivered receipt_delivered receipt_delivered
        """, {}),
    ("they came before the answer", """
        accept   31612345678 LONG
        claim
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        answer   1 taken A1 A1 A1
        parked   0
        state    delivered
        """, {}),
    ("one of them says that its part didn't arrive", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A1
        receipt  A1 DELIVRD
        receipt  A1 UNDELIV err=001
        state    failed
        receipt  A1 DELIVRD
        state    failed
        receipt  A1 UNDELIV err=001
        state    failed
        """, {}),
    ("one receipt for an id of all parts is one part's, unless its profile says more", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A1
        receipt  A1 DELIVRD
        tick     3601
        state    submitted
        """, {}),
    ("which it does: one for all", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A1
        receipt  A1 DELIVRD
        state    delivered
        receipt  A1 DELIVRD
        events   accepted claimed taken receipt_delivered
        """, {"provider": {"receipts_per": "message"}}),
    ("or may do", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A1
        receipt  A1 DELIVRD
        state    submitted
        tick     3601
        state    delivered
        """, {"provider": {"receipts_per": "unknown"}}),
    ("progress of parts that share an id is told once", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A1
        receipt  A1 ENROUTE
        receipt  A1 ENROUTE
        events   accepted claimed taken receipt_progress
        """, {}),
    ("two of three share one id", """
        accept   31612345678 LONG
        claim
        answer   1 taken A1 A1 A3
        receipt  A3 DELIVRD
        receipt  A1 DELIVRD
        state    submitted
        receipt  A1 DELIVRD
        state    delivered
        """, {}),
    ("a receipt that came before its answer and then again is one part's", """
        accept   31612345678 LONG
        claim
        answer   1 unanswered
        receipt  A1 DELIVRD
        late     1 taken A1 A2 A3
        receipt  A1 DELIVRD
        receipt  A1 DELIVRD
        state    submitted
        receipt  A2 DELIVRD
        receipt  A3 DELIVRD
        state    delivered
        """, {}),
    ("a long one in doubt is put together from its receipts", """
        accept   31612345678 LONG
        claim
        answer   1 unanswered
        receipt  X1 ENROUTE
        receipt  X2 DELIVRD
        receipt  X3 DELIVRD
        receipt  X1 DELIVRD
        state    delivered
        """, {}),
    ("one partly taken, whose lost answers' receipts come first", """
        accept   31612345678 LONG
        claim
        answer   1 partly A1
        receipt  X2 DELIVRD
        receipt  X3 DELIVRD
        receipt  A1 DELIVRD
        state    delivered
        """, {}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
