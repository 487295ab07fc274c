"""Refuse a request in words that say what its sender can do next.

Every error the API answers with is a row of ERRORS, raised as a `Refusal` by `refuse`. The
branches of the tree are the things a caller can do:

    Refusal
    ├── BadKey          401      send a good key
    ├── NotPermitted    403      ask the operator
    ├── FundsNeeded     402      add funds, then send the same request again
    ├── BadRequest      400 413 422   mend the request; `field` names the place
    ├── NotThere        404 405  look elsewhere
    ├── InTheWay        409      see how things stand first
    ├── TryLater        408 429  nothing was done: send again after `retry_after_s`
    └── OurFault        500 503 507   send again with the same Idempotency-Key

Details are literals that published clients match by substring, in any case, so a detail
never contains another row's words by accident; a test checks each against them.
No detail shows a text, a full number or a key (invariant 44).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, TypedDict

Place = Literal["body", "header", "path", "query"]


class Code(StrEnum):
    """Every error code, stable for ever once published."""

    MISSING_KEY = "missing_key"
    INVALID_KEY = "invalid_key"
    KEY_EXPIRED = "key_expired"
    SCOPE_MISSING = "scope_missing"
    ROUTE_NOT_ALLOWED = "route_not_allowed"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    CURRENCY_MISMATCH = "currency_mismatch"
    ENVIRONMENT_MISMATCH = "environment_mismatch"
    ACCOUNT_PAUSED = "account_paused"
    OPERATORS_ONLY = "operators_only"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    INVALID_ROUTE = "invalid_route"
    NO_PRICE = "no_price"
    ESTIMATE_FAILED = "estimate_failed"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"
    HTTP_INVALID = "http_invalid"
    HOST_MISSING = "host_missing"
    HEADER_REPEATED = "header_repeated"
    BODY_TOO_LARGE = "body_too_large"
    BODY_INVALID = "body_invalid"
    UNKNOWN_FIELD = "unknown_field"
    QUERY_INVALID = "query_invalid"
    INVALID_NUMBER = "invalid_number"
    RECIPIENT_OPTED_OUT = "recipient_opted_out"
    DUPLICATE = "duplicate"
    NOTHING_ACCEPTED = "nothing_accepted"
    TOO_MANY_SEGMENTS = "too_many_segments"
    MAX_PRICE_EXCEEDED = "max_price_exceeded"
    IDEMPOTENCY_KEY_MISMATCH = "idempotency_key_mismatch"
    NOT_FOUND = "not_found"
    DLR_NOT_FOUND = "dlr_not_found"
    UNKNOWN_PATH = "unknown_path"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    QUOTE_EXPIRED = "quote_expired"
    NOT_CANCELLABLE = "not_cancellable"
    NEVER_HANDED_OFF = "never_handed_off"
    ROUTE_PAUSED = "route_paused"
    REQUEST_TIMEOUT = "request_timeout"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_WAITS = "too_many_waits"
    TOO_MANY_STREAMS = "too_many_streams"
    QUEUE_FULL = "queue_full"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    DISK_FULL = "disk_full"


class FieldError(TypedDict):
    """One place in a request that's wrong, as 422 answers list them."""

    loc: list[str | int]
    msg: str
    type: str


