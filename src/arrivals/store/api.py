"""The store's contract: what a transaction can do, in the words of the business.

A flow is written as *steps*: plain functions that are handed a transaction and a batch of
items and return one result per item. `Store.write` joins whatever waits, of every kind,
into one transaction and answers after its commit: one sync serves every stage. Steps run
in their `order`, so money is held before it is captured and facts are recorded before
anything new is claimed.

If a transaction fails it is rolled back and its items run again in halves, down to the one
that fails, so poison fails alone. A step must therefore be repeatable: it keeps nothing
outside the transaction that a second run would count twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from arrivals.core.catalogue import Catalogue
from arrivals.core.ledger import Posting
from arrivals.core.message import Message
from arrivals.outcome.episodes import Episode
from arrivals.store.rows import (
    Answerable,
    Answered,
    Attempt,
    Balance,
    Batch,
    Event,
    Handoff,
    Heard,
    Match,
    NewMessage,
    NewOrder,
    Outgoing,
    ParkedReceipt,
    StoredAnswer,
    Told,
    ToPark,
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoreError(Exception):
    """The store could not do it; nothing of the failed transaction remains."""

    def __init__(self, problem: str = "", fix: str = "") -> None:
        """Say what is wrong and, where that is known, what to do."""
        super().__init__(problem)
        self.fix = fix


class StoreFull(StoreError):
    """No room on the disk: reads go on, writes wait for space."""


class StoreUnavailable(StoreError):
    """The database can't be reached or is locked by somebody else."""


class StoreDamaged(StoreError):
    """What the database file holds isn't a database any more."""


class StaleWrite(StoreError):
    """A message changed since it was loaded; its new event would not follow the last one."""


class Refused(Exception):
    """A balance that doesn't reach; raised by `post`, nothing was posted."""


class RuleBroken(Exception):
    """A write that the database's own rules refuse: a mistake of ours, never of the moment."""


