"""A data folder, `arrivals serve` on it and a carrier world beside it, as a part needs them."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.bench.load import request
from tests.e2e.servers import PRICES, Process, free_port, new_key

WINDOW = 500  # unanswered submits; the world takes as many
VALID_FOR_S = 3_600
HELD = 0.01  # PDUs a second: what is accepted waits, and nothing else happens
START_TIMEOUT_S = 300.0  # a thousand new accounts take their time
READY_TIMEOUT_S = 30.0
LOOK_EVERY_S = 0.02

SERVER = """
[server]
port = {port}
metrics_port = {metrics_port}
data = "data"
verify_every = {verify_every}

[defaults]
valid_for = {valid_for}
outcome_grace = 600
"""

PROVIDER = """
[[providers]]
id = "{id}"
host = "127.0.0.1"
port = {smpp_port}
system_id = "{id}"
password = "world"
sandbox = true
window = {window}
response_timeout = 30
expired_is_final = true
error_namespace = "carrier_world"
"""

ROUTE = """
[[routes]]
id = {id}
name = "Route {id}"
category = "{category}"
providers = ["{provider}"]
prices = "prices.csv"
"""

ACCOUNT = """
[[accounts]]
id = {id}
name = "Load {id}"
username = "load{id}"
opening_funds = "1000000"
keys = [{{ name = "load", key_file = "{id}.key" }}]
"""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a site is like; the defaults are those of a plain installation."""

    scenario: str = "wire"  # of the world: a name, or TOML
    accounts: int = 1
    providers: tuple[str, ...] = ("north",)
    routes: tuple[tuple[str, str], ...] = (("alert", "north"),)  # category, provider
    throughput: float | None = None  # of every provider, PDUs a second
    verify_every: int = 60
    slow_commit_ms: float = 0.0
    learns: bool = True


class BenchSite:
    """A server and its world, each a process."""

    def __init__(self, folder: Path, ground: Ground, like: BenchSite | None = None) -> None:
        """Make one in a folder, with what another one that is stopped has stored so far."""
        self.folder = folder
        self.data = folder / "data"
        self.keys: list[str] = (
            like.keys if like else [new_key() for _ in range(ground.accounts)]
        )
        if like:
            shutil.copytree(like.data, self.data)
        self.key = self.keys[0]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._metrics_port = free_port()
        self._smpp_port = free_port()
        self._ground = ground
        self._config = folder / "arrivals.toml"
        (folder / "prices.csv").write_text(PRICES)
        for number, key in enumerate(self.keys, 1):
            (folder / f"{number}.key").write_text(key)
        # What a file doesn't name stays as it is.
        self.configure(throughput=ground.throughput, accounts=0 if like else ground.accounts)
        self.world = Process(
            *("world", "--port", str(self._smpp_port), "--scenario", self._scenario()),
            "--json",
            log=folder / "world.log",
        )
        self.server = self._server()

    def configure(self, *, throughput: float | None, accounts: int = 0) -> None:
        """Write the settings file: a pace for every provider or none, and the new accounts."""
        ground = self._ground
        pace = "" if throughput is None else f"throughput = {throughput}\n"
        server = SERVER.format(
            port=self.port,
            metrics_port=self._metrics_port,
            verify_every=ground.verify_every,
            valid_for=VALID_FOR_S,
        )
        parts = [
            server,
            *(
                PROVIDER.format(id=each, smpp_port=self._smpp_port, window=WINDOW) + pace
                for each in ground.providers
            ),
            *(
                ROUTE.format(id=number, category=category, provider=provider)
                for number, (category, provider) in enumerate(ground.routes, 1)
            ),
            *(ACCOUNT.format(id=number) for number in range(1, accounts + 1)),
        ]
        self._config.write_text("".join(parts))

    async def start(self) -> None:
        """Start both, and wait until the binds are there."""
        await self.world.start()
        await self.serve()

    async def serve(self) -> None:
        """Start the server, and wait until its binds are there."""
        self.server = self._server()
        await self.server.start(START_TIMEOUT_S)
        until = time.monotonic() + READY_TIMEOUT_S
        async with httpx.AsyncClient() as client:
            while not await self._bound(client):
                if time.monotonic() > until:
                    raise TimeoutError("a bind isn't there")
                await asyncio.sleep(LOOK_EVERY_S)

    async def reload(self) -> None:
        """Apply the settings file again."""
        told = Process(
            *("reload", "--config", str(self._config), "--json"), log=self.folder / "reload.log"
        )
        await told.start()
        await told.wait()

    async def stop(self) -> None:
        """Stop both."""
        await self.server.stop()
        await self.world.stop()

    def send(
        self, numbers: Sequence[str], *, key: str | None = None, route_id: int = 1
    ) -> bytes:
        """Return a request that sends one text to these numbers."""
        body = {
            "route_id": route_id,
            "caller_id": "ARRIVALS",
            "numbers": numbers,
            "message": "Your code is 4839",
        }
        host = f"127.0.0.1:{self.port}"
        return request(host, "/api/v1/send_sms", key or self.key, json.dumps(body).encode())

    async def _bound(self, client: httpx.AsyncClient) -> bool:
        text = (await client.get(f"http://127.0.0.1:{self._metrics_port}/metrics")).text
        return all(
            f'arrivals_bind_up{{provider="{each}"}} 1.0' in text
            for each in self._ground.providers
        )

    def _scenario(self) -> str:
        if "\n" not in self._ground.scenario:
            return self._ground.scenario
        path = self.folder / "scenario.toml"
        path.write_text(self._ground.scenario)
        return str(path)

    def _server(self) -> Process:
        slow = self._ground.slow_commit_ms
        entry = ("tests.bench.slow_commit", str(slow)) if slow else ("arrivals",)
        if not self._ground.learns:
            entry = ("tests.bench.unlearned",)
        return Process(
            *("serve", "--config", str(self._config), "--json"),
            entry=entry,
            log=self.folder / "server.log",
        )


@asynccontextmanager
async def bench_site(ground: Ground | None = None) -> AsyncIterator[BenchSite]:
    """Start a site in a folder of its own; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="arrivals-bench-") as folder:
        site = BenchSite(Path(folder), ground or Ground())
        try:
            await site.start()
            yield site
        finally:
            await site.stop()


# --- what a process takes -------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process so far."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process now, in MB."""
    return float(psutil.Process(pid).memory_info().rss / 1e6)


def most_memory_mb(pid: int) -> float:
    """Return the most that a process ever had resident; where Linux isn't, what it has now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return memory_mb(pid)
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


class Stopwatch:
    """Wall and processor time of a process since a moment."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = cpu_seconds(pid)
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds on the clock."""
        return time.perf_counter() - self._began

    @property
    def cpu_seconds(self) -> float:
        """Seconds on processors."""
        return cpu_seconds(self._pid) - self._cpu
