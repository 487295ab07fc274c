"""A connection to PostgreSQL that looks like the ones the statements know."""

from __future__ import annotations

import contextlib
import re
import threading
from contextlib import AbstractContextManager
from typing import Any, Final, Self

import psycopg
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import TextLoader

from arrivals.store.api import (
    RuleBroken,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
)
from arrivals.store.postgres_words import NotConnected, by_state

CONNECT_TIMEOUT_S: Final = 3
# A peer that is gone without a word is noticed in about eight seconds.
KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8_000,
}
# The same for the server, whose own patience is two hours: as long as it takes our process to
# be there, what it has locked stays locked. One that is there and stands still is given up too.
SESSION: Final = (
    "SET synchronous_commit = on; SET timezone = 'UTC'; SET statement_timeout = 0;"
    " SET standard_conforming_strings = on; SET tcp_keepalives_idle = 3;"
    " SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 2;"
    " SET tcp_user_timeout = 8000; SET idle_in_transaction_session_timeout = 30000"
)
# Pages are a few rows of one account: never a walk past everybody else's.
BY_INDEX: Final = "SET random_page_cost = 1.1; SET jit = off"
# Every statement that runs on the hot path looks a few rows up by a key. Told so, the planner
# can't be led astray by statistics of a table that was empty a moment ago.
BY_KEY: Final = (
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
    " SET plan_cache_mode = force_generic_plan; SET jit = off"
)
# A writer that stands still in a transaction holds rows that others need, among them that of
# its bind: it is ended by the time its lease would be given up. The server does so only between
# two statements that it was asked about. After one that it wasn't it waits for more, and no
# setting of it bounds that: so whoever waits for a lock looks from time to time for who has it.
STANDSTILL_MS: Final = 8_000
LOCK_LOOK_MS: Final = 2_000
# Batches may meet in a circle, where one message has news from two sides. It is resolved by
# running one of them again; how soon, only a privileged user may say.
DEADLOCKS_SOON: Final = (
    "DO $$ BEGIN SET deadlock_timeout = '100ms';"
    " EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
)

# PostgreSQL's text holds every character but this one.
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_REPLACED: Final = "\ufffd"

_DAMAGED: Final = frozenset({"XX001", "XX002"})  # data_corrupted, index_corrupted


def connected(url: str, **options: Any) -> psycopg.Connection[Any]:
    """Open a session that speaks UTF-8; raises NotConnected, which repeats no URL."""
    found: psycopg.Error
    try:
        return psycopg.connect(
            url,
            connect_timeout=CONNECT_TIMEOUT_S,
            client_encoding="UTF8",  # whatever PGCLIENTENCODING says
            **KEEPALIVE,
            **options,
        )
    except psycopg.Error as error:
        found = error
    # Outside, so that what the library said hangs on no traceback either.
    raise NotConnected(found)


class Found:
    """What a statement found, as apsw's cursors give it."""

    __slots__ = ("_cursor", "_pipeline")

    def __init__(
        self, cursor: psycopg.Cursor[Any], pipeline: psycopg.Pipeline | None = None
    ) -> None:
        self._cursor = cursor
        self._pipeline = pipeline

    @property
    def get(self) -> Any:
        """The first value of the first row, or None."""
        if self._pipeline is not None:
            self._pipeline.sync()  # to fetch alone would leave the server waiting for more
        row = self._cursor.fetchone()
        return None if row is None else row[0]

    def fetchall(self) -> list[Any]:
        """Return all rows; there are none where the statement returns nothing."""
        if self._pipeline is not None:
            self._pipeline.sync()
        return self._cursor.fetchall() if self._cursor.description else []

    @property
    def changes(self) -> int:
        """How many rows the statement changed."""
        if self._pipeline is not None:
            self._pipeline.sync()
        return self._cursor.rowcount


