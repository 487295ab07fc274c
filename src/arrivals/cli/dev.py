"""`arrivals dev`: the whole platform and a mobile network in one process, ready to be tried."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arrivals.cli.connection import DEFAULT_DATA, AsJson
from arrivals.cli.database import as_folder
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, say
from arrivals.cli.serving import serve_until_stopped
from arrivals.cli.world import Scenario, Seed, SmppPort, Speed, checked_speed, make_world, said

if TYPE_CHECKING:
    import asyncio

    from arrivals.runtime import Running
    from arrivals.world.smsc import CarrierWorld

HOST: Final = "127.0.0.1"
SECONDS_MAX: Final = 259_200
# One with which the first commands that a newcomer copies arrive, and in a few seconds.
DEV_SEED: Final = 42


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What the command line asks for."""

    port: int
    data: Path
    valid_for_s: int
    outcome_grace_s: int
    as_json: bool


def dev(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The API's port; 0 takes any free one.")
    ] = 8025,
    smpp_port: SmppPort = 2775,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Where everything is kept.")
    ] = DEFAULT_DATA,
    valid_for: Annotated[
        int,
        typer.Option(min=1, max=SECONDS_MAX, help="Seconds a message is of use for."),
    ] = 60,
    outcome_grace: Annotated[
        int,
        typer.Option(
            min=0, max=SECONDS_MAX, help="Seconds after that until no news is UNKNOWN."
        ),
    ] = 60,
    seed: Seed = DEV_SEED,
    scenario: Scenario = "clear-day",
    speed: Speed = 1.0,
    as_json: AsJson = False,
) -> None:
    """Start everything on this machine: API, database and a mobile network to send to.

    The network is the carrier world, a real SMPP server with seeded behaviour; the
    numbers 999000000NN, eleven digits, have a fixed fate in it. Ctrl-C stops; the same
    --data goes on where it stopped, with the same keys.
    """
    world = make_world(HOST, smpp_port, scenario, seed, checked_speed(speed))
    wanted = _Wanted(
        port=port,
        data=as_folder(data),
        valid_for_s=valid_for,
        outcome_grace_s=outcome_grace,
        as_json=as_json,
    )
    serve_until_stopped(lambda stop: _run(wanted, world, stop))


async def _run(wanted: _Wanted, world: CarrierWorld, stop: asyncio.Event) -> None:
    from arrivals.cli.dev_installation import (
        SandboxAddress,
        dev_keys,
        dev_preparation,
        write_dev_file,
    )
    from arrivals.clock import SystemChance
    from arrivals.flows.plan import Defaults
    from arrivals.runtime import RunSettings, run

    keys = dev_keys(wanted.data, SystemChance().entropy)
    try:
        await world.start()
    except OSError as error:
        raise Stop(
            f"the carrier world can't listen on {HOST}:{world.port}: {said(error)}",
            "choose another port with --smpp-port, or 0 for any",
            code=ExitCode.UNREACHABLE,
        ) from None
    settings = RunSettings(
        data=wanted.data,
        host=HOST,
        port=wanted.port,
        metrics_port=0,
        defaults=Defaults(
            valid_for_s=wanted.valid_for_s, outcome_grace_s=wanted.outcome_grace_s
        ),
        prepare=dev_preparation(
            keys, SandboxAddress(host=HOST, port=world.port, scenario=world.scenario)
        ),
    )

    def ready(running: Running) -> None:
        facts: dict[str, object] = {
            "ready": True,
            "api": running.api_url,
            "smpp": f"{HOST}:{world.port}",
            "metrics": running.metrics_url,
            "data": str(wanted.data.absolute()),
            "seed": world.seed,
            "scenario": world.scenario.name,
            "keys": keys,
        }
        kept = {name: value for name, value in facts.items() if name != "ready"}
        write_dev_file(wanted.data, kept)
        if wanted.as_json:
            put_json(facts)
        else:
            _greet(running, world, wanted, keys["main"])

    try:
        await run(settings, on_ready=ready, stop=stop)
    finally:
        await world.stop()


def _greet(running: Running, world: CarrierWorld, wanted: _Wanted, key: str) -> None:
    """Tell where everything is, and three commands that show what it is for."""
    console = on_stdout()
    console.print("\nArrivals is up.", style="bold green")
    for name, place in (
        ("API", running.api_url),
        ("Its docs", f"{running.api_url}/docs"),
        ("Metrics", running.metrics_url),
        ("Carrier world", f"smpp://{HOST}:{world.port}  {_described(world)}"),
        ("Data", str(wanted.data)),
        ("API key", key),
    ):
        console.print(f"  {name:<14}", style="dim", end="")
        console.print(place, markup=False, soft_wrap=True)
    # The commands find both by themselves where the folder is the default one.
    whom = "curl and programs" if wanted.data == DEFAULT_DATA else "commands and programs"
    console.print(f"\nIn a second terminal, for {whom}:")
    say(f"  export ARRIVALS_URL={running.api_url} ARRIVALS_API_KEY={key}")
    console.print("\nThen:")
    command = _command()
    for line, comment in (
        ('send 31612345678 "Your code is 4839" --route 3 --wait', "goes the way of the world"),
        ('send +99900000005 "Your code is 4839" --wait', "its answer gets lost"),
        ("explain BX-…", "why; the id is what send printed"),
    ):
        console.print(f"  {command} {line}", markup=False, soft_wrap=True, end="")
        console.print(f"   # {comment}", style="dim")
    console.print(
        "\nNumbers +999000000NN have a fixed fate: 01 arrives, 02 is switched off, "
        "03 is filtered in silence. Ctrl-C stops.\n",
        style="dim",
    )
    sys.stdout.flush()


def _described(world: CarrierWorld) -> str:
    speed = "" if world.speed == 1 else f", {world.speed:g} × as fast"
    return f"(scenario {world.scenario.name}, seed {world.seed}{speed})"


def _command() -> str:
    """Return how this very program was called, so that the lines can be copied."""
    called = Path(sys.argv[0])
    return str(called) if called.parent.name == "bin" and called.exists() else "arrivals"
