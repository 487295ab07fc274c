"""Ground for the tests of the store, on each backend: a test asks for `ground`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from arrivals.store.api import Store
from tests.backends import Backend
from tests.store.ground import Ground, StillClock


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
