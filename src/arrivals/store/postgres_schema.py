"""Bring a PostgreSQL database's schema up to date, on a live database.

A migration says in its first line with which schema the oldest program works that can run
beside it: so the processes of version N and N-1 may serve together while they are replaced.
"""

from __future__ import annotations

import re
from time import sleep
from typing import Final

import psycopg

from arrivals.core.message import TRANSITIONS
from arrivals.store.api import StoreUnavailable
from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.statements import POSTGRESQL, migrations

_MIGRATE_LOCK: Final = 3 << 60
# A change of a table waits for whoever reads it, and all others wait behind the change. So it
# gives up soon, lets them pass, and tries again.
LOCK_WAIT_S: Final = 2.0
LOCK_WAITS_MAX: Final = 30
BETWEEN_WAITS_S: Final = 0.5
_WORKS_WITH: Final = re.compile(r"^-- works with: (\d+)$", re.MULTILINE)


def migrate(session: PostgresConnection) -> list[int]:
    """Run the migrations that are missing, all or nothing; return their numbers.

    Raises StoreUnavailable if a newer Arrivals has been here that this one can't run beside,
    or if the database can't keep every text.
    """
    if session.encoding != "UTF8":
        raise StoreUnavailable(
            f"the database keeps texts in {session.encoding}, which hasn't every character",
            "create one with: createdb --encoding=UTF8 --template=template0 NAME",
        )
    missing = missing_migrations(session)
    if not missing and _has_moves(session):
        return []
    for _ in range(LOCK_WAITS_MAX - 1):
        try:
            return _migrate_once(session)
        except psycopg.errors.LockNotAvailable:
            sleep(BETWEEN_WAITS_S)
    return _migrate_once(session)


def _migrate_once(session: PostgresConnection) -> list[int]:
    session.script("BEGIN")
    try:
        session.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATE_LOCK,))
        session.script(f"SET LOCAL lock_timeout = {round(LOCK_WAIT_S * 1_000)}")
        session.script(
            "CREATE TABLE IF NOT EXISTS schema_versions"
            " (version BIGINT PRIMARY KEY, works_with BIGINT NOT NULL)"
        )
        known = dict(migrations(POSTGRESQL))
        missing = missing_migrations(session)  # somebody else may have been quicker
        for version in missing:
            session.script(known[version])
            session.execute(
                "INSERT INTO schema_versions VALUES (%s, %s)",
                (version, works_with(known[version])),
            )
        for source, target in _legal_moves():
            session.execute(
                "INSERT INTO moves VALUES (%s, %s) ON CONFLICT DO NOTHING", (source, target)
            )
        session.script("COMMIT")
    finally:
        if not session.is_broken and session.in_transaction:
            session.script("ROLLBACK")
    return missing


def missing_migrations(session: PostgresConnection) -> list[int]:
    """Return the numbers of the migrations that the database hasn't seen.

    Raises StoreUnavailable if it has seen newer ones that this program can't run beside.
    """
    known = dict(migrations(POSTGRESQL))
    if session.execute("SELECT to_regclass('schema_versions')").get is None:
        return sorted(known)
    done = dict(session.execute("SELECT version, works_with FROM schema_versions").fetchall())
    for version in sorted(done.keys() - known.keys()):
        if done[version] > max(known):
            raise StoreUnavailable(f"a newer Arrivals made this database (schema {version})")
    return sorted(known.keys() - done.keys())


def works_with(text: str) -> int:
    """Return the oldest schema whose program runs on what a migration leaves."""
    found = _WORKS_WITH.search(text)
    if found is None:
        raise AssertionError("a migration says with which older schema its result works")
    return int(found[1])


def _legal_moves() -> set[tuple[str, str]]:
    return {(source.value, target.value) for (source, _), target in TRANSITIONS.items()}


def _has_moves(session: PostgresConnection) -> bool:
    present = set(session.execute("SELECT from_state, to_state FROM moves").fetchall())
    return _legal_moves() <= present
