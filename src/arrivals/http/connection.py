"""An HTTP/1.1 connection: requests out of octets, and answers in their order.

Octets are cut by httptools; what a request may be, how long it may take and how much may wait
behind it is decided here. One request is answered at a time. What isn't HTTP is refused in
JSON like everything else, but first the requests before it are answered.

- **Trailers** are read and forgotten: what comes behind a body never counts as a header.
- **A header that decides for whom or how often** stands once, or the request is refused.
- **Reading goes on** while a request is answered, so that a client that hangs up is noticed.
- **Answers leave together**, when a turn of the loop ends: woken clients take processor time.
- **A wish to speak another protocol** is passed over, as RFC 9110 section 7.8 allows. `curl
  --http2` and Java's client wish for one in their first request, and the parser stops there: a
  body that follows is read by a second parser.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import traceback
import urllib.parse
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

from arrivals.core.errors import Code, Refusal, refuse
from arrivals.http.app import Application, problem
from arrivals.http.door import (
    CONNECTION_S,
    HEAD_S,
    IDLE_S,
    LINGER_S,
    UNREAD_S,
    Door,
    Place,
    address_of,
)
from arrivals.http.head import HEAD_OCTETS_MAX, refusal_of, too_long
from arrivals.http.turn import HIGH_WATER, Turn

# What chunks may cost beside their content: a client that sends one octet a chunk takes six.
FRAME_OCTETS_PER_OCTET: Final = 8
PIPELINED_MAX: Final = 64  # requests that wait behind the one being answered
PASSED_OVER_OCTETS_MAX: Final = 16 * 1024 * 1024  # behind a request that is the last

_SPARE_PATHS: Final = frozenset({"/healthz", "/readyz"})
_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})
_log: Final = logging.getLogger("arrivals.http")


class _Refused(Exception):
    """A request that isn't taken; what the parser was told about it."""


