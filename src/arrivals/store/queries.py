"""Read what the API shows. Every verb names the account, and every list has a limit.

A reader sees one committed state of the database per call and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from arrivals.core.ids import INDEX_BITS, MESSAGES_MAX, message_key
from arrivals.core.message import State
from arrivals.outcome.learner import Subject
from arrivals.store.api import StoreError
from arrivals.store.feed import EventCursor, FeedEvent
from arrivals.store.reading import for_account
from arrivals.store.rows import Balance, StoredAnswer
from arrivals.store.statements import statements
from arrivals.store.traces import KEY_MAX, TraceQueries

T = TypeVar("T")

_encode: Final = msgspec.json.Encoder().encode


class Report(msgspec.Struct, frozen=True, array_like=True):
    """A message as the published delivery report shows it."""

    key: int
    msisdn: str
    state: State
    reason: str | None
    route_id: int
    accepted_at_us: int
    changed_at_us: int
    client_ref: str | None
    delivered_at_us: int | None
    provider_message_id: str | None


class ReportFilters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of delivery reports is narrowed to; None: not at all."""

    order_id: int | None = None
    states: tuple[State, ...] | None = None
    msisdn: str | None = None
    route_id: int | None = None
    from_us: int | None = None  # accepted at or after
    before_us: int | None = None  # accepted before


_BALANCES: Final = msgspec.json.Decoder(list[Balance])
_ANSWERS: Final = msgspec.json.Decoder(list[StoredAnswer])
_REPORTS: Final = msgspec.json.Decoder(list[Report])
_KEYS: Final = msgspec.json.Decoder(list[int])
_FEED: Final = msgspec.json.Decoder(list[FeedEvent])
_SUBJECTS: Final = msgspec.json.Decoder(list[tuple[Subject, str]])


