"""What the model says of silence is kept where money or a list depends on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest

from arrivals.core.catalogue import Account
from arrivals.core.explain import explain
from arrivals.core.layers import Forecast, outcome_layer
from arrivals.core.message import Move
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.core.verdicts import Judged
from arrivals.flows import judging
from arrivals.flows.judging import Judging
from arrivals.flows.learning import Learning
from arrivals.flows.platform import Endings
from arrivals.flows.sweep import Sweeper
from arrivals.outcome.learner import Fact, Subject
from arrivals.store.traces import MessageFilter
from tests.flows.installation import account, installed, provider, route
from tests.flows.script import SetClock
from tests.flows.story import Story
from tests.flows.test_learning import is_behind

SECRET = b"a secret of this test"
LINKED = "See https://shop.example/x"
PLAIN = "Your parcel has left"
ALARM = "carrier NL 31611, provider north, sender ARRIVALS"
DAYS_3 = 3 * 86_400


def with_refunds() -> Account:
    return account(1, refund_on=frozenset({"filtered", "failed"}), recharge=True)


@pytest.fixture
async def story(place: str) -> AsyncIterator[Story]:
    clock = SetClock()
    async with installed(
        place,
        providers=[provider("north", 1)],
        routes=[route(1, ["north"])],
        accounts=[with_refunds()],
        started=False,
        clock=clock,
    ) as here:
        yield Story(here, clock)


def traffic(until_us: int, count: int, *, links_from: int) -> list[Fact]:
    """Return facts of messages a second apart; from one on, those with a link hear nothing."""
    found = []
    for n in range(count):
        at_us = until_us - (count - n) * 1_000_000
        linked = n % 3 == 0
        about = Subject(
            -n - 1, "1", "NL", "31611000000", "ARRIVALS", "alert", at_us, None, 50_000,
            LINKED if linked else PLAIN,
        )  # fmt: skip
        found.append(Fact(about, "taken", 3, at_us, "sending", "submitted", "north"))
        if not linked or n < links_from:
            said = ("receipt_delivered", 4, at_us + 400_000, "submitted", "delivered", "north")
            found.append(Fact(about, *said))
    return sorted(found, key=lambda fact: fact.at_us)


async def under_an_alarm(story: Story) -> Learning:
    """Send a message whose link goes with an alarm, and one whose text doesn't."""
    model = Learning(story.here.platform, SECRET, learns=True)
    model._learner.learn(traffic(story.clock.us, 1_500, links_from=900))
    for n, text in enumerate((PLAIN, LINKED)):
        await story._accept(f"3161199900{n}", f"text={text}")
        await story._claim()
        await story._answer(str(len(story.out)), "taken", f"Z{n}")
    story.clock.tick(60)
    while await model.learn_some() or await is_behind(story.here, model):
        pass
    model._learner.look(story.clock.us)
    return model


async def verdicts(story: Story) -> list[str | None]:
    found = await story.here.rows("SELECT verdict FROM messages ORDER BY id")
    return [verdict for (verdict,) in found]


async def listed(story: Story, verdict: str) -> list[int]:
    found, _ = await story.here.store.read(
        lambda reader: reader.message_page(1, MessageFilter(verdict=verdict), 10)
    )
    return [each.message.key for each in found]


async def foreseen(story: Story, model: Learning) -> Forecast:
    found = model.foresee(*await story.journey())
    assert found is not None
    return found


