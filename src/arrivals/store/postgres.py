"""PostgreSQL behind the contract: many processes write, each through one session of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import psycopg

from arrivals.clock import Clock
from arrivals.store.api import (
    Item,
    Result,
    StaleWrite,
    Step,
    StoreError,
    StoreUnavailable,
    Transaction,
)
from arrivals.store.group_commit import GroupCommit
from arrivals.store.postgres_connection import (
    BY_INDEX,
    BY_KEY,
    DEADLOCKS_SOON,
    LOCK_LOOK_MS,
    STANDSTILL_MS,
    PostgresConnection,
    named,
)
from arrivals.store.postgres_reader import PostgresReader
from arrivals.store.postgres_schema import migrate
from arrivals.store.postgres_spans import Upkeep, keep_up
from arrivals.store.postgres_transaction import SQL, PostgresTransaction, SlotShort, Waters
from arrivals.store.running import as_text

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
SPEND_LOCKS: Final = 256  # accounts share them, for the server has room for some thousands

_FORGET_WRITERS_AFTER_US: Final = 86_400 * 1_000_000

_LOCKED_OUT: Final = "55P03"  # a lock wasn't had in time
_AGAIN: Final = frozenset({"40001", "40P01", _LOCKED_OUT})  # serialization, deadlock
_SAME_KEY: Final = frozenset(
    {"idempotency_pkey", "postings_reference", "batches_account_id_key_key"}
)

_TIMEOUT: Final = "57014"  # query_canceled

_NOT_IN_A_NAME: Final = re.compile(r"[^\w:.-]")

_log = logging.getLogger("arrivals.store")


def _nothing_more(_: Transaction, items: Sequence[None]) -> list[None]:
    return list(items)


_PROBE: Final = Step("probe", 0, _nothing_more)


class _Lost(Exception):
    """The transaction ended with its session, and nothing of it remains."""


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

    @property
    def totals(self) -> dict[tuple[str, ...], int]:
        """What was counted in transactions that this process has committed."""
        return dict(self._open_writer().totals)  # one step, beside the writer

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

    async def probe(self) -> None:
        """Commit a transaction, which names itself in a row; raises a StoreError."""
        await self.write(_PROBE, None)

    async def keep_up(self, keep_days: int | None = None) -> Sequence[str]:
        """Make room ahead and set old rows aside; return the tables an operator may archive."""
        try:
            done = await asyncio.to_thread(self._keep_up, keep_days)
        except psycopg.Error as error:
            raise named(error) from error
        return done.detached if done is not None else ()

    def _keep_up(self, keep_days: int | None) -> Upkeep | None:
        session = PostgresConnection(self._url, application="arrivals upkeep")
        try:
            return keep_up(session, self._clock.now_us(), keep_days)
        finally:
            session.close()

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
        session = PostgresConnection(
            self._url, application="arrivals reader", settings=BY_INDEX
        )
        self._sessions.append(session)
        self._local.reader = PostgresReader(session)
        return query(self._local.reader)

    def _open_writer(self) -> GroupCommit:
        if self._writer is None:
            raise StoreUnavailable("the store isn't open")
        return self._writer


class PostgresWriter:
    """The writer's session; implements the group commit's backend.

    Every transaction begins with a row that names it, so that it can be looked up if the answer
    to its COMMIT is lost. It has to be the first thing, not the last: a COMMIT may lie unread
    in a server that stands still, and only what it has done already makes others wait for it.
    """

    def __init__(self, url: str, clock: Clock, holder: str) -> None:
        self._url = url
        self._clock = clock
        self._holder = _NOT_IN_A_NAME.sub("_", holder)
        self._serial = 0  # of the newest transaction
        self._told = 0  # of the newest that is known to be committed
        self._latest_us = 0
        self._waters = Waters()
        self._spending: list[int] = []  # locks on accounts whose slots nobody else may shift
        self._transaction: PostgresTransaction | None = None
        self._may_run_again = False
        self._met: set[int] = set()  # messages that the transaction before had to do with
        # Those of one that met another's in a circle, each holding what the other wanted: run
        # again, it locks them all at once and in order, and so meets nobody that way.
        self._meet_first: set[int] = set()
        session = PostgresConnection(url, application=f"arrivals migrate {holder}")
        try:
            migrate(session)
            # A process that begins anew under the old name is another one.
            self._holder += f":{session.execute('SELECT gen_random_uuid()').get}"
            session.execute(
                "DELETE FROM writers WHERE begun_at < %s",
                (clock.now_us() - _FORGET_WRITERS_AFTER_US,),
            )
        finally:
            session.close()
        self._connection = self._connect()

    # --- the backend's verbs ---------------------------------------------------------

    def begin(self) -> PostgresTransaction:
        """Begin; a session that was lost is replaced first."""
        self._may_run_again = False
        if self._connection.is_broken:
            self._connection = self._reconnect()
        self._latest_us = max(self._latest_us + 1, self._clock.now_us())
        self._serial += 1
        # One round trip for both; a holder's name has nothing in it to be quoted.
        begun = f"begun('{self._holder}', {self._serial}, {self._told}, {self._latest_us})"
        try:
            self._connection.script(f"BEGIN; SELECT {begun}")
        except psycopg.OperationalError:
            if not self._connection.is_broken:
                raise
            self._connection = self._reconnect()  # it was lost while nothing was going on
            self._connection.script(f"BEGIN; SELECT {begun}")
        self._connection.gather()
        self._transaction = PostgresTransaction(
            self._connection, self._latest_us, self._slot, self._waters
        )
        if self._meet_first:
            self._transaction.meet(self._meet_first)
        return self._transaction

    def commit(self) -> None:
        """Commit; if the answer is lost, look it up.

        Raises StoreUnavailable if nobody can tell within LOOK_UP_S.
        """
        if self._transaction is None:
            raise AssertionError("nothing was begun")
        self._transaction.finish()
        self._connection.settle()
        try:
            durable = self._connection.commit()
        except psycopg.Error:
            if not self._connection.is_broken:
                raise
            durable = False
        if not durable and not self._was_committed():
            raise _Lost
        self._transaction = None
        self._told = self._serial
        self._meet_first = set()
        self._waters.end(committed=True)
        self._end_spending()

    def rollback(self) -> None:
        """Undo; a session that is lost has undone it already."""
        self._may_run_again = self._transaction is not None
        self._waters.end(committed=False)
        self._met = self._transaction.met if self._transaction is not None else set()
        self._transaction = None
        with contextlib.suppress(psycopg.Error):  # told already, or of no interest any more
            self._connection.settle()
        try:
            if not self._connection.is_broken:
                self._connection.script("ROLLBACK")
        except psycopg.Error:
            self._connection.close()

    def mend(self, error: BaseException) -> bool:
        """Shift funds to short slots; run again what met others or lost its session."""
        self._end_spending()
        if isinstance(error, SlotShort):
            return self._shift_funds(error.wanted)
        if isinstance(error, StaleWrite | _Lost):
            return True
        if not isinstance(error, psycopg.Error):
            return False
        if isinstance(error, psycopg.errors.UniqueViolation):
            return error.diag.constraint_name in _SAME_KEY
        if isinstance(error, psycopg.errors.CheckViolation):
            # No rule of the table: its partition was attached while the row was on its way.
            return not error.diag.constraint_name
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            self._connection.close()  # it became a standby; another one takes writes
        if error.sqlstate == _LOCKED_OUT:
            self._end_standstills()
        if isinstance(error, psycopg.errors.DeadlockDetected):
            self._meet_first = self._meet_first | self._met
        # What is lost before its COMMIT was sent is lost for certain.
        return error.sqlstate in _AGAIN or (self._connection.is_broken and self._may_run_again)

    def named(self, error: BaseException) -> BaseException:
        """Turn PostgreSQL's word for trouble into the contract's."""
        if isinstance(error, psycopg.Error):
            return named(error)
        if isinstance(error, SlotShort):
            return StoreUnavailable("other processes keep spending the same accounts")
        if isinstance(error, _Lost):
            return StoreUnavailable("the database can't be reached")
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
            self._url,
            application=f"arrivals writer {self._holder}",
            settings=f"{BY_KEY}; {DEADLOCKS_SOON}; SET lock_timeout = {LOCK_LOOK_MS};"
            f" SET idle_in_transaction_session_timeout = {STANDSTILL_MS}",
        )
        with contextlib.ExitStack() as undone:
            undone.callback(session.close)
            self._slot = _free_slot(session)
            undone.pop_all()
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

    def _end_standstills(self) -> None:
        """End the sessions of writers that stand still; theirs run again when they go on."""
        try:
            session = PostgresConnection(self._url, application="arrivals standstills")
            try:
                ended = session.execute(SQL["end_standstills"], (STANDSTILL_MS,)).get
            finally:
                session.close()
        except psycopg.Error as error:
            _log.warning("whoever holds a lock wasn't looked for: %s", type(error).__name__)
            return
        if ended:
            _log.warning("%d processes stood still in a transaction: others go on", ended)

    def _was_committed(self) -> bool:
        """Look up whether the last commit happened, though its answer was lost.

        As long as that is undecided, in whichever state its own session is left, this waits for
        it; and once this has said no, it can't happen any more. Raises StoreUnavailable after
        LOOK_UP_S.
        """
        until = time.monotonic() + LOOK_UP_S
        key = (self._holder, self._serial, self._clock.now_us())
        while (left_s := until - time.monotonic()) > 0:
            try:
                if self._connection.is_broken:
                    self._connection = self._connect()
                looked_up, durable = self._connection.durably(SQL["own_commit"], key, left_s)
            except psycopg.OperationalError as error:
                if error.sqlstate not in {_TIMEOUT, _LOCKED_OUT}:
                    self._connection.close()
                time.sleep(min(LOOK_UP_EVERY_S, left_s))
                continue
            if durable:  # or else the copy that commits wait for is away: ask again
                return not looked_up
        self._connection.close()
        raise StoreUnavailable("the database doesn't say whether the last commit happened")

    # --- funds -----------------------------------------------------------------------

    def _shift_funds(self, wanted: dict[int, int]) -> bool:
        """Move funds from accounts' other slots to this process's own; False if it can't.

        Until the transaction has run again no other process may shift these accounts' funds:
        each waits for its turn, and holds nothing else while it waits.
        """
        try:
            for lock in sorted({account_id % SPEND_LOCKS for account_id in wanted}):
                self._spending.append(lock)
                self._connection.execute("SELECT pg_advisory_lock(%s)", (_SPEND_LOCK | lock,))
            # What the transaction opened went with it.
            self._connection.execute(SQL["open_slots"], (self._slot, as_text(sorted(wanted))))
            for account_id, amount in sorted(wanted.items()):
                self._shift(account_id, amount)
        except (psycopg.Error, StoreError) as trouble:
            self._connection.close()
            self._spending = []
            if isinstance(trouble, psycopg.Error) and trouble.sqlstate == _LOCKED_OUT:
                self._end_standstills()
                return True
            _log.warning("funds couldn't be shifted: %s", type(trouble).__name__)
            return False
        return True

    def _shift(self, account_id: int, wanted: int) -> None:
        """Take from slots that are free, and then wait for others, holding none meanwhile."""
        short = self._move(SQL["lock_free_slots"], (account_id,), account_id, wanted)
        if short <= 0:
            return
        rich = self._connection.execute(SQL["rich_slots"], (account_id,)).fetchall()
        for (slot,) in rich:
            if short > 0 and slot != self._slot:
                short = self._move(SQL["lock_slot"], (account_id, slot), account_id, wanted)

    def _move(self, lock: str, of: tuple[int, ...], account_id: int, wanted: int) -> int:
        """Lock slots and move funds to this process's own; return how much it still lacks."""
        # Lost in a crash, it is lost together with what was paid from it: no need to sync.
        self._connection.script("BEGIN; SET LOCAL synchronous_commit = off")
        found = self._connection.execute(lock, of).fetchall()
        locked = {slot for slot, _, _ in found}
        if self._slot not in locked:  # nobody waits for this one while holding another
            own = (account_id, self._slot)
            found += self._connection.execute(SQL["lock_slot"], own).fetchall()
        shifts = _shifts(found, self._slot, wanted)
        total = sum(amount for _, amount in shifts)
        if total:
            moves = [*((slot, -amount) for slot, amount in shifts), (self._slot, total)]
            moved = self._connection.execute(SQL["move_funds"], (as_text(moves), account_id))
            if moved.changes != len(moves):
                raise StoreError("what leaves one slot enters another")
        self._connection.script("COMMIT")
        spendable = {slot: available + limit for slot, available, limit in found}
        lacking: int = wanted - total - spendable.get(self._slot, 0)
        return lacking

    def _end_spending(self) -> None:
        """Let others shift funds again; where the session is lost, so are its locks."""
        locks, self._spending = self._spending, []
        try:
            for lock in locks:
                if not self._connection.is_broken:
                    self._connection.execute(
                        "SELECT pg_advisory_unlock(%s)", (_SPEND_LOCK | lock,)
                    )
        except psycopg.Error:
            self._connection.close()


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


def _free_slot(session: PostgresConnection) -> int:
    """Take the lowest slot that no living session has; raises StoreUnavailable."""
    for slot in range(SLOTS_MAX):
        if session.execute("SELECT pg_try_advisory_lock(%s)", (_SLOT_LOCK | slot,)).get:
            return slot
    raise StoreUnavailable(f"{SLOTS_MAX} processes write to this database already")