class Connection(asyncio.Protocol):
    """One client's connection, made by the server for each."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - the server's signature
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        door: Door,
    ) -> None:
        self._app = cast("Callable[..., Coroutine[Any, Any, None]]", config.loaded_app)
        self._state = server_state
        self._door = door
        self.loop = _loop or asyncio.get_event_loop()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.address = ""
        self.due = math.inf
        self._place = Place.OUT
        self._began = self.loop.time()
        self._client: tuple[str, int] | None = None
        self._server: tuple[str, int] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._deaf = False  # no request is taken any more
        self._leaving = False
        # what is being read
        self._in_head = False
        self._resumed = False  # by a second parser, that gets the same head again
        self._fresh = False  # begun by the read at hand, which brought other things too
        self._large = False  # the read at hand is larger than a head may be
        self._octets = 0  # of the head or behind it, by the reads after the first
        self._piece = 0  # of the body, by the read at hand
        self._content = 0  # of the body
        self._behind = 0  # since the last octet of the body
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._refusal: Refusal | None = None
        self._incoming: Turn | None = None  # whose body isn't whole yet
        self._whole_by = math.inf
        self._paused = False
        # what is being answered
        self._current: Turn | None = None
        self._waiting: deque[Turn] = deque()
        self._unsent: list[bytes] = []
        self._unread: asyncio.Future[None] | None = None  # the client doesn't read on

    # --- what the loop calls ----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or leave."""
        self.transport = cast("asyncio.Transport", transport)
        self._client = _host_and_port(transport.get_extra_info("peername"))
        self._server = _host_and_port(transport.get_extra_info("sockname"))
        self.address = address_of(self._client[0]) if self._client else ""
        self._place = self._door.enter(self, self.loop)
        if self._place is Place.OUT:
            self.transport.abort()
            return
        self._state.connections.add(self)  # type: ignore[arg-type]
        self.due = self._began + (IDLE_S if self._place is Place.IN else HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same to us
        """Forget what nobody will read."""
        self._door.leave(self)
        self._state.connections.discard(self)
        self.due = math.inf
        self._deaf = True
        self._paused = False
        for turn in (self._current, self._incoming, *self._waiting):
            if turn is not None:
                turn.lose()
        self._waiting.clear()
        self.resume_writing()

    def eof_received(self) -> None:
        """Close: who hangs up doesn't wait for an answer."""

    def pause_writing(self) -> None:
        """Let answers wait for a client that doesn't read."""
        if self._unread is None:
            self._unread = self.loop.create_future()
            self.due = self.loop.time() + UNREAD_S

    def resume_writing(self) -> None:
        """Let answers go on."""
        unread, self._unread = self._unread, None
        if unread is not None:
            unread.set_result(None)
            if self._current is None:
                self._go_on()
            else:
                self._wait_on()

    def data_received(self, data: bytes) -> None:
        """Read what came in."""
        if self._leaving:
            return
        if self._deaf:
            self._octets += len(data)
            if self._octets > PASSED_OVER_OCTETS_MAX:
                self.transport.abort()
            return
        self._piece = 0
        self._large = len(data) > HEAD_OCTETS_MAX
        try:
            self._parse(data)
        except httptools.HttpParserError:
            refusal, self._refusal = self._refusal, None
            if not self._deaf:
                self._refuse(refusal or refuse(Code.HTTP_INVALID))
            return
        if self._in_head or self._incoming is not None:
            self._count(len(data))

    def shutdown(self) -> None:
        """Take nothing new, because the server stops."""
        self._deaf = True
        if self._current is None:
            self._flush()
            self.transport.close()
        else:
            self._wait_until(math.inf)

    # --- what the door calls ----------------------------------------------------------

    def give_way(self) -> None:
        """Leave at once."""
        self.transport.abort()

    def overdue(self, now: float) -> None:
        """Refuse what takes too long, and leave where there's nothing to refuse."""
        self.due = now + LINGER_S
        turn = self._incoming
        if self._leaving or self._unread is not None or (turn is not None and turn.late):
            self.transport.abort()
        elif turn is not None and turn is self._current and not turn.begun:
            turn.late = True
            turn.tell()
        elif turn is not None or self._in_head:
            self._refuse(refuse(Code.REQUEST_TIMEOUT))
        elif self._current is None:
            self._leave()

    # --- what the parser calls --------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin with a request."""
        if self._resumed:
            return
        if self._deaf or len(self._waiting) >= PIPELINED_MAX:
            raise _Refused
        self._in_head = self._fresh = True
        self._octets = self._content = self._behind = 0
        self._url = b""
        self._headers = []
        if self._current is None:
            self._wait_until(self.loop.time() + HEAD_S)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        if self._in_head:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers come the same way, and are none."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Begin to answer, or refuse."""
        if self._resumed:
            self._resumed = False
            return
        self._in_head = False
        version = self._parser.get_http_version()
        headers = dict(self._headers)
        if self._large or not self._fresh:
            self._refusal = too_long(self._url, self._headers)
        self._octets = 0
        self._refusal = self._refusal or refusal_of(version, headers, self._headers)
        if self._refusal is not None:
            raise _Refused
        turn = Turn(
            self,
            self._scope(version),
            keep=version != "1.0" and self._parser.should_keep_alive(),
        )
        turn.expects = headers.get(b"expect", b"").lower() == b"100-continue"
        self._incoming = turn
        if self._current is None and self._unread is None:
            self._answer(turn)
        else:
            self._waiting.append(turn)

    def on_body(self, body: bytes) -> None:
        """Keep a piece of a body, if anybody will ask for it."""
        self._piece += len(body)
        turn = self._incoming
        if turn is None or turn.complete or turn.late:
            return
        turn.body += body
        if len(turn.body) > HIGH_WATER:
            if turn is not self._current:
                raise _Refused  # too much behind the request that is being answered
            self._pause()
        turn.tell()

    def on_message_complete(self) -> None:
        """Note that the request is whole, unless the parser only stopped before its body."""
        if self._parser.should_upgrade():
            return
        turn, self._incoming = self._incoming, None
        if turn is None:
            return
        turn.whole = True
        self._wait_until(math.inf)
        turn.tell()

    # --- what a turn calls ------------------------------------------------------------

    def write(self, octets: bytes) -> None:
        """Send octets with all others of this turn of the loop."""
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self._unsent.append(octets)

    async def drained(self) -> None:
        """Return when the client has read most of what was sent, or is gone."""
        self._flush()
        if self._unread is not None:
            await self._unread

    def more(self) -> None:
        """Go on reading, and give the client its time from now on."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
            self._await_piece()

    def grant(self, turn: Turn) -> None:
        """Give the client the turn's time from now on."""
        self._whole_by = self.loop.time() + turn.whole_s
        if turn is self._incoming:
            self._await_piece()

    def may_go_on(self, turn: Turn) -> bool:
        """Tell whether the connection stays open behind an answer."""
        if not (turn.keep and turn.whole) or self._place is Place.SPARE:
            return False
        if self._deaf and not self._waiting:
            return False
        return self.loop.time() - self._began < CONNECTION_S

    def answered(self, turn: Turn) -> None:
        """Go on to the next request, or hang up."""
        self._current = None
        self.more()
        if not turn.keep:
            self._leave()
        elif self._unread is None:
            self._go_on()
        else:
            self._door.quiet(self)  # what waits is answered once this was read

    # --- its own ----------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as wish:
                head = [name + b": " + its for name, its in self._headers if name in _OF_BODIES]
                self._resumed = True
                self._parser = httptools.HttpRequestParser(self)
                start = b"\r\n".join((b"POST / HTTP/1.1", *head, b"", b""))
                data = start + data[wish.args[0] :]
            else:
                return

    def _count(self, octets: int) -> None:
        """Bound what isn't content: a head, the frames of chunks, trailers."""
        self._content += self._piece
        if self._fresh:  # how much of it was the head is known once the head is whole
            self._fresh = False
            return
        self._octets += octets
        if self._in_head:
            if self._octets > HEAD_OCTETS_MAX:
                self._refuse(refuse(Code.HTTP_INVALID))
            return
        self._behind = 0 if self._piece else self._behind + octets
        frames = self._octets - self._content
        allowed = 2 * HEAD_OCTETS_MAX + FRAME_OCTETS_PER_OCTET * self._content
        if self._behind > HEAD_OCTETS_MAX or frames > allowed:
            self._refuse(refuse(Code.HTTP_INVALID))
        elif self._piece:
            self._await_piece()

    def _await_piece(self) -> None:
        turn = self._incoming
        if turn is not None and not turn.late and not self._paused:
            self._wait_until(min(self.loop.time() + turn.piece_s, self._whole_by))

    def _go_on(self) -> None:
        if self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._wait_on()
            self._door.quiet(self)

    def _wait_on(self) -> None:
        """Be due by what is awaited now: the client's next words, or an answer of ours."""
        if self._current is None:
            self._wait_until(self.loop.time() + (HEAD_S if self._in_head else IDLE_S))
        elif self._current is self._incoming:
            self._await_piece()
        else:
            self._wait_until(math.inf)

    def _wait_until(self, moment: float) -> None:
        """Be due at a moment, unless the client has to read on, or is told to leave, before."""
        if self._unread is None and not self._leaving:
            self.due = moment

    def _scope(self, version: str) -> dict[str, Any]:
        url = httptools.parse_url(self._url)
        path = url.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "root_path": "",
            "method": self._parser.get_method().decode("ascii"),
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self._headers,
        }

    def _answer(self, turn: Turn) -> None:
        self._current = turn
        self._door.busy(self)
        if self._place is Place.SPARE and turn.path not in _SPARE_PATHS:
            self._refuse(refuse(Code.UNAVAILABLE))
            return
        self._wait_until(math.inf)
        self.grant(turn)
        scope, turn.scope = turn.scope, {}
        scope["arrivals.patience"] = turn.be_patient
        task: asyncio.Task[None] = self.loop.create_task(
            self._app(scope, turn.receive, turn.send)
        )
        self._state.tasks.add(task)
        task.add_done_callback(functools.partial(self._ended, turn))

    def _ended(self, turn: Turn, task: asyncio.Task[None]) -> None:
        self._state.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Where it happened and of what kind; its message could quote a text or a key.
            frames = traceback.extract_tb(error.__traceback__)
            where = " < ".join(f"{each.filename}:{each.lineno}" for each in reversed(frames))
            _log.error("a request failed: %s at %s", type(error).__name__, where)
        if turn.complete or turn.gone:
            return
        if turn.begun:
            self.transport.abort()
        else:
            self._answer_at_once(refuse(Code.INTERNAL))

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._wait_until(math.inf)  # the client waits for us
            self.transport.pause_reading()

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse what came in last, and hang up; but first answer the requests before it."""
        self._deaf = True
        self._octets = 0
        self._in_head = False
        turn, self._incoming = self._incoming, None
        if turn is not None and turn in self._waiting:
            self._waiting.remove(turn)
            turn = None
        if self._waiting or (self._current is not None and turn is not self._current):
            self._wait_until(math.inf)
            return  # `may_go_on` says no behind the last of them
        if self._current is not None and self._current.begun:
            self.transport.abort()
        else:
            self._answer_at_once(refusal)

    def _answer_at_once(self, refusal: Refusal) -> None:
        app = self._app
        request_id = app.next_request_id() if isinstance(app, Application) else ""
        refused = problem(refusal, request_id)
        turn, self._current = self._current, None
        if turn is not None:
            turn.lose()
        head = [
            b"HTTP/1.1 %d %b" % (refused.status, refusal.title.encode()),
            b"content-type: " + refused.content_type,
            b"content-length: %d" % len(refused.body),
            b"x-request-id: " + request_id.encode(),
            *(b"%b: %b" % each for each in refused.headers),
            b"connection: close",
            b"",
            refused.body,
        ]
        self.write(b"\r\n".join(head))
        self._leave()

    def _flush(self) -> None:
        octets, self._unsent = b"".join(self._unsent), []
        if octets and not self.transport.is_closing():
            self.transport.write(octets)

    def _leave(self) -> None:
        """Close; a client that is still sending gets time to read what it was told."""
        self._flush()
        if self.transport.is_closing():
            return
        sending = self._deaf or self._incoming is not None
        self._deaf = self._leaving = True
        self.due = self.loop.time() + LINGER_S
        self._door.quiet(self)
        if sending and self.transport.can_write_eof():
            self.more()
            self.transport.write_eof()
        else:
            self.transport.close()


def _host_and_port(place: Any) -> tuple[str, int] | None:
    return (str(place[0]), int(place[1])) if isinstance(place, tuple) else None
