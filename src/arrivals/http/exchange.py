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
    Mapping,
    MutableMapping,
    Sequence,
)
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from arrivals.core.catalogue import Account, ApiKey
from arrivals.core.errors import Code, refuse
from arrivals.core.permissions import Whose
from arrivals.core.phone import InvalidNumber, normalise_msisdn
from arrivals.http.charsets import declared

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
NAME_CHARS_MAX: Final = 64  # of an unknown parameter, as the refusal repeats it
NEAR: Final = 0.7  # how alike two names must be for one to be meant by the other

_SWITCH: Final = {"true": True, "1": True, "": True, "false": False, "0": False}

# Words that other APIs have for what is called otherwise here.
_MEANT: Final = {
    "to": "msisdn",
    "recipient": "msisdn",
    "phone": "msisdn",
    "phone_number": "msisdn",
    "sender": "caller_id",
    "page_size": "limit",
    "per_page": "limit",
    "offset": "skip",
    "after": "cursor",
    "since": "from",
    "until": "to",
    "text": "message",
}

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
TEXT: Final = b"text/plain; charset=utf-8"

_encode: Final = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client hung up before its request was whole; there's nobody left to answer."""


class Request:
    """One request as an endpoint sees it, `account`, `key` and `whose` already checked."""

    account: Account
    key: ApiKey
    whose: Whose  # for which accounts its key may do this

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
        self._as_given: dict[str, str] = {}  # by the name it's read by
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
    def charset(self) -> str | None:
        """Return the charset declared for the body, unless it is UTF-8."""
        content_type = self.headers.get(b"content-type", b"")
        return declared(content_type.decode("latin-1")) if b";" in content_type else None

    @property
    def query(self) -> dict[str, str]:
        """Query parameters by name; one that stands twice is refused."""
        if self._query is None:
            text: bytes = self.scope.get("query_string", b"")
            self._query = _query(text.decode("latin-1")) if text else {}
        return self._query

    def allow_query(self, known: Mapping[str, str]) -> None:
        """Refuse a parameter that isn't known, and read each by the name it's known by.

        One that is left out silently would be a filter that doesn't filter.
        """
        found: dict[str, str] = {}
        for given, text in self.query.items():
            name = known.get(given)
            if name is None:
                raise query_invalid(given[:NAME_CHARS_MAX], _unknown(given, known))
            if found.setdefault(name, text) != text:
                raise query_invalid(given, f"stands for {name}, which says something else")
            self._as_given[name] = given
        self._query = found

    def as_given(self, name: str) -> str:
        """Return the name that the caller used of those that a parameter has."""
        return self._as_given.get(name, name)

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


def _unknown(given: str, known: Mapping[str, str]) -> str:
    """Say what a parameter could have meant; its name may be anything."""
    if not known:
        return "isn't known: nothing is read from the query here"
    name = given[:NAME_CHARS_MAX].casefold()
    near = get_close_matches(_MEANT.get(name, name), known, n=1, cutoff=NEAR)
    if near:
        return f"isn't known here; did you mean {known[near[0]]}?"
    return f"isn't known here; there are {', '.join(dict.fromkeys(known.values()))}"


def _query(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise query_invalid("", f"has more than {QUERY_FIELDS_MAX} parameters") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise query_invalid(twice, "stands more than once; which one is meant?")
    return found


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


def switch(request: Request, name: str) -> bool:
    """Read true or false from the query; without a value it's true, as a switch is."""
    text = request.query.get(name, "false").casefold()
    if text not in _SWITCH:
        raise query_invalid(name, "must be true or false")
    return _SWITCH[text]


def whole_number(text: str) -> int | None:
    """Read a whole number that fits a database column, or return None."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return None


def query_invalid(name: str, problem: str) -> Exception:
    """Refuse a query parameter, in the list form that published clients read."""
    refusal = refuse(Code.QUERY_INVALID, field=name or None, problem=problem)
    place: list[str | int] = ["query", name] if name else ["query"]
    refusal.errors = ({"loc": place, "msg": problem, "type": refusal.code},)
    return refusal


def query_msisdn(request: Request) -> str | None:
    """Read the filter by a recipient's number, which has one name in every list."""
    text = request.query.get("msisdn")
    if text is None:
        return None
    try:
        # An unescaped + in a query string arrives as a space.
        return normalise_msisdn(text)
    except InvalidNumber as problem:
        raise query_invalid(request.as_given("msisdn"), f"can't be used: {problem}") from None


def one_of(name: str, text: str, allowed: Iterable[str]) -> str:
    """Read a query parameter that must be one of a few words, whatever its case."""
    words = {word.casefold(): word for word in allowed}
    found = words.get(text.casefold())
    if found is None:
        raise query_invalid(name, f"must be one of {', '.join(sorted(words.values()))}")
    return found
