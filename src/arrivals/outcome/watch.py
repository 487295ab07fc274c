"""Watch cells for a fall in positive receipts: each message once, at its cell's checkpoint.

A message waits here from its hand-off to its checkpoint, some seconds as a rule. Then its
charts hear whether it had a positive receipt: those of its carrier, its provider there, and
its sender there. When one rings, all cells are compared over the same time, so that one cause
is said once; and from the first warning its route's messages are told apart by sender,
template, link and hour, so that the alarm can say what it goes with.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from arrivals.core.instants import rfc3339
from arrivals.outcome.alarms import Node, explained, meet
from arrivals.outcome.attribution import Dimension, Tally, says, slices
from arrivals.outcome.change import (
    Alarm,
    Chart,
    Kind,
    Level,
    Limits,
    observe,
    standing,
)
from arrivals.outcome.change import level as level_of
from arrivals.outcome.episodes import Trouble, TroubleKind
from arrivals.outcome.hierarchy import Key, Path, words_of
from arrivals.outcome.recent import Recent
from arrivals.outcome.solved import limits_of

WAITING_MAX: Final = 100_000  # messages before their checkpoint; more aren't watched
CHARTS_MAX: Final = 10_000
WATCHED: Final = (2, 3, 4)  # levels of a path: carrier, provider there, sender there
SILENT_MAX: Final = 10_000  # of one route, since something seems wrong there
MISSING_MIN: Final = 0.7  # of what is silent in a slice, to say of one that it was kept
_ROUTE: Final = 3


class Waiting(NamedTuple):
    """A message before its checkpoint."""

    path: Path
    usual: float  # the chance that it has a positive receipt by then
    sent_us: int
    price: int
    text: str | None  # looked at only when something seems wrong


class Watch:
    """The charts of one learner."""

    def __init__(self, key: bytes) -> None:
        """Start with every cell clear; `key` is for the hashes that stand for templates."""
        self._key = key
        self._waiting: dict[int, Waiting] = {}
        self._due: list[tuple[int, int]] = []
        self._heard: set[int] = set()
        self._charts: dict[Key, tuple[Chart, Recent]] = {}
        self._tallies: dict[Key, Tally] = {}
        self._silent: dict[Key, dict[int, None]] = {}  # message keys, the eldest first

    def __len__(self) -> int:
        """Return how many messages wait for their checkpoint."""
        return len(self._waiting)

    def sent(self, key: int, due_us: int, waiting: Waiting) -> None:
        """Wait for a message's checkpoint."""
        if len(self._waiting) < WAITING_MAX and key not in self._waiting:
            self._waiting[key] = waiting
            heapq.heappush(self._due, (due_us, key))

    def heard(self, key: int) -> None:
        """Note a positive receipt; after the checkpoint it changes nothing."""
        if key in self._waiting:
            self._heard.add(key)

    def look(self, now_us: int) -> list[Alarm]:
        """Take in all messages whose checkpoint has come; return alarms that began or ended."""
        changed: list[Alarm] = []
        while self._due and self._due[0][0] <= now_us:
            due_us, key = heapq.heappop(self._due)
            message = self._waiting.pop(key)
            positive = key in self._heard
            self._heard.discard(key)
            changed += self._one(key, message, due_us, positive=positive)
        return changed

    def kept(self) -> list[tuple[Key, Chart, Recent]]:
        """Return the charts as they stand; what waits for its checkpoint isn't among them."""
        return [(key, *found) for key, found in sorted(self._charts.items())]

    def restore(self, charts: Iterable[tuple[Key, Chart, Recent]]) -> None:
        """Go on from charts that were kept."""
        self._charts = {key: (chart, recent) for key, chart, recent in charts}

    def troubles(self, now_us: int) -> list[Trouble]:
        """Say what is wrong now: one trouble a cause, and what goes with it."""
        raised = [chart for chart, _ in self._charts.values() if chart.raised_message]
        if not raised:
            return []
        since_us = min(chart.fall.began_us for chart in raised)
        nodes = [
            recent.since(since_us, now_us, cell=key, alarmed=bool(chart.raised_message))
            for key, (chart, recent) in self._charts.items()
        ]
        return [self._trouble(each, since_us) for each in explained(nodes)]

    @property
    def is_alarmed(self) -> bool:
        """Whether any alarm is on."""
        return any(chart.raised_message for chart, _ in self._charts.values())

    def alarmed(self, path: Path) -> Key | None:
        """Return the narrowest cell on a path whose alarm is on."""
        for level in reversed(WATCHED):
            found = self._charts.get(path[:level])
            if found is not None and found[0].raised_message:
                return path[:level]
        return None

    def alike_lack(self, path: Path, text: str | None, sent_us: int) -> bool:
        """Tell whether most of what is silent in a slice of a message's is so unlike the rest.

        Only of a route whose alarm is on: what goes with it was told apart since it began.
        """
        tally = self._tallies.get(path[:_ROUTE])
        if tally is None or self.alarmed(path) is None:
            return False
        own = self._slices(path, text, sent_us)
        return any(
            own.get(each.dimension) == each.value and each.missing_of_silent >= MISSING_MIN
            for each in tally.findings()
        )

    def silent(self) -> list[int]:
        """Return the messages that an alarm may be about, of routes where one is on."""
        routes = {
            key[:_ROUTE] for key, (chart, _) in self._charts.items() if chart.raised_message
        }
        return [
            message
            for route, messages in self._silent.items()
            if routes & {route, route[: _ROUTE - 1]}
            for message in messages
        ]

    def settled(self, messages: Iterable[int]) -> None:
        """Forget messages of which nothing more need be said."""
        done = set(messages)
        for route, those in self._silent.items():
            self._silent[route] = {key: None for key in those if key not in done}

    def _slices(self, path: Path, text: str | None, sent_us: int) -> dict[Dimension, str]:
        return slices(
            sender=path[3],
            text=text,
            carrier=path[1],
            route=path[2],
            at_us=sent_us,
            key=self._key,
        )

    def _one(
        self, number: int, message: Waiting, at_us: int, *, positive: bool
    ) -> Iterator[Alarm]:
        wanted = limits_of(message.usual)
        for level in WATCHED:
            key = message.path[:level]
            found = self._charts.get(key)
            if found is None:
                if len(self._charts) >= CHARTS_MAX:
                    continue
                found = self._charts[key] = Chart(cell=key, kind=Kind.RECEIPTS), Recent()
            chart, recent = found
            recent.add(at_us, usual=message.usual, positive=positive)
            alarm = observe(
                chart,
                wanted,
                positive=positive,
                usual=message.usual,
                at_us=at_us,
                price=message.price,
            )
            if level == _ROUTE:
                self._tell_apart(number, message, chart, wanted, positive=positive)
            if alarm is not None:
                yield alarm

    def _tell_apart(
        self, number: int, message: Waiting, chart: Chart, wanted: Limits, *, positive: bool
    ) -> None:
        """Tally a route's messages by slice for as long as something seems wrong there."""
        key = message.path[:_ROUTE]
        if level_of(chart, wanted) is Level.CLEAR:
            self._tallies.pop(key, None)
            self._silent.pop(key, None)
            return
        tally = self._tallies.setdefault(key, Tally())
        found = self._slices(message.path, message.text, message.sent_us)
        tally.add(found, usual=message.usual, positive=positive)
        silent = self._silent.setdefault(key, {})
        if not positive and len(silent) < SILENT_MAX:
            silent[number] = None

    def _price_in(self, cell: Key) -> float:
        """Return the mean price of what is watched in a cell."""
        falls = [
            chart.fall
            for key, (chart, _) in self._charts.items()
            if len(key) == WATCHED[-1] and meet(key, cell)
        ]
        return sum(each.spent for each in falls) / max(sum(each.messages for each in falls), 1)

    def _trouble(self, cause: Node, since_us: int) -> Trouble:
        chart, _ = self._charts.get(cause.cell, (None, None))
        alarm = standing(chart) if chart is not None else None
        if alarm is not None:  # its own counts go back to its own beginning
            since_us, expected, observed = alarm.began_us, alarm.expected, alarm.observed
            at_risk, money = alarm.messages_at_risk, int(alarm.money_at_risk)
        else:
            expected, observed = cause.expected, cause.observed
            at_risk = round(max(0.0, 1.0 - observed / expected) * cause.messages)
            money = round(at_risk * self._price_in(cause.cell))
        tally = Tally()
        for route, each in self._tallies.items():
            if meet(route, cause.cell):
                tally.merge(each)
        found = tally.findings()
        return Trouble(
            kind=TroubleKind.RECEIPTS_FELL,
            cell=cause.cell,
            began_us=since_us,
            words=f"receipts of {words_of(cause.cell)} {_fell(observed, expected, since_us)}",
            goes_with=says(found[0]) if found else None,
            expected=expected,
            observed=observed,
            messages_at_risk=at_risk,
            money_at_risk=money,
        )


def _fell(observed: int, expected: float, since_us: int) -> str:
    """Say how far receipts fell, or that they are back: an alarm outlasts its cause."""
    since = rfc3339(since_us)
    if observed < expected:
        return f"fell: {observed} of {expected:.0f} expected since {since}"
    return f"fell at {since}, and come as before again"
