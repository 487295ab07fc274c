"""What an installation learns from its own messages, and says about the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from arrivals.core.compare import Measure, Side, compare
from arrivals.core.layers import Forecast, outcome_layer
from arrivals.flows import learning
from arrivals.flows.learning import KEPT, Learning
from arrivals.outcome.hierarchy import carrier_of
from arrivals.outcome.learner import Fact, Learner
from arrivals.outcome.watch import Watch
from tests.flows.installation import Installation, installed, provider, route
from tests.flows.script import SetClock
from tests.flows.story import Story

SECRET = b"a secret of this test"
MESSAGES = 40
ROUTES = {"north": 1, "south": 2}


@pytest.fixture
async def story(place: str) -> AsyncIterator[Story]:
    clock = SetClock()
    async with installed(
        place,
        providers=[provider("north", 1), provider("south", 2)],
        routes=[route(n, [name]) for name, n in ROUTES.items()],
        started=False,
        clock=clock,
    ) as here:
        yield Story(here, clock)


async def lives(
    story: Story,
    name: str,
    count: int,
    *,
    heard: bool = True,
    confirmed: bool = True,
    carrier: int | None = None,
) -> None:
    """Send messages over a provider; they hear after two seconds, if they do.

    Each provider has a carrier of its own, unless another is asked for.
    """
    for n in range(count):
        number = f"3161{carrier or ROUTES[name]}{n:06d}"
        await story._accept(number, f"route_id={ROUTES[name]}")
        await story._claim(name)
        await story._answer(str(len(story.out)), "taken", f"{name}{n}")
        story.clock.tick(2)
        if heard:
            await story._receipt(f"{name}{n}", "DELIVRD", f"provider={name}", f"to={number}")
        if confirmed:
            await story._amend("confirmed")
        story.clock.tick(1)


async def learnt(here: Installation) -> Learning:
    found = Learning(here.platform, SECRET, learns=True)
    await found.restore()
    while await found.learn_some():
        pass
    return found


async def foreseen(story: Story, model: Learning) -> tuple[Forecast, dict[str, Any]]:
    """Return what is thought of the last message, and how its outcome is shown."""
    trace, events = await story.here.store.read(lambda reader: reader.trace(1, story.key()))
    forecast = model.foresee(trace, events)
    assert forecast is not None
    layer = outcome_layer(trace.message, events, trace.accepted_at_us, forecast)
    return forecast, {name: getattr(layer, name) for name in layer.__struct_fields__}


async def test_open_message_is_told_when_its_receipt_will_come(story: Story) -> None:
    await lives(story, "north", MESSAGES, confirmed=False)
    story.clock.tick(10)
    await story.play("accept 31611999999\nclaim north\nanswer 41 taken Z")
    forecast, shown = await foreseen(story, await learnt(story.here))
    now_us = story.clock.us
    assert forecast.p50_us is not None
    assert forecast.p90_us is not None
    assert 0 < forecast.p50_us - now_us < 4_000_000
    assert forecast.p50_us <= forecast.p90_us
    assert forecast.receipt_to_come > 0.9
    assert shown["eta"] is not None
    # Nobody ever confirmed anything: a receipt may be invented, so there is no number.
    assert (shown["probability"], shown["verdict"]) == (None, None)
    assert forecast.low < 0.01
    assert forecast.high > 0.9


async def test_a_word_that_nothing_is_known_of_stands(place: str) -> None:
    """A failure in codes that nobody explained is a failure, as the receipt said."""
    clock = SetClock()
    north = provider("north", 1, error_namespace="generic")
    async with installed(place, providers=[north], started=False, clock=clock) as here:
        told = Story(here, clock)
        await told.play("accept 31611999999\nclaim north\nanswer 1 taken Z")
        await told.play("receipt Z UNDELIV err=999")
        _, shown = await foreseen(told, await learnt(here))
    assert (shown["state"], shown["verdict"], shown["probability"]) == (
        "failed",
        "failed",
        None,
    )
    assert shown["bounds"].high <= 0.1


async def test_confirmed_messages_give_a_probability(story: Story) -> None:
    await lives(story, "north", MESSAGES)
    await lives(story, "south", MESSAGES)
    await story.play("accept 31611999999\nclaim north\nanswer 81 taken Z")
    story.clock.tick(10)
    model = await learnt(story.here)
    _, shown = await foreseen(story, model)
    assert shown["state"] == "pending"
    before = shown["probability"]
    await story.play("receipt Z DELIVRD")
    _, shown = await foreseen(story, model)
    assert shown["state"] == "delivered"
    assert isinstance(shown["probability"], float)
    assert shown["probability"] > 0.9
    assert before is None or before < shown["probability"]


async def test_receipts_that_nobody_confirms_are_believed_less(story: Story) -> None:
    """One provider's receipts come with people, the other's without: they are invented."""
    await lives(story, "north", MESSAGES)
    await lives(story, "south", MESSAGES, confirmed=False)
    _, shown = await foreseen(story, await learnt(story.here))
    assert shown["state"] == "delivered"
    assert isinstance(shown["probability"], float)
    assert shown["probability"] < 0.3
    assert shown["verdict"] == "unknown"
    assert shown["resolves"]


async def side(story: Story, model: Learning) -> Side:
    """Return the last message as one of two that are compared."""
    trace, events = await story.here.store.read(lambda reader: reader.trace(1, story.key()))
    outcome = outcome_layer(
        trace.message, events, trace.accepted_at_us, model.foresee(trace, events)
    )
    return Side(
        trace=trace,
        events=events,
        carrier=carrier_of(trace.country, trace.message.msisdn),
        template=None,
        probability=outcome.probability,
    )


async def test_what_was_learnt_tells_two_messages_apart(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two providers' receipts come with people and south's without: it goes with south."""
    monkeypatch.setitem(ROUTES, "east", 3)
    clock = SetClock()
    async with installed(
        place,
        providers=[provider(name, n) for name, n in ROUTES.items()],
        routes=[route(n, [name]) for name, n in ROUTES.items()],
        started=False,
        clock=clock,
    ) as here:
        story = Story(here, clock)
        for name in ROUTES:
            await lives(story, name, MESSAGES, confirmed=name != "south", carrier=9)
        model = await learnt(here)
        sides = {}
        for name in ("north", "south"):
            await lives(story, name, 1, confirmed=False, carrier=9)
            sides[name] = await side(story, model)
    odds = compare(sides["north"], sides["south"], model.expect, clock.us).odds
    assert odds is not None
    assert odds.measure is Measure.DELIVERED
    assert odds.expected_a > 0.8
    assert odds.shares == {"provider": pytest.approx(odds.expected_difference)}
    assert odds.expected_difference < -0.5
    # What came of them is believed no more than their providers are.
    assert odds.difference < -0.5
    assert abs(odds.unexplained) < 0.2


