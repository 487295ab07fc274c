"""Delivery reports as the published clients read them: flat, one status a message.

A report never has `success` and never an envelope's status: a published client would take
an undelivered message for a delivered one.
"""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.core.errors import Code, refuse
from arrivals.core.ids import ORDER_ID_MAX, MessageIds, order_of
from arrivals.core.instants import rfc3339
from arrivals.core.message import State, error_of, status_of
from arrivals.core.moments import read_day_or_moment
from arrivals.core.permissions import Act
from arrivals.http.endpoints import MSISDN, Endpoint, Parameter, endpoint
from arrivals.http.exchange import (
    Request,
    Response,
    json_response,
    one_of,
    query_int,
    query_invalid,
    query_msisdn,
    whole_number,
)
from arrivals.http.messages import not_a_day
from arrivals.http.whose import ACCOUNT, one_account, owner_of_order
from arrivals.store.queries import Report, ReportFilters

ROUTES: Final[list[Endpoint]] = []

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500
SKIP_MAX: Final = 1_000_000  # rows are stepped over one by one

_STATES_OF: Final[dict[str, tuple[State, ...]]] = {
    status: tuple(state for state in State if status_of(state) == status)
    for status in dict.fromkeys(status_of(state) for state in State)
}


class DeliveryReport(msgspec.Struct, kw_only=True):
    """One message's delivery report."""

    bx_message_id: str
    msisdn: str
    status: str
    route_id: int
    sms_order_id: int
    created_at: str
    error: str | None
    delivered_at: str | None
    updated_at: str
    vendor_message_id: str | None
    client_ref: str | None


class DeliveryReports(msgspec.Struct, kw_only=True):
    """A page of delivery reports."""

    total: int
    skip: int
    limit: int
    messages: list[DeliveryReport]


_PAGE: Final = (
    Parameter(
        name="limit",
        about="At most 500; above it 500",
        type="integer",
        default=PAGE_DEFAULT,
        least=1,
    ),
    Parameter(
        name="skip", about="Reports to leave out first", type="integer", default=0, least=0
    ),
)


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/dlr",
    act=Act.READ_MESSAGES,
    summary="List delivery reports, newest first",
    tag="Delivery reports",
    answers=DeliveryReports,
    parameters=(
        *_PAGE,
        ACCOUNT,
        Parameter(name="status", about="How it stands", choices=tuple(_STATES_OF)),
        MSISDN,
        Parameter(name="order_id", about="The order", type="integer"),
        Parameter(name="route_id", about="The route", type="integer"),
        Parameter(
            name="from_date",
            about="A day or a moment (UTC unless it has a zone)",
            also=("from",),
        ),
        Parameter(
            name="to_date",
            about="A day or a moment; the day itself is included",
            also=("to",),
        ),
    ),
)
async def list_reports(request: Request) -> Response:
    """Return the account's reports; filters hold together."""
    account_id = one_account(request)
    limit = query_int(request, "limit", PAGE_DEFAULT, least=1, clamp=PAGE_MAX)
    skip = query_int(request, "skip", 0, clamp=SKIP_MAX)
    filters = _filters(request)
    total, page = await request.platform.store.read(
        lambda reader: reader.reports(account_id, filters, limit, skip)
    )
    return json_response(_page(request.platform.ids, total, skip, limit, page))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/dlr/{bx_message_id}",
    act=Act.READ_MESSAGES,
    summary="Read one delivery report",
    tag="Delivery reports",
    answers=DeliveryReport,
    errors=(Code.DLR_NOT_FOUND,),
)
async def read_report(request: Request) -> Response:
    """Return one message's report; another account's is as good as none."""
    ids = request.platform.ids
    key = ids.decode(request.values["bx_message_id"].strip())
    if key is None:
        raise refuse(Code.DLR_NOT_FOUND)
    found = await request.platform.store.read(
        lambda reader: reader.report(owner_of_order(request, reader, order_of(key)), key)
    )
    if found is None:
        raise refuse(Code.DLR_NOT_FOUND)
    return json_response(shown(ids, found))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/orders/{order_id}/dlr",
    act=Act.READ_MESSAGES,
    summary="List an order's delivery reports",
    tag="Delivery reports",
    answers=DeliveryReports,
    parameters=_PAGE,
    errors=(Code.DLR_NOT_FOUND,),
)
async def list_order_reports(request: Request) -> Response:
    """Return an order's reports in the order of its request."""
    limit = query_int(request, "limit", PAGE_MAX, least=1, clamp=PAGE_MAX)
    skip = query_int(request, "skip", 0, clamp=SKIP_MAX)
    order_id = whole_number(request.values["order_id"])
    if order_id is None or order_id > ORDER_ID_MAX:
        raise refuse(Code.DLR_NOT_FOUND)
    found = await request.platform.store.read(
        lambda reader: reader.order_reports(
            owner_of_order(request, reader, order_id), order_id, limit, skip
        )
    )
    if found is None:
        raise refuse(Code.DLR_NOT_FOUND)
    total, page = found
    return json_response(_page(request.platform.ids, total, skip, limit, page))


def shown(ids: MessageIds, report: Report) -> DeliveryReport:
    """Return a report as the published contract words it."""
    delivered_at_us = report.delivered_at_us
    return DeliveryReport(
        bx_message_id=ids.encode(report.key),
        msisdn=report.msisdn,
        status=status_of(report.state),
        route_id=report.route_id,
        sms_order_id=order_of(report.key),
        created_at=rfc3339(report.accepted_at_us),
        error=error_of(report.state, report.reason),
        delivered_at=None if delivered_at_us is None else rfc3339(delivered_at_us),
        updated_at=rfc3339(report.changed_at_us),
        vendor_message_id=report.provider_message_id,
        client_ref=report.client_ref,
    )


def _page(
    ids: MessageIds, total: int, skip: int, limit: int, page: list[Report]
) -> DeliveryReports:
    messages = [shown(ids, report) for report in page]
    return DeliveryReports(total=total, skip=skip, limit=limit, messages=messages)


def _filters(request: Request) -> ReportFilters:
    query = request.query
    states = None
    if "status" in query:
        states = _STATES_OF[one_of("status", query["status"], _STATES_OF)]
    from_day = _day(request, "from_date")
    to_day = _day(request, "to_date")
    return ReportFilters(
        order_id=_id(request, "order_id", ORDER_ID_MAX),
        states=states,
        msisdn=query_msisdn(request),
        route_id=_id(request, "route_id"),
        from_us=None if from_day is None else from_day[0],
        before_us=None if to_day is None else to_day[1],
    )


def _id(request: Request, name: str, most: int | None = None) -> int | None:
    if name not in request.query:
        return None
    number = whole_number(request.query[name])
    if number is None or (most is not None and number > most):
        raise query_invalid(name, "must be a whole number")
    return number


def _day(request: Request, name: str) -> tuple[int, int] | None:
    if name not in request.query:
        return None
    found = read_day_or_moment(request.query[name].strip())
    if found is None:
        raise not_a_day(request, name)
    return found
