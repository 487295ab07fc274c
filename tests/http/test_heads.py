"""Heads, trailers, frames and pipelines on a raw socket: what counts, and how much of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from arrivals.http import connection, turn
from arrivals.http.head import HEAD_OCTETS_MAX
from tests.http.installation import Installation
from tests.http.wire import Wire, answered, ends, served

BODY = msgspec.json.encode(
    {"route_id": 1, "caller_id": "ARRIVALS", "numbers": ["31612345678"], "message": "Hi"}
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"Host: a\r\nTransfer-Encoding: chunked\r\n"


@pytest.fixture
async def wire(api: Installation) -> AsyncIterator[Wire]:
    async with served(api) as found:
        yield found


def key(api: Installation, name: str) -> bytes:
    return b"X-API-KEY: " + api.keys[name].encode() + b"\r\n"


def chunked(
    headers: bytes, *, trailers: bytes = b"", path: bytes = b"/api/v1/send_sms"
) -> bytes:
    chunks = b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
    return b"POST " + path + b" HTTP/1.1\r\n" + CHUNKED + headers + b"\r\n" + chunks + trailers


def sized(api: Installation, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(BODY)
    head = b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\n" + key(api, "main") + length
    return head + headers + b"\r\n" + BODY


def code(answer: bytes) -> str:
    found: str = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["code"]
    return found


async def orders(api: Installation) -> list[int]:
    return [each[0] for each in await api.sql("SELECT account_id FROM orders ORDER BY id")]


# --- trailers -------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True], ids=["one read", "two reads"])
async def test_a_trailer_is_no_header(api: Installation, wire: Wire, apart: bool) -> None:
    """No key comes in one, no key is replaced by one, and none makes a request a repeat."""
    main, other = key(api, "main"), key(api, "other")

    async def send(headers: bytes, trailers: bytes) -> bytes:
        whole = chunked(headers, trailers=trailers + b"\r\n")
        cut = len(whole) - len(trailers) - 2 if apart else 0
        return await wire.exchange(*([whole[:cut], whole[cut:]] if apart else [whole]))

    assert code(await send(b"", main)) == "missing_key"
    assert (await send(main, other)).startswith(b"HTTP/1.1 200 ")
    assert await orders(api) == [1]
    for _ in range(2):
        answer = await send(main, b"Idempotency-Key: t1\r\n")
        assert b"idempotent-replayed" not in answer
    answer = await send(main, b"Host: b\r\nContent-Type: text/csv\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert await orders(api) == [1, 1, 1, 1]


async def test_the_request_behind_a_trailer_is_read(api: Installation, wire: Wire) -> None:
    """What was forgotten doesn't stand in its way."""
    first = chunked(key(api, "main"), trailers=b"X-Sum: 1\r\n\r\n")
    answer = await wire.exchange(first + HEALTH)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"0\r\n", b"a:b\r\n" * 2_000),
        (b"0\r\nX: ", b"a" * 10_000),
        (b"5;", b"a" * 10_000),
        (b"5", b"\r\n"),
    ],
    ids=["many trailers", "one long trailer", "one long chunk extension", "blank lines"],
)
async def test_what_frames_a_body_is_bounded(
    api: Installation, wire: Wire, start: bytes, piece: bytes
) -> None:
    """Without a key too: nobody fills the memory with what is no content."""
    head = b"POST /api/v1/send_sms HTTP/1.1\r\n" + key(api, "main") + CHUNKED + b"\r\n"
    reader = await wire.connect(head + start)
    writer = wire.writers[-1]
    sent = 0
    try:
        while sent < 20 * HEAD_OCTETS_MAX:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
            sent += len(piece)
            if answered(reader):
                break
    except ConnectionError:
        pass
    answer = await ends(reader, 15)
    assert code(answer) == "http_invalid"
    assert sent < 10 * HEAD_OCTETS_MAX
    assert await orders(api) == []


async def test_chunks_of_one_octet_are_read(api: Installation, wire: Wire) -> None:
    """Some clients write like that, and it's the content that is bounded."""
    chunks = b"".join(b"1\r\n%c\r\n" % octet for octet in BODY * 1) + b"0\r\n\r\n"
    head = b"POST /api/v1/send_sms HTTP/1.1\r\n" + key(api, "main") + CHUNKED + b"\r\n"
    pieces = [chunks[at : at + 50] for at in range(0, len(chunks), 50)]
    answer = await wire.exchange(head, *pieces, pause_s=0.001)
    assert answer.startswith(b"HTTP/1.1 200 ")


