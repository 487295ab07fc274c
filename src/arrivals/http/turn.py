"""One request on a connection and its answer, in the words of ASGI.

What came in of a body waits here until it's asked for, and above HIGH_WATER the client waits
too. An answer's head leaves with the first of its body, by one system call.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final, Protocol

from arrivals.http.door import BODY_S, PIECE_S

HIGH_WATER: Final = 64 * 1024  # octets of a body that nobody asked for yet

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES: Final = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus
}
_END_OF_CHUNKS: Final = b"0\r\n\r\n"


class Line(Protocol):
    """The connection as a turn sees it."""

    loop: asyncio.AbstractEventLoop

    def write(self, octets: bytes) -> None:
        """Send octets."""

    async def drained(self) -> None:
        """Return when the client has read most of what was sent, or is gone."""

    def more(self) -> None:
        """Go on reading."""

    def grant(self, turn: Turn) -> None:
        """Give the client the turn's time from now on."""

    def may_go_on(self, turn: Turn) -> bool:
        """Tell whether the connection stays open behind this answer."""

    def answered(self, turn: Turn) -> None:
        """Go on to the next request, or hang up."""


class Turn:
    """One request, from its whole head to the last octet of its answer."""

    def __init__(self, line: Line, scope: dict[str, Any], *, keep: bool) -> None:
        self._line = line
        self.scope = scope  # until the application has it
        self.path: str = scope["path"]
        self._bodiless = scope["method"] == "HEAD"
        self._chunks = scope["http_version"] == "1.1"  # the client knows them
        self.keep = keep  # the client wants the connection to stay open
        self.body = bytearray()  # what came in and wasn't asked for yet
        self.whole = False  # the last octet of the request is here
        self.late = False  # its body took too long
        self.gone = False  # the client hung up
        self.begun = False  # some of the answer has left
        self.complete = False  # all of it
        self.expects = False  # the client waits for a word before it sends the body
        self.piece_s, self.whole_s = PIECE_S, BODY_S
        self._told_whole = False
        self._start: MutableMapping[str, Any] | None = None
        self._chunked = False
        self._news: asyncio.Future[None] | None = None

    # --- what the application calls ---------------------------------------------------

    def be_patient(self, piece_s: float, whole_s: float) -> None:
        """Let the body take longer: between two pieces, and as a whole."""
        self.piece_s, self.whole_s = piece_s, whole_s
        self._line.grant(self)

    async def receive(self) -> dict[str, Any]:
        """Return what came in since the last call; wait for it if need be."""
        if self.expects and not self.gone:
            self.expects = False
            self._line.write(_CONTINUE)
        self._line.more()
        while not (self.body or self._over or (self.whole and not self._told_whole)):
            self._news = self._line.loop.create_future()
            await self._news
        if self._over:
            return {"type": "http.disconnect", "late": self.late and not self.gone}
        body, self.body = bytes(self.body), bytearray()
        self._told_whole = self.whole
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        """Send the next part of the answer; nobody is there to read it if `gone`."""
        if self.gone or self.complete:
            return
        if event["type"] == "http.response.start":
            self._start = event
            return
        body, more = event.get("body", b""), event.get("more_body", False)
        octets = self._head(more=more) if self._start is not None else b""
        if not self._chunked:
            octets += body
        elif body:
            octets += b"%x\r\n%b\r\n" % (len(body), body)
        if self._chunked and not more:
            octets += _END_OF_CHUNKS
        self.begun = True
        if octets:
            self._line.write(octets)
        if more:
            await self._line.drained()
        else:
            self.complete = True
            self.tell()
            self._line.answered(self)

    # --- what the connection calls ----------------------------------------------------

    def tell(self) -> None:
        """Wake whoever waits for more of the request."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def lose(self) -> None:
        """Note that the client is gone."""
        self.gone = True
        self.body.clear()
        self.tell()

    @property
    def _over(self) -> bool:
        return self.gone or self.complete or (self.late and not self.whole)

    def _head(self, *, more: bool) -> bytes:
        start, self._start = self._start or {}, None
        status: int = start["status"]
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        measured = False
        for name, value in start["headers"]:
            measured = measured or name == b"content-length"
            lines.append(b"%b: %b\r\n" % (name, value))
        if more and not measured:
            if self._chunks:
                self._chunked = not self._bodiless
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep = False  # its end is the connection's
        if not self._line.may_go_on(self):
            self.keep = False
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)
