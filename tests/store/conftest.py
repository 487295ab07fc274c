"""One suite, every backend: a test asks for `ground`, and differs by what a backend can do."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from arrivals.store.api import Store
from tests.postgres.databases import EmptyDatabases
from tests.store.ground import BACKENDS, Backend, Ground, StillClock


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param
    return found


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def new_place(
    backend: Backend, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Where stores of this backend can be opened: nothing is there yet, at each call."""
    if backend.lives_in_a_folder:
        names = itertools.chain(["data"], (f"data-{n}" for n in itertools.count(2)))
        yield lambda: str(tmp_path / next(names))
        return
    databases: EmptyDatabases = request.getfixturevalue("empty_databases")
    with databases.lent() as lend:
        yield lend


@pytest.fixture
def place(new_place: Callable[[], str]) -> str:
    """Where a store of this backend can be opened: nothing is there yet."""
    return new_place()


@pytest.fixture
async def store(backend: Backend, clock: StillClock, place: str) -> AsyncIterator[Store]:
    async with backend.open_at(place, clock) as opened:
        yield opened


@pytest.fixture
def ground(store: Store, backend: Backend, clock: StillClock) -> Ground:
    return Ground(store=store, backend=backend, clock=clock)


@pytest.fixture
async def funded(ground: Ground) -> Ground:
    """Ground on which account 1 has money."""
    await ground.fund()
    return ground
