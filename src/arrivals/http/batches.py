"""Batches: up to 100,000 recipients in one stream, each line with a verdict of its own.

Lines are committed in chunks while the stream still comes in, so a stream that breaks off
has decided a prefix of itself. Sent again under the same Idempotency-Key it goes on behind
that prefix; sent again whole it changes nothing and gets the same answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar, Final

import msgspec

from arrivals.core.catalogue import AMBIGUITY_POLICIES, CATEGORIES
from arrivals.core.errors import Code, Refusal, refuse
from arrivals.core.ids import token_hex
from arrivals.core.moments import read_moment_in_query
from arrivals.core.permissions import Act
from arrivals.flows.batches import BatchStream, Opening, StreamLine, open_stream
from arrivals.flows.plan import Plan, SendRequest
from arrivals.http.batch_lines import JsonLines, LineReader
from arrivals.http.batch_view import (
    BatchAnswer,
    BatchLine,
    BatchPage,
    BatchProgress,
    Options,
    committed,
    duplicates_of,
    line_of,
    refuse_the_whole,
)
from arrivals.http.csv_lines import CsvLines
from arrivals.http.endpoints import Endpoint, Parameter, endpoint
from arrivals.http.exchange import (
    Request,
    Response,
    json_response,
    query_invalid,
    switch,
    whole_number,
)
from arrivals.http.idempotency import REPLAYED, idempotency_of, shown_key, stream_key
from arrivals.http.listing import PAGE, columns_of, next_link, page_limit, page_response
from arrivals.http.messages import whole
from arrivals.http.orders import layers_of_counts
from arrivals.http.send_body import BodyMessage
from arrivals.http.whose import ACCOUNT, currency_of, one_account, owner_of_batch
from arrivals.store.rows import Batch
from arrivals.store.traces import StateCount

ROUTES: Final[list[Endpoint]] = []

TAG: Final = "Batches"
STREAM_OCTETS_MAX: Final = 256 * 1024 * 1024
STREAM_PIECE_S: Final = 60.0  # between two pieces; their makers may look things up meanwhile
STREAM_S: Final = 3_600.0  # for a whole one: 100,000 lines at 28 a second
HEADER_WITHIN_LINES: Final = 100  # blank lines may stand before it
NAME_CHARS_MAX: Final = 64
KEY_OCTETS: Final = 16
BATCH_ID_MAX: Final = 2**53

_encode: Final = msgspec.json.Encoder().encode


class BatchBody(BodyMessage, kw_only=True):
    """One line of a batch: a JSON object, or a CSV record under a header of these names."""

    # Octets that don't say what they are, are read as NDJSON: it's what generated clients send.
    media_types: ClassVar[tuple[str, ...]] = (
        "application/x-ndjson", "text/csv", "application/octet-stream"
    )  # fmt: skip


@endpoint(
    ROUTES,
    "POST",
    "/api/v1/batches",
    act=Act.SPEND,
    summary="Send a batch as a stream",
    tag=TAG,
    body=BatchBody,
    answers=BatchAnswer,
    parameters=(
        Parameter(name="caller_id", about="The sender", required=True),
        Parameter(
            name="route_id", about="Default: the account's default route", type="integer"
        ),
        Parameter(name="message", about="The text of every line that has none of its own"),
        Parameter(name="category", about="Which queue goes first", choices=CATEGORIES),
        Parameter(
            name="valid_for", about="Seconds until it's of no use", type="integer", least=1
        ),
        Parameter(
            name="on_ambiguous",
            about="What to do without an answer",
            choices=AMBIGUITY_POLICIES,
        ),
        Parameter(name="send_at", about="RFC 3339 with a zone"),
        Parameter(name="name", about="Yours, shown beside the batch"),
        Parameter(
            name="deduplicate",
            about="Refuse a line whose number and text stood in the stream before",
            type="boolean",
        ),
        Parameter(
            name="Idempotency-Key", about="Names the stream; else made up", place="header"
        ),
    ),
    errors=(
        Code.INVALID_ROUTE,
        Code.ROUTE_NOT_ALLOWED,
        Code.SENDER_NOT_ALLOWED,
        Code.CURRENCY_MISMATCH,
        Code.ENVIRONMENT_MISMATCH,
        Code.ACCOUNT_PAUSED,
        Code.ROUTE_PAUSED,
        Code.NO_PRICE,
        Code.NOTHING_ACCEPTED,
        Code.BODY_INVALID,
        Code.UNKNOWN_FIELD,
        Code.BODY_TOO_LARGE,
        Code.TOO_MANY_SEGMENTS,
        Code.IDEMPOTENCY_KEY_INVALID,
        Code.IDEMPOTENCY_KEY_MISMATCH,
        Code.IDEMPOTENCY_IN_PROGRESS,
        Code.REQUEST_TIMEOUT,
        Code.TOO_MANY_STREAMS,
        Code.QUEUE_FULL,
        Code.UNAVAILABLE,
        Code.DISK_FULL,
    ),
)
async def send_batch(request: Request) -> Response:
    """Commit each line that can be sent, refuse each that can't, and say which.

    Of a stream of which no line was accepted the answer is a 422 that says the same.

    The body is NDJSON (`{"to", "message", "client_ref"}` a line) or CSV (a header with `to`,
    `message`, `client_ref`), and NDJSON where its Content-Type says neither; up to 256 MiB,
    64 KiB a line and 100,000 recipients. Lines are committed up to a thousand at a time while
    the stream comes in. A stream that broke off, or of which nothing came for a minute, is sent
    again with the same Idempotency-Key and goes on where it stopped.
    """
    options = _options(request)
    template = _template(request, options)
    probe = _probed(request, template)
    full_s = request.site.queue_full(probe)
    if full_s is not None:
        raise refuse(Code.QUEUE_FULL, retry_after_s=full_s)
    request.route_id = probe.route.route_id
    promise = idempotency_of(request, b"")
    key = promise.key if promise else token_hex(request.platform.chance.entropy(KEY_OCTETS))
    account_id = request.account.account_id
    opening = Opening(
        account_id=account_id,
        key=stream_key(request, key),
        options=_encode(options).decode(),
        send_at_us=options.send_at,
    )
    request.be_patient(STREAM_PIECE_S, STREAM_S)
    with request.site.streams.place(account_id):
        batch, stream = await _streamed(request, template, opening)
    orders: list[int] = await request.platform.store.read(
        lambda found: found.batch_orders(account_id, batch.batch_id)
    )
    answer = BatchAnswer(
        **committed(batch, orders, request.account.currency),
        duplicates=duplicates_of(stream.repeats),
    )
    if not batch.accepted:
        raise refuse_the_whole(answer)
    return json_response(answer, 200, [REPLAYED] if stream.replayed else [])


async def _streamed(
    request: Request, template: SendRequest, opening: Opening
) -> tuple[Batch, BatchStream]:
    """Commit a body's lines; return the batch, and what was noticed of its lines."""
    reader = _reader(request)
    chunks = request.chunks(STREAM_OCTETS_MAX)
    # A header that isn't there or can't be read refuses the whole stream, and leaves no batch.
    first: list[StreamLine | None] = []
    lines: Iterator[StreamLine | None] = iter(())
    async for octets in chunks:
        lines = reader.feed(octets)
        first += itertools.islice(lines, HEADER_WITHIN_LINES)
        if reader.begun or len(first) >= HEADER_WITHIN_LINES:
            break
    else:
        lines = iter(reader.end())
    try:
        opened = await open_stream(request.platform, opening)
    except Refusal as refusal:
        raise _in_query(refusal) from None
    stream = BatchStream(request.platform, template, opened)
    try:
        await stream.add(itertools.chain(first, lines))
        async for octets in chunks:
            await stream.add(reader.feed(octets))
        await stream.add(reader.end())
        return await stream.finish(), stream
    except Refusal as refusal:
        await stream.stop()
        raise _as_it_stands(refusal, shown_key(opening.key), stream) from None
    finally:
        await stream.stop()


