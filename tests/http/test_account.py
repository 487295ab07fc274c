"""Balance, routes, prices and the request log."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from arrivals.store import activity
from arrivals.store.activity import (
    HOUR_US,
    HOURS_KEPT,
    LINES_WAITING_MAX,
    ActivityLog,
    Answered,
)
from arrivals.store.api import StoreUnavailable
from arrivals.store.backend import activity_log
from tests.http.installation import RATES, ROUTE_NAMES, Installation

SEND: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "BRIDGE",
    "numbers": ["31612345678"],
    "message": "hello",
}


async def test_the_balance(api: Installation, main: httpx.AsyncClient) -> None:
    assert (await main.get("/api/v1/balance")).json() == {
        "status": "success", "balance": 200, "currency": "EUR", "sandbox": True,
        "username": "main", "held": 0, "credit_limit": 0,
    }  # fmt: skip
    await main.post("/api/v1/send_sms", json=SEND)
    raw = (await main.get("/api/v1/balance")).text
    assert '"balance":199.913,' in raw
    assert '"held":0.087,' in raw
    async with api.client("live") as live:
        assert (await live.get("/api/v1/balance")).json()["sandbox"] is False
    async with api.client("empty") as empty:
        assert (await empty.get("/api/v1/balance")).json()["balance"] == 0


async def test_the_routes(api: Installation, main: httpx.AsyncClient) -> None:
    routes = (await main.get("/api/v1/routes")).json()["routes"]
    assert [each["route_id"] for each in routes] == list(range(1, 9))
    published = {
        "route_id", "name", "display_name", "category", "access_policy",
        "sender_id_required", "allowed", "is_active", "currency",
    }  # fmt: skip
    for each in routes:
        assert each.keys() >= published
        assert not set("_*[`") & set(each["name"] + each["display_name"])
        assert each["allowed"] is True
    otp = routes[7]
    assert otp["sender_id_required"] is True
    assert otp["access_policy"] == "whitelist"
    assert otp["category"] == "otp"
    assert (await main.get("/api/v1/routes/8")).json() == otp
    async with api.client("public") as public:
        theirs = (await public.get("/api/v1/routes")).json()["routes"]
    allowed = {each["route_id"] for each in theirs if each["allowed"]}
    assert allowed == set(range(1, 9)) - ROUTE_NAMES.keys()


async def test_the_prices(main: httpx.AsyncClient) -> None:
    response = await main.get("/api/v1/routes/2/pricing")
    prices = response.json()
    assert prices["route_id"] == 2
    assert prices["currency"] == "EUR"
    found = {each["country_prefix"]: each for each in prices["pricing"]}
    assert found["31"] == {"country": "Netherlands", "country_prefix": "31", "price": 0.087}
    assert found.keys() == {prefix for prefix, _, _ in RATES}
    assert '"price":0.087' in response.text


async def test_a_route_that_is_not_there(main: httpx.AsyncClient) -> None:
    for path in ("/api/v1/routes/99", "/api/v1/routes/x", "/api/v1/routes/99/pricing"):
        response = await main.get(path)
        assert response.status_code == 400
        assert "Invalid route_id" in response.json()["detail"]


async def test_no_traffic_is_zeros_and_never_null(api: Installation) -> None:
    async with api.client("empty") as client:
        summary = (await client.get("/api/v1/activity/summary")).json()
        assert summary["status"] == "success"
        assert summary["summary"] == {
            "total_requests": 0, "requests_today": 0, "success_requests": 0,
            "error_requests": 0, "success_rate": 0.0, "average_latency_ms": 0,
            "active_api_keys": 1, "recent_errors_24h": 0,
        }  # fmt: skip
    async with api.client("other") as client:
        logs = (await client.get("/api/v1/activity/logs?page=1&limit=20")).json()
        assert logs == {"status": "success", "page": 1, "limit": 20, "total": 0, "logs": []}
    async with api.client("public") as client:
        usage = (await client.get("/api/v1/activity/usage?days=7")).json()["usage"]
        assert len(usage) == 7
        assert all(
            each["total"]
            == each["success"]
            == each["errors"]
            == each["average_latency_ms"]
            == 0
            for each in usage
        )
    async with api.client("tiny") as client:
        endpoints = (await client.get("/api/v1/activity/endpoints")).json()
        assert endpoints == {"status": "success", "endpoints": []}


async def test_requests_are_counted_and_listed(
    api: Installation, main: httpx.AsyncClient
) -> None:
    await main.post("/api/v1/send_sms", json=SEND | {"route_id": 5})
    await main.post("/api/v1/send_sms", json=SEND | {"route_id": 99})
    await main.get("/api/v1/dlr/BX-1-0000000000000000")
    async with api.client("other") as other:
        await other.get("/api/v1/balance")
    summary = (await main.get("/api/v1/activity/summary")).json()["summary"]
    assert summary["total_requests"] == summary["requests_today"] == 3
    assert summary["success_requests"] == 1
    assert summary["error_requests"] == summary["recent_errors_24h"] == 2
    assert summary["success_rate"] == 33.33
    assert summary["active_api_keys"] == 2  # the test and the live one; not the revoked
    logs = (await main.get("/api/v1/activity/logs")).json()
    assert logs["total"] == 4
    newest, *_, first = logs["logs"]
    assert newest["endpoint"] == "/api/v1/activity/summary"
    assert first["endpoint"] == "/api/v1/send_sms"
    assert first["method"] == "POST"
    assert first["status_code"] == 200
    assert first["route_id"] == "5"
    assert first["ip_address"] == "127.0.0.1"
    assert isinstance(first["latency_ms"], int)
    # The path's template: no id stands in the log.
    assert logs["logs"][1]["endpoint"] == "/api/v1/dlr/{bx_message_id}"

    async def count(query: str) -> int:
        return int((await main.get(f"/api/v1/activity/logs?{query}")).json()["total"])

    assert await count("endpoint=/api/v1/send_sms") == 2
    assert await count("endpoint=/api/v1/send_sms&status_code=400&method=post") == 1
    assert await count("route_id=5") == 1
    page = (await main.get("/api/v1/activity/logs?page=2&limit=3")).json()
    assert (page["page"], page["limit"], len(page["logs"])) == (2, 3, 3)
    usage = (await main.get("/api/v1/activity/usage?days=1")).json()["usage"]
    assert len(usage) == 1
    assert usage[0]["total"] == usage[0]["success"] + usage[0]["errors"]
    endpoints = (await main.get("/api/v1/activity/endpoints")).json()["endpoints"]
    by_name = {(each["method"], each["endpoint"]): each for each in endpoints}
    assert by_name["POST", "/api/v1/send_sms"]["requests"] == 2
    assert by_name["POST", "/api/v1/send_sms"]["error_requests"] == 1


async def written_by(log: ActivityLog) -> str:
    """Return everything in the log's tables."""
    tables = log._tables
    return repr(
        await log._run(
            lambda: [
                tables.rows(f"SELECT * FROM {name}", ())
                for name in ("request_lines", "request_hours")
            ]
        )
    )


