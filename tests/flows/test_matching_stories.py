"""Whose a receipt is: by its id, by the numbers beside it, and over which provider it came."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.flows.installation import installed, provider
from tests.flows.script import SetClock
from tests.flows.story import Story, StoryRow, tell, told

TWO: dict[str, Any] = {"providers": ("north", "south"), "ids_of": {"south": "north"}}

STORIES: list[StoryRow] = [
    # --- numbers that differ --------------------------------------------------------------
    ("addresses as in the submit_sm, from a number", """
        accept   31612345678 sender=31201234567
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=31201234567 other=31612345678
        state    delivered
        told     unswapped True
        told     number_differs None
        """, {}),
    ("addresses as in the submit_sm, from a name", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:UNDELIV' to=ARRIVALS other=31612345678
        state    failed
        told     unswapped True
        """, {}),
    ("addresses as in the submit_sm choose among two with one id", """
        accept   31612345678 31612345679 sender=31201234567
        claim    north 2
        answer   1 taken A1
        answer   2 taken A1
        deliver  'id:A1 stat:UNDELIV' to=31201234567 other=31612345679
        state    submitted
        state    2 failed
        """, {}),
    ("from a name they choose as well", """
        accept   31612345678 31612345679
        claim    north 2
        answer   1 taken A1
        answer   2 taken A1
        deliver  'id:A1 stat:UNDELIV' to=ARRIVALS other=31612345679
        state    submitted
        state    2 failed
        """, {}),
    ("a country's mobile digit too many: 521 for 52", """
        accept   525512345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=5215512345678
        state    delivered
        told     number_differs True
        """, {}),
    ("a country's mobile digit too few: 54 for 549", """
        accept   5491123456789
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=541123456789
        state    delivered
        told     number_differs True
        """, {}),
    ("a rewritten country chooses among two with one id, by its last digits", """
        accept   525512345678 525587654321
        claim    north 2
        answer   1 taken A1
        answer   2 taken A1
        deliver  'id:A1 stat:UNDELIV' to=5215587654321
        state    submitted
        state    2 failed
        """, {}),
    ("a rewritten country and an id in another form", """
        accept   525512345678 525587654321
        claim    north 2
        answer   1 taken 10
        answer   2 taken 16
        deliver  'id:16 stat:UNDELIV' to=5215512345678
        state    failed
        state    2 submitted
        """, {}),
    ("a routing prefix", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=99931612345678
        state    delivered
        told     number_differs True
        """, {}),
    ("a national form", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=0612345678
        state    delivered
        told     number_differs None
        """, {}),
    ("a number that was hidden", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=31600000000
        state    delivered
        told     number_differs True
        """, {}),
    ("a short code for a number", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=1234
        state    delivered
        """, {}),
    ("the order of a receipt and the answer doesn't matter", """
        accept   31612345678
        claim
        deliver  'id:A1 stat:DELIVRD' to=31600000000
        state    sending
        parked   1
        answer   1 taken A1
        state    delivered
        parked   0
        """, {}),

    # --- and what a number that differs may not do ----------------------------------------
    ("of two with one id a strange number chooses none", """
        accept   31612345678 31612345679
        claim    north 2
        answer   1 taken A1
        answer   2 taken A1
        deliver  'id:A1 stat:DELIVRD' to=31600000000
        state    submitted
        state    2 submitted
        parked   1
        """, {}),
    ("an id in another form needs the number", """
        accept   31612345678
        claim
        answer   1 taken 10
        deliver  'id:16 stat:DELIVRD' to=31600000000
        state    submitted
        parked   1
        """, {}),
    ("an exact id that another could be in another form needs the number", """
        accept   31612345678 31612345679
        claim    north 2
        answer   1 taken 10
        answer   2 taken 16
        deliver  'id:16 stat:DELIVRD' to=31600000000
        state    submitted
        state    2 submitted
        """, {}),
    ("an id of days ago may have been given again", """
        accept   31612345678
        claim
        answer   1 taken A1
        receipt  A1 DELIVRD
        pass     300000
        accept   31612345679
        claim
        deliver  'id:A1 stat:UNDELIV' to=31600000000
        parked   1
        state    sending
        """, {}),
    ("what is under way to the number may have been given the id again", """
        accept   31612345678
        claim
        answer   1 taken A1
        accept   31612345679
        claim
        deliver  'id:A1 stat:UNDELIV' to=31612345679
        parked   1
        answer   2 taken A1
        state    failed
        parked   0
        """, {}),
    ("and once it is answered otherwise, the id decides after all", """
        accept   31612345678
        claim
        answer   1 taken A1
        accept   31612345679
        claim
        deliver  'id:A1 stat:UNDELIV' to=31612345679
        parked   1
        answer   2 taken B2
        state    submitted
        parked   0
        """, {}),
    ("a hand-off in doubt to the number goes before a strange id", """
        accept   31612345678
        claim
        answer   1 taken A1
        accept   31612345679
        claim
        answer   2 unanswered
        deliver  'id:A1 stat:UNDELIV' to=31612345679
        state    failed
        told     matched_by destination
        """, {}),
    ("another provider's id is nobody's", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' to=31612345678 provider=south
        state    submitted
        parked   1
        """, {"providers": ("north", "south")}),

    # --- no id, and addresses that aren't swapped -----------------------------------------
    ("without an id, from a name: the other address is the handset", """
        accept   31612345678
        claim
        answer   1 unanswered
        deliver  'stat:DELIVRD err:000' to=ARRIVALS other=31612345678
        state    delivered
        told     matched_by destination
        """, {}),
    ("without an id, from the number we wrote from", """
        accept   31612345678 sender=31201234567
        claim
        answer   1 unanswered
        deliver  'stat:DELIVRD err:000' to=31201234567 other=31612345678
        state    delivered
        told     matched_by destination
        """, {}),
    ("without an id, from a number that isn't ours, it is nobody's", """
        accept   31612345678 sender=31201234567
        claim
        answer   1 unanswered
        deliver  'stat:DELIVRD err:000' to=31209999999 other=31612345678
        state    ambiguous
        parked   1
        """, {}),
    ("taken without an id, from the number we wrote from", """
        accept   31612345678 sender=31201234567
        claim
        answer   1 taken ''
        deliver  'stat:DELIVRD err:000' to=31201234567 other=31612345678
        state    delivered
        """, {}),

    # --- one carrier, two logins ----------------------------------------------------------
    ("a receipt comes over the other login", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' provider=south
        state    delivered
        told     provider north
        told     came_over south
        """, TWO),
    ("before the answer", """
        accept   31612345678
        claim
        deliver  'id:A1 stat:DELIVRD' provider=south
        parked   1
        answer   1 taken A1
        state    delivered
        parked   0
        told     came_over south
        """, TWO),
    ("in another form of the id", """
        accept   31612345678
        claim
        answer   1 taken 10
        deliver  'id:16 stat:UNDELIV' provider=south
        state    failed
        told     id_form hex_to_decimal
        """, TWO),
    ("over both: it is the same receipt", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' provider=south
        deliver  'id:A1 stat:DELIVRD' provider=north
        events   accepted claimed taken receipt_delivered
        is       seen 2
        """, TWO),
    ("the reverse isn't implied", """
        accept   31612345678
        claim    north 1
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' provider=south
        state    submitted
        parked   1
        """, {"providers": ("north", "south"), "ids_of": {"north": "south"}}),
    ("a hand-off in doubt is found over the other login", """
        accept   31612345678
        claim
        answer   1 unanswered
        deliver  'id:B7 stat:DELIVRD' provider=south
        state    delivered
        told     matched_by destination
        told     came_over south
        """, TWO),
    ("nobody said that it is another login, and it names the id that the other one gave", """
        accept   31612345678 on_ambiguous=resend
        claim    north
        answer   1 unanswered
        tick     61
        divert   north 1
        claim    south
        answer   2 taken 7acf16549ac3a17d
        deliver  'id:8849316345435890045 stat:DELIVRD' provider=north
        state    submitted
        parked   1
        deliver  'id:B7 stat:DELIVRD' provider=north
        state    delivered
        told     matched_by destination
        """, {"providers": ("north", "south")}),
    ("of two in doubt, one at each login, it is neither's", """
        accept   31612345678
        claim
        answer   1 unanswered
        accept   31612345678 route_id=2
        claim    south
        answer   2 unanswered
        deliver  'id:B7 stat:DELIVRD' provider=south
        state    ambiguous
        parked   1
        """, TWO | {"second_route": ("south",)}),
    ("an id of the login's own goes before the other's", """
        accept   31612345678
        claim
        answer   1 taken A1
        accept   31612345678 route_id=2
        claim    south
        answer   2 taken A1
        deliver  'id:A1 stat:UNDELIV' provider=south
        state    failed
        told     provider south
        told     came_over None
        """, TWO | {"second_route": ("south",)}),
    ("a strange number and the other login's id", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' provider=south to=31600000000
        state    delivered
        told     number_differs True
        """, TWO),

    # --- what the event keeps -------------------------------------------------------------
    ("message_state and the text disagree", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:UNDELIV err:069' id=A1 state=2
        state    failed
        told     stat UNDELIV
        told     tlv_said DELIVRD
        told     text_said UNDELIV
        """, {}),
    ("message_state 0 says nothing", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:DELIVRD' id=A1 state=0
        state    delivered
        told     tlv_said None
        """, {}),
    ("words for on its way, and then the end", """
        accept   31612345678
        claim
        answer   1 taken A1
        deliver  'id:A1 stat:BUFFRED'
        deliver  'id:A1 stat:ACKED  '
        state    submitted
        deliver  'id:A1 stat:DELIVRD'
        state    delivered
        """, {}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_a_story(place: str, table: str, setting: dict[str, Any]):
    """Every story holds line by line, and leaves a database that keeps its invariants."""
    await tell(place, table, setting)


ODD = [
    "answer   {n} taken 00b8be{n:02x}",
    "deliver  'id:00B8BE{n:02X} stat:ENROUTE' to={to}",
    "deliver  'id:00b8be{n:02x} stat:Not delivered err:001' to=31201234567 other={to}",
    "deliver  'id:00B8BE{n:02x} stat:\"DELIVRD\"' to=9991{to}",
    "deliver  'id:00b8be{n:02x} DELIVRD err:000' to=31600000000",
]


@pytest.mark.slow
async def test_odd_receipts_and_the_answer_fold_to_one_outcome_in_any_order(place: str):
    """Invariant 36: unswapped, rewritten and hidden numbers, before the answer and after it."""
    clock = SetClock()
    north = provider("north", 1)
    async with installed(place, providers=[north], started=False, clock=clock) as here:
        story = Story(here, clock)
        for number, order in enumerate(itertools.permutations(ODD), 1):
            to = f"316{number:08d}"
            lines = [line.format(n=number, to=to) for line in order]
            await story.play(f"accept {to} sender=31201234567\nclaim\n" + "\n".join(lines))
            await story.play("state delivered\nparked 0")
