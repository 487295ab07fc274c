"""Read the body of a send or an estimate, strictly, into the request that is decided on.

What is wrong is refused by name, as json_body.py says it; a number is never guessed
from a string or a boolean, and an amount never passes through a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final

import msgspec

from arrivals.core.catalogue import AMBIGUITY_POLICIES, CATEGORIES, SENDER
from arrivals.core.errors import Code, Refusal, body_invalid, refuse
from arrivals.core.moments import read_moment
from arrivals.core.money import InvalidAmount, Micros, parse_amount
from arrivals.flows.plan import CLIENT_REF_CHARS_MAX, SEGMENTS_MAX, Recipient, SendRequest
from arrivals.http.exchange import Request
from arrivals.http.json_body import read_json

RECIPIENTS_MAX: Final = 1_000
_WHOLE_MAX: Final = 2**53 - 1  # what every JSON reader holds exactly
_PRICE_DIGITS_MAX: Final = 40

ClientRef = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=CLIENT_REF_CHARS_MAX, description="Yours, echoed everywhere"
    ),
]
Whole = Annotated[int, msgspec.Meta(ge=-_WHOLE_MAX, le=_WHOLE_MAX)]


class BodyMessage(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One recipient with a text of its own."""

    to: str
    message: str | None = None
    client_ref: ClientRef | None = None


class SendBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A send: one text to `numbers`, or `messages` with a text each."""

    caller_id: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^({SENDER})$"})]
    route_id: Annotated[
        Whole | None, msgspec.Meta(description="Default: the account's default route")
    ] = None
    numbers: Annotated[list[str] | None, msgspec.Meta(description="8 to 15 digits each")] = None
    message: str | None = None
    messages: Annotated[
        list[BodyMessage] | None, msgspec.Meta(description="In place of numbers and message")
    ] = None
    client_ref: ClientRef | None = None
    category: Annotated[
        Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(CATEGORIES)})] | None,
        msgspec.Meta(description="Which queue goes first; default: the route's"),
    ] = None
    send_at: Annotated[
        str | None, msgspec.Meta(description="RFC 3339 with a zone; at most 30 days ahead")
    ] = None
    valid_for: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=_WHOLE_MAX)] | None,
        msgspec.Meta(description="Seconds until it's of no use"),
    ] = None
    on_ambiguous: Annotated[
        Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(AMBIGUITY_POLICIES)})]
        | None,
        msgspec.Meta(description="What to do if a hand-off is never answered"),
    ] = None
    partial: Annotated[bool, msgspec.Meta(description="Send to those who can be sent to")] = (
        False
    )
    deduplicate: Annotated[
        bool, msgspec.Meta(description="Leave out who would get the same text twice")
    ] = False
    quote_id: Annotated[str | None, msgspec.Meta(description="From an estimate")] = None
    max_price: Annotated[
        Decimal | None, msgspec.Meta(description="For the whole order; at most six decimals")
    ] = None
    max_segments: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=SEGMENTS_MAX)] | None,
        msgspec.Meta(description="Refuse a longer text"),
    ] = None


_SEND_BODY: Final = msgspec.json.Decoder(SendBody, strict=True)


def read_send(request: Request, raw: bytes) -> tuple[SendRequest, SendBody]:
    """Read a send or an estimate, or raise the Refusal."""
    body = read_json(_SEND_BODY, raw, request.charset)
    request.route_id = body.route_id
    if body.client_ref is not None:
        _printable(body.client_ref, "client_ref")
    send = SendRequest(
        request.account.account_id,
        request.key.key_id,
        request.key.environment,
        request.request_id,
        route_id=body.route_id,
        sender=body.caller_id,
        recipients=_recipients(body),
        text=body.message,
        client_ref=body.client_ref,
        category=body.category,
        send_at_us=_moment(body.send_at),
        valid_for_s=body.valid_for,
        on_ambiguous=body.on_ambiguous,
        partial=body.partial,
        deduplicate=body.deduplicate,
        max_price=_amount(body.max_price),
        max_segments=body.max_segments,
    )
    return send, body


def at_its_place(refusal: Refusal, body: SendBody) -> Refusal:
    """Name the recipient's place as the body has it: `messages.3.to` for `numbers.3`."""
    if body.messages is None or not (refusal.field or "").startswith("numbers."):
        return refusal
    index = (refusal.field or "").removeprefix("numbers.")
    refusal.field = f"messages.{index}.to"
    refusal.errors = tuple(
        {**each, "loc": ["body", "messages", int(index), "to"]} for each in refusal.errors
    )
    return refusal


def _recipients(body: SendBody) -> Sequence[Recipient]:
    if body.messages is not None:
        if body.numbers is not None:
            raise _wrong("messages", "stands in place of numbers, not beside it", "conflict")
        found = [Recipient(each.to, each.message, each.client_ref) for each in body.messages]
        for index, each in enumerate(body.messages):
            if each.client_ref is not None:
                _printable(each.client_ref, f"messages.{index}.client_ref")
    elif body.numbers is None:
        raise _wrong("numbers", "needed: at least one number", "missing")
    elif body.message is None:
        raise _wrong("message", "needed: the text to send", "missing")
    else:
        found = [Recipient(number) for number in body.numbers]
    if not found:
        field = "numbers" if body.messages is None else "messages"
        raise _wrong(field, "needs at least one recipient", "empty")
    if len(found) > RECIPIENTS_MAX:
        raise refuse(
            Code.BODY_TOO_LARGE,
            field="numbers" if body.messages is None else "messages",
            limit=f"{RECIPIENTS_MAX:,} recipients",
        )
    return found


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    found = read_moment(text, zone_needed=True)
    if found is None:
        raise _wrong("send_at", "must be RFC 3339 with a zone: 2026-11-22T18:00:00Z", "moment")
    return found


def _amount(number: Decimal | None) -> Micros | None:
    if number is None:
        return None
    # The digits are counted before they are written out: 1e999999999 is eleven octets.
    if not number.is_finite() or abs(number.adjusted()) > _PRICE_DIGITS_MAX:
        raise _wrong("max_price", "is out of range", "amount")
    try:
        amount = parse_amount(f"{number:f}")
    except InvalidAmount as problem:
        raise _wrong("max_price", str(problem), "amount") from None
    if amount < 0:
        raise _wrong("max_price", "must be 0 or more", "amount")
    return amount


def _printable(text: str, field: str) -> None:
    if not text.isprintable():
        raise _wrong(field, "holds a character that can't be printed", "character")


def _wrong(field: str, problem: str, kind: str) -> Refusal:
    return body_invalid([(field, problem, kind)])
