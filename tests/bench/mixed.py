"""One code a second while 100,000 bulk messages wait: how long a code waits in its queue.

The wait is from the transaction that accepted a code to the one that claimed it for sending, by
the database's own events. Codes go to two providers, one each a second: one that has nothing
else to do, and the very one that the bulk waits for.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

from tests.bench.batches import accept
from tests.bench.end_to_end import looking_into, settled
from tests.bench.figures import Figure, Found, Size
from tests.bench.load import load
from tests.bench.site import BenchSite, Ground, bench_site, most_memory_mb

BULK = 100_000
BULK_LEAST = 3_000  # so that some still wait when the first code comes
EVERY_S = 1.0
CODES_MAX = 120
CODES_LEAST = 2
FREE, BUSY = 2, 3  # routes of the codes
GROUND = Ground(
    providers=("north", "south"),
    routes=(("bulk", "north"), ("otp", "south"), ("otp", "north")),
)
NAMES = {FREE: "codes to a free provider", BUSY: "codes to the provider of the bulk"}


async def run(size: Size) -> Found:
    """Queue the bulk, send the codes until it is gone, and read how long they waited."""
    found = Found()
    async with bench_site(GROUND) as site:
        count = size.of(BULK, BULK_LEAST)
        await accept(site, count)
        answered = await _codes(
            site, count, size.seconds(EVERY_S) if size.scale < 1 else EVERY_S
        )
        await settled(site)
        for route_id, name in NAMES.items():
            waits = _waits(site, route_id)
            if not waits:
                found.notes.append(f"{name}: the bulk was gone before the first.")
                continue
            figure = Figure(
                name=f"{name}: queue wait",
                messages=len(waits),
                rss_mb=most_memory_mb(site.server.pid),
            ).timed(waits)
            found.figures.append(figure)
            where = "free" if route_id == FREE else "busy"
            found.measures[f"codes_{where}_wait_p99_ms"] = figure.p99_ms
        found.figures.append(
            Figure(
                name="codes: time to the answer",
                messages=len(answered),
            ).timed(sorted(answered))
        )
    return found


async def _codes(site: BenchSite, bulk: int, every_s: float) -> list[float]:
    """Send codes at a constant rate while bulk waits; return the seconds to each answer."""
    answered: list[float] = []
    began = time.perf_counter()
    with closing(looking_into(site)) as connection:
        for number in range(CODES_MAX):
            both = [
                site.send([f"3169{number:07d}"], route_id=route_id) for route_id in (FREE, BUSY)
            ]
            latencies, refused = await load(
                site.port, len(both), iter([*both, None, None]).__next__
            )
            if refused:
                raise AssertionError("a code was refused")
            answered += latencies
            waiting = "SELECT EXISTS (SELECT 1 FROM messages WHERE rank IS NOT NULL)"
            if number + 1 >= CODES_LEAST and not connection.execute(waiting).fetchone()[0]:
                break
            await asyncio.sleep(max(0.0, began + (number + 1) * every_s - time.perf_counter()))
    return answered


def _waits(site: BenchSite, route_id: int) -> list[float]:
    """Return the sorted waits of a route's codes that were accepted while bulk waited."""
    sql = """
        SELECT (claimed.at - accepted.at) / 1e6 FROM messages AS m
        JOIN events AS accepted ON accepted.message_id = m.id AND accepted.seq = 1
        JOIN events AS claimed ON claimed.message_id = m.id AND claimed.kind = 'claimed'
        WHERE m.route_id = ?
          AND accepted.at <= (SELECT max(e.at) FROM events AS e
                              JOIN messages AS bulk ON bulk.id = e.message_id
                              WHERE bulk.route_id = 1 AND e.kind = 'claimed')
        ORDER BY 1
    """
    with closing(looking_into(site)) as connection:
        return [wait for (wait,) in connection.execute(sql, (route_id,))]
