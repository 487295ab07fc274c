"""Compare two messages: where their journeys part, by how much, and what goes with it.

A journey is a chain of spans, from acceptance to the outcome (or to now), so a difference in
time is the sum of the differences of the spans, to the microsecond. A difference in outcome
isn't: a model says what was to be expected of each message when it was handed off, and the
difference of these two numbers is shared out among the factors that the model knows and in
which the messages differ. Each factor is swapped in turn, from the first message's value to
the second's, in every order, and gets the mean of what its swap changed (its Shapley value;
the shares add up to the whole). What then came of the messages differs by more or less than
that. The rest is nobody's: nothing that was seen goes with it, and it is called so.

A factor that goes with a difference is not its cause. Two messages can't show a cause.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import combinations, pairwise
from typing import Final

import msgspec

from arrivals.core.instants import rfc3339
from arrivals.core.message import TERMINAL, Reach, State, is_terminal
from arrivals.core.timeline import TimelineEvent, Trace, ended_by, provider_of, stages

FACTORS_MAX: Final = 6  # a swap is tried in every order: 64 questions to the model
TEXT_CHARS_MAX: Final = 60  # of a text that is shown as a factor

_HOUR_CHARS: Final = len("2026-11-22T19")


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of two messages that are compared."""

    trace: Trace
    events: Sequence[TimelineEvent]
    carrier: str  # the recipient's, or what stands for it
    template: str | None  # its text with what differs by message masked; None: erased
    probability: float | None  # that the handset got it, as it is known now


# --- time -----------------------------------------------------------------------------


class Stretch(StrEnum):
    """What a message was waiting for, for a while."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    HANDING_OVER = "handing over"
    IN_DOUBT = "in doubt"
    RETRYING = "waiting to be tried again"
    WITH_CARRIER = "with the carrier"
    ENDED = "ended, until it was revised"


STRETCHES: Final[dict[str, Stretch]] = {
    State.SCHEDULED: Stretch.SCHEDULED,
    State.ACCEPTED: Stretch.QUEUED,
    State.SENDING: Stretch.HANDING_OVER,
    State.AMBIGUOUS: Stretch.IN_DOUBT,
    State.WAITING: Stretch.RETRYING,
    State.SUBMITTED: Stretch.WITH_CARRIER,
    **dict.fromkeys(TERMINAL, Stretch.ENDED),
}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of a journey."""

    stretch: Stretch
    whose: str | None  # us | provider | carrier | customer; null once the message has ended
    us: int
    event: int  # that ended it, or the newest
    runs: bool = False  # until now: nothing has ended it


class Aligned(msgspec.Struct, frozen=True, kw_only=True):
    """The same stretch of two journeys; a journey may lack it."""

    stretch: Stretch
    whose: str | None
    a: Span | None
    b: Span | None

    @property
    def difference_us(self) -> int:
        """How much longer it took the second message."""
        return (self.b.us if self.b else 0) - (self.a.us if self.a else 0)


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long two messages took, and in which stretches they differ."""

    a_us: int
    b_us: int
    rows: list[Aligned]

    @property
    def difference_us(self) -> int:
        """How much longer the second message took: the sum of its rows'."""
        return self.b_us - self.a_us


def spans(events: Sequence[TimelineEvent], now_us: int) -> list[Span]:
    """Return a journey's stretches until its outcome, or until now while it is open."""
    end = ended_by(events)
    told = [each for each in events if end is None or each.seq <= end.seq]
    if told and end is None:
        last = told[-1]
        now = TimelineEvent(
            last.seq + 1, max(now_us, last.at_us), "now", last.to_state, last.to_state, "", {}
        )
        told.append(now)
    found: list[Span] = []
    for (before, event), stage in zip(pairwise(told), stages(told)[1:], strict=True):
        span = Span(
            stretch=STRETCHES[before.to_state],
            whose=stage.whose,
            us=event.at_us - before.at_us,
            event=min(event.seq, events[-1].seq),
            runs=end is None and event is told[-1],
        )
        if found and _name(found[-1]) == _name(span):
            span = msgspec.structs.replace(span, us=found.pop().us + span.us)
        found.append(span)
    return found


def latency(a: Sequence[Span], b: Sequence[Span]) -> Latency:
    """Lay two journeys side by side; the rows' differences add up to the whole difference."""
    return Latency(
        a_us=sum(each.us for each in a), b_us=sum(each.us for each in b), rows=_aligned(a, b)
    )


