"""What tests of flows share; those with an installation of their own say so themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from arrivals.flows import dispatch
from tests.flows.installation import Installation, installed, provider, route


@pytest.fixture
async def here(place: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    """Two providers on two routes; over the first, who is throttled moves on in 5 seconds."""
    monkeypatch.setattr(dispatch, "IDLE_LOOK_S", 0.01)
    both = ["north", "south"]
    async with installed(
        place,
        providers=[provider(name, 1) for name in both],
        routes=[route(1, both, throttle_failover_s=5), route(2, both)],
        started=False,
    ) as installation:
        yield installation
