"""From accept to a provider: waits, refusals, retries, and the next provider."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.story import StoryRow, tell, told

# Each: the story's name, its table, and what is set up differently for it.
STORIES: list[StoryRow] = [
    ("delivered", """
        accept   31612345678
        state    accepted
        is       execution queued
        balance  99.95 0.05
        claim
        is       execution sending
        answer   1 taken A1
        state    submitted
        is       execution handed_off
        receipt  A1 DELIVRD
        state    delivered
        balance  99.95
        events   accepted claimed taken receipt_delivered
        """, {}),
    ("send_at waits, and its validity begins then", """
        accept   31612345678 send_at_us=3600 valid_for_s=60
        state    scheduled
        claim    north 0
        tick     3599
        claim    north 0
        tick     2
        claim
        state    sending
        """, {}),
    ("no early expiry when the clock goes back an hour: invariant 40", """
        accept   31612345670
        pass     -3600
        accept   31612345678 valid_for_s=60
        tick     1
        state    accepted
        claim    north 2
        answer   2 taken A1
        receipt  A1 DELIVRD
        state    delivered
        """, {}),
    ("validity ends in the queue", """
        accept   31612345678 valid_for_s=60
        tick     61
        state    expired
        is       execution queued
        is       reason expired_in_our_queue
        balance  100
        claim    north 0
        """, {}),
    ("a route's own validity", """
        accept   31612345678
        tick     59
        state    accepted
        tick     2
        state    expired
        """, {"route": {"valid_for_s": 60}}),
    ("and its own wait for news: invariant 32", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 taken A1
        tick     69
        state    submitted
        tick     2
        state    unknown
        """, {"route": {"outcome_grace_s": 10}}),
    ("validity ends in the queue after a try", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 throttled
        tick     61
        state    expired
        is       execution waiting
        balance  100
        """, {}),
    ("a claim never sends what has expired", """
        accept   31612345678 valid_for_s=60
        pass     61
        claim    north 0
        state    expired
        balance  100
        """, {}),
    ("nor a resend", """
        accept   31612345678 valid_for_s=70 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        pass     10
        claim    north 0
        state    ambiguous
        """, {}),
    ("throttled and not sent don't use the budget: invariant 27", """
        accept   31612345678
        claim
        answer   1 throttled
        state    waiting
        is       execution waiting
        claim    north 0
        tick     60
        claim
        answer   2 not_sent
        tick     60
        claim
        answer   3 throttled
        tick     60
        claim
        answer   4 throttled
        tick     60
        claim
        answer   5 throttled
        tick     60
        claim
        answer   6 throttled
        is       tries 0
        is       attempts 6
        tick     60
        claim
        answer   7 taken A7
        state    submitted
        """, {}),
    ("refused for good", """
        accept   31612345678
        claim
        answer   1 refused invalid_number
        state    failed
        is       execution not_executed
        is       reason invalid_number
        balance  100
        """, {}),
    ("refused until the retries are used up", """
        accept   31612345678
        claim
        answer   1 refused_now provider_error
        state    waiting
        tick     3600
        claim
        answer   2 refused_now provider_error
        tick     3600
        claim
        answer   3 refused_now provider_error
        tick     3600
        claim
        answer   4 refused_now provider_error
        tick     3600
        claim
        answer   5 refused_now provider_error
        state    failed
        is       reason provider_error
        is       tries 5
        balance  100
        """, {}),
    ("no time left to retry", """
        accept   31612345678 valid_for_s=2
        claim
        answer   1 refused_now provider_error
        state    failed
        balance  100
        """, {}),
    # --- failover ---
    ("a refusal that another provider may take", """
        accept   31612345678
        claim
        answer   1 refused_here no_route
        state    waiting
        is       provider_id south
        claim    north 0
        claim    south
        answer   2 taken S1
        receipt  S1 DELIVRD provider=south
        state    delivered
        events   accepted claimed failed_over claimed taken receipt_delivered
        """, {"providers": ("north", "south")}),
    ("errors of a provider move on at the second try", """
        accept   31612345678
        claim
        answer   1 refused_now provider_error
        tick     60
        claim
        answer   2 refused_now provider_error
        is       provider_id south
        """, {"providers": ("north", "south")}),
    ("no failover where the route says so", """
        accept   31612345678
        claim
        answer   1 refused_here no_route
        state    failed
        balance  100
        """, {"providers": ("north", "south"), "route": {"failover": False}}),
    ("no failover past the last provider, nor to another route's", """
        accept   31612345678
        claim
        answer   1 refused_here no_route
        state    failed
        """, {"providers": ("north", "south"), "route": {"providers": ("north",)}}),
    ("no failover to a provider that is being emptied", """
        accept   31612345678
        claim
        answer   1 refused_here no_route
        is       provider_id far
        """, {"providers": ("north", "south", "far"), "flows": {"south": "draining"}}),
    ("a provider that stays away loses its queue", """
        accept   31612345678 31612345679
        divert   north 2
        is       provider_id south
        claim    north 0
        claim    south 2
        state    sending
        """, {"providers": ("north", "south")}),
    ("but not where the route says so", """
        accept   31612345678
        divert   north 0
        is       provider_id north
        """, {"providers": ("north", "south"), "route": {"failover": False}}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