def _aligned(a: Sequence[Span], b: Sequence[Span]) -> list[Aligned]:
    """Pair the stretches that both have, in an order that both journeys keep."""
    where = {name: place for place, name in enumerate(_numbered(b))}
    rows: list[Aligned] = []
    done = 0  # of b's
    for name, span in zip(_numbered(a), a, strict=True):
        place = where.get(name, -1)
        if place < done:  # the other lacks it, or had it before what is paired already
            rows.append(_row(span, a=span))
            continue
        rows += [_row(each, b=each) for each in b[done:place]]
        rows.append(_row(span, a=span, b=b[place]))
        done = place + 1
    return rows + [_row(each, b=each) for each in b[done:]]


def _row(of: Span, *, a: Span | None = None, b: Span | None = None) -> Aligned:
    return Aligned(stretch=of.stretch, whose=of.whose, a=a, b=b)


def _name(span: Span) -> tuple[Stretch, str | None]:
    return span.stretch, span.whose


def _numbered(found: Sequence[Span]) -> list[tuple[Stretch, str | None, int]]:
    """Return each span's name and which of its name it is: the second retry is no first."""
    counts: dict[tuple[Stretch, str | None], int] = {}
    names = []
    for each in found:
        name = _name(each)
        counts[name] = counts.get(name, 0) + 1
        names.append((*name, counts[name]))
    return names


# --- factors --------------------------------------------------------------------------


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which two messages may differ."""

    name: str
    asked: bool  # it was asked for; otherwise it came about
    a: str | None
    b: str | None

    @property
    def same(self) -> bool:
        """Whether both have it alike."""
        return self.a == self.b


def _taken(side: Side) -> TimelineEvent | None:
    return next((each for each in side.events if each.kind == "taken"), None)


def provider_that_took(side: Side) -> str:
    """Return the provider that took a message, or whose queue it stands in."""
    taken = _taken(side)
    return (provider_of(taken) if taken else None) or side.trace.message.provider_id


def handed_off_us(side: Side) -> int:
    """Return when a provider took a message, or when it was accepted."""
    taken = _taken(side)
    return taken.at_us if taken else side.trace.accepted_at_us


_ASKED: Final[dict[str, Callable[[Side], object]]] = {
    "recipient": lambda side: side.trace.message.msisdn,
    "country": lambda side: side.trace.country,
    "sender": lambda side: side.trace.sender,
    "text": lambda side: side.trace.text,
    "template": lambda side: side.template,
    "segments": lambda side: side.trace.message.segments,
    "encoding": lambda side: side.trace.encoding,
    "category": lambda side: side.trace.category,
    "route": lambda side: side.trace.message.route_id,
    "on_ambiguous": lambda side: side.trace.message.on_ambiguous,
    "send_at": lambda side: side.trace.send_at_us and rfc3339(side.trace.send_at_us),
}
_CAME_ABOUT: Final[dict[str, Callable[[Side], object]]] = {
    "provider": provider_that_took,
    "carrier": lambda side: side.carrier,
    "attempts": lambda side: side.trace.message.attempts,
    "hour": lambda side: rfc3339(handed_off_us(side))[:_HOUR_CHARS],
}


def factors(a: Side, b: Side) -> list[Factor]:
    """Return what two messages may differ in, first what was asked for."""
    return [
        Factor(name=name, asked=asked, a=_value(read(a)), b=_value(read(b)))
        for table, asked in ((_ASKED, True), (_CAME_ABOUT, False))
        for name, read in table.items()
    ]


def _value(value: object) -> str | None:
    return None if value is None else str(value)


# --- outcome --------------------------------------------------------------------------


class Covariates(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is told of a message at its hand-off, and how long it then waited."""

    provider: str
    country: str
    carrier: str
    sender: str
    waited_s: float = 0.0


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a model expects of a message at its hand-off."""

    delivered: float | None  # None: nobody who saw such messages arrive ever said so
    reported: float  # that a positive receipt comes
    heard_by: float  # the share of such messages' final receipts that come as soon as that


Expect = Callable[[Covariates], Expected]

# What is swapped: by its name, the covariates that go together. At most FACTORS_MAX.
SWAPPED: Final[dict[str, tuple[str, ...]]] = {
    "provider": ("provider",),
    "destination": ("country", "carrier"),
    "sender": ("sender",),
}


class Measure(StrEnum):
    """What a probability is of."""

    DELIVERED = "delivered"
    REPORTED = "reported delivered"  # where nobody ever confirmed such messages


class Odds(msgspec.Struct, frozen=True, kw_only=True):
    """What was to be expected of two messages, what came of them, and what it goes with."""

    measure: Measure
    expected_a: float
    expected_b: float
    found_a: float | None  # None while nothing is known
    found_b: float | None
    shares: dict[str, float]  # by factor; they add up to the difference of what was expected
    heard_by_a: float
    heard_by_b: float

    @property
    def expected_difference(self) -> float:
        """By how much more was expected of the second message."""
        return self.expected_b - self.expected_a

    @property
    def difference(self) -> float:
        """By how much they differ: in what came of them, if it did, or in what to expect."""
        if self.found_a is None or self.found_b is None:
            return self.expected_difference
        return self.found_b - self.found_a

    @property
    def unexplained(self) -> float:
        """How much of the difference goes with nothing that the model knows."""
        return self.difference - self.expected_difference


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All in which two messages differ."""

    a: Side
    b: Side
    factors: list[Factor]
    latency: Latency
    odds: Odds | None  # None: there is no model, or one was never handed off
    has_model: bool


