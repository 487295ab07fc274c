"""What the machine gives at best, measured in the same run as what is compared with it."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.bench.figures import Figure
from tests.bench.load import load, request
from tests.bench.site import Stopwatch, most_memory_mb

PAGE = 4_096
PAGES = 4_096  # 16 MiB, of which each is there before it is written
SYNCS = 4_000
SUBMITS = 300_000
BODY = (
    b'{"route_id":1,"caller_id":"ARRIVALS","numbers":["31600000000"],'
    b'"message":"Your code is 4839"}'
)


@dataclass(frozen=True, kw_only=True)
class Echo:
    """A server that only gives back what it got."""

    port: int
    pid: int

    async def rate(self, connections: int, requests: int) -> Figure:
        """Return what it answers over so many connections."""
        left = itertools.repeat(request(f"127.0.0.1:{self.port}", "/", "", BODY), requests)
        watch = Stopwatch(self.pid)
        latencies, _ = await load(self.port, connections, lambda: next(left, None))
        seconds, cpu = watch.seconds, watch.cpu_seconds
        return Figure(
            name=f"limit: raw echo, {connections} connections",
            messages=requests,
            accepted_per_s=requests / seconds,
            cpu_us_per_message=cpu / requests * 1e6,
            rss_mb=most_memory_mb(self.pid),
        ).timed(latencies)

    async def swallow(self, content: AsyncIterator[bytes]) -> float:
        """Return the seconds that it takes to read a stream."""
        async with httpx.AsyncClient(timeout=300) as client:
            began = time.perf_counter()
            answer = await client.post(f"http://127.0.0.1:{self.port}/", content=content)
            answer.raise_for_status()
            return time.perf_counter() - began


@asynccontextmanager
async def echo() -> AsyncIterator[Echo]:
    """Start the server that only gives back what it got."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.echo", stdout=asyncio.subprocess.PIPE
    )
    try:
        if server.stdout is None:
            raise AssertionError("its output isn't piped")
        port = int(await server.stdout.readline())
        await _until_open(port)
        yield Echo(port=port, pid=server.pid)
    finally:
        server.terminate()
        await server.wait()


async def _until_open(port: int) -> None:
    """Wait until it answers: its socket listens before its loop runs."""
    async with httpx.AsyncClient(timeout=30) as client:
        await client.post(f"http://127.0.0.1:{port}/", content=BODY)


def syncs_per_s(syncs: int = SYNCS) -> float:
    """Return how many pages a second can be written and synced, in a file that has its size."""
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    page = os.urandom(PAGE)
    with tempfile.TemporaryFile(prefix="arrivals-bench-") as file:
        file.write(bytes(PAGE * PAGES))
        file.flush()
        os.fsync(file.fileno())
        began = time.perf_counter()
        for number in range(syncs):
            os.pwrite(file.fileno(), page, number % PAGES * PAGE)
            sync(file.fileno())
        return syncs / (time.perf_counter() - began)
