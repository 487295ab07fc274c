"""100,000 recipients through one batch to their final outcomes, with the progress shown."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from tests.bench.end_to_end import Figure, cpu_seconds
from tests.e2e.servers import Site

LINES_A_CHUNK = 1_000
OUTCOME_TIMEOUT_S = 600.0


async def batch(
    recipients: int, *, scenario: str = "clear-day", speed: float = 200.0
) -> Figure:
    """Stream one batch and wait until every message of it has an outcome."""
    with tempfile.TemporaryDirectory(prefix="arrivals-bench-") as folder:
        site = Site(Path(folder), scenario=scenario, speed=speed, window=150, valid_for=600)
        await site.start()
        try:
            await asyncio.sleep(1.0)  # until the bind is there
            return await _measure(site, recipients)
        finally:
            await site.stop()


async def _measure(site: Site, recipients: int) -> Figure:
    headers = {"X-API-KEY": site.key, "Idempotency-Key": "bench"}
    options = {"route_id": "1", "caller_id": "ARRIVALS", "message": "Your code is 4839"}
    cpu_before, began = cpu_seconds(site.server.pid), time.perf_counter()
    async with httpx.AsyncClient(base_url=site.url, headers=headers, timeout=300) as client:
        answer = await client.post(
            "/api/v1/batches",
            params=options,
            headers={"Content-Type": "application/x-ndjson"},
            content=_lines(recipients),
        )
        answer.raise_for_status()
        accepted = time.perf_counter()
        made = answer.json()
        if made["accepted"] != recipients:
            raise AssertionError(f"{made['refused']} lines were refused")
        await _outcomes(client, made["batch_id"])
    ended = time.perf_counter()
    return Figure(
        name=f"one batch of {recipients:,}, clear-day",
        messages=recipients,
        accepted_per_s=recipients / (accepted - began),
        settled_per_s=recipients / (ended - began),
        p50_ms=0.0,
        p99_ms=0.0,
        cpu_us_per_message=(cpu_seconds(site.server.pid) - cpu_before) / recipients * 1e6,
    )


async def _lines(recipients: int) -> AsyncIterator[bytes]:
    for first in range(0, recipients, LINES_A_CHUNK):
        numbers = range(first, min(first + LINES_A_CHUNK, recipients))
        yield b"".join(b'{"to":"316%08d"}\n' % number for number in numbers)


async def _outcomes(client: httpx.AsyncClient, batch_id: int) -> None:
    until = time.monotonic() + OUTCOME_TIMEOUT_S
    while time.monotonic() < until:
        progress: dict[str, Any] = (await client.get(f"/api/v1/batches/{batch_id}")).json()
        percent = progress["percent"]
        print(f"\r    outcomes known: {percent:5.1f} %", end="", file=sys.stderr, flush=True)
        if percent >= 100:
            print(file=sys.stderr)
            return
        await asyncio.sleep(0.5)
    raise TimeoutError("messages are still open")
