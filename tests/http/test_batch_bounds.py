"""What a batch may cost: octets, turns of the loop, places, and time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json

import httpx
import pytest

from arrivals.flows import batches
from arrivals.flows.batches import BatchStream
from arrivals.flows.plan import SendRequest
from arrivals.http.app import Application
from arrivals.http.batch_lines import JsonLines, LineReader
from arrivals.http.csv_lines import CsvLines
from arrivals.store.rows import Batch
from tests.http.installation import MAIN, Installation
from tests.http.test_batches import CHUNK, PATH, lines, pieces, post, streamed


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_LINES", CHUNK)


async def test_refusals_that_are_shown_are_bounded(
    main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stream of junk the first ones are explained, and all are counted."""
    monkeypatch.setattr(batches, "REFUSALS_KEPT_MAX", 5)
    monkeypatch.setattr("arrivals.http.batch_lines.REFUSALS_KEPT_MAX", 5)
    monkeypatch.setattr("arrivals.http.batch_view.REFUSALS_KEPT_MAX", 5)
    answer = await post(main, b"1\n" * 120 + lines(3) + b'{"to":"12"}\n' * 60)
    assert (answer["received"], answer["accepted"], answer["refused"]) == (183, 3, 180)
    assert [each["line"] for each in answer["refusals"]] == [1, 2, 3, 4, 5]
    assert len({each["detail"] for each in answer["refusals"]}) == 1


async def test_long_lines_make_smaller_chunks(
    api: Installation, main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream never keeps more octets than its bound, however many lines those are."""
    monkeypatch.setattr(batches, "CHUNK_OCTETS_MAX", 700)
    answer = await post(main, lines(40))
    assert (answer["accepted"], len(answer["orders"])) == (40, 4)


async def test_blank_lines_are_bounded(
    main: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no lines, but they cost time."""
    monkeypatch.setattr("arrivals.http.batch_lines.BREAKS_MAX", 100)
    problem = await post(main, lines(2) + b"\n" * 200, 413)
    assert problem["code"] == "body_too_large"
    csv = b"to,text\n" + b'99910000001,"' + b"\n" * 200 + b'"\n'
    problem = await post(main, csv, 413, content_type="text/csv")
    assert problem["code"] == "body_too_large"


@pytest.mark.parametrize(
    "line",
    [b"1\n", b"{}\n", b"\n", b'{"a":1}\n', b'{"to":"777000001"}\n', b'{"to":"x"}\n', b'"\n'],
    ids=repr,
)
async def test_others_have_their_turn_while_junk_is_read(
    api: Installation, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    """However cheap a line is to send, the loop is never kept for long."""
    monkeypatch.setattr(batches, "CHUNK_LINES", 1_000)
    monkeypatch.setattr(batches, "STRETCH_S", 0.0)
    turns, done = 0, asyncio.Event()

    async def others() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(others())
    kind = "text/csv" if line == b'"\n' else "application/x-ndjson"
    body = (b"to,text\n" if kind == "text/csv" else b"") + line * 3_000
    async with api.client() as client:
        response = await client.post(PATH, content=body, headers={"content-type": kind})
    done.set()
    await watching
    assert response.status_code == 422  # none of it can be sent
    assert turns > 3_000


async def test_a_header_is_read_wherever_it_stands(main: httpx.AsyncClient) -> None:
    """It may come octet by octet, and behind more blank lines than are looked at at once."""
    for key, head in enumerate(
        (b"to;text\r\n", b"sep=;\n\nto;text\n", b"\n" * 250 + b"to;text\n")
    ):
        body, size = head + b"31612345678;hi, you\n", 1 if key < 2 else 400
        sent = {"content-type": "text/csv", "idempotency-key": f"{key}"}
        response = await main.post(PATH, content=pieces(body, size), headers=sent)
        assert response.json()["accepted"] == 1, response.text


async def test_streams_at_once_are_bounded(api: Installation) -> None:
    """An account has some, and no account has all."""
    assert isinstance(api.app, Application)
    site = api.app._site
    async with api.client() as main, api.client("other") as other:
        with contextlib.ExitStack() as taken:
            for _ in range(site.streams.each_max):
                taken.enter_context(site.streams.place(MAIN))
            problem = await post(main, lines(2), 429)
            assert problem["code"] == "too_many_streams"
            await post(other, lines(2))
        await post(main, lines(2))


async def test_a_stream_that_stops_says_where_it_goes_on(api: Installation) -> None:
    """Nothing came for too long: what is decided stands, and the key to go on is told."""
    events = [
        {"type": "http.request", "body": lines(CHUNK + 10), "more_body": True},
        {"type": "http.disconnect", "late": True},
    ]
    sent = await streamed(api, events, "slow")
    assert sent[0]["status"] == 408
    problem = json.loads(sent[1]["body"])
    assert (problem["code"], problem["decided"]) == ("request_timeout", CHUNK)
    assert f"Idempotency-Key slow: {CHUNK} lines are decided, and it goes on" in problem["fix"]
    async with api.client() as client:
        answer = await post(client, lines(CHUNK + 20), idempotency_key="slow")
    assert answer["batch_id"] == problem["batch_id"]
    assert (answer["received"], answer["accepted"]) == (CHUNK + 20, CHUNK + 20)


@pytest.mark.parametrize(
    "line",
    [b"1\n", b'{"to":"x"}\n', b'{"to":"777000001"}\n', b'{"to":"31612345678","message":" "}\n',
     b'{"to":"31612345678"}\n'],
    ids=repr,
)  # fmt: skip
def test_what_is_refused_is_forgotten_at_once(api: Installation, line: bytes) -> None:
    """No ring of exceptions keeps the texts of refused lines until somebody collects it."""
    forgets(api, JsonLines(), line)


@pytest.mark.parametrize(
    "line",
    [b"x,y\n", b"1,2,3\n", b'"1"x,2\n', b"1,\xff\n", b"1,\0\n", b"31612345678,hi\n", b'"\n'],
    ids=repr,
)
def test_so_is_what_is_refused_of_csv(api: Installation, line: bytes) -> None:
    reader = CsvLines()
    assert list(reader.feed(b"to,text\n")) == [None]
    forgets(api, reader, line)


def forgets(api: Installation, reader: LineReader, line: bytes) -> None:
    """Assert that of a line again and again nothing is left once it is refused."""
    template = SendRequest(
        account_id=MAIN, key_id="k", environment="test", request_id="r", route_id=1,
        sender="ARRIVALS", recipients=(), text="hi", partial=True, deduplicate=True,
    )  # fmt: skip
    stream = BatchStream(api.platform, template, Batch(1, MAIN, "k", "{}", 0))
    read = [each for each in reader.feed(line * 50) if each is not None]
    gc.collect()
    gc.disable()
    try:
        # Where the line itself can be sent, all but the first repeat it.
        assert len(stream._decide(read).refusals) >= len(read) - 1
        assert gc.collect() == 0
    finally:
        gc.enable()
