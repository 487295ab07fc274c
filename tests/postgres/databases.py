"""Databases with the schema and nothing else in them, lent to one test after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from arrivals.store.postgres_connection import PostgresConnection
from arrivals.store.postgres_schema import migrate
from tests.postgres.server import create_database, drop_database, execute

PAGES_MAX = 32  # that an emptied table may keep; to delete is quicker than to truncate

# Past the triggers that refuse it, in one round trip, and only where something was written: a
# statement about a partitioned table begins by opening every partition.
EMPTY = f"""
DO $$
DECLARE each record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR each IN SELECT relname FROM pg_class WHERE relname ~ '^raw_receipts_\\d+$' LOOP
        EXECUTE format('DROP TABLE %I', each.relname);
    END LOOP;
    FOR each IN
        SELECT oid, relname FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
          AND relname NOT IN ('schema_versions', 'moves', 'spans') AND pg_relation_size(oid) > 0
    LOOP
        IF pg_relation_size(each.oid) > {PAGES_MAX} * 8192 THEN
            EXECUTE format('TRUNCATE %I', each.relname);
        ELSE
            EXECUTE format('DELETE FROM %I', each.relname);
        END IF;
    END LOOP;
    UPDATE spans SET begun_at = NULL WHERE begun_at IS NOT NULL;
    PERFORM setval(format('%I', sequencename), start_value, false) FROM pg_sequences;
END $$
"""


class EmptyDatabases:
    """A stock of databases: emptying one takes a hundredth of the time of making another."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._names: list[str] = []
        self._free: list[str] = []

    @contextmanager
    def lent(self) -> Iterator[Callable[[], str]]:
        """Give a function that lends another database at each call, until the end."""
        out: list[str] = []

        def lend() -> str:
            out.append(self._free.pop() if self._free else self._make())
            return out[-1]

        try:
            yield lend
        finally:
            for each in out:
                _empty(each)
            self._free += out

    def drop(self) -> None:
        """Drop them all."""
        for name in self._names:
            drop_database(self._server_url, name)

    def _make(self) -> str:
        name = f"arrivals_test_{os.urandom(8).hex()}"
        url = create_database(self._server_url, name)
        self._names.append(name)
        session = PostgresConnection(url, application="prepare")
        migrate(session)
        session.close()
        return url


def _empty(url: str) -> None:
    """Delete every row and start every sequence anew."""
    execute(url, EMPTY)