def compare(a: Side, b: Side, expect: Expect | None, now_us: int) -> Comparison:
    """Compare two messages as they stand, by a model of outcomes where there is one."""
    return Comparison(
        a=a,
        b=b,
        factors=factors(a, b),
        latency=latency(spans(a.events, now_us), spans(b.events, now_us)),
        odds=None if expect is None else odds(a, b, expect, now_us),
        has_model=expect is not None,
    )


def odds(a: Side, b: Side, expect: Expect, now_us: int) -> Odds | None:
    """Ask a model what was to be expected of both; None if one was never handed off."""
    if Reach.NONE in {a.trace.message.reach, b.trace.message.reach}:
        return None
    first, second = covariates(a, now_us), covariates(b, now_us)
    names = [
        name
        for name, fields in SWAPPED.items()
        if any(getattr(first, field) != getattr(second, field) for field in fields)
    ]
    asked = {chosen: expect(swap(first, second, chosen)) for chosen in subsets(names)}
    measure = _measure(a, b, asked)
    worth = {chosen: _chance(each, measure) for chosen, each in asked.items()}
    return Odds(
        measure=measure,
        expected_a=worth[frozenset()],
        expected_b=worth[frozenset(names)],
        found_a=_found(a, measure),
        found_b=_found(b, measure),
        shares=shapley(names, worth),
        heard_by_a=expect(first).heard_by,
        heard_by_b=expect(second).heard_by,
    )


def covariates(side: Side, now_us: int) -> Covariates:
    """Return what a model is told of a message."""
    end = ended_by(side.events)
    waited_us = (end.at_us if end else now_us) - handed_off_us(side)
    return Covariates(
        provider=provider_that_took(side),
        country=side.trace.country,
        carrier=side.carrier,
        sender=side.trace.sender,
        waited_s=max(waited_us, 0) / 1e6,
    )


def swap(a: Covariates, b: Covariates, names: frozenset[str]) -> Covariates:
    """Return the first message with these factors of the second."""
    fields = {field: getattr(b, field) for name in names for field in SWAPPED[name]}
    return msgspec.structs.replace(a, **fields)


def subsets(names: Sequence[str]) -> list[frozenset[str]]:
    """Return every choice of some of these names; raises ValueError above FACTORS_MAX."""
    if len(names) > FACTORS_MAX:
        raise ValueError(f"{len(names)} factors; at most {FACTORS_MAX} can be swapped")
    return [
        frozenset(chosen)
        for size in range(len(names) + 1)
        for chosen in combinations(names, size)
    ]


def shapley(names: Sequence[str], worth: Mapping[frozenset[str], float]) -> dict[str, float]:
    """Share a difference out: for each name, what adding it changes, averaged over orders.

    `worth` says what each choice of names is worth; the shares add up to what all are worth
    less what none is.
    """
    count = len(names)
    shares = dict.fromkeys(names, 0.0)
    for chosen in subsets(names):
        # In so many of all orders exactly the chosen ones come before the next.
        before = math.factorial(len(chosen)) * math.factorial(max(count - len(chosen) - 1, 0))
        weight = before / math.factorial(count)
        for name in names:
            if name not in chosen:
                shares[name] += weight * (worth[chosen | {name}] - worth[chosen])
    return shares


def _measure(a: Side, b: Side, asked: Mapping[frozenset[str], Expected]) -> Measure:
    """Compare deliveries where they are known throughout, and otherwise what was reported."""
    known = {each.delivered for each in asked.values()} | {a.probability, b.probability}
    return Measure.REPORTED if None in known else Measure.DELIVERED


def _chance(expected: Expected, measure: Measure) -> float:
    if measure is Measure.REPORTED or expected.delivered is None:
        return expected.reported
    return expected.delivered


def _found(side: Side, measure: Measure) -> float | None:
    """Return what came of a message; None while that is open."""
    if measure is Measure.DELIVERED:
        return side.probability
    state = side.trace.message.state
    if not is_terminal(state):
        return None
    return 1.0 if state is State.DELIVERED else 0.0
