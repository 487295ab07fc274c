"""Receipts that come before the answer that tells whose they are: no id decides too early."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.installation import account
from tests.flows.story import StoryRow, tell, told

TWO: dict[str, Any] = {
    "providers": ("north", "south"),
    "ids_of": {"south": "north"},
    "second_route": ("south",),
}
BOTH: dict[str, Any] = {"others": (account(2),)}

STORIES: list[StoryRow] = [
    ("an id in another form isn't another account's while an answer is awaited", """
        accept   31612345678
        claim
        answer   1 taken 4660
        accept   31612345678 account_id=2
        claim
        deliver  'id:1234 stat:UNDELIV'
        parked   1
        answer   2 taken 1234
        state    failed
        parked   0
        """, BOTH),
    ("it is the first one's once the answer gives another id", """
        accept   31612345678
        claim
        answer   1 taken 4660
        accept   31612345678 31687654321
        claim    north 2
        deliver  'id:1234 stat:UNDELIV' to=31612345678
        parked   1
        answer   3 taken 77
        parked   1
        answer   2 taken 78
        parked   0
        state    submitted
        """, {}),
    ("nor is it while the answer is in doubt, and may come late", """
        accept   31612345678
        claim
        answer   1 taken 4660
        accept   31612345678 account_id=2
        claim
        deliver  'id:1234 stat:UNDELIV'
        answer   2 unanswered
        state    ambiguous
        parked   1
        late     2 taken 1234
        state    failed
        parked   0
        """, BOTH),
    ("it is the first one's once the doubt has ended", """
        accept   31612345678
        claim
        answer   1 taken 4660
        accept   31612345678 on_ambiguous=fail
        claim
        answer   2 unanswered
        deliver  'id:1234 stat:UNDELIV'
        parked   1
        tick     1
        state    failed
        parked   0
        """, {}),
    ("or once a receipt has ended it", """
        accept   31612345678
        claim
        answer   1 taken 4660
        accept   31612345678
        claim
        answer   2 unanswered
        deliver  'id:1234 stat:UNDELIV'
        parked   1
        deliver  'id:B7 stat:DELIVRD'
        state    delivered
        parked   0
        """, {}),
    ("an id exactly as given is believed at once", """
        accept   31612345678
        claim
        answer   1 taken A1
        accept   31612345678
        claim
        deliver  'id:a1 stat:UNDELIV'
        parked   0
        answer   2 taken A2
        state    submitted
        """, {}),
    ("an id with other zeros waits as well", """
        accept   31612345678
        claim
        answer   1 taken 0077
        accept   31612345678
        claim
        deliver  'id:77 stat:UNDELIV'
        parked   1
        answer   2 taken 77
        state    failed
        """, {}),
    ("of a parked receipt what began after it came isn't awaited", """
        accept   31612345678
        claim
        deliver  'id:1234 stat:UNDELIV'
        accept   31612345678
        pass     1
        claim
        answer   1 taken 4660
        parked   0
        answer   2 taken 78
        state    submitted
        """, {}),
    ("another login's id isn't believed while the own answer is awaited", """
        accept   31612345678
        claim
        answer   1 taken 7001
        accept   31612345678 route_id=2
        claim    south
        deliver  'id:7001 stat:UNDELIV' provider=south
        parked   1
        answer   2 taken 7001
        state    failed
        told     came_over None
        """, TWO),
    ("nor with another number", """
        accept   31687654321
        claim
        answer   1 taken 7001
        accept   31612345678 route_id=2
        claim    south
        deliver  'id:7001 stat:UNDELIV' provider=south
        parked   1
        answer   2 taken 7001
        state    failed
        told     came_over None
        """, TWO),
    ("a receipt comes to the next owner before the late answer: invariants 14, 23", """
        accept   31612345678
        claim
        take     north
        state    ambiguous
        receipt  A1 DELIVRD
        state    delivered
        late     1 taken A1
        late     1 taken A1
        events   accepted claimed lease_lost receipt_delivered taken
        state    delivered
        """, {}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
