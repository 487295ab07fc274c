"""Say what an alarm goes with: which sender, template, link, carrier, route or hour.

Every message of the alarmed cell falls into one slice of each dimension. A slice is compared
with all messages outside it: what it lacks beyond what they would lead one to expect is what
it explains. That is correlation and is called so: two templates of one sender, or a route and
its carrier, may stand for each other, and a cause that no dimension shows is none of them.

Counts are bounded. Each dimension keeps its busiest values and adds the rest up; nothing that
identifies a text or a person is among them (`template.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from arrivals.core.instants import rfc3339
from arrivals.outcome.strata import Z_99, RiskRatio
from arrivals.outcome.template import link_host, template

VALUES_MAX: Final = 64  # a dimension; the least busy makes room
FINDINGS_MAX: Final = 5
EXPECTED_MIN: Final = 10.0  # inside a slice, and outside: less can't be compared
# Some hundred slices are looked at: with this, one alarm in a hundred names a slice by chance.
FINDING_Z_MIN: Final = 4.0
# Of slices that explain nearly as much as the best, the one that is hit hardest comes first.
NEARLY: Final = 0.75

_NONE: Final = 0.5  # messages: what none and all are counted short of, so that neither is sure
_HOUR_CHARS: Final = len("2026-11-22T19")


class Dimension(StrEnum):
    """What messages are told apart by."""

    SENDER = "sender"
    TEMPLATE = "template"
    LINK = "link"
    CARRIER = "carrier"
    ROUTE = "route"
    HOUR = "hour"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A slice that does worse than the messages outside it."""

    dimension: Dimension
    value: str
    messages: int
    expected: float
    observed: int
    explains: float  # the share of all that is missing
    ratio: RiskRatio  # inside against outside, each for what was expected there

    @property
    def missing_of_silent(self) -> float:
        """The share of its silent messages that wouldn't be silent, were it like the others."""
        own = max(self.observed, _NONE) / self.messages
        others = min(own / self.ratio.rr, 1.0)
        return max(others - own, 0.0) / max(1.0 - own, _NONE / self.messages)


class _Count:
    """What one slice should have shown, and showed."""

    __slots__ = ("expected", "last", "messages", "observed")

    def __init__(self) -> None:
        self.messages = 0
        self.expected = 0.0
        self.observed = 0
        self.last = 0  # which message of the tally it last had

    def take_in(self, other: _Count) -> None:
        self.messages += other.messages
        self.expected += other.expected
        self.observed += other.observed


def slices(
    *, sender: str, text: str | None, carrier: str | None, route: str, at_us: int, key: bytes
) -> dict[Dimension, str]:
    """Return the slices that a message falls into; an erased text has neither of its two."""
    found = {
        Dimension.SENDER: sender,
        Dimension.ROUTE: route,
        Dimension.HOUR: rfc3339(at_us)[:_HOUR_CHARS],
    }
    if carrier is not None:
        found[Dimension.CARRIER] = carrier
    if text is not None:
        found[Dimension.TEMPLATE] = template(text, key)
        host = link_host(text)
        if host is not None:
            found[Dimension.LINK] = host
    return found


