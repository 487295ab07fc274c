"""The values that cross the store's contract.

Array-like structs: their field order is the column order of the statements that read and
write them, so a batch goes in and comes out as one JSON array, in one step of the database.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arrivals.core.message import Message

# Hand-offs that are read for one form of an id. More have it only where a provider gives its
# ids again and again: then the number chooses among the newest REUSED_MAX, in one statement.
MATCHES_MAX: Final = 100
REUSED_MAX: Final = 10_000  # in one transaction, for all such ids: some 20 ms
# Messages to one number of which bytes may be out, as many as are told apart by reference.
DOUBTFUL_MAX: Final = 100


class NewOrder(msgspec.Struct, frozen=True, array_like=True):
    """An order as it is committed; one row of `orders`."""

    order_id: int
    account_id: int
    key_id: str
    route_id: int
    accepted_at_us: int
    category: str
    sender: str
    text: str | None  # None: every message has its own
    client_ref: str | None
    request_id: str
    send_at_us: int | None
    expires_at_us: int
    outcome_deadline_us: int
    on_ambiguous: str
    providers: str  # JSON list: the order fixed at accept
    count: int
    cost: int
    currency: str
    hold_posting: int
    balance_after: int
    decision: str  # JSON: checks, route, prices, versions
    batch_id: int | None = None


class NewMessage(msgspec.Struct, frozen=True, array_like=True):
    """A message as it is committed, with its first event; one row of `messages`."""

    key: int
    account_id: int
    route_id: int
    msisdn: str
    country: str
    text: str | None
    client_ref: str | None
    encoding: str
    segments: int
    rate_id: int
    price: int
    provider_id: str
    lane: int
    state: str  # accepted | scheduled
    rank: int | None
    wake_at_us: int
    at_us: int


class Event(msgspec.Struct, frozen=True, array_like=True):
    """One line of a message's timeline."""

    message_id: int
    seq: int
    at_us: int
    kind: str
    from_state: str | None
    to_state: str
    actor: str  # api | worker | provider:NAME | customer | operator | clock
    body: dict[str, Any]


class Outgoing(msgspec.Struct, frozen=True, array_like=True):
    """A message that was just claimed, with what its provider must be told."""

    message: Message
    sender: str
    text: str
    encoding: str
    providers: tuple[str, ...]


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One intent to hand a message off, as its timeline has it."""

    number: int
    begun_at_us: int
    provider_id: str
    taken: bool = False  # whether the provider said so, so that its ids are known
    partly: bool = False  # whether it said so of some parts, and never answered for the rest


class Told(msgspec.Struct, frozen=True, array_like=True):
    """When an event of a message came, and what it told."""

    at_us: int
    body: dict[str, Any]


class Handoff(msgspec.Struct, frozen=True, array_like=True):
    """A provider's id for one part of one attempt, in normal form."""

    provider_id: str
    external_id: str
    message_id: int
    attempt: int
    part: int
    at_us: int


class Match(msgspec.Struct, frozen=True, array_like=True):
    """A hand-off that a receipt may belong to; `asked` says which question it answers."""

    asked: int
    handoff: Handoff
    seen: dict[str, int]
    msisdn: str
    state: str


class ToPark(msgspec.Struct, frozen=True, array_like=True):
    """A receipt that matches nothing, and what has to become known for it to be tried again."""

    provider_id: str
    fingerprint: str
    receipt: str
    forms: tuple[str, ...]
    count: int = 1


class ParkedReceipt(msgspec.Struct, frozen=True, array_like=True):
    """A receipt that matched nothing when it came, as flows/receiving.py encoded it."""

    parked_id: int
    provider_id: str
    received_at_us: int
    receipt: str
    count: int = 1  # how often the very same one came


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """What was heard of that parked receipts wait for: an id in one form, or a destination."""

    provider_id: str  # whose receipts
    form: str
    after_id: int = 0  # the parked receipt that was tried last
    again: int = 0  # 1: it was heard of once more since
    turn_us: int = 0  # since when it waits for its turn; 0: from now on

    def after(self, parked_id: int) -> Heard:
        """Return it as it goes on once this parked receipt was tried."""
        return Heard(self.provider_id, self.form, parked_id, self.again)


class Answerable(msgspec.Struct, frozen=True, array_like=True):
    """A hand-off begun from a number of ours; one row of `answerable`."""

    msisdn: str
    sender: str  # digits
    account_id: int
    at_us: int
    message_id: int


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A message that a reply may be about."""

    message_id: int
    at_us: int  # when its hand-off began
    replies: int  # that its timeline has


class Balance(msgspec.Struct, frozen=True, array_like=True):
    """What an account can spend and what is held, micro-units; `limit` is its credit limit."""

    account_id: int
    currency: str
    available: int
    held: int
    limit: int


class StoredAnswer(msgspec.Struct, frozen=True, array_like=True):
    """What a request with this idempotency key was answered."""

    account_id: int
    scope: str
    key: str
    body_hash: str
    status: int
    answer: str
    at_us: int


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """A stream of recipients and how far it has been decided."""

    batch_id: int
    account_id: int
    key: str
    options: str
    created_at_us: int
    finished_at_us: int | None = None
    lines: int = 0
    accepted: int = 0
    refused: int = 0
    cost: int = 0
    prefix_hash: str = ""
    refusals: str = "[]"
