"""A route that buys by outcome, on a real store: traffic leaves the liar, and it says why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from arrivals.core.catalogue import Strategy
from arrivals.core.explain import explain
from arrivals.core.money import Micros
from arrivals.core.selection import NOTHING_KNOWN, Estimate, Record, Rule, replay
from arrivals.flows import choosing as module
from tests.flows.installation import Installation, installed, provider, route
from tests.flows.script import SetClock
from tests.flows.story import Story
from tests.flows.test_learning import learnt

SINGLE = {"north": 1, "budget": 2, "south": 3}
BY_OUTCOME, DRAWN, PLAIN = 4, 5, 6
COSTS = {"budget": 18_000, "north": 36_000, "south": 40_000}
MESSAGES = 64  # over each provider, before anybody chooses


@pytest.fixture
async def story(place: str) -> AsyncIterator[Story]:
    clock = SetClock()
    three = list(COSTS)
    async with installed(
        place,
        providers=[
            provider(name, n, cost=Micros(cost))
            for n, (name, cost) in enumerate(COSTS.items(), 1)
        ],
        routes=[
            *(route(n, [name]) for name, n in SINGLE.items()),
            route(BY_OUTCOME, three, strategy=Strategy.OUTCOME, floor=0.7),
            route(DRAWN, three, strategy=Strategy.THOMPSON, floor=0.7),
            route(PLAIN, three),
        ],
        started=False,
        clock=clock,
    ) as here:
        yield Story(here, clock)


async def lives(story: Story, name: str, confirmed: int) -> None:
    """Send over one provider; every message has a receipt, and so many of ten a person."""
    numbers = [f"3161{SINGLE[name]}{n:06d}" for n in range(MESSAGES)]
    for n, number in enumerate(numbers):
        await story._accept(number, f"route_id={SINGLE[name]}")
        await story._claim(name)
        await story._answer(str(len(story.out)), "taken", f"{name}{n}")
        story.clock.tick(2)
        await story._receipt(f"{name}{n}", "DELIVRD", f"provider={name}", f"to={number}")
        if n % 10 < confirmed:
            await story._amend("confirmed")


async def known_to(story: Story) -> None:
    """Let the installation choose by what it learnt so far."""
    story.clock.tick(10)
    model = await learnt(story.here)
    before = None
    while model._cursor != before:  # a reading may end before its limit, and not be the last
        before = model._cursor
        await model.learn_some()
    choosing = story.here.platform.choosing
    choosing.estimate, choosing.destinations = model.estimate, model.destinations


async def decision(here: Installation) -> dict[str, Any]:
    """Return the newest order's decision about its route, as it is stored."""
    rows = await here.rows("SELECT decision FROM orders ORDER BY id DESC LIMIT 1")
    found: dict[str, Any] = msgspec.json.decode(rows[0][0])["route"]
    return found


async def test_traffic_leaves_the_liar(story: Story) -> None:
    """Until people say so, the cheap one goes first; the record says the same again."""
    await story._accept("31612345678", f"route_id={BY_OUTCOME}")
    before = await decision(story.here)
    assert (before["providers"], before["rule"]) == (list(COSTS), Rule.UNKNOWN)
    await story._claim("budget")

    await lives(story, "north", confirmed=7)
    await lives(story, "south", confirmed=7)
    await lives(story, "budget", confirmed=2)
    await known_to(story)
    await story._accept("31612345679", f"route_id={BY_OUTCOME}")
    await story._claim("north")
    assert await story.here.kinds(story.key()) == ["accepted", "claimed"]

    after = await decision(story.here)
    assert (after["providers"], after["rule"]) == (["north", "south", "budget"], Rule.CHEAPEST)
    assert after["considered"] == [
        {"provider": "budget", "why_not": "below_floor"},
        {"provider": "north", "why_not": None},
        {"provider": "south", "why_not": "more_expensive"},
    ]
    trace = await story.here.store.read(lambda reader: reader.trace(1, story.key()))
    first, second, *_ = explain(*trace)
    assert first.cites == second.cites == [1]
    assert "Of its providers north goes first, least cost for a delivered" in second.text
    assert "(not sure to reach 70%)" in second.text
    for stored in (before, after):
        kept = msgspec.convert(stored["selection"], Record)
        assert replay(kept) == kept.selection
        assert list(kept.selection.providers) == stored["providers"]
    assert len(msgspec.json.encode(after["selection"])) < 1_000
    assert await story.here.unsound() == []


