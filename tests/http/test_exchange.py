"""What happens at the edge: clients that hang up, stores that fail, servers that start."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping, Sequence
from typing import Any

import pytest

from arrivals.core.errors import Code
from arrivals.http.app import Application
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import TEXT, Request, Response
from arrivals.http.routing import Router
from arrivals.http.table import endpoints
from arrivals.store.api import StoreError, StoreFull, StoreUnavailable
from tests.http.installation import Installation

Event = MutableMapping[str, Any]

ROUTES: list[Endpoint] = []
SEND = {"route_id": 1, "caller_id": "ABC", "numbers": ["31612345678"], "message": "x"}


@endpoint(ROUTES, "GET", "/numbers", summary="Count", tag="Test", act=None)
async def numbers(request: Request) -> Response:
    async def count() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"{number}\n".encode()

    return Response(200, content_type=TEXT, chunks=count())


@endpoint(ROUTES, "POST", "/upload", summary="Take", tag="Test", act=None)
async def upload(request: Request) -> Response:
    found = [chunk async for chunk in request.chunks(10)]
    return Response(200, b"|".join(found), TEXT)


@endpoint(ROUTES, "GET", "/{first}/of/{second}", summary="Echo", tag="Test", act=None)
async def echo(request: Request) -> Response:
    return Response(200, repr(request.values).encode(), TEXT)


async def call(
    app: Any, method: str, path: str, events: Sequence[Event] = (), headers: Any = ()
) -> list[Event]:
    """Call an application as a server does; return what it sent."""
    waiting = list(events)
    sent: list[Event] = []

    async def receive() -> Event:
        return waiting.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    scope = {
        "type": "http", "method": method, "path": path, "query_string": b"",
        "headers": list(headers), "client": None,
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


@pytest.fixture
def little(api: Installation) -> Application:
    assert isinstance(api.app, Application)
    return Application(api.app._site, Router(ROUTES))


def chunk(body: bytes, *, more: bool) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_stream_goes_out_in_its_chunks(little: Application) -> None:
    start, *rest = await call(little, "GET", "/numbers")
    assert not any(name == b"content-length" for name, _ in start["headers"])
    assert [each["body"] for each in rest] == [b"0\n", b"1\n", b"2\n", b""]
    assert [each.get("more_body", False) for each in rest] == [True, True, True, False]
    _, *rest = await call(little, "HEAD", "/numbers")
    assert [each["body"] for each in rest] == [b""]


async def test_a_body_comes_in_in_its_chunks_up_to_a_bound(little: Application) -> None:
    events = [chunk(b"12", more=True), chunk(b"", more=True), chunk(b"345", more=False)]
    start, body = await call(little, "POST", "/upload", events)
    assert (start["status"], body["body"]) == (200, b"12|345")
    events = [chunk(b"12345", more=True), chunk(b"678901", more=True)]
    start, body = await call(little, "POST", "/upload", events)
    assert start["status"] == 413
    assert b"larger than 10 octets" in body["body"]
    # Announced too large: not a single octet is read.
    start, _ = await call(little, "POST", "/upload", (), [(b"content-length", b"11")])
    assert start["status"] == 413


async def test_values_of_a_path(little: Application) -> None:
    _, body = await call(little, "GET", "//a//of/b/")
    assert body["body"] == b"{'first': 'a', 'second': 'b'}"
    start, _ = await call(little, "GET", "//of/b")
    assert start["status"] == 404


async def test_nobody_answers_a_client_that_hung_up(api: Installation) -> None:
    headers = [(b"x-api-key", api.keys["main"].encode())]
    for events in (
        [{"type": "http.disconnect"}],
        [chunk(b'{"caller', more=True), {"type": "http.disconnect"}],
    ):
        assert await call(api.app, "POST", "/api/v1/send_sms", events, headers) == []
    assert await api.sql("SELECT count(*) FROM orders") == [(0,)]


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (StoreFull("no room"), 507, "disk_full", "60"),
        (StoreUnavailable("locked"), 503, "unavailable", "1"),
        (StoreError("damaged"), 503, "unavailable", "1"),
    ],
)
@pytest.mark.parametrize("verb", ["read", "write"])
async def test_a_store_that_fails_is_told_from_a_request_that_does(
    api: Installation,
    monkeypatch: pytest.MonkeyPatch,
    error: StoreError,
    status: int,
    code: str,
    retry: str,
    verb: str,
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(api.store, verb, fail)
    async with api.client() as client:
        if verb == "read":
            response = await client.get("/api/v1/balance")
        else:
            response = await client.post("/api/v1/send_sms", json=SEND)
    assert response.status_code == status
    assert response.json()["code"] == code
    assert response.headers["retry-after"] == retry


async def test_a_server_s_start_and_stop(api: Installation) -> None:
    events: list[Event] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Event] = []

    async def receive() -> Event:
        return events.pop(0)

    async def send(event: Event) -> None:
        sent.append(event)

    await api.app({"type": "lifespan"}, receive, send)
    assert [each["type"] for each in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    sent.clear()
    await api.app({"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_no_two_endpoints_share_a_method_and_a_path() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        Router([*ROUTES, ROUTES[0]])
    Router(endpoints())


def test_every_endpoint_tells_what_it_is() -> None:
    for each in endpoints():
        assert each.summary
        assert each.about.endswith(".")
        assert each.public == (Code.MISSING_KEY not in each.errors)


async def test_answers_are_counted_by_template(api: Installation) -> None:
    counted: list[tuple[str, str, int, bool]] = []

    def count(method: str, path: str, status: int, latency_us: int | None) -> None:
        counted.append((method, path, status, latency_us is None))

    assert isinstance(api.app, Application)
    api.app._site.answered = count
    async with api.client() as client:
        await client.get("/api/v1/dlr/BX-1-0000000000000000")
        await client.get("/secret/path")
        await client.post("/api/v1/send_sms?wait=outcome&timeout=0", json=SEND)
    assert counted == [
        ("GET", "/api/v1/dlr/{bx_message_id}", 404, False),
        ("-", "-", 404, False),
        ("POST", "/api/v1/send_sms", 200, True),
    ]
