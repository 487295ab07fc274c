"""What ails a provider: who is spared it, and who is told.

The kinds of report behind them: a provider that binds and never answers took a whole queue and
left the healthy one idle, without an alarm; one that is slow held back what another could have
taken; one that takes no optional parameters refused every message, and senders were blamed.
"""

from __future__ import annotations

import asyncio

import pytest

from arrivals.core.catalogue import Strategy
from arrivals.core.reasons import status_name
from arrivals.core.selection import Obstacle
from arrivals.flows.ailing import AWAY_MAX_S
from arrivals.flows.alarms import Alarms
from arrivals.flows.conditions import IN_A_ROW, Condition, Conditions
from arrivals.providers.api import (
    NotBound,
    NotSent,
    Refused,
    Taken,
    Unanswered,
)
from tests.flows.installation import Installation, installed, provider, route, said
from tests.flows.script import ScriptedConnection, SetClock, told
from tests.flows.story import Story
from tests.flows.test_dispatcher import dispatching, taken, until

NORTH, SOUTH = provider("north", 1), provider("south", 1)
NOW = 1_000.0


# --- a broken provider ----------------------------------------------------------------


async def test_a_broken_provider_loses_its_queue_at_once_but_for_what_tries_it(
    here: Installation,
) -> None:
    broken, whole = ScriptedConnection("north", room=1), ScriptedConnection("south", room=900)
    broken.is_broken = True
    accepted = await here.send(*(f"316{n:08d}" for n in range(600)))
    async with dispatching(here, broken), dispatching(here, whole):
        await taken(broken, 1)
        broken.set(room=0)  # until its next pause is over
        await taken(whole, 600 - len(broken.taken))
        assert here.platform.conditions.has("north", Condition.BROKEN)
        moved = {each.key for each in whole.taken}
        assert len(broken.taken) < 20
        assert await here.kinds(min(moved)) == ["accepted", "diverted", "claimed"]
        found = await here.rows(
            "SELECT body FROM events WHERE kind = 'diverted' AND message_id = ?", min(moved)
        )
        assert "the provider takes messages and never answers" in str(found)
        broken.is_broken = False
        broken.set(room=10)
        await until(lambda: not here.platform.conditions.has("north", Condition.BROKEN))
    assert accepted.order.count == 600


async def test_nothing_moves_from_one_broken_provider_to_another(here: Installation) -> None:
    first, second = ScriptedConnection("north", room=0), ScriptedConnection("south", room=0)
    first.is_broken = second.is_broken = True
    async with dispatching(here, first), dispatching(here, second):
        conditions = here.platform.conditions
        await until(lambda: conditions.unusable == {"north", "south"})
        await asyncio.sleep(0.05)  # what one asked for before the other was known is done
        accepted = await here.send("31612345678")
        await asyncio.sleep(0.1)
        assert await here.kinds(accepted.order.order_id << 17) == ["accepted"]


async def test_it_is_an_alarm_while_it_lasts(here: Installation) -> None:
    alarms = Alarms(here.platform)
    conditions, now = here.platform.conditions, here.platform.clock.monotonic
    conditions.note("north", Condition.BROKEN, now() - 1, there=True)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == (
        "provider north is broken: it takes messages and never answers",
    )
    conditions.note("north", Condition.BROKEN, now(), there=False)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ()


async def test_orders_that_may_choose_leave_it_out_and_try_it_now_and_then(place: str) -> None:
    """Where nothing went there any more, nobody would see that it is whole again."""
    clock = SetClock()
    routes = [route(1, ["north", "south"], strategy=Strategy.OUTCOME, throttle_failover_s=5)]
    async with installed(
        place, providers=[NORTH, SOUTH], routes=routes, started=False, clock=clock
    ) as here:
        story, conditions = Story(here, clock), here.platform.conditions

        async def why_not() -> str | None:
            await story._accept("31612345678")
            assert story.order is not None
            rows = await here.rows(
                "SELECT decision FROM orders WHERE id = ?", story.order.order.order_id
            )
            words = [each.value for each in Obstacle if f'"{each.value}"' in str(rows)]
            return words[0] if words else None

        clock.tick(100)
        conditions.note("north", Condition.BROKEN, clock.monotonic(), there=True)
        assert [await why_not(), await why_not()] == [None, Obstacle.BROKEN]
        clock.tick(31)
        assert [await why_not(), await why_not()] == [None, Obstacle.BROKEN]
        conditions.note("north", Condition.BROKEN, clock.monotonic(), there=False)
        assert await why_not() is None
        conditions.slowed("north", 4.0, clock.monotonic())
        assert await why_not() is None
        conditions.slowed("north", 6.0, clock.monotonic())
        assert await why_not() == Obstacle.SLOWING
        conditions.over("north")
        assert await why_not() is None


# --- a provider that slows us ---------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1], ids=["held", "slowed"])
async def test_what_a_slow_bind_holds_back_moves_on_where_its_route_waits_no_longer(
    here: Installation, room: int
) -> None:
    slow, quick = ScriptedConnection("north", room=room), ScriptedConnection("south", room=900)
    slow.held_for_s = 6.0
    patient = await here.send(*(f"3161{n:07d}" for n in range(5)), route_id=2)
    moving = await here.send(*(f"3162{n:07d}" for n in range(50)), route_id=1)
    async with dispatching(here, slow), dispatching(here, quick):
        await until(lambda: len(slow.taken) + len(quick.taken) >= 50)
        await asyncio.sleep(0.05)
        slow.set(room=0)
    assert {each.key >> 17 for each in quick.taken} == {moving.order.order_id}
    assert patient.order.order_id not in {each.key >> 17 for each in quick.taken}
    one = quick.taken[0].key
    found = await here.rows(
        "SELECT body FROM events WHERE kind = 'diverted' AND message_id = ?", one
    )
    assert "the provider is slowing us" in str(found)
    assert "6000000" in str(found)


