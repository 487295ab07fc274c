"""Every refusal of the published contract, produced once: status, words and shape."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import msgspec
import pytest

from arrivals.core.catalogue import Account, Flow, Provider, Route
from arrivals.http.app import Application
from tests.http.installation import MAIN, Installation

SEND: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "BRIDGE",
    "numbers": ["31612345678"],
    "message": "hello",
}
PROBLEM_FIELDS = {"type", "title", "status", "detail", "code", "fix", "request_id"}


def problem(response: httpx.Response, status: int, code: str) -> Any:
    """Return the detail of an answer that has everything a problem must have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body.keys() >= PROBLEM_FIELDS
    assert body["status"] == status
    assert body["code"] == code
    assert body["request_id"] == response.headers["x-request-id"]
    detail = body["detail"]
    if status == 422:
        assert isinstance(detail, list)
        assert detail
        for each in detail:
            assert each.keys() == {"loc", "msg", "type"}
            assert isinstance(each["msg"], str)
            assert each["msg"]
    else:
        assert isinstance(detail, str)
        assert detail
    return detail


@pytest.mark.parametrize(
    ("who", "change", "status", "code", "literal"),
    [
        (None, {}, 401, "missing_key", "Missing API Key"),
        ("revoked", {}, 401, "invalid_key", "Invalid or inactive API Key"),
        ("nonsense", {}, 401, "invalid_key", "Invalid or inactive API Key"),
        (
            "main", {"route_id": 99}, 400, "invalid_route",
            "Invalid route_id: there is no route 99",
        ),
        (
            "main", {"route_id": -1}, 400, "invalid_route",
            "Invalid route_id: there is no route -1",
        ),
        (
            "public", {"route_id": 7}, 403, "route_not_allowed",
            "You are not authorized for route 7",
        ),
        (
            "public", {"route_id": 5}, 403, "route_not_allowed",
            "You are not authorized for the Casino route",
        ),
        (
            "main", {"route_id": 8}, 403, "sender_not_allowed",
            "Sender ID not allowed for route 8",
        ),
        (
            "main", {"numbers": ["905321234567"]}, 400, "no_price",
            "Pricing failed: No pricing available for destination",
        ),
        (
            "empty", {}, 402, "insufficient_balance",
            "Insufficient balance: 0.087 EUR needed, 0 EUR available",
        ),
        (
            "live", {}, 403, "environment_mismatch", "A live key has no provider on route 1",
        ),
    ],
)  # fmt: skip
async def test_refusals_have_the_published_words(
    api: Installation,
    who: str | None,
    change: dict[str, Any],
    status: int,
    code: str,
    literal: str,
) -> None:
    async with api.client(who) as client:
        response = await client.post("/api/v1/send_sms", json=SEND | change)
    assert problem(response, status, code) == literal


