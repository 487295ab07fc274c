"""Describe the API as OpenAPI 3.1, from the same values that serve it.

Nothing is described by hand: paths, parameters, bodies and refusals come from the endpoints,
schemas from their message types, error codes from core/errors.py. So the document can't
tell of anything that isn't there, and its order is the order of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from arrivals import __version__
from arrivals.core.errors import ERRORS, Code, refuse, to_problem
from arrivals.http.endpoints import Endpoint, Parameter

OPENAPI: Final = "3.1.0"
JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
OCTETS: Final = "application/octet-stream"

# Whatever is asked, it may not be readable or be too much, or we may fail.
ALWAYS: Final = (
    Code.HTTP_INVALID,
    Code.HOST_MISSING,
    Code.HEADER_REPEATED,
    Code.QUEUE_FULL,
    Code.INTERNAL,
    Code.UNAVAILABLE,
)

_REF: Final = "#/components/schemas/{name}"
_INTEGERS_IN_PATHS: Final = frozenset({"order_id", "route_id", "batch_id"})
_REQUEST_ID: Final = {"$ref": "#/components/headers/X-Request-Id"}

# Facts of a case, for the details of the examples.
_FACTS: Final[dict[str, str | int]] = {
    "route_id": 7, "route_currency": "USD", "currency": "EUR", "env": "test", "needed": "0.087",
    "available": "0.05", "problem": "it has too few digits, 8 to 15 are needed",
    "limit": "2 MiB", "name": "numers", "segments": 12, "segments_max": 10, "price": "0.174",
    "what": "message", "has": "read", "needs": "send", "expired_at": "2026-12-31T23:59:59Z",
    "method": "PATCH", "state": "submitted", "line": 3, "lines": 8,
}  # fmt: skip

_BODIES: Final[dict[str, Any]] = {
    "SendBody": {
        "route_id": 1,
        "caller_id": "ARRIVALS",
        "numbers": ["99900000001"],
        "message": "Your code is 4821",
    },
    "FeedbackBody": {"confirmed": True, "kind": "otp"},
    "BatchBody": {"to": "99900000001", "message": "Hello Ann", "client_ref": "row-1"},
}
_CSV_BODY: Final = "to,message,client_ref\n99900000001,Hello Ann,row-1\n"

ABOUT: Final = """\
Accepted isn't delivered. Every message has layers that never stand for one another: *api* \
(valid, priced, paid for, committed), *execution* (what became of the hand-off), *outcome* \
(what the evidence says happened) and *confirmed* (what your own system knows). A 200 answers \
for the first of them only, and says what was durable before it was given.

Money is a JSON number printed from whole millionths. Times are RFC 3339 in UTC. Errors are \
`application/problem+json` with a stable `code` and a `fix`; a 422 lists its places in \
`detail`. Send an `Idempotency-Key` with every POST that you may have to repeat."""


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document of these endpoints."""
    types = [
        kind for each in endpoints for kind in (each.body, each.answers) if kind is not None
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    shown = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    names: set[str] = set()
    for each in endpoints:
        body = next(shown) if each.body is not None else None
        answer = next(shown) if each.answers is not None else None
        operation = _operation(each, body, answer)
        operation["operationId"] = _unique(each, names)
        paths.setdefault(each.path, {})[each.method.lower()] = operation
    tags = list(dict.fromkeys(each.tag for each in endpoints))
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Arrivals",
            "version": __version__,
            "summary": "SMS, and what became of it",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-KEY"}
            },
            "headers": {
                "X-Request-Id": {
                    "description": "Names this request; quote it to the operator",
                    "schema": {"type": "string"},
                }
            },
            "schemas": dict(sorted((_mended(components) | _problem_schemas()).items())),
            "examples": {code.value: {"value": example(code)} for code in Code},
        },
    }


def example(code: Code) -> dict[str, Any]:
    """Return a refusal of this code as its problem+json."""
    return to_problem(
        refuse(code, field=None, retry_after_s=None, extra=None, **_FACTS), "2f6c01a9b4d7-1c"
    )


def _unique(endpoint: Endpoint, names: set[str]) -> str:
    name = getattr(endpoint.call, "__name__", endpoint.summary)
    if name in names:  # the same function under another suffix
        name = f"{name}_{endpoint.path.rpartition('.')[2]}"
    names.add(name)
    return str(name)


# --- one endpoint ---------------------------------------------------------------------


