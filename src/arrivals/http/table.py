"""Every endpoint there is, resource by resource."""

from __future__ import annotations

from arrivals.http import (
    account_activity,
    alarms,
    balance,
    batches,
    calibration,
    comparisons,
    delivery,
    delivery_reports,
    feedback,
    messages,
    operations,
    orders,
    route_list,
    sending,
)
from arrivals.http.endpoints import Endpoint


def endpoints() -> list[Endpoint]:
    """Return every endpoint, in the order the API's documents show them."""
    resources = (
        sending,
        batches,
        messages,
        feedback,
        comparisons,
        orders,
        delivery_reports,
        route_list,
        delivery,
        balance,
        account_activity,
        calibration,
        alarms,
        operations,
    )
    return [each for resource in resources for each in resource.ROUTES]
