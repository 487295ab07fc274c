"""Batches: streamed in, each line judged by itself, resumed where they broke off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.ids import message_key
from arrivals.core.message import Move
from arrivals.flows import batches
from arrivals.flows.batches import StreamLine
from arrivals.http.batch_lines import LINE_OCTETS_MAX, JsonLines, LineReader
from arrivals.http.csv_lines import CsvLines
from tests.http.installation import Installation

PATH = "/api/v1/batches?route_id=1&caller_id=ARRIVALS"
CHUNK = 50


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_LINES", CHUNK)


def lines(count: int, first: int = 0) -> bytes:
    """Return NDJSON for so many recipients in the sandbox."""
    rows = [
        {"to": f"9991{n:08d}", "message": f"Hello {n}", "client_ref": f"row-{n}"}
        for n in range(first, first + count)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def pieces(body: bytes, size: int = 777) -> AsyncIterator[bytes]:
    """Yield a body as a network would: cut anywhere."""
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def post(
    client: httpx.AsyncClient, body: bytes, status: int = 200, path: str = PATH, **headers: str
) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await client.post(path, content=pieces(body), headers=sent)
    assert response.status_code == status, response.text
    return response.json()


async def hung_up(api: Installation, body: bytes, key: str) -> None:
    """Send a part of a stream, as a client that hangs up before its end."""
    events = [
        {"type": "http.request", "body": body, "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await streamed(api, events, key) == []  # nobody is there to be answered


async def streamed(api: Installation, events: list[Any], key: str) -> list[Any]:
    """Send a stream as a server hands it over; return what was answered."""
    headers = [(b"x-api-key", api.keys["main"].encode()), (b"idempotency-key", key.encode())]
    path, _, query = PATH.partition("?")
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": headers}
    scope["query_string"] = query.encode()

    async def receive() -> Any:
        return events.pop(0)

    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    await api.app(scope, receive, send)
    return sent


async def test_a_stream_becomes_orders(api: Installation, main: httpx.AsyncClient) -> None:
    """Every line is a message with its own text; counts and cost add up (invariant 19)."""
    answer = await post(main, lines(120), Idempotency_Key="k1")
    assert (answer["received"], answer["accepted"], answer["refused"]) == (120, 120, 0)
    assert (answer["cost"], answer["key"], len(answer["orders"])) == (1.2, "k1", 3)
    rows = await api.sql("SELECT count(*), sum(price), count(DISTINCT text) FROM messages")
    assert rows == [(120, 1_200_000, 120)]
    assert (await main.get("/api/v1/balance")).json()["balance"] == 198.8
    listed = (await main.get("/api/v1/messages?client_ref=row-77")).json()["messages"]
    assert [each["msisdn"] for each in listed] == ["999100000077"]
    orders = (await main.get(answer["links"]["orders"])).json()["orders"]
    assert [each["order_id"] for each in orders] == answer["orders"][::-1]


async def test_each_line_has_a_verdict_of_its_own(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """What can't be sent is refused by line and code, and stops nobody else."""
    body = b"\n".join(
        [
            b'{"to":"99910000001","message":"one"}',
            b'{"to":"12","message":"too short"}',
            b'{"to":"99910000002"}',
            b"not json",
            b"",
            b'{"to":"99910000003","text":"x"}',
            b'{"to":"86123456789","message":"no price"}',
            b'{"to":"99910000004","message":"four"}',
            b'{"to":31612345678,"message":"a number, not a string"}',
        ]
    )
    answer = await post(main, body)
    assert (answer["received"], answer["accepted"], answer["refused"]) == (8, 2, 6)
    assert [(each["line"], each["code"]) for each in answer["refusals"]] == [
        (2, "invalid_number"),
        (3, "body_invalid"),
        (4, "body_invalid"),
        (6, "unknown_field"),  # as an editor counts: the blank line before it is a line too
        (7, "no_price"),
        (9, "body_invalid"),
    ]
    assert answer["refusals"][1]["detail"] == "message: needed"
    assert "Content-Type: text/csv" in answer["refusals"][2]["detail"]
    assert await api.sql("SELECT text FROM messages ORDER BY id") == [("one",), ("four",)]


