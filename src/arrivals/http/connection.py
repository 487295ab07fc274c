"""An HTTP connection: what the server's own doesn't do for us.

It writes a response's head and body with one system call. The server writes them one after
the other, each straight to the socket; on a small machine the second call costs as much as
deciding the request. Here both wait for the end of the loop's turn.

What isn't HTTP is refused in JSON like everything else, and a head has a bound. A wish to
speak another protocol is passed over, as RFC 9110 section 7.8 allows. `curl --http2` and
Java's client wish for one in their first request, and the parser stops there: a body that
follows is read by a second parser.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from arrivals.core.errors import Code, refuse
from arrivals.http.app import Application, problem

# Of a request's first line and headers, give or take what one read brings; proxies take 8 to
# 32 KiB.
HEAD_OCTETS_MAX: Final = 64 * 1024

_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})


class _Coalescing:
    """A transport whose writes of one turn of the loop leave together."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            data, self._waiting = b"".join(self._waiting), []
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CoalescingProtocol(HttpToolsProtocol):
    """uvicorn's protocol over such a transport."""

    _head_octets = 0  # of a head that isn't whole yet

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Begin on the wrapped transport."""
        super().connection_made(_Coalescing(transport, self.loop))  # type: ignore[arg-type]
        self.scope = {}  # type: ignore[typeddict-item]

    def data_received(self, data: bytes) -> None:
        """Parse what came in."""
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse()
            return
        scope = cast("dict[str, Any]", self.scope)
        if "path" in scope:  # put there when the head is whole
            self._head_octets = 0
            return
        self._head_octets += len(data)
        if self._head_octets > HEAD_OCTETS_MAX:
            self._refuse()

    def on_message_complete(self) -> None:
        """Hand the whole request over, unless the parser only stopped before its body."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as wish:
                head = [name + b": " + its for name, its in self.headers if name in _OF_BODIES]
                self.parser = httptools.HttpRequestParser(_FromBody(self))
                data = _message(b"POST / HTTP/1.1", *head, body=data[wish.args[0] :])
            else:
                return

    def _refuse(self) -> None:
        """Answer what isn't HTTP, and hang up; but first answer the request before it."""
        cycle = cast("RequestResponseCycle | None", self.cycle)  # there's none at first
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        app: Any = self.app
        request_id = app.next_request_id() if isinstance(app, Application) else ""
        refused = problem(refuse(Code.HTTP_INVALID), request_id)
        message = _message(
            b"HTTP/1.1 400 Bad Request",
            b"content-type: " + refused.content_type,
            b"content-length: " + str(len(refused.body)).encode(),
            b"x-request-id: " + request_id.encode(),
            b"connection: close",
            body=refused.body,
        )
        self.transport.write(message)
        self.transport.close()


def _message(*head: bytes, body: bytes) -> bytes:
    return b"\r\n".join((*head, b"", body))


class _FromBody:
    """What a parser tells about a request whose head the protocol knows already."""

    def __init__(self, protocol: CoalescingProtocol) -> None:
        self._protocol = protocol
        self._known = True

    def on_message_begin(self) -> None:
        if not self._known:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._known:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._known:
            self._protocol.on_headers_complete()
        self._known = False

    def on_body(self, body: bytes) -> None:
        self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        self._protocol.on_message_complete()
