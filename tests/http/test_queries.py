"""Queries: what isn't known is refused by name, and one filter has one word everywhere."""

from __future__ import annotations

import httpx
import pytest

from arrivals.http.exchange import QUERY_FIELDS_MAX
from arrivals.http.table import endpoints
from tests.http.installation import Installation

SEND = {"route_id": 1, "caller_id": "BRIDGE", "numbers": ["31612345678"], "message": "hello"}


@pytest.mark.parametrize(
    ("report", "path", "name", "meant"),
    [
        ("a filter misspelt", "/api/v1/messages?msisdnn=1", "msisdnn", "did you mean msisdn?"),
        ("a filter in capitals", "/api/v1/messages?MSISDN=1", "MSISDN", "did you mean msisdn?"),
        ("another API's word", "/api/v1/messages?phone=1", "phone", "did you mean msisdn?"),
        ("another API's word", "/api/v1/dlr?recipient=1", "recipient", "did you mean msisdn?"),
        ("another API's pages", "/api/v1/orders?per_page=5", "per_page", "did you mean limit?"),
        ("an offset", "/api/v1/dlr?offset=5", "offset", "did you mean skip?"),
        ("a list's word cut", "/api/v1/messages?route=1", "route", "did you mean route_id?"),
        ("an alias misspelt", "/api/v1/messages?nummber=1", "nummber", "did you mean msisdn?"),
        (
            "nothing near",
            "/api/v1/orders?colour=blue",
            "colour",
            "there are route_id, client_ref",
        ),
        (
            "a place without queries",
            "/api/v1/balance?currency=EUR",
            "currency",
            "nothing is read",
        ),
        ("a name with a dot", "/api/v1/dlr?filter.to=1", "filter.to", "isn't known here"),
        ("no name at all", "/api/v1/dlr?=1", None, "isn't known here"),
        ("a filter twice", "/api/v1/dlr?status=SENT&status=FAILED", "status", "more than once"),
        ("a number twice", "/api/v1/messages?msisdn=1&msisdn=2", "msisdn", "more than once"),
    ],
)
async def test_an_unknown_parameter_is_refused_by_name(
    main: httpx.AsyncClient, report: str, path: str, name: str | None, meant: str
) -> None:
    """Report: a list answered a misspelt filter with everybody's messages."""
    answer = await main.get(path)
    assert answer.status_code == 422, report
    body = answer.json()
    assert body["code"] == "query_invalid"
    assert body["detail"][0]["loc"] == (["query"] if name is None else ["query", name])
    assert meant in body["detail"][0]["msg"]


async def test_sending_with_a_query_that_belongs_into_the_body(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Report: ?route_id= beside a body was left out, and the default route was used."""
    answer = await main.post("/api/v1/send_sms?route_id=2", json=SEND)
    assert answer.json()["code"] == "query_invalid"
    assert await api.sql("SELECT count(*) FROM orders") == [(0,)]


@pytest.mark.parametrize("name", ["msisdn", "number"])
@pytest.mark.parametrize("path", ["/api/v1/messages", "/api/v1/messages.ndjson", "/api/v1/dlr"])
async def test_one_word_for_one_filter(main: httpx.AsyncClient, path: str, name: str) -> None:
    """Report: /messages?msisdn= listed all messages, for there the word was number."""
    for number in ("31612345678", "31687654321"):
        await main.post("/api/v1/send_sms", json=SEND | {"numbers": [number]})
    for spelt in ("31612345678", "+31612345678", "%2B31%206%2012345678", "0031612345678"):
        found = (await main.get(f"{path}?{name}={spelt}")).text
        assert "31612345678" in found
        assert "31687654321" not in found


async def test_both_words_may_stand_if_they_agree(main: httpx.AsyncClient) -> None:
    path = "/api/v1/messages?msisdn=31612345678&number="
    assert (await main.get(path + "31612345678")).status_code == 200
    other = await main.get(path + "31687654321")
    assert other.json()["detail"][0]["loc"] == ["query", "number"]


async def test_the_link_to_the_next_page_keeps_the_filter(main: httpx.AsyncClient) -> None:
    for _ in range(2):
        await main.post("/api/v1/send_sms", json=SEND)
    page = (await main.get("/api/v1/messages?number=31612345678&limit=1")).json()
    assert "msisdn=31612345678" in page["next"]
    assert len((await main.get(page["next"])).json()["messages"]) == 1


async def test_too_many_parameters(main: httpx.AsyncClient) -> None:
    query = "&".join(f"a{n}=1" for n in range(QUERY_FIELDS_MAX + 1))
    answer = await main.get(f"/api/v1/dlr?{query}")
    assert answer.json()["code"] == "query_invalid"
    assert answer.json()["detail"][0]["loc"] == ["query"]


async def test_places_without_a_key_take_any_query(api: Installation) -> None:
    """A load balancer adds what it likes to the address that it looks at."""
    async with api.client(None) as client:
        assert (await client.get("/healthz?t=1764")).status_code == 200


async def test_a_refused_key_is_told_before_the_query(api: Installation) -> None:
    async with api.client("nonsense") as client:
        assert (await client.get("/api/v1/dlr?colour=blue")).status_code == 401


def test_query_invalid_is_documented_wherever_it_is_answered() -> None:
    for each in endpoints():
        assert ("query_invalid" in each.errors) == (not each.public), each.path


async def test_a_zone_s_plus_needn_t_be_escaped(main: httpx.AsyncClient) -> None:
    """Report: a batch's send_at was refused for having no zone, and it had one."""
    path = "/api/v1/batches?route_id=1&caller_id=BRIDGE&send_at=2099-12-24T18:00:00+01:00"
    answer = await main.post(path, content=b'{"to": "31612345678", "message": "hi"}\n')
    assert "zone" not in answer.text
