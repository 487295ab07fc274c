"""The answer to a send: the published fields, then the commitment receipt.

The receipt lists what was done before the answer was given: the checks that passed, the
route and why, the price lines, the hold on the ledger, the queue entry; and what is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from arrivals.core.ids import MessageIds
from arrivals.core.instants import rfc3339
from arrivals.core.layers import LayerDetail, MessageLayers
from arrivals.core.money import Micros, json_number
from arrivals.flows.accept import Accepted
from arrivals.flows.plan import CHECKS, Duplicate, Plan, PlannedMessage, RefusedRecipient
from arrivals.http.answers import Money
from arrivals.http.naming import Names


class OrderLayers(msgspec.Struct, frozen=True):
    """Where an order stands; `mixed` where its messages differ."""

    api: LayerDetail
    execution: LayerDetail
    outcome: LayerDetail
    confirmed: LayerDetail


class SentMessage(msgspec.Struct, omit_defaults=True):
    """One accepted recipient."""

    bx_message_id: str
    msisdn: str
    status: str
    client_ref: str | None = None
    layers: MessageLayers | None = None  # when the request waited for the outcome


class RefusedEntry(msgspec.Struct):
    """One recipient that a partial send left out."""

    index: int
    msisdn: str
    code: str
    detail: str


class DuplicateEntry(msgspec.Struct):
    """One recipient that the request names again, with the same text."""

    index: int
    msisdn: str
    duplicate_of: int  # the index of the first
    sent: bool  # false: left out, as `deduplicate` asks


class ConsideredProvider(msgspec.Struct):
    """A provider that routing looked at; `why_not` is null for one that may be the first."""

    provider: str
    why_not: str | None


class ChosenRoute(msgspec.Struct):
    """The route, its providers in the order they are tried, and why."""

    route_id: int
    name: str
    providers: Sequence[str]
    considered: list[ConsideredProvider]
    rule: str


class ChargeLine(msgspec.Struct):
    """What one rate adds to the price."""

    rate_id: int
    country: str
    country_prefix: str
    price_per_segment: Money
    messages: int
    segments: int
    encodings: dict[str, int]
    total: Money


class LedgerEntry(msgspec.Struct):
    """The hold on the account's funds."""

    posting_id: int
    kind: str
    amount: Money
    currency: str


class QueueEntry(msgspec.Struct):
    """Where the messages wait."""

    provider: str
    lane: str
    not_before: str | None
    valid_until: str


class Committed(msgspec.Struct):
    """What is durable since before this answer was given."""

    at: str
    checks: Sequence[str]
    route: ChosenRoute
    prices: list[ChargeLine]
    ledger: LedgerEntry
    queue: QueueEntry
    on_ambiguous: str
    versions: dict[str, int]


class OpenItem(msgspec.Struct):
    """Something that hasn't happened yet, and when we know at the latest."""

    layer: str
    waiting_for: str
    known_by: str | None


class PublishedAnswer(msgspec.Struct):
    """What the published clients read of an accepted order."""

    status: str
    message: str
    order_id: int
    route_id: int
    count: int
    messages: list[SentMessage]
    cost: Money
    balance_after: Money
    queued: int
    debited: bool


class SendAnswer(PublishedAnswer, kw_only=True, omit_defaults=True):
    """An accepted order."""

    bx_id: str | None = None  # where there is one message
    refused: list[RefusedEntry] | None = None  # where the send was partial
    duplicates: list[DuplicateEntry] | None = None  # where somebody is named twice
    client_ref: str | None = None
    currency: str
    layers: OrderLayers
    counts: dict[str, int] | None = None  # messages by outcome, when the request waited
    committed: Committed
    open: list[OpenItem]
    links: dict[str, str]


_LANES: Final = ("otp", "alert", "bulk")

# Orders of one text over one route cost the same again and again.
_PRICES_REMEMBERED: Final = 1_024
_price: Final = lru_cache(maxsize=_PRICES_REMEMBERED)(json_number)


