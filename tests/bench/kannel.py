"""Kannel, the C gateway, under the same load and against the same carrier world.

Without a store it keeps its queue in memory: its fastest form, which loses what it acknowledged
when it is killed. With callbacks its smsbox calls a URL for every receipt, which is how its
users learn of an outcome; without, nobody is told. Debian's package is what is run.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlencode

import httpx

from tests.bench.end_to_end import SETTLE_TIMEOUT_S
from tests.bench.figures import Figure
from tests.bench.load import finished, in_turn, opened
from tests.bench.site import WINDOW
from tests.e2e.servers import Process, free_port

START_TIMEOUT_S = 15.0
LOOK_EVERY_S = 0.05
RECEIPTS_WANTED = 3  # dlr-mask: delivered to the phone, or not

Store = Literal["none", "file", "spool"]
STORES: Final[dict[Store, str]] = {
    "none": "",
    "file": "store-type = file\nstore-location = {folder}/store",  # all of it, every 10 s
    "spool": "store-type = spool\nstore-location = {folder}",  # one file a message
}

# An empty line ends a group, so the store stands last.
BEARERBOX = """
group = core
admin-port = {admin}
admin-password = bench
smsbox-port = {box}
box-allow-ip = 127.0.0.1
dlr-storage = internal
log-file = {folder}/bearerbox.log
log-level = 3
{store}

group = smsc
smsc = smpp
smsc-id = world
host = 127.0.0.1
port = {smpp}
smsc-username = world
smsc-password = world
system-type = ""
transceiver-mode = true
max-pending-submits = {window}
enquire-link-interval = 30
"""

SMSBOX = """
group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {box}
sendsms-port = {http}
log-file = {folder}/smsbox.log
log-level = 3
max-pending-requests = 512

group = sendsms-user
username = bench
password = bench
max-messages = 10
"""

# Kannel wants every group in the file of whichever box reads it.
CONFIG = BEARERBOX + SMSBOX


def is_installed() -> bool:
    """Tell whether Debian's package `kannel` is there."""
    return shutil.which("bearerbox") is not None and shutil.which("smsbox") is not None


async def look() -> None:
    """Raise Missing where it isn't installed."""
    if not is_installed():
        raise Missing("apt install kannel")


class Missing(Exception):
    """What keeps a peer from being run, said to whoever can change it."""


class Kannel:
    """Both boxes and a carrier world, in a folder of their own."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.smpp, self.http, self.admin, self.box = (free_port() for _ in range(4))
        self._config = folder / "kannel.conf"
        self._config.write_text(
            CONFIG.format(
                admin=self.admin,
                box=self.box,
                smpp=self.smpp,
                http=self.http,
                folder=folder,
                store=STORES[store].format(folder=folder),
                window=WINDOW,
            )
        )
        self._world = Process(
            *("world", "--port", str(self.smpp), "--scenario", "wire", "--json")
        )
        self._boxes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Start all three, and wait until messages can pass."""
        await self._world.start()
        await self._start("bearerbox")
        await self._until(lambda status: "(online" in status)
        await self._start("smsbox")
        await self._until(lambda status: "smsbox" in status)

    async def stop(self) -> None:
        """Stop what was started, in reverse."""
        for each in reversed(self._boxes):
            with contextlib.suppress(ProcessLookupError):
                each.terminate()
            await each.wait()
        await self._world.stop()

    async def receipts(self) -> int:
        """Return how many receipts came in so far."""
        found = re.search(r"DLR: received (\d+)", await self._status())
        return int(found[1]) if found else 0

    async def _start(self, box: str) -> None:
        self._boxes.append(
            await asyncio.create_subprocess_exec(
                box,
                str(self._config),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )

    async def _status(self) -> str:
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{self.admin}/status.txt?password=bench"
            return (await client.get(url)).text

    async def _until(self, reached: Callable[[str], bool]) -> None:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if reached(await self._status()):
                        return
                await asyncio.sleep(LOOK_EVERY_S)


async def kannel_sends(
    messages: int,
    connections: int,
    *,
    callbacks: bool,
    store: Store = "none",
    recipients: int = 1,
) -> Figure:
    """Send so many messages through Kannel, and wait for all their receipts."""
    with tempfile.TemporaryDirectory(prefix="arrivals-kannel-") as folder:
        kannel = Kannel(Path(folder), store)
        try:
            await kannel.start()
            async with called_back() as port:
                url = f"http://127.0.0.1:{port}/" if callbacks else None
                asked = _requests(messages, recipients, url)
                return await _measure(kannel, messages, connections, asked, callbacks)
        finally:
            await kannel.stop()


class Called(asyncio.Protocol):
    """Answers every callback at once, and counts it."""

    count = 0
    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        *whole, self._received = self._received.split(b"\r\n\r\n")
        Called.count += len(whole)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(Called.answer)}\r\n\r\n"
        self._transport.write(  # type: ignore[attr-defined]
            (head.encode() + Called.answer) * len(whole)
        )


@contextlib.asynccontextmanager
async def called_back(answer: bytes = b"") -> AsyncIterator[int]:
    """Listen for callbacks and answer them all alike; yields the port."""
    Called.count, Called.answer = 0, answer
    server = await asyncio.get_running_loop().create_server(Called, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _measure(
    kannel: Kannel,
    messages: int,
    connections: int,
    asked: Callable[[], bytes | None],
    callbacks: bool,
) -> Figure:
    ready = await opened(kannel.http, connections, asked)
    began = time.perf_counter()
    latencies, refused = await finished(ready)
    accepted = time.perf_counter()
    if refused:
        raise AssertionError(f"Kannel refused {refused} requests")
    await _settled(kannel, messages, callbacks=callbacks)
    ended = time.perf_counter()
    return Figure(
        name=f"Kannel{', callbacks' if callbacks else ''}, {connections} connections",
        messages=messages,
        accepted_per_s=messages / (accepted - began),
        settled_per_s=messages / (ended - began),
    ).timed(latencies)


async def _settled(kannel: Kannel, messages: int, *, callbacks: bool) -> None:
    until = time.monotonic() + SETTLE_TIMEOUT_S
    while (Called.count if callbacks else await kannel.receipts()) < messages:
        if time.monotonic() > until:
            raise TimeoutError("Kannel still waits for receipts")
        await asyncio.sleep(LOOK_EVERY_S)


def _requests(
    messages: int, recipients: int, callback: str | None
) -> Callable[[], bytes | None]:
    query = {
        "username": "bench",
        "password": "bench",
        "from": "ARRIVALS",
        "text": "Your code is 4839",
        "dlr-mask": RECEIPTS_WANTED,
    }
    if callback:
        query["dlr-url"] = callback

    def write(_: int, numbers: list[str]) -> bytes:
        path = f"/cgi-bin/sendsms?{urlencode({**query, 'to': ' '.join(numbers)})}"
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    return in_turn(messages, recipients, write)
