"""The answers that tell the whole truth about one message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from arrivals.core.advice import RetryAdvice, retry_advice
from arrivals.core.depth import limit_of
from arrivals.core.explain import Sentence
from arrivals.core.ids import MessageIds, order_of
from arrivals.core.instants import rfc3339
from arrivals.core.layers import (
    Forecast,
    MessageLayers,
    OutcomeDetail,
    layers,
)
from arrivals.core.message import error_of, execution_of, outcome_of, status_of
from arrivals.core.money import Micros, json_number
from arrivals.core.parts import outcomes
from arrivals.core.text import segment
from arrivals.core.timeline import Attempt, Stage, TimelineEvent, Trace, attempts
from arrivals.core.verdicts import on_record
from arrivals.http.answers import Money
from arrivals.store.traces import ListedMessage


class SegmentView(msgspec.Struct, kw_only=True):
    """One SMS part; `outcome` is what a receipt of its own said, where it had one."""

    part: int
    text: str
    encoding: str
    outcome: str | None


class MoneyMoved(msgspec.Struct, kw_only=True):
    """A refund or a recharge after the outcome was revised."""

    n: int
    kind: str
    amount: Money
    at: str


class MessageMoney(msgspec.Struct, kw_only=True):
    """A message's money: the hold and what became of it."""

    currency: str
    price: Money
    price_per_segment: Money | None
    price_prefix: str | None
    price_version: int | None
    held: Money
    captured: Money
    released: Money
    refunds: list[MoneyMoved]
    charged: Money  # captured, less refunds, plus recharges
    provider_cost: Money | None  # null before customers


class MessageAnswer(msgspec.Struct, kw_only=True):
    """One message whole."""

    bx_message_id: str
    order_id: int
    account_id: int
    batch_id: int | None
    route_id: int
    msisdn: str
    country: str
    caller_id: str
    category: str
    client_ref: str | None
    status: str  # the one word of delivery reports: only a projection of the layers
    error: str | None
    created_at: str
    send_at: str | None
    expires_at: str
    on_ambiguous: str
    layers: MessageLayers
    attempts: list[Attempt]
    segments: list[SegmentView]
    money: MessageMoney
    retry: RetryAdvice
    links: dict[str, str]


class LayerWords(msgspec.Struct, kw_only=True):
    """The layers of a listed message, a word each."""

    api: str
    execution: str
    outcome: str
    confirmed: str


class MessageLine(msgspec.Struct, kw_only=True):
    """One line of a list of messages."""

    bx_message_id: str
    order_id: int
    msisdn: str
    country: str
    route_id: int
    caller_id: str
    client_ref: str | None
    status: str
    state: str
    layers: LayerWords
    verdict: str | None  # on record: how it ended, or what was thought while nobody spoke
    reason: str | None
    attempts: int
    segments: int
    price: Money
    currency: str
    created_at: str
    changed_at: str
    account_id: int


class MessagePage(msgspec.Struct, kw_only=True):
    """A page of messages, newest first; a short page may still have a next one."""

    messages: list[MessageLine]
    limit: int
    next_cursor: str | None
    next: str | None


class TimelineAnswer(msgspec.Struct, kw_only=True):
    """What happened, when, and whose time passed meanwhile."""

    bx_message_id: str
    count: int  # of all its events; `events` has the first 2,000 of them
    events: list[Stage]
    spent_ms: dict[str, float]  # us, provider, carrier, customer


class ExplainAnswer(msgspec.Struct, kw_only=True):
    """Why a message stands where it does; `cites` are seqs of its events."""

    bx_message_id: str
    verdict: str | None
    sentences: list[Sentence]


class OutcomeAnswer(msgspec.Struct, kw_only=True):
    """The outcome, or the forecast of an open message."""

    bx_message_id: str
    status: str
    final: bool
    outcome: OutcomeDetail
    waited_ms: int


