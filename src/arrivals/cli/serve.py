"""`arrivals serve` and `arrivals reload`: the production form, from a settings file."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Installation, settings_of, stop_of_config
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, say
from arrivals.cli.serving import serve_until_stopped

if TYPE_CHECKING:
    import asyncio

    from arrivals.config import Settings
    from arrivals.flows.administer import Applied
    from arrivals.flows.configuration import Configuration
    from arrivals.runtime import Running
    from arrivals.store.api import Transaction

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

    The file is checked whole before anything changes. arrivals.example.toml is one to
    begin with, and works as it stands beside `arrivals world`.
    """
    settings, configuration = read(config)
    if role != "all" and settings.server.database is None:
        raise Stop(
            f"--role {role} needs a database that processes can share",
            'set `database = "postgresql://…"` in the table [server]',
            code=ExitCode.USAGE,
        )
    how = _How(role, port, metrics_port, as_json)
    serve_until_stopped(
        lambda stop: _run(settings, configuration, stop, how), in_production=True
    )


def reload(config: ConfigFile = Path("arrivals.toml"), as_json: AsJson = False) -> None:
    """Apply the settings file again; a running server notices within five seconds.

    Providers, routes, prices, accounts and keys are applied. The tables `server` and
    `defaults` are read at a server's start only.
    """
    from arrivals.flows.administer import APPLY_CONFIGURATION

    settings, configuration = read(config)
    applied = Installation(settings.place).do(APPLY_CONFIGURATION, configuration)
    if as_json:
        put_json(applied)
    else:
        _tell_applied(applied)


def read(config: Path) -> tuple[Settings, Configuration]:
    """Read a settings file and all it points to, or stop with every problem."""
    from arrivals.config import InvalidConfig
    from arrivals.flows.configuration import configuration_of

    settings = settings_of(config)
    try:
        return settings, configuration_of(settings)
    except InvalidConfig as error:
        raise stop_of_config(error) from None


async def _run(
    settings: Settings,
    configuration: Configuration,
    stop: asyncio.Event,
    how: _How,
) -> None:
    from arrivals.flows.configuration import defaults_of
    from arrivals.runtime import Role, RunSettings, run

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

    kept = without_password(server.database) if server.database else str(settings.data)

    def ready(running: Running) -> None:
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

    await run(run_settings, on_ready=ready, stop=stop)


def _preparation(
    configuration: Configuration, host: str, applied: list[Applied]
) -> Callable[[Transaction], None]:
    from arrivals.flows.administer import Impossible, apply_configuration

    def prepare(tx: Transaction) -> None:
        keys = [each.active for each in tx.catalogue().keys.values()]
        if not is_loopback(host) and not configuration.keys and not any(keys):
            raise Impossible(
                f"there is no API key yet, and {host} can be reached from elsewhere",
                "begin with host = 127.0.0.1, make a key with `arrivals keys create`, "
                "then open the door",
            )
        applied.append(apply_configuration(tx, configuration))

    return prepare


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown: whose, where and which."""
    shown = url.partition("?")[0]
    scheme, _, rest = shown.partition("://")
    login, at, where = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{where}"


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
    if applied.left_alone:
        say(f"  Not in the file, left as it is: {', '.join(applied.left_alone)}")
