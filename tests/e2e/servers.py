"""Start `arrivals world` and `arrivals serve` as a user would: each a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from arrivals.core.ids import key_suffix, make_api_key

START_TIMEOUT_S = 30.0
LOG_SHOWN = 2_000  # characters of its end, where a process ended instead of starting

PRICES = "country,country_prefix,price\nNetherlands,31,0.05\nCarrier world,999,0.01\n"

CONFIG = """
[server]
port = {port}
metrics_port = {metrics_port}
data = "data"

[defaults]
valid_for = {valid_for}
outcome_grace = {outcome_grace}

[[providers]]
id = "north"
host = "127.0.0.1"
port = {smpp_port}
system_id = "north"
password = "world"
sandbox = true
window = {window}
response_timeout = {response_timeout}
expired_is_final = true
error_namespace = "carrier_world"

[[routes]]
id = 1
name = "Direct"
category = "alert"
providers = ["north"]
prices = "prices.csv"

[[accounts]]
id = 1
name = "Load"
username = "load"
opening_funds = "1000000"
keys = [{{ name = "load", key_env = "ARRIVALS_TEST_KEY" }}]
"""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        return int(probing.getsockname()[1])


def new_key() -> str:
    """Make a test key of our own, to be registered by the configuration."""
    return make_api_key("test", "aa", key_suffix(os.urandom(8)), os.urandom(32))


class Process:
    """One `arrivals` process, told from its `--json` line when it is ready."""

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        entry: tuple[str, ...] = ("arrivals",),
        log: Path | None = None,
    ) -> None:
        """Run a module, `arrivals` itself or one that runs it in its way, with arguments.

        Its log goes to ours, or to a file.
        """
        self._arguments = (*entry, *arguments)
        self._log = log
        self._environment = os.environ | (environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self.ready: dict[str, Any] = {}

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError("not started")
        return self._process.pid

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any]:
        """Start it and return what it says of itself."""
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self._log.open("ab")) if self._log else None
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *self._arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        if self._process.stdout is None:
            raise AssertionError("its output isn't piped")
        async with asyncio.timeout(timeout_s):
            line = await self._process.stdout.readline()
        if not line:
            said = f": {self._log.read_text()[-LOG_SHOWN:]}" if self._log else ""
            raise RuntimeError(
                f"{' '.join(self._arguments)} ended with {await self.wait()}{said}"
            )
        self.ready = json.loads(line)
        return self.ready

    def kill(self) -> None:
        """End it as a power cut would end it, as far as a process can tell."""
        os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until it ended; return its exit code."""
        if self._process is None:
            return 0
        return await self._process.wait()

    async def stop(self) -> int:
        """Ask it to stop, and wait for that."""
        if self._process is None or self._process.returncode is not None:
            return self._process.returncode or 0 if self._process else 0
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            return await self.wait()


class Site:
    """A folder with a configuration, a carrier world beside it, and a server on it."""

    def __init__(
        self,
        folder: Path,
        *,
        scenario: str = "clear-day",
        speed: float = 50.0,
        seed: int = 1,
        valid_for: int = 20,
        outcome_grace: int = 10,
        window: int = 50,
        response_timeout: float = 3.0,
    ) -> None:
        self.folder = folder
        self.truth = folder / "truth.ndjson"
        self.key = new_key()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        smpp_port = free_port()
        (folder / "prices.csv").write_text(PRICES)
        self.config = folder / "arrivals.toml"
        self.config.write_text(
            CONFIG.format(
                port=self.port,
                metrics_port=free_port(),
                smpp_port=smpp_port,
                valid_for=valid_for,
                outcome_grace=outcome_grace,
                window=window,
                response_timeout=response_timeout,
            )
        )
        self.world = Process(
            *("world", "--port", str(smpp_port), "--scenario", scenario, "--seed", str(seed)),
            *("--speed", str(speed), "--truth", str(self.truth), "--json"),
        )
        self.server = self._server()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _server(self) -> Process:
        return Process(
            *("serve", "--config", str(self.config), "--json"),
            environment={"ARRIVALS_TEST_KEY": self.key},
        )

    async def start(self) -> None:
        await self.world.start()
        await self.server.start()

    async def kill_and_restart(self) -> None:
        """Kill the server and start another on the same folder."""
        self.server.kill()
        await self.server.wait()
        self.server = self._server()
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()
        await self.world.stop()