@pytest.mark.parametrize(
    ("change", "loc", "code"),
    [
        ({"route_id": True}, ["body", "route_id"], "body_invalid"),
        ({"route_id": "1"}, ["body", "route_id"], "body_invalid"),
        ({"route_id": 1.0}, ["body", "route_id"], "body_invalid"),
        ({"route_id": 10**30}, ["body", "route_id"], "body_invalid"),
        ({"numbers": "31612345678"}, ["body", "numbers"], "body_invalid"),
        ({"numbers": [31612345678]}, ["body", "numbers", 0], "body_invalid"),
        ({"numbers": []}, ["body", "numbers"], "body_invalid"),
        ({"numbers": ["31612345678", "12"]}, ["body", "numbers", 1], "invalid_number"),
        ({"numbers": ["3161234567²"]}, ["body", "numbers", 0], "invalid_number"),
        ({"message": ""}, ["body", "message"], "body_invalid"),
        ({"message": " \n"}, ["body", "message"], "body_invalid"),
        ({"message": None}, ["body", "message"], "body_invalid"),
        ({"message": "a\0b"}, ["body", "message"], "body_invalid"),
        ({"message": "x" * 2_000}, ["body", "message"], "too_many_segments"),
        ({"message": "x" * 161, "max_segments": 1}, ["body", "message"], "too_many_segments"),
        ({"caller_id": "x"}, ["body", "caller_id"], "body_invalid"),
        ({"colour": 1}, ["body", "colour"], "unknown_field"),
        ({"valid_for": 0}, ["body", "valid_for"], "body_invalid"),
        ({"valid_for": 72 * 3600 + 1}, ["body", "valid_for"], "body_invalid"),
        ({"send_at": "2026-11-22T10:00:00"}, ["body", "send_at"], "body_invalid"),
        ({"send_at": "2999-01-01T00:00:00Z"}, ["body", "send_at"], "body_invalid"),
        ({"category": "spam"}, ["body", "category"], "body_invalid"),
        ({"on_ambiguous": "hope"}, ["body", "on_ambiguous"], "body_invalid"),
        ({"partial": "yes"}, ["body", "partial"], "body_invalid"),
        ({"client_ref": "x" * 65}, ["body", "client_ref"], "body_invalid"),
        ({"client_ref": "a\nb"}, ["body", "client_ref"], "body_invalid"),
        ({"quote_id": "quote_made_up"}, ["body", "quote_id"], "body_invalid"),
        ({"max_price": 0.0870001}, ["body", "max_price"], "body_invalid"),
        ({"max_price": -1}, ["body", "max_price"], "body_invalid"),
        ({"max_price": 0.086}, ["body", "max_price"], "max_price_exceeded"),
        ({"max_segments": 11}, ["body", "max_segments"], "body_invalid"),
    ],
)
async def test_a_field_that_is_wrong_is_named(
    main: httpx.AsyncClient, change: dict[str, Any], loc: list[Any], code: str
) -> None:
    response = await main.post("/api/v1/send_sms", json=SEND | change)
    detail = problem(response, 422, code)
    assert detail[0]["loc"] == loc


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"caller_id": "\\ud83d"}',
        b"[" * 100_000,
        b'{"max_price": ' + b"[" * 100_000,
        b'{"caller_id": "ABC", "max_price": 1e999999999, "numbers": ["31612345678"],'
        b' "message": "x"}',
        b'{"caller_id": "ABC", "route_id": ' + b"9" * 5_000 + b"}",
    ],
)
async def test_a_body_that_is_no_request_is_a_list_too(
    main: httpx.AsyncClient, raw: bytes
) -> None:
    response = await main.post("/api/v1/send_sms", content=raw)
    assert problem(response, 422, "body_invalid")[0]["loc"][0] == "body"


async def test_personalised_messages_name_their_own_places(main: httpx.AsyncClient) -> None:
    body = {"route_id": 1, "caller_id": "BRIDGE", "messages": [{"to": "12", "message": "a"}]}
    detail = problem(await main.post("/api/v1/send_sms", json=body), 422, "invalid_number")
    assert detail[0]["loc"] == ["body", "messages", 0, "to"]
    body["messages"] = [{"to": "31612345678"}]
    detail = problem(await main.post("/api/v1/send_sms", json=body), 422, "body_invalid")
    assert detail[0]["loc"] == ["body", "messages", 0, "message"]
    body["messages"] = [{"to": "31612345678", "message": "a", "colour": 1}]
    detail = problem(await main.post("/api/v1/send_sms", json=body), 422, "unknown_field")
    assert detail[0]["loc"] == ["body", "messages", 0, "colour"]
    both = body | {"numbers": ["31612345678"], "messages": [{"to": "1", "message": "a"}]}
    problem(await main.post("/api/v1/send_sms", json=both), 422, "body_invalid")


async def test_a_large_body_is_refused_announced_or_not(main: httpx.AsyncClient) -> None:
    large = json.dumps(SEND | {"message": "x" * 3_000_000}).encode()
    detail = problem(await main.post("/api/v1/send_sms", content=large), 413, "body_too_large")
    assert detail == "The request is larger than 2 MiB"

    async def chunked():
        for at in range(0, len(large), 65_536):
            yield large[at : at + 65_536]

    response = await main.post("/api/v1/send_sms", content=chunked())
    assert "content-length" not in response.request.headers
    problem(response, 413, "body_too_large")


