"""One message whole, why it stands where it does, and lists of messages and orders."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from arrivals.core.dialect import Dialect
from arrivals.core.message import Move
from arrivals.http.listing import safe_cell
from tests.http.installation import Installation

BODY = {"route_id": 1, "caller_id": "ARRIVALS", "message": "Your code is 4821"}


async def send(client: httpx.AsyncClient, *numbers: str, **options: Any) -> list[str]:
    """Send to numbers and return the messages' ids."""
    body = {**BODY, "numbers": list(numbers or ("31612345678",)), **options}
    response = await client.post("/api/v1/send_sms", json=body)
    assert response.status_code == 200, response.text
    return [each["bx_message_id"] for each in response.json()["messages"]]


def key_of(api: Installation, bx_message_id: str) -> int:
    key = api.platform.ids.decode(bx_message_id)
    assert key is not None
    return key


async def get(client: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    response = await client.get(path)
    assert response.status_code == status, response.text
    return response.json()


# --- one message ----------------------------------------------------------------------


async def test_a_message_is_shown_whole(api: Installation, main: httpx.AsyncClient) -> None:
    """Four layers, its attempts, its parts, its money and advice, and no word for them all."""
    [sent] = await send(main, client_ref="ours")
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)
    found = await get(main, f"/api/v1/messages/{sent}")
    assert found["bx_message_id"] == sent
    assert {name: layer["state"] for name, layer in found["layers"].items()} == {
        "api": "accepted",
        "execution": "handed_off",
        "outcome": "delivered",
        "confirmed": "none",
    }
    assert found["layers"]["outcome"]["verdict"] == "delivered"
    assert found["layers"]["outcome"]["depth"] == "carrier"
    assert [each["result"] for each in found["attempts"]] == ["accepted"]
    assert found["segments"] == [
        {"part": 1, "text": "Your code is 4821", "encoding": "gsm7", "outcome": None}
    ]
    assert found["money"]["captured"] == 0.087
    assert (found["money"]["held"], found["money"]["released"]) == (0, 0)
    assert found["retry"]["safe"] is False
    assert (found["client_ref"], found["status"]) == ("ours", "DELIVERED")
    assert "success" not in found
    for link in found["links"].values():
        assert (await main.get(link)).status_code == 200, link


async def test_a_long_text_is_shown_part_by_part(main: httpx.AsyncClient) -> None:
    """The parts joined are the text."""
    text = "Grüße aus Łódź — " * 12
    [sent] = await send(main, message=text)
    found = await get(main, f"/api/v1/messages/{sent}")
    assert "".join(each["text"] for each in found["segments"]) == text
    assert len(found["segments"]) > 2
    assert {each["encoding"] for each in found["segments"]} == {"ucs2"}


@pytest.mark.parametrize(
    ("alphabet", "text", "encoding", "parts"),
    [
        ("latin-1", "\xa35 f\xfcr J\xfcrgen, a_b@shop.nl", "latin-1", 1),
        ("latin-1", "[" * 90, "latin-1", 2),
        ("latin-1", "5 \u20ac " * 20, "ucs2", 2),
        ("ascii", "Mail a_b@shop.nl", "ascii", 1),
        ("ascii", "\xa35 " * 30, "ucs2", 2),
    ],
)
async def test_a_text_is_shown_in_the_alphabet_that_it_was_counted_in(
    api: Installation,
    main: httpx.AsyncClient,
    alphabet: str,
    text: str,
    encoding: str,
    parts: int,
) -> None:
    """What is estimated, answered and shown of it is the same, and true."""
    catalogue = api.platform.catalogue
    spoken = {
        name: replace(each, dialect=Dialect(alphabet=alphabet))
        for name, each in catalogue.providers.items()
    }
    api.platform.swap(replace(catalogue, providers=spoken))
    body = BODY | {"numbers": ["31612345678"], "message": text}
    estimated = (await main.post("/api/v1/estimate", json=body)).json()
    [sent] = await send(main, message=text)
    found = await get(main, f"/api/v1/messages/{sent}")
    assert "".join(each["text"] for each in found["segments"]) == text
    assert len(found["segments"]) == parts
    assert {each["encoding"] for each in found["segments"]} == {encoding}
    order = await get(main, found["links"]["order"])
    [line] = order["decision"]["prices"]
    assert (line["segments"], line["encodings"]) == (parts, {encoding: 1})
    assert found["money"]["price"] == estimated["estimated_cost"]