def _operation(endpoint: Endpoint, body: Any, answer: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "description": _unwrapped(endpoint.about),
        "tags": [endpoint.tag],
    }
    if endpoint.public:
        operation["security"] = []
    parameters = [*_path_parameters(endpoint.path), *map(_parameter, endpoint.parameters)]
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {
            "description": _unwrapped(endpoint.body.__doc__ or ""),
            "required": True,
            "content": _request_content(endpoint, body),
        }
    responses = _good(endpoint, answer)
    responses |= _refusals((*endpoint.errors, *ALWAYS))
    operation["responses"] = responses
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [step[1:-1] for step in path.split("/") if step.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer" if name in _INTEGERS_IN_PATHS else "string"},
        }
        for name in names
    ]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.type}
    if parameter.default is not None:
        schema["default"] = parameter.default
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.least is not None:
        schema["minimum"] = parameter.least
    about = parameter.about
    if parameter.also:
        about = f"{about}; `{'`, `'.join(parameter.also)}` is the same"
    shown = {"name": parameter.name, "in": parameter.place, "description": about}
    return shown | ({"required": True} if parameter.required else {}) | {"schema": schema}


def _request_content(endpoint: Endpoint, schema: Any) -> dict[str, Any]:
    shown = _BODIES.get(endpoint.body.__name__)
    found: dict[str, Any] = {}
    for media_type in getattr(endpoint.body, "media_types", (JSON,)):
        if media_type == CSV:
            found[media_type] = {"schema": {"type": "string"}, "example": _CSV_BODY}
            continue
        if media_type == OCTETS:  # lines, as a file or a string of octets
            found[media_type] = {"schema": {"type": "string", "format": "binary"}}
            continue
        found[media_type] = {"schema": schema}
        if shown is not None:
            found[media_type]["example"] = shown
    return found


def _good(endpoint: Endpoint, schema: Any) -> dict[str, Any]:
    names = {parameter.name for parameter in endpoint.parameters}
    plain = {"schema": {"type": "string"}}
    content = {endpoint.content_type: plain if schema is None else {"schema": schema}}
    if schema is not None and "cursor" in names:
        content |= {NDJSON: plain, CSV: plain}
    if "format" in names:
        content[TEXT] = plain
    answer = {
        "description": HTTPStatus(endpoint.status).phrase,
        "headers": {"X-Request-Id": _REQUEST_ID},
        "content": content,
    }
    found = {str(endpoint.status): answer}
    if "Prefer" in names:
        found["202"] = answer | {"description": HTTPStatus.ACCEPTED.phrase}
    return found


def _refusals(codes: Iterable[Code]) -> dict[str, Any]:
    by_status: dict[int, list[Code]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(ERRORS[code].status, []).append(code)
    return {
        str(status): {
            "description": ", ".join(f"`{code.value}`" for code in by_status[status]),
            "headers": {"X-Request-Id": _REQUEST_ID},
            "content": {
                PROBLEM: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        code.value: {"$ref": f"#/components/examples/{code.value}"}
                        for code in by_status[status]
                    },
                }
            },
        }
        for status in sorted(by_status)
    }


def _unwrapped(text: str) -> str:
    """Join a docstring's lines into paragraphs."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


# --- schemas --------------------------------------------------------------------------


def _mended(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Say what message types can't: a decimal may be a number, as JSON has it."""

    def mend(value: Any) -> Any:
        if isinstance(value, Mapping):
            if value.get("format") == "decimal":
                return {**value, "type": ["number", "string"]}
            return {name: mend(inner) for name, inner in value.items()}
        return [mend(inner) for inner in value] if isinstance(value, list) else value

    return {name: mend(schema) for name, schema in schemas.items()}


def _problem_schemas() -> dict[str, Any]:
    place = {
        "type": "object",
        "title": "FieldError",
        "description": "One place in a request that is wrong.",
        "properties": {
            "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
            "msg": {"type": "string"},
            "type": {"type": "string"},
        },
        "required": ["loc", "msg", "type"],
    }
    fields = {"$ref": _REF.format(name="FieldError")}
    problem = {
        "type": "object",
        "title": "Problem",
        "description": "Why a request isn't carried out, and what to do (RFC 9457).",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {
                "description": "A sentence; for 422 a list of places",
                "oneOf": [{"type": "string"}, {"type": "array", "items": fields}],
            },
            # No list of all there are: a client that was made of it would fail at the next one.
            "code": {
                "type": "string",
                "description": "Stable; `/docs/errors` has them all, and more may be added",
            },
            "fix": {"type": "string"},
            "request_id": {"type": "string"},
            "field": {"type": "string"},
            "retry_after_s": {"type": "integer"},
        },
        "required": ["type", "title", "status", "detail", "code", "fix", "request_id"],
    }
    return {"FieldError": place, "Problem": problem}
