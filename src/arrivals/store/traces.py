"""Read journeys: one message whole, pages of messages and orders, roll-ups, and queue ages.

Verbs for customers take the account and see nothing of any other (invariant 43). Every
page is bounded twice: by its rows, and by how many rows it looks at to find them; a page
that stops early says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from arrivals.core.ids import INDEX_BITS, ORDER_ID_MAX
from arrivals.core.message import Message
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.outcome.cohort import Member, of_one_shape
from arrivals.outcome.episodes import Episode
from arrivals.store.alarms import ALL_STANDING_MAX, AlarmCursor, decode_alarms, page_of
from arrivals.store.reading import ReaderBase, for_account
from arrivals.store.rows import Batch, NewOrder
from arrivals.store.trace_statements import trace_statements
from arrivals.store.verified import Verified, last_run

PAGE_MAX: Final = 200
EVENTS_MAX: Final = 2_000  # of one message; a day of retries a minute is below it
# Rows looked at for one page of a filter that no index serves: about 50 ms.
SCANNED_MAX: Final = 50_000
LOOKALIKES_MAX: Final = 2_000  # messages whose texts are compared for a cohort: 0.1 s
ROLLED_UP_MAX: Final = 131_072  # messages in one page of orders: as many as one order can have
BATCH_ORDERS_MAX: Final = 10_000
COUNTED_MAX: Final = 100_000  # of open messages, for gauges; above it they say "at least"
WAITING_COUNTED_MAX: Final = 10_000  # in one lane: about a millisecond
PARKED_OF_MAX: Final = 20  # providers whose parked receipts an alarm names
KEY_MAX: Final = (1 << 63) - 1
# How much later an order may have been accepted than one of a higher id. Where many processes
# accept, their transactions overlap by up to a second; the rest is for their clocks.
OUT_OF_ORDER_US: Final = 10_000_000


class ListedMessage(msgspec.Struct, frozen=True, array_like=True):
    """One line of a page of messages."""

    message: Message
    country: str
    client_ref: str | None
    sender: str
    accepted_at_us: int
    currency: str


class StateCount(msgspec.Struct, frozen=True, array_like=True):
    """How many messages of an order stand alike."""

    order_id: int
    state: str
    reach: int
    tried: int  # 1 if an intent was ever written
    confirmed: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageFilter:
    """Which of an account's messages a page shows; None means any."""

    before_key: int | None = None  # the cursor: keys below it
    states: tuple[str, ...] | None = None
    verdict: str | None = None  # on record, or the state of one that ended
    route_id: int | None = None
    country: str | None = None
    client_ref: str | None = None
    msisdn: str | None = None
    order_id: int | None = None
    from_us: int | None = None  # accepted at or after
    to_us: int | None = None  # accepted before


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderFilter:
    """Which of an account's orders a page shows."""

    before_id: int | None = None
    route_id: int | None = None
    client_ref: str | None = None
    batch_id: int | None = None
    from_us: int | None = None
    to_us: int | None = None