class Refusal(Exception):
    """A request we don't carry out, with what its sender can do about it."""

    def __init__(
        self,
        *,
        code: str,
        status: int,
        detail: str,
        title: str = "",
        field: str | None = None,
        fix: str = "",
        retry_after_s: int | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Hold the answer. `errors` is for 422 alone; `extra` adds members to the body."""
        super().__init__(detail)
        self.code = code
        self.status = status
        self.detail = detail
        self.title = title or code.replace("_", " ").capitalize()
        self.field = field  # dotted: numbers.3, Idempotency-Key
        self.fix = fix
        self.retry_after_s = retry_after_s
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.each: Sequence[Any] = ()  # of several recipients, why each one was refused

    def __str__(self) -> str:
        return self.detail


class BadKey(Refusal):
    """The API key is missing or not accepted."""


class NotPermitted(Refusal):
    """The account may not do this; only an operator can change that."""


class FundsNeeded(Refusal):
    """The account can't pay for it."""


class BadRequest(Refusal):
    """The request has to change before it can succeed."""


class NotThere(Refusal):
    """Nothing here under that name, or not for this account."""


class InTheWay(Refusal):
    """The present state forbids it."""


class TryLater(Refusal):
    """Nothing was done; the same request may succeed later."""


class OurFault(Refusal):
    """We failed; a repeat with the same Idempotency-Key is safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """What is always the same about one error code."""

    kind: type[Refusal]
    status: int
    title: str
    detail: str  # `{names}` are filled from the facts of the case
    fix: str
    field: str | None = None
    place: Place = "body"
    retry_after_s: int | None = None


def _row(
    kind: type[Refusal],
    status: int,
    title: str,
    detail: str,
    fix: str,
    *,
    field: str | None = None,
    place: Place = "body",
    retry_after_s: int | None = None,
) -> ErrorRow:
    return ErrorRow(
        kind=kind,
        status=status,
        title=title,
        detail=detail,
        fix=fix,
        field=field,
        place=place,
        retry_after_s=retry_after_s,
    )


_IDEMPOTENCY: Final = "Idempotency-Key"

ERRORS: Final[dict[Code, ErrorRow]] = {
    Code.MISSING_KEY: _row(
        BadKey, 401, "No API key", "Missing API Key",
        "Send your key in the X-API-KEY header.", field="X-API-KEY", place="header"),
    Code.INVALID_KEY: _row(
        BadKey, 401, "API key not accepted", "Invalid or inactive API Key",
        "Check the key, or ask the operator for another.", field="X-API-KEY", place="header"),
    Code.KEY_EXPIRED: _row(
        BadKey, 401, "API key expired",
        "Invalid or inactive API Key: it expired at {expired_at}",
        "Ask the operator for another; one is made with: arrivals keys create.",
        field="X-API-KEY", place="header"),
    Code.SCOPE_MISSING: _row(
        NotPermitted, 403, "Key lacks a scope",
        "This key may not do that: it has the scope {has}, and this needs {needs}",
        "Use a key that has it; one is made with: arrivals keys create --scope. The scopes "
        "support and admin count on an account with operator = true.",
        field="X-API-KEY", place="header"),
    Code.ROUTE_NOT_ALLOWED: _row(
        NotPermitted, 403, "Route not allowed", "You are not authorized for route {route_id}",
        "Choose a route that GET /api/v1/routes shows as allowed.", field="route_id"),
    Code.SENDER_NOT_ALLOWED: _row(
        NotPermitted, 403, "Sender ID not allowed",
        "Sender ID not allowed for route {route_id}",
        "Use one of the account's registered sender IDs.", field="caller_id"),
    Code.CURRENCY_MISMATCH: _row(
        NotPermitted, 403, "Currencies differ",
        "Route {route_id} is priced in {route_currency}, the account is kept in {currency}",
        "Choose a route in the account's currency.", field="route_id"),
    Code.ENVIRONMENT_MISMATCH: _row(
        NotPermitted, 403, "Wrong kind of key",
        "A {env} key has no provider on route {route_id}",
        "Use a live key for live providers and a test key for the sandbox.", field="route_id"),
    Code.ACCOUNT_PAUSED: _row(
        NotPermitted, 403, "Account takes nothing new", "This account takes no new messages",
        "What is queued still goes out; ask the operator to resume the account."),
    Code.OPERATORS_ONLY: _row(
        NotPermitted, 403, "For operators", "Only an account of the operator's may read this",
        "Use the key of an account that has operator = true."),
    Code.INSUFFICIENT_BALANCE: _row(
        FundsNeeded, 402, "Not enough funds",
        "Insufficient balance: {needed} {currency} needed, {available} {currency} available",
        "Add funds, or send to fewer recipients."),
    Code.INVALID_ROUTE: _row(
        BadRequest, 400, "No such route", "Invalid route_id: there is no route {route_id}",
        "Choose a route from GET /api/v1/routes.", field="route_id"),
    Code.NO_PRICE: _row(
        BadRequest, 400, "No price", "Pricing failed: No pricing available for destination",
        "Choose a route that GET /api/v1/routes/{{id}}/pricing shows with this destination.",
        field="numbers"),
    Code.ESTIMATE_FAILED: _row(
        BadRequest, 400, "Estimate failed", "Estimate failed: {problem}",
        "Mend the request and ask again."),
    Code.IDEMPOTENCY_KEY_INVALID: _row(
        BadRequest, 400, "Idempotency key unusable",
        "An Idempotency-Key is 1 to 255 printable ASCII characters",
        "Send a fresh UUID, for example.", field=_IDEMPOTENCY, place="header"),
    Code.HTTP_INVALID: _row(
        BadRequest, 400, "Not HTTP",
        "This isn't valid HTTP/1.1, or its head is larger than 64 KiB",
        "Check the address and the port, and what stands between you and them."),
    Code.HOST_MISSING: _row(
        BadRequest, 400, "No Host", "An HTTP/1.1 request needs one Host header",
        "Let your HTTP client write it: most do by themselves.", field="Host", place="header"),
    Code.HEADER_REPEATED: _row(
        BadRequest, 400, "Header repeated", "The header {name} came twice",
        "Send it once; check what the proxies between you and us add.", place="header"),
    Code.BODY_TOO_LARGE: _row(
        BadRequest, 413, "Request too large", "The request is larger than {limit}",
        "Split it, or use POST /api/v1/batches."),
    Code.BODY_INVALID: _row(
        BadRequest, 422, "Request not valid", "The request isn't valid",
        "Correct the places listed in `detail`."),
    Code.UNKNOWN_FIELD: _row(
        BadRequest, 422, "Unknown field", "There is no field '{name}'",
        "Remove the field, or check its spelling."),
    Code.QUERY_INVALID: _row(
        BadRequest, 422, "Query not valid", "The query parameter can't be used: {problem}",
        "Correct the query parameter.", place="query"),
    Code.INVALID_NUMBER: _row(
        BadRequest, 422, "Number not valid", "The number can't be used: {problem}",
        "Write the country code and the number, 8 to 15 digits.", field="numbers"),
    Code.RECIPIENT_OPTED_OUT: _row(
        BadRequest, 422, "Recipient opted out", "The recipient has opted out",
        "Leave this recipient out.", field="numbers"),
    Code.DUPLICATE: _row(
        BadRequest, 422, "Duplicate", "Its number and text stand in line {line} already",
        "Leave this line out, or send without deduplicate.", field="to"),
    Code.NOTHING_ACCEPTED: _row(
        BadRequest, 422, "Nothing accepted", "Of {lines} lines none can be sent",
        "Mend the lines that `refusals` lists, and send them as a new batch."),
    Code.TOO_MANY_SEGMENTS: _row(
        BadRequest, 422, "Message too long",
        "The message takes {segments} segments, at most {segments_max} are allowed",
        "Shorten the message, or raise max_segments.", field="message"),
    Code.MAX_PRICE_EXCEEDED: _row(
        BadRequest, 422, "Price above your limit",
        "The price of {price} {currency} is above max_price",
        "Raise max_price, or choose a cheaper route.", field="max_price"),
    Code.IDEMPOTENCY_KEY_MISMATCH: _row(
        BadRequest, 422, "Idempotency key used before",
        "This Idempotency-Key was used with another body",
        "Use a new key for a new request.", field=_IDEMPOTENCY, place="header"),
    Code.NOT_FOUND: _row(
        NotThere, 404, "Not found", "There is no such {what}",
        "Check the id; it must belong to this account."),
    Code.DLR_NOT_FOUND: _row(
        NotThere, 404, "Not found", "DLR record not found",
        "Check the bx_message_id; it must belong to this account."),
    Code.UNKNOWN_PATH: _row(
        NotThere, 404, "No such path", "There is nothing at this path",
        "See /openapi.json for the paths there are."),
    Code.METHOD_NOT_ALLOWED: _row(
        NotThere, 405, "Method not allowed", "This path doesn't take {method}",
        "See the Allow header."),
    Code.IDEMPOTENCY_IN_PROGRESS: _row(
        InTheWay, 409, "Still in progress",
        "A request with this Idempotency-Key is still in progress",
        "Send the same request again in a second.", field=_IDEMPOTENCY, place="header",
        retry_after_s=1),
    Code.QUOTE_EXPIRED: _row(
        InTheWay, 409, "Quote expired", "The quote has expired",
        "Ask for a new quote.", field="quote_id"),
    Code.NOT_CANCELLABLE: _row(
        InTheWay, 409, "Too late to cancel", "The message can't be cancelled: it is {state}",
        "Only a message that hasn't been handed off can be cancelled."),
    Code.NEVER_HANDED_OFF: _row(
        InTheWay, 409, "Never handed off",
        "The message never left: it was {state} before any hand-off",
        "Check the bx_message_id: nobody can have got this one."),
    Code.ROUTE_PAUSED: _row(
        InTheWay, 409, "Route takes nothing new", "Route {route_id} takes no new messages now",
        "Choose another route, or wait.", field="route_id"),
    Code.REQUEST_TIMEOUT: _row(
        TryLater, 408, "Request too slow", "The request didn't come whole in time",
        "Send it again, over a better connection.", retry_after_s=1),
    Code.RATE_LIMITED: _row(
        TryLater, 429, "Too many requests", "Too many requests",
        "Send again after the seconds in Retry-After.", retry_after_s=1),
    Code.TOO_MANY_WAITS: _row(
        TryLater, 429, "Too many waits", "Too many requests wait for an outcome",
        "Ask again without `wait`, or after the seconds in Retry-After; nothing was sent.",
        field="wait", place="query", retry_after_s=5),
    Code.TOO_MANY_STREAMS: _row(
        TryLater, 429, "Too many streams", "Too many batches are coming in at once",
        "Let one end, then send again after the seconds in Retry-After.", retry_after_s=5),
    Code.QUEUE_FULL: _row(
        TryLater, 429, "Queue full", "The queue is full",
        "Send again after the seconds in Retry-After.", retry_after_s=1),
    Code.INTERNAL: _row(
        OurFault, 500, "Internal error", "Something went wrong on our side",
        "Send again with the same Idempotency-Key; quote the request_id to the operator."),
    Code.UNAVAILABLE: _row(
        OurFault, 503, "Not available", "The service isn't ready",
        "Send again with the same Idempotency-Key.", retry_after_s=1),
    Code.DISK_FULL: _row(
        OurFault, 507, "Out of disk space", "The disk is nearly full, nothing new is accepted",
        "The operator must free disk space.", retry_after_s=60),
}  # fmt: skip


def refuse(
    code: Code,
    *,
    field: str | None = None,
    retry_after_s: int | None = None,
    extra: Mapping[str, object] | None = None,
    **facts: str | int,
) -> Refusal:
    """Make the refusal of a code; `facts` fill the names in its row's detail.

    `field` (dotted, such as `numbers.3`) and `retry_after_s` override the row's own.
    """
    row = ERRORS[code]
    detail = row.detail.format(**facts)
    where = field or row.field
    errors: list[FieldError] = []
    if row.status == 422:
        errors.append({"loc": _loc(row.place, where), "msg": detail, "type": str(code)})
    return row.kind(
        code=str(code),
        status=row.status,
        title=row.title,
        detail=detail,
        field=where,
        fix=row.fix.format(),
        retry_after_s=row.retry_after_s if retry_after_s is None else retry_after_s,
        errors=errors,
        extra=extra,
    )


def route_not_allowed(route_id: int, route_name: str) -> Refusal:
    """Refuse a route; the one named Casino has a literal of its own in published clients."""
    refusal = refuse(Code.ROUTE_NOT_ALLOWED, route_id=route_id)
    if route_name.casefold() == "casino":
        refusal.detail = "You are not authorized for the Casino route"
    return refusal


def body_invalid(problems: Sequence[tuple[str, str, str]], *, place: Place = "body") -> Refusal:
    """Refuse a request for each (dotted field, message, type) that's wrong with it."""
    refusal = refuse(Code.BODY_INVALID, field=problems[0][0] or None)
    refusal.errors = tuple(
        {"loc": _loc(place, field), "msg": message, "type": kind}
        for field, message, kind in problems
    )
    return refusal


def to_problem(refusal: Refusal, request_id: str) -> dict[str, object]:
    """Return the problem+json body (RFC 9457): `detail` is a string, a list for 422."""
    problem: dict[str, object] = {
        "type": f"/docs/errors#{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": list(refusal.errors) if refusal.errors else refusal.detail,
        "code": refusal.code,
        "fix": refusal.fix,
        "request_id": request_id,
    }
    if refusal.field is not None:
        problem["field"] = refusal.field
    if refusal.retry_after_s is not None:
        problem["retry_after_s"] = refusal.retry_after_s
    return refusal.extra | problem


def _loc(place: Place, field: str | None) -> list[str | int]:
    steps = field.split(".") if field else []
    return [place, *(int(step) if step.isdecimal() else step for step in steps)]