async def test_more_than_a_thousand_recipients_are_too_many(main: httpx.AsyncClient) -> None:
    body = SEND | {"numbers": ["99900000001"] * 1_001}
    detail = problem(await main.post("/api/v1/send_sms", json=body), 413, "body_too_large")
    assert detail == "The request is larger than 1,000 recipients"
    body["numbers"] = ["99900000001"] * 1_000
    response = await main.post("/api/v1/send_sms", json=body)
    assert response.json()["count"] == 1_000


async def test_paths_and_methods_that_are_not_there(main: httpx.AsyncClient) -> None:
    problem(await main.get("/api"), 404, "unknown_path")
    problem(await main.get("/api/v1/nothing"), 404, "unknown_path")
    refused = await main.get("/api/v1/send_sms")
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"
    refused = await main.request("<B>", "/api/v1/dlr")
    problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD"
    assert "<B>" not in refused.text


@pytest.mark.parametrize(
    "path", ["//api/v1//balance", "/api/v1/balance/", "/api/v1/balance", "//api/v1/routes//1/"]
)
async def test_slashes_make_no_difference(main: httpx.AsyncClient, path: str) -> None:
    response = await main.get(f"http://arrivals{path}")
    assert response.status_code == 200


async def test_a_get_with_a_json_header_and_no_body_and_a_head(
    main: httpx.AsyncClient,
) -> None:
    got = await main.get("/api/v1/balance", headers={"Content-Type": "application/json"})
    assert got.json()["balance"] == 200
    head = await main.head("/api/v1/balance")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert got.headers["x-request-id"] != head.headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/dlr?limit=x", "limit"),
        ("/api/v1/dlr?limit=0", "limit"),
        ("/api/v1/dlr?skip=-1", "skip"),
        ("/api/v1/dlr?status=LOST", "status"),
        ("/api/v1/dlr?msisdn=12", "msisdn"),
        ("/api/v1/dlr?order_id=99999999999999999999", "order_id"),
        ("/api/v1/dlr?order_id=999999999999999999", "order_id"),
        ("/api/v1/dlr?route_id=one", "route_id"),
        ("/api/v1/dlr?from_date=yesterday", "from_date"),
        ("/api/v1/dlr?to_date=2026-02-30", "to_date"),
        ("/api/v1/orders/1/dlr?limit=x", "limit"),
        ("/api/v1/activity/logs?page=0", "page"),
        ("/api/v1/activity/logs?status_code=ok", "status_code"),
        ("/api/v1/activity/usage?days=-3", "days"),
    ],
)
async def test_a_query_that_is_wrong_is_named(
    main: httpx.AsyncClient, path: str, name: str
) -> None:
    detail = problem(await main.get(path), 422, "query_invalid")
    assert detail[0]["loc"] == ["query", name]


@pytest.mark.parametrize("document", ["account", "route"])
async def test_what_takes_nothing_new_says_so(api: Installation, document: str) -> None:
    catalogue = api.platform.catalogue
    body: Account | Route = (
        catalogue.accounts[MAIN] if document == "account" else (catalogue.routes[1])
    )
    data = msgspec.to_builtins(body) | {"flow": Flow.DRAINING.value}
    await api.change(document, "1", data)
    async with api.client() as client:
        sent = await client.post("/api/v1/send_sms", json=SEND)
        asked = await client.post("/api/v1/estimate", json=SEND)
    if document == "account":
        assert problem(sent, 403, "account_paused") == "This account takes no new messages"
    else:
        detail = problem(sent, 409, "route_paused")
        assert detail == "Route 1 takes no new messages now"
    assert problem(asked, 400, "estimate_failed").startswith("Estimate failed: ")


