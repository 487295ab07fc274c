"""Declare endpoints: what each takes, gives back and may refuse, beside the code that does it.

A resource module keeps `ROUTES: list[Endpoint] = []` and puts `@endpoint(ROUTES, "GET",
"/api/v1/…", …)` above each of its functions. The router serves what the lists hold, and the
OpenAPI document is built from the very same values, so it can't tell of anything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arrivals.core.errors import Code
from arrivals.core.permissions import Act
from arrivals.http.exchange import Request, Response

Call = Callable[[Request], Awaitable[Response]]

# What every endpoint behind a key may answer, besides its own.
KEY_ERRORS: Final = (
    Code.MISSING_KEY,
    Code.INVALID_KEY,
    Code.KEY_EXPIRED,
    Code.SCOPE_MISSING,
    Code.QUERY_INVALID,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One query parameter or header that an endpoint reads."""

    name: str
    about: str
    type: str = "string"  # of JSON schema: string | integer | boolean
    place: str = "query"  # query | header
    default: str | int | None = None
    required: bool = False
    choices: Sequence[str] = ()
    least: int | None = None  # of an integer
    also: Sequence[str] = ()  # other names that are taken for it


# One word for one filter in every list; the other one is taken as well.
MSISDN: Final = Parameter(name="msisdn", about="The recipient's number", also=("number",))


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One method on one path."""

    method: str
    path: str  # a template such as /api/v1/dlr/{bx_message_id}
    call: Call
    summary: str
    about: str  # the function's docstring
    tag: str
    act: Act | None  # what a key must allow; None: served without one
    body: Any = None  # the msgspec type of the request's JSON body, or None
    answers: Any = None  # the msgspec type of the answer, or None where it isn't JSON
    status: int = 200
    content_type: str = "application/json"
    parameters: Sequence[Parameter] = ()
    errors: Sequence[Code] = ()

    @property
    def public(self) -> bool:
        """Whether it is served without an API key."""
        return self.act is None

    def query_names(self) -> Mapping[str, str]:
        """Return each name that its query may have, with the one that it is read by."""
        found = [each for each in self.parameters if each.place == "query"]
        return {name: each.name for each in found for name in (each.name, *each.also)}


def endpoint(
    routes: list[Endpoint],
    method: str,
    path: str,
    *,
    summary: str,
    tag: str,
    body: Any = None,
    answers: Any = None,
    status: int = 200,
    content_type: str = "application/json",
    parameters: Sequence[Parameter] = (),
    errors: Sequence[Code] = (),
    act: Act | None,
) -> Callable[[Call], Call]:
    """Add the decorated function to `routes`; with no `act` anybody may call it."""

    def add(call: Call) -> Call:
        routes.append(
            Endpoint(
                method=method,
                path=path,
                call=call,
                summary=summary,
                about=(call.__doc__ or "").strip(),
                tag=tag,
                body=body,
                answers=answers,
                status=status,
                content_type=content_type,
                parameters=tuple(parameters),
                errors=(*(() if act is None else KEY_ERRORS), *errors),
                act=act,
            )
        )
        return call

    return add
