"""Wire one process together; the one file that knows what kinds of provider there are."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import uvicorn

from arrivals.clock import Clock, SystemChance, SystemClock
from arrivals.core.catalogue import Provider
from arrivals.flows.fleet import Fleet
from arrivals.flows.learning import Learning
from arrivals.flows.neighbours import Neighbours
from arrivals.flows.opening import open_platform
from arrivals.flows.plan import Defaults
from arrivals.flows.platform import Platform
from arrivals.flows.sweep import Sweeper
from arrivals.flows.verifying import VERIFY_EVERY_S, Verifier
from arrivals.http.app import application
from arrivals.http.connection import Connection as ClientConnection
from arrivals.http.door import CONNECTIONS_MAX, OPERATORS_MAX, PER_ADDRESS_MAX, SPARE_MAX, Door
from arrivals.http.operations import OperationsApp
from arrivals.providers.api import Connection
from arrivals.providers.smpp import SmppConnection
from arrivals.store.api import Store, Transaction
from arrivals.store.backend import activity_log, holder, open_store
from arrivals.telemetry import Telemetry

_log = logging.getLogger("arrivals.runtime")

# Open files that aren't clients' connections: the store's, readers', binds', the log, and a
# few that the system hasn't closed yet.
FILES_KEPT: Final = 64 + OPERATORS_MAX + SPARE_MAX
BACKLOG: Final = 2_048  # connections that wait to be accepted
DOORS: Final = ("operators' requests", "requests")  # as /readyz names them
GC_THRESHOLDS: Final = (20_000, 20, 20)  # objects; by default 700: 6 % of the loop's time
# The writer asks for Python's lock after every statement and would get it only when the loop
# has nothing to do: a tenth more throughput than with the default of 5 ms, measured.
SWITCH_INTERVAL_S: Final = 0.0002
STOP_REQUESTS_S: Final = 2  # for requests that are being answered
STOP_S: Final = 4.0  # for everything: a clean stop takes no more than five seconds


class Role(StrEnum):
    """What a process does, where several share a database."""

    ALL = "all"
    API = "api"  # takes requests, and answers once they are committed
    WORKER = "worker"  # owns binds, sends, takes receipts, and does what is due


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """What a serving process needs to know; port 0 takes any free port."""

    data: Path
    database: str | None = None  # a postgresql:// URL; None: in the data folder
    role: Role = Role.ALL
    host: str = "127.0.0.1"
    port: int = 8025
    metrics_port: int = 9025
    connections_max: int = CONNECTIONS_MAX
    connections_per_address_max: int = PER_ADDRESS_MAX
    defaults: Defaults = field(default_factory=Defaults)
    verify_every_s: float = VERIFY_EVERY_S  # 0: never
    prepare: Callable[[Transaction], None] | None = None  # runs once the schema is there


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """Where a serving process can be found."""

    api_url: str | None  # a worker has none
    metrics_url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A settings file that is applied again when somebody says so."""

    told: asyncio.Event
    follow: Callable[[Store], Awaitable[None]]

    async def run(self, store: Store) -> None:
        """Apply it each time, until cancelled."""
        while True:
            await self.told.wait()
            self.told.clear()
            await self.follow(store)


async def run(
    settings: RunSettings,
    *,
    on_ready: Callable[[Running], None],
    stop: asyncio.Event,
    settings_file: Followed | None = None,
) -> None:
    """Serve until `stop` is set; then finish what is under way and close."""
    with contextlib.ExitStack() as sockets:
        api_socket = None
        if settings.role is not Role.WORKER:
            api_socket = sockets.enter_context(_listen(settings.host, settings.port))
        metrics_socket = sockets.enter_context(_listen(settings.host, settings.metrics_port))
        await _serve(settings, api_socket, metrics_socket, on_ready, stop, settings_file)


async def _serve(
    settings: RunSettings,
    api_socket: socket.socket | None,
    metrics_socket: socket.socket,
    on_ready: Callable[[Running], None],
    stop: asyncio.Event,
    settings_file: Followed | None,
) -> None:
    sends = settings.role is not Role.API
    clock = SystemClock()  # one for all: its wall time is its own where the machine's goes back
    use_any_core = _keep_to_one_core()
    place = settings.database or settings.data
    store = open_store(place, clock, begin_reader=use_any_core)
    await store.open()
    activity = activity_log(place)
    await activity.open()
    try:
        platform, secret = await open_platform(
            store, clock, SystemChance(), settings.defaults, settings.prepare
        )
        connect = functools.partial(connection_to, clock=clock)
        # Of two processes that a container names alike, each is an owner of its own.
        owner = f"{holder()}:{SystemChance().entropy(4).hex()}"
        fleet = Fleet(platform, connect, owner, sends=sends)
        telemetry = Telemetry()
        operations = OperationsApp(
            platform,
            telemetry,
            alive=lambda: {task.get_name(): _trouble(task) for task in work},
            binds=fleet.binds,
            commits=lambda: store.commits,
            windows=fleet.windows,
        )
        doors = {_server(operations, Door(OPERATORS_MAX, spare_max=0)): metrics_socket}
        if api_socket is not None:
            api = application(platform, activity, secret, answered=telemetry.answered)
            doors[_server(api, _door_for_clients(settings))] = api_socket
        answering = [
            asyncio.create_task(each.serve([at]), name=name)
            for (each, at), name in zip(doors.items(), DOORS, strict=False)
        ]
        verifier = None
        if sends and settings.verify_every_s:
            verifier = Verifier(
                platform, place, settings.verify_every_s, begin_thread=use_any_core
            )
        work = [*_work_behind(platform, fleet, verifier, secret, sends=sends), *answering]
        if api_socket is not None:
            work.append(asyncio.create_task(platform.uses.run(store), name="uses of keys"))
        if settings_file is not None:
            following = settings_file.run(store)
            work.append(asyncio.create_task(following, name="settings file"))
        await _started(list(doors), work)
        on_ready(
            Running(
                api_url=_url(api_socket) if api_socket else None,
                metrics_url=f"{_url(metrics_socket)}/metrics",
            )
        )
        await _until(stop, work)
        await _drain(list(doors), answering, work)
    finally:
        await activity.close()
        await store.close()
        use_any_core()