async def test_the_request_log_survives_a_restart_and_holds_no_secret(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Invariant 44: neither text nor number nor key reaches the request log's tables."""
    await main.post("/api/v1/send_sms", json=SEND | {"message": "canary-7Qx"})
    await main.post("/api/v1/send_sms", json=SEND | {"canary-7Qx": 1})
    await main.get("/api/v1/dlr?msisdn=31612345678")
    await api.activity.close()
    again = activity_log(api.place)
    await again.open()
    try:
        written = await written_by(again)
        totals = await again.totals(1, api.clock.now_us())
    finally:
        await again.close()
    assert "/api/v1/send_sms" in written
    for hidden in ("canary-7Qx", "31612345678", api.keys["main"]):
        assert hidden not in written
    assert totals.all.requests == 3
    assert totals.all.errors == 1


async def test_two_processes_share_a_log(api: Installation) -> None:
    """Where they share a database, each sees what was asked of the other."""
    if not api.backend.many_write:
        pytest.skip("one process at a time serves from a folder")
    other = activity_log(api.place)
    await other.open()
    try:
        now_us = api.clock.now_us()
        for log in (api.activity, other, other):
            log.record(Answered(1, now_us, "GET", "/x", 200, 5, None, None))
        assert (await api.activity.totals(1, now_us)).all.requests == 1
        assert (await other.totals(1, now_us)).all.requests == 3
        assert (await api.activity.log(1, {}, 10, 0))[0] == 3
    finally:
        await other.close()


async def test_what_is_old_is_forgotten(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest lines and the hours of three months stay; the rest goes, some at a time."""
    monkeypatch.setattr(activity, "LINES_KEPT_MAX", 4)
    monkeypatch.setattr(activity, "FORGET_MAX", 3)
    now_us = api.clock.now_us()
    old_us = now_us - (HOURS_KEPT + 2) * HOUR_US
    left = []
    for at_us in (old_us, now_us, now_us, now_us):
        for _ in range(2 if at_us == old_us else 3):
            api.activity.record(Answered(1, at_us, "GET", "/x", 200, 5, None, None))
        left.append((await api.activity.log(1, {}, 10, 0))[0])
    assert left == [2, 4, 4, 4]
    assert (await api.activity.totals(1, now_us)).all.requests == 9


async def test_a_log_that_cannot_be_written_fails_no_request(
    api: Installation, main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it held is lost, and it goes on with what comes next."""

    def fail(*_: object) -> None:
        raise StoreUnavailable("planted")

    with monkeypatch.context() as patch:
        patch.setattr(api.activity._tables, "write", fail)
        await main.get("/api/v1/balance")
        await api.activity._run(api.activity._flush_here)
    assert (await main.get("/api/v1/balance")).status_code == 200
    assert (await api.activity.totals(1, api.clock.now_us())).all.requests == 1


@pytest.mark.slow
async def test_the_log_writes_by_itself(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    flush = api.activity._flush_here

    def flush_and_tell() -> None:
        flush()
        loop.call_soon_threadsafe(written.set)

    monkeypatch.setattr(api.activity, "_flush_here", flush_and_tell)
    async with api.client() as client:
        await client.get("/api/v1/balance")
    await asyncio.wait_for(written.wait(), 10)
    assert not api.activity._hours


async def test_lines_are_bounded_and_counts_are_not(api: Installation) -> None:
    wanted = LINES_WAITING_MAX + 10
    now_us = api.clock.now_us()
    for _ in range(wanted):
        api.activity.record(Answered(1, now_us, "GET", "/x", 200, 5, None, None))
    assert len(api.activity._lines) == LINES_WAITING_MAX
    assert (await api.activity.totals(1, now_us)).all.requests == wanted