async def test_a_plain_route_asks_nobody(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: str) -> Estimate:
        raise AssertionError("nobody needs it")

    monkeypatch.setattr(story.here.platform.choosing, "estimate", asked)
    await story._accept("31612345678", f"route_id={PLAIN}")
    found = await decision(story.here)
    assert found["providers"] == list(COSTS)
    assert "selection" not in found
    trace = await story.here.store.read(lambda reader: reader.trace(1, story.key()))
    assert trace[0].selection is None
    assert not any("goes first" in each.text for each in explain(*trace))


async def test_draws_are_kept_with_the_order(story: Story) -> None:
    await story._accept("31612345678", f"route_id={DRAWN}")
    kept = msgspec.convert((await decision(story.here))["selection"], Record)
    assert all(each.u is not None for each in kept.question.candidates)
    assert replay(kept) == kept.selection


async def test_who_is_away_or_has_too_long_a_queue_comes_last(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = story.here.platform
    monkeypatch.setattr(
        platform, "binds", lambda: {"budget": False, "north": True, "south": True}
    )
    await story._accept("31612345678", f"route_id={BY_OUTCOME}")
    found = await decision(story.here)
    assert found["providers"] == ["north", "south", "budget"]
    assert found["considered"][0]["why_not"] == "away"
    monkeypatch.setattr(platform, "binds", dict)
    one_a_minute = provider("budget", 1, cost=Micros(18_000), throughput=1 / 60)
    monkeypatch.setitem(platform.catalogue.providers, "budget", one_a_minute)
    for _ in range(3):
        await story._accept("31612345678", f"route_id={SINGLE['budget']}")
    await story._accept("31612345678", f"route_id={BY_OUTCOME}", "valid_for_s=60")
    found = await decision(story.here)
    assert found["providers"] == ["north", "south", "budget"]
    assert found["considered"][0]["why_not"] == "no_headroom"


async def test_the_last_choice_is_remembered_and_a_share_explores(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = {"budget": 0.9, "north": 0.9, "south": 0.9}

    def known(country: str, sender: str, name: str) -> Estimate:
        if name == "budget" and not shares[name]:
            return NOTHING_KNOWN
        share = shares[name]
        return Estimate(delivered=share, low=share - 0.05, high=share + 0.05, handoffs=100.0)

    platform = story.here.platform
    monkeypatch.setattr(platform.choosing, "estimate", known)
    monkeypatch.setattr(module, "REMEMBERED_MAX", 1)
    for number in ("31612345678", "99912345678"):
        await story._accept(number, f"route_id={BY_OUTCOME}")
    kept = msgspec.convert((await decision(story.here))["selection"], Record)
    assert kept.question.incumbent is None  # another country was the first
    await story._accept("99912345678", f"route_id={BY_OUTCOME}")
    kept = msgspec.convert((await decision(story.here))["selection"], Record)
    assert kept.question.incumbent == "budget"
    shares["budget"] = 0.0
    exploring = route(
        BY_OUTCOME, list(COSTS), strategy=Strategy.OUTCOME, floor=0.7, explore=0.2
    )
    monkeypatch.setitem(platform.catalogue.routes, BY_OUTCOME, exploring)
    first = []
    for _ in range(50):
        await story._accept("31612345678", f"route_id={BY_OUTCOME}")
        first.append((await decision(story.here))["providers"][0])
    assert first.count("budget") == 10  # a fifth, and not by luck
