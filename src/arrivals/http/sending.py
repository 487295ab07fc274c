"""Send messages, and estimate what sending them would cost.

    body → plan → (quote holds?) → one durable transaction → answer

An estimate stops after the plan, so the two can't disagree about a price.
"""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec

from arrivals.core.errors import Code, Refusal, refuse
from arrivals.core.instants import rfc3339
from arrivals.core.money import Micros, json_number
from arrivals.core.permissions import Act
from arrivals.flows.accept import Accepted, Idempotency, Replay
from arrivals.flows.accept import Request as Send
from arrivals.flows.plan import Plan
from arrivals.http.answers import Money
from arrivals.http.delivery import DeliveryAdvice, advice
from arrivals.http.endpoints import Endpoint, Parameter, endpoint
from arrivals.http.exchange import JSON, Header, Request, Response, json_response
from arrivals.http.idempotency import answered_before, idempotency_of, replay
from arrivals.http.messages import told
from arrivals.http.outcome_wait import wait_for_outcome, wanted_wait, with_outcome
from arrivals.http.send_answer import (
    ChargeLine,
    ChosenRoute,
    DuplicateEntry,
    RefusedEntry,
    SendAnswer,
    chosen_route,
    duplicate_entries,
    names_in,
    price_lines,
    refused_entries,
    send_answer,
)
from arrivals.http.send_body import SendBody, at_its_place, read_send

ROUTES: Final[list[Endpoint]] = []

_encode: Final = msgspec.json.Encoder().encode
_RESPOND_ASYNC: Final = b"respond-async"
_AT_ONCE: Final = contextlib.nullcontext()

_PLAN_ERRORS: Final = (
    Code.INVALID_ROUTE,
    Code.ROUTE_NOT_ALLOWED,
    Code.SENDER_NOT_ALLOWED,
    Code.NO_PRICE,
    Code.BODY_INVALID,
    Code.UNKNOWN_FIELD,
    Code.INVALID_NUMBER,
    Code.TOO_MANY_SEGMENTS,
    Code.MAX_PRICE_EXCEEDED,
    Code.BODY_TOO_LARGE,
    Code.REQUEST_TIMEOUT,
)

# Refusals whose words published clients know, at an estimate as at a send; the list form of
# 422 is known by its shape.
_KNOWN_AT_ESTIMATE: Final = frozenset(
    {Code.INVALID_ROUTE, Code.ROUTE_NOT_ALLOWED, Code.SENDER_NOT_ALLOWED, Code.NO_PRICE}
)


class EstimateAnswer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a send would cost now."""

    status: str
    message: str
    route_id: int
    count: int
    estimated_cost: Money
    currency: str
    balance: Money
    sufficient_balance: bool
    sandbox: bool
    quote_id: str
    quote_valid_until: str
    prices: list[ChargeLine]
    route: ChosenRoute
    delivery: DeliveryAdvice | None = None  # where something is known of such messages
    refused: list[RefusedEntry] | None = None
    duplicates: list[DuplicateEntry] | None = None


@endpoint(
    ROUTES,
    "POST",
    "/api/v1/send_sms",
    act=Act.SPEND,
    summary="Send messages",
    tag="Sending",
    body=SendBody,
    answers=SendAnswer,
    parameters=(
        Parameter(
            name="wait", about="Answer when every message has ended", choices=["outcome"]
        ),
        Parameter(
            name="timeout",
            about="Seconds to wait, at most 60",
            type="integer",
            default=25,
            least=0,
        ),
        Parameter(name="Idempotency-Key", about="1 to 255 printable ASCII", place="header"),
        Parameter(name="Prefer", about="`respond-async`: answer with 202", place="header"),
    ),
    errors=(
        *_PLAN_ERRORS,
        Code.CURRENCY_MISMATCH,
        Code.ENVIRONMENT_MISMATCH,
        Code.ACCOUNT_PAUSED,
        Code.INSUFFICIENT_BALANCE,
        Code.IDEMPOTENCY_KEY_INVALID,
        Code.IDEMPOTENCY_KEY_MISMATCH,
        Code.QUOTE_EXPIRED,
        Code.ROUTE_PAUSED,
        Code.TOO_MANY_WAITS,
        Code.QUEUE_FULL,
        Code.UNAVAILABLE,
        Code.DISK_FULL,
    ),
)
async def send(request: Request) -> Response:
    """Commit to an order: what the answer lists as committed is durable before it's given."""
    raw = await request.body()
    promise = None
    if b"idempotency-key" in request.headers:
        promise = idempotency_of(request, raw)
    seconds = wanted_wait(request)
    try:
        plan = _planned(request, raw)
    except Refusal:
        # What was accepted once stays answered, even if it would be refused today.
        before = await answered_before(request, promise) if promise is not None else None
        if before is None:
            raise
        return before
    status = 202 if seconds is None and _wants_async(request) else 200
    # The place is taken before the commit, so that a refusal leaves nothing.
    with _AT_ONCE if seconds is None else request.site.waits.place(request.account.account_id):
        result = await _commit(request, plan, promise, status)
        if isinstance(result, Replay):
            return replay(result)
        answer = send_answer(request.platform.ids, result)
        if seconds is not None:
            order = result.order
            journeys = await wait_for_outcome(request, order.order_id, order.count, seconds)
            answer = with_outcome(answer, [told(request, *each) for each in journeys])
    return Response(status, _encode(answer), JSON, _preference(request, status))


