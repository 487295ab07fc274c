"""What ails a provider: who is spared it, and who is told.

The kinds of report behind them: a provider that binds and never answers took a whole queue and
left the healthy one idle, without an alarm; one that is slow held back what another could have
taken; one that takes no optional parameters refused every message, and senders were blamed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from arrivals.core.catalogue import Strategy
from arrivals.core.selection import Obstacle
from arrivals.flows import dispatch
from arrivals.flows.alarms import Alarms
from arrivals.flows.answer import answer_step
from arrivals.flows.claim import ClaimRequest, claim_step
from arrivals.flows.conditions import ALL_OF_S, FEW, IN_A_ROW, Condition, Conditions
from arrivals.flows.sweep import Sweeper, sweep_step
from arrivals.providers.api import (
    Answer,
    NotBound,
    NotSent,
    Refused,
    Result,
    Submission,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.telemetry import Telemetry
from tests.flows.installation import Installation, installed, own_bind, provider, route
from tests.flows.script import ScriptedConnection, SetClock, answer
from tests.flows.story import Story
from tests.flows.test_dispatcher import dispatching, taken, until

NORTH, SOUTH = provider("north", 1), provider("south", 1)
NOW = 1_000.0


@pytest.fixture
async def here(place: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    monkeypatch.setattr(dispatch, "IDLE_LOOK_S", 0.01)
    routes = [route(1, ["north", "south"], throttle_failover_s=5), route(2, ["north", "south"])]
    async with installed(
        place, providers=[NORTH, SOUTH], routes=routes, started=False
    ) as installation:
        yield installation


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
    assert list(here.platform.alarms) == [
        "provider north is broken: it takes messages and never answers"
    ]
    conditions.note("north", Condition.BROKEN, now(), there=False)
    await alarms.look()
    await alarms.look()
    assert list(here.platform.alarms) == []


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
    for held_s, said in ((9.0, ()), (11.0, ("provider north is slowing us",)), (0.0, ())):
        here.platform.conditions.slowed("north", held_s, now())
        await alarms.look()
        await alarms.look()
        assert here.platform.alarms == said


async def test_a_provider_that_never_knows_of_our_bind_is_an_alarm(here: Installation) -> None:
    """Each bind is taken and each message told that there is none: nothing is wrong to see."""
    alarms, clock = Alarms(here.platform), here.platform.clock
    conditions, began = here.platform.conditions, clock.monotonic() - 70
    unsent, unbound = NotSent("the connection was lost"), NotBound(0x04)
    conditions.heard("north", [told(1, unbound), told(2, Unanswered("lost"))], began)
    conditions.heard("north", [told(2, unsent)], began + 20)
    assert conditions.unbound(began + 59, 60.0) == []
    conditions.heard("north", [told(1, unbound)], began + 50)
    await alarms.look()
    await alarms.look()
    assert here.platform.alarms == ("provider north says that we aren't bound",)
    assert conditions.unbound(began + 120, 60.0) == []  # nobody asks it any more
    conditions.heard("north", [told(1, unbound), told(3, Taken(()))], began + 70)
    await alarms.look()
    await alarms.look()
    assert list(here.platform.alarms) == []


def test_a_queued_message_says_what_its_provider_does() -> None:
    conditions = Conditions()
    assert conditions.words("north") is None
    conditions.slowed("north", 1.0, NOW)
    assert conditions.words("north") == "is slowing us"
    conditions.note("north", Condition.BROKEN, NOW, there=True)
    assert conditions.words("north") == (
        "takes messages and never answers, so they go out one at a time"
    )


# --- our way of writing ---------------------------------------------------------------


def refusals(count: int, status: int = 0xC3, *, first: int = 0) -> list[Answer]:
    refused = Refused(status, "provider_dialect", retryable=False, elsewhere=True)
    return [told(first + n, refused) for n in range(count)]


def told(key: int, result: Result) -> Answer:
    return answer(sent(key), result, "north")


def sent(key: int, msisdn: str = "") -> Submission:
    return Submission(
        key=key,
        attempt=1,
        epoch=1,
        sender="ARRIVALS",
        msisdn=msisdn or f"3161{key:07d}",
        text="hello",
        segments=1,
        reference=1,
        expires_at_us=0,
    )


def complaint(conditions: Conditions, now: float = NOW) -> int | None:
    form = conditions.form.get("north")
    return form.complaint(now) if form else None


def test_refusals_of_all_messages_for_their_form_are_the_settings() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(IN_A_ROW - 1), NOW)
    assert complaint(conditions) is None
    conditions.heard("north", refusals(1, first=50), NOW)
    assert complaint(conditions) == 0xC3


def test_a_message_that_is_taken_between_them_shows_that_they_aren_t() -> None:
    conditions = Conditions()
    conditions.heard("north", [*refusals(IN_A_ROW), told(99, Taken(()))], NOW)
    assert complaint(conditions) is None
    conditions.heard("north", refusals(IN_A_ROW, first=100), NOW)
    assert complaint(conditions) == 0xC3


def test_a_few_are_enough_where_they_are_all_of_a_minute_s() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(FEW), NOW)
    assert complaint(conditions, NOW + ALL_OF_S - 1) is None
    assert complaint(conditions, NOW + ALL_OF_S) == 0xC3
    fewer = Conditions()
    fewer.heard("north", refusals(FEW - 1), NOW)
    assert complaint(fewer, NOW + 10 * ALL_OF_S) is None


def test_one_destination_that_is_refused_again_and_again_is_no_sign() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(1), NOW)
    for key in range(1, 100):
        conditions.claimed("north", [sent(key, "31699999999")])
        conditions.heard("north", refusals(1, first=key), NOW)
    assert complaint(conditions, NOW + ALL_OF_S) is None


def test_refusals_of_what_is_written_are_none() -> None:
    conditions = Conditions()
    for key in range(100):
        refused = Refused(0x0B, "invalid_number", retryable=False, elsewhere=False)
        conditions.heard("north", [told(key, refused)], NOW)
    assert conditions.form == {}


def test_what_is_kept_in_mind_is_bounded() -> None:
    conditions = Conditions()
    conditions.heard("north", refusals(1), NOW)
    conditions.claimed("north", [sent(key) for key in range(10_000)])
    conditions.claimed("north", [sent(key) for key in range(10_000)])
    assert len(conditions.form["north"]._goes_to) <= 2 * IN_A_ROW


@pytest.mark.parametrize(
    ("status", "where"),
    [
        (0xC1, "(ESME_ROPTPARNOTALLWD): look at `optional_parameters` in its dialect"),
        (0x62, "(ESME_RINVEXPIRY): look at `validity` in its dialect"),
        (0x48, "(ESME_RINVSRCTON): look at `senders` in its dialect"),
        (0x15, "(ESME_RINVSERTYP): look at `service_type` in its dialect"),
        (0x07, "(ESME_RINVREGDLVFLG): ask it how it wants them written"),
    ],
)
async def test_the_alarm_names_what_to_look_at(
    here: Installation, status: int, where: str
) -> None:
    alarms = Alarms(here.platform)
    now = here.platform.clock.monotonic()
    here.platform.conditions.heard("north", refusals(IN_A_ROW, status), now)
    await alarms.look()
    await alarms.look()
    assert here.platform.alarms == (
        f"provider north refuses every message for its form {where}",
    )


async def test_a_dispatcher_counts_them(here: Installation) -> None:
    """Each goes on to the next provider, and the sender learns nothing of it."""
    north, south = ScriptedConnection("north", room=40), ScriptedConnection("south", room=40)
    await here.send(*(f"316{n:08d}" for n in range(IN_A_ROW)))
    async with dispatching(here, north), dispatching(here, south):
        await taken(north, IN_A_ROW)
        assert north.sink is not None
        refused = Refused(0x62, "provider_dialect", retryable=False, elsewhere=True)
        north.sink.answered([answer(each, refused, "north") for each in north.taken])
        assert complaint(here.platform.conditions) == 0x62
        await taken(south, IN_A_ROW)


# --- figures --------------------------------------------------------------------------


def test_throttled_answers_are_counted_by_what_they_slow() -> None:
    conditions = Conditions()
    slow = [Throttled(0x58), Throttled(0x58, whole_bind=True), Throttled(0x14)]
    conditions.heard("north", [told(n, each) for n, each in enumerate(slow)], NOW)
    assert conditions.throttles == {("north", "message"): 2, ("north", "bind"): 1}
    telemetry = Telemetry()
    telemetry.throttles(conditions.throttles)
    telemetry.throttles(conditions.throttles)  # running totals: nothing is counted twice
    telemetry.condition("north", broken=True, held_s=2.5)
    shown = telemetry.exposition().decode()
    assert 'arrivals_provider_throttled_total{provider="north",scope="message"} 2.0' in shown
    assert 'arrivals_provider_throttled_total{provider="north",scope="bind"} 1.0' in shown
    assert 'arrivals_provider_broken{provider="north"} 1.0' in shown
    assert 'arrivals_provider_held_seconds{provider="north"} 2.5' in shown


# --- a few that are always throttled, among many --------------------------------------

A_TURN_S = 0.1
A_TURN = 10  # messages: 100 a second


async def turns(place: str, others: int, always: Sequence[str]) -> int:
    """Return how many turns it takes until all others are taken."""
    clock = SetClock()
    numbers = [f"3161{n:07d}" for n in range(others)]
    left = set(numbers)
    for n, each in enumerate(always):
        numbers.insert(n * 37, each)
    async with installed(place, providers=[NORTH], started=False, clock=clock) as here:
        platform, write = here.platform, here.store.write
        await here.send(*numbers)
        epoch = await own_bind(here.store, "north")
        claim = claim_step(lambda: platform.catalogue, platform.ranks)
        record = answer_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
        sweep = sweep_step(lambda: platform.catalogue, platform.ranks, platform.defaults)
        wish = ClaimRequest(provider_id="north", epoch=epoch, limit=A_TURN)
        count = 0
        while left:
            count += 1
            await write(sweep, 500)
            out = await write(claim, wish)
            await write(record, [answer(each, _full(each, always), "north") for each in out])
            left -= {each.msisdn for each in out}
            clock.tick(A_TURN_S)
        return count


def _full(sent: Submission, always: Sequence[str]) -> Result:
    if sent.msisdn in always:
        return Throttled(0x14)
    return Taken(((1, str(sent.key), str(sent.key)),))


@pytest.mark.parametrize(("others", "few"), [(800, 8), (1_000, 1)])
async def test_a_few_that_are_always_throttled_leave_the_others_their_pace(
    place: str, others: int, few: int
) -> None:
    """They wait by themselves, and come back one by one: nobody else waits for them."""
    full = [f"3169{n:07d}" for n in range(few)]
    assert others / A_TURN / await turns(place, others, full) >= 0.95


async def test_while_they_are_put_off_again_and_again_the_dispatcher_goes_on(
    place: str,
) -> None:
    full = [f"3169{n:07d}" for n in range(10)]
    connection = ScriptedConnection("north", room=10)
    async with installed(place, providers=[NORTH], started=False) as here:
        await here.send(*full, *(f"3161{n:07d}" for n in range(200)))
        sweeping = asyncio.create_task(Sweeper(here.platform).run())
        async with dispatching(here, connection):
            answered, done = 0, 0
            async with asyncio.timeout(20):
                while done < 200:
                    await taken(connection, answered + 1)
                    news = connection.taken[answered:]
                    answered += len(news)
                    done += sum(each.msisdn not in full for each in news)
                    assert connection.sink is not None
                    connection.sink.answered(
                        [answer(each, _full(each, full), "north") for each in news]
                    )
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        assert answered - done < 10 * 5
