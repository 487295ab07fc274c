"""One process of Arrivals as it serves, wired as `runtime` does but without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from arrivals.clock import Chance, Clock
from arrivals.core.catalogue import Provider
from arrivals.flows.administer import ENSURE_INSTALLATION
from arrivals.flows.applying import APPLY_CONFIGURATION
from arrivals.flows.configuration import Configuration
from arrivals.flows.fleet import Fleet
from arrivals.flows.learning import Learning
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.flows.sweep import Sweeper
from arrivals.http.app import application
from arrivals.http.exchange import ASGIApp
from arrivals.providers.smpp import SmppConnection
from arrivals.store.api import Store, StoreError
from arrivals.store.backend import activity_log, open_store

REOPEN_S: Final = 1.0


async def install(
    folder: Path, clock: Clock, chance: Chance, configuration: Configuration
) -> None:
    """Make the database of a data folder, and apply a configuration to it."""
    store = open_store(folder, clock)
    await store.open()
    await store.write(ENSURE_INSTALLATION, chance.entropy)
    await store.write(APPLY_CONFIGURATION, configuration)
    await store.close()


class Answer(NamedTuple):
    """What a customer was answered."""

    status: int
    body: Any


class Process:
    """One life of a process, from start to stop or death."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        chance: Chance,
        defaults: Defaults,
        *,
        learns: bool = False,
        patience: float = 1.0,
    ) -> None:
        """Prepare; nothing is opened before `start`."""
        self._folder, self._clock, self._chance = folder, clock, chance
        self._defaults = defaults
        self._learns, self._patience = learns, patience
        self._app: ASGIApp | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._work: list[asyncio.Task[None]] = []
        self.store: Store | None = None
        self.platform: Platform | None = None
        self._activity: Any = None

    async def start(self) -> None:
        """Open the folder and begin to serve; while the disk doesn't let it, try again."""
        while True:
            try:
                await self._open()
                return
            except StoreError:
                await self._close()
                await asyncio.sleep(REOPEN_S)

    async def _open(self) -> None:
        self.store = open_store(self._folder, self._clock)
        await self.store.open()
        self._activity = activity_log(self._folder)
        await self._activity.open()
        platform, secret = await open_platform(
            self.store, self._clock, self._chance, self._defaults
        )
        platform.patience = self._patience
        self.platform = platform
        fleet = Fleet(platform, self._connect, "simulated")
        self._app = application(platform, self._activity, secret)
        self._work = [
            asyncio.create_task(fleet.run(), name="fleet"),
            asyncio.create_task(Sweeper(platform).run(), name="sweep"),
        ]
        if self._learns:
            learning = Learning(platform, secret, learns=True)
            platform.foresee = learning.foresee
            platform.endings = learning.endings
            platform.choosing.estimate = learning.estimate
            platform.choosing.destinations = learning.destinations
            self._work.append(asyncio.create_task(learning.run(), name="learning"))

    def _connect(self, provider: Provider) -> SmppConnection:
        return SmppConnection(
            provider, "world", self._clock, self._chance, patience=self._patience
        )

    @property
    def dead_parts(self) -> list[str]:
        """The parts that ended though nobody asked them to."""
        return [task.get_name() for task in self._work if task.done()]

    async def stop(self) -> None:
        """Finish what is under way, then close."""
        self._app = None
        await _end(list(self._requests))
        await _end(self._work)
        self._work = []
        await self._close()

    async def _close(self) -> None:
        if self._activity is not None:
            await self._activity.close()
        if self.store is not None:
            await self.store.close()
        self.store = self._activity = None

    async def call(
        self,
        method: str,
        path: str,
        key: str,
        body: Any = None,
        *,
        patience_s: float = 60.0,
        headers: dict[str, str] | None = None,
    ) -> Answer | None:
        """Ask the API; None if there was no answer, whatever was done."""
        if self._app is None:
            return None
        exchange = _Exchange(method, path, key, body, headers or {})
        task = asyncio.create_task(exchange.run(self._app))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        exchange.gone.set()
        return exchange.answer if done and not task.cancelled() else None


class _Exchange:
    """One request over ASGI."""

    def __init__(
        self, method: str, path: str, key: str, body: Any, headers: dict[str, str]
    ) -> None:
        self.gone = asyncio.Event()
        self.answer: Answer | None = None
        self._status = 0
        self._chunks: list[bytes] = []
        self._body: bytes | None = b"" if body is None else msgspec.json.encode(body)
        path, _, query = path.partition("?")
        sent = {"x-api-key": key, "content-type": "application/json", **headers}
        self._scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
        }

    def run(self, app: ASGIApp) -> Coroutine[Any, Any, None]:
        """Return what answers it."""
        coroutine: Any = app(self._scope, self._receive, self._send)
        return coroutine  # type: ignore[no-any-return]

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: Any) -> None:
        if event["type"] == "http.response.start":
            self._status = event["status"]
            return
        self._chunks.append(event.get("body", b""))
        if not event.get("more_body", False):
            whole = b"".join(self._chunks)
            self.answer = Answer(self._status, msgspec.json.decode(whole) if whole else None)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
