"""Keep one dispatcher for every provider of the catalogue, whatever changes or breaks."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue, Flow, Provider
from arrivals.flows.dispatch import Dispatcher
from arrivals.flows.lease import LEASED_ELSEWHERE, LeaseLost
from arrivals.flows.platform import Platform
from arrivals.providers.api import Connection
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.fleet")

SHARE_AT_ONCE: Final = 3  # a third of the free binds, rounded up, at each look
LOOK_EVERY_S: Final = 1.0  # a changed catalogue or a revoked key holds this soon
RESTART_AFTER_S: Final = 1.0


def _changed(tx: Transaction, versions: Sequence[int]) -> list[Catalogue | None]:
    present = int(tx.setting("catalogue_version") or 0)
    return [None if version == present else tx.catalogue() for version in versions]


CATALOGUE: Final = Step("catalogue", 95, _changed)


class Fleet:
    """The dispatchers of one process, and its look-out for changes and free binds."""

    def __init__(
        self,
        platform: Platform,
        connect: Callable[[Provider], Connection],
        owner: str,
        *,
        sends: bool = True,
    ) -> None:
        """Name the owner of the binds; one that doesn't send keeps the look-out only."""
        self.dispatchers: dict[str, Dispatcher] = {}
        self._sends = sends
        self._elsewhere: dict[str, bool] = {}  # binds that others own, and whether each is up
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
                await asyncio.sleep(LOOK_EVERY_S * self._platform.patience)
                await self._look()
        finally:
            await self._stop(list(self._running))

    def binds(self) -> dict[str, bool]:
        """Return which providers' connections can take messages, in whichever process."""
        own = {name: each.connection.up for name, each in self.dispatchers.items()}
        return self._elsewhere | own

    def windows(self) -> dict[str, tuple[int, int]]:
        """Return how many unanswered PDUs each of our providers may have, and has."""
        return {
            name: (each.connection.window, each.connection.window_used)
            for name, each in self.dispatchers.items()
        }

    def idle(self) -> list[str]:
        """Return the providers that this process sends for and that wait for work."""
        return [name for name, each in self.dispatchers.items() if each.is_idle]

    async def _look(self) -> None:
        platform = self._platform
        try:
            changed = await platform.store.write(CATALOGUE, platform.catalogue.version)
            if platform.store.is_shared:
                self._elsewhere = await platform.store.write(LEASED_ELSEWHERE, self._owner)
                for name, up in self._elsewhere.items():
                    platform.conditions.elsewhere(name, platform.clock.monotonic(), up=up)
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
        stale = []
        for name, (provider, task) in self._running.items():
            if name not in wanted:
                _log.info("provider %s: it isn't in the catalogue any more: unbinding", name)
            elif not _same_dial(provider, wanted[name]):
                _log.info("provider %s: its settings changed: binding anew", name)
            elif not task.done():
                continue
            stale.append(name)
        await self._stop(stale)
        for name in stale:
            if name not in wanted:
                self._platform.conditions.forget(name)
        for name in self._to_start(list(wanted)):
            task = asyncio.create_task(self._send(wanted[name]), name=f"dispatch {name}")
            self._running[name] = (wanted[name], task)

    def _to_start(self, wanted: Sequence[str]) -> list[str]:
        """Return the providers to begin sending for: of those that are free a share.

        Processes that share a database begin in orders of their own and leave some for the
        others, who look at the same time; what is left over they take at the next look.
        """
        if not self._sends:
            return []
        free = [each for each in wanted if each not in self._running]
        if not self._platform.store.is_shared:
            return free
        free = [each for each in free if each not in self._elsewhere]
        free.sort(key=lambda each: zlib.crc32(f"{self._owner} {each}".encode()))
        return free[: -(-len(free) // SHARE_AT_ONCE)]

    async def _send(self, provider: Provider) -> None:
        try:
            dispatcher = Dispatcher(self._platform, self._connect(provider), self._owner)
            self.dispatchers[provider.provider_id] = dispatcher
            await dispatcher.run()
        except asyncio.CancelledError:
            raise
        except LeaseLost as lost:
            _log.warning("provider %s: unbound: %s", provider.provider_id, lost)
        except StoreError as error:
            _log.warning("provider %s waits for the store: %s", provider.provider_id, error)
            await asyncio.sleep(RESTART_AFTER_S)
        except Exception:  # noqa: BLE001 - one provider's trouble must not reach the others
            _log.exception("provider %s: its dispatcher stopped", provider.provider_id)
            await asyncio.sleep(RESTART_AFTER_S)

    async def _stop(self, names: list[str]) -> None:
        for name in names:
            self._tell_what_is_under_way(name)
        tasks = [self._running.pop(name)[1] for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for name in names:
            self.dispatchers.pop(name, None)

    def _tell_what_is_under_way(self, name: str) -> None:
        """Say what an end waits for."""
        dispatcher = self.dispatchers.get(name)
        provider, task = self._running[name]
        if dispatcher is None or task.done():
            return
        connection = dispatcher.connection
        sent = max(0, provider.window - connection.capacity()) if connection.up else 0
        if sent or dispatcher.recording:
            text = "provider %s: waits for %d answers, and to record %d batches of facts"
            _log.info(text, name, sent, dispatcher.recording)


def _same_dial(before: Provider, after: Provider) -> bool:
    """Tell whether two versions of a provider differ in no more than whether traffic passes."""
    return replace(before, flow=Flow.ACTIVE) == replace(after, flow=Flow.ACTIVE)
