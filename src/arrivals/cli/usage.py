"""Run a command line so that wrong usage is told in plain words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import typer

# Typer doesn't name the classes that all its usage errors have in common.
_FAILURE, _WRONG_USAGE = (
    next(
        kind
        for kind in typer.BadParameter.__mro__
        if issubclass(kind, Exception) and kind.__name__ == name
    )
    for name in ("ClickException", "UsageError")
)

# What whoever checks values says, and what it means to somebody who types a command.
_PLAIN: Final[Sequence[tuple[re.Pattern[str], str]]] = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be a valid integer, .*", re.DOTALL), "write a whole number"),
    (re.compile(r"Input should be a valid number, .*", re.DOTALL), "write a number"),
    (re.compile(r"Input should be greater than or equal to (\S+)"), r"it is at least \1"),
    (re.compile(r"Input should be less than or equal to (\S+)"), r"it is at most \1"),
    (re.compile(r"Input should be greater than (\S+)"), r"it is more than \1"),
    (re.compile(r"Input should be less than (\S+)"), r"it is less than \1"),
)


def flag(*names: str, help: str) -> Any:  # noqa: A002 - Typer's own word
    """Declare an option without a value; help shows no type for it."""
    return typer.Option(*names, metavar="", help=help)


def run(command: Callable[..., Any], usage_code: int) -> int:
    """Run a command line and return its exit code; wrong usage has one of its own."""
    try:
        return int(command(standalone_mode=False) or 0)
    except typer.Abort:
        return 1
    except _FAILURE as error:
        from typer import rich_utils

        if hasattr(error, "message"):
            error.message = plain(str(error.message))
        shown: Any = error
        rich_utils.rich_format_error(shown)
        return usage_code if isinstance(error, _WRONG_USAGE) else 1


def plain(words: str) -> str:
    """Return what is wrong with a value in words for whoever typed it."""
    for pattern, said in _PLAIN:
        words = pattern.sub(said, words)
    return words
