"""`arrivals init`: a settings file to begin with, and the prices that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import as_place
from arrivals.cli.output import ExitCode, Stop, put_json, say

SETTINGS_FILE: Final = "arrivals.toml"
FILES: Final = (SETTINGS_FILE, "prices.csv")


def init(
    to: Annotated[
        str, typer.Option(metavar="DIR", help="The folder to write into; made if need be.")
    ] = ".",
    as_json: AsJson = False,
) -> None:
    """Write a settings file that explains every setting, and a price list.

    They work as they stand beside `arrivals world`. Nothing is ever written over.
    """
    folder = as_place(to)
    if not isinstance(folder, Path):
        raise typer.BadParameter("a settings file is written into a folder")
    written = _write(folder)
    if as_json:
        put_json({"written": [str(path) for path in written]})
        return
    settings = written[0]
    say(f"Written: {', '.join(str(path) for path in written)}. Next, each in a terminal:")
    say("  arrivals world")
    say(f"  arrivals serve --config {settings}")
    say(f"  arrivals keys create --config {settings} --account 1 --environment test")


def _write(folder: Path) -> list[Path]:
    """Write the files, all or none; raises Stop where one is there already."""
    from importlib import resources

    examples = resources.files("arrivals.cli").joinpath("examples")
    paths = [folder / name for name in FILES]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise _taken(path)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for path in paths:
            text = examples.joinpath(path.name).read_text("utf-8")
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise _taken(paths[len(written)]) from None
        raise
    return written


def _taken(path: Path) -> Stop:
    return Stop(
        f"{path} is there already; nothing was written",
        "write into another folder with --to, or move it away",
        code=ExitCode.IO_ERROR,
    )
