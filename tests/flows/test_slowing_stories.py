"""Messages that a provider puts off: throttled, or told that we aren't bound.

The kinds of report behind them: a provider whose queue is full for an hour while another one is
idle; a balancer behind which the provider forgets our bind, so that every message used up its
retries; a gateway that refuses each message for a field that it doesn't know.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from arrivals.flows.answer import answer_step
from arrivals.flows.claim import ClaimRequest, claim_step
from arrivals.store.verifying import run_checks
from tests.flows.installation import account, installed, own_bind, provider, route
from tests.flows.script import SetClock, answer, result_of
from tests.flows.story import StoryRow, tell, told

TWO = ("north", "south")
WAITS_5 = {"providers": TWO, "route": {"throttle_failover_s": 5}}

STORIES: list[StoryRow] = [
    ("a code that is throttled for longer than its route waits goes to the next", """
        accept   31612345678
        claim
        answer   1 throttled
        is       provider_id north
        tick     6
        claim
        answer   2 throttled
        is       provider_id south
        says     failed_over
        told     cause 'the provider is slowing us'
        told     policy failover
        told     set_by route
        is       tries 0
        claim    north 0
        claim    south
        answer   3 taken S1
        receipt  S1 DELIVRD provider=south
        state    delivered
        """, WAITS_5),
    ("and not sooner", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     2
        claim
        answer   2 throttled
        is       provider_id north
        says     throttled
        """, WAITS_5),
    ("the last try before that isn't put off past it", """
        accept   31612345678
        claim
        answer   1 full
        tick     1
        claim
        answer   2 full
        tick     2
        claim
        answer   3 full
        tick     4
        claim
        answer   4 full
        tick     3.1
        claim
        answer   5 full
        is       provider_id south
        """, {"providers": TWO, "route": {"throttle_failover_s": 10}}),
    ("at once where the route waits for nothing", """
        accept   31612345678
        claim
        answer   1 slowed
        is       provider_id south
        told     whole_bind True
        """, {"providers": TWO, "route": {"throttle_failover_s": 0}}),
    ("what the provider says of its whole bind is kept", """
        accept   31612345678
        claim
        answer   1 slowed
        says     throttled
        told     whole_bind True
        """, {}),
    ("never where the route doesn't say how long it waits", """
        accept   31612345678 valid_for_s=600
        claim
        answer   1 throttled
        tick     120
        claim
        answer   2 throttled
        tick     120
        claim
        answer   3 throttled
        is       provider_id north
        """, {"providers": TWO}),
    ("nor where it keeps to its provider", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     60
        claim
        answer   2 throttled
        is       provider_id north
        """, {"providers": TWO, "route": {"throttle_failover_s": 5, "failover": False}}),
    ("nor where there's no other", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     60
        claim
        answer   2 throttled
        is       provider_id north
        state    waiting
        """, {"route": {"throttle_failover_s": 5}}),
    ("the next one has a patience of its own", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     6
        claim
        answer   2 throttled
        claim    south
        answer   3 throttled
        says     throttled
        is       provider_id south
        tick     6
        claim    south
        answer   4 throttled
        is       provider_id east
        """, {"providers": ("north", "south", "east"), "route": {"throttle_failover_s": 5}}),
    ("a resend that moves on leaves the first hand-off in mind", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 throttled
        tick     6
        claim
        answer   3 throttled
        is       provider_id south
        claim    south
        late     1 taken A1
        state    submitted
        receipt  A1 DELIVRD
        state    delivered
        """, WAITS_5),
    ("a late word of an attempt that isn't the newest moves nothing on", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        late     1 throttled
        state    sending
        is       provider_id north
        """, {"providers": TWO, "route": {"throttle_failover_s": 0}}),
    # --- not bound ---
    ("told that we aren't bound: soon again, and nothing is used up", """
        accept   31612345678
        claim
        answer   1 not_bound
        state    waiting
        is       reason not_bound
        is       execution waiting
        told     status 4
        tick     0.5
        claim
        answer   2 not_bound
        tick     1
        claim
        answer   3 not_bound
        is       tries 0
        tick     2
        claim
        answer   4 taken A4
        receipt  A4 DELIVRD
        state    delivered
        balance  99.95
        """, {}),
    ("soon again, however often it was throttled before", """
        accept   31612345678
        claim
        answer   1 throttled
        tick     60
        claim
        answer   2 throttled
        tick     60
        claim
        answer   3 throttled
        tick     60
        claim
        answer   4 not_bound
        tick     0.5
        claim
        """, {}),
    ("told by an owner that is gone: a fact all the same", """
        accept   31612345678
        claim
        take     north
        state    ambiguous
        late     1 not_bound
        state    waiting
        is       execution waiting
        tick     1
        claim
        answer   2 taken A2
        state    submitted
        """, {}),
    ("told twice", """
        accept   31612345678
        claim
        answer   1 not_bound
        answer   1 not_bound
        events   accepted claimed not_bound
        """, {}),
    ("told late of a resend's first hand-off: nothing of it is in doubt any more", """
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        late     1 not_bound
        state    waiting
        is       reach 0
        claim
        answer   2 refused invalid_number
        state    failed
        balance  100
        """, {}),
    ("after the end: what was charged for nothing comes back", """
        accept   31612345678 valid_for_s=60
        claim
        answer   1 unanswered
        tick     3700
        state    unknown
        balance  99.95
        late     1 not_bound
        balance  100
        """, {"grace": 60}),
    ("a provider that never knows of our bind is as good as away", """
        accept   31612345678
        claim
        answer   1 not_bound
        tick     29
        claim
        answer   2 not_bound
        is       provider_id north
        tick     2
        claim
        answer   3 not_bound
        is       provider_id south
        told     cause "the provider says that we aren't bound"
        is       tries 0
        """, {"providers": TWO}),
    ("but is waited for where the route keeps to it, until it's of no use", """
        accept   31612345678 valid_for_s=90
        claim
        answer   1 not_bound
        tick     40
        claim
        answer   2 not_bound
        is       provider_id north
        tick     60
        state    expired
        balance  100
        """, {"providers": TWO, "route": {"failover": False}}),
    # --- our way of writing ---
    ("a code that blames our way of writing is tried elsewhere", """
        accept   31612345678
        claim
        answer   1 refused_form
        is       provider_id south
        claim    south
        answer   2 taken S1
        receipt  S1 DELIVRD provider=south
        state    delivered
        """, {"providers": TWO}),
    ("where nobody else is there it fails, for no fault of the sender's, and costs nothing", """
        accept   31612345678
        claim
        answer   1 refused_form
        state    failed
        is       reason provider_dialect
        balance  100
        """, {}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "setting"), told(STORIES))
async def test_messages_that_a_provider_puts_off(
    place: str, table: str, setting: dict[str, Any]
) -> None:
    await tell(place, table, setting)
    found = await asyncio.to_thread(lambda: list(run_checks(place, SetClock())))
    assert [each for each in found if each.count] == []


@pytest.mark.parametrize("troubled", [False, True])
async def test_nothing_moves_on_to_a_provider_in_trouble(place: str, troubled: bool) -> None:
    """Better to wait where it's only slow than to go where nothing is answered."""
    clock = SetClock()
    async with installed(
        place,
        providers=[provider(name, 1) for name in TWO],
        routes=[route(1, TWO, throttle_failover_s=0)],
        accounts=[account(1)],
        started=False,
        clock=clock,
    ) as here:
        platform = here.platform
        accepted = await here.send("31612345678")
        wish = ClaimRequest(
            provider_id="north", epoch=await own_bind(here.store, "north"), limit=1
        )
        claim = claim_step(lambda: platform.catalogue, platform.ranks)
        [sent] = await here.store.write(claim, wish)
        avoid = {"south"} if troubled else set()
        record = answer_step(
            lambda: platform.catalogue, platform.ranks, platform.defaults, lambda: avoid
        )
        await here.store.write(record, [answer(sent, result_of("throttled", ()), "north")])
        key = accepted.order.order_id << 17
        newest = (await here.kinds(key))[-1]
        assert newest == ("throttled" if troubled else "failed_over")
