"""Fill a database with messages that came to their ends, by cloning one that really did.

One message is sent through the API and settled. Its rows (order, message, events, hand-off,
postings) are then cloned by SQL: ids counted up, accounts in turn, a provider's id that is
spread over all numbers, times a few microseconds apart. Columns that aren't named here are
copied, so a new one needs nothing here. Indexes and triggers are taken away meanwhile and put
back; raw receipts, which are kept for a week, aren't cloned. `arrivals verify` finds nothing
wrong with what comes out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from arrivals.store.sqlite import connect

A_TIME = 200_000  # messages in one transaction
STEP_US = 8  # between messages
OCTETS_A_MESSAGE = 2_200  # measured, with indexes and the room to sort them
# The n-th message's account is n times a prime: each of so many in a row has another one.
ACCOUNT = "(1 + n.n * 7919 % :accounts)"
# A product that wraps around a prime of 53 bits comes down anywhere, as providers' ids do.
EXTERNAL = "CAST(n.n * 274177906943 % 9007199254740881 + 1000000000000000000 AS TEXT)"
MESSAGES_MAX = 30_000_000  # of which that product still fits

_ORDER = "(:order + n.n)"
_KEY = "((:order + n.n) << 17)"
_HOLD, _CAPTURE = "(:posting + 2 * n.n - 1)", "(:posting + 2 * n.n)"
_RENAMED = f"replace(t.body, :external, {EXTERNAL})"
# What differs from the row that is cloned, by table and column; t is that row, n counts from 1.
CLONES = {
    "orders": {
        "id": _ORDER,
        "account_id": ACCOUNT,
        "key_id": f"(SELECT key_id FROM key_of WHERE account_id = {ACCOUNT})",
        "hold_posting": _HOLD,
        "balance_after": "t.balance_after - t.cost * ((n.n - 1) / :accounts)",
    },
    "messages": {
        "id": _KEY,
        "account_id": ACCOUNT,
        "msisdn": "'316' || printf('%08d', n.n % 100000000)",
        "resolution_posting": _CAPTURE,
    },
    "events": {"message_id": _KEY, "body": _RENAMED},
    "postings": {
        "id": f"iif(t.kind = 'hold', {_HOLD}, {_CAPTURE})",
        "account_id": ACCOUNT,
        "debit": f"iif(t.kind = 'hold', 'funds:', 'held:') || {ACCOUNT}",
        "credit": f"iif(t.kind = 'hold', 'held:' || {ACCOUNT}, t.credit)",
    },
}
HANDOFFS = {"external_id": EXTERNAL, "message_id": _KEY}
TIMES = {"accepted_at", "expires_at", "outcome_deadline", "changed_at", "at"}
TEMPLATES = {
    "orders": "id = :order",
    "messages": "id = :order << 17",
    "events": "message_id = :order << 17",
    "handoffs": "message_id = :order << 17",
    "postings": "id IN (:posting - 1, :posting)",  # its hold and its capture
}


def fill(folder: Path, messages: int, accounts: int, say: Callable[[str], None]) -> None:
    """Clone the one message of a data folder that nobody serves so many times."""
    if not 0 < messages <= MESSAGES_MAX or math.gcd(7919, accounts) != 1:
        raise ValueError("that many can't be told apart")
    with closing(connect(folder / "arrivals.db")) as connection, _bare(connection):
        facts = _facts(connection, accounts)
        for first in range(1, messages + 1, A_TIME):
            last = min(first + A_TIME - 1, messages)
            connection.execute("BEGIN").fetchall()
            for table, changed in CLONES.items():
                _clone(connection, table, changed, facts, first, last)
            connection.execute("COMMIT").fetchall()
            say(f"{last:,} of {messages:,} messages stored")
        # Sorted once, instead of put each at its random place.
        _clone(connection, "handoffs", HANDOFFS, facts, 1, messages, "ORDER BY 2")
        _charge(connection, facts, messages)
        say("indexing")
    # What the system still has to write would be in the way of what is measured next.
    with (folder / "arrivals.db").open("rb+") as file:
        os.fsync(file.fileno())


def _facts(connection: apsw.Connection, accounts: int) -> dict[str, int | str]:
    """Return what the clones are made from; remembers each account's key."""
    [(order, external)] = connection.execute(
        "SELECT m.id >> 17, h.external_id FROM messages AS m"
        " JOIN handoffs AS h ON h.message_id = m.id"
        " WHERE m.state = 'delivered' AND m.account_id = 1 AND m.segments = 1"
    ).fetchall()
    posting = connection.execute("SELECT max(id) FROM postings").get
    connection.execute(
        "CREATE TEMP TABLE key_of AS SELECT body->>'account_id' AS account_id,"
        " body->>'key_id' AS key_id FROM catalogue WHERE kind = 'key'"
    ).fetchall()
    connection.execute("CREATE UNIQUE INDEX temp.keys_by_account ON key_of (account_id)")
    return {"order": order, "external": external, "posting": posting, "accounts": accounts}


def _clone(
    connection: apsw.Connection,
    table: str,
    changed: dict[str, str],
    facts: dict[str, int | str],
    first: int,
    last: int,
    order: str = "",
) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = [
        changed.get(name, f"t.{name} + n.n * {STEP_US}" if name in TIMES else f"t.{name}")
        for name in columns
    ]
    connection.execute(
        "WITH RECURSIVE"
        " n (n) AS (VALUES (:first) UNION ALL SELECT n + 1 FROM n WHERE n < :last),"
        f" t AS MATERIALIZED (SELECT * FROM {table} WHERE {TEMPLATES[table]})"
        f" INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {', '.join(values)} FROM n CROSS JOIN t {order}",
        {**facts, "first": first, "last": last},
    ).fetchall()


def _charge(connection: apsw.Connection, facts: dict[str, int | str], messages: int) -> None:
    """Take from each balance what its clones cost."""
    connection.execute(
        "UPDATE balances SET available = available - c.cost FROM"
        " (SELECT account_id, sum(cost) AS cost FROM orders WHERE id > :order"
        "  GROUP BY account_id) AS c"
        " WHERE balances.account_id = c.account_id",
        {"order": facts["order"]},
    ).fetchall()


@contextmanager
def _bare(connection: apsw.Connection) -> Iterator[None]:
    """Take away indexes, triggers and syncs, and put them back."""
    kept = connection.execute(
        "SELECT type, name, sql FROM sqlite_master"
        " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -500000",
                   "temp_store = FILE"):  # fmt: skip
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for kind, name, _ in kept:
        connection.execute(f"DROP {kind} {name}").fetchall()
    yield
    for _, _, sql in kept:
        connection.execute(str(sql)).fetchall()
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
