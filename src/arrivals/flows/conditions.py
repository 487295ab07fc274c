"""What ails providers at this moment, and since when: one small table for who has to know.

The owner of a provider's bind notes it; alarms, the choice among providers, the moves to next
providers, explanations and metrics read it. A process knows of the binds that it owns.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from arrivals.core.catalogue import Route
from arrivals.core.reasons import (
    REASONS,
    Fault,
    dialect_key,
    reason_for_status,
    status_name,
)
from arrivals.providers.api import Answer, NotBound, Refused, Submission, Taken, Throttled

# A provider that refuses so many numbers in a row, or all of a minute's if they are a few at
# least, refuses what we send or how we write it, and not this or that message.
IN_A_ROW: Final = 20
FEW: Final = 5
ALL_OF_S: Final = 60.0
# Messages that it puts off come back to it at least twice in this time.
STILL_S: Final = 60.0
_KEPT_MAX: Final = 2 * IN_A_ROW  # destinations of messages that may be among them

DIALECT: Final = REASONS["provider_dialect"].code


class Condition(StrEnum):
    """One thing that may be wrong with a provider."""

    AWAY = "away"  # no bind: it can't be reached
    BROKEN = "broken"  # it binds, and hand-offs to it get lost
    SLOWING = "slowing"  # its throttling holds back what could have gone out
    UNBOUND = "unbound"  # it takes our binds, and says that we have none
    SHORT = "short"  # messages may go out, and not all of its binds are there


class Conditions:
    """The conditions of the providers whose binds this process owns."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Condition], float] = {}
        self.held_s: dict[str, float] = {}  # of those that are slowing us
        self._unbound_at: dict[str, float] = {}  # when it was said last, or wasn't
        self.lacks: dict[str, str] = {}  # of those that are short: what
        self.refusals: dict[str, str] = {}  # of those that refuse a bind: with what words
        self.refusing: dict[str, RefusalWatch] = {}
        self.throttles: dict[tuple[str, str], int] = {}  # told so far, by provider and scope

    def note(
        self, provider_id: str, condition: Condition, now: float, *, there: bool
    ) -> float | None:
        """Note whether a condition is there; return for how many seconds it has been."""
        place = (provider_id, condition)
        if not there:
            self._since.pop(place, None)
            return None
        return now - self._since.setdefault(place, now)

    def slowed(self, provider_id: str, held_s: float, now: float) -> None:
        """Note for how long a provider has held us back; 0: it doesn't."""
        self.note(provider_id, Condition.SLOWING, now, there=held_s > 0)
        if held_s > 0:
            self.held_s[provider_id] = held_s
        else:
            self.held_s.pop(provider_id, None)

    def bound(self, provider_id: str, lacks: str, refusal: str, now: float) -> None:
        """Note which binds of a provider aren't there, and with what it refuses them."""
        self.note(provider_id, Condition.SHORT, now, there=bool(lacks))
        self.lacks[provider_id], self.refusals[provider_id] = lacks, refusal

    def over(self, provider_id: str) -> None:
        """Forget what was noted of a provider: its bind is somebody else's now."""
        for condition in Condition:
            self._since.pop((provider_id, condition), None)
        self.held_s.pop(provider_id, None)
        self.lacks.pop(provider_id, None)
        self.refusals.pop(provider_id, None)
        self.refusing.pop(provider_id, None)

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

    def lasting(self, condition: Condition, now: float, seconds: float) -> list[str]:
        """Return the providers that have had a condition for longer than so many seconds."""
        return [
            name
            for (name, each), since in self._since.items()
            if each is condition and now - since > seconds
        ]

    def unbound(self, now: float, seconds: float) -> list[str]:
        """Return the providers that have long said that we aren't bound, and still do."""
        return [
            name
            for name in self.lasting(Condition.UNBOUND, now, seconds)
            if now - self._unbound_at[name] < STILL_S
        ]

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
        """Take in answers: how often a provider throttles, and whether it takes anything."""
        watch = self.refusing.get(provider_id)
        bound = unbound = False
        for each in answers:
            result = each.result
            if isinstance(result, Taken):
                bound = True
                if watch is not None:
                    watch = None
                    del self.refusing[provider_id]
            elif isinstance(result, NotBound):
                unbound = True
            elif isinstance(result, Throttled):
                bound = True
                scope = (provider_id, "bind" if result.whole_bind else "message")
                self.throttles[scope] = self.throttles.get(scope, 0) + 1
            elif isinstance(result, Refused) and not blames_recipient(result):
                if watch is None:
                    watch = self.refusing[provider_id] = RefusalWatch(now)
                watch.refused(each.key, result.status)
        if bound or unbound:
            self.note(provider_id, Condition.UNBOUND, now, there=not bound)
            self._unbound_at[provider_id] = now

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


def about_refusals(provider_id: str, status: int) -> str:
    """Return the alarm of a provider that takes no message, and what to look at."""
    named = status_name(status)
    key = dialect_key(status)
    if key is None and reason_for_status(status).reason.code != DIALECT:
        return f"provider {provider_id} refuses every message ({named}): ask it why"
    where = f"look at `{key}` in its dialect" if key else "ask it how it wants them written"
    return f"provider {provider_id} refuses every message for its form ({named}): {where}"
