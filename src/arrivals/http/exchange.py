"""One HTTP request and its response as plain values: what an endpoint is given and gives back.

Nothing is parsed before it is asked for. A body is read only where a method has one, and
only up to a bound, whether its length was announced or not.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from arrivals.core.catalogue import Account, ApiKey
from arrivals.core.errors import Code, body_invalid, refuse

if TYPE_CHECKING:
    from arrivals.flows.platform import Platform
    from arrivals.http.site import Site

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

T = TypeVar("T")

BODY_OCTETS_MAX: Final = 2 * 1024 * 1024
# Of bodies that are coming in, in pieces: what slow clients may have kept for them.
BODIES_OF_ACCOUNT_OCTETS_MAX: Final = 16 * 1024 * 1024
BODIES_OCTETS_MAX: Final = 64 * 1024 * 1024
BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
QUERY_FIELDS_MAX: Final = 100  # more than any endpoint knows, few enough to parse at once

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
TEXT: Final = b"text/plain; charset=utf-8"

_encode: Final = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client hung up before its request was whole; there's nobody left to answer."""


class Request:
    """One request as an endpoint sees it, `account` and `key` already checked."""

    account: Account
    key: ApiKey

    def __init__(self, site: Site, scope: Scope, receive: Receive, request_id: str) -> None:
        self.site = site
        self.scope = scope
        self.request_id = request_id
        self.values: dict[str, str] = {}  # what stood in the braces of the path
        self.route_id: int | None = None  # for the request log, once an endpoint knows it
        self.waited = False  # held open because it was asked to: its time says nothing
        # By lower-case name; of one sent twice, the last.
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, str] | None = None
        self._receive = receive

    @property
    def platform(self) -> Platform:
        """The process's platform: store, catalogue, clock and flows."""
        return self.site.platform

    def be_patient(self, piece_s: float, whole_s: float) -> None:
        """Let the body take longer than usual: between two pieces, and as a whole."""
        patience = self.scope.get("arrivals.patience")
        if patience is not None:  # a server of ours, and not a test's
            patience(piece_s, whole_s)

    def header(self, name: bytes) -> str | None:
        """Return a header's text (names are given in lower case), or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """Query parameters by name; of one given twice, the last. Unknown ones do no harm."""
        if self._query is None:
            text: bytes = self.scope.get("query_string", b"")
            self._query = _query(text.decode("latin-1")) if text else {}
        return self._query

    async def chunks(self, octets_max: int) -> AsyncIterator[bytes]:
        """Yield the body as it comes in; raises the 413 refusal past `octets_max` octets."""
        self._announced(octets_max)
        async for chunk in self._chunks(await self._receive(), octets_max):
            yield chunk

    async def body(self, octets_max: int = BODY_OCTETS_MAX) -> bytes:
        """Return the whole body; a method without one has an empty body, unread."""
        if self.scope["method"] not in BODY_METHODS:
            return b""
        self._announced(octets_max)
        event = await self._receive()
        if event["type"] == "http.request" and not event.get("more_body", False):
            whole: bytes = event.get("body", b"")
            if len(whole) > octets_max:
                raise too_large(octets_max)
            return whole
        return await self._collected(event, octets_max)

    async def _collected(self, event: MutableMapping[str, Any], octets_max: int) -> bytes:
        """Put a body's pieces together, in the room that slow bodies have."""
        pieces: list[bytes] = []
        room, account_id = self.site.bodies, self.account.account_id
        octets = 0
        try:
            async for chunk in self._chunks(event, octets_max):
                room.take(account_id, len(chunk))
                octets += len(chunk)
                pieces.append(chunk)
        finally:
            room.give_back(account_id, octets)
        return b"".join(pieces)

    def _announced(self, octets_max: int) -> None:
        announced = self.headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced[:19]) > octets_max:
            raise too_large(octets_max)

    async def _chunks(
        self, event: MutableMapping[str, Any], octets_max: int
    ) -> AsyncIterator[bytes]:
        received = 0
        while True:
            if event["type"] == "http.disconnect":
                raise refuse(Code.REQUEST_TIMEOUT) if event.get("late") else ClientGone
            chunk: bytes = event.get("body", b"")
            received += len(chunk)
            if received > octets_max:
                raise too_large(octets_max)
            if chunk:
                yield chunk
            if not event.get("more_body", False):
                return
            event = await self._receive()

    async def disconnected(self) -> None:
        """Return when the client hangs up; only for use after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise refuse(Code.QUERY_INVALID, problem="too many parameters") from None
    return dict(pairs)


def too_large(octets_max: int) -> Exception:
    """Refuse a body above a bound."""
    mib = octets_max / (1024 * 1024)
    limit = f"{mib:g} MiB" if mib >= 1 else f"{octets_max:,} octets"
    return refuse(Code.BODY_TOO_LARGE, limit=limit)


class Response:
    """What goes back: a whole body, or chunks when it's a stream."""

    __slots__ = ("body", "chunks", "content_type", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = JSON,
        headers: Sequence[Header] = (),
        chunks: AsyncIterator[bytes] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.chunks = chunks


def json_response(value: object, status: int = 200, headers: Sequence[Header] = ()) -> Response:
    """Answer with a value as JSON."""
    return Response(status, _encode(value), JSON, headers)


def query_int(
    request: Request, name: str, default: int, *, least: int = 0, clamp: int | None = None
) -> int:
    """Read a whole number from the query; above `clamp` it is lowered to it."""
    text = request.query.get(name)
    if text is None:
        return default
    number = whole_number(text)
    if number is None or number < least:
        raise query_invalid(name, f"must be a whole number of at least {least}")
    return number if clamp is None else min(number, clamp)


def whole_number(text: str) -> int | None:
    """Read a whole number that fits a database column, or return None."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return None


def query_invalid(name: str, problem: str) -> Exception:
    """Refuse a query parameter, in the list form that published clients read."""
    return body_invalid([(name, problem, "query_invalid")], place="query")


def one_of(name: str, text: str, allowed: Iterable[str]) -> str:
    """Read a query parameter that must be one of a few words, whatever its case."""
    words = {word.casefold(): word for word in allowed}
    found = words.get(text.casefold())
    if found is None:
        raise query_invalid(name, f"must be one of {', '.join(sorted(words.values()))}")
    return found
