"""How many may come in, how long each may take, and who gives way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from arrivals.core.message import Move
from arrivals.http import connection, door
from arrivals.http.app import Application
from arrivals.http.door import Door, address_of
from arrivals.http.site import Site
from tests.http.installation import MAIN, OTHER, Installation
from tests.http.test_heads import BODY, HEALTH, code, key, sized
from tests.http.wire import Wire, answered, ends, rest, served

SOON_S = 0.05
LATE_S = 30.0


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LOOK_EVERY_S", 0.01)
    for name in ("IDLE_S", "HEAD_S", "UNREAD_S", "LINGER_S", "CONNECTION_S"):
        monkeypatch.setattr(connection, name, LATE_S)
    monkeypatch.setattr(connection, "LINGER_S", 1.0)


@pytest.fixture
async def wire(api: Installation) -> AsyncIterator[Wire]:
    async with served(api) as found:
        yield found


# --- time -----------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [b"", HEALTH, b"\r\n\r\n"], ids=["new", "kept", "blank"])
async def test_who_says_nothing_leaves(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, octets: bytes
) -> None:
    """Without a word: there is nothing to refuse."""
    monkeypatch.setattr(connection, "IDLE_S", SOON_S)
    answer = await ends(await wire.connect(octets))
    assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 200 OK") == (octets == HEALTH)


async def test_a_slow_head_is_refused(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each octet comes in time, and the head never ends."""
    monkeypatch.setattr(connection, "HEAD_S", 4 * SOON_S)
    reader = await wire.connect(b"GET /healthz HTTP/1.1\r\nX: ")
    for _ in range(100):
        wire.writers[-1].write(b"a")
        await asyncio.sleep(SOON_S / 5)
        if answered(reader):
            break
    assert code(await ends(reader)) == "request_timeout"


