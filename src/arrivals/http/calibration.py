"""How good forecasts were, and how much isn't known, for operators; whatever it says."""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.errors import Code
from arrivals.core.instants import rfc3339
from arrivals.core.permissions import Act
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import Request, Response, json_response
from arrivals.http.operations import TAG
from arrivals.outcome.calibration import Row, Score
from arrivals.outcome.learner import Calibration
from arrivals.outcome.record import GroupRecord, Known

ROUTES: Final[list[Endpoint]] = []

DIGITS: Final = 4

NOTES: Final = (
    "The messages checked were held out: the model never learnt from them.",
    (
        "They are of accounts that report who received a message, and who acts on one is not a"
        " random sample. So a confirmed message also counts for those that arrived like it and"
        " were never confirmed: as many as the same senders have where receipts hold."
    ),
    "If all providers of a sender lie alike, this can't show it.",
    (
        "Delivered and failed are by receipts, which are their senders' word. Confirmed is by"
        " people, and the least that surely arrived."
    ),
    "Counts fade: a message counts half after a week.",
)
NO_FEEDBACK: Final = (
    "Nobody ever said that a message arrived (POST /api/v1/messages/{id}/feedback), so there is"
    " nothing to check forecasts with, and no figure."
)
NOT_YET: Final = (
    "No message that was held out is a day old yet, or nobody can tell what one stands for:"
    " that takes feedback of messages that a trusted provider's receipts called delivered."
)
NO_NUMBERS: Final = (
    "No message was given a probability: that takes feedback, and two providers that carry the"
    " same account's messages to the same country."
)


class ReliabilityRow(msgspec.Struct, kw_only=True):
    """Messages of about the same probability: what was said of them, and what came."""

    low: float  # probabilities from this
    high: float  # up to this
    messages: float
    said: float  # their mean probability
    arrived: float  # the share that arrived; may come out above 1 by chance
    arrived_low: float  # where that may lie, 99 times in 100
    arrived_high: float


class ScoreView(msgspec.Struct, kw_only=True):
    """How good probabilities were; lower is better."""

    messages: float
    said: float
    arrived: float
    brier: float
    brier_error: float  # a standard error of it
    log_loss: float
    ece: float  # the mean distance between what was said and what came
    ece_by_chance: float  # about what a perfect forecast would have of so few messages
    reliability: list[ReliabilityRow]


class AgeView(msgspec.Struct, kw_only=True):
    """The forecasts that were given at one age."""

    age_s: float
    without_forecast: float  # messages of which nothing could be said
    score: ScoreView | None  # null: none was given a probability


class RateView(msgspec.Struct, kw_only=True):
    """What is known of a group's hand-offs: shares, and what the unknown ones leave open."""

    handoffs: float
    delivered: float
    failed: float
    unknown: float
    low: float  # the delivery rate if all that is unknown failed
    high: float  # and if all of it arrived
    confirmed: float


class GroupView(msgspec.Struct, kw_only=True):
    """A provider in a country; null and null: everything."""

    provider: str | None
    country: str | None
    rate: RateView | None  # null: nothing was handed off
    unresolved: float  # held out, and nobody can tell what they stand for
    why: str | None  # why there is no score
    ages: list[AgeView]


class CalibrationView(msgspec.Struct, kw_only=True):
    """How good forecasts were, all together and by provider and country."""

    as_of: str
    reporters: int  # accounts that ever said that a message arrived
    held_out_share: float
    waiting: int  # held out, and not a day old yet
    why: str | None  # why there is no score at all
    groups: list[GroupView]  # all together first, then those with the most hand-offs
    notes: list[str]


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/calibration",
    act=Act.READ_MODEL,
    summary="Read how good forecasts were",
    tag=TAG,
    answers=CalibrationView,
    errors=(Code.OPERATORS_ONLY,),
)
async def read_calibration(request: Request) -> Response:
    """Return what was said of messages beside what came, to an account of the operator's."""
    platform = request.platform
    return json_response(shown(platform.calibration(), platform.clock.now_us()))


def shown(found: Calibration, now_us: int) -> CalibrationView:
    """Return a calibration as it is published."""
    groups = [_group(each, found) for each in found.groups]
    return CalibrationView(
        as_of=rfc3339(now_us),
        reporters=found.reporters,
        held_out_share=found.held_out_share,
        waiting=found.waiting,
        why=groups[0].why if groups else NO_FEEDBACK,
        groups=groups,
        notes=list(NOTES),
    )


def _group(record: GroupRecord, found: Calibration) -> GroupView:
    provider, country = record.group or (None, None)
    ages = [
        AgeView(
            age_s=each.age_s,
            without_forecast=round(each.without_forecast, 1),
            score=None if each.score is None else _score(each.score),
        )
        for each in record.ages
    ]
    return GroupView(
        provider=provider,
        country=country,
        rate=_rate(record.known) if record.known.handoffs else None,
        unresolved=round(record.unresolved, 1),
        why=_why(ages, found),
        ages=ages,
    )


def _why(ages: list[AgeView], found: Calibration) -> str | None:
    if any(each.score is not None for each in ages):
        return None
    if not found.reporters:
        return NO_FEEDBACK
    return NO_NUMBERS if any(each.without_forecast for each in ages) else NOT_YET


def _rate(known: Known) -> RateView:
    return RateView(
        handoffs=round(known.handoffs, 1),
        delivered=_short(known.delivered),
        failed=_short(known.failed),
        unknown=_short(known.unknown),
        low=_short(known.low),
        high=_short(known.high),
        confirmed=_short(known.confirmed),
    )


def _score(score: Score) -> ScoreView:
    said = sum(row.count * row.said for row in score.rows) / score.count
    return ScoreView(
        messages=round(score.count, 1),
        said=_short(said),
        arrived=_short(score.arrived),
        brier=_short(score.brier),
        brier_error=_short(score.brier_error),
        log_loss=_short(score.log_loss),
        ece=_short(score.ece),
        ece_by_chance=_short(score.ece_by_chance),
        reliability=[_row(each) for each in score.rows],
    )


def _row(row: Row) -> ReliabilityRow:
    return ReliabilityRow(
        low=row.low,
        high=row.high,
        messages=round(row.count, 1),
        said=_short(row.said),
        arrived=_short(row.arrived),
        arrived_low=_short(row.arrived_low),
        arrived_high=_short(row.arrived_high),
    )


def _short(value: float) -> float:
    return round(value, DIGITS)
