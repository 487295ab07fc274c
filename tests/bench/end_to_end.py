"""From the request to the settled outcome, over real HTTP and real SMPP, on this machine.

Three processes: this one makes the load, one is the platform, one the carrier world on
scenario `wire`, which answers and reports at once. Every message is durable before its
answer and has its outcome and its money settled before the clock stops.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

from tests.bench.figures import (
    Figure,
    Found,
    Size,
)
from tests.bench.limits import SUBMITS, echo
from tests.bench.load import in_turn, load
from tests.bench.site import (
    BenchSite,
    Ground,
    Stopwatch,
    bench_site,
    most_memory_mb,
)
from tests.bench.smpp_pair import submits_per_s

SETTLE_TIMEOUT_S = 300.0
MESSAGES = 20_000
MANY = 100_000
SINGLE = (64, 256)  # connections
HUNDREDS = 16
RECIPIENTS = 100
SLOW_MS = 2.0
LATE = """
name = "late"
about = "Answers at once and reports after some seconds."

[expect.default]
tolerance = 0.0
[expect.default.truth]
reached = 1.0
[expect.default.reported]
delivered = 1.0

[providers.default]
window = 1000
receipts = { window = 500, delay = { median_s = 3.0, sigma = 0.1 } }

[[carriers]]
name = "meridian"
"""


# --- the parts ------------------------------------------------------------------------


async def run(size: Size) -> Found:
    """Measure single sends, and a hundred recipients a request, to their outcomes."""
    found = Found()
    async with echo() as server:
        for connections in SINGLE:
            limit = await server.rate(connections, size.of(MESSAGES))
            figure = await single_sends(size.of(MESSAGES), connections)
            found.figures += [limit, figure.beside("raw echo", limit.accepted_per_s)]
            found.measures[f"single_{connections}_to_echo"] = found.figures[-1].to_limit
    pair = await submits_per_s(size.of(SUBMITS))
    found.figures.append(
        Figure(name="limit: raw SMPP pair", messages=size.of(SUBMITS), accepted_per_s=pair)
    )
    many = await single_sends(size.of(MANY, RECIPIENTS), HUNDREDS, RECIPIENTS)
    found.figures.append(many.beside("raw SMPP pair", pair))
    found.measures["hundreds_to_smpp"] = found.figures[-1].to_limit
    return found


async def run_late(size: Size) -> Found:
    """Measure single sends whose receipts come after seconds beside some that come at once."""
    count, connections = size.of(MESSAGES), SINGLE[0]
    at_once = await single_sends(count, connections, steadily=True)
    late = await single_sends(count, connections, ground=Ground(scenario=LATE), steadily=True)
    share = late.settled_per_s / at_once.settled_per_s
    return Found(
        figures=[
            _named(at_once, "receipts at once"),
            _named(late, "receipts after 3 s").beside(
                "receipts at once", at_once.settled_per_s
            ),
        ],
        measures={"late_to_at_once": share},
        notes=["Settled a second: in the middle 80 % of the settlements."],
    )


async def run_slow(size: Size) -> Found:
    """Measure single sends with time added to each commit beside some without."""
    count, connections = size.of(MESSAGES), SINGLE[-1]
    plain = await single_sends(count, connections)
    slow = await single_sends(count, connections, ground=Ground(slow_commit_ms=SLOW_MS))
    plain, slow = _named(plain, "as the disk is"), _named(slow, "2 ms more a commit")
    share = slow.settled_per_s / plain.settled_per_s
    return Found(
        figures=[plain, slow.beside("as the disk is", plain.settled_per_s)],
        measures={"slow_to_plain": share},
    )


def _named(figure: Figure, what: str) -> Figure:
    return Figure(**{**vars(figure), "name": f"{figure.name}, {what}"})


# --- one run --------------------------------------------------------------------------


async def single_sends(
    messages: int,
    connections: int,
    recipients: int = 1,
    *,
    ground: Ground | None = None,
    steadily: bool = False,
) -> Figure:
    """Send orders of so many recipients over so many connections, and wait for all outcomes.

    `steadily`: the rate of settlements is that of the middle 80 %, so that how long the last
    receipt took isn't in it.
    """
    async with bench_site(ground) as site:
        return await sent(site, messages, connections, recipients, steadily=steadily)


async def sent(
    site: BenchSite,
    messages: int,
    connections: int,
    recipients: int = 1,
    *,
    steadily: bool = False,
) -> Figure:
    """Do so at a site that is there."""
    pid, since_us = site.server.pid, time.time_ns() // 1000
    watch = Stopwatch(pid)
    latencies, refused = await load(
        site.port, connections, requests(site, messages, recipients)
    )
    accepted_s = watch.seconds
    if refused:
        raise AssertionError(f"{refused} requests were refused")
    await settled(site)
    settled_s = watch.seconds
    return Figure(
        name=f"{recipients} a request, {connections} connections",
        messages=messages,
        accepted_per_s=messages / accepted_s,
        settled_per_s=_steady_rate(site, since_us) if steadily else messages / settled_s,
        cpu_us_per_message=watch.cpu_seconds / messages * 1e6,
        rss_mb=most_memory_mb(pid),
    ).timed(latencies)


def requests(
    site: BenchSite, messages: int, recipients: int = 1, *, route_id: int = 1
) -> Callable[[], bytes | None]:
    """Return what makes one request after another, accounts in turn, and in the end None."""

    def write(number: int, numbers: list[str]) -> bytes:
        return site.send(numbers, key=site.keys[number % len(site.keys)], route_id=route_id)

    return in_turn(messages, recipients, write)


async def settled(site: BenchSite) -> None:
    """Wait until no message is open."""
    until = time.monotonic() + SETTLE_TIMEOUT_S
    with closing(looking_into(site)) as connection:
        # An open message always has a time at which somebody looks at it again.
        sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE wake_at IS NOT NULL)"
        while connection.execute(sql).fetchone()[0]:
            if time.monotonic() > until:
                raise TimeoutError("messages are still open")
            await asyncio.sleep(0.05)


def looking_into(site: BenchSite) -> sqlite3.Connection:
    """Open the site's database for reading."""
    return sqlite3.connect(f"file:{site.data / 'arrivals.db'}?mode=ro", uri=True)


def _steady_rate(site: BenchSite, since_us: int) -> float:
    with closing(looking_into(site)) as connection:
        times = [
            at / 1e6
            for (at,) in connection.execute(
                "SELECT at FROM events WHERE at >= ? AND kind = 'receipt_delivered'"
                " ORDER BY at",
                (since_us,),
            )
        ]
    first, last = len(times) // 10, len(times) * 9 // 10
    return (last - first) / max(times[last] - times[first], 1e-6)
