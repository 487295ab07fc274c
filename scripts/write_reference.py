"""Write the tables of docs/ that must say what the code says.

A document marks the place of a table with a pair of comments, and everything between them is
written anew:

    <!-- table: errors -->
    <!-- end of table -->

Usage: python scripts/write_reference.py
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import typer

from arrivals.cli import app
from arrivals.cli.output import ExitCode
from arrivals.config import (
    AccountTable,
    DefaultTimes,
    DialectTable,
    KeyTable,
    ProviderTable,
    RouteTable,
    SenderTable,
    Server,
)
from arrivals.core.errors import ERRORS
from arrivals.core.permissions import ALLOWED, Scope, Whose
from arrivals.http.table import endpoints
from arrivals.telemetry import Telemetry
from arrivals.world.scenario import load_scenario, scenario_names

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
EXAMPLE: Final = ROOT / "src" / "arrivals" / "cli" / "examples" / "arrivals.toml"

TABLE: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

SETTINGS: Final[dict[str, type[msgspec.Struct]]] = {
    "[server]": Server,
    "[defaults]": DefaultTimes,
    "[[providers]]": ProviderTable,
    "[providers.dialect]": DialectTable,
    "[[providers.dialect.senders]]": SenderTable,
    "[[routes]]": RouteTable,
    "[[accounts]]": AccountTable,
    "[[accounts.keys]]": KeyTable,
}
# What the example file needs no words for, because it shows it.
MEANINGS: Final = {
    "[server].host": "where the API listens; make a key before others can reach it",
    "[[providers]].host": "where the provider's SMPP server is; or `hosts`",
    "[[providers]].port": "its port",
    "[[providers]].id": "its name, everywhere; stays the same for ever",
    "[[providers]].system_id": "who we are to it",
    "[[providers]].bind": "one connection for both directions, or one for each",
    "[[providers]].password": "only a sandbox's may stand in the file",
    "[[providers]].tls": "whether the connection is encrypted",
    "[[providers]].receipts_per": "whether it reports on each part of a long message, or once",
    "[[providers]].receipt_depth": "whose word its receipts are at most",
    "[[providers]].acceptd_is_own": "its ACCEPTD is its own word, not the carrier's",
    "[providers.dialect].senders": "senders to be written as another kind; see the next table",
    "[[routes]].id": "its number, which requests name",
    "[[routes]].name": "what it is called",
    "[[routes]].display_name": "what people are shown; without it, the name",
    "[[routes]].currency": "of its prices; must be the account's",
    "[[routes]].strategy": "how its providers are ordered: as listed, or by cost of delivery",
    "[[routes]].floor": "with those: the share of messages that must surely arrive",
    "[[routes]].explore": "with outcome: of orders, to the provider that is known least",
    "[[routes]].valid_for": "in place of [defaults]",
    "[[routes]].outcome_grace": "in place of [defaults]",
    "[[accounts]].id": "its number",
    "[[accounts]].name": "whose it is",
    "[[accounts]].username": "short, for the API",
    "[[accounts]].keys": "keys that were made elsewhere; see the next table",
    "[[accounts.keys]].name": "says later what it is used for",
    "[[accounts.keys]].key_env": "the environment variable that holds the key",
    "[[accounts.keys]].key_file": "the file that holds the key",
}


# --- tables ---------------------------------------------------------------------------


def rows(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for line in lines:
        yield f"| {' | '.join(str(cell).replace('|', '∣') for cell in line)} |"


def errors() -> Iterator[str]:
    """Yield every error code."""
    yield from rows(
        ("Status", "Code", "What it says", "What to do"),
        (
            (row.status, f"`{code}`", _plain(row.detail), _plain(row.fix))
            for code, row in sorted(ERRORS.items(), key=lambda each: each[1].status)
        ),
    )


def _plain(text: str) -> str:
    """Show what is filled in as `…`, and doubled braces as they come out."""
    return re.sub(r"(?<!\{)\{\w+\}(?!\})", "…", text).replace("{{", "{").replace("}}", "}")


def paths() -> Iterator[str]:
    """Yield every endpoint."""
    yield from rows(
        ("Method", "Path", "What for"),
        (
            (each.method, f"`{each.path}`", each.summary + (", no key" if each.public else ""))
            for each in endpoints()
        ),
    )


def permissions() -> Iterator[str]:
    """Yield what each scope of a key allows, operation by operation."""
    said = {Whose.OWN: "own account", Whose.ALL: "all accounts", None: "–"}
    yield from rows(
        ("Operation", *(f"`{each}`" for each in Scope)),
        (
            (
                f"{each.method} `{each.path}`",
                *(said[ALLOWED[each.act].get(scope)] for scope in Scope),
            )
            for each in endpoints()
            if each.act is not None
        ),
    )


def settings() -> Iterator[str]:
    """Yield every setting, table by table."""
    said = dict(_comments())
    for name, kind in SETTINGS.items():
        yield f"**`{name}`**"
        yield ""
        hints = typing.get_type_hints(kind, include_extras=True)
        yield from rows(
            ("Key", "Value", "Default", "What it does"),
            (
                (
                    f"`{field.name}`",
                    _description(hints[field.name]) or "a list of tables",
                    _default(field),
                    MEANINGS.get(place := f"{name}.{field.name}") or said[place],
                )
                for field in msgspec.structs.fields(kind)
            ),
        )
        yield ""


def _comments() -> Iterator[tuple[str, str]]:
    """Yield what the example file says beside each setting."""
    table = ""
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if header := re.match(r"(?:# )?(\[+[\w.]+\]+)", line):
            table = header[1]
        elif setting := re.match(r"(?:# )?(\w+) = .*?#\s*(.+)$", line):
            yield f"{table}.{setting[1]}", setting[2]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "needed"
    if field.default in (None, "", ()) or isinstance(field.default, msgspec.Struct):
        return "none"
    if field.name == "interface_version":
        return f"`{field.default:#x}`"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _description(hint: Any) -> str | None:
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, msgspec.Meta) and each.description:
            return each.description
    found = (_description(part) for part in typing.get_args(hint))
    return next((each for each in found if each is not None), None)


def metrics() -> Iterator[str]:
    """Yield every metric of ours."""
    telemetry = Telemetry()
    labels = {
        f"{each.describe()[0].name}": each._labelnames  # noqa: SLF001 - nothing public has them
        for each in vars(telemetry).values()
        if hasattr(each, "_labelnames")
    }
    for family in telemetry.registry.collect():
        known = {name for sample in family.samples for name in sample.labels}
        labels.setdefault(family.name, getattr(family, "_labelnames", tuple(sorted(known))))
    yield from rows(
        ("Metric", "Kind", "Labels", "What it counts"),
        (
            (
                f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
                family.type,
                ", ".join(labels[family.name]),
                family.documentation,
            )
            for family in telemetry.registry.collect()
            if family.name.startswith("arrivals_")
        ),
    )


def scenarios() -> Iterator[str]:
    """Yield every scenario of the carrier world."""
    yield from rows(
        ("Scenario", "What it shows"),
        ((f"`{name}`", load_scenario(name).about) for name in scenario_names()),
    )


def verdicts() -> Iterator[str]:
    """Yield what really happens in every stream of every scenario, and what is said of it."""
    yield from rows(
        ("Scenario", "Stream", "What happens", "What is said"),
        (
            (f"`{name}`", stream, _shares(expect.truth), _shares(expect.verdicts))
            for name in scenario_names()
            for stream, expect in load_scenario(name).expect.items()
        ),
    )


def _shares(shares: Mapping[Any, float]) -> str:
    """Show shares in percent, the largest first."""
    by_size = sorted(shares.items(), key=lambda each: -each[1])
    return ", ".join(f"{word} {100 * share:.3g} %" for word, share in by_size if share)


def exits() -> Iterator[str]:
    """Yield every exit code."""
    meanings: dict[int, list[str]] = {}
    for name, code in ExitCode.__members__.items():
        meanings.setdefault(int(code), []).append(name.lower().replace("_", " "))
    yield from rows(
        ("Code", "Meaning"), ((code, ", ".join(names)) for code, names in meanings.items())
    )


# --- commands -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be typed; `parameters` are Typer's own."""

    name: str  # with its group, such as `keys create`
    about: str
    parameters: Sequence[Any]


