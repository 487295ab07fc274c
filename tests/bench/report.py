"""What a run of the bench says: a table, JSON, a plot, and what docs/performance.md quotes.

docs/performance.json holds the newest result of each part in its full size; the tables between
the markers of docs/performance.md are drawn from it and from nothing else.
"""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import msgspec
import psutil

from tests.bench.chart import Towards, towards
from tests.bench.figures import Figure, Spread
from tests.bench.targets import Verdict, verdicts

ROOT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = ROOT / "docs" / "performance.json"
PAGE: Final = ROOT / "docs" / "performance.md"
PLOT: Final = ROOT / "docs" / "images" / "performance.svg"
MARKED: Final = re.compile(r"(<!-- bench: begin -->\n).*?(<!-- bench: end -->)", re.DOTALL)
NOTHING: Final = "No run in full size has been written here yet.\n"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What all rounds of a part found."""

    part: str
    about: str
    figures: list[Figure]
    measures: dict[str, Spread]
    notes: list[str]
    rounds: int
    minutes: float
    on: str  # the day
    source: str  # the digest of what was measured
    machine: str
    busy: float  # processes that wanted a core when it began: others', if above a little


def machine(folder: str) -> str:
    """Return what it was measured on, in a line."""
    return ", ".join(
        (
            f"{os.cpu_count()} cores ({platform.machine()})",
            f"{psutil.virtual_memory().total / 1e9:.0f} GB",
            platform.system(),
            f"{_file_system(folder)}",
            f"Python {platform.python_version()}",
            f"SQLite {apsw.sqlite_lib_version()}",
        )
    )


def _file_system(folder: str) -> str:
    path = Path(folder).resolve()
    mounts = [
        each for each in psutil.disk_partitions(all=True) if _holds(each.mountpoint, path)
    ]
    return (
        max(mounts, key=lambda each: len(each.mountpoint)).fstype if mounts else "unknown disk"
    )


def _holds(mountpoint: str, path: Path) -> bool:
    return path.is_relative_to(mountpoint)


def judged(results: Sequence[Result]) -> list[Verdict]:
    """Judge the targets of the parts that ran."""
    return verdicts({each.part: each.measures for each in results})


# --- for a terminal -------------------------------------------------------------------

COLUMNS: Final = (
    ("accepted/s", "accepted_per_s", "{:,.0f}"),
    ("settled/s", "settled_per_s", "{:,.0f}"),
    ("to limit", "to_limit", "{:.2f}"),
    ("p50 ms", "p50_ms", "{:.1f}"),
    ("p99 ms", "p99_ms", "{:.1f}"),
    ("p99.9 ms", "p999_ms", "{:.1f}"),
    ("CPU µs", "cpu_us_per_message", "{:.0f}"),
    ("RSS MB", "rss_mb", "{:.0f}"),
)


def cells(figure: Figure) -> list[str]:
    """Return a figure's numbers as text; what wasn't measured is blank."""
    found = []
    for _, name, form in COLUMNS:
        value = getattr(figure, name)
        # A wait may round to nothing and was measured all the same.
        known = figure.p999_ms if name.startswith("p") else value
        found.append(form.format(value) if known else "")
    return found


def table(results: Sequence[Result]) -> str:
    """Return every row, and then the targets, for a terminal."""
    width = max((len(each.name) for result in results for each in result.figures), default=0)
    lines = []
    for result in results:
        heads = "".join(f"{head:>11}" for head, _, _ in COLUMNS)
        lines.append(f"\n{result.part:{width}}{heads}")
        lines += [
            f"{each.name:{width}}{''.join(f'{cell:>11}' for cell in cells(each))}"
            for each in result.figures
        ]
        lines += [f"  {note}" for note in result.notes]
    lines.append("\nTargets")
    lines += [
        f"{_held(each):>12}  {each.target.words:>20}  {_measured(each):>24}  {each.target.what}"
        for each in judged(results)
    ]
    return "\n".join(lines)


def _held(verdict: Verdict) -> str:
    return {True: "held", False: "not held", None: "not measured"}[verdict.held]


def _measured(verdict: Verdict) -> str:
    if verdict.measured is None:
        return ""
    found = verdict.measured
    if found.least == found.most:
        return _short(found.median)
    return f"{_short(found.median)} ({_short(found.least)} to {_short(found.most)})"


def _short(value: float) -> str:
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


# --- for a page -----------------------------------------------------------------------


def markdown(results: Sequence[Result]) -> str:
    """Return the targets and every row as tables in Markdown."""
    if not results:
        return NOTHING
    lines = [
        "![How far each target is reached](images/performance.svg)",
        "",
        "| target | bound | measured (least to most) | |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {each.target.what} | {each.target.words} | {_measured(each)} | {_held(each)} |"
        for each in judged(results)
    ]
    for result in results:
        heads = " | ".join(head for head, _, _ in COLUMNS)
        lines += ["", f"**{result.part}**: {result.about}", ""]
        lines += [f"| | {heads} |", f"|---|{'--:|' * len(COLUMNS)}"]
        lines += [
            f"| {each.name}{_of(each)} | {' | '.join(cells(each))} |" for each in result.figures
        ]
        lines += ["", *result.notes, _made(result)]
    return "\n".join([*lines, ""])


def _of(figure: Figure) -> str:
    return f" (limit: {figure.limit})" if figure.limit else ""


def _made(result: Result) -> str:
    rounds = "one round" if result.rounds == 1 else f"medians of {result.rounds} rounds"
    return (
        f"*{rounds}, {result.minutes:.1f} minutes, on {result.on}, of the source"
        f" `{result.source}`, on {result.machine}; load before: {result.busy:.1f}.*"
    )


# --- kept -----------------------------------------------------------------------------


def kept() -> list[Result]:
    """Return the newest results in full size."""
    if not KEPT.exists():
        return []
    return msgspec.json.decode(KEPT.read_bytes(), type=list[Result])


def keep(results: Sequence[Result], order: Sequence[str]) -> None:
    """Put results in the place of older ones of the same parts, and draw the pages anew."""
    newest = {each.part: each for each in (*kept(), *results)}
    ordered = [newest[part] for part in order if part in newest]
    text = msgspec.json.format(msgspec.json.encode(ordered), indent=1)
    KEPT.write_bytes(text + b"\n")
    PLOT.write_text(plot(ordered), "utf-8")
    page = PAGE.read_text("utf-8")
    PAGE.write_text(MARKED.sub(lambda found: found[1] + markdown(ordered) + found[2], page))


def plot(results: Sequence[Result]) -> str:
    """Draw how far each target is reached, as an SVG."""
    rows = []
    for each in judged(results):
        if each.measured is None or each.held is None:
            continue
        ends = sorted(
            (each.target.reached(each.measured.least), each.target.reached(each.measured.most))
        )
        rows.append(
            Towards(
                label=each.target.what,
                reached=each.target.reached(each.measured.median),
                least=ends[0],
                most=ends[1],
                words=f"{_short(each.measured.median)}, wanted {each.target.words}",
                held=each.held,
            )
        )
    return towards("How far each target is reached; from the line on it is held", rows)


def use_folder(folder: Path | None) -> str:
    """Put all data in a folder, or where the system puts what is temporary; return which."""
    if folder is not None:
        tempfile.tempdir = str(folder)
    return tempfile.gettempdir()