async def test_what_an_alarm_says_of_a_message_outlasts_it(story: Story) -> None:
    model = await under_an_alarm(story)
    said = await foreseen(story, model)
    assert (said.verdict, said.filtered_by) == ("likely_filtered", ALARM)
    silent = model._learner.silent()
    assert story.key() in silent
    done = await model._judging.note(silent)
    assert story.key() in done
    assert await verdicts(story) == [None, "likely_filtered"]
    assert await listed(story, "likely_filtered") == [story.key()]
    await story._says("judged")
    # Another look says nothing twice.
    await model._judging.note([story.key()])
    assert (await story.here.kinds(story.key())).count("judged") == 1
    # A process that knows nothing of the alarm knows what was said.
    ignorant = Learning(story.here.platform, SECRET, learns=True)
    again = await foreseen(story, ignorant)
    assert (again.verdict, again.filtered_by) == ("likely_filtered", ALARM)
    # And a receipt that comes after all is heard.
    await story.play("receipt Z1 DELIVRD\nstate delivered")
    assert (await foreseen(story, ignorant)).verdict is None
    assert await listed(story, "likely_filtered") == []
    assert await listed(story, "delivered") == [story.key()]


async def test_a_deadline_keeps_what_was_thought(story: Story) -> None:
    model = await under_an_alarm(story)
    await model._judging.note(model._learner.silent())
    ignorant = Learning(story.here.platform, SECRET, learns=True)
    await ends(story, ignorant.endings)
    assert await verdicts(story) == [None, "likely_filtered"]
    assert await listed(story, "unknown") == [story.key() - (1 << 17)]
    assert await listed(story, "likely_filtered") == [story.key()]
    assert (await foreseen(story, ignorant)).verdict == "likely_filtered"
    # Who says later that it arrived stands above what was thought.
    await story._amend("confirmed")
    assert (await foreseen(story, ignorant)).verdict == "delivered"
    assert await listed(story, "delivered") == [story.key()]


async def ends(story: Story, endings: Any) -> None:
    """Let all deadlines pass, and sweep as a process does."""
    story.clock.tick(DAYS_3 + 1)
    story.here.platform.endings = endings
    sweeper = Sweeper(story.here.platform)
    for _ in range(4):
        await sweeper._once()
        story.clock.tick(0.001)


SURE = Judged(verdict="filtered", probability=0.02, low=0.0, high=0.05, filtered_by=ALARM)


async def filtered(story: Story) -> None:
    """Let a silent message end as filtered, since that's as good as sure."""
    await story.play("accept 31611999999\nclaim north\nanswer 1 taken Z")

    async def endings(limit: int) -> Endings:
        assert limit > 0
        return {story.key(): (Move.FILTER_INFERRED, SURE)}

    await ends(story, endings)
    await story.play("state filtered\nis reason silently_filtered\nis resolution released")


async def test_a_filter_that_is_as_good_as_sure_isnt_paid(story: Story) -> None:
    before = await story.here.balance()
    await filtered(story)
    assert await story.here.balance() == before
    assert await listed(story, "filtered") == [story.key()]
    said = await foreseen(story, Learning(story.here.platform, SECRET, learns=True))
    assert (said.verdict, said.probability, said.filtered_by) == ("filtered", 0.02, ALARM)


@pytest.mark.parametrize(
    ("word", "state", "charged"),
    [("DELIVRD", "delivered", True), ("UNDELIV err=1", "failed", False)],
)
async def test_a_receipt_withdraws_what_was_only_inferred(
    story: Story, word: str, state: str, charged: bool
) -> None:
    """Invariants 36 and 39: it ends as if it had come in time, and money follows."""
    before = (await story.here.balance())[0]
    await filtered(story)
    await story.play(f"receipt Z {word}\nstate {state}")
    kinds = await story.here.kinds(story.key())
    assert kinds[-3:-1] == ["filter_inferred", "inference_withdrawn"]
    assert (await story.here.balance())[0] == before - 50_000 * charged
    trace, _ = await story.journey()
    assert trace.message.verdict is None


async def test_no_message_ends_before_the_model_was_asked(story: Story) -> None:
    """A deadline that passes between the question and the sweep waits for the next one."""
    await story.play("accept 31611999999\nclaim north\nanswer 1 taken Z")

    async def knows_none(limit: int) -> Endings:
        return {}

    await ends(story, knows_none)
    await story.play("state submitted")
    model = Learning(story.here.platform, SECRET, learns=True)
    story.here.platform.endings = model.endings
    for _ in range(2):
        await Sweeper(story.here.platform)._once()
    await story.play("state unknown")