async def test_an_alarm_says_what_probably_stopped_it(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lives(story, "north", MESSAGES)
    await lives(story, "south", MESSAGES, confirmed=False)
    monkeypatch.setattr(Watch, "alarmed", lambda self, path: path[:3])
    _, shown = await foreseen(story, await learnt(story.here))
    assert (shown["state"], shown["verdict"]) == ("delivered", "likely_filtered")


async def test_a_mistake_of_the_model_ends_nothing(
    story: Story, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await lives(story, "north", 2, confirmed=False)
    story.clock.tick(10)
    asked = asyncio.Event()

    def mistaken(self: Learner, facts: Sequence[Fact]) -> None:
        asked.set()
        raise ZeroDivisionError

    monkeypatch.setattr(Learner, "learn", mistaken)
    monkeypatch.setattr(learning, "LEARN_EVERY_S", 0.01)
    running = asyncio.create_task(Learning(story.here.platform, SECRET, learns=True).run())
    async with asyncio.timeout(10):
        await asked.wait()
        asked.clear()
        await asked.wait()
    assert not running.done()
    assert "something couldn't be learnt: ZeroDivisionError" in caplog.text
    running.cancel()
    await asyncio.wait([running])


async def test_what_was_learnt_outlives_the_process(story: Story) -> None:
    await lives(story, "north", MESSAGES, confirmed=False)
    story.clock.tick(10)
    first = await learnt(story.here)
    await first.keep()
    told = await foreseen(story, first)
    again = await learnt(story.here)
    assert await foreseen(story, again) == told
    assert not await again.learn_some()


async def test_what_cannot_be_read_is_begun_anew(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lives(story, "north", 2, confirmed=False)
    story.clock.tick(10)
    await (await learnt(story.here)).keep()
    assert await story.here.store.write(KEPT, None)
    await story.here.in_transaction(lambda tx: tx.set_setting("learnt", '{"shared": 1}'))
    begun = await learnt(story.here)
    assert begun.cells == 5
    monkeypatch.setattr(learning, "EVENTS_MAX", 1)
    assert (await learnt(story.here)).cells == 5


async def test_a_message_that_never_left_is_not_foreseen(story: Story) -> None:
    await story.play("accept 31611999999")
    trace, events = await story.here.store.read(lambda reader: reader.trace(1, story.key()))
    assert (await learnt(story.here)).foresee(trace, events) is None
