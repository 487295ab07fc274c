"""What an installation learns from its own messages, and says about the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from arrivals.core.compare import Measure, Side, compare
from arrivals.core.layers import Forecast, outcome_layer
from arrivals.flows import learning
from arrivals.flows.alarms import read_alarms
from arrivals.flows.amend import Amendment
from arrivals.flows.learning import FOLLOW, KEPT, Learning, Look
from arrivals.outcome.clicks import Click
from arrivals.outcome.episodes import Episode, Trouble, TroubleKind
from arrivals.outcome.fusion import LADDER, Kind
from arrivals.outcome.hierarchy import carrier_of
from arrivals.outcome.learner import Fact, Learner, Subject
from arrivals.outcome.watch import Watch
from arrivals.store.alarms import AlarmCursor
from tests.flows.installation import Installation, installed, provider, route, said
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
    while await found.learn_some() or await is_behind(here, found):
        pass
    return found


async def is_behind(here: Installation, model: Learning) -> bool:
    """Tell whether events wait for a transaction of anybody's on the same server to end."""
    if not here.store.is_shared:
        return False
    [(newest,)] = await here.rows("SELECT coalesce(max(tx), 0) FROM events")
    return model._cursor.tx < newest


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
    assert shown["verdict"] == "likely_delivered"
    assert shown["filtered_by"] is None
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
    assert shown["probability"] <= 0.3
    assert shown["filtered_by"].who == "carrier NL 31612, provider south"
    assert shown["filtered_by"].how == "inferred"


def test_history_leaves_time_for_what_is_sent_now() -> None:
    assert learning.rest_s(0.02, learning.HISTORY_US) == 0
    assert learning.rest_s(0.02, learning.HISTORY_US + 1) == pytest.approx(0.08)


async def test_hints_move_what_is_thought_and_proofs_settle_it(story: Story) -> None:
    """Who asked again probably didn't get it; what a test phone got is proved."""
    await lives(story, "north", MESSAGES)
    await lives(story, "south", MESSAGES)
    model = await learnt(story.here)
    await lives(story, "north", 1, heard=False, confirmed=False)
    before, _ = await foreseen(story, model)
    await story._amend("asked_again")
    after, _ = await foreseen(story, model)
    assert before.probability is not None
    assert after.probability is not None
    assert after.probability < before.probability
    await story._amend("missed")
    missed, shown = await foreseen(story, model)
    assert missed.probability is not None
    assert missed.probability < after.probability
    assert shown["probability"] is None  # their word stands above the model's
    await story._amend("probe")
    proved, shown = await foreseen(story, model)
    assert (proved.probability, proved.verdict) == (1.0, "delivered")
    assert shown["probability"] == 1.0


async def test_a_machines_click_is_a_hint_and_a_persons_is_evidence(story: Story) -> None:
    """Who opened it had the text, so it is somewhat likelier; nobody is an anchor by it."""
    await lives(story, "north", MESSAGES)
    await lives(story, "south", MESSAGES)
    model = await learnt(story.here)
    await lives(story, "north", 1, heard=False, confirmed=False)
    chances = []
    for user_agent in (None, "curl/8.5.0", "Mozilla/5.0 (iPhone)"):
        if user_agent is not None:
            click = Click(at_us=story.clock.us, user_agent=user_agent)
            wish = Amendment(
                account_id=1, key=story.key(), confirmed=True, kind="click", click=click
            )
            await story.here.platform.amend(wish)
        forecast, _ = await foreseen(story, model)
        assert forecast.probability is not None
        chances.append(forecast.probability / (1 - forecast.probability))
        [(subject, _)] = await story.here.store.read(
            lambda reader: reader.subjects([story.key()])
        )
        assert (subject.confirmed_seq is None) == (user_agent != "Mozilla/5.0 (iPhone)")
    ratio = LADDER[Kind.SCANNER_CLICK].ratio
    assert chances[1] / chances[0] == pytest.approx(ratio)
    assert chances[2] > chances[1]


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


# --- alarms -----------------------------------------------------------------------------


def fallen(until_us: int, count: int, *, from_n: int) -> list[Fact]:
    """Return facts of messages a second apart; from one on, nothing is heard of them."""
    found = []
    for n in range(count):
        at_us = until_us - (count - n) * 1_000_000
        about = Subject(
            n, "1", "NL", "31611000000", "SHOP", "otp", at_us, None, 50_000, "Your code"
        )
        found.append(Fact(about, "taken", 3, at_us, "sending", "submitted", "north"))
        if n < from_n:
            heard_us = at_us + 400_000
            said = ("receipt_delivered", 4, heard_us, "submitted", "delivered", "north")
            found.append(Fact(about, *said))
    return sorted(found, key=lambda fact: fact.at_us)


