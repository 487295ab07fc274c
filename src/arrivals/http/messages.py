"""One message whole, why it stands where it does, and the list of all of them."""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec

from arrivals.core.depth import limit_of
from arrivals.core.errors import Code, refuse
from arrivals.core.explain import explain
from arrivals.core.ids import ORDER_ID_MAX, order_of
from arrivals.core.layers import outcome_layer
from arrivals.core.message import TERMINAL, Message, State, is_terminal, status_of
from arrivals.core.moments import read_day_or_moment
from arrivals.core.permissions import Act
from arrivals.core.routing import held_by
from arrivals.core.timeline import TimelineEvent, Trace, spent_ms, stages
from arrivals.core.verdicts import LIKELY
from arrivals.flows.alarms import read_alarms
from arrivals.flows.foresight import alarms_about
from arrivals.http.endpoints import MSISDN, Endpoint, Parameter, endpoint
from arrivals.http.exchange import (
    TEXT,
    Request,
    Response,
    json_response,
    one_of,
    query_invalid,
    query_msisdn,
    whole_number,
)
from arrivals.http.listing import PAGE, columns_of, next_link, page_limit, page_response
from arrivals.http.message_view import (
    ExplainAnswer,
    MessageAnswer,
    MessageLine,
    MessagePage,
    OutcomeAnswer,
    TimelineAnswer,
    explain_text,
    message_answer,
    message_line,
    timeline_text,
)
from arrivals.http.naming import Names, Told, names_on
from arrivals.http.outcome_wait import read_seconds, until_changed
from arrivals.http.whose import ACCOUNT, named_account, owner_of_order, veiled
from arrivals.store.queries import Reader
from arrivals.store.traces import ListedMessage, MessageFilter

ROUTES: Final[list[Endpoint]] = []

TAG: Final = "Messages"
WAIT_MAX_S: Final = 60.0
CLIENT_REF_CHARS_MAX: Final = 64

_OPEN_WORD: Final = "open"
_STATES_OF_STATUS: Final = {
    status: tuple(state.value for state in State if status_of(state) == status)
    for status in dict.fromkeys(status_of(state) for state in State)
}
_OPEN: Final = frozenset(state.value for state in State if not is_terminal(state))
_VERDICTS: Final = (*(state.value for state in TERMINAL), *LIKELY, _OPEN_WORD)

FORMAT: Final = Parameter(name="format", about="`text`: for people; else JSON")
_KEYED: Final = Parameter(
    name="Idempotency-Key", about="1 to 255 printable ASCII", place="header"
)
TIMES: Final = (
    Parameter(
        name="from",
        about="Accepted at or after: a day or a moment, UTC without a zone",
        also=("from_date",),
    ),
    Parameter(
        name="to",
        about="Accepted by: a day (itself included) or a moment",
        also=("to_date",),
    ),
)
_FILTERS: Final = (
    Parameter(name="state", about=f"One or more of {', '.join(State)}, with commas between"),
    Parameter(
        name="status",
        about="In the words of delivery reports",
        choices=tuple(_STATES_OF_STATUS),
    ),
    Parameter(
        name="verdict",
        about="How it ended, if it did, or what was on record of it while nobody spoke of it",
        choices=_VERDICTS,
    ),
    Parameter(name="route_id", about="The route", type="integer"),
    Parameter(name="country", about="ISO 3166 code of two letters; ZZ is the sandbox"),
    Parameter(name="client_ref", about="Your own reference, of the message or its order"),
    MSISDN,
    Parameter(name="order_id", about="The order", type="integer"),
    *TIMES,
)


# --- reading one ----------------------------------------------------------------------


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/messages/{bx_message_id}",
    act=Act.READ_MESSAGES,
    summary="Read one message whole",
    tag=TAG,
    answers=MessageAnswer,
    errors=(Code.NOT_FOUND,),
)
async def read_message(request: Request) -> Response:
    """Return the layers, attempts, segments, money, and whether sending again is safe."""
    return json_response(whole_answer(request, *await own_message(request, _key(request))))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/messages/{bx_message_id}/timeline",
    act=Act.READ_MESSAGES,
    summary="Read a message's timeline",
    tag=TAG,
    answers=TimelineAnswer,
    parameters=(FORMAT,),
    errors=(Code.NOT_FOUND,),
)
async def read_timeline(request: Request) -> Response:
    """Return every event in order, and whose time passed before each."""
    trace, events = await own_message(request, key := _key(request))
    found = stages(told(request, trace, events).events)
    bx_message_id, count = request.platform.ids.encode(key), trace.message.seq
    if as_text(request):
        return Response(200, timeline_text(bx_message_id, found, count).encode(), TEXT)
    return json_response(
        TimelineAnswer(
            bx_message_id=bx_message_id, count=count, events=found, spent_ms=spent_ms(found)
        )
    )


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/messages/{bx_message_id}/explain",
    act=Act.READ_MESSAGES,
    summary="Explain a message",
    tag=TAG,
    answers=ExplainAnswer,
    parameters=(FORMAT,),
    errors=(Code.NOT_FOUND,),
)
async def explain_message(request: Request) -> Response:
    """Return sentences that say what happened and what it adds up to, each citing events."""
    found, known = await own_message(request, key := _key(request))
    names = _names(request, found)
    trace, events, forecast = told(request, found, known)
    message = trace.message
    alarms = alarms_about(await read_alarms(request.platform), found, known)
    sentences = explain(
        trace,
        events,
        _held_by(request, found.message, names),
        forecast=forecast,
        alarms=list(dict.fromkeys(map(names.alarm, alarms))),
    )
    answer = ExplainAnswer(
        bx_message_id=request.platform.ids.encode(key),
        verdict=message.state.value if is_terminal(message.state) else None,
        sentences=names.sentences(sentences),
    )
    if as_text(request):
        return Response(200, explain_text(answer).encode(), TEXT)
    return json_response(answer)


