"""Tell when an alarm begins, goes on and ends, from what is found wrong at each look.

             found                 not found for QUIET_US
    nothing ───────▶ standing alarm ─────────────────────▶ ended, when it was last found
               │           ▲  │
     only doubted: at two  └──┘ found again: newest evidence, greatest loss
     looks in a row

There is one list of alarms and there are two who look. The model finds troubles of receipts by
what it has learnt (`follow`). One cause is one alarm though its name may change: as more is
known, what was a carrier's trouble turns out to be one provider's there, or the other way
round. So what is found belongs to the standing alarm of its own cell, else to one that may
have messages in common with it.

Whoever owns a provider's bind sees how the provider is, and everybody what waits (`attend`).
They know more than whether it is found: a process that has just begun may have no sign of what
stands, and that is no sign of its end.

    sight          nothing stands     an alarm stands
    found          it begins          it goes on, with newer evidence
    lingers        —                  it goes on: nothing shows that it's over
    over           —                  it ends
    nobody looks   —                  it ends after QUIET_US

Who looks may change as well, or start anew: an alarm lives in its record, and so does its
clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from arrivals.outcome.alarms import meet
from arrivals.outcome.hierarchy import ANY, words_of

QUIET_US: Final = 5 * 60 * 1_000_000  # an alarm that nobody found for so long is over
STANDING_MAX: Final = 200  # of the model's at once; more begin when others end
ATTENDED_MAX: Final = 800  # and of all others

PUBLIC_LEVELS: Final = 3  # of a cell, down to its provider: below stand customers
PROVIDER_LEVEL: Final = 2

Cell = tuple[str, ...]


class TroubleKind(StrEnum):
    """What is wrong."""

    # found by the model, in receipts
    RECEIPTS_FELL = "receipts_fell"
    RECEIPTS_DOUBTED = "receipts_doubted"
    # seen by the owner of a provider's bind
    PROVIDER_AWAY = "provider_away"
    BIND_LACKING = "bind_lacking"
    PROVIDER_BROKEN = "provider_broken"
    BIND_DENIED = "bind_denied"
    PROVIDER_SLOWING = "provider_slowing"
    MESSAGES_REFUSED = "messages_refused"
    FORM_REFUSED = "form_refused"
    RECEIPTS_STOPPED = "receipts_stopped"
    INBOUND_IGNORED = "inbound_ignored"
    # seen by whoever looks at what waits
    MESSAGES_WAIT = "messages_wait"
    OUTCOMES_OVERDUE = "outcomes_overdue"
    RECEIPTS_PARKED = "receipts_parked"


_PUBLIC: Final = {
    TroubleKind.RECEIPTS_FELL: "fell",
    TroubleKind.RECEIPTS_DOUBTED: "are in doubt",
}
LEARNT: Final = frozenset(_PUBLIC)  # the kinds that the model finds
Name = tuple[TroubleKind, Cell]  # of an alarm: one stands at a time


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is found wrong at one look."""

    kind: TroubleKind
    cell: Cell
    began_us: int  # where the change probably was; of receipts in doubt: when it was looked at
    words: str  # for operators: they name senders, and count a customer's messages
    cost: str = ""  # what it does to messages, in a sentence or two
    fix: str = ""  # what to do about it
    goes_with: str | None = None
    expected: float | None = None  # positive receipts, since it began
    observed: int | None = None
    messages_at_risk: int  # of receipts: what is missing; of all others: what waits
    money_at_risk: int | None = None  # micro-units that those messages cost

    @property
    def name(self) -> Name:
        """Tell this alarm from others."""
        return self.kind, self.cell

    @property
    def provider(self) -> str | None:
        """Whose it is; None: nobody's, or of many."""
        named = self.cell[PROVIDER_LEVEL:PUBLIC_LEVELS]
        return named[0] if named and named[0] != ANY else None

    @property
    def public_words(self) -> str:
        """Say to anybody what is wrong, on which carrier and provider, and of no customer."""
        if self.kind not in LEARNT:
            return self.words
        route = self.cell[:PUBLIC_LEVELS]
        whose = "receipts" if route == self.cell else "some receipts"
        return f"{whose} of {words_of(route)} {_PUBLIC[self.kind]}"


