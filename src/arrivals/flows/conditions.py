"""What ails providers at this moment, and since when: one small table for who has to know.

The owner of a provider's bind notes it; alarms, the choice among providers, the moves to next
providers, explanations and metrics read it. A process knows of the binds that it owns. Since
when a provider ails outlasts a change of its owner: a bind that is dialled anew, for its
settings changed or another process has it, is as long away as it was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from arrivals.core.catalogue import Route
from arrivals.core.reasons import REASONS, Fault
from arrivals.providers.api import Answer, NotBound, Refused, Submission, Taken, Throttled

# A provider that refuses so many numbers in a row, or all of a minute's if they are a few at
# least, refuses what we send or how we write it, and not this or that message.
IN_A_ROW: Final = 20
FEW: Final = 5
ALL_OF_S: Final = 60.0
# Messages that it puts off come back to it at least twice in this time.
STILL_S: Final = 60.0
_KEPT_MAX: Final = 2 * IN_A_ROW  # destinations of messages that may be among them

# A provider from which nothing at all was heard since its bind is ours: what was said of it
# before may still be so, for as long.
UNTOLD_S: Final = 3_600.0


class Condition(StrEnum):
    """One thing that may be wrong with a provider."""

    AWAY = "away"  # no bind: it can't be reached
    BROKEN = "broken"  # it binds, and hand-offs to it get lost
    SLOWING = "slowing"  # its throttling holds back what could have gone out
    UNBOUND = "unbound"  # it takes our binds, and says that we have none
    SHORT = "short"  # messages may go out, and not all of its binds are there


class _Heard:
    """What was heard of one provider since its bind is ours."""

    def __init__(self, now: float, before: _Heard | None) -> None:
        self.since = now
        self.up_since: float | None = None
        self.answered = False  # anything at all
        self.took = False  # any message
        self.reported = False  # with a receipt
        # Messages taken since its last receipt, and when the first of them was.
        self.taken: int = before.taken if before else 0
        self.taken_since: float = before.taken_since if before else now


class Conditions:
    """The conditions of the providers whose binds this process owns."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Condition], float] = {}
        self._left: dict[tuple[str, Condition], float] = {}  # since when, without an owner here
        self._ours: dict[str, _Heard] = {}
        self._was_ours: dict[str, _Heard] = {}
        self.held_s: dict[str, float] = {}  # of those that are slowing us
        self._unbound_at: dict[str, float] = {}  # when it was said last, or wasn't
        self.lacks: dict[str, str] = {}  # of those that are short: what
        self.refusals: dict[str, str] = {}  # of those that refuse a bind: with what words
        self.refusing: dict[str, RefusalWatch] = {}

    @property
    def owned(self) -> list[str]:
        """Return the providers of which this process knows how they are."""
        return list(self._ours)

    def note(
        self, provider_id: str, condition: Condition, now: float, *, there: bool
    ) -> float | None:
        """Note whether a condition is there; return for how many seconds it has been."""
        place = (provider_id, condition)
        before = self._left.pop(place, now)
        ours = self._of(provider_id, now)
        if condition is Condition.AWAY:
            up_since = now if ours.up_since is None else ours.up_since
            ours.up_since = None if there else up_since
        if not there:
            was_there = self._since.pop(place, None) is not None
            ours.answered |= was_there and condition is Condition.BROKEN
            return None
        return now - self._since.setdefault(place, before)

    def elsewhere(self, provider_id: str, now: float, *, up: bool) -> None:
        """Note how a provider is whose bind another process owns, in case it comes to us."""
        if provider_id in self._ours:
            return
        self._was_ours.pop(provider_id, None)
        if not up:
            self._left.setdefault((provider_id, Condition.AWAY), now)
            return
        for condition in Condition:
            self._left.pop((provider_id, condition), None)

    def slowed(self, provider_id: str, held_s: float, now: float) -> None:
        """Note for how long a provider has held us back; 0: it doesn't."""
        self.note(provider_id, Condition.SLOWING, now, there=held_s > 0)
        if held_s > 0:
            self.held_s[provider_id] = held_s
        else:
            self.held_s.pop(provider_id, None)

    def bound(self, provider_id: str, lacks: str, refusal: str, now: float) -> None:
        """Note which binds of a provider aren't there, and with what it refuses them.

        Of one that is away that it lacks any is neither so nor over.
        """
        if not self.has(provider_id, Condition.AWAY):
            self.note(provider_id, Condition.SHORT, now, there=bool(lacks))
            self.lacks[provider_id] = lacks
        self.refusals[provider_id] = refusal

    def over(self, provider_id: str) -> None:
        """Leave a provider to whoever owns its bind next, with the times since when it ails."""
        for condition in Condition:
            since = self._since.pop((provider_id, condition), None)
            if since is not None:
                self._left[provider_id, condition] = since
        if (ours := self._ours.pop(provider_id, None)) is not None:
            self._was_ours[provider_id] = ours
        self.held_s.pop(provider_id, None)
        self._unbound_at.pop(provider_id, None)
        self.lacks.pop(provider_id, None)
        self.refusals.pop(provider_id, None)
        self.refusing.pop(provider_id, None)

    def forget(self, provider_id: str) -> None:
        """Forget a provider that isn't in the catalogue any more."""
        self.over(provider_id)
        self._was_ours.pop(provider_id, None)
        for condition in Condition:
            self._left.pop((provider_id, condition), None)

    def has(self, provider_id: str, condition: Condition) -> bool:
        """Tell whether a condition is there."""
        return (provider_id, condition) in self._since

    def words(self, provider_id: str) -> str | None:
        """Say what ails a provider that can be reached, as the rest of a sentence."""
        if self.has(provider_id, Condition.UNBOUND):
            return "says that we aren't bound"
        if self.has(provider_id, Condition.BROKEN):
            return "takes messages and never answers, so they go out one at a time"
        return "is slowing us" if self.has(provider_id, Condition.SLOWING) else None

    def in_words(self) -> dict[str, str]:
        """Say of each provider of ours what ails it, if anything does, as it is now."""
        found: dict[str, str] = {}
        for name in self._ours:
            refusal = self.refusals.get(name)
            why = f": {refusal}" if refusal else ""
            if self.has(name, Condition.AWAY):
                found[name] = f"is away{why}"
            elif words := self.words(name):
                found[name] = words
            elif self.has(name, Condition.SHORT):
                found[name] = f"lacks {self.lacks[name]}{why}"
        return found

    def lasted_s(self, provider_id: str, condition: Condition, now: float) -> float | None:
        """Return for how long a condition has been there; None: it isn't."""
        since = self._since.get((provider_id, condition))
        return None if since is None else now - since

    def is_asked(self, provider_id: str, now: float) -> bool:
        """Tell whether hand-offs go there still, of a provider that says we aren't bound."""
        return now - self._unbound_at.get(provider_id, -STILL_S) < STILL_S

    def is_untold(self, provider_id: str, now: float) -> bool:
        """Tell whether a provider has answered nothing yet since it is ours."""
        ours = self._of(provider_id, now)
        return not ours.answered and now - ours.since < UNTOLD_S

    def is_untried(self, provider_id: str, now: float) -> bool:
        """Tell whether a provider has taken nothing yet since it is ours."""
        ours = self._of(provider_id, now)
        return not ours.took and now - ours.since < UNTOLD_S

    def is_unreported(self, provider_id: str, now: float) -> bool:
        """Tell whether no receipt of a provider has come yet since it is ours."""
        ours = self._of(provider_id, now)
        return not ours.reported and (ours.taken > 0 or now - ours.since < UNTOLD_S)

    def silence(self, provider_id: str, now: float) -> tuple[int, float]:
        """Return how many messages a provider took since its last receipt, and for how long.

        While it is away, and at first after it, nothing can come.
        """
        ours = self._of(provider_id, now)
        if ours.up_since is None or not ours.taken:
            return ours.taken, 0.0
        return ours.taken, now - max(ours.taken_since, ours.up_since)

    @property
    def unusable(self) -> frozenset[str]:
        """Return the providers to which nothing should move."""
        found = (Condition.AWAY, Condition.BROKEN)
        return frozenset(name for name, each in tuple(self._since) if each in found)

    @property
    def troubled(self) -> frozenset[str]:
        """Return the providers to which nothing should move that is merely put off."""
        # Asked by the writer, beside the loop: the copy is one step.
        return frozenset(
            name for name, each in tuple(self._since) if each is not Condition.SHORT
        )

    def slows(self, provider_id: str, route: Route) -> bool:
        """Tell whether a provider has held us back for longer than a route waits for it."""
        limit_s = route.throttle_failover_s
        held_s = self.held_s.get(provider_id, 0.0)
        return route.failover and limit_s is not None and held_s > 0 and held_s >= limit_s

    def heard(self, provider_id: str, answers: Sequence[Answer], now: float) -> None:
        """Take in answers: whether a provider takes anything, or knows of our bind."""
        ours = self._of(provider_id, now)
        taken = throttled = unbound = 0
        for each in answers:
            result = each.result
            if isinstance(result, Taken):
                taken += 1
                self.refusing.pop(provider_id, None)
            elif isinstance(result, NotBound):
                unbound += 1
            elif isinstance(result, Throttled):
                throttled += 1
            elif isinstance(result, Refused):
                ours.answered = True
                self._refused(provider_id, each.key, result, now)
        if taken:
            ours.taken_since = ours.taken_since if ours.taken else now
            ours.taken += taken
            ours.took = True
        if taken or throttled or unbound:
            ours.answered = True
            is_bound = bool(taken or throttled)
            self.note(provider_id, Condition.UNBOUND, now, there=not is_bound)
            self._unbound_at[provider_id] = now

    def _refused(self, provider_id: str, key: int, refused: Refused, now: float) -> None:
        if blames_recipient(refused):
            return
        watch = self.refusing.get(provider_id)
        if watch is None:
            watch = self.refusing[provider_id] = RefusalWatch(now)
        watch.refused(key, refused.status)

    def reported(self, provider_id: str, now: float) -> None:
        """Note that receipts came."""
        ours = self._of(provider_id, now)
        ours.reported, ours.taken = True, 0

    def _of(self, provider_id: str, now: float) -> _Heard:
        found = self._ours.get(provider_id)
        if found is None:
            before = self._was_ours.pop(provider_id, None)
            found = self._ours[provider_id] = _Heard(now, before)
        return found

    def claimed(self, provider_id: str, batch: Sequence[Submission]) -> None:
        """Keep in mind to whom messages go while everything is refused."""
        watch = self.refusing.get(provider_id)
        if watch is not None:
            watch.claimed(batch)


