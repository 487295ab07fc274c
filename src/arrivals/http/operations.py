"""For operators and tools: is it alive, is it ready, what does it do, what can it do.

The API's own port serves health and the documents. Metrics are an application of their
own, meant for a port that customers don't reach.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from arrivals import __version__
from arrivals.core.catalogue import paused_in_words
from arrivals.core.errors import Code, Refusal, refuse, to_problem
from arrivals.core.instants import rfc3339
from arrivals.flows.alarms import in_full, read_alarms
from arrivals.flows.platform import Platform
from arrivals.http import reference
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import (
    JSON,
    PROBLEM,
    Header,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    json_response,
)
from arrivals.http.metrics import gather
from arrivals.http.naming import ANOTHER, in_words
from arrivals.http.openapi import document
from arrivals.outcome.habits import INFERRED
from arrivals.store.api import StoreDamaged, StoreError, StoreFull
from arrivals.store.verified import Verified
from arrivals.telemetry import Telemetry

ROUTES: Final[list[Endpoint]] = []

TAG: Final = "Operations"
HTML: Final = b"text/html; charset=utf-8"
DOCS: Final = "/docs"

# Says, for each of a process's long-running parts, None if it's well or what is wrong.
Alive = Callable[[], Mapping[str, str | None]]

_encode: Final = msgspec.json.Encoder().encode


class Health(msgspec.Struct, kw_only=True):
    """The process answers."""

    status: str
    version: str


class Invariants(msgspec.Struct, kw_only=True):
    """What the newest run of the checks found, in the whole installation."""

    last_run_at: str
    kind: str  # full, or incremental: what changed since the run before
    checks: int
    violations: int


class ReceiptHabits(msgspec.Struct, kw_only=True):
    """How a provider writes its receipts; null is what too few have shown, or not alike."""

    seen: int  # newer ones counting more
    id_form: str | None  # as_given, leading_zeros, hex_to_decimal or decimal_to_hex
    clock_offset_minutes: int | None  # by how much its dates are ahead of UTC
    matched_otherwise: int  # of those seen: without an id that was known


class Readiness(msgspec.Struct, kw_only=True):
    """What a process needs to serve, each `ok` or what is wrong; and what else is known.

    Alarms and connections that are down don't make it unready: it goes on accepting.
    """

    # Anybody may read it: nothing here names a customer's sender, template or link. A provider
    # is named to the operator alone, and so is how it is.

    status: str
    checks: dict[str, str]
    alarms: list[str]
    paused: list[str]  # what passes no traffic, or nothing new, because somebody wants it so
    binds: dict[str, str]  # each provider's connection: up or down
    ailing: dict[str, str]  # what ails a provider at this moment, as its bind's owner sees it
    receipts: dict[str, ReceiptHabits]  # how each provider writes them, as far as was seen
    invariants: Invariants | None  # null: they were never checked


@endpoint(ROUTES, "GET", "/healthz", summary="Is it alive", tag=TAG, act=None, answers=Health)
async def healthz(request: Request) -> Response:  # noqa: ARG001 - every endpoint is given one
    """Return 200 as long as the process answers at all."""
    return json_response(Health(status="ok", version=__version__))


@endpoint(
    ROUTES,
    "GET",
    "/readyz",
    act=None,
    summary="Is it ready",
    tag=TAG,
    answers=Readiness,
    errors=(Code.UNAVAILABLE,),
)
async def readyz(request: Request) -> Response:
    """Return 200 if requests can be accepted: the store commits and a catalogue is loaded."""
    found = await readiness(request.platform, for_anybody=not _is_operator(request))
    if found.status != "ready":
        raise refuse(Code.UNAVAILABLE, extra={"checks": found.checks})
    return json_response(found)


def _is_operator(request: Request) -> bool:
    key = request.header(b"x-api-key")
    with contextlib.suppress(Refusal):
        return request.platform.authenticate(key)[0].operator
    return False


def _before_anybody(found: Readiness, platform: Platform) -> Readiness:
    """Return what anybody may read: providers are told apart by number."""
    called = {
        name: f"provider {number}"
        for number, name in enumerate(platform.catalogue.providers, 1)
    }
    # Each is said once: what two senders lack on one route reads alike without them.
    alarms = dict.fromkeys(
        in_words(each.trouble.public_words, called, ANOTHER) for each in platform.alarms
    )
    paused = (in_words(each, called, ANOTHER) for each in found.paused)
    return msgspec.structs.replace(
        found,
        alarms=list(alarms),
        paused=[each for each in paused if not each.startswith("account")],
        binds={called.get(name, ANOTHER): word for name, word in found.binds.items()},
        ailing={},
        receipts={called.get(name, ANOTHER): each for name, each in found.receipts.items()},
    )


async def readiness(
    platform: Platform, alive: Alive | None = None, *, for_anybody: bool = False
) -> Readiness:
    """Check that the store commits, that routes are known, and that all is `alive`."""
    checks: dict[str, str] = {}
    checks["store"] = await _store(platform)
    checks["catalogue"] = "ok" if platform.catalogue.routes else "it has no routes"
    for name, problem in (alive() if alive else {}).items():
        checks[name] = problem or "ok"
    invariants = None
    with contextlib.suppress(StoreError):  # what is wrong with the store is said already
        invariants = _invariants(await platform.store.read(lambda reader: reader.last_run()))
        await read_alarms(platform)
    well = all(word == "ok" for word in checks.values())
    found = Readiness(
        status="ready" if well else "not_ready",
        checks=checks,
        alarms=[in_full(each) for each in platform.alarms],
        paused=paused_in_words(platform.catalogue),
        binds={name: "up" if up else "down" for name, up in platform.binds().items()},
        ailing=platform.conditions.in_words(),
        receipts={
            name: ReceiptHabits(
                seen=each.receipts,
                id_form=each.id_form,
                clock_offset_minutes=each.clock_offset_minutes,
                matched_otherwise=each.forms.get(INFERRED, 0),
            )
            for name, each in platform.habits.by_provider.items()
        },
        invariants=invariants,
    )
    return _before_anybody(found, platform) if for_anybody else found


async def _store(platform: Platform) -> str:
    """Return whether a send would be kept now; no path or address, for anybody may read it."""
    try:
        await platform.store.probe()
    except StoreFull:
        return "there is no room on its disk: sends are refused"
    except StoreDamaged:
        return "it is damaged"
    except StoreError:
        return "it does not commit"
    return "ok"


def _invariants(run: Verified | None) -> Invariants | None:
    if run is None:
        return None
    return Invariants(
        last_run_at=rfc3339(run.ended_at_us),
        kind=run.kind,
        checks=run.checks,
        violations=run.violations,
    )


# --- the documents --------------------------------------------------------------------


@endpoint(
    ROUTES,
    "GET",
    "/openapi.json",
    act=None,
    summary="Read the OpenAPI document",
    tag=TAG,
    answers=dict[str, Any],
)
async def openapi(request: Request) -> Response:  # noqa: ARG001 - every endpoint is given one
    """Return the API as OpenAPI 3.1."""
    return Response(200, _document_json(), JSON)


@endpoint(
    ROUTES,
    "GET",
    "/",
    act=None,
    summary="Find the reference",
    tag=TAG,
    status=302,
    content_type="text/html",
)
async def entrance(request: Request) -> Response:  # noqa: ARG001 - every endpoint is given one
    """Lead whoever opens the bare address to this reference."""
    to = [(b"location", DOCS.encode()), *_page_headers()]
    return Response(302, f'<a href="{DOCS}">Arrivals API</a>\n'.encode(), HTML, to)


@endpoint(
    ROUTES,
    "GET",
    DOCS,
    act=None,
    summary="Read the reference",
    tag=TAG,
    content_type="text/html",
)
async def docs(request: Request) -> Response:  # noqa: ARG001 - every endpoint is given one
    """Return this reference as a page."""
    return _page(_reference_page())


@endpoint(
    ROUTES,
    "GET",
    "/docs/errors",
    act=None,
    summary="Read the error dictionary",
    tag=TAG,
    content_type="text/html",
)
async def docs_errors(request: Request) -> Response:  # noqa: ARG001 - every endpoint is given one
    """Return every error code with its cause and what to do, as a page."""
    return _page(reference.errors_page(_document()))


@cache
def _document() -> dict[str, Any]:
    # Imported here and not above: the table names this module among the others.
    from arrivals.http.table import endpoints

    return document(endpoints())


@cache
def _document_json() -> bytes:
    return _encode(_document())


@cache
def _reference_page() -> str:
    return reference.reference_page(_document())


def _page(text: str) -> Response:
    return Response(200, text.encode(), HTML, _page_headers())


@cache
def _page_headers() -> tuple[Header, ...]:
    """Allow the page its one style sheet and nothing else."""
    digest = base64.b64encode(hashlib.sha256(reference.style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return (
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )


# --- metrics, on a port of their own --------------------------------------------------


class OperationsApp:
    """Serve /metrics, /healthz and /readyz to operators."""

    def __init__(
        self,
        platform: Platform,
        telemetry: Telemetry,
        *,
        alive: Alive | None = None,
        binds: Callable[[], Mapping[str, bool]] | None = None,
        commits: Callable[[], tuple[int, int]] | None = None,
        windows: Callable[[], Mapping[str, tuple[int, int]]] = dict,
    ) -> None:
        """Show `platform`.

        `binds` tells which providers' connections are up, `commits` the store's running
        totals of transactions and of what they held, `windows` how many unanswered PDUs a
        provider may have and has.
        """
        self._platform = platform
        self._telemetry = telemetry
        self._alive = alive
        self._binds = binds or platform.binds
        self._commits = commits
        self._windows = windows
        self._paths: dict[str, Callable[[], Awaitable[Response]]] = {
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            return
        found = self._paths.get(scope["path"].rstrip("/"))
        if found is None:
            response = _refused(Code.UNKNOWN_PATH)
        elif scope["method"] not in {"GET", "HEAD"}:
            response = _refused(Code.METHOD_NOT_ALLOWED, [(b"allow", b"GET, HEAD")])
        else:
            response = await found()
        headers: list[Header] = [
            (b"content-type", response.content_type),
            (b"content-length", str(len(response.body)).encode()),
            *response.headers,
        ]
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        await send(start)
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def _healthz(self) -> Response:
        return json_response(Health(status="ok", version=__version__))

    async def _readyz(self) -> Response:
        found = await readiness(self._platform, self._alive)
        return json_response(found, 200 if found.status == "ready" else 503)

    async def _metrics(self) -> Response:
        await gather(self._platform, self._telemetry, self._binds(), self._windows())
        if self._commits is not None:
            self._telemetry.committed(*self._commits())
        telemetry = self._telemetry
        return Response(200, telemetry.exposition(), telemetry.content_type.encode())


def _refused(code: Code, headers: Sequence[Header] = ()) -> Response:
    refusal = refuse(code, method="this")
    return Response(refusal.status, _encode(to_problem(refusal, "")), PROBLEM, headers)


async def _live(receive: Receive, send: Send) -> None:
    """Go along with the server's start and stop."""
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return
