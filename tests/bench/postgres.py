"""What one PostgreSQL carries: by the number of processes, and by the number of accounts.

Load, carrier world, processes and database share this machine, so only ratios within one run
mean something. Every message is durable before its answer; the clock stops when the last has
its outcome and its money settled. PostgreSQL syncs every commit.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import uvloop

from tests.bench.chart import bars
from tests.bench.end_to_end import SETTLE_TIMEOUT_S, single_sends
from tests.bench.figures import Figure, Found, Size, median_of
from tests.bench.load import load, request
from tests.bench.site import WINDOW, cpu_seconds, most_memory_mb
from tests.e2e.cluster import Cluster
from tests.postgres.server import PostgresServer, execute, short_folder

MESSAGES = 10_000
MANY = 50_000
CONNECTIONS = 64
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


@dataclass(frozen=True, kw_only=True)
class Carried(Figure):
    """A figure, with what it left on the disk."""

    octets_per_message: float = 0.0  # tables and indexes


async def measure(shape: Shape, messages: int) -> Carried:
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
        try:
            await cluster.start()
            await asyncio.sleep(4.0)  # until every bind is there
            return await _measure(cluster, shape, messages)
        finally:
            await cluster.stop()


async def _measure(cluster: Cluster, shape: Shape, messages: int) -> Carried:
    size = "SELECT pg_database_size(current_database())"
    [(empty,)] = execute(cluster.database, size)
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
    [(full,)] = execute(cluster.database, size)
    return Carried(
        name=shape.name,
        messages=messages,
        accepted_per_s=messages / (accepted - began),
        settled_per_s=messages / (ended - began),
        cpu_us_per_message=cpu / messages * 1e6,
        octets_per_message=(full - empty) / messages,
        rss_mb=max(map(most_memory_mb, pids)),
    ).timed(sorted(each for some, _ in found for each in some))


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


ONE = "SQLite, one process"
SHAPES = (
    Shape("PostgreSQL, one process", alls=1),
    Shape("1 API + 1 worker", apis=1, workers=1),
    Shape("2 API + 2 workers", apis=2, workers=2),
    Shape("2 API + 2 workers, 100 accounts", apis=2, workers=2, accounts=100),
    Shape("2 API + 2 workers, 100 recipients a request", apis=2, workers=2, recipients=100),
)


PART = SHAPES[2]


async def run(size: Size) -> Found:
    """Measure two API and two worker processes beside one process on SQLite."""
    count = size.of(MESSAGES)
    alone = replace(await single_sends(count, CONNECTIONS), name=ONE)
    shared = await measure(PART, count)
    shared = replace(shared.beside(ONE, alone.settled_per_s), name=f"PostgreSQL, {PART.name}")
    share = shared.to_limit
    return Found(figures=[alone, shared], measures={"cluster_to_sqlite": share})


async def main(scale: float, rounds: int, plot: Path | None, *, as_json: bool) -> None:
    """Run every shape in turn, SQLite first, and print the medians."""
    found: dict[str, list[Figure]] = {}
    for number in range(1, rounds + 1):
        _say(f"{ONE}, round {number} of {rounds}")
        alone = await single_sends(int(MESSAGES * scale), CONNECTIONS)
        found.setdefault(ONE, []).append(replace(alone, name=ONE))
        for shape in SHAPES:
            _say(f"{shape.name}, round {number} of {rounds}")
            many = MANY if shape.recipients > 1 else MESSAGES
            found.setdefault(shape.name, []).append(await measure(shape, int(many * scale)))
    _report([median_of(each) for each in found.values()], plot, as_json=as_json)


def _report(figures: list[Figure], plot: Path | None, *, as_json: bool) -> None:
    if plot is not None:
        plot.write_text(_drawn(figures), encoding="utf-8")
    if as_json:
        print(json.dumps([asdict(each) for each in figures]))
    else:
        _print(figures)


def _drawn(figures: list[Figure]) -> str:
    single = [each for each in figures if "recipients" not in each.name]
    return bars(
        "Messages settled a second, single sends over 64 connections, all on two cores",
        [(each.name, each.settled_per_s, f"{each.settled_per_s:,.0f}") for each in single],
        compared=1,
    )


def _print(figures: list[Figure]) -> None:
    print(f"{'':46}{'accepted/s':>11}{'settled/s':>11}{'to SQLite':>10}{'p50 ms':>8}"
          f"{'p99 ms':>8}{'CPU µs':>8}{'octets':>8}{'MB':>6}")  # fmt: skip
    for each in figures:
        ratio = each.settled_per_s / figures[0].settled_per_s
        print(
            f"{each.name:46}{each.accepted_per_s:>11,.0f}{each.settled_per_s:>11,.0f}"
            f"{ratio:>10.2f}{each.p50_ms:>8.1f}{each.p99_ms:>8.1f}{each.cpu_us_per_message:>8.0f}"
            + (
                f"{each.octets_per_message:>8,.0f}{each.rss_mb:>6.0f}"
                if isinstance(each, Carried)
                else ""
            )
        )


def _say(text: str) -> None:
    print(f"  {text} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="write the figures as an SVG here")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    uvloop.run(main(chosen.scale, chosen.rounds, chosen.plot, as_json=chosen.json))