class Tally:
    """The messages of one alarmed cell since its change began, by slice."""

    def __init__(self) -> None:
        self._whole = _Count()
        self._by_value: dict[Dimension, dict[str, _Count]] = {each: {} for each in Dimension}

    def add(self, message: Mapping[Dimension, str], *, usual: float, positive: bool) -> None:
        """Count one message, and the chance that it had."""
        self._count(self._whole, usual, positive=positive)
        for dimension, value in message.items():
            counts = self._by_value[dimension]
            count = counts.get(value)
            if count is None:
                if len(counts) >= VALUES_MAX:
                    del counts[_least_busy(counts)]
                count = counts[value] = _Count()
            self._count(count, usual, positive=positive)
            count.last = self._whole.messages

    def merge(self, other: Tally) -> None:
        """Add the messages of another cell; its rarest values may not find room."""
        for dimension, theirs in other._by_value.items():
            ours = self._by_value[dimension]
            for value, count in sorted(theirs.items(), key=lambda each: -each[1].messages):
                if value in ours or len(ours) < VALUES_MAX:
                    ours.setdefault(value, _Count()).take_in(count)
        self._whole.take_in(other._whole)

    @staticmethod
    def _count(count: _Count, usual: float, *, positive: bool) -> None:
        count.messages += 1
        count.expected += usual
        count.observed += positive

    def findings(self) -> list[Finding]:
        """Return the slices that the lack goes with, the one that explains most first."""
        if self._whole.expected <= self._whole.observed:
            return []
        found = [
            finding
            for dimension, counts in self._by_value.items()
            for value, count in counts.items()
            if (finding := self._finding(dimension, value, count)) is not None
        ]
        most = max((each.explains for each in found), default=0.0)
        found.sort(key=lambda each: _rank(each, most))
        return found[:FINDINGS_MAX]

    def _finding(self, dimension: Dimension, value: str, inside: _Count) -> Finding | None:
        whole = self._whole
        outside = _Count()
        outside.messages = whole.messages - inside.messages
        outside.expected = whole.expected - inside.expected
        outside.observed = whole.observed - inside.observed
        if min(inside.expected, outside.expected) < EXPECTED_MIN:
            return None
        share = min(1.0, outside.observed / outside.expected)
        by_the_others = share * inside.expected
        if by_the_others - inside.observed < FINDING_Z_MIN * _error(inside, outside):
            return None
        return Finding(
            dimension=dimension,
            value=value,
            messages=inside.messages,
            expected=inside.expected,
            observed=inside.observed,
            explains=min(
                1.0, (by_the_others - inside.observed) / (whole.expected - whole.observed)
            ),
            ratio=_ratio(inside, outside),
        )


def says(finding: Finding) -> str:
    """Return a finding as a sentence that claims no cause."""
    ratio = finding.ratio
    return (
        f"{finding.dimension} {finding.value} goes with {finding.explains:.0%} of what is"
        f" missing: {finding.observed} of {finding.expected:.0f} expected,"
        f" {ratio.rr:.2f} times what the others show ({ratio.low:.2f} to {ratio.high:.2f});"
        " a correlation, not a cause"
    )


def _least_busy(counts: Mapping[str, _Count]) -> str:
    # Of equals the one that has been quiet longest: a busy newcomer comes again first.
    return min(counts, key=lambda value: (counts[value].messages, counts[value].last))


def _rank(finding: Finding, most: float) -> tuple[bool, float, Dimension, str]:
    if finding.explains >= NEARLY * most:
        return False, finding.ratio.rr, finding.dimension, finding.value
    return True, -finding.explains, finding.dimension, finding.value


def _error(inside: _Count, outside: _Count) -> float:
    """Return the standard error of what is missing inside, were it as it is outside."""
    share = min(1.0, (outside.observed + 0.5) / (outside.expected + 0.5))
    # Sums of certain chances may round to a little more than certain.
    chance = min(1.0, share * inside.expected / inside.messages)
    chance_outside = min(1.0, share * outside.expected / outside.messages)
    own = inside.messages * chance * (1 - chance)
    theirs = outside.messages * chance_outside * (1 - chance_outside)
    return math.sqrt(own + theirs * (inside.expected / outside.expected) ** 2)


def _ratio(inside: _Count, outside: _Count) -> RiskRatio:
    """Compare two standardised rates; half a message keeps none and all from being certain."""
    logarithm, variance = 0.0, 0.0
    for count, sign in ((inside, 1), (outside, -1)):
        observed = min(max(float(count.observed), _NONE), count.messages - _NONE)
        logarithm += sign * math.log(observed / count.expected)
        variance += 1 / observed - 1 / count.messages
    rr, se_log = math.exp(logarithm), math.sqrt(variance)
    factor = math.exp(Z_99 * se_log)
    return RiskRatio(rr=rr, low=rr / factor, high=rr * factor, se_log=se_log)
