"""What the operator's own test phones tell of providers."""

from __future__ import annotations

from arrivals.core.message import State
from arrivals.flows.learning import facts_of
from arrivals.flows.plan import Defaults
from arrivals.outcome.anchors import PROBES
from arrivals.outcome.learner import Subject
from arrivals.store.feed import FeedEvent
from tests.flows.installation import installed, provider, route
from tests.flows.script import SetClock
from tests.flows.story import Story
from tests.flows.test_learning import ROUTES, foreseen, learnt


def test_only_what_can_be_answered_is_a_test_phone_s() -> None:
    """A name to it, and a number to anybody else, are their account's own."""
    events: list[FeedEvent] = []
    subjects: list[tuple[Subject, str]] = []
    for key, (msisdn, sender) in enumerate(
        [("31612345678", "27690"), ("31612345678", "SHOP"), ("31612345679", "27690")]
    ):
        subjects.append((Subject(key, "1", "NL", msisdn, sender, "otp", 5, None), "north"))
        moved = State.SENDING, State.SUBMITTED
        events.append(FeedEvent(key, key, 3, 5, "taken", *moved, "worker", {}))
    facts = facts_of(events, subjects, frozenset({"31612345678"}))
    assert [each.subject.account for each in facts] == [PROBES, "1", "1"]
    assert [each.subject.account for each in facts_of(events, subjects)] == ["1", "1", "1"]


async def test_test_phones_tell_who_delivers(place: str) -> None:
    """Over one provider they answer, over the other its receipts only say that they got it."""
    clock, phones = SetClock(), {f"3161{n % 7}{n:06d}" for n in range(60)}
    async with installed(
        place,
        providers=[provider("north", 1), provider("south", 2)],
        routes=[route(n, [name]) for name, n in ROUTES.items()],
        started=False,
        clock=clock,
        defaults=Defaults(probes=frozenset(phones)),
    ) as here:
        told = Story(here, clock)
        ours = ["sender=31201234567"]
        for name in ROUTES:
            for phone in sorted(phones):
                await told._accept(phone, f"route_id={ROUTES[name]}", *ours)
                await told._claim(name)
                await told._answer(str(len(told.out)), "taken", f"{name}{phone}")
                await told._receipt(f"{name}{phone}", "DELIVRD", f"provider={name}")
                if name == "north":
                    await told._reply("confirmed")
                clock.tick(3)
        chances = {}
        for name in ROUTES:
            await told._accept("31611999999", f"route_id={ROUTES[name]}", *ours)
            await told._claim(name)
            await told._answer(str(len(told.out)), "taken", f"Z{name}")
            await told._receipt(f"Z{name}", "DELIVRD", f"provider={name}")
            clock.tick(10)
            _, shown = await foreseen(told, await learnt(here))
            chances[name] = shown["probability"]
    assert chances["north"] > 0.9
    assert chances["south"] < 0.5
