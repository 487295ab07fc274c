"""`arrivals copy`: move a whole installation between a data folder and PostgreSQL."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import as_place
from arrivals.cli.output import ExitCode, Stop, on_stderr, put_json, put_table, say

if TYPE_CHECKING:
    from pathlib import Path

    from arrivals.store.copying import Progress


def copy(
    source: Annotated[
        str, typer.Option("--from", metavar="PLACE", help="The folder or database to copy.")
    ],
    target: Annotated[
        str, typer.Option("--to", metavar="PLACE", help="An empty one of the other kind.")
    ],
    as_json: AsJson = False,
) -> None:
    """Move an installation from a data folder to a PostgreSQL database, or back.

    Stop its servers first. Everything comes along, so message ids and API keys stay valid;
    only the request log (activity.db) is left behind. Both ends are verified afterwards.
    Exit codes: 0 copied and sound, 1 something is broken at the target or nothing was copied,
    2 copied and not verified.
    """
    from arrivals.store.api import RuleBroken, StoreError
    from arrivals.store.beside import shown
    from arrivals.store.copying import copy_installation

    places = as_place(source), as_place(target)
    try:
        with _bars(quiet=as_json) as progress:
            copied = copy_installation(*places, progress)
    except (StoreError, RuleBroken) as error:
        raise Stop(
            f"nothing was copied: {error}",
            getattr(error, "fix", "")
            or "stop the servers of both; name an installation with --from, and with --to an "
            "empty database or a new folder",
        ) from None
    try:
        broken = [_broken(each) for each in places]
    except StoreError as error:
        raise Stop(
            f"it is copied, and can't be verified: {error}",
            "run `arrivals verify` on both",
            code=ExitCode.UNCHECKED,
        ) from None
    if as_json:
        put_json(
            {
                "from": shown(places[0]),
                "to": shown(places[1]),
                "rows": copied.rows,
                "violations": {"from": broken[0], "to": broken[1]},
            }
        )
    else:
        put_table(("table", "rows#"), [(name, str(n)) for name, n in copied.rows.items()], "")
        say(f"{shown(places[1])} holds what {shown(places[0])} holds.")
        for place, found in zip(places, broken, strict=True):
            for sentence, count in found.items():
                say(f"{shown(place)}, broken {count} ×: {sentence}")
        say("Serve one of them only: two would send the same messages.")
    raise typer.Exit(int(ExitCode.VIOLATIONS if broken[1] else ExitCode.OK))


def _broken(place: str | Path) -> dict[str, int]:
    from arrivals.clock import SystemClock
    from arrivals.store.verifying import run_checks

    found = run_checks(place, SystemClock())
    return {each.sentence: each.count for each in found if each.count}


@contextlib.contextmanager
def _bars(*, quiet: bool) -> Iterator[Progress]:
    if quiet or not sys.stderr.isatty():
        yield lambda _table, _done, _count: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID

    tasks: dict[str, TaskID] = {}
    columns = ("{task.description:<16}", BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=on_stderr()) as bars:

        def show(table: str, done: int, count: int) -> None:
            if table not in tasks:
                tasks[table] = bars.add_task(table, total=count)
            bars.update(tasks[table], completed=done)

        yield show