async def test_a_route_in_another_currency(api: Installation) -> None:
    route = msgspec.to_builtins(api.platform.catalogue.routes[2]) | {"currency": "USD"}
    await api.change("route", "2", route)
    async with api.client() as client:
        sent = await client.post("/api/v1/send_sms", json=SEND | {"route_id": 2})
    detail = problem(sent, 403, "currency_mismatch")
    assert detail == "Route 2 is priced in USD, the account is kept in EUR"


async def test_estimates_keep_the_words_that_clients_know(api: Installation) -> None:
    async with api.client("public") as client:
        casino = await client.post("/api/v1/estimate", json=SEND | {"route_id": 5})
        nowhere = await client.post("/api/v1/estimate", json=SEND | {"route_id": 99})
        unpriced = await client.post(
            "/api/v1/estimate", json=SEND | {"numbers": ["905321234567"]}
        )
        wrong = await client.post("/api/v1/estimate", json=SEND | {"message": ""})
    assert problem(casino, 403, "route_not_allowed").endswith("the Casino route")
    assert "Invalid route_id" in problem(nowhere, 400, "invalid_route")
    assert problem(unpriced, 400, "no_price").startswith("Pricing failed: ")
    assert problem(wrong, 422, "body_invalid")


async def test_no_provider_for_the_key_fails_the_estimate(api: Installation) -> None:
    async with api.client("live") as client:
        asked = await client.post("/api/v1/estimate", json=SEND)
    assert problem(asked, 400, "estimate_failed") == (
        "Estimate failed: A live key has no provider on route 1"
    )


CANARY = "canary-7Qx"


async def test_texts_numbers_and_keys_stay_out_of_errors_and_logs(
    api: Installation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 44, with a canary in the text, the number and the key."""
    caplog.set_level(logging.DEBUG)
    number = "31699887766"
    wrong = [
        SEND | {"message": CANARY * 400, "numbers": [number]},
        SEND | {"message": CANARY, "numbers": [number + "x"]},
        SEND | {"message": CANARY, "numbers": [number], "category": CANARY},
        SEND | {"message": [CANARY], "numbers": [number]},
        SEND | {"message": CANARY, "numbers": [number], "caller_id": "?" + CANARY},
    ]
    async with api.client() as client:
        for body in wrong:
            refused = await client.post("/api/v1/send_sms", json=body)
            assert refused.status_code == 422
            assert CANARY not in refused.text
            assert number not in refused.text
    async with api.client(f"arr_test_{CANARY}") as client:
        refused = await client.get("/api/v1/balance")
        assert refused.status_code == 401
        assert CANARY not in refused.text

    def explode(request: object) -> None:
        raise RuntimeError(f"{CANARY} {number} {api.keys['main']}")

    monkeypatch.setattr(api.platform, "plan", explode)
    async with api.client() as client:
        failed = await client.post("/api/v1/send_sms", json=SEND)
    assert problem(failed, 500, "internal") == "Something went wrong on our side"
    for hidden in (CANARY, number, api.keys["main"]):
        assert hidden not in failed.text
        assert hidden not in caplog.text
    assert "RuntimeError" in caplog.text
    assert failed.headers["x-request-id"] in caplog.text


async def test_provider_documents_are_checked_against_the_key(api: Installation) -> None:
    """A test key reaches no live provider, a live key no sandbox (invariant 46)."""
    for name in ("north", "south"):
        await api.change("provider", name, Provider(provider_id=name, sandbox=False))
    async with api.client("main") as test_key, api.client("live") as live_key:
        refused = await test_key.post("/api/v1/send_sms", json=SEND)
        accepted = await live_key.post("/api/v1/send_sms", json=SEND)
    problem(refused, 403, "environment_mismatch")
    assert accepted.status_code == 200


async def test_too_much_in_hand_is_refused(
    api: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(api.app, Application)
    monkeypatch.setattr(api.app._site.in_hand, "all_max", 0)
    async with api.client() as client:
        refused = await client.get("/api/v1/balance")
    problem(refused, 429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
