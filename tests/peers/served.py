"""Serve an installation over real sockets, from a thread, for clients that block."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import uvicorn

from tests.http.installation import Installation, installed

T = TypeVar("T")

START_TIMEOUT_S = 20


class Served:
    """An installation with its API on a port of its own; no dispatcher runs."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="served", daemon=True)
        self.url = ""
        self.installation: Installation
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server

    @property
    def keys(self) -> dict[str, str]:
        return self.installation.keys

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(START_TIMEOUT_S), "the server didn't start"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(START_TIMEOUT_S)
        assert not self._thread.is_alive()

    def do(self, work: Callable[[Installation], Coroutine[Any, Any, T]]) -> T:
        """Run some work on the server's own loop."""
        future = asyncio.run_coroutine_threadsafe(work(self.installation), self._loop)
        return future.result(START_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with installed(self._place) as self.installation:
            config = uvicorn.Config(
                self.installation.app,
                lifespan="off",
                log_config=None,
                access_log=False,
                http="httptools",
                ws="none",
            )
            self._server = _Server(config, self._ready)
            await self._server.serve([listening])


class _Server(uvicorn.Server):
    """A server that says when it has started."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()


@contextlib.contextmanager
def served(place: str) -> Iterator[Served]:
    """Serve an installation at a place until the end of the block."""
    server = Served(place)
    server.start()
    try:
        yield server
    finally:
        server.stop()
