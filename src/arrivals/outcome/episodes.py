"""Tell when an alarm begins, goes on and ends, from what is found wrong at each look.

             found                 not found for QUIET_US
    nothing ───────▶ standing alarm ─────────────────────▶ ended, when it was last found
               │           ▲  │
     only doubted: at two  └──┘ found again: newest evidence, greatest loss
     looks in a row

One cause is one alarm though its name may change: as more is known, what was a carrier's
trouble turns out to be one provider's there, or the other way round. So what is found belongs
to the standing alarm of its own cell, else to one that may have messages in common with it.
Who looks may change as well, or start anew: an alarm lives in its record, and ends only after
nobody has found it for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from arrivals.outcome.alarms import meet
from arrivals.outcome.hierarchy import words_of

QUIET_US: Final = 5 * 60 * 1_000_000  # an alarm that nobody found for so long is over
STANDING_MAX: Final = 200  # alarms at once; more begin when others end

PUBLIC_LEVELS: Final = 3  # of a cell, down to its provider: below stand customers

Cell = tuple[str, ...]


class TroubleKind(StrEnum):
    """What is wrong."""

    RECEIPTS_FELL = "receipts_fell"
    RECEIPTS_DOUBTED = "receipts_doubted"


_PUBLIC: Final = {
    TroubleKind.RECEIPTS_FELL: "fell",
    TroubleKind.RECEIPTS_DOUBTED: "are in doubt",
}


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is found wrong at one look."""

    kind: TroubleKind
    cell: Cell
    began_us: int  # where the change probably was; of receipts in doubt: when it was looked at
    words: str  # for operators: they name senders, and count a customer's messages
    goes_with: str | None = None
    expected: float | None = None  # positive receipts, since it began
    observed: int | None = None
    messages_at_risk: int
    money_at_risk: int | None = None  # micro-units that those messages cost

    @property
    def public_words(self) -> str:
        """Say to anybody what is wrong, on which carrier and provider, and of no customer."""
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
    left, new = list(standing), sorted(found, key=_worst_first)
    changed: list[Episode] = []
    for same in (_is_same, _is_related):  # those of the same cell first
        for trouble in list(new):
            episode = next((each for each in left if same(each.trouble, trouble)), None)
            if episode is not None:
                left.remove(episode)
                new.remove(trouble)
                changed.append(_go_on(episode, trouble, now_us))
    changed += [
        msgspec.structs.replace(each, ended_us=max(each.seen_us, each.began_us))
        for each in left
        if now_us - each.seen_us >= QUIET_US
    ]
    doubted_before = set(before)
    begun = [
        Episode(began_us=each.began_us, raised_us=now_us, seen_us=now_us, trouble=each)
        for each in new
        if each.kind is TroubleKind.RECEIPTS_FELL or (each.kind, each.cell) in doubted_before
    ]
    return changed + begun[: max(STANDING_MAX - len(standing), 0)]


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
