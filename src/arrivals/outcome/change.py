"""See that a cell does worse than it did, within a few hundred messages.

Nobody waits 72 hours: each message gives one bit at its cell's own checkpoint age (was there
a positive receipt, or a conversion, by then?), beside the chance that it had of that. A CUSUM
adds up the log-likelihood ratio of "as bad as we look for" against "as usual", and starts over
at zero whenever usual explains better; where it last left zero is its estimate of when the
change began.

             score >= warn          score >= alarm           mirror >= recover
    clear ─────────────────▶ warned ───────────────▶ alarmed ──────────────────▶ clear
      ▲                        │
      └────────────────────────┘ score < warn

While it is alarmed, the mirrored CUSUM asks the opposite question. The thresholds are solved
for the wanted rate of false alarms (`run_length.py`), not chosen.

A chart belongs to one learner, takes its messages in any order of time, and is small: what
it keeps is two runs.
"""

from __future__ import annotations

import math
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from arrivals.core.money import Micros
from arrivals.outcome.run_length import Move, threshold

# A message and chart: one in 140,000, so that a measurement can show fewer than one in 100,000.
# Who keeps a chart on each of five levels gives each a fifth of it.
FALSE_ALARMS: Final = 7e-6
WARNINGS_AN_ALARM: Final = 10  # by chance
FALSE_RECOVERIES: Final = 1e-4  # a message while it is as bad as we look for

# Below this even a fall to nothing takes hundreds of messages to see; above, one no in a
# hundred is allowed to anybody.
CHANCE_MIN: Final = 0.1
CHANCE_MAX: Final = 0.99

_LIMITS_REMEMBERED: Final = 1_024


class Kind(StrEnum):
    """What a chart counts."""

    RECEIPTS = "receipts"
    CONVERSIONS = "conversions"


# The share of its usual chance that a cell must fall to before we look for it: a bigger fall
# is found sooner, a smaller one late or never. Conversions vary more by themselves.
FALL_TO: Final[dict[Kind, float]] = {Kind.RECEIPTS: 0.89, Kind.CONVERSIONS: 0.8}