class Transaction(Protocol):
    """One transaction of the only writer; all of it becomes durable at once or not at all."""

    now_us: int  # the transaction's time, never earlier than one before it

    # money
    def balance(self, account_id: int) -> Balance | None:
        """Return the account's balance as it stands within this transaction, locked."""

    def read_balances(self, account_ids: Iterable[int]) -> None:
        """Read these accounts' balances at once, for `balance` and `post` to find."""

    def post(self, posting: Posting) -> int:
        """Record a movement of money and move the cached balances; return the posting's id.

        Postings alike in all but amount become one per transaction; one with a reference
        stays alone. Raises Refused if the account's available funds plus its credit limit
        don't reach, RuleBroken for a negative amount or a currency that isn't the account's.
        """

    def posted(self, account_id: int, reference: str) -> tuple[int, int] | None:
        """Return (posting id, amount) of the posting with this reference, if there is one.

        The amount is negative where money was taken out.
        """

    def open_balance(self, account_id: int, currency: str, credit_limit: int) -> None:
        """Open an account's balance, or change its credit limit; funds stay."""

    def adjust(self, message_id: int, kind: str, amount: int, posting_id: int) -> int:
        """Record the next refund or recharge of a message; return its number."""

    def adjustments(self, message_ids: Sequence[int]) -> dict[int, str]:
        """Return the newest adjustment's kind of each message that has any."""

    # accept
    def next_order_ids(self, count: int) -> Sequence[int]:
        """Return `count` order ids that nobody has or will get, in rising order."""

    def insert_orders(self, orders: Sequence[NewOrder]) -> None:
        """Store orders; ids must come from `next_order_ids`."""

    def insert_messages(self, messages: Sequence[NewMessage]) -> None:
        """Store messages, each with its first event."""

    def stored_answers(
        self, wanted: Iterable[tuple[int, str, str]]
    ) -> dict[tuple[int, str, str], StoredAnswer]:
        """Return the answers stored under these (account, scope, key)."""

    def store_answers(self, answers: Sequence[StoredAnswer]) -> None:
        """Store answers; a second one under the same key is an error."""

    # dispatch
    def claim(
        self,
        provider_id: str,
        lane: int,
        limit: int,
        paused: tuple[Sequence[int], Sequence[int]],
    ) -> list[Outgoing]:
        """Return the first `limit` messages ready in a provider's lane, by rank.

        `paused` are the accounts and the routes whose messages stay where they are. The
        caller must save them as SENDING within this transaction.
        """

    def first_ready(
        self, provider_id: str, lane: int, paused: tuple[Sequence[int], Sequence[int]]
    ) -> int | None:
        """Return the key of the message that `claim` would take first, without reading it."""

    def take_bind(self, provider_id: str, owner: str, lease_us: int) -> int | None:
        """Make `owner` the one who sends for this provider; return its epoch, a new largest.

        None if another owner's lease still runs, by the database's clock. Where only one
        process can serve, its wish is enough and nobody's lease holds it up.
        """

    def renew_bind(self, provider_id: str, epoch: int, lease_us: int, *, up: bool) -> bool:
        """Lease a bind anew from now; False if a newer owner has it.

        `up` tells the others whether its provider can be reached.
        """

    def release_bind(self, provider_id: str, epoch: int) -> None:
        """Let anybody take a bind at once, if this is still its epoch."""

    def leased_elsewhere(self, owner: str) -> dict[str, bool]:
        """Return the providers whose binds are leased to others, and whether each is up."""

    def note_lane(self, provider_id: str, lane: int, rank: int) -> None:
        """Tell the processes that hand out ranks how far a lane has been claimed.

        It needn't be exact, nor known at once; where there is one process it knows already.
        """

    def lane_times(self) -> list[tuple[str, int, int]]:
        """Return (provider, lane, rank) as `note_lane` was told."""

    def bind_epoch(self, provider_id: str) -> int:
        """Return the newest epoch of a provider's bind; 0 if nobody ever owned it.

        It stays the newest until this transaction ends.
        """

    def sending(self, provider_id: str, before_epoch: int, limit: int) -> list[Message]:
        """Return messages that an owner of an older epoch was sending."""

    # messages
    def load(self, keys: Iterable[int]) -> dict[int, Message]:
        """Return messages by key, locked in key order; a key that isn't there is left out."""

    def due(self, limit: int) -> list[Message]:
        """Return messages whose wake time has come, the longest overdue first."""

    def put_off(self, until_us: int) -> int | None:
        """Wake the message that is due longest only then, unread; return its key, if any."""

    def providers_of(self, order_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
        """Return the provider order that was fixed at accept, by order."""

    def possible_handoffs(self, key: int) -> list[Attempt]:
        """Return a message's attempts without those that were proved not taken, in order."""

    def told(self, key: int, kind: str) -> list[Told]:
        """Return what a message's events of one kind told, in order."""

    def handed_off_at(self, keys: Iterable[int]) -> dict[int, int]:
        """Return when a provider first took each of these messages, of those that one took."""

    def asked_again(self, keys: Iterable[int]) -> set[int]:
        """Return those of these messages on whose timeline another one was asked for."""

    def save(self, messages: Sequence[Message], events: Sequence[Event]) -> None:
        """Write messages back and append their events.

        Each message must be exactly one event ahead of its row, else StaleWrite; and each
        has exactly one event, its newest, else RuleBroken.
        """

    # receipts
    def add_handoffs(self, handoffs: Sequence[Handoff]) -> None:
        """Record providers' ids; one that is there already changes nothing."""

    def match(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Match]:
        """Return the hand-offs that have one of these forms of an id, by (provider, forms).

        Of each form the newest: all of them, if they are fewer than MATCHES_MAX.
        """

    def match_reused(
        self, provider_id: str, form: str, tails: Sequence[str], looked_at: int
    ) -> list[Match]:
        """Return those that matter of the newest hand-offs with an id that very many have.

        Those whose numbers end with one of these 7 digits (or are it), and the others that are
        open: MATCHES_MAX for each tail and of the others, open ones first, then the newest.
        """

    def in_doubt(
        self, provider_id: str, msisdns: Iterable[str], since_us: int
    ) -> list[Message]:
        """Return a provider's messages to these destinations of which bytes may be out.

        Those are SENDING, AMBIGUOUS, and WAITING for a resend; and those that moved on or
        ended since then though a hand-off of theirs was never answered. At most DOUBTFUL_MAX.
        """

    def see(self, handoffs: Sequence[tuple[Handoff, dict[str, int]]]) -> None:
        """Write back which receipts each hand-off has seen, and how often."""

    def park(self, receipts: Sequence[ToPark]) -> int:
        """Keep receipts that match nothing; return how many weren't parked already.

        One that was is counted, and stays as it is.
        """

    def any_parked(self) -> bool:
        """Tell whether any receipt is parked at all."""

    def parked_under(self, heard: Sequence[Heard], limit: int) -> list[list[int]]:
        """Return the next parked receipts that wait for each of these, the oldest first."""

    def hear_later(self, heard: Sequence[Heard]) -> None:
        """Note what more parked receipts wait for than were tried.

        What is noted already goes on where it was, and then once more from the beginning.
        """

    def take_heard(self, limit: int) -> list[Heard]:
        """Take the next of what was noted out, in turn; nobody else gets them."""

    def parked_between(
        self, since: tuple[int, int], until_us: int, limit: int
    ) -> list[tuple[int, int]]:
        """Return when which receipts came that are parked, after this one and before then."""

    def parked_after(self, parked_id: int, limit: int) -> list[int]:
        """Return the next parked receipts after this one, in the order they came.

        Another process may take them out meanwhile: `parked` returns those that are left.
        """

    def newest_parked(self) -> int:
        """Return the parked receipt that came last; 0 if none is parked."""

    def parked(self, parked_ids: Sequence[int]) -> list[ParkedReceipt]:
        """Return these parked receipts, the oldest first.

        Nobody else can take them out before this transaction ends.
        """

    def unpark(self, parked_ids: Sequence[int]) -> None:
        """Take out parked receipts that are recorded now."""

    def keep_raw(self, receipts: Sequence[tuple[str, int | None, str]]) -> None:
        """Keep raw receipts: (provider, message if matched, hex)."""

    # replies
    def add_answerable(self, handoffs: Sequence[Answerable]) -> None:
        """Record hand-offs that begin from numbers of ours, each once."""

    def answerable(self, msisdn: str, sender: str, since_us: int, limit: int) -> list[Answered]:
        """Return the newest messages whose hand-off from a number of ours to another began.

        None if several accounts have any since then: whose answer it is can't be told.
        """

    # housekeeping
    def forget(
        self,
        *,
        parked_before: int,
        raw_before: int,
        answers_before: int,
        answerable_before: int,
        limit: int,
    ) -> int:
        """Delete what has outlived its keeping; return how many rows.

        Looks at no more than the `limit` oldest of a kind, so call it again while it finds.
        """

    # alarms
    def standing_alarms(self) -> list[Episode]:
        """Return the alarms that haven't ended, the oldest first."""

    def save_alarms(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Write alarms that begin, go on or end; forget the oldest ended ones beyond a bound.

        One that another process began or ended meanwhile stays as that one left it: what is
        returned, with its ids, is what was written here.
        """

    # what happened, in numbers
    def tally(self, *what: str, by: int = 1) -> None:
        """Count something; it is in the store's `totals` once this transaction is committed."""

    @property
    def tallies(self) -> Mapping[tuple[str, ...], int]:
        """What was counted in this transaction."""

    # streams of recipients
    def batch(self, account_id: int, key: str) -> Batch | None:
        """Return the stream with this key, if there is one."""

    def save_batch(self, batch: Batch) -> Batch:
        """Write a stream's progress (batch_id 0: a new one); return it with its id.

        Raises StaleWrite if there is no stream with this id, or already one with the key.
        """

    # catalogue
    def catalogue(self) -> Catalogue:
        """Return the catalogue as it stands."""

    def put(self, kind: str, document_id: str, body: str) -> None:
        """Write an account, key, provider or route; the catalogue's version goes up."""

    def under_way(self, kind: str, document_id: str, limit: int) -> int:
        """Count an account's, provider's or route's messages that haven't ended, to `limit`."""

    def add_price_list(
        self, route_id: int, currency: str, rates: Sequence[tuple[str, str, int]]
    ) -> int:
        """Add the next version of a route's price list: (prefix, country, price)."""

    def setting(self, name: str) -> str | None:
        """Return a value of the installation itself: its secrets, its order floor."""

    def begin_setting(self, name: str, value: str) -> None:
        """Write a value of the installation itself unless it has one already."""

    def set_setting(self, name: str, value: str) -> None:
        """Write a value of the installation itself."""

    def lane_ranks(self) -> list[tuple[str, int, int, int, int]]:
        """Return (provider, lane, account, lowest, highest rank) of all that is ready."""


@dataclass(frozen=True, slots=True)
class Step(Generic[Item, Result]):
    """A part of a flow that runs within a transaction, over a batch.

    Items written with equal steps run together, so build a step once and keep it.
    """

    name: str
    order: int  # within a shared transaction: low runs first
    run: Callable[[Transaction, Sequence[Item]], Sequence[Result]]
    rows: Callable[[Item], int] | None = (
        None  # about how many an item writes, where that varies
    )


class Store(Protocol):
    """Where everything is kept."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes serve from it too."""

    @property
    def commits(self) -> tuple[int, int]:
        """How many transactions were committed, and how many items they held."""

    @property
    def totals(self) -> dict[tuple[str, ...], int]:
        """What was counted in transactions that this process has committed."""

    async def open(self) -> None:
        """Open or create it, and bring its schema up to date; raises a StoreError."""

    async def write(self, step: Step[Item, Result], item: Item) -> Result:
        """Run a step for one item in the next shared transaction; return after its commit.

        Raises what the step raised for this item, RuleBroken or a StoreError. If the caller
        is cancelled while it waits, the item is committed all the same.
        """

    async def probe(self) -> None:
        """Commit something, as a send would; raises a StoreError if a send wouldn't be kept."""

    async def read(self, query: Callable[[Any], Result]) -> Result:
        """Run a query on a reader, beside the writer; the reader's verbs are in queries.py."""

    async def keep_up(self, keep_days: int | None = None) -> Sequence[str]:
        """Make room ahead and set old rows aside; return the tables an operator may archive.

        Ended messages stay for `keep_days` at least, and for ever with None.
        Any process may call it once a minute; one does it at a time. Raises StoreError.
        """

    async def close(self) -> None:
        """Finish what was submitted, then close."""
