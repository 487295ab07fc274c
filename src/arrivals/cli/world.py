"""`arrivals world`: the carrier world alone, an SMPP server for whoever wants to send to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json
from arrivals.cli.serving import serve_until_stopped

if TYPE_CHECKING:
    import asyncio

    from arrivals.world.smsc import CarrierWorld

HOST: Final = "127.0.0.1"  # its password is known to everybody
SPEED_MAX: Final = 1_000_000.0

SmppPort = Annotated[
    int,
    typer.Option(
        "--smpp-port", min=0, max=65_535, help="The carrier world's port; 0 takes any."
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, help="Makes the world's chance repeatable.")
]
Scenario = Annotated[
    str,
    typer.Option(metavar="NAME", help="How the world behaves: a name, or a .toml file."),
]
Speed = Annotated[
    float, typer.Option(help="How many times as fast the world's own clock runs.")
]


def checked_speed(speed: float) -> float:
    """Return a speed that the world can run at, or refuse it as a usage error."""
    if not 0 < speed <= SPEED_MAX:
        raise typer.BadParameter(
            f"the speed is above 0 and at most {SPEED_MAX:.0f}", param_hint="--speed"
        )
    return speed


def said(error: OSError) -> str:
    """Return what the system says; the event loop's own words repeat the address."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def make_world(
    host: str, port: int, scenario: str, seed: int, speed: float, truth: Path | None = None
) -> CarrierWorld:
    """Return a carrier world, not yet started; a scenario that isn't there is a usage error."""
    from arrivals.clock import SystemClock
    from arrivals.world.scenario import ScenarioError, load_scenario
    from arrivals.world.smsc import CarrierWorld

    try:
        loaded = load_scenario(scenario)
    except ScenarioError as error:
        raise typer.BadParameter(str(error), param_hint="--scenario") from None
    try:
        return CarrierWorld(
            loaded, seed, speed, host, port, now_us=SystemClock().now_us, truth_path=truth
        )
    except OSError as error:
        raise Stop(
            f"{truth} can't be written: {error.strerror}", "choose another file with --truth"
        ) from None


def world(
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where it listens; 0 takes any free port.")
    ] = 2775,
    scenario: Scenario = "clear-day",
    seed: Seed = 1,
    speed: Speed = 1.0,
    truth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what really happens, a JSON line each."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the carrier world alone: an SMPP server with seeded behaviour.

    Bind with any system_id and the password `world`. It listens on this machine only.
    """
    made = make_world(HOST, port, scenario, seed, checked_speed(speed), truth)
    serve_until_stopped(lambda stop: _run(made, stop, as_json=as_json))


async def _run(world: CarrierWorld, stop: asyncio.Event, *, as_json: bool) -> None:
    try:
        await world.start()
    except OSError as error:
        raise Stop(
            f"the carrier world can't listen on {HOST}:{world.port}: {said(error)}",
            "choose another port with --port, or 0 for any",
            code=ExitCode.UNREACHABLE,
        ) from None
    try:
        _tell(world, as_json=as_json)
        await stop.wait()
    finally:
        await world.stop()


def _tell(world: CarrierWorld, *, as_json: bool) -> None:
    address = f"{HOST}:{world.port}"
    if as_json:
        put_json(
            {
                "ready": True,
                "smpp": address,
                "scenario": world.scenario.name,
                "seed": world.seed,
                "speed": world.speed,
            }
        )
        return
    console = on_stdout()
    console.print("The carrier world is up.", style="bold green")
    console.print(f"  smpp://{address}", markup=False)
    console.print(
        f"  scenario {world.scenario.name}, seed {world.seed}, speed {world.speed:g}; "
        "any system_id, password world",
        style="dim",
    )
    sys.stdout.flush()