def _held_by(request: Request, message: Message, names: Names) -> list[str]:
    if message.rank is None:  # it isn't ready to go, or went
        return []
    platform, provider_id = request.platform, message.provider_id
    clauses = held_by(
        platform.catalogue,
        message.account_id,
        message.route_id,
        provider_id,
        up=platform.binds().get(provider_id, False),
        ails=platform.conditions.words(provider_id),
    )
    named, called = f"provider {provider_id} ", f"{names.phrase(provider_id)} "
    return [each.replace(named, called) for each in clauses]


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/messages/{bx_message_id}/outcome",
    act=Act.READ_MESSAGES,
    summary="Wait for a message's outcome",
    tag=TAG,
    answers=OutcomeAnswer,
    parameters=(Parameter(name="wait", about="Seconds such as 30 or 30s, at most 60"),),
    errors=(Code.NOT_FOUND, Code.TOO_MANY_WAITS),
)
async def wait_for_outcome(request: Request) -> Response:
    """Return the outcome once it is final, or the forecast when the time is up."""
    platform = request.platform
    key = _key(request)
    wait_s = _wait_s(request)
    request.waited = wait_s > 0
    began = platform.clock.monotonic()
    until = began + wait_s
    waits = request.site.waits.place(request.account.account_id)
    with waits if wait_s else contextlib.nullcontext():
        while True:
            # Taken before the look, so that nothing is missed.
            changed = platform.changes.on_message(key)
            trace, events = await own_message(request, key)
            left_s = until - platform.clock.monotonic()
            if is_terminal(trace.message.state) or left_s <= 0:
                break
            await until_changed(request, changed, left_s)  # one more look, then the answer
    trace, events, forecast = told(request, trace, events)
    message = trace.message
    return json_response(
        OutcomeAnswer(
            bx_message_id=platform.ids.encode(key),
            status=status_of(message.state),
            final=is_terminal(message.state),
            outcome=outcome_layer(
                message,
                events,
                trace.accepted_at_us,
                forecast,
                limit_of(trace.country, trace.sender),
            ),
            waited_ms=int((platform.clock.monotonic() - began) * 1_000),
        )
    )


# --- all of them ----------------------------------------------------------------------

_COLUMNS: Final = columns_of(MessageLine)


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/messages",
    act=Act.READ_MESSAGES,
    summary="List messages, newest first",
    tag=TAG,
    answers=MessagePage,
    parameters=(*_FILTERS, ACCOUNT, *PAGE),
)
async def list_messages(request: Request) -> Response:
    """Return a page; filters hold together. Ask for text/csv or application/x-ndjson too."""
    account_id = named_account(request)
    limit = page_limit(request)
    wanted = _wanted(request)
    ids = request.platform.ids

    def read(reader: Reader) -> tuple[list[ListedMessage], int | None]:
        if account_id is None:
            return reader.everybodys_page(wanted, limit)
        return reader.message_page(account_id, wanted, limit)

    rows, next_key = await request.platform.store.read(read)
    lines = [message_line(ids, row) for row in rows]
    cursor = None if next_key is None else ids.encode(next_key)
    page = MessagePage(
        messages=lines, limit=limit, next_cursor=cursor, next=next_link(request, cursor)
    )
    return page_response(request, page, lines, cursor, _COLUMNS)


for _suffix, _media_type in ((".csv", "text/csv"), (".ndjson", "application/x-ndjson")):
    endpoint(
        ROUTES,
        "GET",
        f"/api/v1/messages{_suffix}",
        act=Act.READ_MESSAGES,
        summary=f"List messages as {_suffix.removeprefix('.').upper()}",
        tag=TAG,
        content_type=_media_type,
        parameters=(*_FILTERS, ACCOUNT, *PAGE),
    )(list_messages)