def _as_it_stands(refusal: Refusal, key: str, stream: BatchStream) -> Refusal:
    """Say in a stream's refusal what is decided of it, and how it goes on."""
    refusal.extra |= {
        "batch_id": stream.batch_id, "idempotency_key": key, "decided": stream.decided
    }  # fmt: skip
    if refusal.code == Code.REQUEST_TIMEOUT:
        refusal.fix = (
            f"Send the stream again with the Idempotency-Key {key}: "
            f"{stream.decided} lines are decided, and it goes on behind them."
        )
    return refusal


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/batches",
    act=Act.READ_MESSAGES,
    summary="List batches, newest first",
    tag=TAG,
    answers=BatchPage,
    parameters=(ACCOUNT, *PAGE),
)
async def list_batches(request: Request) -> Response:
    """Return a page of batches, those still streaming in included."""
    account_id = one_account(request)
    limit = page_limit(request)
    before = whole(request, "cursor")
    found, next_id = await request.platform.store.read(
        lambda reader: reader.batch_page(
            account_id, BATCH_ID_MAX if before is None else before, limit
        )
    )
    cursor = None if next_id is None else str(next_id)
    currency = currency_of(request, account_id)
    lines = [BatchLine(**line_of(each, currency)) for each in found]
    page = BatchPage(
        batches=lines, limit=limit, next_cursor=cursor, next=next_link(request, cursor)
    )
    return page_response(request, page, lines, cursor, columns_of(BatchLine))


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/batches/{batch_id}",
    act=Act.READ_MESSAGES,
    summary="Read a batch's progress",
    tag=TAG,
    answers=BatchProgress,
    errors=(Code.NOT_FOUND,),
)
async def read_batch(request: Request) -> Response:
    """Return how many lines are decided, and how the accepted messages stand by layer."""
    batch_id = whole_number(request.values["batch_id"])
    found: tuple[Batch, list[int], list[StateCount]] | None = None
    if batch_id is not None:
        found = await request.platform.store.read(
            lambda reader: reader.batch_progress(
                owner_of_batch(request, reader, batch_id), batch_id
            )
        )
    if found is None:
        raise refuse(Code.NOT_FOUND, what="batch")
    batch, orders, counts = found
    layers, ended = layers_of_counts(counts)
    currency = currency_of(request, batch.account_id)
    return json_response(
        BatchProgress(
            **committed(batch, orders, currency),
            layers=layers,
            ended=ended,
            percent=round(100 * ended / batch.accepted, 1) if batch.accepted else 0.0,
        )
    )


