"""Say in sentences where two messages differ, each citing the events that it rests on.

The differences come first, then what they go with, and last what nothing explains. No
sentence names a cause: what goes with a difference in two messages may be chance in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from arrivals.core.compare import (
    TEXT_CHARS_MAX,
    Aligned,
    Comparison,
    Factor,
    Latency,
    Measure,
    Odds,
    Side,
    Stretch,
)
from arrivals.core.instants import spell
from arrivals.core.message import Reach, is_terminal
from arrivals.core.reasons import REASONS
from arrivals.core.timeline import Attempt, Evidence, attempts, ended_by, evidence

SLOW_FROM: Final = 0.95  # a wait longer than this share of receipts is worth a word
POINTS_MIN: Final = 0.005  # a smaller share of a probability isn't told
TIME_MIN_US: Final = 1_000  # nor is a smaller difference in time

_WORDS: Final = {
    Stretch.SCHEDULED: "until it was to go out",
    Stretch.QUEUED: "in our queue",
    Stretch.HANDING_OVER: "handing it over",
    Stretch.IN_DOUBT: "in doubt whether it was taken",
    Stretch.RETRYING: "waiting to be tried again",
    Stretch.WITH_CARRIER: "with the carrier",
    Stretch.ENDED: "between its first end and the revision",
}

_SHOWN: Final = {"destination": "carrier"}  # by which factor a share is shown, if not its own


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be said of two messages, and the events of each that say it."""

    text: str
    a: list[int] = []
    b: list[int] = []


def remarks(found: Comparison) -> list[Remark]:
    """Return what there is to say of two messages."""
    a, b, odds = found.a, found.b, found.odds
    said = [_asked(found.factors), _ends(a, b), _times(a, b, found.latency)]
    said += [*_attempts(a, b), *_heard(a, b)]
    if odds is None:
        return said + _no_odds(a, b, modelled=found.has_model)
    return [*said, *_slow(a, b, odds), _expected(found.factors, odds), *_unexplained(odds)]


# --- what was asked, and what came of it ----------------------------------------------


def _asked(found: Sequence[Factor]) -> Remark:
    differ = [each for each in found if each.asked and not each.same]
    if not differ:
        text = "Both ask for the same: recipient, sender, text and options."
        return Remark(text=text, a=[1], b=[1])
    # Another template is another text: once is enough.
    other_template = any(each.name == "template" for each in differ)
    told = [_factor(e) for e in differ if e.name != "text" or not other_template]
    return Remark(text=f"They ask for different things: {'; '.join(told)}.", a=[1], b=[1])


def _factor(factor: Factor) -> str:
    name = "text of one template" if factor.name == "text" else factor.name.replace("_", " ")
    return f"{name} ({shown(factor.a)} in A, {shown(factor.b)} in B)"


def shown(value: str | None) -> str:
    """Return a factor's value short enough for a line."""
    if value is None:
        return "none"
    short = value if len(value) <= TEXT_CHARS_MAX else value[: TEXT_CHARS_MAX - 1] + "…"
    return " ".join(short.split())


def _ends(a: Side, b: Side) -> Remark:
    same = a.trace.message.state is b.trace.message.state
    if same and a.trace.message.reason == b.trace.message.reason:
        return Remark(text=f"Both {_end(a, 'are')}.", a=_end_events(a), b=_end_events(b))
    return Remark(
        text=f"A {_end(a, 'is')}; B {_end(b, 'is')}.", a=_end_events(a), b=_end_events(b)
    )


def _end(side: Side, verb: str) -> str:
    message = side.trace.message
    if not is_terminal(message.state):
        return f"{verb} still open ({message.state.value})"
    reason = REASONS.get(message.reason or "")
    why = f" ({reason.title[:1].lower()}{reason.title[1:]})" if reason else ""
    return f"{verb} {message.state.value}{why}"


def _end_events(side: Side) -> list[int]:
    end = ended_by(side.events)
    return [end.seq if end else each.seq for each in side.events[-1:]]


# --- time -----------------------------------------------------------------------------


def _times(a: Side, b: Side, times: Latency) -> Remark:
    told = [row for row in times.rows if abs(row.difference_us) >= TIME_MIN_US]
    rows = sorted(told, key=lambda row: -abs(row.difference_us))
    so_far = "" if all(is_terminal(e.trace.message.state) for e in (a, b)) else " so far"
    whole = f"{spell(times.b_us)} against {spell(times.a_us)}{so_far}"
    cites_a = sorted({row.a.event for row in rows if row.a})
    cites_b = sorted({row.b.event for row in rows if row.b})
    if not rows:
        return Remark(text=f"Both took {spell(times.a_us)}{so_far}, stretch by stretch.")
    parts = ", ".join(_stretch(row) for row in rows)
    if abs(times.difference_us) < TIME_MIN_US:
        text = f"Both took {spell(times.a_us)}{so_far}, but not in the same stretches: {parts}."
        return Remark(text=text, a=cites_a, b=cites_b)
    more = "longer" if times.difference_us > 0 else "less"
    took = f"B took {spell(abs(times.difference_us))} {more} ({whole})"
    return Remark(text=f"{took}: {parts}.", a=cites_a, b=cites_b)