@pytest.mark.parametrize(
    "rest", ["", "/timeline", "/explain", "/outcome", "/cancel", "/feedback"]
)
async def test_nobody_elses_message_is_there(
    api: Installation, main: httpx.AsyncClient, rest: str
) -> None:
    """Another account's id, a made-up id and nonsense get one answer (invariant 43)."""
    [sent] = await send(main)
    method = "POST" if rest in {"/cancel", "/feedback"} else "GET"
    body = {"confirmed": True} if rest == "/feedback" else None
    async with api.client("other") as other:
        for name in (sent, "BX-1-0123456789abcdef", "nonsense"):
            path = f"/api/v1/messages/{name}{rest}"
            response = await other.request(method, path, json=body)
            assert response.status_code == 404, response.text
            assert response.json()["code"] == "not_found"
    found = await get(main, f"/api/v1/messages/{sent}")
    assert found["layers"]["execution"]["state"] == "queued"


async def test_the_timeline_says_whose_time_passed(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """As JSON and as lines for people."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    found = await get(main, f"/api/v1/messages/{sent}/timeline")
    assert [(each["seq"], each["kind"], each["whose"]) for each in found["events"]] == [
        (1, "accepted", None),
        (2, "claimed", "us"),
        (3, "taken", "provider"),
    ]
    assert set(found["spent_ms"]) == {"us", "provider", "carrier", "customer"}
    text = await main.get(f"/api/v1/messages/{sent}/timeline?format=text")
    assert text.headers["content-type"].startswith("text/plain")
    assert "(provider)  taken" in text.text


async def test_a_timeline_that_is_cut_says_so(
    api: Installation, main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a number, as a line for people, and in the explanation."""
    monkeypatch.setattr("arrivals.store.traces.EVENTS_MAX", 3)
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    path = f"/api/v1/messages/{sent}"
    for _ in range(4):
        assert (await main.post(f"{path}/feedback", json={"confirmed": True})).is_success
    found = await get(main, f"{path}/timeline")
    assert (found["count"], len(found["events"])) == (7, 3)
    text = (await main.get(f"{path}/timeline?format=text")).text
    assert text.endswith("\n… and 4 more, which are kept and not shown\n")
    explained = (await main.get(f"{path}/explain?format=text")).text
    assert "Only the first 3 of its 7 events are told." in explained


async def test_an_explanation_cites_its_events(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """And holds neither the text nor the number (invariant 44)."""
    [sent] = await send(main)
    await api.move(key_of(api, sent), Move.CLAIMED, Move.TAKEN)
    found = await get(main, f"/api/v1/messages/{sent}/explain")
    assert found["verdict"] is None
    assert [each["cites"] for each in found["sentences"]] == [[1], [2], [3], [3]]
    text = await main.get(f"/api/v1/messages/{sent}/explain?format=text")
    assert "[3]" in text.text
    for shown in (json.dumps(found), text.text):
        assert "4821" not in shown
        assert "31612345678" not in shown


async def test_an_explanation_says_what_a_message_waits_for(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """A queue that doesn't move has a reason, and one that does has none to tell."""
    [sent] = await send(main)
    api.platform.binds = dict
    found = await get(main, f"/api/v1/messages/{sent}/explain")
    assert "can't be reached." in found["sentences"][-1]["text"]
    text = await main.get(f"/api/v1/messages/{sent}/explain?format=text")
    assert text.text.rstrip().endswith("can't be reached.")
    api.platform.binds = lambda: dict.fromkeys(api.platform.catalogue.providers, True)
    found = await get(main, f"/api/v1/messages/{sent}/explain")
    assert [each["cites"] for each in found["sentences"]] == [[1], [1]]


# --- waiting --------------------------------------------------------------------------


async def test_a_wait_ends_with_the_outcome(
    api: Installation, main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits is answered by the change itself, long before the time is up."""
    [sent] = await send(main)
    key = key_of(api, sent)
    await api.move(key, Move.CLAIMED, Move.TAKEN)
    asked = asyncio.Event()
    changes = api.platform.changes
    on_message = changes.on_message

    def noticed(wanted: int) -> asyncio.Event:
        asked.set()
        return on_message(wanted)

    monkeypatch.setattr(changes, "on_message", noticed)
    waiting = asyncio.ensure_future(main.get(f"/api/v1/messages/{sent}/outcome?wait=30s"))
    await asked.wait()
    await api.move(key, Move.RECEIPT_FAILED, reason="absent_subscriber")
    found = (await waiting).json()
    assert (found["final"], found["status"]) == (True, "FAILED")
    assert found["outcome"]["cause"]["code"] == "absent_subscriber"
    assert found["waited_ms"] < 30_000


async def test_a_wait_in_vain_gives_the_forecast(main: httpx.AsyncClient) -> None:
    """When the time is up the answer is 200 and says by when it will be known."""
    [sent] = await send(main)
    for wait in ("", "?wait=0.05"):
        found = await get(main, f"/api/v1/messages/{sent}/outcome{wait}")
        assert (found["final"], found["outcome"]["verdict"]) == (False, None)
        assert found["outcome"]["final_after"] > found["outcome"]["since"]
        assert found["outcome"]["why"]
    refused = await main.get(f"/api/v1/messages/{sent}/outcome?wait=long")
    assert refused.status_code == 422


# --- lists ----------------------------------------------------------------------------


async def test_a_list_pages_by_cursor(main: httpx.AsyncClient) -> None:
    """Following `next` shows every message once, newest first."""
    sent = await send(main, *[f"3161234567{n}" for n in range(7)])
    path: str | None = "/api/v1//messages/?limit=3"  # slashes too many
    seen: list[str] = []
    while path is not None:
        page = await get(main, path)
        assert len(page["messages"]) <= 3
        seen += [each["bx_message_id"] for each in page["messages"]]
        path = page["next"]
        assert path is None or path.startswith("/api/v1/messages?")
    assert seen == sent[::-1]


async def test_filters_by_word_and_by_layer(api: Installation, main: httpx.AsyncClient) -> None:
    """State, status and verdict narrow to the same rows in their own words."""
    first, second = await send(main, "31612345678", "34612345678", client_ref="both")
    await api.move(key_of(api, first), Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)

    async def listed(query: str) -> list[str]:
        page = await get(main, f"/api/v1/messages?{query}")
        return [each["bx_message_id"] for each in page["messages"]]

    for query in ("state=delivered", "status=DELIVERED", "verdict=delivered", "country=nl"):
        assert await listed(query) == [first], query
    for query in (
        "verdict=open",
        "status=queued",
        "number=%2B34612345678",
        "msisdn=34612345678",
    ):
        assert await listed(query) == [second], query
    assert await listed("state=accepted,delivered") == [second, first]
    assert await listed("client_ref=both&verdict=open") == [second]
    assert await listed("state=accepted&verdict=delivered") == []
    assert await listed("from=2020-01-01&to=2020-12-31") == []
    assert await listed("from=2020-01-01") == [second, first]


@pytest.mark.parametrize(
    "query",
    ["state=lost", "status=SENDING", "verdict=maybe", "country=NLD", "number=12", "msisdn=12",
     "limit=0", "to_date=tomorrow",
     "order_id=x", "cursor=BX-1-0123456789abcdef", "from=yesterday", "client_ref="],
)  # fmt: skip
async def test_a_filter_that_cant_be_read_is_refused(
    main: httpx.AsyncClient, query: str
) -> None:
    """By its name, in the list form of 422."""
    response = await main.get(f"/api/v1/messages?{query}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_a_list_comes_as_ndjson_and_as_csv(main: httpx.AsyncClient) -> None:
    """By suffix or by Accept; the next page stands in the headers."""
    sent = await send(main, "31612345678", "34612345678")
    for path, headers in (
        ("/api/v1/messages.ndjson?limit=1", {}),
        ("/api/v1/messages?limit=1", {"Accept": "application/x-ndjson"}),
    ):
        response = await main.get(path, headers=headers)
        assert response.headers["content-type"] == "application/x-ndjson"
        [line] = [json.loads(each) for each in response.text.splitlines()]
        assert line["bx_message_id"] == sent[1]
        assert response.headers["x-next-cursor"] == sent[1]
        assert 'rel="next"' in response.headers["link"]
    response = await main.get("/api/v1/messages.csv")
    [head, *rows] = csv.reader(io.StringIO(response.text))
    assert [row[head.index("bx_message_id")] for row in rows] == sent[::-1]
    assert "x-next-cursor" not in response.headers


async def test_a_csv_list_has_the_same_columns_whatever_its_rows_say(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Orders that stand differently, and no orders at all."""
    [sent] = await send(main)
    await send(main)
    await api.move(api.platform.ids.decode(sent) or 0, Move.CLAIMED, Move.TAKEN)
    text = (await main.get("/api/v1/orders", headers={"Accept": "text/csv"})).text
    second, first = csv.DictReader(io.StringIO(text), strict=True)
    assert (second["layers.execution.queued"], first["layers.execution.queued"]) == ("1", "0")
    assert (second["layers.execution.handed_off"], first["layers.execution.handed_off"]) == (
        "0",
        "1",
    )
    assert second["layers.confirmed.none"] == first["layers.confirmed.none"] == "1"
    for path in ("orders", "messages", "batches"):
        here = (await main.get(f"/api/v1/{path}", headers={"Accept": "text/csv"})).text
        async with api.client("other") as other:
            none = await other.get(f"/api/v1/{path}", headers={"Accept": "text/csv"})
        assert none.text.splitlines() == here.splitlines()[:1]


async def test_a_spreadsheet_never_runs_a_cell(main: httpx.AsyncClient) -> None:
    """A reference that begins a formula is text there; elsewhere it is what was sent."""
    await send(main, client_ref="=HYPERLINK(1)")
    text = (await main.get("/api/v1/messages.csv")).text
    assert ",'=HYPERLINK(1)," in text
    page = await get(main, "/api/v1/messages")
    assert page["messages"][0]["client_ref"] == "=HYPERLINK(1)"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("plain", "plain"),
        ("=1", "'=1"),
        ("+31", "'+31"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        (" \u00a0=1", "' \u00a0=1"),
        ("a\n=1\nb", "a\n'=1\nb"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_cell_is_made_safe(cell: str, safe: str) -> None:
    """After leading blanks, and on every inner line."""
    assert safe_cell(cell) == safe


# --- orders ---------------------------------------------------------------------------


async def test_an_order_rolls_its_messages_up(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Each layer counts every message; the decision and the commitment are told."""
    first, _ = await send(main, "31612345678", "34612345678", client_ref="ours")
    await api.move(key_of(api, first), Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)
    order_id = int(first.split("-")[1])
    found = await get(main, f"/api/v1/orders/{order_id}")
    assert found["layers"] == {
        "api": {"accepted": 2},
        "execution": {"queued": 1, "handed_off": 1},
        "outcome": {"pending": 1, "delivered": 1},
        "confirmed": {"none": 2},
    }
    assert (found["count"], found["ended"], found["cost"]) == (2, 1, 0.137)
    assert "funds" in found["decision"]["checks"]
    lines = found["decision"]["prices"]
    assert [(each["price_per_segment"], each["total"]) for each in lines] == [
        (0.087, 0.087),
        (0.05, 0.05),
    ]
    assert found["committed"]["balance_after"] == 199.863
    [listed] = (await get(main, "/api/v1/orders?client_ref=ours"))["orders"]
    assert listed["layers"] == found["layers"]
    assert (await get(main, "/api/v1/orders?client_ref=theirs"))["orders"] == []


async def test_orders_page_by_cursor_and_belong_to_their_account(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Newest first; another account's order is 404 (invariant 43)."""
    orders = [int((await send(main))[0].split("-")[1]) for _ in range(3)]
    page = await get(main, "/api/v1/orders?limit=2")
    assert [each["order_id"] for each in page["orders"]] == orders[:0:-1]
    page = await get(main, page["next"])
    assert [each["order_id"] for each in page["orders"]] == orders[:1]
    assert page["next_cursor"] is None
    async with api.client("other") as other:
        for name in (str(orders[0]), "99", "nonsense", str(1 << 70)):
            problem = await get(other, f"/api/v1/orders/{name}", 404)
            assert problem["code"] == "not_found"
        assert (await get(other, "/api/v1/orders"))["orders"] == []
