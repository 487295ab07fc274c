"""An empty PostgreSQL database for any test that asks for one.

Each test process has a server of its own, started by its first such test: a second one costs a
second, and nothing has to be agreed between processes. `ARRIVALS_TEST_POSTGRESQL_URL` names a
server to use instead, as a superuser; `ARRIVALS_TEST_POSTGRESQL` chooses the version to start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.postgres.databases import EmptyDatabases
from tests.postgres.programs import VERSION_VARIABLE, NotInstalled, choose
from tests.postgres.server import (
    PostgresServer,
    create_database,
    drop_database,
    short_folder,
)

# For what isn't about durability: a tenth of the time for a database made and dropped. Whoever
# proves something about crashes starts a server of its own. Its log is bounded, as its folder
# may be in memory. Nobody gathers statistics behind a test's back: from a table that was just
# emptied they say that it has no rows and never will, whatever comes to be in it, and look-ups
# by key then read all of it.
QUICK: dict[str, Any] = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",
    "autovacuum": "off",
}

URL_VARIABLE = "ARRIVALS_TEST_POSTGRESQL_URL"


@contextmanager
def running_server() -> Iterator[str]:
    """Give the URL of the server that was named, or else of one that is started for it."""
    if URL_VARIABLE in os.environ:
        yield os.environ[URL_VARIABLE]
        return
    need_programs()
    with (
        short_folder() as folder,
        PostgresServer(folder / "server", version=None, **QUICK) as server,
    ):
        yield server.url()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Return the URL of a running server, of the database from which others are created."""
    with running_server() as url:
        yield url


@pytest.fixture(scope="session")
def empty_databases(postgres_server: str) -> Iterator[EmptyDatabases]:
    """Return a stock of databases that have the schema and no rows."""
    databases = EmptyDatabases(postgres_server)
    yield databases
    databases.drop()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Return the URL of a database of this test's own, empty."""
    name = f"arrivals_test_{os.urandom(8).hex()}"
    yield create_database(postgres_server, name)
    drop_database(postgres_server, name)


def need_programs(version: int | None = None) -> None:
    """Skip the test without the programs; fail it in CI, or if their version was asked for."""
    try:
        choose(version)
    except NotInstalled as missing:
        if "CI" in os.environ or VERSION_VARIABLE in os.environ:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
