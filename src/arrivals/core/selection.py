"""Choose a provider by what a delivered message costs, and keep a record that says why.

A provider that takes a message for little and loses it is dear. So those that surely deliver
enough (the lower bound reaches the floor) are compared by cost a delivered message, and the
cheapest goes first. What is known of them comes from people who saw messages arrive; where too
few did, nothing is claimed and the route's own order holds.

The choice is a function of its question alone, draws included. The question is kept with the
decision, so that whoever reads it later can ask it again and must get the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import NormalDist
from typing import Final

import msgspec

from arrivals.core.catalogue import Strategy
from arrivals.core.routing import Considered

VERSION: Final = 1  # of these rules; a record of another one isn't asked again
ANCHORS_MIN: Final = 30.0  # confirmed messages to be expected, before anything is claimed
STAY: Final = 0.1  # the one before stays first until another is a tenth cheaper …
SLACK: Final = 0.02  # … or its lower bound is this far below the floor
Z_90: Final = 1.2815515655446004  # a normal variable stays below it 9 times in 10
DELIVERED_MIN: Final = 1e-3  # less than that delivers nothing, and must not divide
_NORMAL: Final = NormalDist()


class Rule(StrEnum):
    """By what a choice was made."""

    CHEAPEST = "least cost for a delivered message"
    STAYED = "as before: no other is a tenth cheaper for a delivered message"
    BEST_BOUND = "none surely delivers enough: the best of them"
    DRAWN = "least cost for a delivered message, by a draw from what is known"
    EXPLORED = "to learn how this one delivers"
    UNKNOWN = "the route's own order: too few messages were confirmed to compare"
    WAITING = "the route's own order: none can be used at this moment"


class Obstacle(StrEnum):
    """Why a provider that a route may use can't be used at this moment."""

    AWAY = "away"
    BROKEN = "broken"  # it takes messages and never answers
    SLOWING = "slowing"  # it holds us back for longer than the route waits
    NO_HEADROOM = "no_headroom"  # what waits there would outlast the message


class WhyNot(StrEnum):
    """Why a provider that could be used isn't the first."""

    TOO_FEW_ANCHORS = "too_few_anchors"
    BELOW_FLOOR = "below_floor"
    TOO_SLOW = "too_slow"
    MORE_EXPENSIVE = "more_expensive"
    NOT_MUCH_CHEAPER = "not_much_cheaper"
    EXPLORING = "exploring"  # another one is tried instead


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What share of a provider's messages arrives, as far as people confirmed it."""

    delivered: float | None = None  # None: too few confirmed to say
    low: float = 0.0  # the truth is lower once in ten
    high: float = 1.0  # the truth is higher once in ten
    anchors: float = 0.0  # confirmed messages to be expected of as many; older ones count less
    confirmed: float = 0.0  # messages that somebody did confirm; older ones count less
    handoffs: float = 0.0
    p90_s: float | None = None  # within which nine in ten of its receipts come


NOTHING_KNOWN: Final = Estimate()


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One provider of a route as a choice sees it."""

    provider: str
    cost: int  # micro-units for a segment
    obstacle: str | None = None
    estimate: Estimate = NOTHING_KNOWN
    u: float | None = None  # its draw in [0, 1), where the strategy draws


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a choice depends on."""

    strategy: Strategy
    floor: float
    candidates: tuple[Candidate, ...]  # in the route's own order
    deadline_s: float | None = None  # a delivery is of no use later
    incumbent: str | None = None  # the last choice
    explore: float = 0.0  # share of orders that go to whoever is known least
    u: float = 1.0  # below that share: this is one of them


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The providers in the order they will be tried, and why in this one."""

    providers: tuple[str, ...]
    considered: tuple[Considered, ...]
    rule: Rule
    explored: bool = False
    floor_unmet: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A choice as it is kept: what it depended on, by which rules, and what it came to."""

    version: int
    question: Question
    selection: Selection


class _Judged(msgspec.Struct, frozen=True):
    """A candidate with what the choice makes of it."""

    candidate: Candidate
    share: float | None  # taken to arrive
    surest: float  # the share that the floor is held against
    why_not: WhyNot | None  # None: it may be compared by cost

    @property
    def name(self) -> str:
        return self.candidate.provider

    @property
    def cost(self) -> float:
        """Return the cost of a delivered message."""
        return self.candidate.cost / max(self.share or 0.0, DELIVERED_MIN)


def select(asked: Question) -> Selection:
    """Order the candidates, with a reason for each that isn't the first."""
    usable = [_judge(asked, each) for each in asked.candidates if each.obstacle is None]
    if not usable:
        return _selection(asked, [], {}, Rule.WAITING)
    first, rule = _first(asked, usable)
    tried = _to_explore(asked, usable, first) if asked.u < asked.explore else None
    behind = {each.name: _behind(each, first) for each in usable}
    if tried is not None:
        behind |= {first.name: WhyNot.EXPLORING, tried.name: None}
    leading = [each for each in (tried, first) if each is not None]
    order = [each.name for each in (*leading, *_ranked(usable))]
    chosen = _selection(asked, order, behind, rule if tried is None else Rule.EXPLORED)
    return msgspec.structs.replace(
        chosen, explored=tried is not None, floor_unmet=rule is Rule.BEST_BOUND
    )


def _selection(
    asked: Question, order: Sequence[str], behind: dict[str, WhyNot | None], rule: Rule
) -> Selection:
    """Return a selection; whoever can't be used at this moment comes last."""
    names = (each.provider for each in asked.candidates)
    return Selection(
        providers=tuple(dict.fromkeys((*order, *names))),
        considered=tuple(
            Considered(
                provider_id=each.provider, why_not=each.obstacle or behind.get(each.provider)
            )
            for each in asked.candidates
        ),
        rule=rule,
    )


def _judge(asked: Question, candidate: Candidate) -> _Judged:
    """Say what share is taken to arrive, and whether that is enough, soon enough."""
    known = candidate.estimate
    if asked.strategy is Strategy.THOMPSON:
        share = surest = _drawn(known, candidate.u)
    elif known.delivered is None:
        return _Judged(candidate, None, known.low, WhyNot.TOO_FEW_ANCHORS)
    else:
        share, surest = known.delivered, known.low
        if candidate.provider == asked.incumbent:
            surest += SLACK
    if surest < asked.floor:
        return _Judged(candidate, share, surest, WhyNot.BELOW_FLOOR)
    if asked.deadline_s is not None and (known.p90_s or 0.0) > asked.deadline_s:
        return _Judged(candidate, share, surest, WhyNot.TOO_SLOW)
    return _Judged(candidate, share, surest, None)


def _drawn(known: Estimate, u: float | None) -> float:
    """Return a share drawn from what is known: a normal curve between the bounds."""
    if u is None:
        raise ValueError("a draw is needed for each candidate")
    if known.delivered is None:
        return known.low + u * (known.high - known.low)
    spread = (known.high - known.low) / (2.0 * Z_90)
    # A draw of exactly 0 would be infinitely far out.
    off = _NORMAL.inv_cdf(max(u, 1e-9)) * spread
    return min(max(known.delivered + off, 0.0), 1.0)


def _first(asked: Question, usable: Sequence[_Judged]) -> tuple[_Judged, Rule]:
    """Return whoever goes first, if nobody is explored, and by which rule."""
    fit = [each for each in usable if each.why_not is None]
    if fit:
        best = min(fit, key=_by_cost)
        if asked.strategy is Strategy.THOMPSON:
            return best, Rule.DRAWN
        stays = next((each for each in fit if each.name == asked.incumbent), best)
        if stays is not best and best.cost >= stays.cost * (1.0 - STAY):
            return stays, Rule.STAYED
        return best, Rule.CHEAPEST
    known = [each for each in usable if each.share is not None]
    unknown = [each for each in usable if each.share is None]
    # Who surely delivers too little is worse than whoever nobody knows.
    if unknown and all(each.candidate.estimate.high < asked.floor for each in known):
        return unknown[0], Rule.UNKNOWN
    return min(known, key=_by_bound), Rule.BEST_BOUND


def _behind(each: _Judged, first: _Judged) -> WhyNot | None:
    """Return why one isn't the first."""
    if each is first:
        return None
    if each.why_not is not None:
        return each.why_not
    return WhyNot.MORE_EXPENSIVE if each.cost >= first.cost else WhyNot.NOT_MUCH_CHEAPER


def _by_cost(each: _Judged) -> tuple[float, float]:
    """Sort by cost; of two that cost the same, who delivers more is first."""
    return each.cost, -(each.share or 0.0)


def _by_bound(each: _Judged) -> float:
    return -each.surest


def _ranked(usable: Sequence[_Judged]) -> Sequence[_Judged]:
    """Order those behind the first: fit ones by cost, unknown ones, the rest by bound."""
    fit = sorted((each for each in usable if each.why_not is None), key=_by_cost)
    unknown = [each for each in usable if each.share is None]
    rest = [each for each in usable if each.why_not is not None and each.share is not None]
    return fit + unknown + sorted(rest, key=_by_bound)


def _to_explore(asked: Question, usable: Sequence[_Judged], first: _Judged) -> _Judged | None:
    """Return whoever is known least, of those that could be the better choice.

    Who surely delivers too little isn't tried again, and who would be dearer even if all
    arrived has nothing to win; but where nobody can be compared yet, everybody is needed.
    """
    settled = first.why_not is None
    open_ = [
        each
        for each in usable
        if each is not first
        and each.why_not in {WhyNot.TOO_FEW_ANCHORS, WhyNot.BELOW_FLOOR}
        and each.candidate.estimate.high >= asked.floor
        and not (settled and each.candidate.cost >= first.cost)
    ]
    return min(open_, key=lambda each: each.candidate.estimate.handoffs, default=None)


def record_of(asked: Question, chosen: Selection) -> Record:
    """Return what is kept of a choice."""
    return Record(version=VERSION, question=asked, selection=chosen)


def replay(record: Record) -> Selection:
    """Ask a kept question again; raises ValueError for one of other rules."""
    if record.version != VERSION:
        raise ValueError(f"the rules of version {record.version} are no more")
    return select(record.question)


def mixed(parts: Iterable[tuple[float, Estimate]]) -> Estimate:
    """Return what is known of messages of several kinds together, by their weights."""
    found = list(parts)
    if len(found) == 1:
        return found[0][1]
    total = sum(weight for weight, _ in found)
    if not total:
        return NOTHING_KNOWN
    shares = [(weight / total, each) for weight, each in found]
    known = [(share, each.delivered) for share, each in shares if each.delivered is not None]
    ages = [each.p90_s for _, each in shares if each.p90_s is not None]
    return Estimate(
        delivered=sum(share * p for share, p in known) if len(known) == len(found) else None,
        low=sum(share * each.low for share, each in shares),
        high=sum(share * each.high for share, each in shares),
        anchors=min(each.anchors for _, each in shares),
        confirmed=min(each.confirmed for _, each in shares),
        handoffs=min(each.handoffs for _, each in shares),
        p90_s=max(ages, default=None),
    )
