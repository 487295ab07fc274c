"""How to spoil a sound database: what turns each check red, on either backend."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import psycopg

from arrivals.store.checks import (
    BALANCES,
    CHECKS,
    COSTS,
    MISSING,
    PARTS,
    SHAPES,
    SUMS,
    TRIGGERS,
)
from arrivals.store.folders import DATABASE_NAME
from tests.postgres.server import drop_database, execute

DAY_US = 86_400_000_000
SENTENCES = {each.statement: each.sentence for each in CHECKS}
SENTENCES |= {each.parts: each.sentence for each in SUMS}
SENTENCES |= {
    "balances": BALANCES.sentence,
    "costs": COSTS.sentence,
    "missing_handoffs": MISSING.sentence,
    "shapes": SHAPES.sentence,
    "uncharged_parts": PARTS.sentence,
    "triggers": TRIGGERS.sentence,
}

DELIVERED = "(SELECT min(id) FROM messages WHERE state = 'delivered')"
QUEUED = "(SELECT min(id) FROM messages WHERE rank IS NOT NULL)"
FAILED = "(SELECT min(id) FROM messages WHERE state = 'failed' AND reach = 0)"
SENDING = "(SELECT min(id) FROM messages WHERE state = 'sending')"
ADJUSTED = "(SELECT min(message_id) FROM adjustments)"

# What turns each check red, and no more than it has to. Triggers are out of the way.
PLANTS = {
    "posting_accounts": "UPDATE postings SET credit = 'revenue:EUR' WHERE kind = 'hold'",
    "posting_currency": "UPDATE postings SET currency = 'USD' WHERE id = 1",
    "posting_integers": "UPDATE postings SET amount = amount + 0.5 WHERE id = 1",
    "balance_integers": "UPDATE balances SET available = 0.5 WHERE account_id = 1",
    "message_integers": f"UPDATE messages SET price = 0.5 WHERE id = {DELIVERED}",
    "triggers": "DROP TRIGGER messages_resolve_once",
    "overdrawn": "UPDATE balances SET available = -1 WHERE account_id = 1",
    "balances": "UPDATE balances SET held = held + 1 WHERE account_id = 2",
    "resolution_posting": f"UPDATE messages SET resolution_posting = 1 WHERE id = {DELIVERED}",
    "resolved_open": "UPDATE messages SET resolution = 'released', resolution_posting = 1 "
    f"WHERE id = {QUEUED}",
    "adjustments_in_turn": "UPDATE adjustments SET kind = 'refund'",
    "price_snapshot": f"UPDATE messages SET segments = 2 WHERE id = {DELIVERED}",
    "shapes": f"UPDATE messages SET encoding = 'ucs2' WHERE id = {DELIVERED}",
    "uncharged_parts": f"UPDATE handoffs SET part = 2 WHERE message_id = {DELIVERED}",
    "unresolved_ends": "UPDATE messages SET resolution = NULL, resolution_posting = NULL, "
    f"changed_at = changed_at - {DAY_US} WHERE id = {DELIVERED}",
    "charged_unsent": f"UPDATE messages SET resolution = 'captured' WHERE id = {FAILED}",
    "unexplained_cost": f"UPDATE messages SET provider_cost = 1 WHERE id = {QUEUED}",
    "costs": f"UPDATE messages SET provider_cost = 1 WHERE id = {DELIVERED}",
    "whole_orders": "UPDATE orders SET hold_posting = 1 WHERE id = 1",
    "messages_of_orders": f"UPDATE messages SET route_id = 7 WHERE id = {DELIVERED}",
    "order_totals": "UPDATE orders SET count = count + 1 WHERE id = 1",
    "batch_totals": "UPDATE batches SET accepted = accepted + 1",
    "orphans": f"UPDATE messages SET rank = NULL, wake_at = NULL WHERE id = {QUEUED}",
    "illegal_moves": "UPDATE events SET from_state = 'delivered' WHERE kind = 'claimed'",
    "event_gaps": f"DELETE FROM events WHERE message_id = {DELIVERED} AND seq = 2",
    "state_is_fold": f"UPDATE messages SET state = 'waiting' WHERE id = {SENDING}",
    "verdict_is_told": f"UPDATE messages SET verdict = 'likely_filtered' WHERE id = {SENDING}",
    "broken_chains": "UPDATE events SET to_state = 'scheduled' WHERE seq = 1",
    "events_without_message": "INSERT INTO events VALUES (9, 1, 1, 'accepted', NULL, "
    "'accepted', 'api', '{}')",
    "epochs_ahead": f"UPDATE messages SET epoch = 99 WHERE id = {SENDING}",
    "unintended_handoffs": f"UPDATE messages SET attempts = 9 WHERE id = {DELIVERED}",
    "resends_without_policy": f"UPDATE messages SET resends = 1 WHERE id = {DELIVERED}",
    "second_handoffs": f"UPDATE messages SET attempts = 2 WHERE id = {DELIVERED}; "
    f"INSERT INTO events SELECT {DELIVERED}, 99, 1, 'claimed', 'submitted', 'submitted', "
    """'worker', '{"attempt":2}'""",
    "overdue": f"UPDATE orders SET outcome_deadline = accepted_at - {DAY_US}, "
    f"expires_at = accepted_at - {DAY_US} WHERE id = {QUEUED} >> 17",
    "delivered_without_evidence": "UPDATE events SET kind = 'receipt' "
    f"WHERE message_id = {DELIVERED}",
    "parked_too_long": f"UPDATE parked_receipts SET received_at = received_at - 4 * {DAY_US}",
    "parked_without_form": "DELETE FROM parked_forms",
    "foreign_handoffs": "UPDATE handoffs SET provider_id = 'elsewhere' "
    f"WHERE message_id = {DELIVERED}",
    "missing_handoffs": f"DELETE FROM handoffs WHERE message_id = {DELIVERED}",
    "times_go_back": f"UPDATE events SET at = 1 WHERE message_id = {DELIVERED} AND seq = 2",
    "wrong_environment": "UPDATE catalogue SET body = json_set(body, '$.environment', 'live') "
    "WHERE kind = 'key'",
    "abandoned_sending": f"UPDATE messages SET epoch = 0, changed_at = 1 WHERE id = {SENDING}",
    "held_by_orders": "UPDATE orders SET cost = cost + 1 WHERE id = 2",
    "settled_by_messages": f"UPDATE messages SET price = price + 1 WHERE id = {DELIVERED}",
    "adjusted_by_messages": "UPDATE adjustments SET amount = amount + 1",
}


# PostgreSQL's words for the same, where it has its own.
IN_POSTGRESQL = {
    "posting_integers": "ALTER TABLE postings ALTER amount TYPE NUMERIC; "
    + PLANTS["posting_integers"],
    "balance_integers": "ALTER TABLE balances ALTER available TYPE NUMERIC; "
    + PLANTS["balance_integers"],
    # A price's type can't be changed: a trigger names it.
    "message_integers": "ALTER TABLE messages ALTER provider_cost TYPE NUMERIC; "
    f"UPDATE messages SET provider_cost = 0.5 WHERE id = {DELIVERED}",
    "triggers": "DROP TRIGGER messages_resolve_once ON messages",
    "wrong_environment": "UPDATE catalogue SET "
    """body = jsonb_set(body::jsonb, '{environment}', '"live"')::json WHERE kind = 'key'""",
}


@dataclass(frozen=True)
class Sound:
    """An installation in which everything is right, and how to have a copy and spoil it."""

    place: str
    copied: Callable[[Path], AbstractContextManager[str]]
    ask: Callable[[str, str], Any]  # (place, query): the first value
    spoil: Callable[[str, str], int]  # (place, plant): how many rows it changed
    plants: Mapping[str, str]


def sqlite_sound(folder: Path) -> Sound:
    @contextmanager
    def copied(to: Path) -> Iterator[str]:
        shutil.copytree(folder, to / "data")
        yield str(to / "data")

    def ask(place: str, query: str) -> Any:
        connection = apsw.Connection(str(Path(place) / DATABASE_NAME))
        try:
            return connection.execute(query).get
        finally:
            connection.close()

    return Sound(str(folder), copied, ask, spoil_sqlite, PLANTS)


def spoil_sqlite(place: str, text: str) -> int:
    connection = apsw.Connection(str(Path(place) / DATABASE_NAME))
    connection.execute("PRAGMA ignore_check_constraints = ON")
    schema = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    triggers = connection.execute(schema).fetchall()
    for name, _ in triggers:
        if f"DROP TRIGGER {name}" not in text:
            connection.execute(f"DROP TRIGGER {name}")
    connection.execute(text)
    changed = connection.changes()
    for name, created in triggers:
        if f"DROP TRIGGER {name}" not in text:
            connection.execute(str(created))
    connection.close()
    return changed


def postgresql_sound(server_url: str, url: str) -> Sound:
    @contextmanager
    def copied(_to: Path) -> Iterator[str]:
        name = f"arrivals_test_{os.urandom(8).hex()}"
        template = url.rpartition("/")[2]
        execute(server_url, f'create database "{name}" template "{template}"')
        try:
            yield url.rpartition("/")[0] + f"/{name}"
        finally:
            drop_database(server_url, name)

    def ask(place: str, query: str) -> Any:
        return execute(place, query)[0][0]

    return Sound(url, copied, ask, spoil_postgresql, PLANTS | IN_POSTGRESQL)


def spoil_postgresql(place: str, text: str) -> int:
    checks_of = (
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype = 'c' AND coninhcount = 0 AND conrelid <> 0"
    )
    with psycopg.connect(place) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger fires
        for table, name in connection.execute(checks_of).fetchall():
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        cursor = connection.execute(text)
        while cursor.nextset():
            pass
        return cursor.rowcount


def spoil(sound: Sound, place: str, text: str) -> None:
    """Do to a database what its own rules forbid."""
    changed = sound.spoil(place, text)
    assert changed > 0 or "TRIGGER" in text, "the plant found nothing to spoil"