def all_commands() -> Iterator[Command]:
    """Yield every command, those of groups included."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        for inner, each in getattr(command, "commands", {"": command}).items():
            yield Command(f"{name} {inner}".strip(), each.help or "", each.params)


def commands() -> Iterator[str]:
    """Yield every command with what it takes."""
    for command in all_commands():
        arguments = [each for each in command.parameters if each.param_type_name == "argument"]
        shown = [each.metavar or each.name.upper() for each in arguments]
        yield f"### `{' '.join(['arrivals', command.name, *shown])}`"
        yield ""
        yield command.about
        yield ""
        for each in command.parameters:
            if each.name != "help":
                yield f"- {_parameter(each)}"
        yield ""


def _parameter(each: Any) -> str:
    if each.param_type_name == "argument":
        return f"`{each.metavar or each.name.upper()}`: {each.help}"
    value = f" {each.metavar}" if each.metavar else ""
    spelt = " / ".join(f"`{option}{value}`" for option in (*each.opts, *each.secondary_opts))
    if each.required:
        return f"{spelt}: {each.help} Needed."
    default = each.default
    told = "" if default in (None, "", (), []) or isinstance(default, bool) else str(default)
    return f"{spelt}: {each.help}" + (f" Without it: `{told}`." if told else "")


# --- documents ------------------------------------------------------------------------

TABLES: Final[dict[str, Callable[[], Iterator[str]]]] = {
    "commands": commands,
    "errors": errors,
    "exits": exits,
    "metrics": metrics,
    "paths": paths,
    "permissions": permissions,
    "scenarios": scenarios,
    "settings": settings,
    "verdicts": verdicts,
}


def filled(text: str) -> str:
    """Return a document with its tables as the code has them now."""

    def table(found: re.Match[str]) -> str:
        lines = "\n".join(TABLES[found[2]]()).rstrip()
        return f"{found[1]}\n{lines}\n\n{found[3]}"

    return TABLE.sub(table, text)


def main() -> None:
    """Write every document whose tables have changed."""
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text("utf-8")
        after = filled(before)
        if after != before:
            path.write_text(after, "utf-8")
            print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    main()
