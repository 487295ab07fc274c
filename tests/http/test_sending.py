"""Sending and estimating: what is answered, what is stored, and that the two agree."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from arrivals.core.ids import message_key
from arrivals.core.message import Move
from arrivals.http.app import Application
from tests.http.installation import MAIN, TINY, Installation

SEND: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "BRIDGE",
    "numbers": ["31612345678"],
    "message": "hello",
}
TO_DELIVERED = (Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)


async def sent(client: httpx.AsyncClient, **change: Any) -> dict[str, Any]:
    response = await client.post("/api/v1/send_sms", json=SEND | change)
    assert response.status_code == 200, response.text
    return response.json()


async def test_an_answer_has_every_published_field(main: httpx.AsyncClient) -> None:
    answer = await sent(main, route_id=5)
    assert list(answer)[:8] == [
        "status", "message", "order_id", "route_id", "count", "messages", "cost",
        "balance_after",
    ]  # fmt: skip
    assert answer["status"] == "success"
    assert answer["message"] == "SMS batch accepted via route 5"
    assert answer["route_id"] == 5
    assert answer["count"] == answer["queued"] == 1
    assert answer["cost"] == 0.087
    assert answer["balance_after"] == 199.913
    assert answer["debited"] is True
    (message,) = answer["messages"]
    assert re.fullmatch(rf"BX-{answer['order_id']}-[0-9a-f]{{16}}", message["bx_message_id"])
    assert message["bx_message_id"] == answer["bx_id"]
    assert message["msisdn"] == "31612345678"
    assert message["status"] == "QUEUED"


async def test_the_commitment_receipt_is_what_the_store_holds(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Invariant 15: what the answer calls committed stands in the database."""
    answer = await sent(main, numbers=["31612345678", "34612345678"], message="€" * 80)
    committed = answer["committed"]
    assert committed["checks"][-1] == "funds"
    assert committed["route"]["providers"] == ["provider 1", "provider 2"]
    lines = {line["country_prefix"]: line for line in committed["prices"]}
    assert lines["31"]["encodings"] == {"gsm7": 1}
    assert lines["31"]["segments"] == 2 - (80 * 2 <= 160)
    total = sum(Decimal(str(line["total"])) for line in committed["prices"])
    assert total == Decimal(str(answer["cost"])) == Decimal("0.137")
    posting = await api.sql(
        "SELECT kind, amount FROM postings WHERE id = ?", committed["ledger"]["posting_id"]
    )
    assert posting == [("hold", 137_000)]
    rows = await api.sql("SELECT provider_id, state, rank FROM messages ORDER BY id")
    assert [row[:2] for row in rows] == [("north", "accepted")] * 2
    assert all(row[2] is not None for row in rows)
    assert answer["layers"]["api"] == {
        "state": "accepted", "since": committed["at"], "final": True, "cause": None,
    }  # fmt: skip
    assert answer["layers"]["execution"]["state"] == "queued"
    assert answer["layers"]["outcome"]["state"] == "pending"
    assert [each["layer"] for each in answer["open"]] == ["execution", "outcome", "confirmed"]
    [(request_id,)] = await api.sql("SELECT request_id FROM orders")
    assert request_id


async def test_recipients_stand_in_input_order_and_duplicates_are_kept(
    main: httpx.AsyncClient,
) -> None:
    numbers = ["34612345678", "+31 6-1234 5678", "34612345678", "15551234567"]
    answer = await sent(main, numbers=numbers)
    assert [each["msisdn"] for each in answer["messages"]] == [
        "34612345678", "31612345678", "34612345678", "15551234567",
    ]  # fmt: skip
    assert len({each["bx_message_id"] for each in answer["messages"]}) == 4
    assert "bx_id" not in answer
    assert answer["cost"] == 0.207


