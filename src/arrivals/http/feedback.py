"""What a customer says about a message: cancel it, or what their own system knows of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from arrivals.core.errors import Code, Refusal, body_invalid
from arrivals.core.moments import read_moment
from arrivals.core.permissions import Act
from arrivals.core.timeline import ASKED_AGAIN
from arrivals.flows.accept import Replay
from arrivals.flows.amend import FEEDBACK_KINDS, Amendment
from arrivals.http.endpoints import Endpoint, Parameter, endpoint
from arrivals.http.exchange import Request, Response, json_response
from arrivals.http.idempotency import REPLAYED, idempotency_of
from arrivals.http.json_body import read_json
from arrivals.http.message_view import MessageAnswer
from arrivals.http.messages import TAG, named_key, own_message, whole_answer
from arrivals.outcome.clicks import METHODS, USER_AGENT_CHARS_MAX, Click

ROUTES: Final[list[Endpoint]] = []

CLICK: Final = "click"
CLOCKS_APART_US: Final = 300 * 1_000_000  # by so much a click's clock may be ahead of ours
_KEYED: Final = Parameter(
    name="Idempotency-Key", about="1 to 255 printable ASCII", place="header"
)


class FeedbackBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What your own system knows: whether the person got it, and from what.

    With `asked_again`, `confirmed` is false, and all it says is that they wanted another one.
    Of a `click`, say what you know: a machine's confirms nothing.
    """

    confirmed: bool
    kind: Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(FEEDBACK_KINDS)})] = (
        "support"
    )
    user_agent: Annotated[
        Annotated[str, msgspec.Meta(max_length=USER_AGENT_CHARS_MAX)] | None,
        msgspec.Meta(description="Of a click: as the request had it; isn't kept"),
    ] = None
    method: Annotated[
        Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(METHODS)})] | None,
        msgspec.Meta(description="Of a click: the request's method"),
    ] = None
    clicked_at: Annotated[
        str | None, msgspec.Meta(description="Of a click: RFC 3339 with a zone; default: now")
    ] = None


# What may be wrong with whatever is said of a message.
_OF_EACH: Final = (
    Code.IDEMPOTENCY_KEY_INVALID,
    Code.IDEMPOTENCY_KEY_MISMATCH,
    Code.DISK_FULL,
    Code.UNAVAILABLE,
)
_FEEDBACK: Final = msgspec.json.Decoder(FeedbackBody, strict=True)


@endpoint(
    ROUTES,
    "POST",
    "/api/v1/messages/{bx_message_id}/cancel",
    act=Act.SPEND,
    summary="Cancel a message",
    tag=TAG,
    answers=MessageAnswer,
    parameters=(_KEYED,),
    errors=(
        Code.NOT_FOUND,
        Code.NOT_CANCELLABLE,
        *_OF_EACH,
    ),
)
async def cancel_message(request: Request) -> Response:
    """Cancel a message that hasn't been handed off; its hold is released."""
    return await _amended(request, await request.body(), confirmed=None)


@endpoint(
    ROUTES,
    "POST",
    "/api/v1/messages/{bx_message_id}/feedback",
    act=Act.SPEND,
    summary="Tell whether the person got it",
    tag=TAG,
    body=FeedbackBody,
    answers=MessageAnswer,
    parameters=(_KEYED,),
    errors=(
        Code.NOT_FOUND,
        Code.NEVER_HANDED_OFF,
        Code.BODY_INVALID,
        Code.UNKNOWN_FIELD,
        *_OF_EACH,
    ),
)
async def give_feedback(request: Request) -> Response:
    """Record what your own system knows: the code was typed, the person replied or clicked."""
    raw = await request.body()
    body = read_json(_FEEDBACK, raw, request.charset)
    if body.kind not in FEEDBACK_KINDS:
        raise _choice("kind", f"must be one of {', '.join(FEEDBACK_KINDS)}")
    if body.kind == ASKED_AGAIN and body.confirmed:
        raise _choice("kind", "who asked for another one hasn't confirmed this one")
    click = _click(body, request.platform.clock.now_us())
    return await _amended(request, raw, confirmed=body.confirmed, kind=body.kind, click=click)


def _click(body: FeedbackBody, now_us: int) -> Click | None:
    """Return what is told of a click, or raise the refusal that names what can't be."""
    told = {name: getattr(body, name) for name in ("user_agent", "method", "clicked_at")}
    first = next((name for name, value in told.items() if value is not None), None)
    if first is None:
        return None
    if body.kind != CLICK or not body.confirmed:
        raise _choice(first, "tells of a click: kind must be click, and confirmed true")
    if body.method is not None and body.method not in METHODS:
        raise _choice("method", f"must be one of {', '.join(METHODS)}")
    at_us = now_us if body.clicked_at is None else _clicked_at(body.clicked_at, now_us)
    return Click(at_us=at_us, user_agent=body.user_agent, method=body.method)


def _clicked_at(text: str, now_us: int) -> int:
    at_us = read_moment(text, zone_needed=True)
    if at_us is None:
        problem = "must be RFC 3339 with a zone: 2026-11-22T18:00:00Z"
        raise body_invalid([("clicked_at", problem, "moment")])
    if at_us > now_us + CLOCKS_APART_US:
        raise body_invalid([("clicked_at", "lies in the future", "moment")])
    return at_us


def _choice(field: str, problem: str) -> Refusal:
    return body_invalid([(field, problem, "choice")])


async def _amended(
    request: Request, raw: bytes, *, confirmed: bool | None, **said: Any
) -> Response:
    """Apply what is said of a message, and answer with the message after it."""
    key = named_key(request, request.values["bx_message_id"])
    platform = request.platform
    result = await platform.amend(
        Amendment(
            account_id=request.account.account_id,
            key=key,
            confirmed=confirmed,
            idempotency=idempotency_of(request, raw),
            **said,
        ),
    )
    if isinstance(result, Refusal):
        raise result
    trace, events = await own_message(request, key)
    return json_response(
        whole_answer(request, trace, events),
        headers=[REPLAYED] if isinstance(result, Replay) else [],
    )
