"""`arrivals serve` and `arrivals reload`: the production form, from a settings file."""

from __future__ import annotations

import ipaddress
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Installation, stop_of_config
from arrivals.cli.notify import notify
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, say
from arrivals.cli.serving import serve_until_stopped

if TYPE_CHECKING:
    import asyncio

    from arrivals.config import Settings
    from arrivals.flows.applying import Applied
    from arrivals.flows.configuration import Configuration
    from arrivals.runtime import Running
    from arrivals.store.api import Store, Transaction

_log = logging.getLogger("arrivals.serve")

ConfigFile = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="The settings file.")
]


ServingRole = Annotated[
    Literal["all", "api", "worker"],
    typer.Option("--role", help="What this process does, of those that share a database."),
]
ServingPort = Annotated[
    int | None, typer.Option("--port", help="Where the API listens. [else the settings file's]")
]
MetricsPort = Annotated[
    int | None,
    typer.Option("--metrics-port", help="Where metrics are. [else the settings file's]"),
]


class _How(NamedTuple):
    """What the command line says about serving."""

    role: str
    port: int | None
    metrics_port: int | None
    as_json: bool


def serve(
    config: ConfigFile = Path("arrivals.toml"),
    role: ServingRole = "all",
    port: ServingPort = None,
    metrics_port: MetricsPort = None,
    as_json: AsJson = False,
) -> None:
    """Serve in production form: apply a settings file, then run until stopped.

    Any number of processes can serve from one PostgreSQL database, each in its role: `api`
    takes requests, `worker` sends and takes receipts, `all` does both.

    The file is checked whole before anything changes. `arrivals init` writes one to begin
    with, which works as it stands beside `arrivals world`.
    """
    import asyncio

    settings, configuration = read(config)
    if role != "all" and settings.server.database is None:
        raise Stop(
            f"--role {role} needs a database that processes can share",
            'set `database = "postgresql://…"` in the table [server]',
            code=ExitCode.USAGE,
        )
    how = _How(role, port, metrics_port, as_json)
    reread = asyncio.Event()
    serve_until_stopped(
        lambda stop: _run(settings, configuration, stop, how, reread),
        in_production=True,
        on_hangup=reread.set,
    )


def reload(config: ConfigFile = Path("arrivals.toml"), as_json: AsJson = False) -> None:
    """Apply the settings file again; a running server notices within five seconds.

    SIGHUP to a server does the same with the file that it was started with.

    Providers, routes, prices, accounts and keys are applied. The tables `server` and
    `defaults` are read at a server's start only: which of their settings differ from those of
    the last start is named.
    """
    from arrivals.flows.applying import APPLY_CONFIGURATION

    settings, configuration = read(config)
    applied = Installation(settings.place).do(APPLY_CONFIGURATION, configuration)
    if as_json:
        put_json(applied)
    else:
        _tell_applied(applied)


def read(config: Path) -> tuple[Settings, Configuration]:
    """Read a settings file and all it points to, or stop with every problem."""
    from arrivals.config import InvalidConfig, read_tables
    from arrivals.flows.configuration import configuration_of

    try:
        settings = read_tables(config)
        return settings, configuration_of(settings)
    except InvalidConfig as error:
        raise stop_of_config(error) from None


async def _run(
    settings: Settings,
    configuration: Configuration,
    stop: asyncio.Event,
    how: _How,
    reread: asyncio.Event,
) -> None:
    from arrivals.flows.configuration import defaults_of
    from arrivals.runtime import Followed, Role, RunSettings, run
    from arrivals.store.beside import shown

    server = settings.server
    applied: list[Applied] = []
    run_settings = RunSettings(
        data=settings.data,
        database=server.database,
        role=Role(how.role),
        host=server.host,
        port=server.port if how.port is None else how.port,
        metrics_port=server.metrics_port if how.metrics_port is None else how.metrics_port,
        connections_max=server.connections,
        connections_per_address_max=server.connections_per_address,
        defaults=defaults_of(settings),
        verify_every_s=server.verify_every,
        prepare=_preparation(configuration, server.host, applied),
    )

    kept = shown(settings.place)

    def ready(running: Running) -> None:
        notify("READY=1", f"STATUS=serving at {running.api_url or running.metrics_url}")
        if how.as_json:
            put_json(
                {
                    "ready": True,
                    "api": running.api_url,
                    "metrics": running.metrics_url,
                    "role": how.role,
                    "data": kept,
                    "applied": applied[-1],
                }
            )
            return
        console = on_stdout()
        console.print("Arrivals is serving.", style="bold green")
        if running.api_url is not None:
            say(f"  API      {running.api_url}")
        say(f"  Metrics  {running.metrics_url}")
        say(f"  Data     {kept}")
        _tell_applied(applied[-1])
        sys.stdout.flush()

    followed = Followed(told=reread, follow=lambda store: _apply_again(settings.path, store))
    await run(run_settings, on_ready=ready, stop=stop, settings_file=followed)


async def _apply_again(config: Path, store: Store) -> None:
    """Apply the settings file as `reload` does; what is wrong with it changes nothing."""
    import asyncio

    from arrivals.flows.administer import Impossible
    from arrivals.flows.applying import APPLY_CONFIGURATION
    from arrivals.store.api import StoreError

    try:
        _, configuration = await asyncio.to_thread(read, config)
        applied = await store.write(APPLY_CONFIGURATION, configuration)
    except (Stop, StoreError) as error:
        _log.error("SIGHUP: the settings file isn't applied: %s", " ".join(str(error).split()))
        return
    if isinstance(applied, Impossible):
        _log.error("SIGHUP: the settings file isn't applied: %s", applied)
        return
    _log.info(
        "SIGHUP: the settings file is applied; created: %s; changed: %s; imported "
        "by hand since, and kept: %s; only a restart applies: %s",
        ", ".join(applied.created) or "nothing",
        ", ".join(applied.changed) or "nothing",
        ", ".join(applied.by_hand) or "nothing",
        ", ".join(applied.at_restart) or "nothing that changed",
    )


def _preparation(
    configuration: Configuration, host: str, applied: list[Applied]
) -> Callable[[Transaction], None]:
    from arrivals.flows.administer import Impossible
    from arrivals.flows.applying import apply_configuration, note_start

    def prepare(tx: Transaction) -> None:
        keys = [each.active for each in tx.catalogue().keys.values()]
        if not is_loopback(host) and not configuration.keys and not any(keys):
            raise Impossible(
                f"there is no API key yet, and {host} can be reached from elsewhere",
                "begin with host = 127.0.0.1, make a key with `arrivals keys create`, "
                "then open the door",
            )
        note_start(tx, configuration)
        applied.append(apply_configuration(tx, configuration))

    return prepare


def is_loopback(host: str) -> bool:
    """Tell whether a host to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tell_applied(applied: Applied) -> None:
    for name, what in (("Created", applied.created), ("Changed", applied.changed)):
        if what:
            say(f"  {name}  {', '.join(what)}")
    if not applied.created and not applied.changed:
        say("  The settings file changes nothing.")
    if applied.by_hand:
        say(f"  Imported by hand since, and kept: {', '.join(applied.by_hand)}")
    if applied.at_restart:
        say(f"  Only a restart applies: {', '.join(applied.at_restart)}")
    if applied.left_alone:
        say(f"  Not in the file, left as it is: {', '.join(applied.left_alone)}")
