"""One suite, every backend: a test asks for `ground`, and differs by what a backend can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arrivals.store.api import Store
from tests.store.ground import BACKENDS, Backend, Ground, StillClock


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = request.param
    return found


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def store(backend: Backend, clock: StillClock, tmp_path: Path) -> AsyncIterator[Store]:
    async with backend.open_in(tmp_path / "data", clock) as opened:
        yield opened


@pytest.fixture
def ground(store: Store, backend: Backend, clock: StillClock) -> Ground:
    return Ground(store=store, backend=backend, clock=clock)


@pytest.fixture
async def funded(ground: Ground) -> Ground:
    """Ground on which account 1 has money."""
    await ground.fund()
    return ground
