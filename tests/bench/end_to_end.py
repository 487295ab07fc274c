"""From the request to the settled outcome, over real HTTP and real SMPP, on this machine.

Three processes: this one makes the load, one is the platform, one the carrier world on
scenario `wire`, which answers and reports at once. Every message is durable before its
answer and has its outcome and its money settled before the clock stops.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.load import load, request
from tests.e2e.servers import Site

SETTLE_TIMEOUT_S = 300.0
WINDOW = 500


@dataclass(frozen=True)
class Figure:
    """What one part of the bench measured."""

    name: str
    messages: int
    accepted_per_s: float
    settled_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_message: float


def median_of(figures: Sequence[Figure]) -> Figure:
    """Return the median of each measure; a whole run's is no more than its parts'."""
    names = ("accepted_per_s", "settled_per_s", "p50_ms", "p99_ms", "cpu_us_per_message")
    middle = {
        name: statistics.median(getattr(each, name) for each in figures) for name in names
    }
    return replace(figures[0], **middle)


async def single_sends(messages: int, connections: int, recipients: int = 1) -> Figure:
    """Send orders of so many recipients over so many connections, and wait for all outcomes."""
    with tempfile.TemporaryDirectory(prefix="arrivals-bench-") as folder:
        site = Site(Path(folder), scenario="wire", speed=1.0, window=WINDOW, valid_for=3600)
        await site.start()
        try:
            await asyncio.sleep(1.0)  # until the bind is there
            return await _measure(site, messages, connections, recipients)
        finally:
            await site.stop()


async def _measure(site: Site, messages: int, connections: int, recipients: int) -> Figure:
    began, cpu_before = time.perf_counter(), cpu_seconds(site.server.pid)
    latencies, refused = await load(
        site.port, connections, _requests(site, messages, recipients)
    )
    accepted = time.perf_counter()
    if refused:
        raise AssertionError(f"{refused} requests were refused")
    await settled(site)
    ended = time.perf_counter()
    cpu = cpu_seconds(site.server.pid) - cpu_before
    p50_ms, p99_ms = percentiles(latencies)
    return Figure(
        name=f"{recipients} a request, {connections} connections",
        messages=messages,
        accepted_per_s=messages / (accepted - began),
        settled_per_s=messages / (ended - began),
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        cpu_us_per_message=cpu / messages * 1e6,
    )


def percentiles(latencies: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile of sorted seconds, in milliseconds."""
    count = len(latencies)
    return latencies[count // 2] * 1000, latencies[count * 99 // 100] * 1000


def _requests(site: Site, messages: int, recipients: int) -> Callable[[], bytes | None]:
    sent = 0

    def next_request() -> bytes | None:
        nonlocal sent
        if sent >= messages:
            return None
        numbers = [f"316{number:08d}" for number in range(sent, sent + recipients)]
        sent += recipients
        body = {
            "route_id": 1,
            "caller_id": "ARRIVALS",
            "numbers": numbers,
            "message": "Your code is 4839",
        }
        return request(
            f"127.0.0.1:{site.port}", "/api/v1/send_sms", site.key, json.dumps(body).encode()
        )

    return next_request


async def settled(site: Site) -> None:
    """Wait until no message is open."""
    path = site.data / "arrivals.db"
    until = time.monotonic() + SETTLE_TIMEOUT_S
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        # An open message always has a time at which somebody looks at it again.
        sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE wake_at IS NOT NULL)"
        while connection.execute(sql).fetchone()[0]:
            if time.monotonic() > until:
                raise TimeoutError("messages are still open")
            await asyncio.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far; 0 where the system doesn't tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100
