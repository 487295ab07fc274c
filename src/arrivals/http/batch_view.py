"""What is shown of a batch: in lists, when its stream has ended, and ever after."""

from __future__ import annotations

from typing import Any

import msgspec

from arrivals.core.errors import Code, Refusal, refuse
from arrivals.core.instants import rfc3339
from arrivals.core.layers import RollUp
from arrivals.core.money import Micros, json_number
from arrivals.flows.batches import REFUSALS_KEPT_MAX, LineRefusal, refusals_of
from arrivals.flows.repeats import Repeats
from arrivals.http.answers import Money
from arrivals.http.idempotency import shown_key
from arrivals.store.rows import Batch


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for every line of a stream; part of what its key stands for."""

    route_id: int | None = None
    caller_id: str = ""
    message: str | None = None
    category: str | None = None
    valid_for: int | None = None
    on_ambiguous: str | None = None
    send_at: int | None = None
    name: str | None = None
    deduplicate: bool = False


class RefusedLine(msgspec.Struct, kw_only=True):
    """One line that wasn't accepted; a header and blank lines are counted, as editors do."""

    line: int
    to: str
    code: str
    detail: str


class BatchLine(msgspec.Struct, kw_only=True):
    """One line of a list of batches."""

    batch_id: int
    key: str
    name: str | None
    created_at: str
    finished_at: str | None
    received: int  # lines decided so far
    accepted: int
    refused: int
    cost: Money
    currency: str


class BatchPage(msgspec.Struct, kw_only=True):
    """A page of batches, newest first."""

    batches: list[BatchLine]
    limit: int
    next_cursor: str | None
    next: str | None


class BatchCommitted(BatchLine, kw_only=True):
    """What a whole stream came to."""

    orders: list[int]
    refusals: list[RefusedLine]  # the first 1,000
    links: dict[str, str]


class RepeatedLine(msgspec.Struct, kw_only=True):
    """One line that repeats the number and the text of another, counted as editors do."""

    line: int
    to: str
    duplicate_of: int


class BatchDuplicates(msgspec.Struct, kw_only=True):
    """The lines whose number and text stood in the stream before."""

    count: int
    sent: bool  # false: each was refused as `duplicate`
    lines: list[RepeatedLine]  # the first 1,000


class BatchAnswer(BatchCommitted, kw_only=True):
    """What a whole stream came to, and what it repeats."""

    duplicates: BatchDuplicates


class BatchProgress(BatchCommitted, kw_only=True):
    """How a batch stands, while it streams in and ever after."""

    layers: RollUp
    ended: int  # messages whose outcome is final
    percent: float  # of the accepted messages


def line_of(batch: Batch, currency: str) -> dict[str, Any]:
    """Return the fields of a batch's line in a list."""
    options = msgspec.json.decode(batch.options, type=Options)
    return {
        "batch_id": batch.batch_id,
        "key": shown_key(batch.key),
        "name": options.name,
        "created_at": rfc3339(batch.created_at_us),
        "finished_at": None if batch.finished_at_us is None else rfc3339(batch.finished_at_us),
        "received": batch.lines,
        "accepted": batch.accepted,
        "refused": batch.refused,
        "cost": json_number(Micros(batch.cost)),
        "currency": currency,
    }


def committed(batch: Batch, orders: list[int], currency: str) -> dict[str, Any]:
    """Return the fields that every answer about one batch has."""
    here = f"/api/v1/batches/{batch.batch_id}"
    return line_of(batch, currency) | {
        "orders": orders,
        "refusals": [_refused_line(each) for each in refusals_of(batch)[:REFUSALS_KEPT_MAX]],
        "links": {"self": here, "orders": f"/api/v1/orders?batch_id={batch.batch_id}"},
    }


def duplicates_of(repeats: Repeats) -> BatchDuplicates:
    """Show what a stream repeats."""
    lines = [
        RepeatedLine(line=each.line, to=each.to, duplicate_of=each.first)
        for each in repeats.kept
    ]
    return BatchDuplicates(count=repeats.count, sent=not repeats.drop, lines=lines)


def _refused_line(refusal: LineRefusal) -> RefusedLine:
    return RefusedLine(
        line=refusal.line, to=refusal.to, code=refusal.code, detail=refusal.detail
    )


def refuse_the_whole(answer: BatchAnswer) -> Refusal:
    """Refuse a stream of which no line was accepted; all that its answer would say is in it.

    Who looks at the status alone would take a 200 for messages on their way.
    """
    refusal = refuse(
        Code.NOTHING_ACCEPTED, lines=answer.received, extra=msgspec.structs.asdict(answer)
    )
    refusal.errors = tuple(
        {"loc": ["body", each.line], "msg": each.detail, "type": each.code}
        for each in answer.refusals
    )
    return refusal