class PostgresConnection:
    """One session; statements have marks as sql/ writes them, or %s."""

    def __init__(self, url: str, *, application: str, settings: str = "") -> None:
        """Connect; raises NotConnected."""
        self._session = connected(
            url,
            autocommit=True,
            application_name=application,
            prepare_threshold=0,
            target_session_attrs="read-write",  # of several hosts, the one that isn't a standby
        )
        adapters = self._session.adapters
        adapters.register_dumper(int, Int8Dumper)  # one prepared form, whatever the size
        adapters.register_loader("json", TextLoader)
        self._depth = 0
        self._warned = False
        self._gathering: AbstractContextManager[psycopg.Pipeline] | None = None
        self._pipeline: psycopg.Pipeline | None = None
        self._session.add_notice_handler(self._notice)
        self._session.execute(SESSION, prepare=False)
        if settings:
            self._session.execute(settings, prepare=False)

    @property
    def encoding(self) -> str:
        """How the database keeps its texts."""
        return self._session.info.parameter_status("server_encoding") or ""

    @property
    def is_broken(self) -> bool:
        """Whether the session is lost."""
        return self._session.closed or self._session.broken

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._session.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    @property
    def is_usable(self) -> bool:
        """Whether the open transaction, if any, takes more statements."""
        return self._session.info.transaction_status in {
            psycopg.pq.TransactionStatus.IDLE,
            psycopg.pq.TransactionStatus.INTRANS,
        }

    def execute(self, statement: str, values: Any = ()) -> Found:
        """Run one statement."""
        if isinstance(values, dict):
            bound: Any = {name: _storable(value) for name, value in values.items()}
        else:
            bound = [_storable(value) for value in values]
        return Found(self._session.execute(statement, bound), self._pipeline)

    def gather(self) -> None:
        """From now on send statements without waiting for what they say, until one is asked.

        The first that fails raises when the next is asked, or at `settle`.
        """
        self._gathering = self._session.pipeline()
        self._pipeline = self._gathering.__enter__()

    def settle(self) -> None:
        """Wait for what was sent; raises the first error."""
        gathering, self._gathering, self._pipeline = self._gathering, None, None
        if gathering is not None:
            gathering.__exit__(None, None, None)

    def script(self, text: str) -> None:
        """Run statements that take no values, in one round trip."""
        self._session.execute(text, prepare=False)

    def commit(self) -> bool:
        """Commit; False if the server warned that it isn't durable everywhere it should be.

        Raises StoreError if the transaction had failed already: nothing of it remains.
        """
        self._warned = False
        if self._session.execute("COMMIT", prepare=False).statusmessage != "COMMIT":
            raise StoreError("a step went on after one of its statements had failed")
        return not self._warned

    def durably(self, statement: str, values: Any, timeout_s: float) -> tuple[Any, bool]:
        """Run one statement and commit it; return its value, and whether that is durable.

        It is cancelled after a while, for no setting of the server's bounds a commit.
        """
        self._warned = False
        too_long = threading.Timer(timeout_s, self._cancel)
        too_long.start()
        try:
            return self.execute(statement, values).get, not self._warned
        finally:
            too_long.cancel()
            too_long.join()

    def _cancel(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._session.cancel_safe(timeout=CONNECT_TIMEOUT_S)

    def close(self) -> None:
        """Give the session back; never raises."""
        self._session.close()

    def __enter__(self) -> Self:
        """Show one state of the database, unless one is shown already."""
        if not self.in_transaction:
            self._depth = 0
            self.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        elif not self._depth:
            self._depth = 1  # somebody else's transaction, and theirs to end
        self._depth += 1
        return self

    def __exit__(self, *about: object) -> None:
        """Go on with the present state, at the end of the outermost."""
        self._depth -= 1
        if not self._depth and not self.is_broken:
            self.script("ROLLBACK")

    def _notice(self, said: psycopg.errors.Diagnostic) -> None:
        # "canceling wait for synchronous replication": committed here, and perhaps only here
        self._warned = self._warned or said.severity_nonlocalized == "WARNING"


def _storable(value: Any) -> Any:
    """Return a value without the one character that PostgreSQL's text can't hold."""
    if isinstance(value, str):
        if "\\u0000" in value:
            value = _NUL.sub(lambda found: found[1] + _REPLACED, value)
        return value.replace("\x00", _REPLACED) if "\x00" in value else value
    return value


def named(error: psycopg.Error) -> Exception:
    """Turn PostgreSQL's word for trouble into the contract's, where the contract has one."""
    if isinstance(error, NotConnected):
        return error.found
    state = error.sqlstate or ""
    if state in _DAMAGED:
        return StoreDamaged(
            f"the database is damaged: {error.diag.message_primary}",
            "stop every server of it, keep its files as they are, and restore a backup",
        )
    if (found := by_state(error)) is not None:
        return found
    if state.startswith(("22", "23")):  # a value of the wrong kind, or one that breaks a rule
        return RuleBroken(str(error.diag.message_primary))  # names the rule, quotes no value
    if state.startswith(("28", "3D")):
        return StoreUnavailable(f"the database refuses the login: {error.diag.message_primary}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailable(
            "the database can't be reached", "is it running? see: arrivals doctor"
        )
    return error
