"""Read the body of a send or an estimate, strictly, into the request that is decided on.

A wrong type, a missing or an unknown field is refused by name; a number is never guessed
from a string or a boolean, and an amount never passes through a float.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, TypeVar

import msgspec

from arrivals.core.catalogue import AMBIGUITY_POLICIES, CATEGORIES, SENDER
from arrivals.core.errors import Code, Refusal, body_invalid, refuse
from arrivals.core.moments import read_moment
from arrivals.core.money import InvalidAmount, Micros, parse_amount
from arrivals.flows.plan import CLIENT_REF_CHARS_MAX, SEGMENTS_MAX, Recipient, SendRequest
from arrivals.http.charsets import BOM, refuse_charset, refuse_kind, text_of
from arrivals.http.exchange import Request

T = TypeVar("T")

RECIPIENTS_MAX: Final = 1_000
_NAME_CHARS_MAX: Final = 64  # of an unknown field, as the refusal repeats it
_WHOLE_MAX: Final = 2**53 - 1  # what every JSON reader holds exactly
_PRICE_DIGITS_MAX: Final = 40
NO_JSON: Final = "json_invalid"  # the kind of mistake

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

_PLACE: Final = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_NUMBERS: Final = re.compile(r"numbers(\.\d+)?|messages(\.\d+)?\.to|to")
_NO_TEXT: Final = re.compile(r"Expected `str`, got `(int|float)`")
_NUMBER_AS_TEXT: Final = (
    "write it as a text, in quotation marks: a JSON number has lost its 0 or + in front, "
    "and may have lost its last digits"
)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>\w+)`$")


def read_json(decoder: msgspec.json.Decoder[T], raw: bytes, charset: str | None = None) -> T:
    """Decode a body, or raise the refusal that names the place and what's wrong there.

    `charset` is one that was declared for it and isn't UTF-8.
    """
    refuse_charset(raw, charset)
    try:
        return decoder.decode(raw.removeprefix(BOM))
    except msgspec.ValidationError as error:
        raise _not_valid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        refuse_kind(raw)
        text_of(raw)
        # The decoder's own words could quote the body.
        raise body_invalid([("", "the body isn't valid JSON", NO_JSON)]) from None
    except RecursionError:
        raise body_invalid([("", "the body is nested too deeply", NO_JSON)]) from None


def read_send(request: Request, raw: bytes) -> tuple[SendRequest, SendBody]:
    """Read a send or an estimate, or raise the Refusal."""
    body = read_json(_SEND_BODY, raw, request.charset)
    request.route_id = body.route_id
    if body.client_ref is not None:
        _printable(body.client_ref, "client_ref")
    send = SendRequest(
        account_id=request.account.account_id,
        key_id=request.key.key_id,
        environment=request.key.environment,
        request_id=request.request_id,
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


def _not_valid(words: str) -> Refusal:
    """Turn the decoder's words, which name types and places but no values, into ours."""
    place = _PLACE.search(words)
    path = _dotted(place["path"]) if place else ""
    words = words[: place.start()] if place else words
    unknown = _UNKNOWN.match(words)
    if unknown:
        name = unknown["name"][:_NAME_CHARS_MAX]
        return refuse(Code.UNKNOWN_FIELD, name=name, field=_under(path, name.replace(".", "·")))
    missing = _MISSING.match(words)
    if missing:
        return body_invalid([(_under(path, missing["name"]), "Field required", "missing")])
    if _NUMBERS.fullmatch(path) and _NO_TEXT.match(words):
        return body_invalid([(path, _NUMBER_AS_TEXT, "type")])
    return body_invalid([(path, words.replace("`", ""), "type")])


def _dotted(path: str) -> str:
    """Turn `.numbers[3]` into `numbers.3`; an index the decoder doesn't say is left out."""
    return path.replace("[...]", "").replace("[", ".").replace("]", "").strip(".")


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
