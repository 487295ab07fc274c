"""An empty database with the schema, for tests that open several stores on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres.databases import EmptyDatabases


@pytest.fixture
def database(empty_databases: EmptyDatabases) -> Iterator[str]:
    """Return the URL of a database that has the schema and no rows."""
    with empty_databases.lent() as lend:
        yield lend()
