"""What one PostgreSQL carries: by the number of processes, and by the number of accounts.

Load, carrier world, processes and database share this machine, so only ratios within one run
mean something. Every message is durable before its answer; the clock stops when the last has
its outcome and its money settled. PostgreSQL syncs every commit.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.end_to_end import Figure, cpu_seconds, percentiles
from tests.bench.load import load, request
from tests.e2e.cluster import Cluster
from tests.postgres.server import PostgresServer, execute, short_folder

CONNECTIONS = 64
WINDOW = 500
SETTLE_TIMEOUT_S = 300.0
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB"}


@dataclass(frozen=True)
class Shape:
    """Which processes serve, for how many accounts."""

    name: str
    alls: int = 0
    apis: int = 0
    workers: int = 0
    accounts: int = 1
    recipients: int = 1


async def measure(shape: Shape, messages: int) -> Figure:
    """Send over the API processes in turn, and wait for all outcomes."""
    with (
        tempfile.TemporaryDirectory(prefix="arrivals-bench-") as folder,
        short_folder() as place,
        PostgresServer(place / "server", **SETTINGS) as server,  # type: ignore[arg-type]
    ):
        cluster = Cluster(
            Path(folder),
            server.create_database("arrivals"),
            alls=shape.alls,
            apis=shape.apis,
            workers=shape.workers,
            accounts=shape.accounts,
            providers=max(2, shape.workers + shape.alls),
            scenario="wire",
            speed=1.0,
            valid_for=3600,
            window=WINDOW,
        )
        await cluster.start()
        try:
            await asyncio.sleep(4.0)  # until every bind is there
            return await _measure(cluster, shape, messages)
        finally:
            await cluster.stop()


async def _measure(cluster: Cluster, shape: Shape, messages: int) -> Figure:
    pids = [each.process.pid for each in cluster.members]
    cpu_before = sum(map(cpu_seconds, pids))
    began = time.perf_counter()
    doors = cluster.doors
    connections = CONNECTIONS // len(doors)
    next_request = _requests(cluster, shape, messages)
    found = await asyncio.gather(
        *(
            load(each.port, connections, functools.partial(next_request, each.port))
            for each in doors
        )
    )
    accepted = time.perf_counter()
    if refused := sum(count for _, count in found):
        raise AssertionError(f"{refused} requests were refused")
    await _settled(cluster)
    ended = time.perf_counter()
    cpu = sum(map(cpu_seconds, pids)) - cpu_before
    p50_ms, p99_ms = percentiles(sorted(each for some, _ in found for each in some))
    return Figure(
        name=shape.name,
        messages=messages,
        accepted_per_s=messages / (accepted - began),
        settled_per_s=messages / (ended - began),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        cpu_us_per_message=cpu / messages * 1e6,
    )


def _requests(cluster: Cluster, shape: Shape, messages: int) -> Callable[[int], bytes | None]:
    numbers = itertools.count(0, shape.recipients)

    def next_request(port: int) -> bytes | None:
        first = next(numbers)
        if first >= messages:
            return None
        body = {
            "route_id": first // shape.recipients % cluster.providers + 1,
            "caller_id": "ARRIVALS",
            "numbers": [f"316{first + n:08d}" for n in range(shape.recipients)],
            "message": "Your code is 4839",
        }
        key = cluster.keys[first // shape.recipients % len(cluster.keys)]
        text = json.dumps(body).encode()
        return request(f"127.0.0.1:{port}", "/api/v1/send_sms", key, text)

    return next_request


async def _settled(cluster: Cluster) -> None:
    """Wait until no message is open."""
    until = time.monotonic() + SETTLE_TIMEOUT_S
    sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE wake_at IS NOT NULL)"
    while execute(cluster.database, sql)[0][0]:
        if time.monotonic() > until:
            raise TimeoutError("messages are still open")
        await asyncio.sleep(0.05)
