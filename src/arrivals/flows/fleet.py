"""Keep one dispatcher for every provider of the catalogue, whatever changes or breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue, Flow, Provider
from arrivals.flows.dispatch import Dispatcher
from arrivals.flows.platform import Platform
from arrivals.providers.api import Connection
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.fleet")

LOOK_EVERY_S: Final = 1.0  # a changed catalogue or a revoked key holds this soon
RESTART_AFTER_S: Final = 1.0


def _changed(tx: Transaction, versions: Sequence[int]) -> list[Catalogue | None]:
    present = int(tx.setting("catalogue_version") or 0)
    return [None if version == present else tx.catalogue() for version in versions]


CATALOGUE: Final = Step("catalogue", 95, _changed)


class Fleet:
    """The dispatchers of one process, and its look-out for a changed catalogue."""

    def __init__(
        self, platform: Platform, connect: Callable[[Provider], Connection], owner: str
    ) -> None:
        self.dispatchers: dict[str, Dispatcher] = {}
        self._platform = platform
        self._connect = connect
        self._owner = owner
        self._unread = ""  # why the newest catalogue couldn't be read
        self._running: dict[str, tuple[Provider, asyncio.Task[None]]] = {}
        platform.binds = self.binds

    async def run(self) -> None:
        """Send until cancelled; then let every dispatcher finish what is under way."""
        try:
            while True:
                await self._adapt()
                await asyncio.sleep(LOOK_EVERY_S)
                await self._look()
        finally:
            await self._stop(list(self._running))

    def binds(self) -> dict[str, bool]:
        """Return which providers' connections can take messages."""
        return {name: each.connection.up for name, each in self.dispatchers.items()}

    async def _look(self) -> None:
        platform = self._platform
        try:
            changed = await platform.store.write(CATALOGUE, platform.catalogue.version)
        except StoreError:
            return  # the snapshot holds until the store is back
        except msgspec.DecodeError as error:
            if str(error) != self._unread:
                _log.error("the catalogue can't be read, so the last one holds: %s", error)
            self._unread = str(error)
            return
        self._unread = ""
        if changed is not None:
            platform.swap(changed)
            for provider_id in changed.providers:
                platform.changes.queued(provider_id)

    async def _adapt(self) -> None:
        """Start dispatchers for new providers; replace those of changed or broken ones."""
        wanted = self._platform.catalogue.providers
        stale = [
            name
            for name, (provider, task) in self._running.items()
            if name not in wanted or not _same_dial(provider, wanted[name]) or task.done()
        ]
        await self._stop(stale)
        for name, provider in wanted.items():
            if name not in self._running:
                task = asyncio.create_task(self._send(provider), name=f"dispatch {name}")
                self._running[name] = (provider, task)

    async def _send(self, provider: Provider) -> None:
        try:
            dispatcher = Dispatcher(self._platform, self._connect(provider), self._owner)
            self.dispatchers[provider.provider_id] = dispatcher
            await dispatcher.run()
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - one provider's trouble must not reach the others
            _log.exception("provider %s: its dispatcher stopped", provider.provider_id)
            await asyncio.sleep(RESTART_AFTER_S)

    async def _stop(self, names: list[str]) -> None:
        tasks = [self._running.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in names:
            self.dispatchers.pop(name, None)


def _same_dial(before: Provider, after: Provider) -> bool:
    """Tell whether two versions of a provider differ in no more than whether traffic passes."""
    return replace(before, flow=Flow.ACTIVE) == replace(after, flow=Flow.ACTIVE)
