"""PostgreSQL behind the contract: many processes write, each through one session of its own."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import psycopg

from arrivals.clock import Clock
from arrivals.store.api import Item, Result, StaleWrite, Step, StoreUnavailable
from arrivals.store.group_commit import GroupCommit
from arrivals.store.postgres_connection import BY_KEY, PostgresConnection, named
from arrivals.store.postgres_reader import PostgresReader
from arrivals.store.postgres_schema import migrate
from arrivals.store.postgres_transaction import SQL, PostgresTransaction, SlotShort, Waters

T = TypeVar("T")

READERS: Final = 2
SLOTS_MAX: Final = 256  # processes that write to one database at once

# A COMMIT whose answer was lost is looked up for so long before its callers are told that
# nobody knows; they ask again under their idempotency keys.
LOOK_UP_S: Final = 20.0
LOOK_UP_EVERY_S: Final = 0.2
RECONNECT_S: Final = 2.0  # a database that restarts is waited for this long, then refused

# Advisory locks, by what their upper bits say.
_SLOT_LOCK: Final = 1 << 60
_SPEND_LOCK: Final = 2 << 60

_AGAIN: Final = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout
_SAME_KEY: Final = frozenset(
    {"idempotency_pkey", "postings_reference", "batches_account_id_key_key"}
)

_NOT_IN_A_NAME: Final = re.compile(r"[^\w:.-]")

_log = logging.getLogger("arrivals.store")


class PostgresStore:
    """The store of one process, on a database that others use too."""

    is_shared: Final = True

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        holder: str,
        begin_reader: Callable[[], None] | None = None,
    ) -> None:
        """Name the database; `holder` names this process among all that write to it."""
        self._url = url
        self._clock = clock
        self._holder = holder
        self._begin_reader = begin_reader
        self._writer: GroupCommit | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._sessions: list[PostgresConnection] = []

    @property
    def commits(self) -> tuple[int, int]:
        """How many transactions were committed, and how many items they held."""
        writer = self._open_writer()
        return writer.commits, writer.items

    async def open(self) -> None:
        """Connect, and bring the schema up to date; raises a StoreError."""
        writer = GroupCommit(lambda: PostgresWriter(self._url, self._clock, self._holder))
        try:
            await writer.start()
        except psycopg.Error as error:
            raise named(error) from error
        self._writer = writer
        self._readers = ThreadPoolExecutor(READERS, "arrivals-reader", self._begin_reader)

    async def write(self, step: Step[Item, Result], item: Item) -> Result:
        """Run a step for one item in the next shared transaction; return after its commit."""
        return await self._open_writer().write(step, item)

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run a query on a reader's session, on a reader's thread; raises a StoreError."""
        if self._readers is None:
            raise StoreUnavailable("the store isn't open")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._readers, self._read_here, query)
        except psycopg.Error as error:
            raise named(error) from error

    async def close(self) -> None:
        """Finish what was submitted, then close."""
        if self._writer is not None:
            await self._writer.close()
        readers, self._writer, self._readers = self._readers, None, None
        if readers is not None:
            await asyncio.to_thread(readers.shutdown, wait=True)
        for each in self._sessions:
            each.close()

    def _read_here(self, query: Callable[[PostgresReader], T]) -> T:
        """Run a query; one that met a session lost meanwhile runs again on a new one."""
        reader: PostgresReader | None = getattr(self._local, "reader", None)
        if reader is not None and not reader.is_broken:
            try:
                return query(reader)
            except psycopg.OperationalError:
                if not reader.is_broken:
                    raise
        session = PostgresConnection(self._url, application="arrivals reader")
        self._sessions.append(session)
        self._local.reader = PostgresReader(session)
        return query(self._local.reader)

    def _open_writer(self) -> GroupCommit:
        if self._writer is None:
            raise StoreUnavailable("the store isn't open")
        return self._writer


