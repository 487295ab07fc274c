"""One list of alarms: each begun once, outlasting who looks, and ended when it is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from arrivals.clock import SystemChance
from arrivals.flows.ailing import AWAY_MAX_S, SILENT_MAX_S, SILENT_MIN
from arrivals.flows.alarms import Alarms, in_full, waiting
from arrivals.flows.conditions import UNTOLD_S, Condition, Conditions
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.flows.sweep import Sweeper
from arrivals.outcome.episodes import QUIET_US, Episode, TroubleKind
from arrivals.providers.api import Refused, Taken, Throttled
from arrivals.store.alarms import AlarmCursor
from arrivals.store.traces import Backlog, LaneHead
from tests.flows.installation import Installation, installed, provider, said
from tests.flows.script import SetClock, told
from tests.flows.test_dispatcher import until

NORTH = provider("north", 1)
AWAY = "provider north is away"
SILENT = "provider north takes messages and sends no receipts"
BROKEN = "provider north is broken: it takes messages and never answers"


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    clock = SetClock()
    async with installed(place, providers=[NORTH], started=False, clock=clock) as found:
        yield found


def clock_of(here: Installation) -> SetClock:
    assert isinstance(here.platform.clock, SetClock)
    return here.platform.clock


async def another(here: Installation) -> Platform:
    """Return another process on the same database, which knows nothing yet."""
    chance, clock = SystemChance(), here.platform.clock
    platform, _ = await open_platform(here.store, clock, chance, Defaults())
    return platform


async def looked(alarms: Alarms, times: int = 2) -> None:
    for _ in range(times):
        await alarms.look()


async def listed(here: Installation) -> list[Episode]:
    found, _ = await here.store.read(lambda reader: reader.alarm_page(AlarmCursor(), 10))
    return list(found)


def away(platform: Platform, *, there: bool = True) -> None:
    now = platform.clock.monotonic()
    platform.conditions.note("north", Condition.AWAY, now, there=there)


# --- what waits -----------------------------------------------------------------------

NOTHING: dict[str, Any] = {"ready": 0, "overdue": 0, "parked": 0, "parked_oldest_us": None}
QUIET = Backlog(by_state={}, **NOTHING, parked_of=[], lane_heads=[])


def test_what_gives_cause_for_an_alarm():
    now_us = 10**15
    old, young = now_us - 61_000_000, now_us - 59_000_000
    assert waiting(QUIET, now_us) == []
    heads = [
        LaneHead("north", 0, old, 7),
        LaneHead("north", 2, young, 1),
        LaneHead("south", 1, young, 1),
    ]
    [alarm] = waiting(replace(QUIET, lane_heads=heads), now_us)
    assert alarm.words == "messages wait long in the otp lane of provider north"
    assert alarm.cost.startswith("7 messages wait there.")
    assert (alarm.began_us, alarm.messages_at_risk) == (old, 7)
    parked = replace(QUIET, overdue=1, parked=2, parked_of=["north"])
    overdue, unmatched = waiting(parked, now_us)
    assert overdue.words == "messages are past their outcome deadline"
    assert unmatched.words == "receipts of provider north match no message"


async def test_an_alarm_is_said_once_and_doesn_t_flap(
    here: Installation, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, "arrivals.alarms")
    alarms = Alarms(here.platform)
    conditions, now = here.platform.conditions, here.platform.clock.monotonic()
    seen = []
    for present in ("", "a", "", "a", "a", "a", "", "a", "", "", ""):
        conditions.slowed("north", 99.0 if present else 0.0, now)
        await alarms.look()
        seen.append(bool(here.platform.alarms))
    assert seen == [False, False, False, False, True, True, True, True, True, False, False]
    began, over = [each.getMessage() for each in caplog.records]
    assert began.startswith(
        "alarm 1: provider north is slowing us. No message waits for it now."
    )
    assert over == "alarm 1 is over: provider north is slowing us"


async def test_the_sweeper_looks_for_them(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """From the real backlog: a message that waits for a provider which is away."""
    monkeypatch.setattr("arrivals.flows.sweep.ALARM_EVERY_S", 0.0)
    monkeypatch.setattr("arrivals.flows.sweep.SWEEP_EVERY_S", 0.01)
    clock = SetClock()
    async with installed(place, providers=[NORTH], started=False, clock=clock) as here:
        await here.send("31612345678")
        here.platform.conditions.note("north", Condition.AWAY, clock.monotonic(), there=True)
        clock.tick(100)
        task = asyncio.create_task(Sweeper(here.platform).run())
        await until(lambda: len(here.platform.alarms) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert said(here.platform) == (
            "messages wait long in the alert lane of provider north",
            "provider north is away",
        )


# --- whoever looks --------------------------------------------------------------------


async def test_an_alarm_goes_on_in_the_process_that_comes_next(here: Installation) -> None:
    """With its own clock: the next one has seen the provider away for a moment only."""
    clock = clock_of(here)
    away(here.platform)
    clock.tick(AWAY_MAX_S + 10)
    await looked(Alarms(here.platform))
    [raised] = await listed(here)
    assert raised.trouble.kind is TroubleKind.PROVIDER_AWAY
    assert raised.began_us == clock.us - 70_000_000
    clock.tick(600)  # nobody serves
    later = await another(here)
    alarms = Alarms(later)
    await looked(alarms)
    assert said(later) == (AWAY,), "nobody has said yet that it is over"
    away(later)
    clock.tick(5)
    await looked(alarms)
    [standing] = await listed(here)
    assert standing == msgspec.structs.replace(raised, seen_us=standing.seen_us)
    assert standing.seen_us >= clock.us
    away(later, there=False)
    clock.tick(10)
    await alarms.look()
    assert said(later) == (AWAY,), "it may be gone again at the next look"
    await alarms.look()
    [over] = await listed(here)
    assert over.ended_us == standing.seen_us
    assert said(later) == ()


async def test_several_processes_raise_and_log_it_once(
    here: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """Two that sweep see the same queue, and each would say so."""
    other = await another(here)
    await here.send("31612345678")
    clock_of(here).tick(100)
    alarms = Alarms(here.platform), Alarms(other)
    for _ in range(3):
        await asyncio.gather(*(each.look() for each in alarms))
    assert said(here.platform) == said(other)
    [raised] = await listed(here)
    assert raised.trouble.kind is TroubleKind.MESSAGES_WAIT
    assert [each.split(":")[0] for each in caplog.messages] == [f"alarm {raised.alarm_id}"]
    await here.damage("UPDATE messages SET rank = NULL")
    for _ in range(3):
        await asyncio.gather(*(each.look() for each in alarms))
    [over] = await listed(here)
    assert over.ended_us is not None
    assert [each.split(":")[0] for each in caplog.messages[1:]] == [
        f"alarm {raised.alarm_id} is over"
    ]


async def test_what_nobody_looks_after_any_more_ends(here: Installation) -> None:
    """A provider that was taken out of the settings while it was away."""
    clock = clock_of(here)
    away(here.platform)
    clock.tick(AWAY_MAX_S + 1)
    alarms = Alarms(here.platform)
    await looked(alarms)
    here.platform.conditions.forget("north")
    clock.tick(QUIET_US / 1e6 - 1)
    await looked(alarms)
    assert said(here.platform) == (AWAY,)
    clock.tick(1)
    await looked(alarms)
    assert said(here.platform) == ()


async def test_a_new_process_ends_only_what_it_knows_to_be_over(here: Installation) -> None:
    """It binds, and has answered nothing yet: it may be as broken as it was."""
    clock = clock_of(here)
    conditions = here.platform.conditions
    conditions.note("north", Condition.BROKEN, clock.monotonic(), there=True)
    refused = Refused(0x62, "provider_dialect", retryable=False, elsewhere=True)
    conditions.heard("north", [told(n, refused) for n in range(20)], clock.monotonic())
    await looked(Alarms(here.platform))
    form = "provider north refuses every message for its form (ESME_RINVEXPIRY)"
    assert said(here.platform) == (BROKEN, form)
    later = await another(here)
    alarms = Alarms(later)
    away(later, there=False)
    await looked(alarms, 3)
    assert said(later) == (BROKEN, form)
    later.conditions.heard("north", [told(1, refused)], clock.monotonic())
    await looked(alarms, 3)
    assert said(later) == (form,), "it answers, and one refusal isn't the end of the other"
    later.conditions.heard("north", [told(2, Taken(()))], clock.monotonic())
    await looked(alarms, 3)
    assert said(later) == ()


async def test_of_a_provider_that_nothing_goes_to_an_alarm_ends_after_an_hour(
    here: Installation,
) -> None:
    clock = clock_of(here)
    now = clock.monotonic()
    here.platform.conditions.note("north", Condition.BROKEN, now, there=True)
    await looked(Alarms(here.platform))
    later = await another(here)
    alarms = Alarms(later)
    away(later, there=False)
    for _ in range(int(UNTOLD_S / 60) - 1):
        clock.tick(60)
        await alarms.look()
    assert said(later) == (BROKEN,)
    clock.tick(61)
    await looked(alarms)
    assert said(later) == ()


# --- receipts that stop ---------------------------------------------------------------


def took(here: Installation, count: int) -> None:
    answers = [told(n, Taken(())) for n in range(count)]
    here.platform.conditions.heard("north", answers, clock_of(here).monotonic())


async def test_a_provider_that_takes_and_never_reports_is_an_alarm(here: Installation) -> None:
    clock, alarms = clock_of(here), Alarms(here.platform)
    away(here.platform, there=False)
    took(here, SILENT_MIN - 1)
    clock.tick(SILENT_MAX_S)
    await looked(alarms)
    assert said(here.platform) == (), "so few may all be slow"
    took(here, 1)
    await looked(alarms)
    assert said(here.platform) == (SILENT,)
    [raised] = await listed(here)
    assert raised.trouble.messages_at_risk == SILENT_MIN
    assert "20 messages were taken. None of those has an outcome" in in_full(raised)
    # A reload dials anew, and another process knows nothing: neither is a receipt.
    here.platform.conditions.over("north")
    away(here.platform, there=False)
    await looked(alarms, 3)
    later = await another(here)
    away(later, there=False)
    await looked(Alarms(later), 3)
    assert said(later) == (SILENT,)
    here.platform.conditions.reported("north", clock.monotonic())
    await looked(alarms)
    assert said(here.platform) == ()


async def test_while_it_is_away_or_lacks_its_receiver_that_is_what_is_said(
    here: Installation,
) -> None:
    clock, alarms, conditions = clock_of(here), Alarms(here.platform), here.platform.conditions
    away(here.platform, there=False)
    took(here, SILENT_MIN)
    away(here.platform)
    clock.tick(SILENT_MAX_S)
    await looked(alarms)
    assert said(here.platform) == (AWAY,)
    away(here.platform, there=False)
    clock.tick(SILENT_MAX_S - 1)
    await looked(alarms)
    assert said(here.platform) == (), "what it kept for us may still come"
    conditions.bound("north", "a bind for receipts", "", clock.monotonic() - AWAY_MAX_S - 1)
    clock.tick(1)
    await looked(alarms)
    assert said(here.platform) == ("provider north lacks a bind for receipts",)


# --- the clock of a condition ---------------------------------------------------------


def test_a_clock_goes_on_with_whoever_owns_the_bind_next() -> None:
    conditions = Conditions()
    conditions.elsewhere("north", 10.0, up=False)
    conditions.elsewhere("north", 20.0, up=False)
    assert not conditions.has("north", Condition.AWAY)
    assert conditions.note("north", Condition.AWAY, 50.0, there=True) == 40.0
    conditions.elsewhere("north", 60.0, up=True)  # an old view: it's ours
    assert conditions.lasted_s("north", Condition.AWAY, 70.0) == 60.0
    conditions.over("north")
    conditions.elsewhere("north", 80.0, up=True)
    assert conditions.note("north", Condition.AWAY, 90.0, there=True) == 0.0
    conditions.forget("north")
    assert conditions.note("north", Condition.AWAY, 99.0, there=True) == 0.0


def test_what_is_said_now_is_said_of_each_that_ails() -> None:
    conditions = Conditions()
    assert conditions.in_words() == {}
    conditions.note("far", Condition.AWAY, 0.0, there=False)
    conditions.bound("far", "a bind for receipts", "the bind was refused: X", 1.0)
    conditions.note("near", Condition.AWAY, 0.0, there=False)
    conditions.note("north", Condition.AWAY, 1.0, there=True)
    conditions.slowed("south", 3.0, 1.0)
    conditions.heard("south", [told(1, Throttled(0x58))], 1.0)
    assert conditions.in_words() == {
        "far": "lacks a bind for receipts: the bind was refused: X",
        "north": "is away",
        "south": "is slowing us",
    }