async def test_nothing_moves_on_to_one_that_is_slow_itself(here: Installation) -> None:
    slow, other = ScriptedConnection("north", room=0), ScriptedConnection("south", room=0)
    slow.held_for_s, other.held_for_s = 60.0, 2.0
    async with dispatching(here, other), dispatching(here, slow):
        await until(lambda: here.platform.conditions.has("south", Condition.SLOWING))
        accepted = await here.send("31612345678")
        await asyncio.sleep(0.1)
        assert await here.kinds(accepted.order.order_id << 17) == ["accepted"]
        other.held_for_s = 0.0
        other.set(room=10)
        await taken(other, 1)


async def test_a_claim_tells_for_how_long_its_provider_held_it_back(here: Installation) -> None:
    slow = ScriptedConnection("north", room=10)
    slow.held_for_s = 3.0
    accepted = await here.send("31612345678", route_id=2)
    async with dispatching(here, slow):
        await taken(slow, 1)
    key = accepted.order.order_id << 17
    found = await here.rows(
        "SELECT body FROM events WHERE kind = 'claimed' AND message_id = ?", key
    )
    assert "3000000" in str(found)


async def test_slowing_us_for_a_while_is_an_alarm_and_a_moment_isn_t(
    here: Installation,
) -> None:
    alarms, now = Alarms(here.platform), here.platform.clock.monotonic
    for held_s, words in ((9.0, ()), (11.0, ("provider north is slowing us",)), (0.0, ())):
        here.platform.conditions.slowed("north", held_s, now())
        await alarms.look()
        await alarms.look()
        assert said(here.platform) == words


async def test_a_provider_that_never_knows_of_our_bind_is_an_alarm(here: Installation) -> None:
    """Each bind is taken and each message told that there is none: nothing is wrong to see."""
    alarms, clock = Alarms(here.platform), here.platform.clock
    conditions, began = here.platform.conditions, clock.monotonic() - 70
    unsent, unbound = NotSent("the connection was lost"), NotBound(0x04)
    conditions.heard("north", [told(1, unbound), told(2, Unanswered("lost"))], began)
    conditions.heard("north", [told(2, unsent)], began + 20)
    assert conditions.lasted_s("north", Condition.UNBOUND, began + 59) == 59
    conditions.heard("north", [told(1, unbound)], began + 50)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ("provider north says that we aren't bound",)
    assert not conditions.is_asked("north", began + 120)
    conditions.heard("north", [told(1, unbound), told(3, Taken(()))], began + 70)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ()


def test_a_queued_message_says_what_its_provider_does() -> None:
    conditions = Conditions()
    assert conditions.words("north") is None
    conditions.slowed("north", 1.0, NOW)
    assert conditions.words("north") == "is slowing us"
    conditions.note("north", Condition.BROKEN, NOW, there=True)
    assert conditions.words("north") == (
        "takes messages and never answers, so they go out one at a time"
    )


async def test_a_provider_that_refuses_the_bind_is_away_and_why_is_said(
    here: Installation,
) -> None:
    """A password that was changed looked like an outage of the network."""
    alarms, now = Alarms(here.platform), here.platform.clock.monotonic()
    here.platform.conditions.note("north", Condition.AWAY, now - AWAY_MAX_S - 1, there=True)
    why = "the bind was refused: ESME_RINVPASWD"
    here.platform.conditions.bound("north", "", why, now)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == (f"provider north is away ({why})",)


async def test_a_bind_for_receipts_that_is_refused_for_good_is_an_alarm(
    here: Installation,
) -> None:
    """Messages went out, no receipt could ever come, and everything looked well."""
    alarms, now = Alarms(here.platform), here.platform.clock.monotonic()
    conditions, why = here.platform.conditions, "the bind was refused: ESME_RBINDFAIL"
    conditions.bound("north", "a bind for receipts", why, now)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ()  # it may be a moment's
    conditions.bound("north", "", "", now)
    conditions.bound("north", "a bind for receipts", why, now - AWAY_MAX_S - 1)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == (f"provider north lacks a bind for receipts ({why})",)
    assert "north" not in conditions.troubled  # messages go out all the same
    conditions.bound("north", "", "", now)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ()


async def test_who_never_knows_of_our_bind_is_not_called_mute(here: Installation) -> None:
    alarms, now = Alarms(here.platform), here.platform.clock.monotonic()
    conditions = here.platform.conditions
    conditions.note("north", Condition.BROKEN, now - 1, there=True)
    conditions.heard("north", [told(1, NotBound(4))], now)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ()
    assert conditions.words("north") == "says that we aren't bound"


@pytest.mark.parametrize(
    ("status", "reason"),
    [(0x08, "provider_error"), (0x0A, "sender_id_rejected"), (0x45, "provider_error"),
     (0x4FF, "unclassified")],
)  # fmt: skip
async def test_a_provider_that_takes_nothing_at_all_is_an_alarm(
    here: Installation, status: int, reason: str
) -> None:
    """Every submit was refused for an hour, and nothing but the customers noticed."""
    alarms, now = Alarms(here.platform), here.platform.clock.monotonic()
    refused = Refused(status, reason, retryable=True, elsewhere=False)
    here.platform.conditions.heard("north", [told(n, refused) for n in range(IN_A_ROW)], now)
    await alarms.look()
    await alarms.look()
    named = status_name(status)
    assert said(here.platform) == (f"provider north refuses every message ({named})",)
    here.platform.conditions.heard("north", [told(99, Taken(()))], now)
    await alarms.look()
    await alarms.look()
    assert said(here.platform) == ()
