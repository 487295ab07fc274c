"""Recipients named twice, and times that have passed: said, and never charged by accident."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from arrivals.clock import SystemClock
from arrivals.core.instants import rfc3339
from arrivals.flows import batches
from tests.http.installation import Installation

A, B = "99910000001", "99910000002"
SEND: dict[str, Any] = {
    "route_id": 1, "caller_id": "BRIDGE", "numbers": [A, B, f"+{A}", "999 1000-0001"],
    "message": "hello",
}  # fmt: skip
BATCH = "/api/v1/batches?route_id=1&caller_id=ARRIVALS&message=Hi"
CSV = {"Content-Type": "text/csv"}


async def test_a_recipient_named_twice_is_told(main: httpx.AsyncClient) -> None:
    """Report: a list joined from two exports paid twice for a part of its people."""
    answer = (await main.post("/api/v1/send_sms", json=SEND)).json()
    assert (answer["count"], answer["cost"]) == (4, 0.04)
    assert answer["duplicates"] == [
        {"index": 2, "msisdn": A, "duplicate_of": 0, "sent": True},
        {"index": 3, "msisdn": A, "duplicate_of": 0, "sent": True},
    ]


async def test_deduplicate_leaves_them_out_unpaid(
    api: Installation, main: httpx.AsyncClient
) -> None:
    body = SEND | {"deduplicate": True}
    asked = (await main.post("/api/v1/estimate", json=body)).json()
    answer = (await main.post("/api/v1/send_sms", json=body)).json()
    for each in (asked, answer):
        assert each["count"] == 2
        assert [one["sent"] for one in each["duplicates"]] == [False, False]
    assert asked["estimated_cost"] == answer["cost"] == 0.02
    assert [each["msisdn"] for each in answer["messages"]] == [A, B]
    assert await api.sql("SELECT msisdn FROM messages ORDER BY id") == [(A,), (B,)]


async def test_nobody_twice_says_nothing(main: httpx.AsyncClient) -> None:
    answer = (await main.post("/api/v1/send_sms", json=SEND | {"numbers": [A, B]})).json()
    assert "duplicates" not in answer


async def test_another_text_is_another_message(main: httpx.AsyncClient) -> None:
    """Report: two reminders to one person in one request."""
    messages = [
        {"to": A, "message": "At nine"},
        {"to": A, "message": "At ten"},
        {"to": f"+{A}", "message": "At nine"},
        {"to": A},
        {"to": A, "message": "Hello"},
    ]
    body = {"route_id": 1, "caller_id": "BRIDGE", "messages": messages, "message": "Hello"}
    answer = (await main.post("/api/v1/send_sms", json=body | {"deduplicate": True})).json()
    assert answer["count"] == 3
    assert [(each["index"], each["duplicate_of"]) for each in answer["duplicates"]] == [
        (2, 0),
        (4, 3),
    ]


async def test_partial_counts_only_who_can_be_sent_to(main: httpx.AsyncClient) -> None:
    body = SEND | {"numbers": ["12", "12", A, A], "partial": True, "deduplicate": True}
    answer = (await main.post("/api/v1/send_sms", json=body)).json()
    assert [each["index"] for each in answer["refused"]] == [0, 1]
    assert [each["index"] for each in answer["duplicates"]] == [3]


async def test_a_quote_holds_for_what_it_was_asked_for(main: httpx.AsyncClient) -> None:
    quote = (await main.post("/api/v1/estimate", json=SEND)).json()["quote_id"]
    held = {"quote_id": quote}
    other = await main.post("/api/v1/send_sms", json=SEND | held | {"deduplicate": True})
    assert other.json()["field"] == "quote_id"
    assert (await main.post("/api/v1/send_sms", json=SEND | held)).status_code == 200


# --- batches --------------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_LINES", 2)


ROWS = f"to,message\n{A},\n{B},\n+{A},\n{A},Other\n12,\n12,\n{A},Other\n".encode()


@pytest.mark.usefixtures("small_chunks")
async def test_a_batch_tells_what_it_repeats(main: httpx.AsyncClient) -> None:
    """Over the whole stream, however it is cut into orders."""
    answer = (await main.post(BATCH, content=ROWS, headers=CSV)).json()
    assert (answer["accepted"], answer["refused"]) == (5, 2)
    assert answer["duplicates"] == {
        "count": 2,
        "sent": True,
        "lines": [
            {"line": 4, "to": A, "duplicate_of": 2},
            {"line": 8, "to": A, "duplicate_of": 5},
        ],
    }


@pytest.mark.usefixtures("small_chunks")
async def test_a_batch_leaves_them_out(api: Installation, main: httpx.AsyncClient) -> None:
    path, headers = f"{BATCH}&deduplicate=true", CSV | {"Idempotency-Key": "twice"}
    answer = (await main.post(path, content=ROWS, headers=headers)).json()
    assert (answer["accepted"], answer["refused"], answer["cost"]) == (3, 4, 0.03)
    assert [(e["line"], e["code"]) for e in answer["refusals"]] == [
        (4, "duplicate"), (6, "invalid_number"), (7, "invalid_number"), (8, "duplicate"),
    ]  # fmt: skip
    assert answer["refusals"][0]["detail"] == "Its number and text stand in line 2 already"
    again = await main.post(path, content=ROWS, headers=headers)
    assert again.json() == answer
    assert again.headers["idempotent-replayed"] == "true"
    assert await api.sql("SELECT count(*) FROM messages") == [(3,)]


@pytest.mark.usefixtures("small_chunks")
async def test_a_batch_that_goes_on_remembers_who_was_in_its_first_part(
    api: Installation, main: httpx.AsyncClient
) -> None:
    head = f"to\n{A}\n{B}\n".encode()
    events = [
        {"type": "http.request", "body": head, "more_body": True},
        {"type": "http.disconnect"},
    ]
    path, _, query = f"{BATCH}&deduplicate=true".partition("?")
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": path, "query_string": query.encode(),
        "headers": [
            (b"x-api-key", api.keys["main"].encode()), (b"idempotency-key", b"cut"),
            (b"content-type", b"text/csv"),
        ],
    }  # fmt: skip

    async def receive() -> Any:
        return events.pop(0)

    async def nothing(event: Any) -> None:
        raise AssertionError("nobody is there to be answered")

    await api.app(scope, receive, nothing)
    assert await api.sql("SELECT count(*) FROM messages") == [(2,)]
    whole = head + f"{B}\n999100000003\n".encode()
    answer = await main.post(
        f"{BATCH}&deduplicate=true", content=whole, headers=CSV | {"Idempotency-Key": "cut"}
    )
    assert answer.json()["accepted"] == 3
    assert answer.json()["duplicates"]["lines"] == [{"line": 4, "to": B, "duplicate_of": 3}]


@pytest.mark.parametrize("value", ["yes", "2"])
async def test_a_switch_is_true_or_false(main: httpx.AsyncClient, value: str) -> None:
    answer = await main.post(f"{BATCH}&deduplicate={value}", content=ROWS, headers=CSV)
    assert answer.json()["detail"][0]["loc"] == ["query", "deduplicate"]


# --- send_at --------------------------------------------------------------------------


def ago(seconds: float) -> str:
    return rfc3339(SystemClock().now_us() - int(seconds * 1e6))


@pytest.mark.parametrize(
    ("report", "seconds", "words"),
    [
        ("a year too early", 365 * 86400 + 60, "lies 365 days in the past"),
        ("yesterday", 86400 + 60, "lies 1 day in the past"),
        ("a zone forgotten", 2 * 3600 + 60, "lies 2 hours in the past"),
        ("an hour of summer time", 3600 + 5, "lies 1 hour in the past"),
        ("a job that ran late", 125, "lies 2 minutes in the past"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/send_sms", "/api/v1/estimate", BATCH])
async def test_a_time_that_has_passed_is_refused(
    api: Installation,
    main: httpx.AsyncClient,
    path: str,
    report: str,
    seconds: float,
    words: str,
) -> None:
    """Report: a campaign went out at once, for its date was typed wrongly."""
    at = ago(seconds)
    if path == BATCH:
        answer = await main.post(f"{path}&send_at={at}", content=ROWS, headers=CSV)
    else:
        answer = await main.post(path, json=SEND | {"send_at": at})
    assert answer.status_code == 422, report
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["query" if path == BATCH else "body", "send_at"]
    assert problem["msg"] == f"{words}; leave it out to send at once"
    assert await api.sql("SELECT count(*) FROM orders") == [(0,)]
    assert await api.sql("SELECT count(*) FROM batches") == [(0,)]


async def test_what_has_just_passed_is_now(main: httpx.AsyncClient) -> None:
    answer = (await main.post("/api/v1/send_sms", json=SEND | {"send_at": ago(30)})).json()
    assert answer["layers"]["execution"]["state"] == "queued"


async def test_a_repeat_is_answered_when_its_time_has_passed(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Report: a queue repeated an hour later what it had sent, under the same key."""
    body, key = SEND | {"send_at": ago(-600)}, {"Idempotency-Key": "later"}
    first = await main.post("/api/v1/send_sms", json=body, headers=key)
    path = f"{BATCH}&send_at={ago(-600)}"
    batch = await main.post(path, content=ROWS, headers=CSV | key)
    api.clock.ahead_us = 3_600_000_000
    again = await main.post("/api/v1/send_sms", json=body, headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert (await main.post(path, content=ROWS, headers=CSV | key)).json() == batch.json()
