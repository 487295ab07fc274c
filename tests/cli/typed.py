"""Type a command in this process, and see what it prints and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import typer

from arrivals import cli


@dataclass(frozen=True)
class Typed:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What --json printed, which is one line."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@functools.cache
def command_line() -> Any:
    """Return the whole command line, which Typer would build anew for each command."""
    return typer.main.get_command(cli.app)


def type_in(*words: object) -> Typed:
    """Run one command line."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["arrivals", *(str(word) for word in words)]
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "argv", argv),
        patch.object(cli, "app", command_line()),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Typed(code, out.getvalue(), err.getvalue())


async def type_beside(*words: object) -> Typed:
    """Run one command line beside the loop that this is called on."""
    return await asyncio.to_thread(type_in, *words)
