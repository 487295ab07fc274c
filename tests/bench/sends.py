"""Single sends, accepted durably: what one API process takes, at rest and at a constant rate.

The provider is slowed to a standstill, so acceptance is all there is to do; what becomes of the
messages is measured end to end. The raw echo beside it gets as many requests of the same size
over as many connections.
"""

from __future__ import annotations

from tests.bench.end_to_end import requests
from tests.bench.figures import Figure, Found, Size
from tests.bench.limits import SYNCS, Echo, echo, syncs_per_s
from tests.bench.load import load
from tests.bench.open_loop import open_load
from tests.bench.site import HELD, BenchSite, Ground, Stopwatch, bench_site, most_memory_mb

# Connections, and requests in a closed loop.
LOADS = ((1, 4_000), (16, 15_000), (64, 25_000), (256, 25_000))
OPEN_SHARE = 0.7  # of what the closed loop found: busy, and not yet a queue
OPEN_S_MAX = 8.0


async def run(size: Size) -> Found:
    """Measure closed and open loops over 1, 16, 64 and 256 connections."""
    found = Found()
    async with bench_site(Ground(throughput=HELD)) as site, echo() as server:
        for connections, count in LOADS:
            await _measure(found, site, server, connections, size.of(count))
    syncs = syncs_per_s(size.of(SYNCS))
    found.figures.append(
        Figure(name="limit: fdatasync of a page", messages=size.of(SYNCS), accepted_per_s=syncs)
    )
    found.measures["closed_1_to_syncs"] = found.measures["closed_1_per_s"] / syncs
    return found


async def _measure(
    found: Found, site: BenchSite, server: Echo, connections: int, count: int
) -> None:
    limit = await server.rate(connections, count)
    closed = await _closed(site, connections, count)
    closed = closed.beside("raw echo", limit.accepted_per_s)
    rate = closed.accepted_per_s * OPEN_SHARE
    opened = await _open(site, connections, rate, min(count / rate, OPEN_S_MAX))
    found.figures += [limit, closed, opened.beside("raw echo", limit.accepted_per_s)]
    found.measures |= {
        f"closed_{connections}_per_s": closed.accepted_per_s,
        f"closed_{connections}_to_echo": closed.to_limit,
        f"closed_{connections}_p99_ms": closed.p99_ms,
        f"open_{connections}_p99_ms": opened.p99_ms,
        # Well below 1, the load and not the echo was the limit, and the ratio flatters us.
        f"echo_{connections}_busy": limit.cpu_us_per_message * limit.accepted_per_s / 1e6,
    }


async def _closed(site: BenchSite, connections: int, count: int) -> Figure:
    watch = Stopwatch(site.server.pid)
    latencies, refused = await load(site.port, connections, requests(site, count))
    seconds, cpu = watch.seconds, watch.cpu_seconds
    if refused:
        raise AssertionError(f"{refused} requests were refused")
    return Figure(
        name=f"closed loop, {connections} connections",
        messages=count,
        accepted_per_s=count / seconds,
        cpu_us_per_message=cpu / count * 1e6,
        rss_mb=most_memory_mb(site.server.pid),
    ).timed(latencies)


async def _open(site: BenchSite, connections: int, rate: float, seconds: float) -> Figure:
    watch = Stopwatch(site.server.pid)
    following = requests(site, 2 * int(rate * seconds) + 1)
    offered = await open_load(site.port, connections, following, rate=rate, seconds=seconds)
    taken = len(offered.taken)
    if taken != sum(offered.statuses.values()):
        raise AssertionError(f"some were refused: {dict(offered.statuses)}")
    return Figure(
        name=f"open loop at 70 %, {connections} connections",
        messages=taken,
        accepted_per_s=taken / watch.seconds,
        cpu_us_per_message=watch.cpu_seconds / max(taken, 1) * 1e6,
        rss_mb=most_memory_mb(site.server.pid),
    ).timed(offered.latencies)
