"""Two messages side by side, and one among all that look like it."""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.compare import Comparison, Factor, Side, compare
from arrivals.core.errors import Code
from arrivals.core.layers import outcome_layer
from arrivals.core.permissions import Act
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.http.comparison_view import (
    CohortAnswer,
    CompareAnswer,
    cohort_answer,
    cohort_text,
    compare_answer,
    compare_text,
)
from arrivals.http.endpoints import Endpoint, Parameter, endpoint
from arrivals.http.exchange import TEXT, Request, Response, json_response, query_invalid
from arrivals.http.messages import (
    FORMAT,
    TAG,
    as_text,
    is_anothers,
    named_key,
    own_message,
)
from arrivals.http.naming import Names, names_on
from arrivals.http.whose import veiled
from arrivals.outcome.cohort import OTHERS, Cohort, CohortSlice, GoesWith, cohort
from arrivals.outcome.hierarchy import carrier_of
from arrivals.outcome.template import masked
from arrivals.store.queries import Reader

ROUTES: Final[list[Endpoint]] = []

COHORT_US: Final = 24 * 3_600 * 1_000_000  # within which look-alikes were accepted


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/compare",
    act=Act.READ_MESSAGES,
    summary="Compare two messages",
    tag=TAG,
    answers=CompareAnswer,
    parameters=(
        Parameter(name="a", about="The first message's id", required=True),
        Parameter(name="b", about="The second message's id", required=True),
        FORMAT,
    ),
    errors=(Code.NOT_FOUND,),
)
async def compare_messages(request: Request) -> Response:
    """Return where two messages part, by how much, what goes with it, and what nothing does."""
    platform = request.platform
    keys = [named_key(request, _named(request, name)) for name in ("a", "b")]
    a, b = [_side(request, *await own_message(request, key)) for key in keys]
    found = _told(request, compare(a, b, platform.expect, platform.clock.now_us()))
    answer = compare_answer(platform.ids, found)
    if as_text(request):
        return Response(200, compare_text(answer).encode(), TEXT)
    return json_response(answer)


def _told(request: Request, found: Comparison) -> Comparison:
    """Call the providers as they are called before whoever asks.

    Of two routes the numbers say nothing without the route; one provider is called the same.
    """
    catalogue, account = request.platform.catalogue, request.account
    if any(is_anothers(request, side.trace) for side in (found.a, found.b)):
        found = _without_texts(found)
    if account.operator:
        return found
    routes = [side.trace.message.route_id for side in (found.a, found.b)]
    apart = routes[0] != routes[1]
    a, b = [
        names_on(account, catalogue, each, of=f" of route {each}" if apart else "")
        for each in routes
    ]

    def called(factor: Factor) -> Factor:
        if factor.name != "provider":
            return factor
        ours = a.of(factor.a or "")
        theirs = ours if factor.same else b.of(factor.b or "")
        return msgspec.structs.replace(factor, a=ours, b=theirs)

    return msgspec.structs.replace(
        found,
        a=_side_told(found.a, a),
        b=_side_told(found.b, b),
        factors=[called(each) for each in found.factors],
    )


def _without_texts(found: Comparison) -> Comparison:
    """Return a comparison that shows of texts no more than their shapes."""

    def veil(factor: Factor) -> Factor:
        if factor.name != "text":
            return factor
        a, b = [None if each is None else veiled(each) for each in (factor.a, factor.b)]
        return msgspec.structs.replace(factor, a=a, b=b)

    return msgspec.structs.replace(found, factors=[veil(each) for each in found.factors])


def _side_told(side: Side, names: Names) -> Side:
    return msgspec.structs.replace(
        side, trace=names.trace(side.trace), events=names.events(side.events)
    )


def _named(request: Request, name: str) -> str:
    text = request.query.get(name)
    if text is None:
        raise query_invalid(name, "must be a message's id")
    return text


def _side(request: Request, trace: Trace, events: list[TimelineEvent]) -> Side:
    forecast = request.platform.foresee(trace, events)
    outcome = outcome_layer(trace.message, events, trace.accepted_at_us, forecast)
    return Side(
        trace=trace,
        events=events,
        carrier=carrier_of(trace.country, trace.message.msisdn),
        template=None if trace.text is None else masked(trace.text),
        probability=outcome.probability,
    )


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/messages/{bx_message_id}/cohort",
    act=Act.READ_MESSAGES,
    summary="Show a message among its look-alikes",
    tag=TAG,
    answers=CohortAnswer,
    parameters=(FORMAT,),
    errors=(Code.NOT_FOUND,),
)
async def read_cohort(request: Request) -> Response:
    """Return how messages of its sender, country and template ended, and what goes with it.

    Those are the ones accepted in the last 24 hours; of an older message, in the 24 hours that
    began with it. No more than a stated number of the account's newest messages is looked at.
    """
    platform = request.platform
    key = named_key(request, request.values["bx_message_id"])
    trace, _ = await own_message(request, key)
    until_us = min(platform.clock.now_us(), trace.accepted_at_us + COHORT_US) + 1
    from_us = until_us - 1 - COHORT_US

    def read(reader: Reader) -> tuple[Cohort, bool]:
        members, cut = reader.lookalikes(trace.message.account_id, trace, from_us, until_us)
        return cohort(members), cut

    found, cut = await platform.store.read(read)
    names = names_on(request.account, platform.catalogue, trace.message.route_id)
    found = _cohort_told(found, names)
    answer = cohort_answer(platform.ids.encode(key), found, from_us, until_us - 1, cut=cut)
    if as_text(request):
        return Response(200, cohort_text(answer).encode(), TEXT)
    return json_response(answer)


def _cohort_told(found: Cohort, names: Names) -> Cohort:
    if names.shown:
        return found

    def told(factor: GoesWith) -> GoesWith:
        if factor.factor != "provider":
            return factor
        values = [
            CohortSlice(
                value=each.value if each.value == OTHERS else names.of(each.value),
                verdicts=each.verdicts,
            )
            for each in factor.values
        ]
        return msgspec.structs.replace(factor, values=values)

    return msgspec.structs.replace(found, factors=[told(each) for each in found.factors])
