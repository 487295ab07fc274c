"""Named SQL statements, read from the files in sql/."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def statements(name: str) -> dict[str, str]:
    """Return the statements of sql/NAME.sql: each begins with a line `-- name: …`."""
    text = resources.files("arrivals.store").joinpath(f"sql/{name}.sql").read_text("utf-8")
    found: dict[str, str] = {}
    for block in text.split("-- name: ")[1:]:
        title, _, body = block.partition("\n")
        found[title.strip()] = body.strip()
    return found


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Return the migrations in schema/, numbered by their file names, in order."""
    folder = resources.files("arrivals.store").joinpath("schema")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return tuple(
        (int(name.split("_")[0]), folder.joinpath(name).read_text("utf-8")) for name in names
    )