class RefusalWatch:
    """The refusals that a provider gives in a row, whoever the recipients are."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._goes_to: dict[int, str] = {}
        self._refused: set[str] = set()  # destinations
        self._statuses: dict[int, int] = {}

    def claimed(self, batch: Sequence[Submission]) -> None:
        """Keep in mind to whom messages go, as many as can matter."""
        for each in batch[: max(0, _KEPT_MAX - len(self._goes_to))]:
            self._goes_to[each.key] = each.msisdn

    def refused(self, key: int, status: int) -> None:
        """Count a refusal; those of one destination count once."""
        msisdn = self._goes_to.pop(key, None)
        if len(self._refused) < IN_A_ROW:
            self._refused.add(msisdn or f"message {key}")
        self._statuses[status] = self._statuses.get(status, 0) + 1

    def lasted_s(self, now: float) -> float:
        """Return for how long it has refused."""
        return now - self._since

    def complaint(self, now: float) -> int | None:
        """Return the status that it refuses everything with, if it does."""
        count = len(self._refused)
        if count < IN_A_ROW and (count < FEW or now - self._since < ALL_OF_S):
            return None
        return max(self._statuses, key=lambda each: self._statuses[each])


def blames_recipient(refused: Refused) -> bool:
    """Tell whether a refusal is about the number, of which a list may hold many bad ones."""
    return (
        REASONS[refused.reason].fault is Fault.RECIPIENT or refused.reason == "invalid_number"
    )