async def _drain(
    doors: Sequence[_Server],
    answering: Sequence[asyncio.Task[None]],
    work: Sequence[asyncio.Task[None]],
) -> None:
    """Let what is under way end, for a while, and say what is waited for."""
    for each in doors:
        each.should_exit = True
    requests = sum(len(each.server_state.tasks) for each in doors)
    _log.info("stopping: waits up to %d s for %d requests", STOP_REQUESTS_S, requests)
    await asyncio.wait(answering, timeout=STOP_REQUESTS_S)
    for task in work:
        task.cancel()
    until = asyncio.get_running_loop().time() + STOP_S
    left = {task for task in work if not task.done()}
    while left and (seconds := until - asyncio.get_running_loop().time()) > 0:
        _, left = await asyncio.wait(left, timeout=min(1.0, seconds))
        if left:
            names = ", ".join(sorted(task.get_name() for task in left))
            _log.info("stopping: still waits for: %s", names)
    if left:
        _log.warning("stopped without them; what providers didn't answer is in doubt")
    else:
        _log.info("stopped: all that was under way has ended")


def _work_behind(
    platform: Platform,
    fleet: Fleet,
    verifier: Verifier | None,
    secret: bytes,
    *,
    sends: bool,
) -> list[asyncio.Task[None]]:
    """Start what a process does without being asked."""
    parts = {"fleet": fleet.run()}
    if sends:
        parts["sweep"] = Sweeper(platform).run()
    if verifier is not None:
        parts["verify"] = verifier.run()
    learning = Learning(platform, secret, learns=sends)
    platform.foresee = learning.foresee
    platform.endings = learning.endings
    platform.expect = learning.expect
    platform.calibration = learning.calibration
    platform.choosing.estimate = learning.estimate
    platform.choosing.destinations = learning.destinations
    parts["learning"] = learning.run()
    if platform.store.is_shared:
        parts["neighbours"] = Neighbours(platform, fleet).run()
    return [asyncio.create_task(part, name=name) for name, part in parts.items()]


def _keep_to_one_core() -> Callable[[], None]:
    """Keep this thread and those it starts to one core; return what frees a thread again.

    The loop and the writer take turns at Python's lock. Handing it from core to core costs a
    fifth of the messages a second where they're sent one by one, and a second core gains
    nothing where they come in hundreds (measured on two). Processes choose by their number.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS leaves it to the scheduler
        return lambda: None
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[os.getpid() % len(cores)]})
    return lambda: os.sched_setaffinity(0, cores)


def connection_to(provider: Provider, clock: Clock) -> Connection:
    """Return a connection to a provider, not yet dialled."""
    return SmppConnection(provider, password_of(provider), clock, SystemChance())


def password_of(provider: Provider) -> str:
    """Return a provider's password from where its settings say it is."""
    settings = provider.settings
    if name := settings.get("password_env"):
        return os.environ.get(str(name), "")
    if path := settings.get("password_file"):
        with contextlib.suppress(OSError):
            return Path(str(path)).read_text("utf-8").strip()
        return ""
    return str(settings.get("password", ""))


def _door_for_clients(settings: RunSettings) -> Door:
    """Return a door that stays below the system's bound on open files.

    That bound is raised as far as the system lets everybody raise it.
    """
    wanted = settings.connections_max
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + FILES_KEPT
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wanted = min(wanted, max(soft - FILES_KEPT, soft // 4))
    return Door(wanted, settings.connections_per_address_max)


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from None
    listening.listen(BACKLOG)
    listening.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """A server whose signals belong to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the process's signal handlers alone."""
        yield


def _server(app: object, door: Door) -> _Server:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=functools.partial(ClientConnection, door=door),  # type: ignore[arg-type]
        ws="none",
        proxy_headers=False,
        log_level="warning",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=STOP_REQUESTS_S,
        backlog=BACKLOG,
    )
    return _Server(config)


async def _started(doors: list[_Server], work: list[asyncio.Task[None]]) -> None:
    while not all(each.started for each in doors):
        for task in work:
            if task.done():
                await task
        await asyncio.sleep(0.005)
    # What is there now stays: the collector need not look at it again and again. Requests leave
    # few cycles behind, so it may look seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _trouble(task: asyncio.Task[None]) -> str | None:
    return "it has stopped" if task.done() else None


async def _until(stop: asyncio.Event, work: list[asyncio.Task[None]]) -> None:
    """Wait for the stop, or for a part that ended though nobody asked it to."""
    stopping = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopping, *work], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        await task
