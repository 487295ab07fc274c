"""Several `arrivals serve` processes on one PostgreSQL, and a carrier world upstream."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.e2e.servers import PRICES, Process, free_port, new_key

CONFIG = """
[server]
database = "{database}"
data = "data"

[defaults]
valid_for = {valid_for}
outcome_grace = {outcome_grace}
"""

ACCOUNT = """
[[accounts]]
id = {n}
name = "Load {n}"
username = "load{n}"
opening_funds = "1000000"
keys = [{{ name = "load", key_env = "ARRIVALS_TEST_KEY_{n}" }}]
"""

PROVIDER = """
[[providers]]
id = "north{n}"
host = "127.0.0.1"
port = {smpp_port}
system_id = "north{n}"
password = "world"
sandbox = true
window = {window}
response_timeout = {response_timeout}
expired_is_final = true
error_namespace = "carrier_world"

[[routes]]
id = {n}
name = "Direct {n}"
category = "alert"
providers = ["north{n}"]
prices = "prices.csv"
"""


class Member:
    """One process of a cluster, whichever number of times it is started."""

    def __init__(self, cluster: Cluster, role: str) -> None:
        self.role = role
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._cluster = cluster
        self._metrics_port = free_port()
        self.process = self._new()

    def _new(self) -> Process:
        return Process(
            *("serve", "--config", str(self._cluster.config), "--role", self.role, "--json"),
            *("--port", str(self.port), "--metrics-port", str(self._metrics_port)),
            environment={
                f"ARRIVALS_TEST_KEY_{n}": key for n, key in enumerate(self._cluster.keys, 1)
            },
        )

    async def start(self) -> None:
        await self.process.start()

    async def kill_and_restart(self) -> None:
        """Kill it and start another in its place, for as long as the database isn't there."""
        self.process.kill()
        await self.process.wait()
        while True:
            self.process = self._new()
            try:
                await self.process.start()
            except RuntimeError:  # it ended at once: its database is just restarting
                await asyncio.sleep(0.5)
            else:
                return


class Cluster:
    """A folder with a configuration, a carrier world, and processes in their roles."""

    def __init__(
        self,
        folder: Path,
        database: str,
        *,
        alls: int = 0,
        apis: int = 2,
        workers: int = 3,
        providers: int = 4,
        accounts: int = 1,
        scenario: str = "clear-day",
        speed: float = 50.0,
        valid_for: int = 60,
        outcome_grace: int = 30,
        window: int = 50,
        response_timeout: float = 3.0,
    ) -> None:
        self.database = database
        self.providers = providers
        self.window = window
        self.truth = folder / "truth.ndjson"
        self.keys = [new_key() for _ in range(accounts)]
        self.config = folder / "arrivals.toml"
        smpp_port = free_port()
        (folder / "prices.csv").write_text(PRICES)
        self.config.write_text(
            CONFIG.format(database=database, valid_for=valid_for, outcome_grace=outcome_grace)
            + "".join(ACCOUNT.format(n=n) for n in range(1, accounts + 1))
            + "".join(
                PROVIDER.format(
                    n=n, smpp_port=smpp_port, window=window, response_timeout=response_timeout
                )
                for n in range(1, providers + 1)
            )
        )
        self.world = Process(
            *("world", "--port", str(smpp_port), "--scenario", scenario, "--seed", "1"),
            *("--speed", str(speed), "--truth", str(self.truth), "--json"),
        )
        self.alls = [Member(self, "all") for _ in range(alls)]
        self.apis = [Member(self, "api") for _ in range(apis)]
        self.workers = [Member(self, "worker") for _ in range(workers)]

    @property
    def members(self) -> list[Member]:
        return [*self.alls, *self.apis, *self.workers]

    @property
    def doors(self) -> list[Member]:
        """The members that take requests."""
        return [*self.alls, *self.apis]

    async def start(self) -> None:
        await self.world.start()
        await asyncio.gather(*(each.start() for each in self.members))

    async def stop(self) -> None:
        await asyncio.gather(*(each.process.stop() for each in self.members))
        await self.world.stop()