def send_answer(ids: MessageIds, accepted: Accepted) -> SendAnswer:
    """Return the answer to a send that was just committed."""
    order, plan = accepted.order, accepted.plan
    order_id = order.order_id
    at, until = rfc3339(order.accepted_at_us), rfc3339(order.expires_at_us)
    names, called = ids.encode_batch(order_id, order.count), names_in(plan)
    cost = _price(Micros(order.cost))
    messages = [
        SentMessage(name, each.msisdn, "QUEUED", each.client_ref)
        for name, each in zip(names, accepted.messages, strict=True)
    ]
    return SendAnswer(
        "success",
        f"SMS batch accepted via route {order.route_id}",
        order_id,
        order.route_id,
        order.count,
        messages,
        cost,
        json_number(Micros(order.balance_after)),
        order.count,  # as queued
        order.cost > 0,
        bx_id=names[0] if order.count == 1 else None,
        refused=refused_entries(accepted.refused) if plan.request.partial else None,
        duplicates=duplicate_entries(plan.duplicates),
        client_ref=order.client_ref,
        currency=order.currency,
        layers=OrderLayers(
            LayerDetail(state="accepted", since=at, final=True),
            LayerDetail(
                state="scheduled" if order.send_at_us else "queued", since=at, final=False
            ),
            LayerDetail(state="pending", since=at, final=False),
            LayerDetail(state="none", since=at, final=False),
        ),
        committed=_committed(accepted, called, at, until, cost),
        open=_open(plan, called, until, rfc3339(order.outcome_deadline_us)),
        links=_links(order_id, names),
    )


def price_lines(messages: Sequence[PlannedMessage]) -> list[ChargeLine]:
    """Add up messages by rate."""
    sums: dict[int, tuple[PlannedMessage, list[int], dict[str, int]]] = {}
    for each in messages:
        line = sums.get(each.rate.rate_id)
        if line is None:
            line = sums.setdefault(each.rate.rate_id, (each, [0, 0, 0], {}))
        _, counts, encodings = line
        shape = each.shape
        counts[0] += 1
        counts[1] += shape.segments
        counts[2] += each.price
        encodings[shape.encoding] = encodings.get(shape.encoding, 0) + 1
    return [
        ChargeLine(
            rate_id,
            first.rate.country,
            first.rate.prefix,
            _price(first.rate.price),
            counts[0],
            counts[1],
            encodings,
            _price(Micros(counts[2])),
        )
        for rate_id, (first, counts, encodings) in sums.items()
    ]


def names_in(plan: Plan) -> Names:
    """Return what a plan's providers are called before its account."""
    return Names(plan.account, plan.route.providers)


def chosen_route(plan: Plan, names: Names) -> ChosenRoute:
    """Return the route and why its providers stand in this order."""
    return ChosenRoute(
        plan.route.route_id,
        plan.route.name,
        [names.of(each) for each in plan.decision.providers],
        [
            ConsideredProvider(names.of(each.provider_id), each.why_not)
            for each in plan.decision.considered
        ],
        plan.decision.rule,
    )


def _committed(
    accepted: Accepted, called: Names, at: str, until: str, cost: msgspec.Raw
) -> Committed:
    order, plan = accepted.order, accepted.plan
    return Committed(
        at,
        CHECKS,
        chosen_route(plan, called),
        price_lines(accepted.messages),
        LedgerEntry(order.hold_posting, "hold", cost, order.currency),
        QueueEntry(
            called.of(plan.decision.providers[0]),
            _LANES[plan.lane],
            None if order.send_at_us is None else rfc3339(order.send_at_us),
            until,
        ),
        order.on_ambiguous,
        {"catalogue": plan.catalogue_version, "prices": plan.price_version},
    )


def _open(plan: Plan, called: Names, until: str, deadline: str) -> list[OpenItem]:
    provider = called.phrase(plan.decision.providers[0])
    return [
        OpenItem("execution", f"hand-off to {provider}", until),
        OpenItem("outcome", "evidence from the carrier", deadline),
        OpenItem("confirmed", "feedback from your own system", None),
    ]


def refused_entries(refused: Sequence[RefusedRecipient]) -> list[RefusedEntry]:
    """Return the recipients that were left out, and why."""
    return [
        RefusedEntry(each.index, each.msisdn, each.refusal.code, each.refusal.detail)
        for each in refused
    ]


def duplicate_entries(duplicates: Sequence[Duplicate]) -> list[DuplicateEntry] | None:
    """Return the recipients that are named again, or None where there are none."""
    return [
        DuplicateEntry(each.index, each.msisdn, each.first, not each.dropped)
        for each in duplicates
    ] or None


def _links(order_id: int, names: Sequence[str]) -> dict[str, str]:
    order = f"/api/v1/orders/{order_id}"
    links = {"order": order, "delivery_reports": f"{order}/dlr"}
    if len(names) == 1:
        links["message"] = f"/api/v1/messages/{names[0]}"
        links["outcome"] = f"/api/v1/messages/{names[0]}/outcome"
    return links