class PostgresWriter:
    """The writer's session; implements the group commit's backend."""

    def __init__(self, url: str, clock: Clock, holder: str) -> None:
        self._url = url
        self._clock = clock
        self._holder = _NOT_IN_A_NAME.sub("_", holder)
        self._serial = 0  # of the last commit that was begun
        self._latest_us = 0
        self._waters = Waters()
        self._spending: list[int] = []  # accounts whose slots nobody else may shift meanwhile
        self._transaction: PostgresTransaction | None = None
        session = PostgresConnection(url, application=f"arrivals migrate {holder}")
        try:
            migrate(session)
        finally:
            session.close()
        self._connection = self._connect()

    # --- the backend's verbs ---------------------------------------------------------

    def begin(self) -> PostgresTransaction:
        """Begin; a session that was lost is replaced first."""
        if self._connection.is_broken:
            self._connection = self._reconnect()
        self._connection.script("BEGIN")
        self._latest_us = max(self._latest_us + 1, self._clock.now_us())
        self._transaction = PostgresTransaction(
            self._connection, self._latest_us, self._slot, self._waters
        )
        return self._transaction

    def commit(self) -> None:
        """Commit, with this process's own number for it; if the answer is lost, look it up."""
        if self._transaction is None:
            raise AssertionError("nothing was begun")
        self._transaction.finish()
        self._serial += 1
        try:
            # One round trip for both; a holder's name has nothing in it to be quoted.
            numbered = f"SET serial = {self._serial} WHERE holder = '{self._holder}'"
            self._connection.script(f"UPDATE writers {numbered}; COMMIT")
        except psycopg.OperationalError:
            if not self._connection.is_broken or not self._was_committed():
                raise
        self._transaction = None
        self._end_spending()

    def rollback(self) -> None:
        """Undo; a session that is lost has undone it already."""
        self._transaction = None
        try:
            if not self._connection.is_broken:
                self._connection.script("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    def mend(self, error: BaseException) -> bool:
        """Shift funds to a short slot; run again what met another process."""
        try:
            if isinstance(error, SlotShort):
                self._shift_funds(error)
                return True
            self._end_spending()
        except psycopg.Error as trouble:
            _log.warning("funds couldn't be shifted: %s", type(trouble).__name__)
            return False
        if isinstance(error, StaleWrite):
            return True
        if isinstance(error, psycopg.errors.UniqueViolation):
            return error.diag.constraint_name in _SAME_KEY
        return isinstance(error, psycopg.Error) and error.sqlstate in _AGAIN

    def named(self, error: BaseException) -> BaseException:
        """Turn PostgreSQL's word for trouble into the contract's."""
        if isinstance(error, psycopg.Error):
            return named(error)
        if isinstance(error, SlotShort):
            return StoreUnavailable("other processes keep spending the same account")
        return error

    def close(self) -> None:
        """Give the session back, and with it the slot."""
        try:
            if not self._connection.is_broken:
                self._connection.execute(
                    "DELETE FROM writers WHERE holder = %s", (self._holder,)
                )
        except psycopg.Error:
            _log.warning("the writer's row is left behind; it does no harm")
        self._connection.close()

    # --- sessions --------------------------------------------------------------------

    def _connect(self) -> PostgresConnection:
        """Open a session that has a slot of its own for as long as it lives."""
        session = PostgresConnection(
            self._url, application=f"arrivals writer {self._holder}", settings=BY_KEY
        )
        try:
            self._slot = _free_slot(session)
            session.execute(
                "INSERT INTO writers (holder, serial, begun_at) VALUES (%s, %s, %s)"
                " ON CONFLICT (holder) DO NOTHING",
                (self._holder, self._serial, self._clock.now_us()),
            )
        except BaseException:
            session.close()
            raise
        return session

    def _reconnect(self) -> PostgresConnection:
        """Connect anew, with some patience for a database that is just restarting."""
        self._spending = []
        until = time.monotonic() + RECONNECT_S
        while True:
            try:
                return self._connect()
            except psycopg.OperationalError:
                if time.monotonic() >= until:
                    raise
                time.sleep(LOOK_UP_EVERY_S)

    def _was_committed(self) -> bool:
        """Look up whether the last commit happened, though its answer was lost.

        The row is locked by the transaction itself for as long as that is undecided, in
        whichever state its own session is left.
        """
        until = time.monotonic() + LOOK_UP_S
        while time.monotonic() < until:
            try:
                self._connection = self._connect()
                serial = self._connection.execute(SQL["own_commit"], (self._holder,)).get
            except psycopg.OperationalError:
                time.sleep(LOOK_UP_EVERY_S)
                continue
            return bool(serial == self._serial)
        return False

    # --- funds -----------------------------------------------------------------------

    def _shift_funds(self, short: SlotShort) -> None:
        """Move funds from an account's other slots to this process's own.

        Until the transaction has run again no other process may shift this account's funds:
        each waits for its turn, and holds nothing else while it waits.
        """
        accounts = sorted({*self._spending, short.account_id})
        self._end_spending()
        for account_id in accounts:
            self._connection.execute("SELECT pg_advisory_lock(%s)", (_SPEND_LOCK | account_id,))
            self._spending.append(account_id)
        self._connection.script("BEGIN")
        try:
            # What the transaction before opened was rolled back with it.
            self._connection.execute(SQL["open_slots"], (self._slot, f"[{short.account_id}]"))
            found = self._connection.execute(SQL["lock_slots"], (short.account_id,)).fetchall()
            for slot, amount in _shifts(found, self._slot, short.wanted):
                for change, of in ((-amount, slot), (amount, self._slot)):
                    moved = self._connection.execute(
                        SQL["move_funds"], (change, short.account_id, of)
                    )
                    _expect_one(moved.changes)
            self._connection.script("COMMIT")
        except BaseException:
            if not self._connection.is_broken:
                self._connection.script("ROLLBACK")
            raise

    def _end_spending(self) -> None:
        while self._spending and not self._connection.is_broken:
            account_id = self._spending.pop()
            self._connection.execute(
                "SELECT pg_advisory_unlock(%s)", (_SPEND_LOCK | account_id,)
            )
        self._spending = []


def _shifts(slots: list[tuple[int, int, int]], own: int, wanted: int) -> list[tuple[int, int]]:
    """Return how much to take from which slot: half of each, or more if that isn't enough."""
    spendable = {slot: available + limit for slot, available, limit in slots}
    missing = wanted - spendable.pop(own, 0)
    taken = {slot: (amount + 1) // 2 for slot, amount in spendable.items() if amount > 0}
    missing -= sum(taken.values())
    for slot in taken:
        if missing <= 0:
            break
        more = min(missing, spendable[slot] - taken[slot])
        taken[slot] += more
        missing -= more
    return list(taken.items())


def _expect_one(changed: int) -> None:
    if changed != 1:
        raise AssertionError("funds move between slots that are there")


def _free_slot(session: PostgresConnection) -> int:
    """Take the lowest slot that no living session has; raises StoreUnavailable."""
    for slot in range(SLOTS_MAX):
        if session.execute("SELECT pg_try_advisory_lock(%s)", (_SLOT_LOCK | slot,)).get:
            return slot
    raise StoreUnavailable(f"{SLOTS_MAX} processes write to this database already")