def _wanted(request: Request) -> MessageFilter:
    query = request.query
    states: frozenset[str] | None = None
    for name, read in (("state", _states), ("status", _status)):
        if name in query:
            found = read(query[name])
            states = found if states is None else states & found
    verdict = one_of("verdict", query["verdict"], _VERDICTS) if "verdict" in query else None
    if verdict == _OPEN_WORD:
        states, verdict = _OPEN if states is None else states & _OPEN, None
    span = time_span(request)
    return MessageFilter(
        before_key=_cursor(request),
        states=None if states is None else tuple(sorted(states)),
        verdict=verdict,
        route_id=whole(request, "route_id"),
        country=_country(query.get("country")),
        client_ref=client_ref(request),
        msisdn=query_msisdn(request),
        order_id=whole(request, "order_id", ORDER_ID_MAX),
        from_us=span[0],
        to_us=span[1],
    )


def _states(text: str) -> frozenset[str]:
    words = text.split(",")[: len(State)]
    return frozenset(one_of("state", word.strip(), State) for word in words)


def _status(text: str) -> frozenset[str]:
    return frozenset(_STATES_OF_STATUS[one_of("status", text, _STATES_OF_STATUS)])


def _cursor(request: Request) -> int | None:
    text = request.query.get("cursor")
    if not text:
        return None
    key = request.platform.ids.decode(text)
    if key is None:
        raise query_invalid("cursor", "must be the next_cursor of a page")
    return key


def _country(text: str | None) -> str | None:
    if text is None:
        return None
    if not (len(text) == 2 and text.isascii() and text.isalpha()):
        raise query_invalid("country", "must be a code of two letters, such as NL")
    return text.upper()


def client_ref(request: Request) -> str | None:
    """Read the caller's own reference from the query."""
    text = request.query.get("client_ref")
    if text is not None and not 1 <= len(text) <= CLIENT_REF_CHARS_MAX:
        raise query_invalid("client_ref", f"has 1 to {CLIENT_REF_CHARS_MAX} characters")
    return text


def whole(request: Request, name: str, most: int = 2**53) -> int | None:
    """Read an id or another whole number from the query."""
    text = request.query.get(name)
    if text is None:
        return None
    number = whole_number(text)
    if number is None or number > most:
        raise query_invalid(name, "must be a whole number")
    return number


def time_span(request: Request) -> tuple[int | None, int | None]:
    """Read `from` and `to`: [at or after, before)."""
    found: list[tuple[int, int] | None] = []
    for name in ("from", "to"):
        text = request.query.get(name)
        span = None if text is None else read_day_or_moment(text.strip())
        if text is not None and span is None:
            raise not_a_day(request, name)
        found.append(span)
    start, end = found
    return (None if start is None else start[0], None if end is None else end[1])


def not_a_day(request: Request, name: str) -> Exception:
    """Refuse what should have been a day or a moment."""
    words = "must be a date such as 2026-11-22 or an RFC 3339 moment"
    return query_invalid(request.as_given(name), words)


# --- what the endpoints share ---------------------------------------------------------


def _key(request: Request) -> int:
    return named_key(request, request.values["bx_message_id"])


def named_key(request: Request, bx_message_id: str) -> int:
    """Return a message's key; an id that can't be one is as good as one that isn't there."""
    key = request.platform.ids.decode(bx_message_id.strip())
    if key is None:
        raise refuse(Code.NOT_FOUND, what="message")
    return key


async def own_message(request: Request, key: int) -> tuple[Trace, list[TimelineEvent]]:
    """Return a message whole; one that the caller may not read is as good as none."""
    found: tuple[Trace, list[TimelineEvent]] | None = await request.platform.store.read(
        lambda reader: reader.trace(owner_of_order(request, reader, order_of(key)), key)
    )
    if found is None:
        raise refuse(Code.NOT_FOUND, what="message")
    return found


def _names(request: Request, trace: Trace) -> Names:
    return names_on(request.account, request.platform.catalogue, trace.message.route_id)


def told(request: Request, trace: Trace, events: list[TimelineEvent]) -> Told:
    """Return a message as its account may read it, with what is to be expected of it."""
    forecast = request.platform.foresee(trace, events)  # which knows providers by their ids
    names = _names(request, trace)
    shown = names.trace(trace)
    if is_anothers(request, trace) and trace.text is not None:
        shown = msgspec.structs.replace(shown, text=veiled(trace.text))
    return Told(shown, names.events(events), names.forecast(forecast))


def is_anothers(request: Request, trace: Trace) -> bool:
    """Tell whether a message isn't the caller's own account's, so that its text isn't shown."""
    return trace.message.account_id != request.account.account_id


def whole_answer(request: Request, trace: Trace, events: list[TimelineEvent]) -> MessageAnswer:
    """Show a message whole to its account."""
    found = told(request, trace, events)
    return message_answer(request.platform.ids, *found, with_cost=request.account.operator)


def _wait_s(request: Request) -> float:
    text = request.query.get("wait")
    if text is None:
        return 0.0
    seconds = read_seconds(text)
    if seconds is None:
        raise query_invalid("wait", "must be a number of seconds, at most 60")
    return min(seconds, WAIT_MAX_S)


def as_text(request: Request) -> bool:
    """Tell whether the answer is wanted for people."""
    return request.query.get("format") == "text"
