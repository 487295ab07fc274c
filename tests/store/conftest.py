"""Ground for the tests of the store, on each backend: a test asks for `ground`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from arrivals.clock import SystemClock
from arrivals.store.api import Store
from arrivals.store.backend import open_store
from arrivals.store.verifying import verify
from tests.backends import POSTGRESQL, SQLITE, Backend
from tests.postgres.server import create_database, drop_database
from tests.store.damage import Sound, postgresql_sound, sqlite_sound
from tests.store.ground import Ground, StillClock
from tests.store.inhabited import inhabit


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


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


# A database is a second where a folder is a few milliseconds.
SOUND = [
    pytest.param(SQLITE, id="sqlite"),
    pytest.param(POSTGRESQL, id="postgresql", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=SOUND)
def sound(request, tmp_path_factory) -> Iterator[Sound]:
    """An installation in which everything is right, made once for the module.

    It was verified when it was empty, so all there is has changed since.
    """
    if request.param is SQLITE:
        made = sqlite_sound(tmp_path_factory.mktemp("sound"))
        asyncio.run(_settle_in(made.place))
        yield made
        return
    server_url = request.getfixturevalue("postgres_server")
    name = f"arrivals_test_{os.urandom(8).hex()}"
    made = postgresql_sound(server_url, create_database(server_url, name))
    asyncio.run(_settle_in(made.place))
    yield made
    drop_database(server_url, name)


async def _settle_in(place: str) -> None:
    store = open_store(place, SystemClock())
    await store.open()
    await store.close()
    assert verify(place, SystemClock()).run.kind == "full"
    await inhabit(place)


@pytest.fixture
def copy(sound, tmp_path) -> Iterator[str]:
    """A copy of it, to be spoilt."""
    with sound.copied(tmp_path) as place:
        yield place
