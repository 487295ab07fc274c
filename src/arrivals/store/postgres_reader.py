"""Read on PostgreSQL: what an account asks for is read in a role that sees no other's rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from arrivals.store.feed import FEED_MAX, EventCursor, FeedEvent
from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.queries import Reader
from arrivals.store.statements import POSTGRESQL, statements

# How many transactions a reading of the feed begins with, and by how much the next look is
# wider while it finds nothing: only what is looked at is sorted, however far behind one is.
FEED_TRANSACTIONS: Final = 256
WIDER: Final = 8

_FEED: Final = msgspec.json.Decoder(list[FeedEvent])


class PostgresReader(Reader):
    """The verbs of one reading session."""

    def __init__(self, session: PostgresConnection) -> None:
        super().__init__(session, POSTGRESQL)
        self._session = session
        self._seen: int | None = None  # by which account

    @property
    def is_broken(self) -> bool:
        """Whether the session is lost."""
        return self._session.is_broken

    @contextlib.contextmanager
    def seen_by(self, account_id: int) -> Iterator[None]:
        """Show one state of the database, and of it this account's rows only.

        Within it, it stays as it is, for whichever account a verb asks.
        """
        if self._seen is not None:
            yield
            return
        with self._session:
            self._session.script(
                "SET LOCAL ROLE arrivals_tenant;"
                f"SET LOCAL arrivals.account = '{int(account_id)}'"
            )
            self._seen = account_id
            try:
                yield
            finally:
                self._seen = None
                if self._session.is_usable:  # or else its end is near, and with it this role's
                    self._session.script("SET LOCAL ROLE NONE; SET LOCAL arrivals.account = ''")

    def events_after(
        self, cursor: EventCursor, limit: int
    ) -> tuple[list[FeedEvent], EventCursor]:
        """Return all accounts' next events and where to go on, missing and repeating none.

        Those of the transactions below the horizon, which have ended all: one that stays open
        holds back what was written since it began. A database that was restored from a dump
        numbers its transactions anew, and a cursor of the old one is worth nothing there.
        """
        sql = statements("feed", POSTGRESQL)
        wanted = max(0, min(limit, FEED_MAX))
        with self._session:
            horizon = int(self._session.execute(sql["feed_horizon"]).get)
            first, width = cursor.tx, FEED_TRANSACTIONS
            while wanted and first < horizon:
                before = min(first + width, horizon)
                found = self._rows(_FEED, sql["feed"], first, before, *cursor, wanted)
                if found:
                    found.sort(key=lambda each: each.cursor)
                    return found, found[-1].cursor
                first, width = before, width * WIDER
        return [], max(cursor, EventCursor(horizon)) if wanted else cursor

    def recent_events(
        self,
        cursor: EventCursor,
        until_us: int,  # noqa: ARG002
        limit: int,
        kinds: Sequence[str],  # noqa: ARG002
    ) -> tuple[list[FeedEvent], EventCursor]:
        """Return the next events; here the feed passes by nothing."""
        return self.events_after(cursor, limit)
