"""How soon `arrivals dev` is ready, and what importing the command line costs."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure, Found, Size
from tests.e2e.servers import Process

TIMES = 5
NOTHING, COMMANDS = "pass", "import arrivals.cli"


async def run(size: Size) -> Found:
    """Start it anew in an empty folder some times; import as often, and nothing as often."""
    times = max(1, size.of(TIMES, 1))
    ready = [await _dev_ready() for _ in range(times)]
    nothing = [await _python(NOTHING) for _ in range(times)]
    commands = [await _python(COMMANDS) for _ in range(times)]
    imported = [b - a for a, b in zip(sorted(nothing), sorted(commands), strict=True)]
    rows = {
        "arrivals dev, in an empty folder, until it is ready": ready,
        "python -c pass": nothing,
        f"python -c '{COMMANDS}'": commands,
    }
    figures = [
        Figure(name=name, messages=times).timed(sorted(found)) for name, found in rows.items()
    ]
    measures = {
        "dev_ready_s": sorted(ready)[times // 2],
        "import_s": sorted(imported)[times // 2],
    }
    return Found(figures=figures, measures=measures)


async def _dev_ready() -> float:
    with tempfile.TemporaryDirectory(prefix="arrivals-bench-") as folder:
        data = Path(folder) / "data"
        dev = Process(
            *("dev", "--port", "0", "--smpp-port", "0", "--data", str(data), "--json"),
            log=Path(folder) / "dev.log",
        )
        began = time.perf_counter()
        await dev.start()
        took = time.perf_counter() - began
        await dev.stop()
        return took


async def _python(code: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    if await process.wait():
        raise AssertionError(f"python -c {code!r} failed")
    return time.perf_counter() - began