def message_answer(
    ids: MessageIds,
    trace: Trace,
    events: Sequence[TimelineEvent],
    forecast: Forecast | None = None,
    *,
    with_cost: bool,
) -> MessageAnswer:
    """Show one message whole; `with_cost` to whom the operator's costs are told."""
    message = trace.message
    bx_message_id = ids.encode(message.key)
    here = f"/api/v1/messages/{bx_message_id}"
    order_id = order_of(message.key)
    return MessageAnswer(
        bx_message_id=bx_message_id,
        order_id=order_id,
        account_id=message.account_id,
        batch_id=trace.batch_id,
        route_id=message.route_id,
        msisdn=message.msisdn,
        country=trace.country,
        caller_id=trace.sender,
        category=trace.category,
        client_ref=trace.client_ref or trace.order_client_ref,
        status=status_of(message.state),
        error=error_of(message.state, message.reason),
        created_at=rfc3339(trace.accepted_at_us),
        send_at=None if trace.send_at_us is None else rfc3339(trace.send_at_us),
        expires_at=rfc3339(message.expires_at_us),
        on_ambiguous=message.on_ambiguous,
        layers=layers(
            message,
            events,
            trace.accepted_at_us,
            forecast,
            limit_of(trace.country, trace.sender),
        ),
        attempts=attempts(events),
        segments=_segments(trace),
        money=_money(trace, with_cost=with_cost),
        retry=retry_advice(message, events),
        links={
            "self": here,
            "timeline": f"{here}/timeline",
            "explain": f"{here}/explain",
            "outcome": f"{here}/outcome?wait=30s",
            "order": f"/api/v1/orders/{order_id}",
        },
    )


def _segments(trace: Trace) -> list[SegmentView]:
    if trace.text is None:
        return []
    parts = segment(trace.text, trace.encoding)
    found = outcomes(trace.message.parts, len(parts))
    return [
        SegmentView(
            part=number,
            text=text,
            encoding=trace.encoding,
            outcome=outcome,
        )
        for number, (text, outcome) in enumerate(zip(parts, found, strict=False), 1)
    ]


def _money(trace: Trace, *, with_cost: bool) -> MessageMoney:
    message = trace.message
    price = int(message.price)
    captured = price if message.resolution == "captured" else 0
    moved = sum(
        each.amount if each.kind == "recharge" else -each.amount for each in trace.adjustments
    )
    return MessageMoney(
        currency=trace.currency,
        price=_shown(price),
        price_per_segment=None if trace.rate_price is None else _shown(trace.rate_price),
        price_prefix=trace.rate_prefix,
        price_version=trace.rate_version,
        held=_shown(price if message.resolution is None else 0),
        captured=_shown(captured),
        released=_shown(price if message.resolution == "released" else 0),
        refunds=[
            MoneyMoved(
                n=each.n, kind=each.kind, amount=_shown(each.amount), at=rfc3339(each.at_us)
            )
            for each in trace.adjustments
        ],
        charged=_shown(captured + moved),
        provider_cost=_shown(message.provider_cost) if with_cost else None,
    )


def _shown(amount: int) -> msgspec.Raw:
    return json_number(Micros(amount))


def message_line(ids: MessageIds, row: ListedMessage) -> MessageLine:
    """Show one line of a list."""
    message = row.message
    return MessageLine(
        bx_message_id=ids.encode(message.key),
        order_id=order_of(message.key),
        msisdn=message.msisdn,
        country=row.country,
        route_id=message.route_id,
        caller_id=row.sender,
        client_ref=row.client_ref,
        status=status_of(message.state),
        state=message.state.value,
        layers=LayerWords(
            api="accepted",
            execution=execution_of(message.state, message.reach, message.attempts),
            outcome=outcome_of(message.state),
            confirmed=message.confirmed,
        ),
        verdict=on_record(message),
        reason=message.reason,
        attempts=message.attempts,
        segments=message.segments,
        price=json_number(message.price),
        currency=row.currency,
        created_at=rfc3339(row.accepted_at_us),
        changed_at=rfc3339(message.changed_at_us),
        account_id=message.account_id,
    )


def timeline_text(bx_message_id: str, events: Sequence[Stage], count: int) -> str:
    """Write a timeline for people: a line each, with the wait before it and whose it was.

    `count` is how many events there are, of which `events` are the first.
    """
    lines = [bx_message_id]
    for each in events:
        waited = f"+{each.waited_ms:,.0f} ms" if each.seq > 1 else ""
        whose = f"({each.whose})" if each.whose and each.seq > 1 else ""
        lines.append(
            f"{each.seq:>3}  {each.at}  {waited:>14} {whose:<10}  {each.kind:<20} {each.actor}"
        )
    if count > len(events):
        lines.append(f"… and {count - len(events):,} more, which are kept and not shown")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def explain_text(answer: ExplainAnswer) -> str:
    """Write an explanation for people; the numbers in brackets are events of the timeline."""
    lines = [
        f"{each.text} [{', '.join(str(seq) for seq in each.cites)}]"
        if each.cites
        else each.text
        for each in answer.sentences
    ]
    return "\n".join([answer.bx_message_id, *lines]) + "\n"
