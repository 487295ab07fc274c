"""Learn what other processes did: new work, messages that moved, how far lanes are.

Where several processes share a database, a commit of one isn't announced to the others: a
notification inside a commit would make all commits wait for each other. Each looks instead,
and asks only for what it would act on: for work only while a provider of its own has none, for
messages only while somebody waits for them. A look is a few probes of an index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from arrivals.flows.divert import LANES
from arrivals.flows.fleet import Fleet
from arrivals.flows.platform import Platform
from arrivals.store.api import Step, StoreError, Transaction

LOOK_EVERY_S: Final = 0.05  # for work: half of it is what a code waits on average
CHANGES_EVERY_S: Final = 0.2
LANES_EVERY_S: Final = 1.0
REST_S: Final = 1.0  # after the database couldn't be read

_log = logging.getLogger("arrivals.neighbours")


def _lane_times(tx: Transaction, items: Sequence[None]) -> list[list[tuple[str, int, int]]]:
    return [tx.lane_times() for _ in items]


LANE_TIMES: Final[Step[None, list[tuple[str, int, int]]]] = Step("lane times", 95, _lane_times)


class Neighbours:
    """The look-out of one process."""

    def __init__(self, platform: Platform, fleet: Fleet) -> None:
        self._platform = platform
        self._fleet = fleet
        self._known: dict[int, int] = {}  # the newest event of messages that are waited for

    async def run(self) -> None:
        """Look until cancelled."""
        clock = self._platform.clock
        changes_at = lanes_at = clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._look_for_work()
                now = clock.monotonic()
                if now - changes_at >= CHANGES_EVERY_S:
                    changes_at = now
                    await self._look_for_changes()
                if now - lanes_at >= LANES_EVERY_S:
                    lanes_at = now
                    await self._follow_lanes()
            except StoreError:
                await asyncio.sleep(REST_S)
            except Exception:  # noqa: BLE001 - a look that failed is made up for by the next
                _log.exception("a look at what other processes did failed")
                await asyncio.sleep(REST_S)

    async def _look_for_work(self) -> None:
        """Wake dispatchers whose provider has something ready."""
        idle = self._fleet.idle()
        if not idle:
            return
        lanes = [(provider_id, lane) for provider_id in idle for lane in LANES]
        paused = self._platform.catalogue.paused()
        ready: set[str] = await self._platform.store.read(
            lambda reader: reader.ready_providers(lanes, paused)
        )
        for provider_id in ready:
            self._platform.changes.queued(provider_id)

    async def _look_for_changes(self) -> None:
        """Wake whoever waits for a message that another process moved on."""
        keys = self._platform.changes.waited_for()
        if not keys:
            self._known = {}
            return
        newest: dict[int, int] = await self._platform.store.read(
            lambda reader: reader.newest_events(keys)
        )
        # One that is new here may have moved since its waiter looked: it looks once more.
        self._platform.changes.publish(
            key for key, seq in newest.items() if self._known.get(key) != seq
        )
        self._known = newest

    async def _follow_lanes(self) -> None:
        """Give places in lanes from where their claimers are."""
        store, ranks = self._platform.store, self._platform.ranks
        for provider_id, lane, rank in await store.write(LANE_TIMES, None):
            ranks.claimed(provider_id, lane, rank)
