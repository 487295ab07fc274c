"""Decide whom a throttled answer concerns: one message, or the whole bind.

Providers say "too much" (0x58) and "queue full" (0x14) both of a bind that is too fast and of
one recipient whose own queue is full; nothing in the answer tells which. Who else meets it
does. A number that is throttled between successes of others is put off by itself. The bind is
slowed when several numbers meet it that were not throttled before, and they are a good part
of the answers.

A number that was throttled and not taken since is a *suspect*: that it is throttled again says
nothing of the bind, so it never slows one. Sometimes suspects come first on a quiet bind, and
it is slowed before anybody else could succeed. Then what follows tells: if others are taken,
nobody new is throttled, and the very numbers that caused it are throttled again, the bind is
absolved and goes on at its full pace. If one of them is taken, it was the bind after all.

    number's answers      it is            what its throttle says
    ───────────────────   ──────────────   ──────────────────────────────────────────
    none, or taken last   fresh            counts against the bind
    throttled last        a suspect        nothing; or that a slowed bind isn't to blame

A load test to one number at too high a pace has only one number to show: it is taken and
throttled in turn. So the bind is slowed as well when half of the answers are throttled, that
number was the last to be taken, and nobody else is, for whom it would matter.

A sender, a country or all long messages may be throttled for good, each to a number that is
fresh. When a bind is slowed and all who met it have such a *trait* in common, and none with it
was taken meanwhile, the trait is accused first. Others without it are tried then: if they are
taken, the bind is absolved, and what has the trait is suspect like a number until one of it is
taken. If one of them is throttled as well, it was the bind after all.

Everything here costs the same at each answer, however many numbers there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from enum import Enum
from typing import Final

ANSWERS_MAX: Final = 100  # the recent answers among which throttles are weighed
FRESH_LEAST: Final = 3  # different numbers; two may be chance
FRESH_SHARE: Final = 10  # one in ten: recipients that are full are far fewer than that
THROTTLED_SHARE: Final = 2  # one in two, whoever they are
ALONE_LEAST: Final = 20  # answers without anybody else's success
OTHERS_LEAST: Final = 5  # taken since, before suspects can absolve the bind
SUSPECTS_MAX: Final = 1_000  # numbers remembered, about 100 kB
ACQUITTED_BY: Final = 3  # others taken in a row, before a trait is at fault and not the bind
TRAITS_MAX: Final = 1_000  # remembered of each sort
SUSPECT_US: Final = 600_000_000  # for so long; a handset's queue empties in minutes


class Verdict(Enum):
    """Whom a throttled answer concerns."""

    MESSAGE = "message"  # put this one off
    BIND = "bind"  # and slow the bind
    ABSOLVED = "absolved"  # put this one off; that the bind is slow was its doing


class Blame:
    """What recent answers of one provider say; time is handed in, in microseconds."""

    __slots__ = (
        "_accused",
        "_again",
        "_alone_since",
        "_answers",
        "_fresh",
        "_last",
        "_offenders",
        "_others",
        "_since",
        "_suspects",
        "_taken_at",
        "_throttled",
        "_traits",
        "_unheard",
        "_without",
    )

    def __init__(self) -> None:
        """Begin with nobody suspected."""
        self._answers = 0  # all there were
        self._since = 0  # of them, before what counts
        self._last = ""  # the number that was taken last
        self._alone_since = 0  # which answer was the first of its row of successes
        self._throttled: deque[int] = deque()  # which of them were throttled
        # And which were of fresh numbers, with what they have in common with others.
        self._fresh: deque[tuple[int, str, Collection[str]]] = deque()
        self._suspects: dict[str, int] = {}  # numbers, and when they were throttled last
        self._offenders: set[str] = set()  # for whom the bind was slowed
        self._again: set[str] = (
            set()
        )  # of them, who were throttled again beside others' success
        self._others = (
            0  # taken since the bind was slowed, or since somebody fresh was throttled
        )

        self._taken_at: dict[str, int] = {}  # which answer was the last to take a trait
        self._accused: set[str] = set()  # traits of all for whom the bind was slowed
        self._without = 0  # taken since then, of those without them
        self._traits: dict[str, int] = {}  # traits that are suspect, and since when
        self._unheard = 0  # of them, throttled since anything was taken

    @property
    def suspects(self) -> int:
        """How many numbers are suspected."""
        return len(self._suspects)

    @property
    def accuses_traits(self) -> bool:
        """Whether all for whom the bind was slowed have something in common."""
        return bool(self._accused)

    def is_accused(self, traits: Collection[str]) -> bool:
        """Tell whether a message has all that is accused; one that hasn't tells more."""
        return bool(self._accused) and self._accused.issubset(traits)

    def taken(self, number: str, traits: Collection[str] = ()) -> Verdict:
        """Note that the provider took a message to a number; it may absolve the bind."""
        self._answers += 1
        if number != self._last:
            self._last, self._alone_since = number, self._answers
        self._unheard = 0
        verdict = self._note_traits(traits)
        if not self._suspects:
            return verdict
        self._suspects.pop(number, None)
        if number in self._offenders:
            self._forgive()
        elif self._offenders:
            self._others += 1
        return verdict

    def _note_traits(self, traits: Collection[str]) -> Verdict:
        """Clear the traits of what was taken; absolve the bind once others prove it well."""
        for trait in traits:
            self._taken_at[trait] = self._answers
            self._traits.pop(trait, None)
        while len(self._taken_at) > TRAITS_MAX:
            del self._taken_at[next(iter(self._taken_at))]
        if not self._accused:
            return Verdict.MESSAGE
        self._accused.difference_update(traits)
        self._without += 1
        if not self._accused or self._without < ACQUITTED_BY:
            return Verdict.MESSAGE
        for trait in self._accused:
            self._traits[trait] = 0
        while len(self._traits) > TRAITS_MAX:
            del self._traits[next(iter(self._traits))]
        self._accused.clear()
        self._forgive()
        return Verdict.ABSOLVED

    def _is_suspect_by_trait(self, traits: Collection[str], now_us: int) -> bool:
        for trait in traits:
            since_us = self._traits.get(trait)
            if since_us == 0:
                self._traits[trait] = now_us
            elif since_us is not None and now_us - since_us >= SUSPECT_US:
                del self._traits[trait]
                continue
            if since_us is not None:
                return True
        return False

    def throttled(
        self, number: str, now_us: int, *, held: bool, traits: Collection[str] = ()
    ) -> Verdict:
        """Note that a message to a number was throttled, and say whom it concerns.

        `held` says that the bind is held already: then it is one of those under way.
        """
        if self._traits and self._is_suspect_by_trait(traits, now_us):
            self._unheard += 1
            if self._unheard < ANSWERS_MAX:
                return Verdict.MESSAGE
            self._traits.clear()  # nobody else is there to show that the bind is well
        if self._accused:
            self._accused.intersection_update(traits)
            self._without = 0
        self._answers += 1
        is_fresh = now_us - self._suspects.pop(number, -SUSPECT_US) >= SUSPECT_US
        self._suspect(number, now_us)
        if held:
            if is_fresh and len(self._offenders) < ANSWERS_MAX:
                self._offenders.add(number)
            return Verdict.BIND
        self._throttled.append(self._answers)
        if is_fresh:
            self._fresh.append((self._answers, number, traits))
            self._others = 0
            self._again.clear()
        elif self._is_absolved_by(number):
            self._forgive()
            return Verdict.ABSOLVED
        if not self._is_the_bind(number):
            return Verdict.MESSAGE
        self._accuse()
        return Verdict.BIND

    def _suspect(self, number: str, now_us: int) -> None:
        if len(self._suspects) >= SUSPECTS_MAX:
            del self._suspects[next(iter(self._suspects))]  # the one throttled longest ago
        self._suspects[number] = now_us

    def _is_absolved_by(self, number: str) -> bool:
        if number in self._offenders and self._others >= OTHERS_LEAST:
            self._again.add(number)
        return len(self._again) >= FRESH_LEAST

    def _is_the_bind(self, number: str) -> bool:
        before = max(self._since, self._answers - ANSWERS_MAX)
        answers = self._answers - before
        while self._throttled[0] <= before:
            self._throttled.popleft()
        while self._fresh and self._fresh[0][0] <= before:
            self._fresh.popleft()
        is_alone = number == self._last and self._answers - self._alone_since >= ALONE_LEAST
        if is_alone and len(self._throttled) * THROTTLED_SHARE >= answers:
            return True
        if len(self._fresh) * FRESH_SHARE < answers:
            return False
        return len({each for _, each, _ in self._fresh}) >= FRESH_LEAST

    def _accuse(self) -> None:
        """Remember who slowed the bind; what comes after it is weighed anew."""
        self._forgive()
        self._offenders.update(number for _, number, _ in self._fresh)
        self._accused = self._in_common()
        self._without = 0
        self._fresh.clear()
        self._throttled.clear()
        self._since = self._answers

    def _in_common(self) -> set[str]:
        """Return the traits of all who were throttled, but for those that were taken beside."""
        if not self._fresh:
            return set()
        first = self._fresh[0][0]
        common = set(self._fresh[0][2])
        for _, _, traits in self._fresh:
            common.intersection_update(traits)
        return {each for each in common if self._taken_at.get(each, 0) < first}

    def _forgive(self) -> None:
        self._offenders.clear()
        self._again.clear()
        self._others = 0