@endpoint(
    ROUTES,
    "POST",
    "/api/v1/estimate",
    act=Act.ASK_PRICE,
    summary="Estimate the cost of a send",
    tag="Sending",
    body=SendBody,
    answers=EstimateAnswer,
    errors=(*_PLAN_ERRORS, Code.ESTIMATE_FAILED),
)
async def estimate(request: Request) -> Response:
    """Return what the same body would cost to send, with a quote that a send can name."""
    raw = await request.body()
    try:
        plan = _planned(request, raw, for_sending=False)
    except Refusal as refusal:
        if refusal.status in {413, 422} or refusal.code in _KNOWN_AT_ESTIMATE:
            raise
        raise refuse(Code.ESTIMATE_FAILED, problem=refusal.detail) from None
    account = plan.account
    found = await request.platform.store.read(lambda reader: reader.balance(account.account_id))
    available, limit = (found.available, found.limit) if found else (0, 0)
    cost = plan.cost
    quote_id, valid_until_us = request.site.quotes.give(plan, request.platform.clock.now_us())
    return json_response(
        EstimateAnswer(
            status="success",
            message="Estimate calculated successfully.",
            route_id=plan.route.route_id,
            count=len(plan.messages),
            estimated_cost=json_number(cost),
            currency=account.currency,
            balance=json_number(Micros(available)),
            sufficient_balance=available + limit >= cost,
            sandbox=request.key.environment == "test",
            quote_id=quote_id,
            quote_valid_until=rfc3339(valid_until_us),
            prices=price_lines(plan.messages),
            route=chosen_route(plan, names_in(plan)),
            delivery=advice(request.platform, plan),
            refused=refused_entries(plan.refused) if plan.request.partial else None,
            duplicates=duplicate_entries(plan.duplicates),
        )
    )


def _planned(request: Request, raw: bytes, *, for_sending: bool = True) -> Plan:
    wanted, body = read_send(request, raw)
    try:
        plan = request.platform.plan(wanted)
    except Refusal as refusal:
        raise at_its_place(refusal, body) from None
    request.route_id = plan.route.route_id
    if for_sending:
        if body.quote_id is not None:
            request.site.quotes.hold(body.quote_id, plan, request.platform.clock.now_us())
        retry_after_s = request.site.queue_full(plan)
        if retry_after_s is not None:
            raise refuse(Code.QUEUE_FULL, retry_after_s=retry_after_s)
    return plan


async def _commit(
    request: Request, plan: Plan, promise: Idempotency | None, status: int
) -> Accepted | Replay:
    ids = request.platform.ids

    def render(accepted: Accepted) -> tuple[int, bytes]:
        return status, _encode(send_answer(ids, accepted))

    result = await request.platform.accept(
        Send(plan=plan, idempotency=promise, render=None if promise is None else render)
    )
    if isinstance(result, Refusal):
        raise result
    return result


def _wants_async(request: Request) -> bool:
    prefer = request.headers.get(b"prefer")
    return request.account.async_answers or (prefer is not None and _RESPOND_ASYNC in prefer)


def _preference(request: Request, status: int) -> list[Header]:
    if status == 202 and b"prefer" in request.headers:
        return [(b"preference-applied", _RESPOND_ASYNC)]
    return []
