"""What a part of the bench measures, and how rounds of it become one result."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Self

LEAST = 40  # requests of a part that is scaled down to nearly nothing


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row: rates, latencies, and what the serving process took for it. 0: not measured."""

    name: str
    messages: int
    accepted_per_s: float = 0.0
    settled_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    cpu_us_per_message: float = 0.0
    rss_mb: float = 0.0  # the most of one process
    limit: str = ""  # what was measured beside it
    to_limit: float = 0.0  # its rate as a share of that

    def timed(self, latencies: Sequence[float]) -> Self:
        """Return it with the percentiles of sorted seconds."""
        return replace(
            self,
            p50_ms=quantile(latencies, 0.5),
            p99_ms=quantile(latencies, 0.99),
            p999_ms=quantile(latencies, 0.999),
        )

    def beside(self, limit: str, per_s: float) -> Self:
        """Return it beside a limit, by what it settled or, if nothing was to settle, took."""
        rate = self.settled_per_s or self.accepted_per_s
        return replace(self, limit=limit, to_limit=rate / per_s)


@dataclass(kw_only=True)
class Found:
    """What one round of a part found: rows to show, and measures to judge by."""

    figures: list[Figure] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything."""

    scale: float = 1.0
    rounds: int = 3
    stored: int = 10_000_000
    say: Callable[[str], None] = print

    def of(self, count: int, least: int = LEAST) -> int:
        """Return a number of messages at this scale."""
        return max(least, int(count * self.scale))

    def seconds(self, count: float) -> float:
        """Return a stretch of time at this scale, at least half a second."""
        return max(0.5, count * self.scale)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A measure over the rounds."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Return the middle and the ends of some values."""
    return Spread(median=statistics.median(values), least=min(values), most=max(values))


def spreads(rounds: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Return each measure over all rounds that have it."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: spread([each[name] for each in rounds if name in each]) for name in names}


def median_of(figures: Sequence[Figure]) -> Figure:
    """Return the median of each number; a whole run's is no more than its parts'."""
    numbers = [each.name for each in fields(figures[0]) if each.type == "float"]
    middle = {
        name: statistics.median(getattr(each, name) for each in figures) for name in numbers
    }
    return replace(figures[0], **middle)


def medians(rounds: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return each row's median over the rounds, in the order of the first that has it."""
    found: dict[str, list[Figure]] = {}
    for figures in rounds:
        for each in figures:
            found.setdefault(each.name, []).append(each)
    return [median_of(each) for each in found.values()]


def quantile(latencies: Sequence[float], share: float) -> float:
    """Return a quantile of sorted seconds, in milliseconds."""
    if not latencies:
        return 0.0
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000


def percentiles(latencies: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile of sorted seconds, in milliseconds."""
    return quantile(latencies, 0.5), quantile(latencies, 0.99)
