"""What comes over a socket: heads and bodies as odd clients write them, and what isn't HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from arrivals.http.head import HEAD_OCTETS_MAX
from tests.http.installation import Installation
from tests.http.wire import served

BODY = msgspec.json.encode(
    {"route_id": 1, "caller_id": "ARRIVALS", "numbers": ["31612345678"], "message": "Hi"}
)
# As curl --http2 and Java's client begin on a connection without TLS.
WISH = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"

Exchange = Callable[..., Awaitable[bytes]]


@pytest.fixture
async def exchange(api: Installation) -> AsyncIterator[Exchange]:
    """Send octets over a connection of their own; return all that comes back."""
    async with served(api) as wire:
        yield wire.exchange


def post(api: Installation, *, headers: bytes = b"", body: bytes = BODY) -> bytes:
    """Write a send, with a length unless a header says how its body comes."""
    length = b"" if b"Transfer" in headers else b"Content-Length: %d\r\n" % len(body)
    key = b"X-API-KEY: " + api.keys["main"].encode() + b"\r\n"
    return (
        b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\n"
        + key
        + headers
        + length
        + b"\r\n"
        + body
    )


@pytest.mark.parametrize(
    "octets",
    [
        b"nonsense\r\n\r\n",
        b"FOO / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-API-KEY: a\x01b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda octets: octets[:40],
)
async def test_what_is_not_http_is_refused_in_json(exchange: Exchange, octets: bytes) -> None:
    """Never as text, never with nothing, and the connection ends."""
    head, _, body = (await exchange(octets)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in head
    found = msgspec.json.decode(body)
    assert found["code"] == "http_invalid"
    assert found["request_id"]
    assert b"x-request-id: " + found["request_id"].encode() in head
    assert isinstance(found["detail"], str)
    assert found["fix"]


@pytest.mark.slow
async def test_a_head_has_a_bound(exchange: Exchange) -> None:
    """Nobody can fill the memory with one endless header."""
    piece = b"a" * (HEAD_OCTETS_MAX // 2)
    answer = await exchange(b"GET /healthz HTTP/1.1\r\nX-Long: ", piece, piece, piece)
    assert b"http_invalid" in answer
    many = b"".join(b"X-%d: a\r\n" % number for number in range(1_000))
    answer = await exchange(b"GET /healthz HTTP/1.1\r\nHost: a\r\n", many, b"\r\n" + WHOLE * 2)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


async def test_a_whole_request_is_answered_before_what_follows_is_refused(
    api: Installation, exchange: Exchange
) -> None:
    """Else its client would take the refusal for its answer, and the order is committed."""
    answer = await exchange(post(api) + b"and now for something else\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer
    assert b'"status":"success"' in answer


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["one read", "two reads"])
async def test_a_wish_for_another_protocol_costs_no_body(
    api: Installation, exchange: Exchange, apart: bool
) -> None:
    """The request is answered as HTTP/1.1, and so is the next on the same connection."""
    first, second = post(api, headers=WISH), post(api)
    cut = len(first) - (len(BODY) if apart else 0)
    answer = await exchange(first[:cut], first[cut:] + second + WHOLE)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b'"status":"success"') == 2


@pytest.mark.slow
async def test_a_wish_may_come_with_chunks_or_without_a_body(
    api: Installation, exchange: Exchange
) -> None:
    """As the same clients do."""
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    chunked = post(api, headers=WISH + b"Transfer-Encoding: chunked\r\n", body=chunks)
    bare = b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + WISH + b"\r\n"
    answer = await exchange(chunked + bare * 2 + post(api))
    assert answer.count(b"HTTP/1.1 200 OK") == 4
