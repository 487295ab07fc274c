"""`arrivals backup` and `arrivals restore`: a copy of everything, and back again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from arrivals.cli.connection import DEFAULT_DATA, AsJson
from arrivals.cli.database import Config, Data, Installation, as_place, place_of
from arrivals.cli.output import Stop, on_stdout, put_json, say
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from arrivals.flows.administer import Held

_DUMP: Final = (
    "pg_dump --format=custom --file=FILE '{url}' copies it as of one moment while servers run; "
    "to lose nothing with a disk, keep a pg_basebackup and archive the log as well"
)
_RESTORE: Final = (
    "psql '{url}' --command='CREATE ROLE arrivals_tenant' if the server hasn't got it, then "
    "pg_restore --exit-on-error --dbname='{url}' FILE into an empty database; before a server "
    "starts on it: arrivals hold --data '{url}'"
)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    data: Data = None,
    config: Config = None,
    as_it_is: Annotated[
        bool,
        flag("--as-it-is", help="Keep the copy, whatever is found damaged in it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the database into one file, as of one moment, while the server runs on.

    The copy is checked before it gets its name: its pages, texts, balances and rules. The file
    holds everything, keys' hashes and message texts included: keep it safe.
    """
    from arrivals.clock import SystemClock
    from arrivals.store.api import StoreError
    from arrivals.store.backup import back_up

    folder = _folder(place_of(data, config), _DUMP)
    try:
        octets, trouble = back_up(
            folder, target, SystemClock(), _progress(quiet=as_json), as_it_is=as_it_is
        )
    except StoreError as error:
        fix = error.fix or "name a new file, and the data folder with --data"
        raise Stop(str(error), fix) from None
    if trouble:
        raise Stop(
            f"{target} is a copy of what {folder} holds, and it is damaged: {trouble}",
            "keep it to look into; it can't be restored",
        )
    if as_json:
        put_json({"file": str(target), "octets": octets})
    else:
        say(f"{target} holds everything in {folder}: {octets / 1e6:.1f} MB.")
        say(f"Try it: arrivals restore {target} --data SOME-FOLDER --hold")


def _folder(place: str | Path, instead: str) -> Path:
    """Return the folder, or stop with the command that does this for a database."""
    from arrivals.store.backend import is_postgresql
    from arrivals.store.beside import shown

    if is_postgresql(place):
        url = shown(place)
        raise Stop(f"{url} is copied by PostgreSQL's own programs", instead.format(url=url))
    return Path(place)


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
        str, typer.Option(metavar="DIR", help="A folder without a database.")
    ] = str(DEFAULT_DATA),
    hold: Annotated[
        bool,
        flag("--hold/--no-hold", help="Send nothing until the providers are resumed."),
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

    folder = _folder(as_place(data), _RESTORE)
    try:
        held = put_back(
            source, folder, lambda unfinished: Installation(unfinished).do(HOLD_RESTORED, hold)
        )
    except StoreError as error:
        fix = error.fix or "name a backup, and an empty folder with --data"
        raise Stop(str(error), fix) from None
    if not as_json:
        say(f"{folder} holds what {source} held.")
    _tell(held, str(folder), as_json=as_json)


def hold(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """Hold a database that PostgreSQL's own programs restored: nothing is sent.

    Run it once, before a server starts there. It does what `restore --hold` does to a folder:
    pauses the providers, and gives new orders numbers that nobody had.
    """
    from arrivals.flows.administer import HOLD_RESTORED
    from arrivals.store.beside import shown

    place = place_of(data, config)
    held = Installation(place).do(HOLD_RESTORED, True)  # noqa: FBT003 - a step's only item
    _tell(held, shown(place), as_json=as_json)


def _tell(held: Held, place: str, *, as_json: bool) -> None:
    if as_json:
        put_json({"data": place, "order_floor": held.order_floor, "paused": held.paused})
        return
    console = on_stdout()
    say(f"New orders begin after {held.order_floor}.")
    if held.paused:
        console.print("Its providers are paused: nothing is sent yet.", style="bold")
        say("Start the server and look: what waits may have been sent after the backup.")
        for each in held.paused:
            say(f"  arrivals resume provider {each} --data '{place}'")
    else:
        console.print("It isn't held: a server started on it sends at once.", style="yellow")