# --- what a stream asks for -----------------------------------------------------------


def _options(request: Request) -> Options:
    query = request.query
    name = query.get("name")
    if name is not None and (len(name) > NAME_CHARS_MAX or not name.isprintable()):
        raise query_invalid("name", f"has at most {NAME_CHARS_MAX} printable characters")
    if "caller_id" not in query:
        raise query_invalid("caller_id", "needed: the sender")
    send_at = query.get("send_at")
    send_at_us = None if send_at is None else read_moment_in_query(send_at)
    if send_at is not None and send_at_us is None:
        raise query_invalid("send_at", "must be RFC 3339 with a zone: 2026-11-22T18:00:00Z")
    return Options(
        route_id=whole(request, "route_id"),
        caller_id=query["caller_id"],
        message=query.get("message"),
        category=query.get("category"),
        valid_for=whole(request, "valid_for"),
        on_ambiguous=query.get("on_ambiguous"),
        send_at=send_at_us,
        name=name,
        deduplicate=switch(request, "deduplicate"),
    )


def _template(request: Request, options: Options) -> SendRequest:
    return SendRequest(
        account_id=request.account.account_id,
        key_id=request.key.key_id,
        environment=request.key.environment,
        request_id=request.request_id,
        route_id=options.route_id,
        sender=options.caller_id,
        recipients=(),
        text=options.message,
        category=options.category,
        valid_for_s=options.valid_for,
        on_ambiguous=options.on_ambiguous,
        send_at_us=options.send_at,
        partial=True,
        deduplicate=options.deduplicate,
        asked_at_us=options.send_at,  # whether it was in time is asked when the stream opens
    )


def _probed(request: Request, template: SendRequest) -> Plan:
    """Refuse at once what holds for all lines; it stands in the query, not in the body."""
    try:
        return request.platform.plan(template)
    except Refusal as refusal:
        raise _in_query(refusal) from None


def _in_query(refusal: Refusal) -> Exception:
    """Say of a refusal that its place is the query."""
    if refusal.code == Code.BODY_INVALID and refusal.errors:
        problem = refusal.errors[0]
        return query_invalid(str(problem["loc"][-1]), problem["msg"])
    refusal.errors = tuple(
        {**each, "loc": ["query", *each["loc"][1:]]} for each in refusal.errors
    )
    return refusal


def _reader(request: Request) -> LineReader:
    content_type = (request.header(b"content-type") or "").partition(";")[0].strip().casefold()
    kind = CsvLines if content_type in {"text/csv", "application/csv"} else JsonLines
    return kind(request.charset)