class LaneHead(NamedTuple):
    """The first message that waits in a lane, and how many do."""

    provider_id: str
    lane: int
    since_us: int  # when the first became ready
    waiting: int  # at most WAITING_COUNTED_MAX


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What is open right now, for operators; no count goes above COUNTED_MAX."""

    by_state: dict[str, int]
    ready: int
    overdue: int  # past their outcome deadline by more than a minute, and still open
    parked: int
    parked_oldest_us: int | None
    parked_of: list[str]  # the providers whose receipts are parked
    lane_heads: list[LaneHead]


_TRACES: Final = msgspec.json.Decoder(list[Trace])
_EVENT_ROWS: Final = msgspec.json.Decoder(list[tuple[int, TimelineEvent]])
_ENDING: Final = msgspec.json.Decoder(list[tuple[int, str | None]])
_TRACE: Final = msgspec.json.Decoder(Trace)
_EVENTS: Final = msgspec.json.Decoder(list[TimelineEvent])
_LISTED: Final = msgspec.json.Decoder(list[ListedMessage])
_ORDER: Final = msgspec.json.Decoder(NewOrder)
_ORDERS: Final = msgspec.json.Decoder(list[NewOrder])
_MEMBERS: Final = msgspec.json.Decoder(list[Member])
_COUNTS: Final = msgspec.json.Decoder(list[StateCount])
_BATCH: Final = msgspec.json.Decoder(Batch)
_BATCHES: Final = msgspec.json.Decoder(list[Batch])
_PAIR: Final = msgspec.json.Decoder(tuple[int | None, int | None])
_HEADS: Final = msgspec.json.Decoder(list[LaneHead])

_OVERDUE_US: Final = 60_000_000  # the sweep has had its turn by then

_FIELD_FILTERS: Final = ("states", "verdict", "route_id", "country", "msisdn")
_SPAN_FILTERS: Final = ("from_us", "to_us")
_ORDER_FILTERS: Final = ("route_id", "client_ref", "batch_id", *_SPAN_FILTERS)


class TraceQueries(ReaderBase):
    """The verbs that read journeys, on a reader's connection."""

    # --- one message -----------------------------------------------------------------

    @for_account
    def trace(self, account_id: int, key: int) -> tuple[Trace, list[TimelineEvent]] | None:
        """Return one message whole with its events, as they stand at one moment, or None."""
        with self._connection:  # one snapshot for both statements
            found = self._found("message", key, account_id)
            if found is None:
                return None
            events = self._found("events", key, account_id, EVENTS_MAX)
        return _TRACE.decode(found), _EVENTS.decode(events)

    @for_account
    def lookalikes(
        self, account_id: int, like: Trace, from_us: int, to_us: int
    ) -> tuple[list[Member], bool]:
        """Return the messages of a time that ask for what this one does, of any recipient.

        Looks at no more than the newest LOOKALIKES_MAX of the account's; the second value is
        whether there were more.
        """
        with self._connection:  # one snapshot for all statements
            first, below = self._keys(account_id, MessageFilter(from_us=from_us, to_us=to_us))
            if first >= below:
                return [], False
            found = self._found("scanned", account_id, below, first, LOOKALIKES_MAX + 1)
            lowest, count = _PAIR.decode(found)
            cut = lowest is not None and (count or 0) > LOOKALIKES_MAX
            if lowest is not None and cut:
                first = lowest + 1
            values = (below, first, like.country, like.sender, from_us, to_us)
            rows = self._found("lookalikes", account_id, *values)
        members = of_one_shape(_MEMBERS.decode(rows), like.text)
        return sorted(members, key=lambda each: -each.key), cut

    def journeys(self, keys: Sequence[int]) -> list[tuple[Trace, list[TimelineEvent]]]:
        """Return messages whole with their events, whoever's they are, for the model."""
        wanted = _text(list(keys))
        with self._connection:  # one snapshot for both statements
            traces = _TRACES.decode(self._found("messages", wanted))
            rows = _EVENT_ROWS.decode(self._found("events_of_messages", wanted, EVENTS_MAX))
        events: dict[int, list[TimelineEvent]] = {}
        for key, event in rows:
            events.setdefault(key, []).append(event)
        for those in events.values():
            those.sort(key=lambda each: each.seq)
        return [(each, events.get(each.message.key, [])) for each in traces]

    def ending(self, now_us: int, limit: int) -> list[tuple[int, str | None]]:
        """Return the messages that nobody spoke of until now, their deadline, by when due.

        Each comes with the verdict on record. They are among the first `limit` that are due.
        """
        return _ENDING.decode(self._found("ending", now_us, limit, now_us))

    # --- pages -----------------------------------------------------------------------

    @for_account
    def message_page(
        self, account_id: int, wanted: MessageFilter, limit: int
    ) -> tuple[list[ListedMessage], int | None]:
        """Return a page of messages, newest first, and the key to go on below, if any."""
        return self._message_page(account_id, wanted, limit)

    def _message_page(
        self, account_id: int | None, wanted: MessageFilter, limit: int
    ) -> tuple[list[ListedMessage], int | None]:
        limit = min(limit, PAGE_MAX)
        first, below = self._keys(account_id, wanted)
        if first >= below:
            return [], None
        stop = self._window(account_id, first, below, wanted)
        sql = trace_statements(self.dialect, everybody=account_id is None)
        clauses = [sql["field bounds"]]
        values: list[Any] = [account_id, below, stop]
        for name in (*_FIELD_FILTERS, *_SPAN_FILTERS):
            value = getattr(wanted, name)
            if value is not None:
                clauses.append(sql[f"field {name}"])
                values.append(_text(value) if name == "states" else value)
        source = "messages"
        if wanted.client_ref is not None:
            # It stands at a message or at its whole order; each has an index of its own.
            source = sql["by_client_ref"]
            values = [account_id, wanted.client_ref] * 2 + values
        page = sql["messages_page"].replace("{source}", source)
        page = page.replace("{filters}", "WHERE " + " AND ".join(clauses))
        # One more than asked for tells whether there's a next page.
        rows = _LISTED.decode(self._connection.execute(page, (*values, limit + 1)).get)
        rows.sort(key=lambda row: -row.message.key)
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1].message.key
        return rows, stop if stop > first else None

    def _keys(self, account_id: int | None, wanted: MessageFilter) -> tuple[int, int]:
        """Return the range of keys that a filter leaves: [first, below)."""
        first_order, below_order = self._orders_between(
            account_id, wanted.from_us, wanted.to_us
        )
        if wanted.order_id is not None:
            if wanted.order_id > ORDER_ID_MAX:
                return 0, 0
            first_order = max(first_order, wanted.order_id)
            below_order = min(below_order, wanted.order_id + 1)
        first = first_order << INDEX_BITS
        below = min(below_order << INDEX_BITS, KEY_MAX)  # the column is 64 bits with a sign
        if wanted.before_key is not None:
            below = min(below, wanted.before_key)
        return first, below

    def _window(
        self, account_id: int | None, first: int, below: int, wanted: MessageFilter
    ) -> int:
        """Return the lowest key to look at for this page, so that the look is bounded."""
        searching = wanted.client_ref is None and any(
            getattr(wanted, name) is not None for name in _FIELD_FILTERS
        )
        if not searching:
            return first
        found = self._found_of(account_id, "scanned", account_id, below, first, SCANNED_MAX)
        lowest, count = _PAIR.decode(found)
        return lowest if lowest is not None and count == SCANNED_MAX else first

    @for_account
    def order_page(
        self, account_id: int, wanted: OrderFilter, limit: int
    ) -> tuple[list[NewOrder], list[StateCount], int | None]:
        """Return a page of orders, newest first, their roll-up, and the id to go on below."""
        limit = min(limit, PAGE_MAX)
        first, below = self._orders_between(account_id, wanted.from_us, wanted.to_us)
        if wanted.before_id is not None:
            below = min(below, wanted.before_id)
        sql = trace_statements(self.dialect)
        clauses: list[str] = []
        values: list[Any] = [account_id, below, first]
        for name in _ORDER_FILTERS:
            value = getattr(wanted, name)
            if value is not None:
                clauses.append(sql[f"order {name}"])
                values.append(value)
        page = sql["orders_page"].replace("{filters}", " ".join(clauses))
        found = _ORDERS.decode(self._connection.execute(page, (*values, limit + 1)).get)
        found.sort(key=lambda each: -each.order_id)
        shown = _few_enough(found[:limit])
        counts = self.rolled_up(account_id, [each.order_id for each in shown])
        return shown, counts, shown[-1].order_id if len(shown) < len(found) else None

    @for_account
    def order(self, account_id: int, order_id: int) -> tuple[NewOrder, list[StateCount]] | None:
        """Return one order with its roll-up, or None."""
        if order_id > ORDER_ID_MAX:
            return None
        found = self._found("order", order_id, account_id)
        if found is None:
            return None
        return _ORDER.decode(found), self.rolled_up(account_id, [order_id])

    @for_account
    def rolled_up(self, account_id: int, order_ids: Sequence[int]) -> list[StateCount]:
        """Count the messages of these orders by how they stand."""
        return _COUNTS.decode(self._found("rolled_up", _text(list(order_ids)), account_id))

    def _orders_between(
        self, account_id: int | None, from_us: int | None, to_us: int | None
    ) -> tuple[int, int]:
        """Return the smallest range of order ids that holds a span of time: [first, below).

        Ids are given out nearly in the order of acceptance, so the span's ends are searched by
        halving, without an index over times: each a little further out than it can be, and from
        there to the first order of the span. Between the ends may be a few orders that were
        accepted outside it.
        """
        first, below = 0, ORDER_ID_MAX + 1
        if from_us is not None:
            first = self._first_order_from(account_id, from_us - OUT_OF_ORDER_US)
            found = self._found_of(
                account_id, "first_accepted_from", account_id, first, from_us
            )
            first = below if found is None else found
        if to_us is not None:
            below = self._first_order_from(account_id, to_us + OUT_OF_ORDER_US)
            found = self._found_of(account_id, "last_accepted_before", account_id, below, to_us)
            below = 0 if found is None else found + 1
        return first, below

    def _first_order_from(self, account_id: int | None, at_us: int) -> int:
        """Return an id near a time: no order below it was accepted later, and no other earlier.

        Later and earlier by OUT_OF_ORDER_US, that is: in between they may be mixed.
        """
        found = self._found_of(account_id, "order_near", {"account": account_id, "at": at_us})
        return ORDER_ID_MAX + 1 if found is None else int(found)

    # --- streams ---------------------------------------------------------------------

    @for_account
    def batch_progress(
        self, account_id: int, batch_id: int
    ) -> tuple[Batch, list[int], list[StateCount]] | None:
        """Return a stream of recipients, its orders and their roll-up, or None."""
        found = self._found("batch_by_id", batch_id, account_id)
        if found is None:
            return None
        orders = self.batch_orders(account_id, batch_id)
        return _BATCH.decode(found), orders, self.rolled_up(account_id, orders)

    @for_account
    def batch_orders(self, account_id: int, batch_id: int) -> list[int]:
        """Return the orders that a stream was committed as."""
        found = self._found("batch_orders", batch_id, account_id, BATCH_ORDERS_MAX)
        return msgspec.json.decode(found, type=list[int])

    @for_account
    def batch_page(
        self, account_id: int, before_id: int, limit: int
    ) -> tuple[list[Batch], int | None]:
        """Return an account's streams without their refusals, and the id to go on below."""
        limit = min(limit, PAGE_MAX)
        found = _BATCHES.decode(self._found("batches_page", account_id, before_id, limit + 1))
        found.sort(key=lambda each: -each.batch_id)
        shown = found[:limit]
        return shown, shown[-1].batch_id if len(found) > limit else None

    # --- for operators ---------------------------------------------------------------

    def everybodys_page(
        self, wanted: MessageFilter, limit: int
    ) -> tuple[list[ListedMessage], int | None]:
        """Return a page of all accounts' messages, as `message_page` does of one's."""
        return self._message_page(None, wanted, limit)

    def owner_of_order(self, order_id: int) -> int | None:
        """Return whose order it is, if there is such an order."""
        owner: int | None = self._found("owner_of_order", order_id)
        return owner

    def owner_of_batch(self, batch_id: int) -> int | None:
        """Return whose stream of recipients it is, if there is one."""
        owner: int | None = self._found("owner_of_batch", batch_id)
        return owner

    def backlog(
        self,
        lanes: Sequence[tuple[str, int]],
        now_us: int,
        paused: tuple[Sequence[int], Sequence[int]] = ((), ()),
    ) -> Backlog:
        """Return what is open in these (provider, lane) pairs and at large.

        The messages of `paused` accounts and routes head no lane: they wait on purpose.
        """
        by_state: dict[str, int] = dict(
            msgspec.json.decode(
                self._found("open_by_state", COUNTED_MAX), type=list[tuple[str, int]]
            )
        )
        by_state["sending"] = self._found("sending_count", COUNTED_MAX)
        overdue_us = now_us - _OVERDUE_US
        return Backlog(
            by_state=by_state,
            ready=self._found("ready_count", COUNTED_MAX),
            overdue=self._found("overdue_count", overdue_us, overdue_us, COUNTED_MAX),
            parked=self._found("parked_count", COUNTED_MAX),
            parked_oldest_us=self._found("parked_oldest"),
            parked_of=msgspec.json.decode(self._found("parked_of", PARKED_OF_MAX)),
            lane_heads=_HEADS.decode(
                self._connection.execute(
                    trace_statements(self.dialect)["lane_heads"],
                    {
                        "lanes": _text(list(lanes)),
                        "accounts": _text(paused[0]),
                        "routes": _text(paused[1]),
                        "counted": WAITING_COUNTED_MAX,
                    },
                ).get
            ),
        )

    def standing_alarms(self) -> list[Episode]:
        """Return all alarms that stand, the oldest first."""
        return decode_alarms(self._found("alarms_standing", ALL_STANDING_MAX))

    def alarm_page(
        self, cursor: AlarmCursor, limit: int
    ) -> tuple[list[Episode], AlarmCursor | None]:
        """Return alarms, those that stand first, and where to go on, if there are more."""
        limit = min(limit, PAGE_MAX)
        return page_of(self._found("alarms_page", *cursor, limit + 1), limit)

    def last_run(self) -> Verified | None:
        """Return what the newest run of the checks found."""
        return last_run(self._connection, self.dialect)

    def _found_of(self, account_id: int | None, name: str, *values: Any) -> Any:
        """Return what a statement finds of one account, or of all."""
        text = trace_statements(self.dialect, everybody=account_id is None)[name]
        named = values[0] if values and isinstance(values[0], dict) else values
        return self._connection.execute(text, named).get

    def _found(self, name: str, *values: Any) -> Any:
        return self._connection.execute(trace_statements(self.dialect)[name], values).get


def _few_enough(orders: Sequence[NewOrder]) -> list[NewOrder]:
    """Keep as many orders as can be rolled up at once, one at least."""
    shown: list[NewOrder] = []
    messages = 0
    for each in orders:
        messages += each.count
        if shown and messages > ROLLED_UP_MAX:
            break
        shown.append(each)
    return shown


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