class Level(StrEnum):
    """How a cell stands."""

    CLEAR = "clear"
    WARNED = "warned"
    ALARMED = "alarmed"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a chart looks for, and when it says so; scores are natural logarithms."""

    fall_to: float
    warn: float
    alarm: float
    recover: float


class Run(msgspec.Struct, array_like=True):
    """What happened since a CUSUM last stood at zero."""

    began_message: int = 0  # the cell's messages count from 1
    began_us: int = 0
    messages: int = 0
    expected: float = 0.0
    observed: int = 0
    spent: int = 0  # micros
    score: float = 0.0


class Chart(msgspec.Struct, array_like=True):
    """One cell under watch; everything it remembers."""

    cell: tuple[str, ...]
    kind: Kind
    messages: int = 0  # ever
    raised_message: int = 0  # 0: not alarmed
    raised_us: int = 0
    fall: Run = msgspec.field(default_factory=Run)
    rise: Run = msgspec.field(default_factory=Run)


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How an alarm ended."""

    began_message: int
    began_us: int
    seen_message: int
    seen_us: int
    expected: float  # since it began, had all been as usual
    observed: int
    llr: float  # usual against bad


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that does worse than it did, and what says so."""

    cell: tuple[str, ...]
    kind: Kind
    began_message: int  # where the change probably was
    began_us: int
    raised_message: int
    raised_us: int
    messages: int  # since it began, until it ended
    expected: float
    observed: int
    llr: float  # bad against usual
    messages_at_risk: int
    money_at_risk: Micros
    ended: Recovery | None = None


def limits(kind: Kind, *usual: float, false_alarms: float = FALSE_ALARMS) -> Limits:
    """Return the limits for a cell whose messages have these chances, each equally often.

    One is enough for an even cell; where it differs by the hour, give each hour's.
    Raises ValueError when there is none, and NoThreshold when the rate can't be reached.
    """
    if not usual:
        raise ValueError("a cell has at least one usual chance")
    hundredths = sorted(round(100 * min(max(each, CHANCE_MIN), CHANCE_MAX)) for each in usual)
    return _limits(FALL_TO[kind], tuple(hundredths), false_alarms)


@lru_cache(maxsize=_LIMITS_REMEMBERED)
def _limits(fall_to: float, hundredths: tuple[int, ...], false_alarms: float) -> Limits:
    share = 1 / len(hundredths)
    as_usual, as_bad, yeses, bad_yeses = [], [], 0.0, 0.0
    for percent in hundredths:
        usual = percent / 100
        bad = fall_to * usual
        rise = _no_step(usual, fall_to)
        yeses += usual * share
        bad_yeses += bad * share
        as_usual.append(Move((1 - usual) * share, rise))
        as_bad.append(Move((1 - bad) * share, -rise))
    yes = math.log(fall_to)
    as_usual.insert(0, Move(yeses, yes))
    as_bad.insert(0, Move(bad_yeses, -yes))
    return Limits(
        fall_to=fall_to,
        warn=threshold(as_usual, false_alarms * WARNINGS_AN_ALARM),
        alarm=threshold(as_usual, false_alarms),
        recover=threshold(as_bad, FALSE_RECOVERIES),
    )


def _no_step(usual: float, fall_to: float) -> float:
    return math.log((1 - fall_to * usual) / (1 - usual))


def observe(
    chart: Chart, limits: Limits, *, positive: bool, usual: float, at_us: int, price: int = 0
) -> Alarm | None:
    """Take in one message at its checkpoint; return an alarm that it began or ended.

    `usual` is the chance that the message had of being positive. A message that had hardly
    any tells nothing and isn't counted.
    """
    if usual < CHANCE_MIN:
        return None
    usual = min(usual, CHANCE_MAX)
    step = math.log(limits.fall_to) if positive else _no_step(usual, limits.fall_to)
    chart.messages += 1
    _extend(chart.fall, chart.messages, usual, int(positive), at_us, price)
    if chart.raised_message:
        return _mirror(chart, limits, step, usual, int(positive), at_us, price)
    chart.fall.score += step
    if chart.fall.score <= 0:
        chart.fall = Run()
    elif chart.fall.score >= limits.alarm:
        chart.raised_message, chart.raised_us = chart.messages, at_us
        return standing(chart)
    return None


def _mirror(
    chart: Chart,
    limits: Limits,
    step: float,
    usual: float,
    observed: int,
    at_us: int,
    price: int,
) -> Alarm | None:
    """Look whether an alarm is over."""
    chart.fall.score += step
    _extend(chart.rise, chart.messages, usual, observed, at_us, price)
    chart.rise.score -= step
    if chart.rise.score <= 0:
        chart.rise = Run()
    elif chart.rise.score >= limits.recover:
        ended = _ended(chart, at_us)
        chart.raised_message = chart.raised_us = 0
        chart.fall, chart.rise = Run(), Run()
        return ended
    return None


def _extend(
    run: Run,
    message: int,
    usual: float,
    observed: int,
    at_us: int,
    price: int,
) -> None:
    if not run.messages:
        run.began_message, run.began_us = message, at_us
    run.messages += 1
    run.expected += usual
    run.observed += observed
    run.spent += price


def level(chart: Chart, limits: Limits) -> Level:
    """Return how a cell stands."""
    if chart.raised_message:
        return Level.ALARMED
    return Level.WARNED if chart.fall.score >= limits.warn else Level.CLEAR


def standing(chart: Chart) -> Alarm | None:
    """Return the alarm that a cell has now, with all that has happened since it began."""
    if not chart.raised_message:
        return None
    return _alarm(chart, chart.fall, ended=None)


def _ended(chart: Chart, at_us: int) -> Alarm:
    fall, rise = chart.fall, chart.rise
    # What came after the recovery began doesn't belong to the trouble.
    trouble = Run(
        began_message=fall.began_message,
        began_us=fall.began_us,
        messages=fall.messages - rise.messages,
        expected=fall.expected - rise.expected,
        observed=fall.observed - rise.observed,
        spent=fall.spent - rise.spent,
        score=fall.score + rise.score,
    )
    recovery = Recovery(
        began_message=rise.began_message,
        began_us=rise.began_us,
        seen_message=chart.messages,
        seen_us=at_us,
        expected=rise.expected,
        observed=rise.observed,
        llr=rise.score,
    )
    return _alarm(chart, trouble, ended=recovery)


def _alarm(chart: Chart, run: Run, *, ended: Recovery | None) -> Alarm:
    missing = max(0.0, 1 - run.observed / run.expected)
    return Alarm(
        cell=chart.cell,
        kind=chart.kind,
        began_message=run.began_message,
        began_us=run.began_us,
        raised_message=chart.raised_message,
        raised_us=chart.raised_us,
        messages=run.messages,
        expected=run.expected,
        observed=run.observed,
        llr=run.score,
        messages_at_risk=round(missing * run.messages),
        money_at_risk=Micros(round(missing * run.spent)),
        ended=ended,
    )
