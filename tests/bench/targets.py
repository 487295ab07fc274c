"""What Arrivals is meant to reach, as ratios within one run wherever a ratio can say it.

Absolute figures of small machines drift by tens of percent from hour to hour; a ratio to
what the same machine gave a moment earlier hardly does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.figures import Spread


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound for one measure of one part."""

    part: str
    measure: str
    what: str
    unit: str = ""  # none: a ratio
    at_least: float | None = None
    at_most: float | None = None

    @property
    def words(self) -> str:
        """The bound in words."""
        bound, sign = (self.at_least, "≥") if self.at_most is None else (self.at_most, "≤")
        return f"{sign} {bound:,g}{f' {self.unit}' if self.unit else ''}"

    def is_held_by(self, measured: float) -> bool:
        """Tell whether a value is within the bound."""
        return (self.at_least is None or measured >= self.at_least) and (
            self.at_most is None or measured <= self.at_most
        )

    def reached(self, measured: float) -> float:
        """Return how far a value comes: 1 and more is held."""
        if self.at_least is not None:
            return measured / self.at_least
        if not self.at_most:
            return 1.0 if measured <= 0 else 0.0
        return self.at_most / max(measured, 1e-9)


TARGETS = (
    Target(part="sends", measure="closed_64_to_echo", at_least=0.45,
           what="single sends, acknowledged durably, 64 connections: to the raw echo"),
    Target(part="sends", measure="closed_64_p99_ms", at_most=12, unit="ms",
           what="the same: p99 of the acknowledgement"),
    Target(part="batches", measure="batch_accepted_per_s", at_least=60_000, unit="a second",
           what="a batch of 100,000 accepted, priced, debited and queued"),
    Target(part="mixed", measure="codes_free_wait_p99_ms", at_most=50, unit="ms",
           what="one code a second while 100,000 bulk messages wait:"
                " p99 of its wait for a free provider"),
    Target(part="growth", measure="ten_million_to_empty", at_least=0.85,
           what="10 million messages stored: to the empty database"),
    Target(part="memory", measure="queued_rss_mb", at_most=250, unit="MB",
           what="a million queued: resident memory of a process"),
    Target(part="overload", measure="overload_p99_ms", at_most=250, unit="ms",
           what="ten times the load: p99 of what is accepted"),
    Target(part="overload", measure="overload_goodput", at_least=0.9,
           what="ten times the load: accepted, to capacity"),
    Target(part="overload", measure="overload_lost", at_most=0, unit="orders",
           what="ten times the load: answered and lost"),
    Target(part="overload", measure="overload_retry_after_kept", at_least=0.9,
           what="ten times the load: told by Retry-After when to come, and taken then"),
    Target(part="slow-commit", measure="slow_to_plain", at_least=0.8,
           what="2 ms more a commit, 256 connections, end to end: to none"),
    Target(part="model", measure="learning_64", at_least=0.9,
           what="the model of outcomes learns, 64 connections, end to end: to not learning"),
    Target(part="model", measure="learning_256", at_least=0.9,
           what="the same over 256 connections"),
    Target(part="postgresql", measure="cluster_to_sqlite", at_least=0.5,
           what="PostgreSQL, 2 API and 2 worker processes, end to end: to one on SQLite"),
    Target(part="start-up", measure="dev_ready_s", at_most=2, unit="s",
           what="arrivals dev is ready"),
    Target(part="start-up", measure="import_s", at_most=0.3, unit="s",
           what="importing the command line"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a target; None was measured where its part never met the case."""

    target: Target
    measured: Spread | None

    @property
    def held(self) -> bool | None:
        """Whether the median is within the bound."""
        return None if self.measured is None else self.target.is_held_by(self.measured.median)


def verdicts(measures: Mapping[str, Mapping[str, Spread]]) -> list[Verdict]:
    """Judge the targets of all parts that ran, by part and measure."""
    return [
        Verdict(target=each, measured=measures[each.part].get(each.measure))
        for each in TARGETS
        if each.part in measures
    ]