async def alarms(here: Installation) -> list[Episode]:
    found, _ = await here.store.read(lambda reader: reader.alarm_page(AlarmCursor(), 10))
    return list(found)


async def test_an_alarm_outlives_the_process_that_raised_it_and_ends(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    here, clock = story.here, story.clock
    first = await learnt(here)
    first._learner.learn(fallen(clock.us, 700, from_n=600))
    first._learner.look(clock.us + 60_000_000)
    clock.tick(60)
    await first.look()
    (raised,) = await alarms(here)
    assert raised.ended_us is None
    assert raised.trouble.kind is TroubleKind.RECEIPTS_FELL
    assert raised.trouble.cell[:3] == ("NL alphanumeric", "NL 31611", "north")
    assert 90 <= raised.trouble.messages_at_risk <= 101
    assert raised.trouble.money_at_risk == raised.trouble.messages_at_risk * 50_000
    assert raised.began_us < raised.raised_us == clock.us
    assert caplog.messages == [f"alarm {raised.alarm_id}: {raised.trouble.words}"]
    await first.keep()
    # Another process shows it before it has learnt anything, and then finds it itself.
    again = Learning(here.platform, SECRET, learns=True)
    here.platform.alarms = ()
    await read_alarms(here.platform)
    assert list(here.platform.alarms) == [raised]
    await again.restore()
    clock.tick(60)
    await again.look()
    (standing,) = await alarms(here)
    assert (standing.alarm_id, standing.seen_us) == (raised.alarm_id, clock.us)
    # Receipts come again; it is over when nobody has found it for a while.
    clock.tick(300)
    again._learner.learn(fallen(clock.us, 300, from_n=300))
    again._learner.look(clock.us + 60_000_000)
    await again.look()
    (over,) = await alarms(here)
    assert over.ended_us == standing.seen_us
    assert over.trouble.messages_at_risk >= raised.trouble.messages_at_risk
    await read_alarms(here.platform)
    assert not here.platform.alarms
    assert caplog.messages[1:] == [f"alarm {over.alarm_id} is over: {over.trouble.words}"]


async def test_a_process_that_learns_nothing_shows_what_stands(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, shown = story.here, asyncio.Event()

    class Watched(Learning):
        async def restore(self) -> None:
            await super().restore()
            if here.platform.alarms:
                shown.set()

    monkeypatch.setattr(learning, "KEEP_EVERY_S", 0.01)
    await here.store.write(FOLLOW, Look([_trouble("south")], []))
    running = asyncio.create_task(Watched(here.platform, SECRET, learns=False).run())
    async with asyncio.timeout(10):
        await shown.wait()
    assert said(here.platform) == ("receipts of south fell",)
    running.cancel()
    await asyncio.wait([running])


def _trouble(name: str) -> Trouble:
    return Trouble(
        kind=TroubleKind.RECEIPTS_FELL,
        cell=("NL alphanumeric", "kpn", name),
        began_us=1,
        words=f"receipts of {name} fell",
        messages_at_risk=1,
    )


async def test_two_workers_raise_one_alarm(story: Story) -> None:
    """Each finds it for itself; the one that finds it last lets it stand."""
    store = story.here.store
    told = []
    for found in ([_trouble("south")], [_trouble("south")], []):
        changed, standing = await store.write(FOLLOW, Look(found, []))
        told.append(len(changed))
        assert len(standing) == 1
    assert told == [1, 0, 0]


async def test_forecasts_are_checked_on_messages_put_aside(story: Story) -> None:
    """After a day it is known what was said of them, also by the process that comes next."""
    await lives(story, "north", MESSAGES)
    await lives(story, "south", MESSAGES)
    story.clock.tick(10)
    model = await learnt(story.here)
    held = model.calibration().waiting
    assert held > 0
    await model.keep()
    again = await learnt(story.here)
    assert again.calibration() == model.calibration()
    story.clock.tick(2 * 86_400)
    while await again.learn_some():
        pass
    found = again.calibration()
    assert (found.waiting, found.reporters) == (0, 1)
    everything = found.groups[0]
    assert everything.known.handoffs == pytest.approx(2 * MESSAGES * 2 ** (-2 / 7), rel=0.01)
    assert everything.known.low == everything.known.confirmed == 1.0
    last = everything.ages[-1].score
    assert last is not None
    assert last.count == pytest.approx(held * 2 ** (-2 / 7), rel=0.01)
    assert last.arrived > 0.9
    assert last.ece < 0.1
