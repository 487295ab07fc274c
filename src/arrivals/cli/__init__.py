"""What can be typed: every command of `arrivals`, each in a module of its own.

Modules import what is heavy inside their commands, so that `arrivals --help` and a
mistyped option are answered at once.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from arrivals import __version__
from arrivals.cli import accounts, keys, messages, network
from arrivals.cli.backup import backup, hold, restore
from arrivals.cli.calibrate import calibrate
from arrivals.cli.check_provider import check as check_provider
from arrivals.cli.copy import copy
from arrivals.cli.dev import dev
from arrivals.cli.doctor import doctor
from arrivals.cli.init import init
from arrivals.cli.inspecting import compare, explain, timeline, watch
from arrivals.cli.migrate import migrate
from arrivals.cli.output import ExitCode, Stop, report
from arrivals.cli.scenarios import scenarios
from arrivals.cli.send import send
from arrivals.cli.send_bulk import send_bulk
from arrivals.cli.serve import reload, serve
from arrivals.cli.sim import sim
from arrivals.cli.usage import run
from arrivals.cli.verify import verify
from arrivals.cli.world import world

BEGIN, SEND, OPERATE, PROVE = "Begin", "Send and see", "Operate", "Keep and prove"

app = typer.Typer(
    name="arrivals",
    help="An SMS platform that you run yourself and that tells the truth about outcomes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: Final[dict[str, tuple[Callable[..., None], ...]]] = {
    BEGIN: (dev, init, serve, world),
    SEND: (
        *(send, send_bulk, messages.estimate, messages.balance, messages.cancel),
        *(watch, explain, compare, timeline),
    ),
    OPERATE: (network.pause, network.resume, network.drain, reload, calibrate),
    PROVE: (verify, sim, scenarios, doctor, backup, restore, hold, migrate, copy),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
network.providers.command("check")(check_provider)
app.add_typer(messages.app, name="messages", rich_help_panel=SEND)
app.add_typer(accounts.app, name="accounts", rich_help_panel=OPERATE)
app.add_typer(keys.app, name="keys", rich_help_panel=OPERATE)
app.add_typer(network.routes, name="routes", rich_help_panel=OPERATE)
app.add_typer(network.providers, name="providers", rich_help_panel=OPERATE)
app.add_typer(network.prices, name="prices", rich_help_panel=OPERATE)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"arrivals {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            metavar="",
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line, and exit with what the command says."""
    # A terminal without our letters gets question marks, and the command goes on.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        # Wrong usage is 64 (EX_USAGE) everywhere, so that it can't be taken for an outcome.
        sys.exit(run(app, int(ExitCode.USAGE)))
    except (Stop, UnicodeEncodeError, OSError) as error:
        stop = error if isinstance(error, Stop) else _unforeseen(error)
        report(stop, as_json="--json" in sys.argv)
        sys.exit(stop.code)


def _unforeseen(error: UnicodeEncodeError | OSError) -> Stop:
    """Say in words what no command has words of its own for."""
    if isinstance(error, UnicodeEncodeError):
        return Stop(
            f"the command line holds characters that can't be sent: {error.reason}",
            "write texts in UTF-8, and keys in ASCII",
            code=ExitCode.USAGE,
        )
    where = f"{error.filename}: " if error.filename else ""
    return Stop(
        f"{where}{error.strerror or error}",
        "make room, or let this user read and write there",
        code=ExitCode.IO_ERROR,
    )
