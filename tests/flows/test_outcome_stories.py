"""After the outcome: revisions, money, the customer's word, and pauses."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.core.money import Micros
from tests.flows.story import StoryRow, tell, told

# Each: the story's name, its table, and what is set up differently for it.
STORIES: list[StoryRow] = [
    ("unknown can be given back", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        tick     121
        state    unknown
        is       resolution released
        balance  100
        receipt  A1 DELIVRD
        state    delivered
        balance  100
        """, {"grace": 60, "account": {"refund_on": frozenset({"unknown"})}}),
    ("and charged again where that was agreed: invariant 39", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        tick     121
        balance  100
        receipt  A1 DELIVRD
        balance  99.95
        """, {"grace": 60,
              "account": {"refund_on": frozenset({"unknown"}), "recharge": True}}),
    ("but money that isn't there isn't taken: invariant 5", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        tick     121
        balance  0.1
        accept   31612345679 31612345670
        balance  0 0.1
        receipt  A1 DELIVRD to=31612345678
        balance  0 0.1
        """, {"grace": 60, "funds": 100_000,
              "account": {"refund_on": frozenset({"unknown"}), "recharge": True}}),
    ("a revision to failed refunds once: invariants 8 and 9", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        tick     121
        balance  99.95
        receipt  A1 UNDELIV
        state    failed
        balance  100
        receipt  A1 REJECTD
        balance  100
        receipt  A1 DELIVRD
        state    delivered
        balance  99.95
        receipt  A1 UNDELIV done=9
        state    delivered
        balance  99.95
        """, {"grace": 60,
              "account": {"refund_on": frozenset({"failed"}), "recharge": True}}),
    ("unknown revised without a policy moves no money", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        tick     121
        receipt  A1 UNDELIV
        state    failed
        balance  99.95
        """, {"grace": 60}),
    ("a failed one that was never handed off is not charged by a revision", """
        accept   31612345678
        claim
        answer   1 refused invalid_number
        balance  100
        answer   1 taken A1
        receipt  A1 DELIVRD
        state    delivered
        balance  100
        """, {}),
    ("provider cost is booked with its acknowledgement only: invariant 14", """
        accept   31612345678
        claim
        answer   1 taken A1
        answer   1 taken A1
        receipt  A1 DELIVRD
        balance  99.95
        """, {"provider": {"cost": Micros(20_000)}}),
    # --- the customer's word ---
    ("cancelled before any hand-off", """
        accept   31612345678
        amend    cancel
        state    cancelled
        is       execution not_executed
        balance  100
        claim    north 0
        """, {}),
    ("cancelled while it waits", """
        accept   31612345678
        claim
        answer   1 throttled
        amend    cancel
        state    cancelled
        receipt  X1 DELIVRD
        state    cancelled
        """, {}),
    ("too late to cancel", """
        accept   31612345678
        claim
        refuses  not_cancellable amend cancel
        answer   1 taken A1
        refuses  not_cancellable amend cancel
        receipt  A1 DELIVRD
        refuses  not_cancellable amend cancel
        """, {}),
    ("a resend can't be cancelled: the first may have arrived", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        refuses  not_cancellable amend cancel
        """, {}),
    ("the person got it", """
        accept   31612345678
        claim
        answer   1 taken A1
        amend    confirmed
        is       confirmed confirmed
        state    submitted
        amend    denied
        is       confirmed denied
        """, {}),
    # --- pauses ---
    ("a paused account's messages wait", """
        accept   31612345678
        claim    north 0
        state    accepted
        balance  99.95 0.05
        """, {"account": {"flow": "paused"}}),
    ("a paused route's messages wait", """
        accept   31612345678
        claim    north 0
        """, {"route": {"flow": "paused"}}),
    ("an account that is being emptied gets nothing new", """
        refuses  account_paused accept 31612345678
        """, {"account": {"flow": "draining"}}),
    ("a route that is being emptied gets nothing new", """
        refuses  route_paused accept 31612345678
        """, {"route": {"flow": "draining"}}),
    ("a provider that is being emptied gets nothing new", """
        refuses  route_paused accept 31612345678
        """, {"flows": {"north": "draining"}}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
