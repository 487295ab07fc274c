"""The harnesses that look for canaries: how each is run on a copy, and what its end means.

What a harness says is one of: green; *caught*, when it names a violation or an assertion fails;
or *broken*, when it couldn't do its work: an import or a name that isn't there, a file that
doesn't compile, a process that ends otherwise or never. Broken is not caught.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.proof.canaries.planting import ROOT, environment_of

PATIENCE_S = 600

# Mistakes of whoever wrote the canary, or of a harness that can't start.
CLUMSY = re.compile(
    r"\b(ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError|AttributeError"
    r"|UnboundLocalError|TypeError)\b"
)
_FAILED = re.compile(r"^(FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)


class End(StrEnum):
    """How a run of a harness ended."""

    GREEN = "green"
    CAUGHT = "caught"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one harness."""

    harness: str
    end: End
    said: str = ""  # the first violation, or why it's broken
    after: str = ""  # how many tries, where a harness counts them
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """One harness: tries of which it makes `effort` at most, or a selection of the suite."""

    name: str
    unit: str = ""
    effort: int = 0
    suite: tuple[str, ...] = ()  # words for pytest

    def run(self, copy: Path) -> Run:
        """Run it on a copy of the source until it says that something is wrong."""
        words = ["-m", "tests.proof.canaries.trials", self.name, str(self.effort)]
        if self.suite:
            words = ["-m", "pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider"]
            words += self.suite
        began = time.monotonic()
        code, out, err = _finished([sys.executable, *words], environment_of(copy))
        end, said, after = (
            _end_of_suite(code, out) if self.suite else self._end_of_trials(code, out, err)
        )
        if code is None:
            end, said = End.BROKEN, f"it didn't end within {PATIENCE_S} s"
        seconds = round(time.monotonic() - began, 1)
        return Run(harness=self.name, end=end, said=said, after=after, seconds=seconds)

    def _end_of_trials(self, code: int | None, out: str, err: str) -> tuple[End, str, str]:
        if code:
            return End.BROKEN, _last(err), ""
        facts = json.loads(out or "{}")
        after = f"{facts.get('tried', 0)} {self.unit}"
        return _end_of(facts.get("wrong", "")), facts.get("wrong", ""), after


HARNESSES = {
    each.name: each
    for each in (  # the cheapest first
        Harness(
            name="order",
            suite=(
                "tests/store/test_durability.py::"
                "test_every_acknowledged_write_was_synced_before",
            ),
        ),
        Harness(name="power", unit="states", effort=100),
        Harness(name="crash", unit="points", effort=200),
        Harness(name="sim", unit="seeds", effort=150),
        Harness(name="model", unit="examples", effort=150),
        Harness(name="damage", suite=("tests/store/test_checks.py", "-k", "sqlite")),
        # Last, because what only these notice no proof sees.
        Harness(
            name="tests",
            suite=(
                "tests", "-m", "not slow", "-k", "not postgres", "--ignore=tests/proof",
                "--ignore=tests/sim", "--ignore=tests/model", "--ignore=tests/fuzz",
                "--ignore=tests/store/test_checks.py",
            ),
        ),
    )
}  # fmt: skip
NO_PROOF = "tests"


def _end_of(wrong: str) -> End:
    if not wrong:
        return End.GREEN
    return End.BROKEN if CLUMSY.search(wrong) else End.CAUGHT


def _end_of_suite(code: int | None, out: str) -> tuple[End, str, str]:
    failed = _FAILED.search(out)
    if code == 0:
        return End.GREEN, "", ""
    if code != 1 or failed is None:
        return End.BROKEN, _last(out), ""
    if failed[1] == "ERROR" and not failed[3]:
        return End.BROKEN, f"{failed[2]} can't be collected", ""
    why = failed[3] or failed[2]
    return _end_of(why), f"{failed[2].rpartition('::')[2]}: {why}", ""


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _finished(words: list[str], environment: dict[str, str]) -> tuple[int | None, str, str]:
    """Run a process and all it starts; the code is None if it didn't end in time."""
    with subprocess.Popen(
        words,
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return None, out, err
        return process.returncode, out, err
