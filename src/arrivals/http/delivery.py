"""What is known of how providers deliver, for whoever compares routes before sending."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from arrivals.core.errors import Code, Refusal, route_not_allowed
from arrivals.core.money import MICROS_PER_UNIT
from arrivals.core.permissions import Act
from arrivals.core.phone import countries
from arrivals.core.pricing import PriceList
from arrivals.core.routing import may_use
from arrivals.core.selection import Estimate
from arrivals.flows.plan import Plan
from arrivals.flows.platform import Platform
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import Request, Response, json_response
from arrivals.http.naming import names_on
from arrivals.http.route_list import named_route
from arrivals.http.send_answer import names_in

ROUTES: Final[list[Endpoint]] = []

COMPARED_MAX: Final = 32  # other routes that an estimate is compared with
_THOUSAND: Final = 1_000
_PRICE_DIGITS: Final = 4


class Delivered(msgspec.Struct, kw_only=True):
    """What share arrives, as far as people confirmed it; null where too few did."""

    delivered: float | None
    low: float  # the truth is lower once in ten
    high: float
    confirmed: float  # of these messages; older ones count less
    confirmations_expected: float  # of as many, if they arrive like the peers' do
    handoffs: float
    receipts_within_s: float | None  # nine in ten of them
    price_per_1000_delivered: float | None


class ProviderDelivery(Delivered, kw_only=True):
    """One provider's messages like these."""

    provider: str


class RouteDelivery(Delivered, kw_only=True):
    """The same messages over one route, by the provider that would go first."""

    route_id: int
    name: str
    provider: str


class DeliveryAdvice(msgspec.Struct, kw_only=True):
    """What is to be expected of messages like these: by provider, and over other routes."""

    providers: list[ProviderDelivery]  # of this route, in the order they would be tried
    routes: list[RouteDelivery]  # that the account may use: cheapest a delivered message first


class DestinationDelivery(Delivered, kw_only=True):
    """What is known of one country and kind of sender."""

    country: str
    sender_type: str


class ProviderHealth(msgspec.Struct, kw_only=True):
    """One provider of a route."""

    provider: str
    reachable: bool | None  # null where this process doesn't know
    destinations: list[DestinationDelivery]


class RouteHealth(msgspec.Struct, kw_only=True):
    """How a route's providers deliver."""

    route_id: int
    strategy: str
    floor: float
    providers: list[ProviderHealth]


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/routes/{route_id}/health",
    act=Act.READ_ROUTES,
    summary="Read how a route delivers",
    tag="Routes",
    answers=RouteHealth,
    errors=(Code.INVALID_ROUTE, Code.ROUTE_NOT_ALLOWED),
)
async def read_health(request: Request) -> Response:
    """Return what share of messages arrives, by provider, country and kind of sender."""
    platform = request.platform
    route = named_route(request)
    if not may_use(request.account, route):
        raise route_not_allowed(route.route_id, route.name)
    names = names_on(request.account, platform.catalogue, route.route_id)
    binds, prices = platform.binds(), platform.catalogue.prices.get(route.route_id)
    return json_response(
        RouteHealth(
            route_id=route.route_id,
            strategy=route.strategy.value,
            floor=route.floor,
            providers=[
                ProviderHealth(
                    provider=names.of(name),
                    reachable=binds.get(name),
                    destinations=[
                        _destination(each, known, prices)
                        for each, known in platform.choosing.destinations(name).items()
                    ],
                )
                for name in route.providers
            ],
        )
    )


def advice(platform: Platform, plan: Plan) -> DeliveryAdvice | None:
    """Return what is known of a plan's messages; None where it is nothing."""
    found = {name: _known(platform, plan, name) for name in plan.decision.providers}
    if not any(each.handoffs for each in found.values()):
        return None
    others = _others(platform, plan)
    routes = [_over_route(platform, each) for each in (plan, *others)]
    routes.sort(key=lambda each: (each.price_per_1000_delivered is None, _price(each)))
    return DeliveryAdvice(
        providers=[
            ProviderDelivery(provider=names_in(plan).of(name), **_shown(known, _each(plan)))
            for name, known in found.items()
        ],
        routes=routes,
    )


def _others(platform: Platform, plan: Plan) -> list[Plan]:
    """Plan the same request over the account's other routes, as far as they take it."""
    catalogue, account, asked = platform.catalogue, plan.account, plan.request
    names = [
        each.route_id
        for each in catalogue.routes.values()
        if each is not plan.route and each.is_active and may_use(account, each)
    ]
    found = []
    for route_id in sorted(names)[:COMPARED_MAX]:
        try:
            over = msgspec.structs.replace(asked, route_id=route_id, max_price=None)
            found.append(platform.plan(over))
        except Refusal:
            continue  # it doesn't take them: nothing to compare
    return found


def _over_route(platform: Platform, plan: Plan) -> RouteDelivery:
    provider = plan.decision.providers[0]
    return RouteDelivery(
        route_id=plan.route.route_id,
        name=plan.route.name,
        provider=names_in(plan).of(provider),
        **_shown(_known(platform, plan, provider), _each(plan)),
    )


def _known(platform: Platform, plan: Plan, provider: str) -> Estimate:
    countries_ = Counter(each.country for each in plan.messages)
    return platform.choosing.known(countries_, plan.request.sender, provider)


def _each(plan: Plan) -> float | None:
    """Return what a message costs in micro-units, on average."""
    return plan.cost / len(plan.messages) if plan.messages else None


def _price(each: Delivered) -> float:
    return each.price_per_1000_delivered or 0.0


def _shown(known: Estimate, price: float | None) -> dict[str, Any]:
    thousand = None
    if known.delivered and price is not None:
        per_one = price / known.delivered / MICROS_PER_UNIT
        thousand = round(per_one * _THOUSAND, _PRICE_DIGITS)
    return {
        "delivered": known.delivered,
        "low": known.low,
        "high": known.high,
        "confirmed": known.confirmed,
        "confirmations_expected": known.anchors,
        "handoffs": known.handoffs,
        "receipts_within_s": known.p90_s,
        "price_per_1000_delivered": thousand,
    }


def _destination(
    destination: str, known: Estimate, prices: PriceList | None
) -> DestinationDelivery:
    country, _, sender_type = destination.partition(" ")
    rate = prices.find(_number_in(country)) if prices else None
    return DestinationDelivery(
        country=country,
        sender_type=sender_type,
        **_shown(known, None if rate is None else float(rate.price)),
    )


def _number_in(country: str) -> str:
    """Return the first digits of a country's numbers, which its general price goes by."""
    return next((each.calling_code for each in countries() if each.iso2 == country), "")
