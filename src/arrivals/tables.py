"""Check the tables of a settings file, and say in an editor's words what is wrong with them.

A table is a struct whose fields carry their bounds and a sentence on what to write; tables may
stand within tables.
"""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Meta

TABLES_MAX: Final = 10_000  # of one kind
_MISSES: Final = "it is needed and isn't there"
_DID_YOU_MEAN: Final = re.compile(r"did you mean '(\w+)'\?")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with the file."""

    key: str  # such as providers[0].port
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.fix}"


def read_table(found: Any, key: str, kind: type[T], problems: list[Problem]) -> T | None:
    """Return a table, or note everything that is wrong with it."""
    noted: list[Problem] = []
    table = _read(found, key, kind, noted)
    meant = {_meant(each) for each in noted}
    problems += [each for each in noted if each.problem != _MISSES or each.key not in meant]
    return table


def _meant(problem: Problem) -> str | None:
    """Return the key that a misspelt one was meant for: it isn't missing as well."""
    found = _DID_YOU_MEAN.fullmatch(problem.fix)
    return f"{problem.key.rpartition('.')[0]}.{found[1]}" if found else None


def _read(found: Any, key: str, kind: type[T], problems: list[Problem]) -> T | None:
    """Return a table, or note what is wrong with it, one setting after the other.

    Reading stops at the first mistake; so the setting it is in is noted, taken out, and the
    rest is read again.
    """
    noted: set[str] = set()
    for each in msgspec.structs.fields(kind):
        if isinstance(found, dict) and each.required and each.name not in found:
            noted.add(each.name)
            fix = _fix([kind], each.name, "add it")
            problems.append(Problem(key=f"{key}.{each.name}", problem=_MISSES, fix=fix))
    while True:
        try:
            table = msgspec.convert(found, kind)
        except msgspec.ValidationError as error:
            problem, place = _translated(str(error), key, kind)
            # What was taken out of an inner table isn't missing there.
            if not noted & {place[0], ".".join(place)}:
                problems.append(problem)
            if not isinstance(found, dict) or place[0] not in found:
                return None  # the whole table, or a setting that it lacks
            noted.add(".".join(place))
            found = _without(found, place)
        else:
            return None if noted else table


def _without(table: dict[str, Any], place: Sequence[str]) -> dict[str, Any]:
    """Return a table without a setting, or without what is wrong in a table that it holds.

    Of a list of tables it is the one of that number.
    """
    name, *inner = place
    within = table[name]
    rest = {each: value for each, value in table.items() if each != name}
    if not inner:
        return rest
    if isinstance(within, dict) and inner[0] in within:
        return rest | {name: _without(within, inner)}
    if isinstance(within, list) and inner[0].isdecimal():
        number, *deeper = inner
        found = within[int(number)]
        if deeper and isinstance(found, dict) and deeper[0] in found:
            mended = [*within]
            mended[int(number)] = _without(found, deeper)
            return rest | {name: mended}
    return rest


def read_list(
    document: dict[str, Any], name: str, kind: type[T], problems: list[Problem]
) -> dict[int, T]:
    """Return the tables of a list that can be read, by their places; the rest are problems."""
    found = document.get(name, [])
    if not isinstance(found, list) or len(found) > TABLES_MAX:
        fix = f"write each under [[{name}]], at most {TABLES_MAX:,}"
        problems.append(Problem(key=name, problem="this isn't a list of tables", fix=fix))
        return {}
    tables = {
        number: read_table(each, f"{name}[{number}]", kind, problems)
        for number, each in enumerate(found)
    }
    return {number: each for number, each in tables.items() if each is not None}


_UNKNOWN: Final = re.compile(r"unknown field `(.+?)`")
_MISSING: Final = re.compile(r"missing required field `(.+?)`")
_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(.*?)`$")
_INDEX: Final = re.compile(r"\[[^]]*\]")
_TYPE: Final = re.compile(r"`(\w+)(?: \| \w+)*`")
_FORM: Final = re.compile(r"Expected text matching regex .*", re.DOTALL)
_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def _translated(
    message: str, key: str, kind: type[msgspec.Struct]
) -> tuple[Problem, tuple[str, ...]]:
    """Say in an editor's words what is wrong with a table; return the setting it is in, too.

    Of a setting in an inner table, it is the names that lead there.
    """
    found = _PLACE.search(message)
    path = found[1] if found else ""
    message = _PLACE.sub("", message)
    tables = _tables_on(path, kind)
    if match := _UNKNOWN.search(message):
        path, problem = f"{path}.{match[1]}", "there is no such setting"
        fix = nearest(match[1], tables[-1].__struct_fields__)
    elif match := _MISSING.search(message):
        path, problem = f"{path}.{match[1]}", _MISSES
        fix = _fix(tables, match[1], "add it")
    else:
        problem = _FORM.sub("it hasn't the right form", _TYPE.sub(_type_in_words, message))
        problem = problem.replace("Expected", "expected").replace("Invalid enum value", "not")
        name = re.sub(_INDEX, "", path).rpartition(".")[2]
        fix = _fix(tables, name, "write something else")
    place = tuple(path.replace("[", ".").replace("]", "").lstrip(".").split("."))
    return Problem(key=f"{key}{path}", problem=problem, fix=fix), place


def _type_in_words(found: re.Match[str]) -> str:
    return _TYPES.get(found[1], found[0])


def _tables_on(path: str, kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """Return the tables that a path leads through, the outermost first."""
    tables = [kind]
    for name in re.sub(_INDEX, "", path).lstrip(".").split("."):
        inner = _table_in(typing.get_type_hints(tables[-1], include_extras=True).get(name))
        if inner is None:
            break
        tables.append(inner)
    return tables


def _table_in(hint: Any) -> type[msgspec.Struct] | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for part in typing.get_args(hint) if (found := _table_in(part))), None)


def _fix(tables: list[type[msgspec.Struct]], name: str, otherwise: str) -> str:
    """Return what to write for a setting, from its own description if it has one."""
    for table in reversed(tables):
        hint = typing.get_type_hints(table, include_extras=True).get(name)
        if hint is not None:
            wanted = _description(hint)
            return f"write {wanted}" if wanted else otherwise
    return f"write a table: [{name}]" if name else "write a table of settings"


def _description(hint: Any) -> str | None:
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, Meta) and each.description:
            return each.description
    for part in typing.get_args(hint):
        if (found := _description(part)) is not None:
            return found
    return None


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a fix for a name that isn't among the known ones: the one that was meant."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(known)}" if known else "remove it"
