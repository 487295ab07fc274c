"""Jasmin, the Python gateway, under the same load and against the same carrier world.

It is PyPI's package in an environment of its own, with a RabbitMQ and a Redis of its own from
Debian's packages: all on free ports and in one folder, nothing of the system's is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from tests.bench.end_to_end import SETTLE_TIMEOUT_S
from tests.bench.figures import Figure
from tests.bench.kannel import Called, Missing, called_back
from tests.bench.load import finished, in_turn, opened
from tests.e2e.servers import Process, free_port

VERSION: Final = "0.11.1"
ENVIRONMENT: Final = Path(__file__).resolve().parents[2] / ".peers" / f"jasmin-{VERSION}"
ENTRY: Final = Path(__file__).with_name("jasmin_entry.py")
RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PROGRAMS: Final = ("redis-server", "epmd", "erl")  # of Debian's packages

INSTALL_TIMEOUT_S: Final = 300.0
START_TIMEOUT_S: Final = 180.0  # RabbitMQ takes its time where cores are few
STOP_TIMEOUT_S: Final = 15.0
LOOK_EVERY_S: Final = 0.05
PRINTED_SHOWN: Final = 500  # characters, of what doesn't start
RECEIPTS_WANTED: Final = 2  # of the phone, not of the carrier's acknowledgement

CONFIG = """
[smpp-server]
bind = 127.0.0.1
port = {smpps}
log_level = WARNING
[smpp-server-pb]
bind = 127.0.0.1
port = {smpps_pb}
log_level = WARNING
[smpp-server-pb-client]
host = 127.0.0.1
port = {smpps_pb}
[client-management]
store_path = {folder}
bind = 127.0.0.1
port = {clients_pb}
log_level = WARNING
[service-smppclient]
log_level = WARNING
[sm-listener]
log_level = WARNING
[dlr]
dlr_lookup_retry_delay = 0
dlr_lookup_max_retries = 60
log_level = WARNING
[amqp-broker]
port = {amqp}
spec = {spec}
log_level = WARNING
[redis-client]
port = {redis}
log_level = WARNING
[http-api]
bind = 127.0.0.1
port = {http}
access_log = None
log_level = WARNING
[router]
store_path = {folder}
bind = 127.0.0.1
port = {router_pb}
log_level = WARNING
[deliversm-thrower]
log_level = WARNING
[dlr-thrower]
log_level = WARNING
[jcli]
bind = 127.0.0.1
port = {jcli}
authentication = False
log_level = WARNING
"""
PORTS = ("smpps", "smpps_pb", "clients_pb", "amqp", "redis", "http", "router_pb", "jcli")

TYPED = """smppccm -a
cid world
host 127.0.0.1
port {smpp}
username world
password world
submit_throughput 0
ok
smppccm -1 world
mtrouter -a
type DefaultRoute
connector smppc(world)
rate 0
ok
group -a
gid bench
ok
user -a
username bench
password bench
gid bench
uid bench
ok
"""


async def install() -> None:
    """Make its environment if there is none; raises Missing where it can't be had."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent or not RABBITMQ.exists():
        raise Missing("apt install rabbitmq-server redis-server")
    if (ENVIRONMENT / ".ready").exists():
        return
    python = ENVIRONMENT / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
        [str(python), "-m", "pip", "install", "--quiet", f"jasmin=={VERSION}"],
    ):
        process = await asyncio.create_subprocess_exec(*command, stdout=sys.stderr)
        async with asyncio.timeout(INSTALL_TIMEOUT_S):
            if await process.wait():
                raise Missing(f"jasmin {VERSION} can't be installed from PyPI here")
    (ENVIRONMENT / ".ready").touch()


