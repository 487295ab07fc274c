"""An account's own request log: its traffic, errors and latency."""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.instants import rfc3339
from arrivals.core.moments import DAY_US, iso_day
from arrivals.core.permissions import Act
from arrivals.http.endpoints import Endpoint, Parameter, endpoint
from arrivals.http.exchange import (
    Request,
    Response,
    json_response,
    query_int,
    query_invalid,
    whole_number,
)
from arrivals.store.activity import LogLine, Tally

ROUTES: Final[list[Endpoint]] = []

PAGE_MAX: Final = 200
PAGES_MAX: Final = 10_000
DAYS_MAX: Final = 90
WORD_CHARS_MAX: Final = 200


class Summary(msgspec.Struct, kw_only=True):
    """An account's requests added up; `success_rate` is in percent."""

    total_requests: int
    requests_today: int
    success_requests: int
    error_requests: int
    success_rate: float
    average_latency_ms: int
    active_api_keys: int
    recent_errors_24h: int


class SummaryAnswer(msgspec.Struct, kw_only=True):
    """The summary in its envelope."""

    status: str = "success"
    summary: Summary


class LogEntry(msgspec.Struct, kw_only=True):
    """One request; `endpoint` is the path's template."""

    id: int
    timestamp: str
    endpoint: str
    method: str
    status_code: int
    latency_ms: int | None
    ip_address: str | None
    route_id: str | None


class LogAnswer(msgspec.Struct, kw_only=True):
    """A page of requests, newest first."""

    status: str = "success"
    page: int
    limit: int
    total: int
    logs: list[LogEntry]


class UsageDay(msgspec.Struct, kw_only=True):
    """One day's requests (UTC)."""

    date: str
    total: int
    success: int
    errors: int
    average_latency_ms: int


class UsageAnswer(msgspec.Struct, kw_only=True):
    """The last days, oldest first; a day without requests has zeros."""

    status: str = "success"
    usage: list[UsageDay]


class EndpointUse(msgspec.Struct, kw_only=True):
    """One endpoint's requests."""

    endpoint: str
    method: str
    requests: int
    success_requests: int
    error_requests: int
    average_latency_ms: int


class EndpointsAnswer(msgspec.Struct, kw_only=True):
    """Every endpoint the account used, the busiest first."""

    status: str = "success"
    endpoints: list[EndpointUse]


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/activity/summary",
    act=Act.READ_ACCOUNT,
    summary="Summarise the account's requests",
    tag="Activity",
    answers=SummaryAnswer,
)
async def summarise(request: Request) -> Response:
    """Return sums over everything the request log still counts."""
    account_id = request.account.account_id
    platform = request.platform
    found = await request.site.activity.totals(account_id, platform.clock.now_us())
    requests, errors, _, _ = found.all
    share = (requests - errors) * 100 / requests if requests else 0.0
    keys = [
        key
        for key in platform.catalogue.keys.values()
        if key.account_id == account_id and key.active
    ]
    return json_response(
        SummaryAnswer(
            summary=Summary(
                total_requests=requests,
                requests_today=found.requests_today,
                success_requests=requests - errors,
                error_requests=errors,
                success_rate=round(share, 2),
                average_latency_ms=found.all.average_ms,
                active_api_keys=len(keys),
                recent_errors_24h=found.errors_of_a_day,
            )
        )
    )


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/activity/logs",
    act=Act.READ_ACCOUNT,
    summary="List the account's requests, newest first",
    tag="Activity",
    answers=LogAnswer,
    parameters=(
        Parameter(name="page", about="From 1", type="integer", default=1, least=1),
        Parameter(
            name="limit",
            about="At most 200; above it 200",
            type="integer",
            default=20,
            least=1,
        ),
        Parameter(name="endpoint", about="A path's template, such as /api/v1/dlr"),
        Parameter(name="method", about="GET, POST, …"),
        Parameter(name="status_code", about="An HTTP status", type="integer", least=0),
        Parameter(name="route_id", about="A route"),
    ),
)
async def list_log(request: Request) -> Response:
    """Return single requests, as far back as they are kept."""
    page = query_int(request, "page", 1, least=1, clamp=PAGES_MAX)
    limit = query_int(request, "limit", 20, least=1, clamp=PAGE_MAX)
    total, lines = await request.site.activity.log(
        request.account.account_id, _log_filters(request), limit, (page - 1) * limit
    )
    logs = [_entry(line) for line in lines]
    return json_response(LogAnswer(page=page, limit=limit, total=total, logs=logs))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/activity/usage",
    act=Act.READ_ACCOUNT,
    summary="Count the account's requests by day",
    tag="Activity",
    answers=UsageAnswer,
    parameters=(
        Parameter(name="days", about="At most 90", type="integer", default=7, least=1),
    ),
)
async def count_days(request: Request) -> Response:
    """Return one line a day, today included."""
    days = query_int(request, "days", 7, least=1, clamp=DAYS_MAX)
    now_us = request.platform.clock.now_us()
    found = await request.site.activity.days(request.account.account_id, now_us, days)
    today = now_us // DAY_US
    nothing = Tally(0, 0, 0, 0)
    usage = [_day(day, found.get(day, nothing)) for day in range(today - days + 1, today + 1)]
    return json_response(UsageAnswer(usage=usage))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/activity/endpoints",
    act=Act.READ_ACCOUNT,
    summary="Count the account's requests by endpoint",
    tag="Activity",
    answers=EndpointsAnswer,
)
async def count_endpoints(request: Request) -> Response:
    """Return one line an endpoint and method."""
    found = await request.site.activity.endpoints(request.account.account_id)
    uses = [
        EndpointUse(
            endpoint=path,
            method=method,
            requests=tally.requests,
            success_requests=tally.requests - tally.errors,
            error_requests=tally.errors,
            average_latency_ms=tally.average_ms,
        )
        for path, method, tally in found
    ]
    return json_response(EndpointsAnswer(endpoints=uses))


def _log_filters(request: Request) -> dict[str, str | int]:
    query = request.query
    filters: dict[str, str | int] = {}
    for name in ("endpoint", "method", "route_id"):
        if name in query:
            filters[name] = query[name][:WORD_CHARS_MAX]
    if "method" in filters:
        filters["method"] = str(filters["method"]).upper()
    if "status_code" in query:
        status = whole_number(query["status_code"])
        if status is None:
            raise query_invalid("status_code", "must be an HTTP status such as 422")
        filters["status"] = status
    return filters


def _entry(line: LogLine) -> LogEntry:
    return LogEntry(
        id=line.line_id,
        timestamp=rfc3339(line.at_us),
        endpoint=line.endpoint,
        method=line.method,
        status_code=line.status,
        latency_ms=None if line.latency_us is None else line.latency_us // 1_000,
        ip_address=line.ip,
        route_id=line.route_id,
    )


def _day(day: int, tally: Tally) -> UsageDay:
    return UsageDay(
        date=iso_day(day),
        total=tally.requests,
        success=tally.requests - tally.errors,
        errors=tally.errors,
        average_latency_ms=tally.average_ms,
    )