# --- headers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("twice", "expected"),
    [
        (b"X-API-KEY: arr_test_another\r\n", "header_repeated"),
        (b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", "header_repeated"),
        (b"Idempotency-Key: a\r\nidempotency-key: a\r\n", "header_repeated"),
        (b"Host: b\r\n", "header_repeated"),
        (b"Content-Type: text/csv\r\nContent-Type: application/json\r\n", "header_repeated"),
        (b"Content-Length: 7\r\n", "http_invalid"),
        (b"Transfer-Encoding: chunked\r\n", "http_invalid"),
        (b"X-Folded: a\r\n b\r\n", "http_invalid"),
        (b"X-Spaced : a\r\n", "http_invalid"),
    ],
    ids=repr,
)
async def test_a_head_that_reads_two_ways_is_refused(
    api: Installation, wire: Wire, twice: bytes, expected: str
) -> None:
    """Whom it is for and how often it counts must be clear to every reader on the way."""
    answer = await wire.exchange(sized(api, twice))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert code(answer) == expected
    assert await orders(api) == []


async def test_a_header_may_come_twice_where_it_says_the_same(
    api: Installation, wire: Wire
) -> None:
    """As a client and its proxy write the key; and lists come in several headers."""
    twice = key(api, "main") + b"Accept: a\r\nAccept: b\r\nCookie: a\r\nCookie: b\r\n"
    assert (await wire.exchange(sized(api, twice))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.1\r\nhOsT:\r\n\r\n", 200),
        (b"POST /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (
            b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ],
    ids=repr,
)
async def test_versions_differ_in_what_they_need(wire: Wire, head: bytes, status: int) -> None:
    """RFC 9112: HTTP/1.1 needs a Host, HTTP/1.0 knows no chunks."""
    assert (await wire.exchange(head)).startswith(b"HTTP/1.1 %d " % status)


async def test_a_large_head_is_refused_however_it_comes(wire: Wire) -> None:
    """In one read or in many, in one header or in thousands."""
    start = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
    long = b"X: " + b"a" * 2 * HEAD_OCTETS_MAX + b"\r\n"
    many = b"X-Y: a\r\n" * (HEAD_OCTETS_MAX // 4)
    for head in (long, many):
        assert code(await wire.exchange(start + head + b"\r\n")) == "http_invalid"
        assert code(await wire.exchange(start, head[:70_000], head[70_000:])) == "http_invalid"


async def test_a_body_and_the_next_head_in_one_read_count_apart(
    api: Installation, wire: Wire
) -> None:
    """A head isn't long because a long body stood before it."""
    filler = b" " * 3 * HEAD_OCTETS_MAX
    length = b"Content-Length: %d\r\n" % (len(BODY) + len(filler))
    first = (
        b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\n" + key(api, "main") + length + b"\r\n"
    )
    answer = await wire.exchange(first + BODY + filler + HEALTH[:30], HEALTH[30:])
    assert answer.count(b"HTTP/1.1 200 OK") == 2


# --- pipelines ------------------------------------------------------------------------


async def test_requests_that_wait_are_bounded(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are answered, in their order; the last one says that it is the last."""
    monkeypatch.setattr(connection, "PIPELINED_MAX", 8)
    answer = await wire.exchange(HEALTH * 8)
    assert answer.count(b"HTTP/1.1 200 OK") == 8
    assert b"connection: close" not in answer
    answer = await wire.exchange(HEALTH * 100)
    assert answer.count(b"HTTP/1.1 200 OK") == 9
    assert answer.count(b"connection: close") == 1
    assert answer.rindex(b"connection: close") > answer.rindex(b"HTTP/1.1 200 OK")


async def test_a_large_body_behind_another_request_is_not_kept(
    api: Installation, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't read while its client could hang up unseen; the first request is answered."""
    monkeypatch.setattr(turn, "HIGH_WATER", 1_000)
    monkeypatch.setattr(connection, "HIGH_WATER", 1_000)
    large = b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"
    answer = await wire.exchange(HEALTH + large + b" " * 5_000 + HEALTH)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer


@pytest.mark.parametrize("size", [100, 70_000, 300_000, 1_500_000])
async def test_a_connection_is_read_on_behind_a_large_body(
    api: Installation, wire: Wire, size: int
) -> None:
    """Whoever waits for room in between, the next request is read."""
    filler = b" " * size
    length = b"Content-Length: %d\r\n" % (len(BODY) + size)
    head = (
        b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\n" + key(api, "main") + length + b"\r\n"
    )
    reader = await wire.connect()
    writer = wire.writers[-1]
    for _ in range(3):
        writer.write(head + BODY + filler)
        await writer.drain()
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
            length_of = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length_of)
        assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_refusal_reaches_a_client_that_still_sends(
    api: Installation, wire: Wire
) -> None:
    """Most clients read no answer before they have sent everything."""
    head = b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\n" + key(api, "main")
    answer = await wire.exchange(
        head + b"Content-Length: 30000000\r\n\r\n", *[b" " * 1_000_000] * 30
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert code(answer) == "body_too_large"
