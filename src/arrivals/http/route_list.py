"""Routes as customers see them: what each is for, whether they may use it, what it costs."""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.catalogue import Account, Flow, Route
from arrivals.core.errors import Code, refuse
from arrivals.core.money import Micros, json_number
from arrivals.core.permissions import Act
from arrivals.core.routing import may_use
from arrivals.http.answers import Money
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import Request, Response, json_response, whole_number

ROUTES: Final[list[Endpoint]] = []

# A published program prints these in Telegram's Markdown, where they would mark up.
_MARKS: Final = str.maketrans("_*[`", "--( ")


class RouteView(msgspec.Struct, kw_only=True):
    """One route."""

    route_id: int
    name: str
    display_name: str
    category: str
    access_policy: str
    sender_id_required: bool
    allowed: bool
    is_active: bool
    currency: str


class RouteList(msgspec.Struct, kw_only=True):
    """Every route there is."""

    status: str = "success"
    routes: list[RouteView]


class PriceLine(msgspec.Struct, kw_only=True):
    """The price of a segment to numbers that begin like this."""

    country: str
    country_prefix: str
    price: Money


class RoutePricing(msgspec.Struct, kw_only=True):
    """A route's prices."""

    route_id: int
    currency: str
    version: int
    pricing: list[PriceLine]


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/routes",
    act=Act.READ_ROUTES,
    summary="List routes",
    tag="Routes",
    answers=RouteList,
)
async def list_routes(request: Request) -> Response:
    """Return every route and whether the account may use it."""
    routes = request.platform.catalogue.routes
    shown = [_view(request.account, routes[route_id]) for route_id in sorted(routes)]
    return json_response(RouteList(routes=shown))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/routes/{route_id}",
    act=Act.READ_ROUTES,
    summary="Read a route",
    tag="Routes",
    answers=RouteView,
    errors=(Code.INVALID_ROUTE,),
)
async def read_route(request: Request) -> Response:
    """Return one route."""
    return json_response(_view(request.account, named_route(request)))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/routes/{route_id}/pricing",
    act=Act.READ_ROUTES,
    summary="Read a route's prices",
    tag="Routes",
    answers=RoutePricing,
    errors=(Code.INVALID_ROUTE, Code.NO_PRICE),
)
async def read_pricing(request: Request) -> Response:
    """Return a route's prices a segment, by destination."""
    route = named_route(request)
    prices = request.platform.catalogue.prices.get(route.route_id)
    if prices is None:
        raise refuse(Code.NO_PRICE)
    lines = [
        PriceLine(
            country=rate.country,
            country_prefix=rate.prefix,
            price=json_number(Micros(rate.price)),
        )
        for rate in sorted(prices.rates, key=lambda rate: (rate.country, rate.prefix))
    ]
    return json_response(
        RoutePricing(
            route_id=route.route_id,
            currency=prices.currency,
            version=prices.version,
            pricing=lines,
        )
    )


def named_route(request: Request) -> Route:
    """Return the route that a path names, or raise the refusal."""
    text = request.values["route_id"]
    number = whole_number(text)
    route = None if number is None else request.platform.catalogue.routes.get(number)
    if route is None:
        raise refuse(Code.INVALID_ROUTE, route_id="with this id" if number is None else number)
    request.route_id = route.route_id
    return route


def _view(account: Account, route: Route) -> RouteView:
    return RouteView(
        route_id=route.route_id,
        name=route.name.translate(_MARKS),
        display_name=route.display_name.translate(_MARKS),
        category=route.category,
        # The word that published programs know for "only those on the list".
        access_policy="public" if route.access == "public" else "whitelist",
        sender_id_required=route.sender_policy != "any",
        allowed=may_use(account, route),
        is_active=route.is_active and route.flow is Flow.ACTIVE,
        currency=route.currency,
    )
