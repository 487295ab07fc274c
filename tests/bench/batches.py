"""100,000 recipients in one batch: accepted, priced, debited, queued; then to their ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator

import httpx

from tests.bench.end_to_end import settled
from tests.bench.figures import Figure, Found, Size
from tests.bench.limits import echo
from tests.bench.site import HELD, BenchSite, Ground, Stopwatch, bench_site, most_memory_mb

RECIPIENTS = 100_000
LINES_A_CHUNK = 1_000
TIMEOUT_S = 300.0
_numbers = itertools.count()  # of streams: each has an idempotency key of its own


async def run(size: Size) -> Found:
    """Measure a batch while nothing leaves, and one whose messages leave while it comes in."""
    count = size.of(RECIPIENTS)
    async with echo() as server:
        read_per_s = count / await server.swallow(lines(count))
    async with bench_site(Ground(throughput=HELD)) as site:
        held = await measure(site, count, "accepted and queued")
    async with bench_site() as site:
        watch = Stopwatch(site.server.pid)
        free = await measure(site, count, "while they leave")
        await settled(site)
        whole = Figure(
            **{
                **vars(free),
                "settled_per_s": count / watch.seconds,
                "cpu_us_per_message": watch.cpu_seconds / count * 1e6,
                "rss_mb": most_memory_mb(site.server.pid),
            }
        )
    limit = Figure(
        name="limit: the same stream, read by the raw echo",
        messages=count,
        accepted_per_s=read_per_s,
    )
    held = held.beside("raw echo", read_per_s)
    measures = {
        "batch_accepted_per_s": held.accepted_per_s,
        "batch_to_echo": held.to_limit,
        "batch_settled_per_s": whole.settled_per_s,
    }
    return Found(figures=[limit, held, whole], measures=measures)


async def measure(site: BenchSite, recipients: int, what: str) -> Figure:
    """Return what a batch takes until its answer."""
    watch = Stopwatch(site.server.pid)
    await accept(site, recipients)
    return Figure(
        name=f"a batch of {recipients:,}, {what}",
        messages=recipients,
        accepted_per_s=recipients / watch.seconds,
        cpu_us_per_message=watch.cpu_seconds / recipients * 1e6,
        rss_mb=most_memory_mb(site.server.pid),
    )


async def accept(site: BenchSite, recipients: int, *, route_id: int = 1) -> float:
    """Stream a batch in; return the seconds until its answer, with every line accepted."""
    headers = {
        "X-API-KEY": site.key,
        "Idempotency-Key": f"bench-{next(_numbers)}",
        "Content-Type": "application/x-ndjson",
    }
    options = {
        "route_id": str(route_id),
        "caller_id": "ARRIVALS",
        "message": "Your code is 4839",
    }
    async with httpx.AsyncClient(
        base_url=site.url, headers=headers, timeout=TIMEOUT_S
    ) as client:
        began = time.perf_counter()
        answer = await client.post("/api/v1/batches", params=options, content=lines(recipients))
        took = time.perf_counter() - began
    answer.raise_for_status()
    if answer.json()["accepted"] != recipients:
        raise AssertionError(f"{answer.json()['refused']} lines were refused")
    return took


async def lines(recipients: int) -> AsyncIterator[bytes]:
    """Yield the stream in chunks."""
    for first in range(0, recipients, LINES_A_CHUNK):
        numbers = range(first, min(first + LINES_A_CHUNK, recipients))
        yield b"".join(b'{"to":"316%08d"}\n' % number for number in numbers)