async def test_personalised_messages_and_references(
    api: Installation, main: httpx.AsyncClient
) -> None:
    answer = await sent(
        main,
        numbers=None,
        message=None,
        client_ref="order-9",
        messages=[
            {"to": "31612345678", "message": "Hi Ann", "client_ref": "ann"},
            {"to": "34612345678", "message": "Hi Bob 😀"},
        ],
    )
    assert answer["client_ref"] == "order-9"
    assert [each.get("client_ref") for each in answer["messages"]] == ["ann", None]
    rows = await api.sql("SELECT text, encoding FROM messages ORDER BY id")
    assert rows == [("Hi Ann", "gsm7"), ("Hi Bob 😀", "ucs2")]


async def test_every_option_reaches_the_store(
    api: Installation, main: httpx.AsyncClient
) -> None:
    later = "2026-12-01T10:00:00+02:00"
    api.clock.ahead_us = 0
    now_us = api.clock.now_us()
    api.clock.ahead_us = 1_796_000_000_000_000 - now_us  # 2026-11-29
    answer = await sent(
        main, category="otp", send_at=later, valid_for=300, on_ambiguous="fail", max_price="1.5"
    )
    rows = await api.sql(
        "SELECT category, send_at, expires_at - send_at, on_ambiguous FROM orders"
    )
    assert rows == [("otp", 1_796_112_000_000_000, 300_000_000, "fail")]
    assert await api.sql("SELECT state, lane FROM messages") == [("scheduled", 0)]
    assert answer["layers"]["execution"]["state"] == "scheduled"
    assert answer["committed"]["queue"]["not_before"] == "2026-12-01T08:00:00.000000Z"
    assert answer["committed"]["queue"]["lane"] == "otp"


async def test_a_default_route_stands_in(api: Installation) -> None:
    account = msgspec.to_builtins(api.platform.catalogue.accounts[MAIN]) | {"default_route": 3}
    await api.change("account", str(MAIN), account)
    body = {key: value for key, value in SEND.items() if key != "route_id"}
    async with api.client("main") as client, api.client("other") as other:
        answer = await client.post("/api/v1/send_sms", json=body)
        refused = await other.post("/api/v1/send_sms", json=body)
    assert answer.json()["route_id"] == 3
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "route_id"]


async def test_a_202_is_for_those_who_ask(api: Installation, main: httpx.AsyncClient) -> None:
    asked = await main.post(
        "/api/v1/send_sms", json=SEND, headers={"Prefer": "respond-async, wait=10"}
    )
    assert asked.status_code == 202
    assert asked.headers["preference-applied"] == "respond-async"
    assert asked.json()["status"] == "success"
    account = msgspec.to_builtins(api.platform.catalogue.accounts[MAIN])
    await api.change("account", str(MAIN), account | {"async_answers": True})
    assert (await main.post("/api/v1/send_sms", json=SEND)).status_code == 202


async def test_partial_accepts_whom_it_can(api: Installation, main: httpx.AsyncClient) -> None:
    """Invariant 19: each recipient has its own verdict and the counts add up."""
    numbers = ["31612345678", "12", "905321234567", "34612345678"]
    answer = await sent(main, numbers=numbers, partial=True)
    assert answer["count"] == 2
    assert answer["cost"] == 0.137
    assert [each["msisdn"] for each in answer["messages"]] == ["31612345678", "34612345678"]
    refused = [(each["index"], each["msisdn"], each["code"]) for each in answer["refused"]]
    assert refused == [(1, "12", "invalid_number"), (2, "905321234567", "no_price")]
    assert all(each["detail"] for each in answer["refused"])
    nobody = await main.post(
        "/api/v1/send_sms", json=SEND | {"numbers": ["905321234567", "12"], "partial": True}
    )
    assert nobody.json()["code"] == "no_price"


async def test_partial_spends_the_funds_in_input_order(api: Installation) -> None:
    async with api.client("tiny") as client:  # has 0.60
        answer = await sent(
            client,
            numbers=["31612345678"] * 6 + ["31612345678", "99900000001"],
            partial=True,
        )
    assert answer["count"] == 7
    assert [each["index"] for each in answer["refused"]] == [6]
    assert answer["refused"][0]["code"] == "insufficient_balance"
    assert answer["balance_after"] == 0.068


