"""Read the canaries, and plant one in a copy of the source."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src"
CANARIES = Path(__file__).with_name("canaries.toml")
PATIENCE_S = 60

# Where a process imports Arrivals from, and where one that it spawns does.
_WHERE = """
import multiprocessing
import arrivals

def where():
    return arrivals.__file__

if __name__ == "__main__":
    print(where())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(where))
"""


class NotPlanted(Exception):
    """The canary doesn't fit the source, or a copy isn't what would run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One mistake: what it breaks, and the change that makes it."""

    name: str
    breaks: str
    invariants: list[int]
    file: str  # within src/arrivals
    find: str  # stands there exactly once
    replace: str

    def in_text(self, text: str) -> str:
        """Return the text of its file with the mistake in it."""
        count = text.count(self.find)
        if count != 1:
            raise NotPlanted(f"{self.name}: {self.file} has its line {count} times, not once")
        return text.replace(self.find, self.replace)


def read_canaries(path: Path = CANARIES) -> dict[str, Canary]:
    """Return all canaries by name."""
    found = tomllib.loads(path.read_text("utf-8"))
    return {name: Canary(name=name, **facts) for name, facts in found.items()}


@contextmanager
def planted(canary: Canary | None) -> Iterator[Path]:
    """Give a copy of the source with one mistake in it, or with none."""
    with tempfile.TemporaryDirectory(prefix="arrivals-canary-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(SOURCE, copy)
        if canary is not None:
            file = copy / "arrivals" / canary.file
            file.write_text(canary.in_text(file.read_text("utf-8")), "utf-8")
            for compiled in file.parent.glob(f"__pycache__/{file.stem}.*"):
                compiled.unlink()  # of the same second and size it would pass for the new one
        _check_is_what_runs(copy)
        yield copy


def environment_of(copy: Path) -> dict[str, str]:
    """Return the environment in which a copy is what every process imports."""
    return os.environ | {"PYTHONPATH": str(copy), "PYTHONHASHSEED": "0", "COLUMNS": "200"}


def _check_is_what_runs(copy: Path) -> None:
    script = copy.parent / "where.py"
    script.write_text(_WHERE, "utf-8")
    said = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT, env=environment_of(copy), capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    expected = str(copy / "arrivals" / "__init__.py")
    if said.stdout.splitlines() != [expected] * 2:
        raise NotPlanted(f"{expected} isn't what runs: {said.stdout}{said.stderr}")
