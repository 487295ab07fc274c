"""Orders: what was committed together, and how its messages stand, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.errors import Code, refuse
from arrivals.core.ids import ORDER_ID_MAX
from arrivals.core.instants import rfc3339
from arrivals.core.layers import RollUp, roll_up
from arrivals.core.message import TERMINAL, Reach, State, execution_of, outcome_of
from arrivals.core.money import Micros, json_number
from arrivals.core.permissions import Act
from arrivals.http.answers import Money
from arrivals.http.endpoints import Endpoint, Parameter, endpoint
from arrivals.http.exchange import Request, Response, json_response, whole_number
from arrivals.http.listing import PAGE, columns_of, next_link, page_limit, page_response
from arrivals.http.messages import TIMES, client_ref, time_span, whole
from arrivals.http.naming import Names, names_on
from arrivals.http.send_answer import ChargeLine, ChosenRoute
from arrivals.http.whose import ACCOUNT, one_account, owner_of_order
from arrivals.store.rows import NewOrder
from arrivals.store.traces import OrderFilter, StateCount

ROUTES: Final[list[Endpoint]] = []

TAG: Final = "Orders"


class AmbiguityPolicy(msgspec.Struct, kw_only=True):
    """What is done when a provider never answers, and who decided that."""

    policy: str
    set_by: str


class OrderDecision(msgspec.Struct, kw_only=True):
    """What was checked, chosen and priced when the order was accepted, and by which tables."""

    checks: list[str]
    route: ChosenRoute
    prices: list[ChargeLine]
    versions: dict[str, int]
    on_ambiguous: AmbiguityPolicy


class OrderLine(msgspec.Struct, kw_only=True):
    """One line of a list of orders."""

    order_id: int
    route_id: int
    caller_id: str
    category: str
    client_ref: str | None
    batch_id: int | None
    count: int
    cost: Money
    currency: str
    created_at: str
    send_at: str | None
    expires_at: str
    ended: int  # messages whose outcome is final
    layers: RollUp


_COLUMNS: Final = columns_of(
    OrderLine,
    {
        "api": ("accepted",),
        "execution": [
            execution_of(state, reach, attempts)
            for state in State
            for reach in Reach
            for attempts in (0, 1)
        ],
        "outcome": [outcome_of(state) for state in State],
        "confirmed": ("none", "confirmed", "denied"),
    },
)


class OrderPage(msgspec.Struct, kw_only=True):
    """A page of orders, newest first; a short page may still have a next one."""

    orders: list[OrderLine]
    limit: int
    next_cursor: str | None
    next: str | None


class OrderCommitment(msgspec.Struct, kw_only=True):
    """What was durable before the answer was given."""

    request_id: str
    key_id: str
    accepted_at: str
    hold_posting: int
    balance_after: Money
    providers: list[str]
    on_ambiguous: str
    outcome_deadline: str


class OrderAnswer(OrderLine, kw_only=True):
    """One order whole."""

    committed: OrderCommitment
    decision: OrderDecision
    links: dict[str, str]


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/orders",
    act=Act.READ_MESSAGES,
    summary="List orders, newest first",
    tag=TAG,
    answers=OrderPage,
    parameters=(
        Parameter(name="route_id", about="The route", type="integer"),
        Parameter(name="client_ref", about="Your own reference of the order"),
        Parameter(name="batch_id", about="The batch it was a part of", type="integer"),
        *TIMES,
        ACCOUNT,
        *PAGE,
    ),
)
async def list_orders(request: Request) -> Response:
    """Return a page of orders, each with its messages counted by layer."""
    account_id = one_account(request)
    limit = page_limit(request)
    span = time_span(request)
    wanted = OrderFilter(
        before_id=whole(request, "cursor", ORDER_ID_MAX),
        route_id=whole(request, "route_id"),
        client_ref=client_ref(request),
        batch_id=whole(request, "batch_id"),
        from_us=span[0],
        to_us=span[1],
    )
    orders, counts, next_id = await request.platform.store.read(
        lambda reader: reader.order_page(account_id, wanted, limit)
    )
    lines = [
        OrderLine(**_line(each, [one for one in counts if one.order_id == each.order_id]))
        for each in orders
    ]
    cursor = None if next_id is None else str(next_id)
    page = OrderPage(
        orders=lines, limit=limit, next_cursor=cursor, next=next_link(request, cursor)
    )
    return page_response(request, page, lines, cursor, _COLUMNS)


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/orders/{order_id}",
    act=Act.READ_MESSAGES,
    summary="Read one order",
    tag=TAG,
    answers=OrderAnswer,
    errors=(Code.NOT_FOUND,),
)
async def read_order(request: Request) -> Response:
    """Return what was committed, why it was decided so, and how its messages stand."""
    order_id = whole_number(request.values["order_id"])
    found: tuple[NewOrder, list[StateCount]] | None = None
    if order_id is not None:
        found = await request.platform.store.read(
            lambda reader: reader.order(owner_of_order(request, reader, order_id), order_id)
        )
    if found is None:
        raise refuse(Code.NOT_FOUND, what="order")
    order, counts = found
    names = names_on(request.account, request.platform.catalogue, order.route_id)
    here = f"/api/v1/orders/{order.order_id}"
    links = {
        "self": here,
        "messages": f"/api/v1/messages?order_id={order.order_id}",
        "dlr": f"{here}/dlr",
    }
    if order.batch_id is not None:
        links["batch"] = f"/api/v1/batches/{order.batch_id}"
    return json_response(
        OrderAnswer(
            **_line(order, counts),
            committed=_commitment(order, names),
            decision=_decision(order, names),
            links=links,
        )
    )


def layers_of_counts(counts: Iterable[StateCount]) -> tuple[RollUp, int]:
    """Return counted messages by layer, and how many of them have ended."""
    found = [
        (State(each.state), Reach(each.reach), each.tried, each.confirmed, each.count)
        for each in counts
    ]
    return roll_up(found), sum(count for state, *_, count in found if state in TERMINAL)


def _line(order: NewOrder, counts: Sequence[StateCount]) -> dict[str, Any]:
    layers, ended = layers_of_counts(counts)
    return {
        "order_id": order.order_id,
        "route_id": order.route_id,
        "caller_id": order.sender,
        "category": order.category,
        "client_ref": order.client_ref,
        "batch_id": order.batch_id,
        "count": order.count,
        "cost": json_number(Micros(order.cost)),
        "currency": order.currency,
        "created_at": rfc3339(order.accepted_at_us),
        "send_at": None if order.send_at_us is None else rfc3339(order.send_at_us),
        "expires_at": rfc3339(order.expires_at_us),
        "ended": ended,
        "layers": layers,
    }


class _RecordedPrice(msgspec.Struct):
    """A price line as the decision record keeps it: whole micro-units."""

    rate_id: int
    country: str
    prefix: str
    price_per_segment: int
    messages: int
    segments: int
    encodings: dict[str, int]


class _Record(msgspec.Struct):
    """The decision record as flows/plan.py writes it."""

    checks: list[str]
    route: ChosenRoute
    prices: list[_RecordedPrice]
    versions: dict[str, int]
    on_ambiguous: AmbiguityPolicy


_RECORD: Final = msgspec.json.Decoder(_Record)


def _decision(order: NewOrder, names: Names) -> OrderDecision:
    record = _RECORD.decode(order.decision)
    route = record.route
    route.providers = [names.of(each) for each in route.providers]
    for each in route.considered:
        each.provider = names.of(each.provider)
    return OrderDecision(
        checks=record.checks,
        route=route,
        prices=[
            ChargeLine(
                rate_id=each.rate_id,
                country=each.country,
                country_prefix=each.prefix,
                price_per_segment=json_number(Micros(each.price_per_segment)),
                messages=each.messages,
                segments=each.segments,
                encodings=each.encodings,
                total=json_number(Micros(each.price_per_segment * each.segments)),
            )
            for each in record.prices
        ],
        versions=record.versions,
        on_ambiguous=record.on_ambiguous,
    )


def _commitment(order: NewOrder, names: Names) -> OrderCommitment:
    return OrderCommitment(
        request_id=order.request_id,
        key_id=order.key_id,
        accepted_at=rfc3339(order.accepted_at_us),
        hold_posting=order.hold_posting,
        balance_after=json_number(Micros(order.balance_after)),
        providers=[
            names.of(each) for each in msgspec.json.decode(order.providers, type=list[str])
        ],
        on_ambiguous=order.on_ambiguous,
        outcome_deadline=rfc3339(order.outcome_deadline_us),
    )