async def test_what_changed_since_the_model_was_asked_is_asked_about_again(
    story: Story,
) -> None:
    """It came to be in doubt meanwhile: then nobody filtered it."""
    await story.play("accept 31611999999\nclaim north\nanswer 1 unanswered")

    async def endings(limit: int) -> Endings:
        return {story.key(): (Move.FILTER_INFERRED, SURE)}

    await ends(story, endings)
    await story.play("state ambiguous")
    await ends(story, Learning(story.here.platform, SECRET, learns=True).endings)
    await story.play("state unknown")


async def test_only_those_that_something_is_known_of_are_judged(story: Story) -> None:
    """Of an installation without feedback or alarms nobody is looked at."""
    asked: list[int] = []

    def foresee(trace: Trace, events: Sequence[TimelineEvent]) -> Forecast | None:
        asked.append(trace.message.key)
        assert [each.seq for each in events] == [1, 2, 3]
        return None

    judging = Judging(story.here.platform, foresee)
    await story.play("accept 31611999999\nclaim north\nanswer 1 taken Z")
    assert await judging.endings(10, has_opinion=True) == {}
    story.clock.tick(DAYS_3 + 1)
    silent = {story.key(): (Move.DEADLINE_PASSED, None)}
    assert await judging.endings(10, has_opinion=False) == silent
    assert asked == []
    assert await judging.endings(10, has_opinion=True) == silent
    assert asked == [story.key()]
    assert await judging.note([story.key(), 12345]) == {12345}


async def test_of_many_each_look_takes_the_next(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that nothing can be said of don't stand in the way of the others."""
    monkeypatch.setattr(judging, "NOTED_MAX", 1)
    asked: list[int] = []

    def foresee(trace: Trace, events: Sequence[TimelineEvent]) -> Forecast | None:
        asked.append(trace.message.key)
        return None

    many = Judging(story.here.platform, foresee)
    keys = []
    for n in range(2):
        await story.play(f"accept 3161199999{n}\nclaim north\nanswer {n + 1} taken Z{n}")
        keys.append(story.key())
    for _ in range(3):
        assert await many.note(keys) == set()
    assert asked == [*keys, keys[0]]


async def test_an_older_record_can_be_read(story: Story) -> None:
    """A later version may keep more of a verdict, or less."""
    kept = msgspec.convert({"verdict": "likely_filtered", "why": "new"}, Judged)
    assert kept == Judged(verdict="likely_filtered")


@pytest.mark.parametrize("operator", [True, False])
async def test_only_the_operators_own_phone_proves_a_receipt_made_up(
    place: str, operator: bool
) -> None:
    """Invariant 39: money follows; a customer's word doesn't move it."""
    customer = account(1, operator=operator, refund_on=frozenset({"unknown"}))
    clock = SetClock()
    async with installed(
        place,
        providers=[provider("north", 1)],
        routes=[route(1, ["north"])],
        accounts=[customer],
        started=False,
        clock=clock,
    ) as here:
        story = Story(here, clock)
        before = (await here.balance())[0]
        await story.play("accept 31611999999\nclaim north\nanswer 1 taken Z\nreceipt Z DELIVRD")
        await story.play("amend denied\nstate delivered\namend missed")
        assert (await story.row())["state"] == ("unknown" if operator else "delivered")
        assert (await here.balance())[0] == before - 50_000 * (not operator)
        if operator:
            trace, events = await story.journey()
            told = [each.text for each in explain(trace, events)]
            assert (
                "The operator's own test phone got nothing, so the receipt was made up." in told
            )
            shown = outcome_layer(trace.message, events, trace.accepted_at_us)
            assert shown.cause is not None
            assert shown.cause.text.endswith("was proved to be made up")
        assert await here.unsound() == []
