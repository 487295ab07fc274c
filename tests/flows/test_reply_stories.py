"""Answers from handsets: whose message each confirms, and what confirms nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.installation import account
from tests.flows.story import StoryRow, tell, told

OURS = "sender=31201234567"
TWO: dict[str, Any] = {"providers": ("north", "south")}

# Each: the story's name, its table, and what is set up differently for it.
STORIES: list[StoryRow] = [
    ("an answer proves that it arrived", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        is       confirmed none
        reply    confirmed
        says     feedback
        told     kind reply
        told     confirmed True
        is       confirmed confirmed
        state    submitted
        depth    user
        """, {}),
    ("a further part of it, and the same one again, change nothing", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        reply    confirmed
        reply    repeated
        reply    repeated
        events   accepted claimed taken receipt_delivered feedback
        state    delivered
        """, {}),
    ("its customer may deny it later, and has the last word", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        reply    confirmed
        amend    denied
        is       confirmed denied
        reply    repeated
        is       confirmed denied
        """, {}),
    ("its customer denied it before", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        amend    denied
        reply    confirmed
        is       confirmed confirmed
        """, {}),
    ("a hint before it is no answer", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        amend    asked_again
        reply    confirmed
        is       confirmed confirmed
        """, {}),
    ("its customer confirmed it before", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        amend    confirmed
        reply    repeated
        events   accepted claimed taken feedback
        """, {}),
    ("a test phone of our own", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        reply    confirmed
        told     kind probe
        """, {"probes": frozenset({"31612345678"})}),
    ("it outlives the outcome", f"""
        accept   31612345678 {OURS} valid_for_s=60
        claim
        answer   1 taken A1
        tick     3700
        state    unknown
        reply    confirmed
        state    unknown
        """, {"grace": 3_600}),
    ("of two it is the newer", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        pass     60
        accept   31612345678 {OURS}
        claim
        answer   2 taken A2
        reply    confirmed
        is       confirmed confirmed
        reply    repeated
        """, {}),
    ("what is said not to have come gives way", f"""
        accept   31612345678 31612345678 {OURS}
        claim    north 2
        answer   1 taken A1
        answer   2 taken A2
        receipt  A1 UNDELIV
        reply    confirmed
        is       confirmed none
        """, {}),
    ("an answer contradicts the only receipt", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        receipt  A1 UNDELIV
        reply    confirmed
        state    failed
        is       confirmed confirmed
        """, {}),
    ("nobody answers what wasn't handed off", f"""
        accept   31612345678 {OURS}
        reply    unmatched
        claim
        reply    unmatched
        answer   1 unanswered
        reply    unmatched
        """, {}),
    ("a name can't be answered", """
        accept   31612345678
        claim
        answer   1 taken A1
        reply    unmatched to=2769
        """, {}),
    ("another phone, and another number of ours", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        reply    unmatched from=31612345679
        reply    unmatched to=31201234568
        is       confirmed none
        """, {}),
    ("past the window", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        pass     259201
        reply    unmatched
        """, {}),
    ("within the window", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        pass     259199
        reply    confirmed
        """, {}),
    ("with a plus, and with zeros", """
        accept   31612345678 sender=+31201234567
        claim
        answer   1 taken A1
        reply    confirmed from=+31612345678 to=0031201234567
        """, {}),
    ("national numbers of one country", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        reply    confirmed from=0612345678
        reply    repeated to=0201234567
        """, {}),
    ("a short code has no country", """
        accept   31612345678 sender=27690
        claim
        answer   1 taken A1
        reply    unmatched from=0612345678
        reply    confirmed
        """, {}),
    ("over another provider of its route", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        reply    confirmed provider=south
        """, TWO),
    ("not over a provider that its route doesn't have", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        reply    unmatched provider=south
        is       confirmed none
        """, {**TWO, "route": {"providers": ("north",)}}),
    ("what failed over is one message", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 refused_here no_route
        claim    south
        answer   2 taken A2
        reply    confirmed
        reply    repeated provider=south
        """, TWO),
    ("two customers with one number: nobody is told", f"""
        accept   31612345678 {OURS}
        claim
        answer   1 taken A1
        pass     60
        accept   31612345678 {OURS} account_id=2
        claim
        answer   2 taken A2
        reply    unmatched
        is       confirmed none
        """, {"others": (account(2),)}),
    ("two customers with one number, days apart", f"""
        accept   31612345678 {OURS} account_id=2
        claim
        answer   1 taken A1
        pass     259201
        accept   31612345678 {OURS}
        claim
        answer   2 taken A2
        reply    confirmed
        is       confirmed confirmed
        """, {"others": (account(2),)}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
