"""Ten times more than fits: what becomes of those who are taken, and of those who are not.

Capacity is what a closed loop of 256 connections settles into, with the messages leaving all
the while. Then ten times as much falls due at a constant rate, over as many connections as it
needs, up to a bound. Who finds none free gives up, as a client whose pool is empty does; the
others' latencies count from when they asked. Who is told to come again after so many seconds
does so, once. In the end every order that was answered must be in the database, and every
message settled.
"""

from __future__ import annotations

import re
import resource
from contextlib import closing

from tests.bench.end_to_end import looking_into, requests, settled
from tests.bench.figures import Figure, Found, Size
from tests.bench.load import load
from tests.bench.open_loop import Offered, open_load
from tests.bench.site import BenchSite, Stopwatch, bench_site, most_memory_mb

TIMES = 10
CAPACITY_CONNECTIONS = 256
CAPACITY_REQUESTS = 15_000
CONNECTIONS_MAX = 12_000  # more than the server takes in hand: 10,000
SPARE_FILES = 500  # of both processes, for all else
SECONDS = 8.0
_ORDER = re.compile(rb'"order_id": ?"?(\d+)')


async def run(size: Size) -> Found:
    """Find the capacity, offer ten times as much, and look for what was promised."""
    connections = min(CONNECTIONS_MAX, _files() - SPARE_FILES)
    connections = size.of(connections, CAPACITY_CONNECTIONS)
    async with bench_site() as site:
        capacity = await _capacity(site, size.of(CAPACITY_REQUESTS))
        await settled(site)
        watch = Stopwatch(site.server.pid)
        rate, seconds = TIMES * capacity.accepted_per_s, size.seconds(SECONDS)
        following = requests(site, int(2 * rate * seconds) + 1)
        offered = await open_load(
            site.port, connections, following, rate=rate, seconds=seconds, drop=True
        )
        cpu = watch.cpu_seconds
        await settled(site)
        lost = _lost(site, offered)
        rss = most_memory_mb(site.server.pid)
    taken = len(offered.taken)
    figure = Figure(
        name=f"ten times as much, up to {connections:,} connections",
        messages=taken,
        accepted_per_s=offered.taken_in_time / offered.seconds,
        cpu_us_per_message=cpu / max(taken, 1) * 1e6,
        rss_mb=rss,
    ).timed(offered.latencies)
    figure = figure.beside("capacity", capacity.accepted_per_s)
    return Found(
        figures=[capacity, figure],
        measures={
            "overload_p99_ms": figure.p99_ms,
            "overload_goodput": figure.to_limit,
            "overload_lost": float(lost),
            "overload_refused_share": _share(offered.statuses[429], offered),
            # The load ends at this process's own limit, so ten times may not get to the door.
            "overload_offered_times": _asked(offered)
            / offered.seconds
            / capacity.accepted_per_s,
            **_kept(offered),
        },
        notes=[_told(offered)],
    )


async def _capacity(site: BenchSite, count: int) -> Figure:
    watch = Stopwatch(site.server.pid)
    latencies, refused = await load(site.port, CAPACITY_CONNECTIONS, requests(site, count))
    if refused:
        raise AssertionError(f"{refused} requests were refused below capacity")
    return Figure(
        name=f"capacity: closed loop, {CAPACITY_CONNECTIONS} connections",
        messages=count,
        accepted_per_s=count / watch.seconds,
        cpu_us_per_message=watch.cpu_seconds / count * 1e6,
        rss_mb=most_memory_mb(site.server.pid),
    ).timed(latencies)


def _kept(offered: Offered) -> dict[str, float]:
    """Return the share of those told to come again who were taken then, if there were any."""
    if not offered.told_to_wait:
        return {}
    return {"overload_retry_after_kept": offered.then_taken / offered.told_to_wait}


def _asked(offered: Offered) -> int:
    return sum(offered.statuses.values())


def _share(count: int, offered: Offered) -> float:
    return count / max(_asked(offered), 1)


def _told(offered: Offered) -> str:
    statuses = ", ".join(f"{n:,} × {status}" for status, n in sorted(offered.statuses.items()))
    words = f"{offered.due:,} fell due, {offered.dropped:,} found no connection; {statuses}"
    if not offered.statuses[429]:
        return f"{words}. Nobody was told when to come again: the server refused none."
    then = f"{offered.then_taken:,} were taken then"
    return f"{words}; of {offered.told_to_wait:,} told when to come, {then}."


def _lost(site: BenchSite, offered: Offered) -> int:
    """Count answered orders that the database doesn't have."""
    answered = {int(found[1]) for each in offered.taken if (found := _ORDER.search(each.body))}
    if len(answered) != len(offered.taken):
        raise AssertionError("an order was answered without its id, or twice")
    with closing(looking_into(site)) as connection:
        kept = {order_id for (order_id,) in connection.execute("SELECT id FROM orders")}
    return len(answered - kept)


def _files() -> int:
    """Return how many files a process may have open, as many as are allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + SPARE_FILES if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted
