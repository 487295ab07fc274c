"""The ASGI application: from a scope to an endpoint and back, and never an answer but JSON.

    path → method → API key → in hand? → endpoint → X-Request-Id, request log

A refusal anywhere on the way becomes problem+json; whatever else is raised becomes a 500
that tells its caller nothing but the request's id.
"""

from __future__ import annotations

import itertools
import logging
import traceback
from typing import Final

import msgspec

from arrivals.core.errors import Code, Refusal, refuse, to_problem
from arrivals.core.permissions import (
    ALLOWED,
    OPERATORS_ACTS,
    Act,
    Whose,
    in_force,
    in_order,
    whose,
)
from arrivals.flows.platform import Platform
from arrivals.http.endpoints import Endpoint
from arrivals.http.exchange import (
    PROBLEM,
    ASGIApp,
    ClientGone,
    Header,
    Receive,
    Request,
    Response,
    Scope,
    Send,
)
from arrivals.http.quotes import Quotes
from arrivals.http.routing import Router
from arrivals.http.site import CountAnswer, QueueFull, Site, never_full
from arrivals.http.table import endpoints
from arrivals.store.activity import ActivityLog, Answered
from arrivals.store.api import StoreError, StoreFull

_PREFIX_OCTETS: Final = 6  # of a request id: tells processes and restarts apart

_log = logging.getLogger("arrivals.http")
_encode: Final = msgspec.json.Encoder().encode


def application(
    platform: Platform,
    activity: ActivityLog,
    secret: bytes,
    *,
    queue_full: QueueFull = never_full,
    answered: CountAnswer | None = None,
) -> ASGIApp:
    """Return the API of one process.

    `secret` is the installation's, for signing quotes; `queue_full` tells how many seconds
    until a queue has room again, or None if it has; `answered` counts answers for metrics.
    """
    site = Site(
        platform=platform,
        activity=activity,
        quotes=Quotes(secret),
        queue_full=queue_full,
        answered=answered,
    )
    return Application(site, Router(endpoints()))


class Application:
    """One process's API."""

    def __init__(self, site: Site, router: Router) -> None:
        self._site = site
        self._router = router
        self._request_prefix = site.platform.chance.entropy(_PREFIX_OCTETS).hex()
        self._request_numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            await _not_http(scope, receive, send)
            return
        request_id = self.next_request_id()
        request = Request(self._site, scope, receive, request_id)
        started = self._site.platform.clock.monotonic()
        found: Endpoint | None = None
        try:
            found = self._find(request)
            response = await self._answer(request, found)
        except ClientGone:
            return
        except Refusal as refusal:
            response = problem(refusal, request_id)
            # What they refer to refers back to them, with the texts of the request.
            refusal.each, refusal.__traceback__ = (), None
        except Exception as error:  # noqa: BLE001 - every request must be answered, in JSON
            response = problem(_our_fault(error, request_id), request_id)
        self._note(request, found, response, started)
        await _send(request, response, send)

    async def _answer(self, request: Request, found: Endpoint) -> Response:
        if found.act is None:
            return await found.call(request)
        key = request.headers.get(b"x-api-key")
        request.account, request.key = self._site.platform.authenticate(
            key.decode("latin-1") if key else None
        )
        request.whose = _permitted(request, found.act)
        if request.scope.get("query_string"):
            request.allow_query(found.query_names())
        in_hand, account_id = self._site.in_hand, request.account.account_id
        in_hand.take(account_id)
        try:
            return await found.call(request)
        finally:
            in_hand.give_back(account_id)

    def next_request_id(self) -> str:
        """Return an id that no other request has, here or in another process."""
        return f"{self._request_prefix}-{next(self._request_numbers):x}"

    def _find(self, request: Request) -> Endpoint:
        found = self._router.find(request.scope["path"])
        if found is None:
            raise refuse(Code.UNKNOWN_PATH)
        methods, request.values = found
        method: str = request.scope["method"]
        endpoint = methods.get(method)
        if endpoint is None:
            refusal = refuse(Code.METHOD_NOT_ALLOWED, method=_shown(method))
            raise _MethodNotAllowed(refusal, ", ".join(sorted(methods)))
        return endpoint

    def _note(
        self, request: Request, found: Endpoint | None, response: Response, started: float
    ) -> None:
        site = self._site
        latency_us = None
        if not request.waited:
            latency_us = int((site.platform.clock.monotonic() - started) * 1e6)
        # A path that isn't there could be anything, and so could a method.
        method, path = (found.method, found.path) if found else ("-", "-")
        if site.answered is not None:
            site.answered(method, path, response.status, latency_us)
        account = getattr(request, "account", None)
        if account is None:
            return  # nobody: the key was missing or wrong
        client = request.scope.get("client")
        site.activity.record(
            Answered(
                account.account_id,
                site.platform.clock.now_us(),
                method,
                path,
                response.status,
                latency_us,
                client[0] if client else None,
                request.route_id,
            )
        )


def _permitted(request: Request, act: Act) -> Whose:
    """Return for whom the key's scopes allow what is asked, or raise the refusal."""
    scopes, operator = request.key.scopes, request.account.operator
    if act in OPERATORS_ACTS and not operator:
        raise refuse(Code.OPERATORS_ONLY)
    found = whose(in_force(scopes, operator=operator), act)
    if found is None:
        needs = " or ".join(ALLOWED[act])
        raise refuse(Code.SCOPE_MISSING, has=in_order(scopes) or "none", needs=needs)
    return found


class _MethodNotAllowed(Refusal):
    """A 405, with the methods that its Allow header names."""

    def __init__(self, refusal: Refusal, allow: str) -> None:
        super().__init__(
            code=refusal.code,
            status=refusal.status,
            detail=refusal.detail,
            title=refusal.title,
            fix=refusal.fix,
        )
        self.allow = allow


def problem(refusal: Refusal, request_id: str) -> Response:
    """Answer with a refusal as problem+json (RFC 9457)."""
    headers: list[Header] = []
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if isinstance(refusal, _MethodNotAllowed):
        headers.append((b"allow", refusal.allow.encode()))
    body = _encode(to_problem(refusal, request_id))
    return Response(refusal.status, body, PROBLEM, headers)


def _our_fault(error: Exception, request_id: str) -> Refusal:
    if isinstance(error, StoreFull):
        return refuse(Code.DISK_FULL)
    if isinstance(error, StoreError):
        return refuse(Code.UNAVAILABLE)
    # Where it happened and of what kind; its message could quote a text, a number or a key.
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
    _log.error("request %s failed: %s at %s", request_id, type(error).__name__, where)
    return refuse(Code.INTERNAL)


def _shown(method: str) -> str:
    """Return a method fit to be repeated: anybody can send any."""
    return method if method.isascii() and method.isalpha() and len(method) <= 10 else "this"


async def _send(request: Request, response: Response, send: Send) -> None:
    headers: list[Header] = [
        (b"content-type", response.content_type),
        (b"x-request-id", request.request_id.encode()),
        *response.headers,
    ]
    if response.chunks is None:
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    bodiless = request.scope["method"] == "HEAD"
    if response.chunks is not None and not bodiless:
        async for chunk in response.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    body = b"" if bodiless else response.body
    await send({"type": "http.response.body", "body": body})


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    """Go along with the server's start and stop; there are no web sockets here."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return