async def test_a_chunk_without_a_good_line_still_moves_on(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Its lines are decided, no order is made, and the next chunk is."""
    bad = b'{"to":"12","message":"x"}\n' * CHUNK
    answer = await post(main, bad + lines(3), Idempotency_Key="bad")
    assert (answer["accepted"], answer["refused"], len(answer["orders"])) == (3, CHUNK, 1)
    again = await post(main, bad + lines(3), Idempotency_Key="bad")
    assert again == answer


async def test_funds_go_by_line_until_they_are_spent(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """The rest are refused lines; the balance never goes below zero (invariant 5)."""
    async with api.client("tiny") as tiny:
        answer = await post(tiny, lines(130))
        assert (answer["accepted"], answer["refused"], answer["cost"]) == (60, 70, 0.6)
        assert {each["code"] for each in answer["refusals"]} == {"insufficient_balance"}
        assert [each["line"] for each in answer["refusals"]] == list(range(61, 131))
        assert (await tiny.get("/api/v1/balance")).json()["balance"] == 0


async def test_a_broken_stream_goes_on_where_it_stopped(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Whole chunks stand; the second sending adds the rest and charges nothing twice."""
    whole = lines(180)

    await hung_up(api, whole[: len(whole) * 2 // 3], "cut")
    [listed] = (await main.get("/api/v1/batches")).json()["batches"]
    assert 0 < listed["received"] < 180
    assert listed["received"] % CHUNK == 0
    assert listed["finished_at"] is None
    answer = await post(main, whole, Idempotency_Key="cut")
    assert (answer["batch_id"], answer["accepted"]) == (listed["batch_id"], 180)
    assert await api.sql("SELECT count(*), count(DISTINCT client_ref) FROM messages") == [
        (180, 180)
    ]


async def test_the_same_stream_again_changes_nothing(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """The answer is the first one's, and says that it is (invariant 18)."""
    body = lines(70)
    answer = await post(main, body, Idempotency_Key="twice")
    response = await main.post(PATH, content=body, headers={"Idempotency-Key": "twice"})
    assert response.headers["idempotent-replayed"] == "true"
    assert response.json() == answer
    assert await api.sql("SELECT count(*) FROM messages") == [(70,)]


@pytest.mark.parametrize("change", ["first line", "longer", "shorter", "options"])
async def test_another_stream_under_the_same_key_is_refused(
    api: Installation, main: httpx.AsyncClient, change: str
) -> None:
    """A key stands for one stream and its options, whatever differs and wherever."""
    await post(main, lines(70), Idempotency_Key="one")
    body, path = {
        "first line": (lines(70).replace(b"Hello 0", b"Hallo 0"), PATH),
        "longer": (lines(71), PATH),
        "shorter": (lines(60), PATH),
        "options": (lines(70), PATH + "&category=otp"),
    }[change]
    problem = await post(main, body, 422, path, Idempotency_Key="one")
    assert problem["code"] == "idempotency_key_mismatch"
    assert await api.sql("SELECT count(*) FROM messages") == [(70,)]


async def test_twins_of_a_stream_decide_no_line_twice(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Sent twice at the same time: one is answered, the other too or told to wait."""
    body = lines(400)
    responses = await asyncio.gather(
        *(main.post(PATH, content=pieces(body), headers={"Idempotency-Key": "t"}) for _ in "12")
    )
    codes = sorted(response.status_code for response in responses)
    assert codes in ([200, 200], [200, 409])
    assert await api.sql("SELECT count(*), count(DISTINCT client_ref) FROM messages") == [
        (400, 400)
    ]


async def test_accounts_dont_share_keys_or_batches(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """The same key is another stream for another account, whose batch is 404 (invariant 43)."""
    answer = await post(main, lines(3), Idempotency_Key="mine")
    async with api.client("other") as other:
        theirs = await post(other, lines(2), Idempotency_Key="mine")
        assert theirs["batch_id"] != answer["batch_id"]
        for name in (str(answer["batch_id"]), "99", "nonsense"):
            response = await other.get(f"/api/v1/batches/{name}")
            assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_progress_counts_what_became_of_the_messages(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """Committed, executed and ended are three numbers."""
    answer = await post(main, lines(4), path=PATH + "&name=spring")
    first = message_key(answer["orders"][0], 0)
    await api.move(first, Move.CLAIMED, Move.TAKEN, Move.RECEIPT_DELIVERED)
    found = (await main.get(answer["links"]["self"])).json()
    assert (found["name"], found["accepted"], found["ended"], found["percent"]) == (
        "spring", 4, 1, 25.0,
    )  # fmt: skip
    assert found["layers"]["execution"] == {"queued": 3, "handed_off": 1}
    assert found["layers"]["outcome"] == {"pending": 3, "delivered": 1}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/batches?route_id=1", 422, "query_invalid"),
        (PATH.replace("route_id=1", "route_id=99"), 400, "invalid_route"),
        (
            "/api/v1/batches?route_id=8&caller_id=NOBODY",
            403,
            "sender_not_allowed",
        ),
        (PATH + "&category=love", 422, "query_invalid"),
        (PATH + "&valid_for=0", 422, "query_invalid"),
        (PATH + "&message=%20", 422, "query_invalid"),
        (PATH + "&send_at=tomorrow", 422, "query_invalid"),
        (PATH + "&caller_id=OTHER", 422, "query_invalid"),
        (PATH + "&send_at=2025-12-24T18:00:00Z", 422, "query_invalid"),
        (PATH + "&valid_for=0.5", 422, "query_invalid"),
        (PATH + "&name=" + "x" * 65, 422, "query_invalid"),
    ],
)
async def test_what_is_wrong_for_every_line_is_refused_at_once(
    api: Installation, main: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    """Before a line is read: no batch, no order (invariant 16)."""
    problem = await post(main, lines(2), status, path)
    assert problem["code"] == code
    if status == 422:
        assert [each["loc"][0] for each in problem["detail"]] == ["query"]
    assert await api.sql("SELECT count(*) FROM batches") == [(0,)]


async def test_recipients_are_bounded(
    api: Installation, main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound nothing is read; what was accepted stands, and the batch is closed."""
    monkeypatch.setattr(batches, "RECIPIENTS_MAX", 60)
    for _ in range(2):  # the same stream again is told the same
        problem = await post(main, lines(75), 413, idempotency_key="long")
        assert problem["code"] == "body_too_large"
        assert (problem["idempotency_key"], problem["decided"]) == ("long", 60)
    batch = (await main.get(f"/api/v1/batches/{problem['batch_id']}")).json()
    assert (batch["received"], batch["accepted"], batch["refused"]) == (60, 60, 0)
    assert batch["finished_at"] is not None
    again = await post(main, lines(60), idempotency_key="long")
    assert again["batch_id"] == problem["batch_id"]


async def test_a_stream_of_which_nothing_is_accepted_is_no_success(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """A 422 with all that the answer would have told; sent again it is the same batch."""
    body = b'{"to":"12","message":"too short"}\n\n{"to":"99910000002"}\n'
    first = await post(main, body, 422, Idempotency_Key="junk")
    assert (first["code"], first["title"]) == ("nothing_accepted", "Nothing accepted")
    assert [(each["loc"], each["type"]) for each in first["detail"]] == [
        (["body", 1], "invalid_number"), (["body", 3], "body_invalid"),
    ]  # fmt: skip
    assert (first["received"], first["accepted"], first["refused"]) == (2, 0, 2)
    assert [each["line"] for each in first["refusals"]] == [1, 3]
    again = await post(main, body, 422, Idempotency_Key="junk")
    assert again["batch_id"] == first["batch_id"]
    progress = (await main.get(f"/api/v1/batches/{first['batch_id']}")).json()
    assert (progress["accepted"], progress["finished_at"]) == (0, first["finished_at"])
    empty = await post(main, b"\n\n", 422)
    assert (empty["received"], empty["detail"]) == (0, "Of 0 lines none can be sent")


async def test_csv_comes_as_spreadsheets_write_it(
    api: Installation, main: httpx.AsyncClient
) -> None:
    """With a byte order mark, semicolons, CRLF, quoted line breaks and a short row."""
    body = (
        "\ufeffNumber;Text;client_ref\r\n"
        '99910000001;"Hello; Ann\r\nbye";a\r\n'
        "\r\n"
        "+999 1000-0002;plain;\r\n"
        "99910000003\r\n"
    ).encode()
    answer = await post(main, body, content_type="text/csv")
    assert (answer["received"], answer["accepted"]) == (3, 2)
    assert answer["refusals"] == [
        {"line": 6, "to": "99910000003", "code": "body_invalid", "detail": "message: needed"}
    ]  # fmt: skip
    assert await api.sql("SELECT msisdn, text, client_ref FROM messages ORDER BY id") == [
        ("99910000001", "Hello; Ann\nbye", "a"),
        ("99910000002", "plain", None),
    ]


async def test_one_text_for_all(api: Installation, main: httpx.AsyncClient) -> None:
    """A shared text is kept once, with the order."""
    answer = await post(
        main,
        b"to\n99910000001\n99910000002\n",
        path=PATH + "&message=Hi",
        content_type="text/csv",
    )
    assert answer["accepted"] == 2
    assert await api.sql("SELECT count(*) FROM messages WHERE text IS NOT NULL") == [(0,)]
    assert await api.sql("SELECT text FROM orders") == [("Hi",)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "body_invalid"),
        (b"name,text\n1,2\n", "unknown_field"),
        (b"text\nhello\n", "body_invalid"),
        (b"to,number\n1,2\n", "body_invalid"),
        (b'to,"text\n', "body_invalid"),
        (b"\xff\xfe\n", "body_invalid"),
        (b",".join([b"to"] * 21) + b"\n", "body_invalid"),
    ],
)
async def test_a_bad_header_is_refused(
    api: Installation, main: httpx.AsyncClient, body: bytes, code: str
) -> None:
    """With no order made, and no batch begun."""
    problem = await post(main, body, 422, content_type="text/csv")
    assert problem["code"] == code
    assert await api.sql("SELECT count(*) FROM orders") == [(0,)]
    assert await api.sql("SELECT count(*) FROM batches") == [(0,)]


# --- lines ----------------------------------------------------------------------------


def read(reader: LineReader, body: bytes, cuts: Sequence[int]) -> list[StreamLine]:
    """Feed a body in pieces cut at these places."""
    found: list[StreamLine] = []
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    for start, end in pairwise(places):
        found += [each for each in reader.feed(body[start:end]) if each is not None]
    return found + reader.end()


def shown(found: Sequence[StreamLine]) -> list[tuple[Any, ...]]:
    return [(each.raw, each.recipient, each.refusal and each.refusal.code) for each in found]


BODIES = [
    lines(5),
    lines(2) + b"nonsense\r\n\n" + lines(1).removesuffix(b"\n"),
    b'to,text\n1,"a\nb"\n2,c\n3,"open',
    b"to;text\n" + b"x" * 100 + b";y\n",
]


@given(
    body=st.sampled_from(BODIES),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    csv=st.booleans(),
)
def test_where_a_stream_is_cut_makes_no_difference(
    body: bytes, cuts: list[int], csv: bool
) -> None:
    """Lines, refusals and what is hashed are the same for any pieces."""
    if csv != body.startswith(b"to"):
        return
    kind = CsvLines if csv else JsonLines
    assert shown(read(kind(), body, cuts)) == shown(read(kind(), body, []))


@pytest.mark.parametrize("kind", [JsonLines, CsvLines])
@pytest.mark.parametrize("size", [LINE_OCTETS_MAX + 1, 3 * LINE_OCTETS_MAX])
def test_a_line_too_long_is_refused_and_not_held(kind: type[LineReader], size: int) -> None:
    """Whole or in pieces it is one refused line, with a digest in its place."""
    head = b"to,text\n" if kind is CsvLines else b""
    good = b"99910000001,hi\n" if kind is CsvLines else lines(1)
    body = head + good + b"x" * size + b"\n" + good
    for cuts in ([], [100_000, 150_000], list(range(0, len(body), 1_000))):
        found = read(kind(), body, cuts)
        assert [each.refusal and each.refusal.code for each in found] == [
            None, "body_too_large", None,
        ]  # fmt: skip
        assert len(found[1].raw) == 64
    whole = read(kind(), body, [])
    assert [each.raw for each in found] == [each.raw for each in whole]


def test_a_quote_left_open_is_bounded() -> None:
    """A record that never ends is refused when it is too long, and reading goes on."""
    body = b'to,text\n1,"' + b"line\n" * (LINE_OCTETS_MAX // 5 + 1) + b"2,fine\n"
    found = read(CsvLines(), body, [])
    assert found[0].refusal is not None
    assert found[0].refusal.code == "body_too_large"
    assert found[-1].to == "2"
    assert len(found) <= 3