class Jasmin:
    """Its daemons, their broker and store, and a carrier world, in a folder of their own."""

    def __init__(self, folder: Path, *, helped: bool) -> None:
        self._folder = folder
        self._ports = {name: free_port() for name in PORTS}
        self.http = self._ports["http"]
        self._smpp, self._epmd, self._distribution = (free_port() for _ in range(3))
        self._helped = helped
        spec = next(ENVIRONMENT.glob("lib/*/site-packages/txamqp/specs/standard/amqp0-9-1*"))
        self._config = folder / "jasmin.cfg"
        self._config.write_text(CONFIG.format(**self._ports, folder=folder, spec=spec))
        self._world = Process(
            *("world", "--port", str(self._smpp), "--scenario", "wire", "--json")
        )
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Start them all, and wait until messages can pass."""
        await self._world.start()
        await self._run("epmd", "-port", str(self._epmd), "-address", "127.0.0.1")
        redis = ("--port", str(self._ports["redis"]), "--bind", "127.0.0.1", "--save", "")
        await self._run("redis-server", *redis, "--dir", str(self._folder))
        await self._run(str(RABBITMQ))
        await self._listening("redis", "amqp")
        await self._daemon("jasmind.py")
        await self._listening("http", "jcli", "smpps_pb")
        await self._daemon("dlrlookupd.py")
        await self._daemon("dlrd.py")
        await self._set_up()

    async def stop(self) -> None:
        """Stop what was started, in reverse."""
        for each in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                each.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await each.wait()
            except TimeoutError:
                os.killpg(each.pid, signal.SIGKILL)
                await each.wait()
        await self._world.stop()

    async def _daemon(self, script: str) -> None:
        bin_folder = ENVIRONMENT / "bin"
        await self._run(
            *(str(bin_folder / "python"), "-P", str(ENTRY), str(self._folder)),
            *("yes" if self._helped else "no", str(bin_folder / script)),
            *("--config", str(self._config)),
        )

    async def _run(self, *command: str) -> None:
        folder = str(self._folder)
        environment = os.environ | {
            "HOME": folder,  # where Erlang keeps its cookie
            "LOG_PATH": folder,
            "ERL_EPMD_PORT": str(self._epmd),
            "RABBITMQ_NODENAME": f"bench-{self._ports['amqp']}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": folder,
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_PID_FILE": f"{folder}/rabbitmq.pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
        }
        with (self._folder / "output").open("ab") as output:
            self._started.append(
                await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,
                )
            )

    async def _listening(self, *names: str) -> None:
        """Wait until somebody listens on each port; a TimeoutError says what was printed."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                for name in names:
                    await _answered(self._ports[name])
        except TimeoutError:
            printed = (self._folder / "output").read_text(errors="replace")
            raise TimeoutError(f"Jasmin didn't start\n…{printed[-PRINTED_SHOWN:]}") from None

    async def _set_up(self) -> None:
        """Type what its documentation has typed into its console."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports["jcli"])
        async with asyncio.timeout(START_TIMEOUT_S):
            await reader.readuntil(b"Session ref")
            for line in TYPED.format(smpp=self._smpp).splitlines():
                writer.write(line.encode() + b"\r\n")
                await _prompt(reader)
        writer.close()
        await asyncio.sleep(2.0)  # until its connectors are bound


async def _answered(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def _prompt(reader: asyncio.StreamReader) -> None:
    said = b""
    while not re.search(rb"(jcli : |> )$", said):
        some = await reader.read(4096)
        if not some:
            raise ConnectionError("its console was closed")
        said += some


async def jasmin_sends(messages: int, connections: int, *, helped: bool) -> Figure:
    """Send so many messages through Jasmin, and wait for the calls of all receipts."""
    with tempfile.TemporaryDirectory(prefix="arrivals-jasmin-") as folder:
        jasmin = Jasmin(Path(folder), helped=helped)
        try:
            await jasmin.start()
            async with called_back(answer=b"ACK/Jasmin") as port:
                return await _measure(jasmin, messages, connections, port)
        finally:
            await jasmin.stop()


async def _measure(jasmin: Jasmin, messages: int, connections: int, port: int) -> Figure:
    asked = _requests(messages, f"http://127.0.0.1:{port}/")
    ready = await opened(jasmin.http, connections, asked)
    began = time.perf_counter()
    latencies, refused = await finished(ready)
    accepted = time.perf_counter()
    if refused:
        raise AssertionError(f"Jasmin refused {refused} requests")
    until = time.monotonic() + SETTLE_TIMEOUT_S
    while Called.count < messages:
        if time.monotonic() > until:
            raise TimeoutError("Jasmin still waits for receipts")
        await asyncio.sleep(LOOK_EVERY_S)
    ended = time.perf_counter()
    return Figure(
        name="Jasmin",
        messages=messages,
        accepted_per_s=messages / (accepted - began),
        settled_per_s=messages / (ended - began),
    ).timed(latencies)


def _requests(messages: int, callback: str) -> Callable[[], bytes | None]:
    query = {
        "username": "bench",
        "password": "bench",
        "from": "ARRIVALS",
        "content": "Your code is 4839",
        "dlr": "yes",
        "dlr-level": RECEIPTS_WANTED,
        "dlr-url": callback,
        "dlr-method": "GET",
    }

    def write(_: int, numbers: list[str]) -> bytes:
        path = f"/send?{urlencode({**query, 'to': numbers[0]})}"
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    return in_turn(messages, 1, write)
