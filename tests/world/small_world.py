"""A world in which everything is at once and certain, but for what a test adds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arrivals.world.scenario import Scenario, parse_scenario
from arrivals.world.smsc import CarrierWorld
from tests.world.esme import now_us

SMALL = """
name = "small"
about = "For these tests."
[expect.default]
truth = { reached = 1.0 }
reported = { delivered = 1.0 }
[providers.default]
PROVIDER
[[carriers]]
name = "one"
"""


@asynccontextmanager
async def small_world(
    provider: str = "", *, scenario: Scenario | None = None, **settings: object
) -> AsyncIterator[CarrierWorld]:
    scenario = scenario or parse_scenario(SMALL.replace("PROVIDER", provider))
    world = CarrierWorld(scenario, seed=1, now_us=now_us, **settings)  # type: ignore[arg-type]
    async with world:
        yield world
