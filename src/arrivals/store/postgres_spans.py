"""Keep the tables that grow in spans: made ahead, begun by age, detached whole.

A span is a range of order ids. Ids rise, so by letting them jump to the next range all that was
accepted until then stays together; ids that were given out before stay valid. Nothing is ever
deleted row by row.

What each step keeps out, and for how long:

- Making a span ahead: nobody. Its tables are made aside and then attached.
- The jump: whoever takes an order id, until those have ended that took one before.
- Detaching: everybody who touches the five tables, for the milliseconds it takes once it has
  them to itself. DETACH … CONCURRENTLY would keep nobody out, but it isn't all or nothing for
  five tables, can't look once more at whether all has ended, and beside a long backup it waits
  without an end, while nothing else can be attached. So it's the plain one, which gives up
  after LOCK_TIMEOUT_MS (nobody waits behind it for longer), tries a few times, and comes again
  with the next round. A backup locks every table: until it has ended, nothing is detached.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import psycopg

from arrivals.store.postgres_connection import Found, PostgresConnection
from arrivals.store.statements import POSTGRESQL, statements

SPAN_BITS: Final = 24  # order ids in a span, as add_span in schema/ has it
DAY_US: Final = 86_400 * 1_000_000
SPAN_DAYS: Final = 7
# Receipts come within 72 hours. An ended message's hand-offs are read by nobody else, and every
# receipt looks into each span that has some: so they go first.
HANDOFF_SPANS: Final = 4
HANDOFF_DAYS: Final = 3
RAW_DAYS_AHEAD: Final = 2
RAW_DAYS_KEPT: Final = 7

LOCK_TIMEOUT_MS: Final = 100
TRIES: Final = 5
TRY_EVERY_S: Final = 0.2

TABLES: Final = ("handoffs", "events", "adjustments", "messages", "orders")
SQL: Final = statements("spans", POSTGRESQL)

_UPKEEP_LOCK: Final = 4 << 60
_IN_THE_WAY: Final = frozenset({"55P03", "40P01", "40001"})  # lock timeout, deadlock, conflict

_log = logging.getLogger("arrivals.store")


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did."""

    begun: int | None = None  # the span that the ids jumped to
    detached: tuple[str, ...] = ()  # tables nobody reads any more: to be archived, or dropped
    dropped: tuple[int, ...] = ()  # days of raw receipts


def keep_up(
    session: PostgresConnection, now_us: int, keep_days: int | None = None
) -> Upkeep | None:
    """Make what will be needed, begin a span that is due, detach what has ended.

    Messages stay for `keep_days` after the end of their span; None keeps them for ever.

    Returns None if another process is at it. What somebody is in the way of is left for the
    next round; raises psycopg.Error for any other trouble.
    """
    if not session.execute("SELECT pg_try_advisory_lock(%s)", (_UPKEEP_LOCK,)).get:
        return None
    try:
        return _Round(session, now_us, keep_days).run()
    finally:
        if not session.is_broken:
            session.execute("SELECT pg_advisory_unlock(%s)", (_UPKEEP_LOCK,))