async def test_all_or_nothing_leaves_nothing(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Invariant 16: a refusal leaves no order, message, money or answer behind."""
    headers = {"Idempotency-Key": "k"}
    body = SEND | {"numbers": ["31612345678", "12"]}
    refused = await main.post("/api/v1/send_sms", json=body, headers=headers)
    assert refused.status_code == 422
    async with api.client("empty") as empty:
        poor = await empty.post("/api/v1/send_sms", json=SEND, headers=headers)
    assert poor.status_code == 402
    for table in ("orders", "messages", "events", "idempotency"):
        assert await api.sql(f"SELECT count(*) FROM {table}") == [(0,)]
    assert await api.sql("SELECT count(*) FROM postings WHERE kind = 'hold'") == [(0,)]


@pytest.mark.each_backend
async def test_parallel_sends_spend_the_funds_to_nothing_and_no_further(
    api: Installation,
) -> None:
    """Invariant 5: a hundred sends with funds for exactly sixty."""
    async with api.client("tiny") as client:
        answers = await asyncio.gather(
            *(
                client.post("/api/v1/send_sms", json=SEND | {"numbers": ["99900000001"]})
                for _ in range(100)
            )
        )
        balance = (await client.get("/api/v1/balance")).json()
    statuses = sorted(each.status_code for each in answers)
    assert statuses == [200] * 60 + [402] * 40
    assert {each.json()["code"] for each in answers if each.status_code == 402} == {
        "insufficient_balance"
    }
    assert balance["balance"] == 0
    assert balance["held"] == 0.6
    assert await api.sql(
        "SELECT sum(available), sum(held) FROM balances WHERE account_id = ?", TINY
    ) == [(0, 600_000)]
    assert len({each.json()["order_id"] for each in answers if each.is_success}) == 60


class TestIdempotency:
    """Invariants 17 and 18."""

    async def test_a_repeat_gets_the_very_same_octets(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        headers = {"Idempotency-Key": "once"}
        first = await main.post("/api/v1/send_sms", json=SEND, headers=headers)
        again = await main.post("/api/v1/send_sms", json=SEND, headers=headers)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == first.content
        assert await api.sql("SELECT count(*) FROM orders") == [(1,)]
        assert (await main.get("/api/v1/balance")).json()["balance"] == 199.913

    async def test_another_body_is_refused(self, main: httpx.AsyncClient) -> None:
        headers = {"Idempotency-Key": "once"}
        await main.post("/api/v1/send_sms", json=SEND, headers=headers)
        other = await main.post(
            "/api/v1/send_sms", json=SEND | {"message": "bye"}, headers=headers
        )
        assert other.status_code == 422
        assert other.json()["code"] == "idempotency_key_mismatch"
        broken = await main.post("/api/v1/send_sms", content=b"{", headers=headers)
        assert broken.json()["code"] == "idempotency_key_mismatch"

    async def test_keys_belong_to_an_account(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        headers = {"Idempotency-Key": "once"}
        ours = await main.post("/api/v1/send_sms", json=SEND, headers=headers)
        async with api.client("other") as other:
            theirs = await other.post("/api/v1/send_sms", json=SEND, headers=headers)
        assert ours.json()["order_id"] != theirs.json()["order_id"]

    @pytest.mark.each_backend
    async def test_twins_of_the_same_moment(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        headers = {"Idempotency-Key": "twin"}
        answers = await asyncio.gather(
            *(main.post("/api/v1/send_sms", json=SEND, headers=headers) for _ in range(20))
        )
        assert {each.status_code for each in answers} == {200}
        assert len({each.content for each in answers}) == 1
        replayed = [each for each in answers if "idempotent-replayed" in each.headers]
        assert len(replayed) == 19
        assert await api.sql("SELECT count(*) FROM orders") == [(1,)]

    async def test_refusals_are_not_kept(self, api: Installation) -> None:
        headers = {"Idempotency-Key": "later"}
        body = SEND | {"numbers": ["99900000001"] * 61}
        async with api.client("tiny") as client:
            refused = await client.post("/api/v1/send_sms", json=body, headers=headers)
            other = SEND | {"numbers": ["99900000001"]}
            accepted = await client.post("/api/v1/send_sms", json=other, headers=headers)
        assert refused.status_code == 402
        assert accepted.status_code == 200

    async def test_a_partial_success_is_kept_whole(self, main: httpx.AsyncClient) -> None:
        headers = {"Idempotency-Key": "part"}
        body = SEND | {"numbers": ["31612345678", "12"], "partial": True}
        first = await main.post("/api/v1/send_sms", json=body, headers=headers)
        again = await main.post("/api/v1/send_sms", json=body, headers=headers)
        assert first.json()["refused"]
        assert again.content == first.content

    async def test_what_was_accepted_stays_answered(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        headers = {"Idempotency-Key": "kept"}
        first = await main.post("/api/v1/send_sms", json=SEND, headers=headers)
        route = msgspec.to_builtins(api.platform.catalogue.routes[1]) | {"is_active": False}
        await api.change("route", "1", route)
        again = await main.post("/api/v1/send_sms", json=SEND, headers=headers)
        assert again.content == first.content
        fresh = await main.post(
            "/api/v1/send_sms", json=SEND, headers={"Idempotency-Key": "fresh"}
        )
        assert fresh.status_code == 400

    @pytest.mark.parametrize("key", ["", "x" * 256, "é".encode("latin-1"), "a\tb"])
    async def test_unusable_keys(self, main: httpx.AsyncClient, key: str | bytes) -> None:
        raw = key.encode() if isinstance(key, str) else key
        refused = await main.post(
            "/api/v1/send_sms", json=SEND, headers=[(b"idempotency-key", raw)]
        )
        assert refused.status_code == 400
        assert refused.json()["code"] == "idempotency_key_invalid"


class TestEstimates:
    async def test_an_estimate_equals_the_send_and_takes_nothing(
        self, main: httpx.AsyncClient
    ) -> None:
        body = SEND | {"numbers": ["31612345678", "15551234567"], "message": "x" * 161}
        estimate = (await main.post("/api/v1/estimate", json=body)).json()
        assert list(estimate)[:9] == [
            "status", "message", "route_id", "count", "estimated_cost", "currency", "balance",
            "sufficient_balance", "sandbox",
        ]  # fmt: skip
        assert estimate["message"] == "Estimate calculated successfully."
        assert estimate["count"] == 2
        assert estimate["sufficient_balance"] is True
        assert estimate["sandbox"] is True
        assert (await main.get("/api/v1/balance")).json()["balance"] == 200
        answer = await sent(main, **body)
        assert answer["cost"] == estimate["estimated_cost"] == 0.214

    async def test_too_little_money_is_no_error(self, api: Installation) -> None:
        async with api.client("empty") as client:
            response = await client.post("/api/v1/estimate", json=SEND)
        assert response.status_code == 200
        assert response.json()["sufficient_balance"] is False
        assert response.json()["balance"] == 0

    async def test_a_quote_holds_for_its_request(self, main: httpx.AsyncClient) -> None:
        quote = (await main.post("/api/v1/estimate", json=SEND)).json()["quote_id"]
        answer = await sent(main, quote_id=quote, client_ref="any")
        assert answer["cost"] == 0.087
        other = await main.post(
            "/api/v1/send_sms", json=SEND | {"quote_id": quote, "message": "other"}
        )
        assert other.status_code == 422
        assert other.json()["field"] == "quote_id"

    async def test_a_quote_is_of_no_use_to_others(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        quote = (await main.post("/api/v1/estimate", json=SEND)).json()["quote_id"]
        async with api.client("other") as other:
            refused = await other.post("/api/v1/send_sms", json=SEND | {"quote_id": quote})
        assert refused.status_code == 422

    async def test_a_quote_expires(self, api: Installation, main: httpx.AsyncClient) -> None:
        quote = (await main.post("/api/v1/estimate", json=SEND)).json()["quote_id"]
        api.clock.ahead_us = 10 * 60 * 1_000_000
        refused = await main.post("/api/v1/send_sms", json=SEND | {"quote_id": quote})
        assert refused.status_code == 409
        assert refused.json()["code"] == "quote_expired"

    async def test_a_new_price_breaks_a_quote(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        quote = (await main.post("/api/v1/estimate", json=SEND)).json()["quote_id"]
        await api.in_store(
            lambda tx: tx.add_price_list(1, "EUR", [("31", "Netherlands", 90_000)])
        )
        await api.reload()
        refused = await main.post("/api/v1/send_sms", json=SEND | {"quote_id": quote})
        assert refused.status_code == 409
        assert refused.json()["detail"] == (
            "The price has changed since the quote: it was 0.087, it is 0.09 EUR"
        )
        assert await api.sql("SELECT count(*) FROM orders") == [(0,)]


class TestWaitingForTheOutcome:
    async def test_the_answer_comes_with_the_end(
        self, api: Installation, main: httpx.AsyncClient
    ) -> None:
        waiting = asyncio.create_task(
            main.post(
                "/api/v1/send_sms?wait=outcome&timeout=20",
                json=SEND | {"numbers": ["31612345678", "34612345678"]},
            )
        )
        await api.platform.changes.work_for("north").wait()
        await api.move(message_key(1, 0), *TO_DELIVERED)
        assert not waiting.done()
        await api.move(
            message_key(1, 1), Move.CLAIMED, Move.TAKEN, Move.RECEIPT_FAILED,
            reason="absent_subscriber",
        )  # fmt: skip
        response = await waiting
        answer = response.json()
        assert response.status_code == 200
        assert [each["status"] for each in answer["messages"]] == ["DELIVERED", "FAILED"]
        assert (
            answer["messages"][1]["layers"]["outcome"]["cause"]["code"] == "absent_subscriber"
        )
        assert answer["layers"]["execution"]["state"] == "handed_off"
        assert answer["layers"]["outcome"]["state"] == "mixed"
        assert answer["layers"]["outcome"]["final"] is True
        assert answer["counts"] == {"delivered": 1, "failed": 1}
        assert [each["layer"] for each in answer["open"]] == ["confirmed"]

    async def test_when_the_time_is_up_the_answer_says_what_is_open(
        self, main: httpx.AsyncClient
    ) -> None:
        response = await main.post("/api/v1/send_sms?wait=outcome&timeout=0", json=SEND)
        answer = response.json()
        assert response.status_code == 200
        assert answer["messages"][0]["status"] == "QUEUED"
        assert answer["layers"]["outcome"]["state"] == "pending"
        assert answer["layers"]["outcome"]["final"] is False
        assert answer["messages"][0]["layers"]["outcome"]["final_after"]
        assert answer["open"][1]["layer"] == "outcome"
        assert answer["open"][1]["known_by"]

    @pytest.mark.parametrize("query", ["wait=soon", "wait=outcome&timeout=long"])
    async def test_waits_that_make_no_sense(
        self, api: Installation, main: httpx.AsyncClient, query: str
    ) -> None:
        refused = await main.post(f"/api/v1/send_sms?{query}", json=SEND)
        assert refused.status_code == 422
        assert await api.sql("SELECT count(*) FROM orders") == [(0,)]


async def test_a_full_queue_is_a_429(api: Installation, main: httpx.AsyncClient) -> None:
    assert isinstance(api.app, Application)
    api.app._site.queue_full = lambda plan: 7
    refused = await main.post("/api/v1/send_sms", json=SEND)
    assert refused.status_code == 429
    assert refused.json()["code"] == "queue_full"
    assert refused.headers["retry-after"] == "7"
