"""What people do about a message: what only they and the truth know, until somebody tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arrivals.world.draws import Draws
from arrivals.world.fate import Ending
from arrivals.world.filters import TRAITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrivals.world.fate import Fate
    from arrivals.world.people import ActKind, Users
    from arrivals.world.scenario import Scenario
    from arrivals.world.submission import Submission


class Act(msgspec.Struct, frozen=True):
    """Something that somebody does."""

    delay_s: float  # after the submit_sm came
    kind: ActKind


def acts_of(
    submission: Submission, fate: Fate, scenario: Scenario, seed: int
) -> tuple[Act, ...]:
    """Return what is done about a submission; about a long message, its first part counts."""
    if submission.part != 1 or not scenario.peopled:
        return ()
    users = scenario.users
    chance = Draws(seed, submission.group)
    there_s = fate.ended_s if fate.ending is Ending.REACHED else None
    acts = [*_about_a_code(submission, there_s, scenario, chance)]
    if users.clicks or users.scans:
        acts += _about_a_link(submission, there_s, fate.carried_s, users, chance)
    if there_s is not None:
        acts += _replies(submission, there_s, users, chance)
        if submission.destination in scenario.numbers.probes:
            acts.append(Act(there_s, "probed"))
    return tuple(acts)


def _about_a_code(
    submission: Submission, there_s: float | None, scenario: Scenario, chance: Draws
) -> Iterator[Act]:
    users = scenario.users
    own = scenario.sender(submission.source).conversion
    conversion = users.conversion if own is None else own
    if not (conversion or users.asks_again) or not TRAITS["code"](submission.text):
        return
    if there_s is not None and chance.happens(conversion, b"converts"):
        yield Act(there_s + users.converts.draw(chance, b"converts in"), "converted")
    in_time = there_s is not None and there_s <= users.asks_after_s
    if not in_time and chance.happens(users.asks_again, b"asks again"):
        yield Act(users.asks_after_s, "asked_again")


def _about_a_link(
    submission: Submission,
    there_s: float | None,
    carried_s: float | None,
    users: Users,
    chance: Draws,
) -> Iterator[Act]:
    if not (TRAITS["link"](submission.text) or TRAITS["shortener"](submission.text)):
        return
    if carried_s is not None and chance.happens(users.scans, b"scans"):
        yield Act(carried_s + users.scan.draw(chance, b"scans in"), "scanned")
    if there_s is not None and chance.happens(users.clicks, b"clicks"):
        yield Act(there_s + users.click.draw(chance, b"clicks in"), "clicked")


def _replies(
    submission: Submission, there_s: float, users: Users, chance: Draws
) -> Iterator[Act]:
    if submission.source.isdigit() and chance.happens(users.replies, b"replies"):
        kind: ActKind = "stopped" if chance.happens(users.stops, b"stops") else "replied"
        yield Act(there_s + users.reply.draw(chance, b"replies in"), kind)
