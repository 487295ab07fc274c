"""Ten million stored messages beside none: how the rate holds, and the memory.

Both databases have a thousand accounts that send in turn. The stored messages have their
events, hand-offs and postings. The proofs in the background and the model of outcomes are off
in both: over a database that was never verified and of which nothing was learnt, both begin by
reading all of it, which no running installation meets.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.bench.end_to_end import sent, settled
from tests.bench.figures import Figure, Found, Size, medians
from tests.bench.load import load
from tests.bench.site import BenchSite, Ground
from tests.bench.stored import OCTETS_A_MESSAGE, fill

ACCOUNTS = 1_000
ACCOUNTS_LEAST = 20  # where all is scaled down
MESSAGES = 20_000
WARM_UP = 2_000  # sent before, and not counted: the database's own cache is empty at its start
CONNECTIONS = 64
TEN_MILLION = 10_000_000  # what the target is about
FEWER = 1_000_000  # where the disk has no room


async def run(size: Size) -> Found:
    """Store them, then send to the full and to an empty database in turn."""
    stored = size.of(size.stored)
    with tempfile.TemporaryDirectory(prefix="arrivals-bench-") as place:
        found = Found()
        stored = _fitting(stored, Path(place), found)
        accounts = min(ACCOUNTS, max(ACCOUNTS_LEAST, stored))
        ground = Ground(accounts=accounts, verify_every=0, learns=False)
        empty = BenchSite(_folder(place, "empty"), ground)
        await send_template(empty)
        full = BenchSite(_folder(place, "full"), ground, like=empty)
        began = time.perf_counter()
        fill(full.data, stored, ground.accounts, size.say)
        minutes = (time.perf_counter() - began) / 60
        octets = (full.data / "arrivals.db").stat().st_size
        found.notes.append(
            f"{stored:,} messages stored in {minutes:.1f} minutes:"
            f" {octets / 1e9:.1f} GB, {octets / stored:,.0f} octets each."
        )
        rounds = [
            await _round(BenchSite(_folder(place, f"{number}"), ground, like=empty), full, size)
            for number in range(size.rounds)
        ]
        found.figures = medians([each.figures for each in rounds])
        shares = sorted(each.measures["full_to_empty"] for each in rounds)
        found.measures = {
            **{name: shares[len(shares) // 2] for name in _judged_as(stored)},
            "full_to_empty_least": shares[0],
            "full_to_empty_most": shares[-1],
            "stored": float(stored),
            "full_open_s": max(each.measures["full_open_s"] for each in rounds),
            "full_rss_mb": max(each.measures["full_rss_mb"] for each in rounds),
        }
        return found


async def _round(empty: BenchSite, full: BenchSite, size: Size) -> Found:
    size.say("nothing stored, then the full database")
    fresh, _ = await _send(empty, size, "nothing stored")
    shutil.rmtree(empty.folder)
    grown, open_s = await _send(full, size, "the full database")
    grown = grown.beside("nothing stored", fresh.settled_per_s)
    return Found(
        figures=[fresh, grown],
        measures={
            "full_to_empty": grown.to_limit,
            "full_open_s": open_s,
            "full_rss_mb": grown.rss_mb,
        },
    )


async def _send(site: BenchSite, size: Size, what: str) -> tuple[Figure, float]:
    """Return the rate, and the seconds until the server was there."""
    await site.world.start()
    try:
        began = time.perf_counter()
        await site.serve()
        open_s = time.perf_counter() - began
        await sent(site, size.of(WARM_UP), CONNECTIONS)
        figure = await sent(site, size.of(MESSAGES), CONNECTIONS)
        return replace(figure, name=f"{figure.name}, {what}"), open_s
    finally:
        await site.stop()


async def send_template(site: BenchSite) -> None:
    """Send the one message that is cloned, and see it to its end."""
    try:
        await site.start()
        await load(site.port, 1, iter([site.send(["31600000000"]), None]).__next__)
        await settled(site)
    finally:
        await site.stop()


def _judged_as(stored: int) -> tuple[str, ...]:
    """Name the measure: by the target's name only where as much was stored as it asks for."""
    return ("full_to_empty", *(["ten_million_to_empty"] if stored >= TEN_MILLION else []))


def _fitting(stored: int, place: Path, found: Found) -> int:
    """Return how many the disk has room for: all, or fewer, which is said."""
    free = shutil.disk_usage(place).free
    if stored * OCTETS_A_MESSAGE < free * 0.8:
        return stored
    fewer = min(stored, FEWER)
    if fewer * OCTETS_A_MESSAGE >= free * 0.8:
        raise OSError(f"{free / 1e9:.1f} GB free are too few for {fewer:,} messages")
    found.notes.append(f"Only {fewer:,}: {free / 1e9:.0f} GB free are too few for {stored:,}.")
    return fewer


def _folder(place: str | Path, name: str) -> Path:
    folder = Path(place) / name
    folder.mkdir()
    return folder
