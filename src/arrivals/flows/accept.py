"""Commit to a request: order, messages, hold, queue entries, decision and idempotency record.

One transaction, before the answer. A crash at any instant leaves all of it or none of it.
Each request of a shared transaction is judged by itself, so a balance that doesn't reach
refuses its own order and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from arrivals.core.errors import Code, Refusal, refuse
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import message_key
from arrivals.core.ledger import PostingKind, posting
from arrivals.core.message import State
from arrivals.core.money import Micros, format_amount
from arrivals.core.text import data_coding_of
from arrivals.flows.plan import Plan, PlannedMessage, RefusedRecipient
from arrivals.store.api import Refused, Step, Transaction
from arrivals.store.rows import Batch, NewMessage, NewOrder, StoredAnswer

ACCEPT_ORDER: Final = 10
_encode: Final = msgspec.json.Encoder().encode


class Idempotency(msgspec.Struct, frozen=True):
    """A caller's promise that a repeat of this request is the same request."""

    scope: str  # method and path
    key: str
    body_hash: str


class Accepted(msgspec.Struct, frozen=True):
    """An order that is committed, with its messages in the order of the request."""

    order: NewOrder
    plan: Plan
    messages: Sequence[PlannedMessage]
    refused: Sequence[RefusedRecipient]


