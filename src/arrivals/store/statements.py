"""Named SQL statements, read from the files in sql/.

A file directly in sql/ is one text for both databases; a file in sql/DIALECT/ holds what a
dialect says in words of its own. The shared text has a few marks where the dialects have
different words for the same thing:

    {[} a, b {]}   the rows (a, b) as one JSON array; an empty one if there are none
    {list[} a {]list}   the values of a as one JSON array
    {row}(a, b)    one JSON array of these values
    {json a}       the text or document a as JSON within such an array
    {values}       a parameter that is a JSON array, as rows of `value`, a text
    {arrays}       a parameter that is a JSON array of arrays, as rows of `value`, a document
    {order of m}   the join of the order of a message m, as o
    {messages of k}  the join of the messages of an order k, as m
    :name          a named parameter; ? is one by its place
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Final

SQLITE: Final = "sqlite"
POSTGRESQL: Final = "postgresql"

# On PostgreSQL a shift may look at a row only after the tenant's policy has, unless it is given
# the value alone: a plain join would read the whole table.
_ORDER_OF: Final = (
    r"CROSS JOIN LATERAL (SELECT o.* FROM orders AS o WHERE o.id = \1.id >> 17 OFFSET 0) AS o"
)
_MESSAGES_OF: Final = (
    r"CROSS JOIN LATERAL (SELECT m.* FROM messages AS m"
    r" WHERE m.id >= \1.id << 17 AND m.id < (\1.id + 1) << 17 OFFSET 0) AS m"
)

_WORDS: Final = {
    SQLITE: (
        (r"\{\[\}", "json_group_array(json_array("),
        (r"\{\]\}", "))"),
        (r"\{list\[\}", "json_group_array("),
        (r"\{\]list\}", ")"),
        (r"\{row\}", "json_array"),
        (r"\{json ([^{}]+)\}", r"json(\1)"),
        (r"\{order of (\w+)\}", r"JOIN orders AS o ON o.id = \1.id >> 17"),
        (
            r"\{messages of (\w+)\}",
            r"JOIN messages AS m ON m.id >= \1.id << 17 AND m.id < (\1.id + 1) << 17",
        ),
        (r"\{values\}", "json_each(?)"),
        (r"\{arrays\}", "jsonb_each(?)"),
        (r"\{values (\w+)\}", r"json_each(:\1)"),
        (r"\{arrays (\w+)\}", r"jsonb_each(:\1)"),
    ),
    POSTGRESQL: (
        (r"%", "%%"),
        (r"\{\[\}", "coalesce(json_agg(json_build_array("),
        (r"\{\]\}", ")), '[]')"),
        (r"\{list\[\}", "coalesce(json_agg("),
        (r"\{\]list\}", "), '[]')"),
        (r"\{row\}", "json_build_array"),
        (r"\{json ([^{}]+)\}", r"CAST(\1 AS json)"),
        (r"\{order of (\w+)\}", _ORDER_OF),
        (r"\{messages of (\w+)\}", _MESSAGES_OF),
        (r"\{values\}", "jsonb_array_elements_text(CAST(? AS jsonb))"),
        (r"\{arrays\}", "jsonb_array_elements(CAST(? AS jsonb))"),
        (r"\{values (\w+)\}", r"jsonb_array_elements_text(CAST(:\1 AS jsonb))"),
        (r"\{arrays (\w+)\}", r"jsonb_array_elements(CAST(:\1 AS jsonb))"),
        (r"\?", "%s"),
        (r"(?<![:\w]):([a-z]\w*)", r"%(\1)s"),
    ),
}


@cache
def statements(name: str, dialect: str = SQLITE) -> dict[str, str]:
    """Return the statements called `-- name: …` of sql/NAME.sql and sql/DIALECT/NAME.sql."""
    folder = resources.files("arrivals.store").joinpath("sql")
    found: dict[str, str] = {}
    for path in (f"{name}.sql", f"{dialect}/{name}.sql"):
        file = folder.joinpath(path)
        if file.is_file():
            found |= _named(file.read_text("utf-8"), dialect)
    return found


def _named(text: str, dialect: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in text.split("-- name: ")[1:]:
        title, _, body = block.partition("\n")
        lines = (line for line in body.splitlines() if not line.lstrip().startswith("--"))
        statement = "\n".join(lines).strip()
        for mark, word in _WORDS[dialect]:
            statement = re.sub(mark, word, statement)
        found[title.strip()] = statement
    return found


@cache
def migrations(dialect: str = SQLITE) -> tuple[tuple[int, str], ...]:
    """Return a dialect's migrations in schema/, numbered by their file names, in order."""
    folder = resources.files("arrivals.store").joinpath(f"schema/{dialect}")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return tuple(
        (int(name.split("_")[0]), folder.joinpath(name).read_text("utf-8")) for name in names
    )