def _stretch(row: Aligned) -> str:
    more = "more" if row.difference_us > 0 else "less"
    whose = " at the provider's wish"
    wish = whose if row.stretch is Stretch.RETRYING and row.whose == "provider" else ""
    return f"{spell(abs(row.difference_us))} {more} {_WORDS[row.stretch]}{wish}"


def _slow(a: Side, b: Side, odds: Odds) -> list[Remark]:
    said = []
    for name, side, heard_by in (("A", a, odds.heard_by_a), ("B", b, odds.heard_by_b)):
        if heard_by >= SLOW_FROM:
            end = _end_events(side)
            text = (
                f"After its hand-off {name} waited longer than"
                f" {_percent(heard_by)} of the receipts that come to such messages take."
            )
            said.append(Remark(text=text, **{name.lower(): end}))
    return said


def _attempts(a: Side, b: Side) -> list[Remark]:
    tried_a, tried_b = attempts(a.events), attempts(b.events)
    if [each.result for each in tried_a] == [each.result for each in tried_b]:
        return []
    return [
        Remark(
            text=f"A was {_tried(tried_a)}, B {_tried(tried_b)}.",
            a=sorted(seq for each in tried_a for seq in each.events),
            b=sorted(seq for each in tried_b for seq in each.events),
        )
    ]


def _tried(found: Sequence[Attempt]) -> str:
    if not found:
        return "never tried"
    times = "once" if len(found) == 1 else f"{len(found)} times"
    return f"tried {times} ({', '.join(each.result.replace('_', ' ') for each in found)})"


def _heard(a: Side, b: Side) -> list[Remark]:
    heard_a, heard_b = evidence(a.events), evidence(b.events)
    said_a, said_b = (_evidence(each) for each in (heard_a, heard_b))
    if said_a == said_b:
        return []
    return [
        Remark(
            text=f"What was heard: of A {said_a}; of B {said_b}.",
            a=[each.seq for each in heard_a],
            b=[each.seq for each in heard_b],
        )
    ]


def _evidence(found: Sequence[Evidence]) -> str:
    return ", ".join(dict.fromkeys(_said(each) for each in found)) or "nothing"


def _said(each: Evidence) -> str:
    if each.kind == "silence":
        return each.says
    code = f" {each.error}" if each.error and each.error.strip("0") else ""
    return f"{each.says}{code} from {each.source}"


# --- what it goes with ----------------------------------------------------------------


def _no_odds(a: Side, b: Side, *, modelled: bool) -> list[Remark]:
    said = []
    for name, side in (("A", a), ("B", b)):
        message = side.trace.message
        if message.reach is Reach.NONE and is_terminal(message.state):
            text = f"{name} was never handed off, so no provider or carrier decided its fate."
            said.append(Remark(text=text, **{name.lower(): _end_events(side)}))
        elif message.reach is Reach.NONE:
            said.append(Remark(text=f"{name} isn't handed off yet."))
    if not said and not modelled:
        text = "No model of outcomes runs here, so nothing says what was to be expected."
        said.append(Remark(text=text))
    return said


def _expected(found: Sequence[Factor], odds: Odds) -> Remark:
    of = "to arrive" if odds.measure is Measure.DELIVERED else "to be reported delivered"
    expected = f"{_percent(odds.expected_a)} of messages like A {of}"
    if not odds.shares:
        alike = f"it expects {_percent(odds.expected_a)} of such messages {of}"
        return Remark(text=f"For all that the model knows they are alike: {alike}.")
    values = {each.name: each for each in found}
    parts = [
        f"{_points(share)} with the {name}{_values(values[_SHOWN.get(name, name)])}"
        for name, share in sorted(odds.shares.items(), key=lambda e: -abs(e[1]))
    ]
    return Remark(
        text=f"The model expects {expected}, and {_percent(odds.expected_b)} of those like B:"
        f" {', '.join(parts)}. That goes together; it needn't be the cause."
    )


def _values(factor: Factor) -> str:
    return f" ({shown(factor.a)} in A, {shown(factor.b)} in B)"


def _unexplained(odds: Odds) -> list[Remark]:
    if odds.found_a is None or odds.found_b is None:
        return [Remark(text="What comes of them isn't known of both yet.")]
    whole = f"What came of them differs by {_points(odds.difference)}"
    if abs(odds.difference) < POINTS_MIN:
        whole = "What came of them doesn't differ"
    if abs(odds.unexplained) < POINTS_MIN:
        return [Remark(text=f"{whole}, as was to be expected.")]
    rest = f"{_points(odds.unexplained)} go with nothing that we saw"
    return [Remark(text=f"{whole}; {rest}: the carrier, the handset, or chance.")]


def _percent(share: float) -> str:
    return f"{share:.0%}" if share < SLOW_FROM else f"{share:.1%}"


def _points(share: float) -> str:
    """Return a difference of two probabilities in hundredths, with its sign."""
    return f"{share * 100:+.0f} points" if abs(share) >= POINTS_MIN else "nothing"
