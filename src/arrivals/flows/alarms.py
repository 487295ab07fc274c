"""Say what has waited longer than it should, once when it begins and once when it ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from arrivals.core.catalogue import LANE_OF_CATEGORY, Flow
from arrivals.flows.conditions import Condition, Conditions, about_refusals
from arrivals.flows.platform import Platform
from arrivals.store.traces import Backlog

_log = logging.getLogger("arrivals.alarms")

READY_MAX_S: Final = 60.0
AWAY_MAX_S: Final = 60.0
SLOWING_MAX_S: Final = 10.0  # a hold or two is how providers say what they can take

# A condition must hold for this many looks before it's an alarm, and be gone for as many
# before it's over: what comes and goes between two looks is traffic.
LOOKS: Final = 2

LANE_NAMES: Final = {lane: name for name, lane in LANE_OF_CATEGORY.items()}


class Alarms:
    """The alarms of one process; the platform shows what is raised."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._looks: dict[str, int] = {}  # how often in a row each was there, or was gone (< 0)

    async def look(self) -> None:
        """Look once, and say what began or ended."""
        platform = self._platform
        now_us = platform.clock.now_us()
        lanes = [
            (name, lane)
            for name, provider in platform.catalogue.providers.items()
            if provider.flow is not Flow.PAUSED
            for lane in LANE_NAMES
        ]
        backlog: Backlog = await platform.store.read(
            lambda reader: reader.backlog(lanes, now_us, platform.catalogue.paused())
        )
        self.weigh([*waiting(backlog, now_us), *self._ailing(), *platform.inbound.alarms()])

    def weigh(self, present: Sequence[str]) -> None:
        """Take note of what is there now, and raise or end what has been so long enough."""
        raised = set(self._platform.alarms)
        for name in sorted({*present, *raised, *self._looks}):
            there = name in present
            if there == (name in raised):
                self._looks.pop(name, None)
                continue
            looks = self._looks[name] = self._looks.get(name, 0) + 1
            if looks < LOOKS:
                continue
            del self._looks[name]
            if there:
                raised.add(name)
                _log.warning("alarm: %s", name)
            else:
                raised.remove(name)
                _log.warning("alarm over: %s", name)
        self._platform.alarms = tuple(sorted(raised))

    def _ailing(self) -> list[str]:
        """Return what is wrong with providers, for as long as it is."""
        conditions, now = self._platform.conditions, self._platform.clock.monotonic()
        away = conditions.lasting(Condition.AWAY, now, AWAY_MAX_S)
        short = conditions.lasting(Condition.SHORT, now, AWAY_MAX_S)
        # One that doesn't know of our bind answers: it loses nothing.
        broken = [
            name
            for name in conditions.lasting(Condition.BROKEN, now, 0.0)
            if not conditions.has(name, Condition.UNBOUND)
        ]
        unbound = conditions.unbound(now, AWAY_MAX_S)
        slowing = [name for name, held_s in conditions.held_s.items() if held_s > SLOWING_MAX_S]
        found = [f"provider {name} is away{_why(conditions, name)}" for name in away]
        found += [
            f"provider {name} lacks {conditions.lacks[name]}{_why(conditions, name)}"
            for name in short
        ]
        found += [
            f"provider {name} is broken: it takes messages and never answers" for name in broken
        ]
        found += [f"provider {name} says that we aren't bound" for name in unbound]
        found += [f"provider {name} is slowing us" for name in slowing]
        for name, watch in conditions.refusing.items():
            status = watch.complaint(now)
            if status is not None:
                found.append(about_refusals(name, status))
        return found


def _why(conditions: Conditions, name: str) -> str:
    refusal = conditions.refusals.get(name)
    return f" ({refusal})" if refusal else ""


def waiting(backlog: Backlog, now_us: int) -> list[str]:
    """Return what a backlog gives cause to say; without numbers, so that it stays the same."""
    found = [
        f"messages wait long in the {LANE_NAMES[lane]} lane of provider {name}"
        for name, lane, since_us in backlog.lane_heads
        if now_us - since_us > READY_MAX_S * 1_000_000
    ]
    if backlog.overdue:
        found.append("messages are past their outcome deadline")
    found += [
        f"receipts of provider {name} match no message: look at its ids_of, and at id_form in"
        " its dialect"
        for name in backlog.parked_of
    ]
    return found
