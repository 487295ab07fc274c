"""What a provider sends and nobody acts on: counted, kept, told at a pace, and an alarm."""

from __future__ import annotations

import logging

import pytest

from arrivals.flows.alarms import Alarms
from arrivals.flows.conditions import Condition
from arrivals.flows.ignored import (
    IGNORED_MIN,
    KEPT_PER_HOUR_MAX,
    MINUTES,
    SAID_EVERY_S,
    Inbound,
)
from arrivals.providers.api import Fate, Ignored
from tests.flows.installation import installed
from tests.flows.script import ScriptedConnection, SetClock
from tests.flows.test_dispatcher import NORTH, dispatching, until


def ignored(fate: Fate = Fate.UNMARKED, provider: str = "north", raw: str = "00") -> Ignored:
    return Ignored(provider_id=provider, fate=fate, command="deliver_sm", raw=raw)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def inbound(clock: SetClock) -> Inbound:
    return Inbound(clock)


def test_all_of_it_is_counted_by_provider_and_fate(inbound: Inbound):
    inbound.note([ignored(), ignored(), ignored(Fate.ALERT), ignored(provider="south")])
    assert inbound.totals == {
        ("north", "unmarked"): 2,
        ("north", "alert"): 1,
        ("south", "unmarked"): 1,
    }


def test_so_much_is_kept_an_hour_of_each_provider(inbound: Inbound, clock: SetClock):
    flood = [ignored() for _ in range(KEPT_PER_HOUR_MAX + 50)]
    assert len(inbound.note(flood)) == KEPT_PER_HOUR_MAX
    assert inbound.note([ignored()]) == []
    assert len(inbound.note([ignored(provider="south")])) == 1
    clock.tick(3_600)
    assert len(inbound.note(flood)) == KEPT_PER_HOUR_MAX


def test_without_octets_there_is_nothing_to_keep(inbound: Inbound):
    assert inbound.note([ignored(raw="")]) == []


def test_each_kind_is_told_once_a_minute_and_without_octets(
    inbound: Inbound, clock: SetClock, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        inbound.note([ignored(raw="c0ffee")] * 5 + [ignored(Fate.MALFORMED)])
        clock.tick(SAID_EVERY_S - 1)
        inbound.note([ignored()] * 7)
        clock.tick(1)
        inbound.note([ignored()])
    told = [each.getMessage() for each in caplog.records]
    assert [text.split()[2] for text in told] == ["1", "1", "12"]
    assert all("unmarked_receipts = true" in told[at] for at in (0, 2))
    assert "c0ffee" not in "".join(told)


def test_a_share_of_what_comes_is_an_alarm_with_its_commonest_kind(
    inbound: Inbound, clock: SetClock
):
    inbound.took("north", 100)
    inbound.note([ignored()] * (IGNORED_MIN - 1))
    assert inbound.mostly("north") is None
    inbound.note([ignored(Fate.MALFORMED)])
    assert inbound.mostly("north") is Fate.UNMARKED
    inbound.took("north", 100_000)
    assert inbound.mostly("north") is None, "the share has fallen"
    inbound.note([ignored(provider="south")] * IGNORED_MIN)
    assert inbound.mostly("south") is Fate.UNMARKED
    clock.tick(60 * MINUTES)
    assert inbound.mostly("north") is None, "that was long ago"


def test_what_costs_nothing_is_no_alarm(inbound: Inbound):
    inbound.note([ignored(Fate.ALERT), ignored(Fate.UNASKED)] * 100)
    assert inbound.mostly("north") is None


async def test_what_comes_to_nothing_is_kept_before_it_is_acknowledged(place: str):
    """Its octets stand beside those of receipts; what a handset wrote leaves none."""
    connection = ScriptedConnection("north")
    async with (
        installed(place, providers=[NORTH], started=False) as here,
        dispatching(here, connection),
    ):
        await until(lambda: connection.sink is not None)
        assert connection.sink is not None
        about = {"provider_id": "north", "fate": Fate.UNMARKED, "command": "deliver_sm"}
        connection.sink.ignored([Ignored(**about, raw="c0ffee")], ["a"])  # type: ignore[arg-type]
        await until(lambda: connection.acknowledged == ["a"])
        assert await here.rows("SELECT provider_id, raw FROM raw_receipts") == [
            ("north", "c0ffee")
        ]
        connection.sink.ignored([Ignored(**about)], ["b"])  # type: ignore[arg-type]
        await until(lambda: connection.acknowledged == ["a", "b"])
        assert await here.rows("SELECT count(*) FROM raw_receipts") == [(1,)]
        assert here.platform.inbound.totals == {("north", "unmarked"): 2}


async def test_a_share_that_comes_to_nothing_is_an_alarm(place: str):
    clock = SetClock()
    async with installed(place, providers=[NORTH], started=False, clock=clock) as here:
        alarms = Alarms(here.platform)
        wasted = Ignored(provider_id="north", fate=Fate.MALFORMED, command="deliver_sm")
        here.platform.conditions.note("north", Condition.AWAY, clock.monotonic(), there=False)
        here.platform.inbound.note([wasted] * 20)
        for _ in range(2):
            await alarms.look()
        [raised] = here.platform.alarms
        assert raised.trouble.words == (
            "provider north sends much that comes to nothing: malformed"
        )
        # Whoever has only just begun to look can't tell that it's over.
        here.platform.inbound = Inbound(clock)
        for _ in range(3):
            await alarms.look()
        assert len(here.platform.alarms) == 1
        clock.tick(60 * MINUTES)
        for _ in range(3):
            await alarms.look()
        assert not here.platform.alarms