class Episode(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An alarm as it is recorded; 0 stands for one that isn't yet."""

    alarm_id: int = 0
    began_us: int
    raised_us: int
    seen_us: int  # when it was found last
    ended_us: int | None = None
    trouble: Trouble


def follow(
    standing: Sequence[Episode],
    found: Iterable[Trouble],
    before: Iterable[tuple[TroubleKind, Cell]],
    now_us: int,
) -> list[Episode]:
    """Return the alarms that begin, go on with newer evidence, or end.

    `before` is what the last look found.
    """
    own = [each for each in standing if each.trouble.kind in LEARNT]
    left, new = list(own), sorted(found, key=_worst_first)
    changed: list[Episode] = []
    for same in (_is_same, _is_related):  # those of the same cell first
        for trouble in list(new):
            episode = next((each for each in left if same(each.trouble, trouble)), None)
            if episode is not None:
                left.remove(episode)
                new.remove(trouble)
                changed.append(_go_on(episode, trouble, now_us))
    changed += [_end(each) for each in left if now_us - each.seen_us >= QUIET_US]
    doubted_before = set(before)
    begun = [
        _begin(each, now_us)
        for each in new
        if each.kind is TroubleKind.RECEIPTS_FELL or (each.kind, each.cell) in doubted_before
    ]
    return changed + begun[: max(STANDING_MAX - len(own), 0)]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a process sees at one look of what it attends to."""

    found: tuple[Trouble, ...]
    lingers: frozenset[Name] = frozenset()  # of which it can't tell yet
    over: frozenset[Name] = frozenset()
    since_us: int  # when it began to look: what nobody saw before that may still be there


def attend(standing: Sequence[Episode], sight: Sight, now_us: int) -> list[Episode]:
    """Return the alarms that begin, go on or end by what is seen; none of the model's."""
    left = {each.trouble.name: each for each in standing if each.trouble.kind not in LEARNT}
    room = ATTENDED_MAX - len(left)
    changed: list[Episode] = []
    begun: list[Episode] = []
    for trouble in sight.found:
        episode = left.pop(trouble.name, None)
        if episode is None:
            begun.append(_begin(trouble, now_us))
        else:
            changed.append(_go_on(episode, trouble, now_us))
    for name, episode in left.items():
        unseen_us = now_us - max(episode.seen_us, sight.since_us)
        if name in sight.lingers:
            seen_us = max(episode.seen_us, now_us)
            changed.append(msgspec.structs.replace(episode, seen_us=seen_us))
        elif name in sight.over or unseen_us >= QUIET_US:
            changed.append(_end(episode))
    return changed + begun[: max(room, 0)]


def _begin(trouble: Trouble, now_us: int) -> Episode:
    return Episode(began_us=trouble.began_us, raised_us=now_us, seen_us=now_us, trouble=trouble)


def _end(episode: Episode) -> Episode:
    """End an alarm when it was seen last."""
    return msgspec.structs.replace(episode, ended_us=max(episode.seen_us, episode.began_us))


def _worst_first(trouble: Trouble) -> tuple[int, Cell]:
    return -trouble.messages_at_risk, trouble.cell


def _is_same(one: Trouble, other: Trouble) -> bool:
    return one.kind is other.kind and one.cell == other.cell


def _is_related(one: Trouble, other: Trouble) -> bool:
    return one.kind is other.kind and meet(one.cell, other.cell)


def _go_on(episode: Episode, trouble: Trouble, now_us: int) -> Episode:
    """Take the newest evidence, and the earliest beginning and the greatest loss of all."""
    money = [
        each
        for each in (episode.trouble.money_at_risk, trouble.money_at_risk)
        if each is not None
    ]
    at_risk = max(episode.trouble.messages_at_risk, trouble.messages_at_risk)
    return msgspec.structs.replace(
        episode,
        began_us=min(episode.began_us, trouble.began_us),
        seen_us=max(episode.seen_us, now_us),
        trouble=msgspec.structs.replace(
            trouble, messages_at_risk=at_risk, money_at_risk=max(money, default=None)
        ),
    )
