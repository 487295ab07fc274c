"""Delivery reports as published clients read them, and nobody else's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from arrivals.core.instants import rfc3339
from arrivals.core.message import Move
from arrivals.core.moments import read_day_or_moment, read_moment
from tests.http.installation import Installation

SEND: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "BRIDGE",
    "numbers": ["31612345678"],
    "message": "hello",
}


async def sent(client: httpx.AsyncClient, **change: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/send_sms", json=SEND | change)
    assert response.status_code == 200, response.text
    return response.json()


async def report(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    response = await client.get(f"/api/v1/dlr/{name}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_report_through_a_message_s_life(
    api: Installation, main: httpx.AsyncClient
) -> None:
    answer = await sent(main, client_ref=None, messages=None)
    name = answer["messages"][0]["bx_message_id"]
    key = api.platform.ids.decode(name)
    assert key is not None
    first = await report(main, name)
    assert first["status"] == "QUEUED"
    assert first["sms_order_id"] == answer["order_id"]
    assert first["route_id"] == 1
    assert first["msisdn"] == "31612345678"
    assert first["error"] is first["delivered_at"] is first["vendor_message_id"] is None
    created = datetime.fromisoformat(first["created_at"])
    assert created.tzinfo is not None

    await api.move(key, Move.CLAIMED)
    assert (await report(main, name))["status"] == "QUEUED"
    await api.move(key, Move.TAKEN)
    taken = await report(main, name)
    assert taken["status"] == "SENT"
    assert taken["vendor_message_id"] == "7f3a"
    await api.move(key, Move.RECEIPT_DELIVERED)
    last = await report(main, name)
    assert last["status"] == "DELIVERED"
    assert last["delivered_at"] == last["updated_at"] > last["created_at"]
    assert last["error"] is None
    # A published client takes either of these for delivered, whatever `status` says.
    for each in (first, taken, last):
        assert "success" not in each


async def test_why_a_message_did_not_arrive(api: Installation, main: httpx.AsyncClient) -> None:
    numbers = ["31612345678"] * 3
    names = [each["bx_message_id"] for each in (await sent(main, numbers=numbers))["messages"]]
    keys = [api.platform.ids.decode(name) or 0 for name in names]
    failed, doubtful, expired = keys
    await api.move(failed, Move.CLAIMED, Move.TAKEN)
    await api.move(failed, Move.RECEIPT_FAILED, reason="absent_subscriber")
    await api.move(doubtful, Move.CLAIMED)
    await api.move(expired, Move.VALIDITY_PASSED, reason="expired_in_queue")
    found = [await report(main, name) for name in names]
    assert [each["status"] for each in found] == ["FAILED", "QUEUED", "EXPIRED"]
    assert [each["error"] for each in found] == ["absent_subscriber", None, "expired_in_queue"]


async def test_reports_of_an_order_stand_in_input_order(
    main: httpx.AsyncClient,
) -> None:
    numbers = ["31612345678", "34612345678", "15551234567"]
    order_id = (await sent(main, numbers=numbers))["order_id"]
    await sent(main)
    found = (await main.get(f"/api/v1/orders/{order_id}/dlr")).json()
    assert found.keys() == {"total", "skip", "limit", "messages"}
    assert found["total"] == 3
    assert [each["msisdn"] for each in found["messages"]] == numbers
    page = (await main.get(f"/api/v1/orders/{order_id}/dlr?limit=1&skip=1")).json()
    assert [page["total"], page["skip"], page["limit"]] == [3, 1, 1]
    assert page["messages"] == found["messages"][1:2]


async def test_the_newest_come_first_and_pages_do_not_overlap(main: httpx.AsyncClient) -> None:
    orders = [(await sent(main))["order_id"] for _ in range(5)]
    newest = (await main.get("/api/v1/dlr?limit=1&skip=0")).json()
    assert newest["messages"][0]["sms_order_id"] == orders[-1]
    assert newest["total"] == 5
    seen = []
    for skip in range(0, 6, 2):
        page = (await main.get(f"/api/v1/dlr?limit=2&skip={skip}")).json()
        seen += [each["sms_order_id"] for each in page["messages"]]
    assert seen == orders[::-1]


@pytest.mark.parametrize("limit", [500, 501, 100_000])
async def test_a_page_has_at_most_500(main: httpx.AsyncClient, limit: int) -> None:
    order = await sent(main, numbers=["99900000001"] * 501)
    listed = (await main.get(f"/api/v1/dlr?limit={limit}")).json()
    ordered = (await main.get(f"/api/v1/orders/{order['order_id']}/dlr?limit={limit}")).json()
    for page in (listed, ordered):
        assert page["limit"] == 500
        assert page["total"] == 501
        assert len(page["messages"]) == 500


async def test_every_filter_alone_and_all_together(
    api: Installation, main: httpx.AsyncClient
) -> None:
    day_us = 86_400_000_000
    early = await sent(main, route_id=2, numbers=["34612345678"])
    api.clock.ahead_us = 3 * day_us
    wanted = await sent(main, route_id=3, numbers=["31612345678", "44712345678"])
    await sent(main, route_id=3, numbers=["31612345678"])
    key = api.platform.ids.decode(wanted["messages"][0]["bx_message_id"])
    assert key is not None
    await api.move(key, Move.CLAIMED, Move.TAKEN)
    start = api.clock.now_us() - day_us
    later = rfc3339(start)[:10]
    today = rfc3339(api.clock.now_us())[:10]

    async def count(query: str) -> int:
        return int((await main.get(f"/api/v1/dlr?{query}")).json()["total"])

    assert await count("") == 4
    assert await count("status=SENT") == 1
    assert await count("status=queued") == 3
    assert await count("msisdn=31612345678") == 2
    assert await count("msisdn=%2B31612345678") == await count("msisdn=+31612345678") == 2
    assert await count(f"order_id={wanted['order_id']}") == 2
    assert await count("route_id=3") == 3
    assert await count(f"from_date={later}") == 3
    assert await count(f"to_date={later}") == 1
    assert await count(f"from_date={today}&to_date={today}") == 3
    assert await count(f"from_date={rfc3339(start)}") == 3
    assert await count(f"to_date={early['committed']['at']}") == 1
    assert await count(f"from_date={early['committed']['at'][:-1]}%2B00:00") == 4
    together = (
        f"status=SENT&msisdn=31612345678&order_id={wanted['order_id']}&route_id=3"
        f"&from_date={later}&to_date={today}&limit=50&skip=0"
    )
    page = (await main.get(f"/api/v1/dlr?{together}")).json()
    assert page["total"] == 1
    assert page["messages"][0]["bx_message_id"] == wanted["messages"][0]["bx_message_id"]
    assert await count(together.replace("SENT", "DELIVERED")) == 0
    assert await count("number=31612345678") == 2
    assert await count(f"from={today}&to={today}") == 3


async def test_what_is_another_account_s_is_not_there(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Invariant 43: another account's id is answered just like one that doesn't exist."""
    mine = await sent(main)
    name = mine["messages"][0]["bx_message_id"]
    made_up = name[:-1] + ("0" if name[-1] != "0" else "1")
    async with api.client("other") as other:
        answers = [
            await other.get(path)
            for path in (
                f"/api/v1/dlr/{name}",
                f"/api/v1/dlr/{made_up}",
                "/api/v1/dlr/nonsense",
                f"/api/v1/orders/{mine['order_id']}/dlr",
                "/api/v1/orders/4711/dlr",
                "/api/v1/orders/x/dlr",
                "/api/v1/orders/99999999999999999999/dlr",
            )
        ]
        for answer in answers:
            assert answer.status_code == 404
            assert answer.json()["detail"] == "DLR record not found"
            assert answer.json()["code"] == "dlr_not_found"
        assert (await other.get("/api/v1/dlr")).json()["total"] == 0
        by_order = await other.get(f"/api/v1/dlr?order_id={mine['order_id']}")
        assert by_order.json()["messages"] == []
    assert (await main.get(f"/api/v1/dlr/{name}")).status_code == 200


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-22T18:00:00Z", 1_795_370_400_000_000),
        ("2026-11-22T18:00:00.25+00:00", 1_795_370_400_250_000),
        ("2026-11-22t20:00:00+02:00", 1_795_370_400_000_000),
        ("2026-11-22 18:00", 1_795_370_400_000_000),
        ("2026-11-31T18:00:00Z", None),
        ("2026-11-22T25:00:00Z", None),
        ("2026-W47-7T18:00:00Z", None),
        ("١٢٣٤-11-22T18:00:00Z", None),
        ("now", None),
    ],
)
def test_moments(text: str, found: int | None) -> None:
    assert read_moment(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-22", (1_795_305_600_000_000, 1_795_392_000_000_000)),
        ("2026-11-22T18:00:00Z", (1_795_370_400_000_000, 1_795_370_400_000_001)),
        ("2026-11-22T20:00:00 02:00", (1_795_370_400_000_000, 1_795_370_400_000_001)),
        ("2026-11-31", None),
    ],
)
def test_days(text: str, found: tuple[int, int] | None) -> None:
    assert read_day_or_moment(text) == found


def test_moments_print_as_they_read() -> None:
    for at_us in (0, 1_795_370_400_000_001, 4_102_444_799_999_999):
        assert read_moment(rfc3339(at_us), zone_needed=True) == at_us
    assert read_moment("2026-11-22T18:00:00", zone_needed=True) is None
