"""What is known of how routes deliver, as customers see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from arrivals.core.selection import NOTHING_KNOWN, Estimate
from tests.http.installation import Installation

ASKED: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "BRIDGE",
    "numbers": ["31612345678"],
    "message": "hello",
}
NORTH = Estimate(
    delivered=0.5, low=0.4, high=0.6, anchors=120.0, confirmed=60.0, handoffs=300.0, p90_s=9.5
)


@pytest.fixture
def known(api: Installation) -> Installation:
    """Let the installation know north, in the Netherlands."""

    def estimate(country: str, sender: str, provider_id: str) -> Estimate:
        return NORTH if (country, provider_id) == ("NL", "north") else NOTHING_KNOWN

    def destinations(provider_id: str) -> Mapping[str, Estimate]:
        found = {"NL alphanumeric": NORTH, "FR short": NOTHING_KNOWN}
        return found if provider_id == "north" else {}

    api.platform.choosing.estimate = estimate
    api.platform.choosing.destinations = destinations
    api.platform.binds = lambda: {"north": True}
    return api


async def test_an_estimate_compares_what_arrives(known: Installation) -> None:
    """For each provider of the route, and for each route that the account may use."""
    async with known.client("main") as client:
        answer = (await client.post("/api/v1/estimate", json=ASKED)).json()
    north, south = answer["delivery"]["providers"]
    assert north == {
        "provider": "provider 1", "delivered": 0.5, "low": 0.4, "high": 0.6, "confirmed": 60.0,
        "confirmations_expected": 120.0,
        "handoffs": 300.0, "receipts_within_s": 9.5, "price_per_1000_delivered": 174.0,
    }  # fmt: skip
    assert (south["provider"], south["delivered"]) == ("provider 2", None)
    assert south["low"] == 0.0
    assert south["price_per_1000_delivered"] is None
    routes = answer["delivery"]["routes"]
    assert {each["route_id"] for each in routes} >= {1, 2, 3}
    prices = [each["price_per_1000_delivered"] for each in routes]
    assert prices == sorted(prices, key=lambda price: (price is None, price))
    assert all(price == 174.0 for price in prices if price is not None)


async def test_where_nothing_is_known_nothing_is_said(
    known: Installation, main: httpx.AsyncClient
) -> None:
    elsewhere = ASKED | {"numbers": ["34612345678"]}
    answer = (await main.post("/api/v1/estimate", json=elsewhere)).json()
    assert "delivery" not in answer
    refused = await main.post("/api/v1/estimate", json=ASKED | {"route_id": 99})
    assert refused.status_code == 400


async def test_a_routes_health_is_by_provider_and_destination(known: Installation) -> None:
    async with known.client("main") as client:
        answer = (await client.get("/api/v1/routes/1/health")).json()
    assert (answer["route_id"], answer["strategy"], answer["floor"]) == (1, "priority", 0.85)
    north, south = answer["providers"]
    assert (north["provider"], north["reachable"]) == ("provider 1", True)
    dutch, french = north["destinations"]
    assert (dutch["country"], dutch["sender_type"]) == ("NL", "alphanumeric")
    assert (dutch["delivered"], dutch["price_per_1000_delivered"]) == (0.5, 174.0)
    assert (french["country"], french["delivered"]) == ("FR", None)
    assert (south["reachable"], south["destinations"]) == (None, [])


@pytest.mark.parametrize(("route", "status"), [("99", 400), ("x", 400), ("5", 403)])
async def test_other_routes_are_refused(known: Installation, route: str, status: int) -> None:
    async with known.client("public") as client:
        answer = await client.get(f"/api/v1/routes/{route}/health")
    assert answer.status_code == status
