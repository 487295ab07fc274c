"""A million queued: what memory the serving process takes while they come, wait and leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from tests.bench.batches import RECIPIENTS, accept
from tests.bench.end_to_end import looking_into
from tests.bench.figures import Figure, Found, Size
from tests.bench.site import (
    HELD,
    BenchSite,
    Ground,
    Stopwatch,
    bench_site,
    memory_mb,
    most_memory_mb,
)

QUEUED = 1_000_000
SAMPLE_EVERY_S = 0.25
WAIT_S = 15.0
LEAVE_S = 15.0


async def run(size: Size) -> Found:
    """Queue them in batches, let them wait, let some leave, and sample throughout."""
    count = size.of(QUEUED)
    batches = [RECIPIENTS] * (count // RECIPIENTS) or [count]
    figures: list[Figure] = []
    async with bench_site(Ground(throughput=HELD)) as site:
        empty = memory_mb(site.server.pid)
        watch = Stopwatch(site.server.pid)
        async with _sampled(site) as coming:
            for number, each in enumerate(batches, 1):
                await accept(site, each)
                size.say(f"{number * each:,} queued, {coming[-1]:.0f} MB")
        seconds = watch.seconds
        figures.append(_figure("while they come", coming, sum(batches), sum(batches) / seconds))
        async with _sampled(site) as waiting:
            await asyncio.sleep(size.seconds(WAIT_S))
        figures.append(_figure("while they wait", waiting, sum(batches)))
        site.configure(throughput=None)
        await site.reload()
        left, watch = _left(site), Stopwatch(site.server.pid)
        async with _sampled(site) as leaving:
            await asyncio.sleep(size.seconds(LEAVE_S))
        rate = (_left(site) - left) / watch.seconds
        figures.append(_figure("while they leave", leaving, sum(batches), settled=rate))
        most = most_memory_mb(site.server.pid)
    first = coming[: max(1, len(coming) // 10)]
    measures = {
        "queued_rss_mb": most,
        "queued_growth_mb": waiting[-1] - max(first),  # since a tenth of them was there
        "queued_empty_mb": empty,
    }
    more = f"{measures['queued_growth_mb']:.0f} MB more when all waited than when a tenth did."
    return Found(figures=figures, measures=measures, notes=[more])


def _figure(
    what: str, samples: list[float], messages: int, rate: float = 0.0, settled: float = 0.0
) -> Figure:
    return Figure(
        name=f"{messages:,} queued: {what}",
        messages=messages,
        accepted_per_s=rate,
        settled_per_s=settled,
        rss_mb=max(samples),
    )


def _left(site: BenchSite) -> int:
    """Return how many have an outcome."""
    with closing(looking_into(site)) as connection:
        sql = "SELECT count(*) FROM events WHERE seq > 1 AND kind = 'receipt_delivered'"
        return int(connection.execute(sql).fetchone()[0])


@asynccontextmanager
async def _sampled(site: BenchSite) -> AsyncIterator[list[float]]:
    """Look at the server's memory again and again."""
    samples = [memory_mb(site.server.pid)]

    async def sample() -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            samples.append(memory_mb(site.server.pid))

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling
        samples.append(memory_mb(site.server.pid))
