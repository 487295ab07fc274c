"""Parts that are put off or refused while others were taken.

The kind of report behind them: a provider throttles part 2 of 3, and the whole message was
called unanswered, sent again whole, or charged as if nobody knew.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arrivals.core.explain import explain
from arrivals.core.layers import layers
from arrivals.flows.plan import Defaults
from arrivals.store.verifying import run_checks
from tests.flows.installation import account, installed, provider, route
from tests.flows.script import SetClock
from tests.flows.story import LONG, Story, StoryRow, tell, told

STORIES: list[StoryRow] = [
    ("a part is throttled once and taken then", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 2 1=A1 3=A3
        state    sending
        says     part_held
        told     parts_accepted "[1, 3]"
        told     until 1700000005000000
        answer   1 taken A1 A2 A3
        state    submitted
        receipt  A1 DELIVRD
        receipt  A2 DELIVRD
        receipt  A3 DELIVRD
        state    delivered
        balance  99.85
        """, {}),
    ("no part was taken yet", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 1
        state    sending
        answer   1 throttled
        state    waiting
        tick     60
        claim
        state    sending
        """, {}),
    ("the same news told twice is one event", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 2 1=A1
        answer   1 part_held 5 2 1=A1
        events   accepted claimed part_held
        answer   1 part_held 9 2 1=A1
        events   accepted claimed part_held part_held
        """, {}),
    ("receipts of the taken parts match at once, and don't end it", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 2 1=A1 3=A3
        receipt  A1 DELIVRD
        receipt  A3 DELIVRD
        parked   0
        state    sending
        answer   1 taken A1 A2 A3
        state    submitted
        receipt  A2 DELIVRD
        state    delivered
        """, {}),
    ("a receipt that came before the news finds its part with it", """
        accept   31612345678 LONG
        claim
        receipt  A1 DELIVRD
        parked   1
        answer   1 part_held 5 2 1=A1
        parked   0
        state    sending
        """, {}),
    ("one that is held for long isn't given up before its news is due", """
        accept   31612345678 LONG valid_for_s=3600
        claim
        answer   1 part_held 900 2 1=A1
        tick     600
        state    sending
        tick     310
        state    sending
        tick     120
        state    ambiguous
        told     parts_accepted [1]
        """, {}),
    ("its sender dies: in doubt, with what is known, and never sent again whole", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 part_held 5 2 1=A1
        take     north
        state    ambiguous
        says     lease_lost
        told     parts_accepted [1]
        tick     3600
        state    ambiguous
        claim    north 0
        receipt  A1 DELIVRD
        state    ambiguous
        """, {}),
    ("nor called failed at once by a policy that would", """
        accept   31612345678 on_ambiguous=fail LONG
        claim
        answer   1 part_held 5 2 1=A1
        take     north
        tick     60
        state    ambiguous
        """, {}),
    ("silence after a part was put off keeps what was taken in mind", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 part_held 5 2 1=A1
        answer   1 unanswered
        state    ambiguous
        told     parts_accepted [1]
        tick     3600
        claim    north 0
        """, {}),
    ("news from an older owner drops a resend that was allowed", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        late     1 part_held 90 2 1=A1
        state    ambiguous
        events   accepted claimed unanswered resend_allowed part_held resend_dropped
        claim    north 0
        """, {}),
    ("news from an older owner of one in doubt", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        late     1 part_held 90 2 1=A1
        tick     3600
        state    ambiguous
        claim    north 0
        """, {}),
    ("news that nothing was taken yet changes nothing of one in doubt", """
        accept   31612345678 LONG
        claim
        answer   1 unanswered
        late     1 part_held 90 2
        state    ambiguous
        told     late True
        """, {}),
    # --- refused ---
    ("a part is refused for good: it failed, was handed off, and costs what it costs", """
        accept   31612345678 LONG
        claim
        answer   1 part_refused provider_error 2 1=A1
        state    failed
        is       execution handed_off
        is       reason provider_error
        is       provider_id north
        events   accepted claimed part_refused
        balance  99.85
        """, {"providers": ("north", "south")}),
    ("given back where the account pays for no failure", """
        accept   31612345678 LONG
        claim
        answer   1 part_refused provider_error 2 1=A1 3=A3
        state    failed
        balance  100
        """, {"account": {"refund_on": frozenset({"failed"})}}),
    ("receipts of the parts that were taken don't revive it", """
        accept   31612345678 LONG
        claim
        answer   1 part_refused provider_error 2 1=A1 3=A3
        receipt  A1 DELIVRD
        receipt  A3 DELIVRD
        parked   0
        state    failed
        balance  99.85
        """, {}),
    ("nor where one receipt speaks for a whole message", """
        accept   31612345678 LONG
        claim
        answer   1 part_refused provider_error 2 1=A1
        receipt  A1 DELIVRD
        state    failed
        """, {"provider": {"receipts_per": "message"}}),
    ("nor where nobody knows whether it does", """
        accept   31612345678 LONG
        claim
        answer   1 part_refused provider_error 3 1=A1 2=A2
        receipt  A1 DELIVRD
        tick     7200
        state    failed
        """, {"provider": {"receipts_per": "unknown"}}),
    ("a part's receipt that came before doesn't hide it", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 2 1=A1 3=A3
        receipt  A1 DELIVRD
        receipt  A3 DELIVRD
        answer   1 part_refused rate_limited_provider 2 1=A1 3=A3
        state    failed
        """, {}),
    ("progress of a part that came before neither", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 2 1=A1
        receipt  A1 ENROUTE
        answer   1 part_refused rate_limited_provider 2 1=A1
        state    failed
        """, {}),
    ("told late, of one in doubt", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        late     1 part_refused no_route 1 2=A2
        state    failed
        is       reason no_route
        balance  99.85
        """, {}),
    ("told late, of one that was to go out again: it doesn't", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        state    waiting
        late     1 part_refused no_route 1 2=A2
        state    failed
        claim    north 0
        """, {}),
    ("told late, while it goes out again: the second decides", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 part_refused no_route 1 2=A2
        state    sending
        told     late True
        answer   2 taken B1 B2 B3
        state    submitted
        receipt  B1 DELIVRD
        receipt  B2 DELIVRD
        receipt  B3 DELIVRD
        state    delivered
        """, {}),
    ("the resend lacks a part: the first may have arrived whole", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 part_refused no_route 3 1=B1 2=B2
        state    ambiguous
        late     1 taken A1 A2 A3
        state    submitted
        receipt  A1 DELIVRD
        receipt  A2 DELIVRD
        receipt  A3 DELIVRD
        state    delivered
        """, {}),
    ("the platform stops while a part is put off: known, and given back as a failure", """
        accept   31612345678 LONG
        claim
        answer   1 part_held 5 2 1=A1
        answer   1 part_stopped 2 58 1=A1
        state    failed
        is       execution handed_off
        is       reason stopped_halfway
        receipt  A1 DELIVRD
        state    failed
        balance  100
        """, {"account": {"refund_on": frozenset({"failed"})}}),
    ("a part is refused late, when the others were known: no doubt is left", """
        accept   31612345678 LONG
        claim
        answer   1 partly A1
        receipt  A1 DELIVRD
        late     1 part_refused invalid_number 2 1=A1 3=A3
        state    failed
        is       reason invalid_number
        balance  99.85
        """, {}),
    ("a part is put off late, and taken", """
        accept   31612345678 on_ambiguous=resend LONG
        claim
        answer   1 partly A1
        late     1 part_held 5 2 1=A1 3=A3
        state    ambiguous
        answer   1 taken A1 A2 A3
        state    submitted
        tick     3600
        claim    north 0
        """, {}),
    ("told twice", """
        accept   31612345678 LONG
        claim
        answer   1 part_refused no_route 3 1=A1
        answer   1 part_refused no_route 3 1=A1
        events   accepted claimed part_refused
        """, {}),
    ("told after the end: a fact, and no more", """
        accept   31612345678 LONG valid_for_s=60
        claim
        answer   1 unanswered
        tick     3700
        state    unknown
        late     1 part_refused no_route 3 1=A1
        state    unknown
        told     late True
        """, {"grace": 60}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_parts_that_are_put_off_or_refused(
    place: str, table: str, setting: dict[str, Any]
) -> None:
    await tell(place, table, setting)
    found = await asyncio.to_thread(lambda: list(run_checks(place, SetClock())))
    assert [each for each in found if each.count] == []


async def test_it_is_told_which_part_was_refused_and_what_was_taken(place: str) -> None:
    """Never as a provider that didn't answer."""
    clock = SetClock()
    north = provider("north", 1, cost=10_000)
    async with installed(
        place,
        providers=[north],
        routes=[route(1, ["north"])],
        accounts=[account(1)],
        defaults=Defaults(),
        started=False,
        clock=clock,
    ) as here:
        story = Story(here, clock)
        await story.play(f"accept 31612345678 {LONG}\nclaim\n"
                         "answer 1 part_refused provider_error 2 1=A1")  # fmt: skip
        trace, events = await story.journey()
        assert trace.message.provider_cost == 10_000  # of the one part that was taken
        said = [each.text for each in explain(trace, events)]
        assert said[2] == (
            "Part 2 of 3 was refused by north (ESME_RSUBMITFAIL): the provider had an error of"
            " its own. Part 1 was taken, so it is never sent again whole."
        )
        assert (
            said[3]
            == "So it failed: part 2 of 3 was refused: the provider had an error of its own."
        )
        cause = layers(trace.message, events, trace.accepted_at_us).outcome.cause
        assert cause is not None
        assert cause.text == "Part 2 of 3 was refused: the provider had an error of its own"


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        ("58", "was put off by north (ESME_RTHROTTLED) and isn't sent again", "was put off"),
        ("0", "never left for north", "never left"),
    ],
)
async def test_it_is_told_that_we_stopped_between_two_parts(
    place: str, status: str, said: str, why: str
) -> None:
    """It was told as "north never answered", which was not so."""
    clock = SetClock()
    async with installed(
        place,
        providers=[provider("north", 1)],
        routes=[route(1, ["north"])],
        accounts=[account(1)],
        defaults=Defaults(),
        started=False,
        clock=clock,
    ) as here:
        story = Story(here, clock)
        await story.play(f"accept 31612345678 {LONG}\nclaim\n"
                         f"answer 1 part_stopped 2 {status} 1=A1 3=A3")  # fmt: skip
        trace, events = await story.journey()
        texts = [each.text for each in explain(trace, events)]
        assert texts[2] == (
            f"Part 2 of 3 {said}: the platform is stopping."
            " Parts 1, 3 were taken, so it is never sent again whole."
        )
        assert texts[3] == (
            f"So it failed: part 2 of 3 {why}: we stopped before all of its parts were sent."
        )