class Replay(msgspec.Struct, frozen=True):
    """The answer that was given the first time."""

    status: int
    answer: bytes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A planned send, on its way into the store.

    `render` makes the answer to be stored under the idempotency key; `progress` is the
    stream's new state, committed with the order it tells of.
    """

    plan: Plan
    idempotency: Idempotency | None = None
    render: Callable[[Accepted], tuple[int, bytes]] | None = None
    progress: Batch | None = None


Result = Accepted | Replay | Refusal


def accept_step(ranks: FairRanks) -> Step[Request, Result]:
    """Return the step that commits planned sends; `ranks` hands out places in the lanes."""

    def run(tx: Transaction, requests: Sequence[Request]) -> list[Result]:
        return _Acceptance(tx, ranks).run(requests)

    return Step("accept", ACCEPT_ORDER, run, rows=_messages)


def _messages(request: Request) -> int:
    return len(request.plan.messages)


class _Acceptance:
    """The rows that one transaction's requests add up to."""

    def __init__(self, tx: Transaction, ranks: FairRanks) -> None:
        self._tx = tx
        self._ranks = ranks
        self._order_ids: Iterator[int] = iter(())
        self._orders: list[NewOrder] = []
        self._messages: list[NewMessage] = []
        self._answers: dict[tuple[int, str, str], StoredAnswer] = {}

    def run(self, requests: Sequence[Request]) -> list[Result]:
        tx = self._tx
        self._order_ids = iter(tx.next_order_ids(len(requests)))
        tx.read_balances(each.plan.account.account_id for each in requests)
        keyed = [key for each in requests if (key := _answer_key(each)) is not None]
        stored = tx.stored_answers(keyed) if keyed else {}
        results = [self._one(each, stored) for each in requests]
        if self._orders:
            tx.insert_orders(self._orders)
            tx.insert_messages(self._messages)
        if self._answers:
            tx.store_answers(list(self._answers.values()))
        return results

    def _one(
        self, request: Request, stored: dict[tuple[int, str, str], StoredAnswer]
    ) -> Result:
        key = _answer_key(request)
        if key is not None and request.idempotency is not None:
            before = self._answers.get(key) or stored.get(key)
            if before is not None:
                return replayed(before, request.idempotency)
        result = self._commit(request)
        if (
            key is not None
            and request.idempotency is not None
            and request.render is not None
            and isinstance(result, Accepted)
        ):
            status, answer = request.render(result)
            self._answers[key] = StoredAnswer(
                *key, request.idempotency.body_hash, status, answer.decode(), self._tx.now_us
            )
        return result

    def _commit(self, request: Request) -> Result:
        plan = request.plan
        messages, refused = self._affordable(plan)
        if not messages:
            return refused[0].refusal
        cost = Micros(sum(each.price for each in messages))
        account = plan.account
        try:
            hold = self._tx.post(
                posting(PostingKind.HOLD, account.account_id, cost, account.currency)
            )
        except Refused:
            return self._insufficient(plan, cost)
        order = self._order(plan, len(messages), cost, hold)
        self._orders.append(order)
        self._queue(order, plan, messages)
        if request.progress is not None:
            self._tx.save_batch(request.progress)
        return Accepted(order, plan, messages, refused)

    def _affordable(
        self, plan: Plan
    ) -> tuple[Sequence[PlannedMessage], Sequence[RefusedRecipient]]:
        """Return all messages, or, for a partial send, those the funds reach in input order."""
        balance = self._tx.balance(plan.account.account_id)
        if not plan.request.partial or balance is None:
            return plan.messages, plan.refused
        left = balance.available + balance.limit
        taken: list[PlannedMessage] = []
        refused = list(plan.refused)
        for each in plan.messages:
            if each.price > left:
                refusal = self._insufficient(plan, Micros(each.price))
                refused.append(RefusedRecipient(each.index, each.msisdn, refusal))
                continue
            left -= each.price
            taken.append(each)
        refused.sort(key=lambda each: each.index)
        return taken, refused

    def _insufficient(self, plan: Plan, cost: Micros) -> Refusal:
        balance = self._tx.balance(plan.account.account_id)
        available = Micros(balance.available if balance else 0)
        return refuse(
            Code.INSUFFICIENT_BALANCE,
            needed=format_amount(cost),
            available=format_amount(available),
            currency=plan.account.currency,
        )

    def _order(self, plan: Plan, count: int, cost: Micros, hold: int) -> NewOrder:
        request = plan.request
        order_id = next(self._order_ids)
        balance = self._tx.balance(plan.account.account_id)
        # By the transaction's clock, which doesn't go back when the machine's does.
        expires_at_us = (plan.send_at_us or self._tx.now_us) + plan.valid_for_us
        return NewOrder(
            order_id,
            plan.account.account_id,
            request.key_id,
            plan.route.route_id,
            self._tx.now_us,
            plan.category,
            request.sender,
            request.text,
            request.client_ref,
            request.request_id,
            plan.send_at_us,
            expires_at_us,
            expires_at_us + plan.outcome_grace_us,
            plan.on_ambiguous,
            providers=_encode(plan.decision.providers).decode(),
            count=count,
            cost=cost,
            currency=plan.account.currency,
            hold_posting=hold,
            balance_after=balance.available if balance else 0,
            decision=_encode(plan.record()).decode(),
            batch_id=request.batch_id,
        )

    def _queue(self, order: NewOrder, plan: Plan, messages: Sequence[PlannedMessage]) -> None:
        provider_id = plan.decision.providers[0]
        scheduled = order.send_at_us is not None
        rank: int | None = None
        if not scheduled:
            rank = self._ranks.take(provider_id, plan.lane, order.account_id, len(messages))
        state = State.SCHEDULED if scheduled else State.ACCEPTED
        wake_at_us = order.send_at_us or order.expires_at_us
        for n, each in enumerate(messages):
            self._messages.append(
                NewMessage(
                    message_key(order.order_id, n),
                    order.account_id,
                    order.route_id,
                    each.msisdn,
                    each.country,
                    each.text,
                    each.client_ref,
                    data_coding_of(each.shape),
                    each.shape.segments,
                    each.rate.rate_id,
                    each.price,
                    provider_id,
                    plan.lane,
                    state,
                    None if rank is None else rank + n,
                    wake_at_us,
                    order.accepted_at_us,
                )
            )


def replayed(stored: StoredAnswer, idempotency: Idempotency) -> Replay | Refusal:
    """Return the stored answer, or the refusal of a key that was used for another body."""
    if stored.body_hash != idempotency.body_hash:
        return refuse(Code.IDEMPOTENCY_KEY_MISMATCH)
    return Replay(stored.status, stored.answer.encode())


def _answer_key(request: Request) -> tuple[int, str, str] | None:
    if request.idempotency is None:
        return None
    account_id = request.plan.account.account_id
    return (account_id, request.idempotency.scope, request.idempotency.key)
