"""Hand-offs that nobody answered: what the policy does, and what late news changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.story import StoryRow, tell, told

pytestmark = pytest.mark.slow  # `make check` plays the stories of receipts, queues and outcomes

# Each: the story's name, its table, and what is set up differently for it.
STORIES: list[StoryRow] = [
    ("not taken, said twice: the second time changes nothing", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 unanswered
        receipt  A1 UNKNOWN
        answer   1 throttled
        state    waiting
        tick     61
        state    ambiguous
        answer   1 throttled
        state    ambiguous
        """, {}),
    ("unanswered, then nothing: unknown at the deadline, and paid for", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 unanswered
        state    ambiguous
        is       execution handoff_unknown
        tick     60
        state    ambiguous
        tick     59
        state    ambiguous
        tick     2
        state    unknown
        is       execution handoff_unknown
        balance  99.95
        """, {"grace": 60}),
    ("query waits where nobody can be asked", """
        accept   31612345678 on_ambiguous=query
        claim
        answer   1 unanswered
        tick     3600
        state    ambiguous
        claim    north 0
        """, {}),
    ("resend goes out once more after its wait", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     59
        state    ambiguous
        tick     2
        state    waiting
        claim
        answer   2 unanswered
        tick     3600
        state    ambiguous
        is       attempts 2
        events   accepted claimed unanswered resend_allowed claimed unanswered
        """, {}),
    ("no resend past the validity", """
        accept   31612345678 on_ambiguous=resend valid_for_s=50
        claim
        answer   1 unanswered
        tick     70
        state    ambiguous
        events   accepted claimed unanswered
        """, {}),
    ("a resend that its validity overtakes was no expiry", """
        accept   31612345678 on_ambiguous=resend valid_for_s=65
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        tick     10
        state    ambiguous
        is       execution handoff_unknown
        """, {}),
    ("a refused resend says nothing about the first hand-off", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 refused invalid_number
        state    ambiguous
        receipt  X1 DELIVRD
        state    delivered
        """, {}),
    ("never resent when partly taken: invariant 29", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 partly A1
        tick     3600
        state    ambiguous
        """, {}),
    ("and paid for: a part of it was handed off", """
        accept   31612345678 valid_for_s=60 LONG
        claim
        answer   1 partly A1
        tick     121
        state    unknown
        is       execution handoff_unknown
        balance  99.85
        """, {"grace": 60}),
    ("nor when a part turns up late", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        late     1 partly A1
        tick     3600
        state    ambiguous
        """, {}),
    ("nor when it turns up while the resend waits", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        late     1 partly A1
        state    ambiguous
        claim    north 0
        tick     3600
        state    ambiguous
        """, {}),
    ("nor when a receipt shows that somebody has a part", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        receipt  A1 DELIVRD
        tick     3600
        state    ambiguous
        receipt  A2 DELIVRD
        receipt  A3 DELIVRD
        state    delivered
        """, {}),
    ("fail prefers failed to unknown, and is paid for", """
        accept   31612345678 on_ambiguous=fail
        claim
        answer   1 unanswered
        tick     0
        state    failed
        is       execution handoff_unknown
        balance  99.95
        receipt  X1 DELIVRD
        state    delivered
        balance  99.95
        """, {}),
    ("a receipt without a known id revises what ended in silence: invariant 37", """
        accept   31612345678
        claim
        answer   1 unanswered
        tick     300000
        state    unknown
        receipt  X1 UNDELIV err=002
        state    failed
        receipt  X1 DELIVRD
        state    delivered
        balance  99.95
        """, {}),
    ("but not for ever, and what still waits comes first", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 unanswered
        tick     173000
        state    unknown
        accept   31612345678
        claim
        answer   2 unanswered
        receipt  X1 DELIVRD
        state    delivered
        tick     260000
        receipt  X2 DELIVRD
        parked   1
        """, {}),
    ("a resend that moved to another provider leaves the first one's receipt a way back", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        divert   north 1
        receipt  X0 DELIVRD provider=south
        parked   1
        claim    south
        answer   2 unanswered
        receipt  X1 DELIVRD
        state    delivered
        """, {"providers": ("north", "south"), "route": {"failover": True}}),
    ("of a resend the first was filtered, the second never answered", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1
        receipt  A1 REJECTD err=010
        answer   2 unanswered
        state    filtered
        receipt  X2 DELIVRD
        state    delivered
        """, {}),
    ("a no that comes after that is refunded, once: invariant 13", """
        accept   31612345678 on_ambiguous=fail
        claim
        answer   1 unanswered
        tick     0
        state    failed
        balance  99.95
        late     1 refused invalid_number
        balance  100
        late     1 refused invalid_number
        state    failed
        balance  100
        """, {}),
    ("fail hears first what has waited", """
        accept   31612345678 on_ambiguous=fail
        claim
        receipt  X1 DELIVRD
        parked   1
        answer   1 unanswered
        state    delivered
        """, {}),
    ("a late yes", """
        accept   31612345678
        claim
        answer   1 unanswered
        late     1 taken A1
        state    submitted
        receipt  A1 DELIVRD
        state    delivered
        """, {}),
    ("a late yes is kept, though a receipt told its id before, and once: invariant 14", """
        accept   31612345678
        claim
        answer   1 unanswered
        receipt  A1 DELIVRD
        late     1 taken A1
        events   accepted claimed unanswered receipt_delivered taken
        late     1 taken A1
        events   accepted claimed unanswered receipt_delivered taken
        """, {}),
    ("a late no", """
        accept   31612345678
        claim
        answer   1 unanswered
        late     1 refused invalid_number
        state    failed
        is       execution not_executed
        balance  100
        """, {}),
    ("a late throttle proves that it was not taken", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 unanswered
        late     1 throttled
        state    waiting
        tick     61
        state    expired
        balance  100
        """, {}),
    ("a late throttle while the resend waits makes it a first hand-off again", """
        accept   31612345678 on_ambiguous=resend valid_for_s=90
        claim
        answer   1 unanswered
        tick     61
        late     1 throttled
        state    waiting
        tick     60
        state    expired
        balance  100
        """, {}),
    ("a late yes drops the resend", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        late     1 taken A1
        state    submitted
        claim    north 0
        """, {}),
    ("a late yes while the resend is under way", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1
        state    submitted
        answer   2 throttled
        state    submitted
        claim    north 0
        receipt  A1 DELIVRD
        state    delivered
        """, {}),
    ("the same yes twice is one", """
        accept   31612345678
        claim
        answer   1 taken A1
        answer   1 taken A1
        events   accepted claimed taken
        """, {}),
    # --- two attempts in doubt ---
    ("both turn out not taken, the older first: invariant 13", """
        accept   31612345678 on_ambiguous=resend valid_for_s=200
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 unanswered
        late     1 throttled
        state    ambiguous
        late     2 throttled
        state    waiting
        tick     200
        state    expired
        balance  100
        """, {}),
    ("both turn out refused, the older first: invariant 13", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 unanswered
        late     1 refused invalid_number
        state    ambiguous
        late     2 refused invalid_number
        state    failed
        is       execution not_executed
        balance  100
        """, {}),
    ("both turn out refused, the newer first: invariant 13", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 refused invalid_number
        state    ambiguous
        late     1 refused invalid_number
        state    failed
        balance  100
        """, {}),
    ("the same no twice proves nothing about the other", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 unanswered
        late     1 refused invalid_number
        late     1 refused invalid_number
        events   accepted claimed unanswered resend_allowed claimed unanswered refused
        state    ambiguous
        """, {}),
    ("once it's unknown, only the last no is refunded: invariant 13", """
        accept   31612345678 on_ambiguous=resend valid_for_s=100
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 unanswered
        tick     121
        state    unknown
        balance  99.95
        late     1 refused invalid_number
        balance  99.95
        late     2 refused invalid_number
        state    unknown
        balance  100
        """, {"grace": 60}),
    ("nor does an older one's, that was in no doubt: invariant 25", """
        accept   31612345678 on_ambiguous=resend valid_for_s=100
        claim
        answer   1 throttled
        tick     10
        claim
        answer   2 unanswered
        tick     61
        state    waiting
        late     1 throttled
        tick     100
        state    ambiguous
        """, {}),
    ("a late no once its resend is under way makes that the first hand-off", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 throttled
        state    sending
        answer   2 refused invalid_number
        state    failed
        balance  100
        """, {}),
    ("after a late no the resend is still the only one", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 throttled
        answer   2 unanswered
        tick     3600
        state    ambiguous
        claim    north 0
        """, {}),
    ("a silence is recorded, too, when the outcome is known: invariant 26", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1
        receipt  A1 DELIVRD
        answer   2 unanswered
        state    delivered
        says     unanswered
        balance  99.95
        """, {}),
    ("both taken, and only the second fails: paid once, delivered: invariant 9", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 taken A1
        receipt  A1 DELIVRD
        answer   2 taken A2
        receipt  A2 UNDELIV
        state    delivered
        balance  99.95
        """, {}),
    ("a resend that wasn't looked at in time is of no use any more", """
        accept   31612345678 on_ambiguous=resend valid_for_s=100
        claim
        answer   1 unanswered
        tick     200
        events   accepted claimed unanswered due
        state    ambiguous
        """, {}),
    # --- the lease ---
    ("every attempt's lease is lost, and it is sent no third time", """
        accept   31612345678 on_ambiguous=resend
        claim
        take     north
        answer   1 unanswered
        tick     61
        claim
        take     north
        state    ambiguous
        tick     3600
        answer   1 not_sent
        answer   2 not_sent
        state    ambiguous
        claim    north 0
        """, {}),
    ("one under way doesn't outlast its outcome deadline: invariant 32", """
        accept   31612345678 valid_for_s=60
        claim
        tick     121
        state    unknown
        balance  99.95
        """, {"grace": 60}),
    ("a lost lease is a doubt, never a retry: invariants 23 to 26", """
        accept   31612345678
        claim
        take     north
        state    ambiguous
        claim    north 0
        answer   1 not_sent
        events   accepted claimed lease_lost
        answer   1 taken A1
        state    submitted
        """, {}),
    ("a message that nobody answers for ends up in doubt", """
        accept   31612345678
        claim
        tick     299
        state    sending
        tick     2
        state    ambiguous
        """, {}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)
