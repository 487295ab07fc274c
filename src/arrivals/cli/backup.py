"""`arrivals backup` and `arrivals restore`: a copy of everything, and back again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from arrivals.cli.connection import DEFAULT_DATA, AsJson
from arrivals.cli.database import Config, Data, Installation, data_folder
from arrivals.cli.output import Stop, on_stdout, put_json, say


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database into one file, as of one moment, while the server runs on.

    The file holds everything, keys' hashes and message texts included: keep it safe.
    """
    from arrivals.store.api import StoreError
    from arrivals.store.backup import back_up

    folder = data_folder(data, config)
    try:
        octets = back_up(folder, target, _progress(quiet=as_json))
    except StoreError as error:
        raise Stop(str(error), "name a new file, and the data folder with --data") from None
    if as_json:
        put_json({"file": str(target), "octets": octets})
    else:
        say(f"{target} holds everything in {folder}: {octets / 1e6:.1f} MB.")
        say(f"Try it: arrivals restore {target} --data SOME-FOLDER --hold")


def _progress(*, quiet: bool) -> Callable[[int, int], None]:
    shown = sys.stderr.isatty() and not quiet

    def progress(done: int, pages: int) -> None:
        if shown and pages:
            end = "\n" if done >= pages else ""
            sys.stderr.write(f"\r{100 * done // pages:3d} %{end}")
            sys.stderr.flush()

    return progress


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What backup wrote.")],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder without a database.")
    ] = DEFAULT_DATA,
    hold: Annotated[
        bool,
        typer.Option("--hold/--no-hold", help="Send nothing until the providers are resumed."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Put a backup into an empty data folder, and hold it: nothing is sent.

    What the backup shows as waiting may have gone out after it was taken. So its providers
    are paused until you have looked, and new orders get numbers that nobody had.
    """
    from arrivals.flows.administer import HOLD_RESTORED
    from arrivals.store.api import StoreError
    from arrivals.store.backup import restore as put_back

    try:
        put_back(source, data)
    except StoreError as error:
        raise Stop(str(error), "name a backup, and an empty folder with --data") from None
    held = Installation(data).do(HOLD_RESTORED, hold)
    if as_json:
        put_json({"data": str(data), "order_floor": held.order_floor, "paused": held.paused})
        return
    console = on_stdout()
    say(f"{data} holds what {source} held. New orders begin after {held.order_floor}.")
    if held.paused:
        console.print("Its providers are paused: nothing is sent yet.", style="bold")
        say("Start the server and look: what waits may have been sent after the backup.")
        for each in held.paused:
            say(f"  arrivals resume provider {each} --data {data}")
    else:
        console.print("It isn't held: a server started on it sends at once.", style="yellow")
