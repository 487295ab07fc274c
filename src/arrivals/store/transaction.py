"""The verbs of a writing transaction, in SQL: what both databases have in common.

Every statement takes its batch as one JSON array and gives its rows back as one: a step of
the database is a single call that runs without Python's lock, beside the loop thread. It is
the cheapest form for both (measured: PostgreSQL reads a row of 17 columns from JSON in half
the time it takes from arrays, and the client spends a fifth).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.ledger import Posting, PostingKind
from arrivals.core.message import Message
from arrivals.outcome.episodes import Episode
from arrivals.store.alarms import read_standing, write_alarms
from arrivals.store.api import Refused, RuleBroken, StaleWrite
from arrivals.store.documents import read_catalogue
from arrivals.store.parking import Parking
from arrivals.store.rows import (
    DOUBTFUL_MAX,
    MATCHES_MAX,
    Answerable,
    Answered,
    Attempt,
    Balance,
    Batch,
    Event,
    Handoff,
    Match,
    NewMessage,
    NewOrder,
    Outgoing,
    StoredAnswer,
    Told,
)
from arrivals.store.running import as_text

# In the order of the fields of core/message.py.
MESSAGE_COLUMNS: Final = (
    "m.id, m.account_id, m.route_id, m.msisdn, m.segments, m.price, o.expires_at,"
    " o.outcome_deadline, o.on_ambiguous, m.lane, m.provider_id, m.state, m.reach, m.reason,"
    " m.seq, m.changed_at, m.attempts, m.tries, m.resends, m.rank, m.wake_at, m.epoch,"
    " m.resolution, m.resolution_posting, m.provider_cost, m.confirmed, m.parts,"
    " m.verdict"
)

MESSAGES: Final = msgspec.json.Decoder(list[Message])
OUTGOING: Final = msgspec.json.Decoder(list[Outgoing])
_ATTEMPTS: Final = msgspec.json.Decoder(list[Attempt])
_TOLD: Final = msgspec.json.Decoder(list[Told])
MATCHES: Final = msgspec.json.Decoder(list[Match])
_ANSWERED: Final = msgspec.json.Decoder(list[Answered])
_BALANCES: Final = msgspec.json.Decoder(list[Balance])
_PROVIDERS: Final = msgspec.json.Decoder(list[tuple[int, tuple[str, ...]]])
# Money that a hold put aside already: its account has a balance, in the hold's currency.
_OF_A_HOLD: Final = frozenset({PostingKind.CAPTURE, PostingKind.RELEASE})
_encode: Final = msgspec.json.Encoder().encode


class SqlTransaction(Parking):
    """One transaction; see store/api.py for what each verb promises."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us
        self._read: dict[int, Balance | None] = {}  # as they are in the database
        self._moved: dict[int, list[int]] = {}  # by how much: available, held
        self._postings: dict[tuple[Any, ...], int] = {}
        self._posting_rows: dict[int, list[Any]] = {}
        self._catalogue_changed = False
        self.tallies: dict[tuple[str, ...], int] = {}

    # --- what a database does in its own way -----------------------------------------

    @abstractmethod
    def _next_posting_id(self) -> int:
        """Return a posting's id that nobody has."""

    @abstractmethod
    def _write_balances(self, rows: Sequence[tuple[int, int, int]]) -> None:
        """Move cached balances: (account, available, held), by so much."""

    def _reaches(self, before: Balance, change: int) -> bool:
        """Tell whether funds can move by this much."""
        return change >= 0 or before.available + before.limit + change >= 0

    # --- money -----------------------------------------------------------------------

    def balance(self, account_id: int) -> Balance | None:
        if account_id not in self._read:
            self.read_balances([account_id])
        read = self._read[account_id]
        moved = self._moved.get(account_id)
        if read is None or moved is None:
            return read
        return Balance(
            account_id,
            read.currency,
            read.available + moved[0],
            read.held + moved[1],
            read.limit,
        )

    def read_balances(self, account_ids: Iterable[int]) -> None:
        wanted = sorted(set(account_ids) - self._read.keys())
        if wanted:
            self._read |= dict.fromkeys(wanted)
            for each in self._rows(_BALANCES, "balances", *self._balances_of(wanted)):
                self._read[each.account_id] = each

    def _balances_of(self, account_ids: Sequence[int]) -> tuple[Any, ...]:
        return (as_text(account_ids),)

    def post(self, posting: Posting) -> int:
        self._move_balance(posting)
        alike = (
            posting.kind,
            posting.account_id,
            posting.debit,
            posting.credit,
            posting.currency,
            posting.reason,
        )
        posting_id = None if posting.reference else self._postings.get(alike)
        if posting_id is not None:
            self._posting_rows[posting_id][6] += posting.amount
            return posting_id
        posting_id = self._next_posting_id()
        self._posting_rows[posting_id] = [
            posting_id,
            self.now_us,
            posting.kind,
            posting.account_id,
            posting.debit,
            posting.credit,
            posting.amount,
            posting.currency,
            posting.reason,
            posting.reference,
        ]
        if not posting.reference:
            self._postings[alike] = posting_id
        return posting_id

    def _move_balance(self, posting: Posting) -> None:
        if posting.amount < 0:
            raise RuleBroken("a posting's amount is never negative")
        account_id = posting.account_id
        if account_id is None:
            return
        sign = {posting.debit: -posting.amount, posting.credit: posting.amount}
        available = sign.get(f"funds:{account_id}", 0)
        if posting.kind not in _OF_A_HOLD:
            before = self.balance(account_id)
            if before is None:
                raise Refused("the account has no balance")
            if posting.currency != before.currency:
                raise RuleBroken("a posting is in its account's currency")
            if not self._reaches(before, available):
                raise Refused("the available funds don't reach")
        moved = self._moved.setdefault(account_id, [0, 0])
        moved[0] += available
        moved[1] += sign.get(f"held:{account_id}", 0)

    def posted(self, account_id: int, reference: str) -> tuple[int, int] | None:
        for row in self._posting_rows.values():
            if row[3] == account_id and row[9] == reference:
                return int(row[0]), int(row[6]) * (-1 if row[2] == "withdrawal" else 1)
        found = self._all("posted", account_id, reference)
        return (int(found[0][0]), int(found[0][1])) if found else None

    def open_balance(self, account_id: int, currency: str, credit_limit: int) -> None:
        self._flush_money()
        self._run("open_balance", account_id, currency, credit_limit)
        self._read.pop(account_id, None)

    def adjust(self, message_id: int, kind: str, amount: int, posting_id: int) -> int:
        number = int(self._value("next_adjustment", message_id))
        self._run("insert_adjustment", message_id, number, kind, amount, posting_id)
        return number

    def adjustments(self, message_ids: Sequence[int]) -> dict[int, str]:
        return dict(self._plain("adjustments", as_text(message_ids)))

    def finish(self) -> None:
        """Write what was gathered; the last thing before the commit."""
        self._flush_money()

    def _flush_money(self) -> None:
        if self._posting_rows:
            self._run("insert_postings", as_text(list(self._posting_rows.values())))
        if self._moved:
            self._write_balances(
                [(each, moved[0], moved[1]) for each, moved in sorted(self._moved.items())]
            )
            for account_id in self._moved:
                self._read.pop(account_id, None)
        self._posting_rows, self._postings, self._moved = {}, {}, {}

    # --- accept ----------------------------------------------------------------------

    def insert_orders(self, orders: Sequence[NewOrder]) -> None:
        self._run("insert_orders", as_text(orders))

    def insert_messages(self, messages: Sequence[NewMessage]) -> None:
        rows = as_text(messages)
        self._run("insert_messages", rows)
        self._run("insert_first_events", rows)

    def stored_answers(
        self, wanted: Iterable[tuple[int, str, str]]
    ) -> dict[tuple[int, str, str], StoredAnswer]:
        decoder = msgspec.json.Decoder(list[StoredAnswer])
        found = self._rows(decoder, "stored_answers", as_text(list(wanted)))
        return {(each.account_id, each.scope, each.key): each for each in found}

    def store_answers(self, answers: Sequence[StoredAnswer]) -> None:
        self._run("store_answers", as_text(answers))

    # --- dispatch --------------------------------------------------------------------

    def claim(
        self,
        provider_id: str,
        lane: int,
        limit: int,
        paused: tuple[Sequence[int], Sequence[int]],
    ) -> list[Outgoing]:
        return self._claim((provider_id, lane), limit, paused)

    def _claim(
        self,
        start: tuple[Any, ...],
        limit: int,
        paused: tuple[Sequence[int], Sequence[int]],
    ) -> list[Outgoing]:
        """Claim by rank; `start` holds the values that say where in which lane to begin."""
        limit = max(limit, 0)  # a negative one would be none
        if any(paused):
            passed_over = (as_text(each) for each in paused)
            claimed = self._rows(OUTGOING, "claim_not_paused", *start, *passed_over, limit)
        else:
            claimed = self._rows(OUTGOING, "claim", *start, limit)
        claimed.sort(key=lambda each: each.message.rank or 0)
        return claimed

    def first_ready(
        self, provider_id: str, lane: int, paused: tuple[Sequence[int], Sequence[int]]
    ) -> int | None:
        accounts, routes = paused
        found = self._value(
            "first_ready", provider_id, lane, as_text(accounts), as_text(routes)
        )
        return None if found is None else int(found)

    def bind_epoch(self, provider_id: str) -> int:
        return int(self._value("bind_epoch", provider_id) or 0)

    def sending(self, provider_id: str, before_epoch: int, limit: int) -> list[Message]:
        return self._rows(MESSAGES, "sending", provider_id, before_epoch, limit)

    # --- messages --------------------------------------------------------------------

    def load(self, keys: Iterable[int]) -> dict[int, Message]:
        wanted = sorted(set(keys))
        if not wanted:
            return {}
        return {each.key: each for each in self._rows(MESSAGES, "load", as_text(wanted))}

    def due(self, limit: int) -> list[Message]:
        found = self._rows(MESSAGES, "due", self.now_us, limit)
        found.sort(key=lambda each: each.wake_at_us or 0)
        return found

    def put_off(self, until_us: int) -> int | None:
        found = self._value("put_off", until_us, self.now_us)
        return None if found is None else int(found)

    def providers_of(self, order_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
        return dict(self._rows(_PROVIDERS, "providers_of", as_text(sorted(set(order_ids)))))

    def possible_handoffs(self, key: int) -> list[Attempt]:
        found = self._rows(_ATTEMPTS, "possible_handoffs", key)
        return sorted(found, key=lambda each: each.number)

    def told(self, key: int, kind: str) -> list[Told]:
        return sorted(self._rows(_TOLD, "told", key, kind), key=lambda each: each.at_us)

    def handed_off_at(self, keys: Iterable[int]) -> dict[int, int]:
        return dict(self._plain("handed_off_at", as_text(sorted(set(keys)))))

    def asked_again(self, keys: Iterable[int]) -> set[int]:
        return set(self._plain("asked_again", as_text(sorted(set(keys)))))

    def save(self, messages: Sequence[Message], events: Sequence[Event]) -> None:
        if [(each.key, each.seq) for each in messages] != [
            (each.message_id, each.seq) for each in events
        ]:
            raise RuleBroken("every change of a message is one event")
        if not messages:
            return
        if self._changed("save", as_text(messages)) != len(messages):
            raise StaleWrite("a message changed since it was loaded")
        self._run("insert_events", as_text(events))

    # --- receipts --------------------------------------------------------------------

    def add_handoffs(self, handoffs: Sequence[Handoff]) -> None:
        if handoffs:
            self._run("add_handoffs", as_text(handoffs))

    def match(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Match]:
        questions = [
            (number, provider_id, form)
            for number, (provider_id, forms) in enumerate(wanted)
            for form in forms
        ]
        if not questions:
            return []
        return self._matches("match", as_text(questions), MATCHES_MAX)

    def match_reused(
        self, provider_id: str, form: str, tails: Sequence[str], looked_at: int
    ) -> list[Match]:
        wanted = as_text(tails)
        return self._matches("match_reused", provider_id, form, looked_at, wanted, MATCHES_MAX)

    def _matches(self, name: str, *values: Any) -> list[Match]:
        return self._rows(MATCHES, name, *values)

    def in_doubt(
        self, provider_id: str, msisdns: Iterable[str], since_us: int
    ) -> list[Message]:
        wanted = as_text(sorted(set(msisdns)))
        return self._rows(MESSAGES, "in_doubt", provider_id, wanted, since_us, DOUBTFUL_MAX)

    def see(self, handoffs: Sequence[tuple[Handoff, dict[str, int]]]) -> None:
        rows = [
            (each.provider_id, each.external_id, each.message_id, each.attempt, each.part, seen)
            for each, seen in handoffs
        ]
        if rows:
            self._run("see", as_text(rows))

    def keep_raw(self, receipts: Sequence[tuple[str, int | None, str]]) -> None:
        if receipts:
            self._run("keep_raw", self.now_us, as_text(receipts))

    # --- replies ---------------------------------------------------------------------

    def add_answerable(self, handoffs: Sequence[Answerable]) -> None:
        self._run("add_answerable", as_text(handoffs))

    def answerable(self, msisdn: str, sender: str, since_us: int, limit: int) -> list[Answered]:
        found = self._rows(_ANSWERED, "answerable", msisdn, sender, since_us, limit)
        return sorted(found, key=lambda each: (each.at_us, each.message_id), reverse=True)

    # --- housekeeping ----------------------------------------------------------------

    def forget(
        self,
        *,
        parked_before: int,
        raw_before: int,
        answers_before: int,
        answerable_before: int,
        limit: int,
    ) -> int:
        parked: list[int] = self._plain("parked_before", parked_before, limit)
        self.unpark(parked)
        return len(parked) + sum(
            self._changed(f"forget_{kind}", before, limit)
            for kind, before in (
                ("raw", raw_before),
                ("answers", answers_before),
                ("answerable", answerable_before),
            )
        )

    # --- alarms ----------------------------------------------------------------------

    def standing_alarms(self) -> list[Episode]:
        return read_standing(self._value)

    def save_alarms(self, episodes: Sequence[Episode]) -> list[Episode]:
        return write_alarms(self._value, self._run, episodes)

    # --- what happened, in numbers ---------------------------------------------------

    def tally(self, *what: str, by: int = 1) -> None:
        self.tallies[what] = self.tallies.get(what, 0) + by

    # --- streams of recipients -------------------------------------------------------

    def batch(self, account_id: int, key: str) -> Batch | None:
        found = self._rows(msgspec.json.Decoder(list[Batch]), "batch", account_id, key)
        return found[0] if found else None

    def save_batch(self, batch: Batch) -> Batch:
        name = "update_batch" if batch.batch_id else "insert_batch"
        batch_id = self._value(name, as_text(batch))
        if batch_id is None:
            raise StaleWrite("a stream is begun once, and goes on under its id")
        return msgspec.structs.replace(batch, batch_id=batch_id)

    # --- catalogue -------------------------------------------------------------------

    def catalogue(self) -> Catalogue:
        return read_catalogue(self._all)

    def put(self, kind: str, document_id: str, body: str) -> None:
        self._run("put", kind, document_id, body, self.now_us)
        self._change_catalogue()

    def under_way(self, kind: str, document_id: str, limit: int) -> int:
        name = document_id if kind == "provider" else int(document_id)
        return int(self._value(f"under_way_{kind}", name, name, name, limit))

    def add_price_list(
        self, route_id: int, currency: str, rates: Sequence[tuple[str, str, int]]
    ) -> int:
        version = int(self._value("next_price_list", route_id))
        self._run("insert_price_list", route_id, version, currency, self.now_us)
        self._run("insert_rates", route_id, version, as_text(rates))
        self._change_catalogue()
        return version

    def _change_catalogue(self) -> None:
        """Raise the catalogue's version, once a transaction."""
        if not self._catalogue_changed:
            self._catalogue_changed = True
            version = int(self.setting("catalogue_version") or 0) + 1
            self.set_setting("catalogue_version", str(version))

    def setting(self, name: str) -> str | None:
        found = self._value("setting", name)
        return None if found is None else str(found)

    def begin_setting(self, name: str, value: str) -> None:
        self._run("begin_setting", name, value)

    def set_setting(self, name: str, value: str) -> None:
        self._run("set_setting", name, value)

    def lane_ranks(self) -> list[tuple[str, int, int, int, int]]:
        return self._all("lane_ranks")

    # --- the connection --------------------------------------------------------------