class _Round:
    def __init__(self, session: PostgresConnection, now_us: int, keep_days: int | None) -> None:
        self._session = session
        self._now_us = now_us
        self._keep_days = keep_days

    def run(self) -> Upkeep:
        self._keep_ahead()
        begun = self._begin_due_span()
        if begun is not None:
            self._keep_ahead()
        detached = (*self._detach_old_handoffs(), *self._detach_ended())
        self._add_raw_days()
        return Upkeep(begun=begun, detached=detached, dropped=self._drop_raw_days())

    # --- spans -----------------------------------------------------------------------

    def _present(self) -> int:
        """Return the span that the next order id is in."""
        return int(self._sql("next_order_id").get) >> SPAN_BITS

    def _keep_ahead(self) -> None:
        """See that the present span is there and dated, and an empty one beyond it."""
        present = self._present()
        for n in (present, present + 1):
            if self._sql("span", n).get is None:
                self._briefly("a new span", partial(self._sql, "add_span", n))
        self._sql("date_spans", self._now_us, present)

    def _begin_due_span(self) -> int | None:
        """Let the ids jump to the next span if something of the present one is too old."""
        present = self._present()
        found = self._sql("span", present).fetchall()
        if not found or self._now_us - found[0][1] < SPAN_DAYS * DAY_US:
            return None
        if self._sql("any_order", span=present).get is None:
            return None

        def jump() -> None:
            self._sql("raise_order_ids", ((present + 1) << SPAN_BITS) - 1)
            self._sql("date_spans", self._now_us, present + 1)

        return present + 1 if self._briefly("the next span", jump) else None

    def _detach_old_handoffs(self) -> list[str]:
        before_us = self._now_us - HANDOFF_DAYS * DAY_US
        old = self._sql("old_handoffs", HANDOFF_SPANS, before_us).fetchall()
        return [name for (n,) in old for name in self._detach(n, TABLES[:1])]

    def _detach_ended(self) -> list[str]:
        if self._keep_days is None:
            return []
        old = self._sql("old_spans", self._now_us - self._keep_days * DAY_US).fetchall()
        return [
            name
            for n, without_handoffs in old
            for name in self._detach(n, TABLES[1:] if without_handoffs else TABLES)
        ]

    def _detach(self, n: int, tables: tuple[str, ...]) -> list[str]:
        """Detach tables of a span if all its messages have ended; return their names."""

        def detach() -> None:
            for table in tables:
                self._sql("detach", span=n, table=table)
            self._sql("note_detached_handoffs", self._now_us, n)
            if "messages" in tables:
                self._sql("note_detached", self._now_us, n)
            if self._any_open(n):  # now that nobody can change it any more
                raise _NotYet

        if self._any_open(n) or not self._briefly(f"the end of span {n}", detach):
            return []
        return [f"{table}_{n}" for table in tables]

    def _any_open(self, n: int) -> bool:
        return self._sql("any_open", span=n).get is not None

    # --- raw receipts ----------------------------------------------------------------

    def _add_raw_days(self) -> None:
        today = self._now_us // DAY_US
        for day in range(today, today + RAW_DAYS_AHEAD + 1):
            if self._sql("raw_day", day).get is None:
                try:
                    self._briefly("a day's table", partial(self._sql, "add_raw_day", day))
                except psycopg.errors.CheckViolation:
                    # Some of this day came before it had a table, and are kept aside.
                    continue

    def _drop_raw_days(self) -> tuple[int, ...]:
        """Drop the days of which nothing has to be kept any more."""
        first = self._now_us // DAY_US - RAW_DAYS_KEPT
        days = [day for (day,) in self._sql("raw_days").fetchall() if day < first]
        return tuple(
            day
            for day in days
            if self._briefly("an old day", partial(self._sql, "drop_raw_day", span=day))
        )

    # --- the session -----------------------------------------------------------------

    def _sql(self, name: str, *values: Any, span: int = 0, table: str = "") -> Found:
        text = SQL[name].replace("{span}", str(span)).replace("{table}", table)
        return self._session.execute(text, values)

    def _briefly(self, what: str, work: Callable[[], object]) -> bool:
        """Run some work in a transaction that waits for no lock for long; tell if it's done."""
        session = self._session
        for turn in range(TRIES):
            if turn:
                time.sleep(TRY_EVERY_S)
            try:
                session.script(f"BEGIN; SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                work()
                session.script("COMMIT")
            except (psycopg.Error, _NotYet) as error:
                if not session.is_broken:
                    session.script("ROLLBACK")
                if isinstance(error, _NotYet):
                    return False
                if getattr(error, "sqlstate", None) not in _IN_THE_WAY:
                    raise
            else:
                return True
        _log.info("%s waits for the next round: others are in the way", what)
        return False


class _NotYet(Exception):
    """A message hasn't ended after all."""
