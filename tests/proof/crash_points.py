"""Kill a process at one boundary after another, and see whether the next one keeps its word.

    python -m tests.proof.crash_points --points 20000 --state FILE
    python -m tests.proof.crash_points --point 1234          # that one again

A point is a seed: it chooses the script and the boundary. A boundary lies between any two
statements, between a commit and the first answer, between two answers, and between an answer
and the bytes that leave. A child, forked from a warm parent, runs the script and is killed by
SIGKILL there; the parent opens the folder anew and judges, by what came through the pipe.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec

from arrivals.store.folders import DATABASE_NAME
from arrivals.store.group_commit import Backend
from arrivals.store.sqlite import SqliteWriter
from tests.flows.script import SetClock
from tests.proof.errands import Line, Outside
from tests.proof.life import Life, prepare
from tests.proof.long_run import LongRun, Wrong, main
from tests.proof.restart import wrong_after_restart

BOUNDARIES_MAX = 300  # some twenty transactions: everything has happened by then
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a kill needs no disk


class Countdown:
    """Kill this process at the n-th boundary."""

    def __init__(self, boundaries: int) -> None:
        self.left = boundaries

    def __call__(self) -> None:
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class Ground(Protocol):
    """Where points are tried: a place of its own for each, and a writer that may be killed."""

    def new_place(self) -> str:
        """Make a prepared place."""

    def open_doomed(self, place: str, clock: SetClock) -> Backend:
        """Open a place for the process that is killed."""

    def open_next(self, place: str, clock: SetClock) -> Backend:
        """Open it for the one that comes after."""

    def watch(self, writer: Backend, countdown: Countdown) -> None:
        """Have the boundaries counted that lie before each statement of a writer."""

    def forget(self, place: str) -> None:
        """Remove a place."""


class SqliteGround:
    """A folder a point, each a copy of a prepared file."""

    def __init__(self, folder: Path, doomed: type[SqliteWriter] = SqliteWriter) -> None:
        """Use a folder; `doomed` writes until the kill, where a test plants a mistake."""
        self._folder = folder
        self._doomed = doomed
        self._count = 0
        clock = SetClock()
        writer = SqliteWriter(folder / DATABASE_NAME, clock)
        prepare(writer, clock)
        writer.close()
        self._prepared = (folder / DATABASE_NAME).read_bytes()

    def new_place(self) -> str:
        self._count += 1
        place = self._folder / f"{self._count}"
        place.mkdir()
        (place / DATABASE_NAME).write_bytes(self._prepared)
        return str(place)

    def open_doomed(self, place: str, clock: SetClock) -> Backend:
        return self._doomed(Path(place) / DATABASE_NAME, clock)

    def open_next(self, place: str, clock: SetClock) -> Backend:
        return SqliteWriter(Path(place) / DATABASE_NAME, clock)

    def watch(self, writer: Backend, countdown: Countdown) -> None:
        def trace(*_: Any) -> bool:
            countdown()
            return True

        writer._connection.exec_trace = trace  # type: ignore[attr-defined]

    def forget(self, place: str) -> None:
        shutil.rmtree(place)


@contextmanager
def sqlite_ground(doomed: type[SqliteWriter] = SqliteWriter) -> Iterator[SqliteGround]:
    """Give a ground in memory, where there is some to be had."""
    with tempfile.TemporaryDirectory(prefix="arrivals-crash-", dir=shared_memory()) as name:
        yield SqliteGround(Path(name), doomed)


def shared_memory() -> Path | None:
    """Return the folder that lives in memory, or None if there is none to write to."""
    return SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None


def crashes(ground: Ground, seeds: range) -> Iterator[Wrong]:
    """Try one point after another."""
    for seed in seeds:
        yield seed, crash(ground, seed)


def crash(ground: Ground, seed: int) -> list[str]:
    """Try one point; return what went wrong."""
    place = ground.new_place()
    try:
        lines, status = _killed_child(ground, place, seed)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return [f"the script failed before it was killed: {lines[-1:]}"]
        return wrong_after_restart(
            place, lambda clock: ground.open_next(place, clock), seed, lines
        )
    finally:
        ground.forget(place)


def _killed_child(ground: Ground, place: str, seed: int) -> tuple[list[Line], int]:
    """Run the script in a child to its kill; return what the witness got, and how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _live(ground, place, seed, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()  # until the child has ended
    _, status = os.waitpid(child, 0)
    return [msgspec.json.decode(line) for line in said.splitlines()], status


def _live(ground: Ground, place: str, seed: int, writing: int) -> NoReturn:
    """Live until the kill; this is the child, and never returns."""
    chance = random.Random(f"crash/{seed}")
    countdown = Countdown(chance.randrange(BOUNDARIES_MAX))

    def witness(line: Line) -> None:
        os.write(writing, msgspec.json.encode(line) + b"\n")

    try:
        clock = SetClock()
        writer = ground.open_doomed(place, clock)
        ground.watch(writer, countdown)
        alive = Life(writer, clock, Outside(seed), witness, countdown)
        while True:
            alive.live(chance)
    except BaseException:  # noqa: BLE001 - a fork of a test must never go on as the test
        witness(["failed", traceback.format_exc()])
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(
        main(LongRun(name="crash_points", unit="points", ground=sqlite_ground, each=crashes))
    )