@pytest.mark.parametrize("piece", [b" ", b""], ids=["drip", "silence"])
async def test_a_slow_body_is_refused(
    api: Installation, wire: Wire, monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    """Between two pieces and as a whole, while the endpoint waits for it."""
    monkeypatch.setattr("arrivals.http.turn.PIECE_S", 2 * SOON_S)
    monkeypatch.setattr("arrivals.http.turn.BODY_S", 4 * SOON_S)
    reader = await wire.connect(sized(api)[: -len(BODY)])
    for _ in range(60):
        wire.writers[-1].write(piece)
        await asyncio.sleep(SOON_S / 5)
        if answered(reader):
            break
    answer = await ends(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert (code(answer), b"connection: close" in answer) == ("request_timeout", True)


async def test_trailers_keep_no_body_alive(
    api: Installation, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no pieces of it."""
    monkeypatch.setattr("arrivals.http.turn.PIECE_S", 2 * SOON_S)
    head = b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    reader = await wire.connect(head + key(api, "main") + b"\r\n0\r\n")
    for number in range(100):
        wire.writers[-1].write(b"X-%d: a\r\n" % number)
        await asyncio.sleep(SOON_S / 10)
        if answered(reader):
            break
    assert code(await ends(reader)) == "request_timeout"


async def test_a_body_that_nobody_reads_keeps_nothing_open(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered before it was whole, its client is told to leave, and has to."""
    reader = await wire.connect(b"POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n")
    answer = await ends(reader)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer
    await wire.settled(0)


async def test_a_slow_request_behind_an_answer_spoils_none(
    api: Installation, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole one before it is answered first, and has its own time."""
    monkeypatch.setattr("arrivals.http.turn.PIECE_S", SOON_S)
    wait = await waiting(api, "1")
    reader = await wire.connect(wait + sized(api)[:-5])
    answer = await ends(reader)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 408 ") == answer.count(b"HTTP/1.1 ") - 1 == 1


async def test_who_does_not_read_leaves(
    api: Installation, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers aren't kept for ever for a client that asks and asks."""
    monkeypatch.setattr(connection, "UNREAD_S", SOON_S)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (wire.host, wire.port))
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 60
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                async with asyncio.timeout(5):
                    await loop.sock_sendall(client, ask)
                await asyncio.sleep(SOON_S / 5)
    await wire.settled(0)


async def test_who_read_it_all_and_says_nothing_leaves(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long answer that was read slowly keeps no connection open behind it."""
    monkeypatch.setattr(connection, "IDLE_S", 4 * SOON_S)
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (wire.host, wire.port))
        await loop.sock_sendall(client, ask * 40)
        await asyncio.sleep(6 * SOON_S)  # the answers fill what the system keeps of them
        answer = b""
        async with asyncio.timeout(10):
            while octets := await loop.sock_recv(client, 65_536):
                answer += octets
    assert answer.count(b"HTTP/1.1 200 OK") == 40


async def test_answers_that_nobody_reads_are_not_piled_up(wire: Wire) -> None:
    """The next request is answered once the client has read most of the answer before."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, (wire.host, wire.port))
        await loop.sock_sendall(client, b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 60)
        await asyncio.sleep(6 * SOON_S)
        [open_one] = wire.state.connections
        kept = open_one.transport.get_write_buffer_size()
        assert 0 < kept < 1_000_000  # one answer has 200,000 octets


async def test_an_old_connection_ends_with_an_answer(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that load is shared out again."""
    monkeypatch.setattr(connection, "CONNECTION_S", SOON_S)
    reader = await wire.connect(HEALTH)
    assert b"connection: close" not in await reader.readuntil(b"}")
    await asyncio.sleep(2 * SOON_S)
    wire.writers[-1].write(HEALTH)
    assert b"connection: close" in await ends(reader)


# --- number ---------------------------------------------------------------------------


async def test_the_longest_quiet_one_gives_way(api: Installation) -> None:
    """Full of quiet connections, half of them with half a head: a new one is served."""
    async with served(api, Door(4)) as wire:
        quiet = [await wire.connect(each) for each in (b"", b"GET / HT", HEALTH, b"")]
        await wire.settled(4)
        await quiet[2].readuntil(b"}")
        assert (await wire.exchange(HEALTH)).startswith(b"HTTP/1.1 200 OK")
        assert await ends(quiet[0]) == b""
        assert not quiet[1].at_eof()
        for _ in range(8):
            assert (await wire.exchange(HEALTH)).startswith(b"HTTP/1.1 200 OK")


async def test_when_all_are_busy_health_is_still_answered(api: Installation) -> None:
    """And everybody else is told at once to come back."""
    wait = await waiting(api, "60")
    async with served(api, Door(3, spare_max=2)) as wire:
        busy = [await wire.connect(wait) for _ in range(3)]
        await waits(api, 3)
        for path in (b"/healthz", b"/readyz"):
            answer = await wire.exchange(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert b"connection: close" in answer
        answer = await wire.exchange(sized(api))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert (code(answer), b"retry-after: " in answer) == ("unavailable", True)
        spare = [await wire.connect() for _ in range(2)]
        await wire.settled(5)
        assert await ends(await wire.connect(HEALTH)) == b""
        assert not any(each.at_eof() for each in [*busy, *spare])
    assert await api.sql("SELECT count(*) FROM orders") == [(1,)]


async def test_one_address_has_not_all_places() -> None:
    """Its own machine's may: a proxy there speaks for everybody."""

    class Guest:
        due = LATE_S

        def __init__(self, address: str) -> None:
            self.address = address

        def overdue(self, now: float) -> None: ...
        def give_way(self) -> None: ...

    loop = asyncio.get_running_loop()
    here = Door(10, 3)
    greedy = [Guest("192.0.2.1") for _ in range(4)]
    places = [here.enter(each, loop) for each in greedy]
    assert places == [door.Place.IN] * 3 + [door.Place.OUT]
    assert here.enter(Guest("192.0.2.2"), loop) is door.Place.IN
    here.leave(greedy[0])
    here.leave(greedy[0])
    assert here.enter(greedy[3], loop) is door.Place.IN
    assert {here.enter(Guest(""), loop) for _ in range(6)} == {door.Place.IN}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.9", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("", ""),
        ("a.socket", ""),
    ],
)
def test_whose_a_connection_is(host: str, expected: str) -> None:
    """By address; by network where one customer has so many addresses."""
    assert address_of(host) == expected


# --- waits ----------------------------------------------------------------------------


async def waiting(api: Installation, seconds: str, name: str = "main") -> bytes:
    """Return a request that waits for a message which nobody sends."""
    async with api.client(name) as client:
        sent = await client.post(
            "/api/v1/send_sms",
            json={"caller_id": "ARRIVALS", "route_id": 1, "numbers": ["31612345678"],
                  "message": "x"},
        )  # fmt: skip
    message = sent.json()["messages"][0]["bx_message_id"].encode()
    path = b"/api/v1/messages/%b/outcome?wait=%b" % (message, seconds.encode())
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + key(api, name) + b"\r\n"


def site(api: Installation) -> Site:
    assert isinstance(api.app, Application)
    return api.app._site


async def waits(api: Installation, number: int) -> None:
    """Return once so many requests wait."""
    here = site(api)
    async with asyncio.timeout(5):
        while here.waits.taken != number or here.in_hand.taken:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("behind", [b"", HEALTH, HEALTH * 3 + HEALTH[:9]], ids=len)
async def test_a_wait_ends_with_its_caller(
    api: Installation, wire: Wire, behind: bytes
) -> None:
    """At once, whatever else it sent; and it's no error of anybody's."""
    await wire.connect(await waiting(api, "60") + behind)
    await waits(api, 1)
    wire.writers[-1].close()
    await waits(api, 0)
    await wire.settled(0)


async def test_a_send_that_waits_ends_with_its_caller(api: Installation, wire: Wire) -> None:
    """The order stands."""
    request = sized(api).replace(b"/send_sms", b"/send_sms?wait=outcome&timeout=60")
    await wire.connect(request)
    await waits(api, 1)
    wire.writers[-1].close()
    await waits(api, 0)
    assert await api.sql("SELECT count(*) FROM orders") == [(1,)]


async def test_a_wait_still_ends_with_the_outcome(api: Installation, wire: Wire) -> None:
    """A caller that stays is told."""
    reader = await wire.connect(await waiting(api, "60"))
    await waits(api, 1)
    [(message,)] = await api.sql("SELECT id FROM messages")
    await api.move(message, Move.CANCEL_ASKED, reason="cancelled")
    answer = await rest(reader)
    assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["final"] is True
    await waits(api, 0)


async def test_waits_lock_nobody_out(api: Installation, wire: Wire) -> None:
    """They have a bound of their own, for each account, and don't count as work."""
    here = site(api)
    here.waits.each_max = 3
    here.waits.all_max = 4
    here.in_hand.all_max = 1
    main, other = await waiting(api, "60"), await waiting(api, "60", "other")
    for number in range(3):
        await wire.connect(main)
        await waits(api, number + 1)
    answer = await wire.exchange(main)
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert (code(answer), b"retry-after: " in answer) == ("too_many_waits", True)
    await wire.connect(other)
    await waits(api, 4)
    assert code(await wire.exchange(other)) == "too_many_waits"
    orders = await api.sql("SELECT count(*) FROM orders")
    refused = await wire.exchange(sized(api).replace(b"/send_sms", b"/send_sms?wait=outcome"))
    assert code(refused) == "too_many_waits"
    assert await api.sql("SELECT count(*) FROM orders") == orders
    assert (await wire.exchange(sized(api))).startswith(b"HTTP/1.1 200 OK")


async def test_what_nobody_waits_for_is_forgotten(api: Installation, wire: Wire) -> None:
    """Else other processes would be asked for it for ever."""
    await wire.connect(await waiting(api, "60"))
    await waits(api, 1)
    assert len(api.platform.changes.waited_for()) == 1
    wire.writers[-1].close()
    await waits(api, 0)
    assert api.platform.changes.waited_for() == []


# --- work and octets ------------------------------------------------------------------


async def test_one_account_has_not_all_hands(api: Installation, wire: Wire) -> None:
    """Its slow bodies are its own trouble, and health is everybody's."""
    room = site(api).in_hand
    room.each_max = 2
    slow = sized(api)[:-5]
    for _ in range(2):
        await wire.connect(slow)
    async with asyncio.timeout(5):
        while room.taken != 2:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
    assert code(await wire.exchange(sized(api))) == "queue_full"
    other = sized(api).replace(key(api, "main"), key(api, "other"))
    assert (await wire.exchange(other)).startswith(b"HTTP/1.1 200 OK")
    assert (await wire.exchange(HEALTH)).startswith(b"HTTP/1.1 200 OK")


async def test_octets_of_slow_bodies_are_bounded(api: Installation, wire: Wire) -> None:
    """For each account and for all; what is given up makes room again."""
    room = site(api).bodies
    room.each_max, room.all_max = 3_000, 4_000

    def slow(name: str) -> bytes:
        head = b"POST /api/v1/send_sms HTTP/1.1\r\nHost: a\r\n" + key(api, name)
        return head + b"Content-Length: 9000\r\n\r\n" + b" " * 2_000

    await wire.connect(slow("main"))
    await asyncio.sleep(SOON_S)
    assert code(await wire.exchange(slow("main"))) == "queue_full"
    await wire.connect(slow("other"))
    await asyncio.sleep(SOON_S)
    assert room.taken == 4_000
    for writer in wire.writers:
        writer.close()
    async with asyncio.timeout(5):
        while room.taken:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)
    assert (MAIN, OTHER) == (1, 4)


# --- clients that go ------------------------------------------------------------------


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING):
        yield caplog


@pytest.mark.parametrize(
    "count", [0, 1, 3], ids=["without a word", "after one request", "after several"]
)
async def test_a_reset_is_no_error(
    api: Installation, wire: Wire, logged: pytest.LogCaptureFixture, count: int
) -> None:
    """Mobile networks and load balancers end connections like that all day."""
    ask = b"GET /api/v1/balance HTTP/1.1\r\nHost: a\r\n" + key(api, "main") + b"\r\n"
    for asked in (ask * count, ask * count + ask[:20], sized(api)[:-4] * bool(count)):
        for _ in range(30):
            with socket.create_connection((wire.host, wire.port)) as client:
                client.sendall(asked)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await asyncio.sleep(0)
    await wire.settled(0)
    assert (await wire.exchange(HEALTH)).startswith(b"HTTP/1.1 200 OK")
    assert logged.records == []
