"""Say where the server's processor time goes while messages come, leave and are settled.

    make profile                                   # single sends over 64 connections
    make profile ARGS="--recipients 100 --connections 16"
    make profile ARGS="--write"                    # docs/profile.md gets the tables

py-spy looks at the serving process 400 times a second and counts the one thread that holds
Python's lock, so shares are of the time in which Python ran; what SQLite and the kernel did
meanwhile is in the process's processor time only. A look stops nothing, and what is seen fewer
than a few hundred times is chance.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench.end_to_end import sent
from tests.bench.report import ROOT, machine
from tests.bench.site import Stopwatch, bench_site
from tests.proof.__main__ import digest_of_source

PAGE: Final = ROOT / "docs" / "profile.md"
MARKED: Final = re.compile(r"(<!-- profile: begin -->\n).*?(<!-- profile: end -->)", re.DOTALL)
LOOKS_A_SECOND: Final = 400
WARM_UP: Final = 3_000  # messages
FUNCTIONS_SHOWN: Final = 30
LEAST_SHOWN: Final = 0.01  # of all looks

# The innermost frame of ours, or of the server we run on, says whose time it was.
ROOMS: Final = (
    ("uvicorn/", "HTTP server (uvicorn)"),
    ("arrivals/http/connection", "HTTP server (reads and writes together)"),
    ("arrivals/http/", "http: requests, answers"),
    ("arrivals/flows/learning", "learning (with outcome)"),
    ("arrivals/outcome/", "learning (with outcome)"),
    ("arrivals/flows/", "flows: accept, dispatch, answer, receive"),
    ("arrivals/store/", "store: statements, group commit"),
    ("arrivals/core/", "core: decisions, texts, numbers"),
    ("arrivals/providers/", "providers: SMPP binds"),
    ("arrivals/smpp/", "smpp: PDUs, receipts"),
)
ALL_OF_IT: Final = ("arrivals/cli/", "arrivals/__main__")  # functions with everything in them
ELSE: Final = "event loop and the rest"
_FRAME: Final = re.compile(r"^(?P<name>.+) \((?P<file>[^:()]+)(?::\d+)?\)$")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What was seen; shares are of the looks that found somebody holding the lock."""

    looks: int
    rooms: dict[str, float]
    functions: dict[str, float]  # with all that they called
    held: float  # of the time somebody had the lock
    cpu_us: float  # a message, of the whole process: SQLite and the kernel too
    settled_per_s: float


def stacks_of(raw: str) -> Iterable[tuple[list[tuple[str, str]], int]]:
    """Yield each stack that was seen, outermost frame first, and how often."""
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = (_FRAME.match(each) for each in stack.split(";"))
        yield [(each["name"], each["file"]) for each in frames if each], int(count)


def room_of(frames: Sequence[tuple[str, str]]) -> str:
    """Return whose time a look at this stack is."""
    for _, file in reversed(frames):
        for start, room in ROOMS:
            if file.startswith(start):
                return room
    return ELSE


def shares(raw: str) -> tuple[int, dict[str, float], dict[str, float]]:
    """Return how many looks there were, and the shares of rooms and of functions."""
    looks, rooms, functions = 0, Counter[str](), Counter[str]()
    for frames, count in stacks_of(raw):
        looks += count
        rooms[room_of(frames)] += count
        ours = {(name, file) for name, file in frames if file.startswith("arrivals/")}
        for name, file in ours:
            if not file.startswith(ALL_OF_IT):
                functions[f"{name.replace('.<locals>', '')} ({file[len('arrivals/') :]})"] += (
                    count
                )
    return (
        looks,
        {room: count / looks for room, count in rooms.most_common()},
        {
            name: count / looks
            for name, count in functions.most_common(FUNCTIONS_SHOWN)
            if count / looks >= LEAST_SHOWN
        },
    )


async def profile(messages: int, connections: int, recipients: int) -> Profile:
    """Send, look, and count."""
    watcher = _watcher()
    with tempfile.TemporaryDirectory(prefix="arrivals-profile-") as folder:
        seen = Path(folder) / "seen"
        async with bench_site() as site:
            await sent(site, WARM_UP, connections, recipients)
            clock = Stopwatch(site.server.pid)
            process = await asyncio.create_subprocess_exec(
                *(watcher, "record", "--gil", "--rate", str(LOOKS_A_SECOND)),
                *("--duration", "unlimited", "--format", "raw", "--output", str(seen)),
                *("--pid", str(site.server.pid)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                figure = await sent(site, messages, connections, recipients)
                cpu_s, seconds = clock.cpu_seconds, clock.seconds
            finally:
                process.send_signal(2)  # as Ctrl-C: it writes what it saw
                await process.wait()
        looks, rooms, functions = shares(seen.read_text("utf-8"))
    return Profile(
        looks=looks,
        rooms=rooms,
        functions=functions,
        held=looks / LOOKS_A_SECOND / seconds,
        cpu_us=cpu_s / messages * 1e6,
        settled_per_s=figure.settled_per_s,
    )


def _watcher() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise SystemExit("py-spy isn't installed; make setup installs it")
    return found


def tables(found: Profile) -> str:
    """Return the profile as Markdown."""
    lines = [
        f"{found.cpu_us:.0f} µs of processor time a message, SQLite's and the kernel's with it;"
        f" Python's lock was held {found.held:.0%} of the time. {found.settled_per_s:,.0f}"
        f" messages settled a second while it was looked at, {found.looks:,} looks.",
        "",
        "| whose time it is | share |",
        "|---|--:|",
        *_rows(found.rooms),
        "",
        "| function, with all that it calls | share |",
        "|---|--:|",
        *_rows({f"`{name}`": share for name, share in found.functions.items()}),
    ]
    return "\n".join(lines) + "\n"


def _rows(shown: dict[str, float]) -> list[str]:
    return [f"| {name} | {share:.1%} |" for name, share in shown.items()]


def write(text: str, what: str) -> None:
    """Put the tables between the markers of the page."""
    about = (
        f"*{what}, on {datetime.now(UTC).date().isoformat()}, of the source"
        f" `{digest_of_source()}`, on {machine(tempfile.gettempdir())}.*\n\n"
    )
    page = PAGE.read_text("utf-8")
    PAGE.write_text(MARKED.sub(lambda found: found[1] + about + text + found[2], page), "utf-8")


def main() -> None:
    """Profile, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--recipients", type=int, default=1, help="a request")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--write", action="store_true", help="put the tables in docs/profile.md"
    )
    asked = parser.parse_args()
    found = asyncio.run(profile(asked.messages, asked.connections, asked.recipients))
    print(json.dumps(asdict(found), indent=2) if asked.json else tables(found), end="")
    if asked.write:
        recipients = (
            "one recipient" if asked.recipients == 1 else f"{asked.recipients} recipients"
        )
        write(tables(found), f"{recipients} a request, {asked.connections} connections")


if __name__ == "__main__":
    main()
