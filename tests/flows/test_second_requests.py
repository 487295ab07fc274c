"""A code that is asked for again is noticed, once, by whoever learns from events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arrivals.core.explain import explain
from arrivals.core.ids import message_key
from arrivals.flows import second_requests
from arrivals.flows.learning import Learning
from arrivals.flows.second_requests import NOTICED_WITHIN_US, notice_step
from arrivals.outcome.second_requests import AskedAgain
from arrivals.store.api import StoreUnavailable
from tests.flows.installation import account, installed, provider, route
from tests.flows.script import SetClock
from tests.flows.story import Story
from tests.flows.test_learning import SECRET, is_behind

NUMBER = "31612345678"
CODES, ALERTS = 1, 2  # routes


@pytest.fixture
async def story(place: str) -> AsyncIterator[Story]:
    clock = SetClock()
    async with installed(
        place,
        providers=[provider("north", 1)],
        routes=[route(CODES, ["north"], category="otp"), route(ALERTS, ["north"])],
        accounts=[account(1), account(2)],
        started=False,
        clock=clock,
    ) as here:
        yield Story(here, clock)


async def sends(story: Story, *words: str, route_id: int = CODES) -> int:
    """Accept one message and hand it off a tenth of a second later; return its key."""
    await story._accept(*(words or (NUMBER,)), f"route_id={route_id}")
    assert story.order is not None
    story.clock.tick(0.1)
    count = len(story.order.messages)
    await story._claim("north", str(count))
    for n in range(len(story.out) - count, len(story.out)):
        await story._answer(str(n + 1), "taken", f"id{n}")
    return message_key(story.order.order.order_id, 0)


async def again(story: Story, after_s: float = 45.0, **options: Any) -> tuple[int, int]:
    """Send a code and another one, which is accepted so long after the first's hand-off."""
    first = await sends(story)
    story.clock.tick(after_s)
    return first, await sends(story, **options)


async def hints(story: Story, key: int) -> list[dict[str, Any]]:
    """Return what a message's timeline says of being asked for again."""
    account_id = await story.here.rows("SELECT account_id FROM messages WHERE id = ?", key)
    _, events = await story.here.store.read(lambda reader: reader.trace(account_id[0][0], key))
    found = [each for each in events if each.body.get("kind") == "asked_again"]
    assert all(each.from_state == each.to_state for each in found)
    return [{"actor": each.actor, **each.body} for each in found]


async def settle(story: Story, *learners: Learning) -> None:
    """Let learners read whatever there is, as far behind as they are."""
    story.clock.tick(10)
    for each in learners or (Learning(story.here.platform, SECRET, learns=True),):
        while await each.learn_some() or await is_behind(story.here, each):
            pass


async def test_a_second_code_says_something_of_the_first(story: Story) -> None:
    first, second = await again(story, 45.5)
    ids = story.here.platform.ids
    before = await story.here.kinds(first)
    changed = story.here.platform.changes.on_message(first)
    await settle(story)
    assert changed.is_set()
    [noticed] = await hints(story, first)
    assert abs(noticed.pop("after_us") - 45_500_000) < 1_000
    assert noticed == {
        "actor": "worker",
        "kind": "asked_again",
        "noticed": ids.encode(second),
    }
    assert await hints(story, second) == []
    trace, events = await story.here.store.read(lambda reader: reader.trace(1, first))
    [said] = [each for each in explain(trace, events) if "another code" in each.text]
    assert said.cites == [len(before) + 1]
    assert said.text.startswith("45 s after its hand-off another code was asked for")
    assert ids.encode(second) in said.text
    assert trace.message.confirmed == "none"
    assert await story.here.unsound() == []


@pytest.mark.parametrize("after_s", [10, 19, 121])
async def test_not_sooner_or_later_than_people_ask(story: Story, after_s: float) -> None:
    first, _ = await again(story, after_s)
    await settle(story)
    assert await hints(story, first) == []


@pytest.mark.parametrize("way", ["category", "account", "number", "line"])
async def test_not_by_what_is_no_second_code(story: Story, way: str) -> None:
    """Another category, account or number, and the same request's second line."""
    first = await sends(story)
    story.clock.tick(45)
    if way == "category":
        await sends(story, route_id=ALERTS)
        story.clock.tick(45)
        await sends(story, route_id=ALERTS)
    elif way == "account":
        await sends(story, NUMBER, "account_id=2")
    elif way == "number":
        await sends(story, "31612345679")
    else:
        story.clock.tick(200)  # long after the first
        await story._accept(NUMBER, NUMBER, "partial=1")
        story.clock.tick(0.1)
        await story._claim("north", "2")
        await story._answer("2", "taken", "two")
        story.clock.tick(45)
        await story._answer("3", "taken", "three")
    await settle(story)
    [(said,)] = await story.here.rows("SELECT count(*) FROM events WHERE kind = 'feedback'")
    assert said == 0
    assert await hints(story, first) == []


async def test_what_is_read_twice_is_said_once(story: Story) -> None:
    """By every worker, and again after a restart from what was kept before."""
    first, _ = await again(story)
    workers = [Learning(story.here.platform, SECRET, learns=True) for _ in range(3)]
    await asyncio.gather(*(settle(story, each) for each in workers))
    await settle(story, Learning(story.here.platform, SECRET, learns=True))
    assert len(await hints(story, first)) == 1
    story.clock.tick(30)
    await sends(story)  # a third, 75 s and more after the first
    await settle(story, workers[0])
    assert len(await hints(story, first)) == 1


async def test_two_that_noticed_it_at_once_say_it_once(story: Story) -> None:
    """In one transaction, too."""
    first, second = await again(story)
    platform = story.here.platform
    step = notice_step(lambda: platform.catalogue, platform.ids)
    asked = AskedAgain(first, second, 45_000_000)
    results = await asyncio.gather(*(platform.store.write(step, asked) for _ in range(4)))
    assert sorted(each is None for each in results) == [False, True, True, True]
    assert first in results
    assert len(await hints(story, first)) == 1
    gone = AskedAgain(999 << 17, second, 45_000_000)
    assert await platform.store.write(step, gone) is None


async def test_what_the_customer_said_is_not_said_again(story: Story) -> None:
    """That they were asked for another, or that the person got it; a no is no such word."""
    for word, wanted in (("asked_again", 1), ("confirmed", 0), ("denied", 1)):
        first = await sends(story)
        await story._amend(word)
        story.clock.tick(45)
        await sends(story)
        await settle(story)
        story.clock.tick(300)
        assert len(await hints(story, first)) == wanted, word


async def test_what_cannot_be_written_now_is_written_later(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await again(story)
    model, store = Learning(story.here.platform, SECRET, learns=True), story.here.store
    write = store.write

    async def away(*_: Any) -> None:
        raise StoreUnavailable("for a moment")

    monkeypatch.setattr(store, "write", away)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await settle(story, model)
    monkeypatch.setattr(store, "write", write)
    await model.learn_some()
    assert len(await hints(story, first)) == 1


async def test_history_is_left_as_it_is(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that begins to learn writes nothing on old timelines."""
    assert NOTICED_WITHIN_US == 72 * 3600 * 1_000_000
    monkeypatch.setattr(second_requests, "NOTICED_WITHIN_US", 30_000_000)
    first, second = await again(story)
    story.clock.tick(20)
    third = await sends(story)
    await settle(story)
    assert await hints(story, first) == []
    assert [await hints(story, key) for key in (second, third)] == [[], []]