class Reader(TraceQueries):
    """The verbs of one reading connection."""

    @property
    def _sql(self) -> dict[str, str]:
        return statements("read", self.dialect)

    @for_account
    def balance(self, account_id: int) -> Balance | None:
        """Return what an account can spend and what is held, over all its slots."""
        found = self._rows(_BALANCES, self._sql["balance"], account_id)
        return found[0] if found else None

    @for_account
    def stored_answer(self, account_id: int, scope: str, key: str) -> StoredAnswer | None:
        """Return what a request with this idempotency key was answered."""
        found = self._rows(_ANSWERS, self._sql["stored_answer"], account_id, scope, key)
        return found[0] if found else None

    @for_account
    def report(self, account_id: int, key: int) -> Report | None:
        """Return one message's delivery report, if it is the account's."""
        text = self._reports_sql(self._sql["where key"], "DESC")
        found = self._rows(_REPORTS, text, account_id, key, 1, 0)
        return found[0] if found else None

    @for_account
    def reports(
        self, account_id: int, filters: ReportFilters, limit: int, skip: int
    ) -> tuple[int, list[Report]]:
        """Return how many reports fit, and a page of them, newest first."""
        clauses, values = self._filters(filters)
        text = self._narrowed("reports_count", clauses)
        with self._connection:  # one snapshot for both statements
            total = int(self._connection.execute(text, (account_id, *values)).get)
            text = self._reports_sql(clauses, "DESC")
            page = self._rows(_REPORTS, text, account_id, *values, limit, skip)
        page.sort(key=lambda each: each.key, reverse=True)
        return total, page

    @for_account
    def order_reports(
        self, account_id: int, order_id: int, limit: int, skip: int
    ) -> tuple[int, list[Report]] | None:
        """Return an order's reports in the order of its request; None if it isn't theirs."""
        if self._connection.execute(self._sql["order"], (account_id, order_id)).get is None:
            return None
        clauses, values = self._filters(ReportFilters(order_id=order_id))
        text = self._narrowed("reports_count", clauses)
        with self._connection:  # one snapshot for both statements
            total = int(self._connection.execute(text, (account_id, *values)).get)
            text = self._reports_sql(clauses, "ASC")
            page = self._rows(_REPORTS, text, account_id, *values, limit, skip)
        page.sort(key=lambda each: each.key)
        return total, page

    def ready_providers(
        self, lanes: Sequence[tuple[str, int]], paused: tuple[Sequence[int], Sequence[int]]
    ) -> set[str]:
        """Return the providers that have a message ready in one of these lanes."""
        bound = {
            "lanes": _encode(list(lanes)).decode(),
            "accounts": _encode(list(paused[0])).decode(),
            "routes": _encode(list(paused[1])).decode(),
        }
        found = self._connection.execute(self._sql["ready_providers"], bound).get
        return set(msgspec.json.decode(found, type=list[str]))

    def newest_events(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the number of each message's newest event."""
        found = self._connection.execute(
            self._sql["newest_events"], (_encode(list(keys)).decode(),)
        ).get
        return dict(msgspec.json.decode(found, type=list[tuple[int, int]]))

    @for_account
    def open_messages(self, account_id: int, order_id: int, limit: int) -> list[int]:
        """Return an order's first messages that haven't ended, in the order of its request."""
        first = message_key(order_id, 0)
        last = message_key(order_id, MESSAGES_MAX - 1)
        found = self._rows(_KEYS, self._sql["open_messages"], account_id, first, last, limit)
        return sorted(found)

    def events_after(
        self,
        cursor: EventCursor,  # noqa: ARG002
        limit: int,  # noqa: ARG002
    ) -> tuple[list[FeedEvent], EventCursor]:
        """Return all accounts' next events and where to go on, missing and repeating none.

        At most `limit`, and perhaps none though there are more. Raises StoreError where the
        database can't tell in which order its transactions ended.
        """
        raise StoreError("events are fed from PostgreSQL only: SQLite doesn't number commits")

    def recent_events(
        self, cursor: EventCursor, until_us: int, limit: int, kinds: Sequence[str]
    ) -> tuple[list[FeedEvent], EventCursor]:
        """Return all accounts' next events of some kinds up to a time, for statistics.

        A cursor's first number is the time of an event. What a commit wrote after `until_us`
        had been read past its time is passed by: whoever counts money or messages needs
        `events_after`, which passes by nothing.
        """
        wanted = _encode(list(kinds)).decode()
        found = self._rows(
            _FEED, self._sql["recent_events"], cursor.tx, until_us, *cursor, wanted, limit
        )
        found.sort(key=lambda each: each.cursor)
        if len(found) == limit:
            return found, found[-1].cursor
        return found, max(cursor, EventCursor(until_us, KEY_MAX))  # no others up to then

    def subjects(self, keys: Sequence[int]) -> list[tuple[Subject, str]]:
        """Return messages as the model of outcomes knows them, each with its provider."""
        text = _encode(list(keys)).decode()
        return self._rows(_SUBJECTS, self._sql["subjects"], text)

    def _rows(self, decoder: msgspec.json.Decoder[list[T]], text: str, *values: Any) -> list[T]:
        return decoder.decode(self._connection.execute(text, values).get)

    def _reports_sql(self, clauses: str, direction: str) -> str:
        return self._narrowed("reports", clauses).replace("{direction}", direction)

    def _narrowed(self, name: str, clauses: str) -> str:
        """Return a statement with its filters, which may ask for the messages' orders."""
        orders = self._sql["join orders"] if "o." in clauses else ""
        return self._sql[name].replace("{orders}", orders).replace("{filters}", clauses)

    def _filters(self, filters: ReportFilters) -> tuple[str, list[Any]]:
        """Return the clauses that are wanted, and their values in the same order."""
        clauses: list[str] = []
        values: list[Any] = []
        if filters.order_id is not None:
            first = filters.order_id << INDEX_BITS
            clauses.append(self._sql["where order_id"])
            values += [first, first + MESSAGES_MAX - 1]
        if filters.states is not None:
            clauses.append(self._sql["where states"])
            values.append(_encode(filters.states).decode())
        for name in ("msisdn", "route_id", "from_us", "before_us"):
            value = getattr(filters, name)
            if value is not None:
                clauses.append(self._sql[f"where {name}"])
                values.append(value)
        return " ".join(clauses), values
