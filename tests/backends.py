"""One suite, every backend: what a test of the store stands on, and what backends differ in.

A test that asks for `place`, or for a fixture made from it, runs once on each backend.
Where one can't do what another can, the test asks its `Backend` what it can do, never its name.

`make check` has a minute, so it runs a backend that isn't quick only where a test is marked
`each_backend`: money and keys that several want at once, claims. `make test` runs
everything on every backend.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest

from arrivals.clock import Clock
from arrivals.store.api import Store
from arrivals.store.backend import is_postgresql
from arrivals.store.postgres import PostgresStore
from arrivals.store.sqlite import SqliteStore
from tests.postgres.databases import EmptyDatabases

_HOLDERS = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Backend:
    """How to open a store of one kind, and what it can do that another may not.

    `execute` and `damage` run a statement of a test's own, with `?` for its values, on the
    connection of a transaction or of a reader; `damage` past every trigger.
    """

    name: str
    open_at: Callable[[str, Clock], AbstractAsyncContextManager[Store]]
    execute: Callable[[Any, str, Sequence[Any]], list[tuple[Any, ...]]]
    damage: Callable[[Any, str, Sequence[Any]], None]
    many_write: bool  # at once: ids leave gaps, and an account's money is kept in slots
    lives_in_a_folder: bool  # one process at a time, files with modes, a log to be synced
    tells_its_commits: bool  # how many transactions there were, and how many items they held
    is_typed: bool  # no column holds a value that can't be read
    walls_tenants: bool  # an account's reader sees no other's rows, whatever is asked
    has_checks: bool  # store/checks.py can ask it
    is_quick: bool  # costs no server


@asynccontextmanager
async def _opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


# --- SQLite -----------------------------------------------------------------------------


def _execute_sqlite(owner: Any, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = owner._connection.execute(text, values).fetchall()
    return found


def _damage_sqlite(owner: Any, text: str, values: Sequence[Any]) -> None:
    connection: apsw.Connection = owner._connection
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    try:
        connection.execute(text, values).fetchall()
    finally:
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 1)


SQLITE = Backend(
    name="sqlite",
    open_at=lambda place, clock: _opened(SqliteStore(Path(place), clock)),
    execute=_execute_sqlite,
    damage=_damage_sqlite,
    many_write=False,
    lives_in_a_folder=True,
    tells_its_commits=True,
    is_typed=False,
    walls_tenants=False,
    has_checks=True,
    is_quick=True,
)

# --- PostgreSQL -------------------------------------------------------------------------


def _execute_postgresql(owner: Any, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    text = text.replace("%", "%%").replace("?", "%s")
    found: list[tuple[Any, ...]] = owner._connection.execute(text, values).fetchall()
    return found


def _damage_postgresql(owner: Any, text: str, values: Sequence[Any]) -> None:
    _execute_postgresql(owner, "SET LOCAL session_replication_role = replica", ())
    _execute_postgresql(owner, text, values)
    _execute_postgresql(owner, "SET LOCAL session_replication_role = origin", ())


POSTGRESQL = Backend(
    name="postgresql",
    # A name of its own each time: the processes that share a database have one each.
    open_at=lambda place, clock: _opened(
        PostgresStore(place, clock, holder=f"test-{next(_HOLDERS)}")
    ),
    execute=_execute_postgresql,
    damage=_damage_postgresql,
    many_write=True,
    lives_in_a_folder=False,
    tells_its_commits=True,
    is_typed=True,
    walls_tenants=True,
    has_checks=False,
    is_quick=False,
)
BACKENDS = (SQLITE, POSTGRESQL)


def backend_at(place: str | Path) -> Backend:
    """Return the backend whose stores are at such a place."""
    return POSTGRESQL if is_postgresql(place) else SQLITE


# --- places -----------------------------------------------------------------------------


@pytest.fixture(params=BACKENDS, ids=lambda each: each.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """The backend under test."""
    found: Backend = request.param
    return found


@contextmanager
def places(
    backend: Backend, folder: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[], str]]:
    """Give a function that names a place for a store at each call; nothing is there yet."""
    if backend.lives_in_a_folder:
        names = itertools.chain(["data"], (f"data-{n}" for n in itertools.count(2)))
        yield lambda: str(folder / next(names))
        return
    databases: EmptyDatabases = request.getfixturevalue("empty_databases")
    with databases.lent() as lend:
        yield lend


@pytest.fixture
def new_place(
    backend: Backend, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Where stores of this backend can be opened: nothing is there yet, at each call."""
    with places(backend, tmp_path, request) as named:
        yield named


@pytest.fixture
def place(new_place: Callable[[], str]) -> str:
    """Where a store of this backend can be opened: nothing is there yet."""
    return new_place()


# --- which backends `make check` runs ---------------------------------------------------


def leave_the_dear_ones(items: list[pytest.Item]) -> None:
    """Leave to `make test` what runs on a backend that isn't quick, unless it is asked for."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        values = parameters.params.values() if parameters is not None else ()
        dear = any(isinstance(each, Backend) and not each.is_quick for each in values)
        if dear and item.get_closest_marker("each_backend") is None:
            item.add_marker(pytest.mark.slow)
