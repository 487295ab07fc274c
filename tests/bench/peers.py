"""`make bench-peers`: Kannel and Jasmin beside us, in turn, in one run.

Every contestant sends to a carrier world of its own on scenario `wire` and gets the same load
from the same generator. Rates drift with the machine, so what counts are ratios within a round:
their median, and how far they lie apart. How each is configured is told in docs/peers.md, into
which a whole run writes its table. A peer that isn't installed, or doesn't run, is named.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import uvloop

from tests.bench import jasmin, kannel
from tests.bench.end_to_end import single_sends
from tests.bench.figures import Figure, Spread, spread
from tests.bench.report import machine

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "peers.md"
TABLE: Final = re.compile(r"(<!-- peers: begin -->\n).*?(<!-- peers: end -->)", re.DOTALL)
ROUNDS: Final = 5  # fewer aren't written into the document
CONNECTIONS: Final = 64
FEW: Final = 16  # connections, where each request has many recipients
RECIPIENTS: Final = 100
LEAST: Final = 200  # messages

# What a contestant that is not ours may end with; the others go on.
FAILURES = (
    *(kannel.Missing, OSError, TimeoutError, RuntimeError, AssertionError),
    *(ValueError, httpx.HTTPError),
)


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Who sends how many messages, and how."""

    name: str
    messages: int
    send: Callable[[int], Awaitable[Figure]]
    prepare: Callable[[], Awaitable[None]] | None = None  # raises Missing; ours need nothing


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the rounds say of one of them: medians, and what each of ours is to it."""

    name: str
    messages: int
    rounds: int
    accepted_per_s: float
    settled_per_s: float
    ratios: dict[str, Spread]


OURS: Final = (
    Contestant(
        name="Arrivals, single sends",
        messages=20_000,
        send=partial(single_sends, connections=CONNECTIONS),
    ),
    Contestant(
        name="Arrivals, 100 recipients a request",
        messages=100_000,
        send=partial(single_sends, connections=FEW, recipients=RECIPIENTS),
    ),
)


def _kannel(
    store: kannel.Store, messages: int, *, callbacks: bool, recipients: int = 1
) -> Contestant:
    name = f"Kannel, {'no' if store == 'none' else store} store"
    many = f", {recipients} recipients a request" if recipients > 1 else ""
    return Contestant(
        name=f"{name}{many}{', callbacks' if callbacks else ''}",
        messages=messages,
        send=partial(
            kannel.kannel_sends,
            connections=CONNECTIONS if recipients == 1 else FEW,
            callbacks=callbacks,
            store=store,
            recipients=recipients,
        ),
        prepare=kannel.look,
    )


def _jasmin(name: str, messages: int, *, helped: bool) -> Contestant:
    return Contestant(
        name=name,
        messages=messages,
        send=partial(jasmin.jasmin_sends, connections=CONNECTIONS, helped=helped),
        prepare=jasmin.install,
    )


THEIRS: Final = (
    _kannel("none", 20_000, callbacks=False),
    _kannel("none", 20_000, callbacks=True),
    _kannel("none", 20_000, callbacks=False, recipients=RECIPIENTS),
    _kannel("file", 20_000, callbacks=False),
    _kannel("file", 20_000, callbacks=True),
    _kannel("spool", 10_000, callbacks=False),
    _kannel("spool", 10_000, callbacks=True),
    _jasmin("Jasmin, mended, callbacks", 600, helped=False),
    _jasmin("Jasmin, mended and helped, callbacks", 3_000, helped=True),
)


async def run(
    rounds: int, scale: float, only: str = ""
) -> tuple[list[Standing], dict[str, str]]:
    """Let all take turns; return the standings, and why some lack all rounds or a few."""
    lacking: dict[str, str] = {}
    found: dict[str, list[Figure | None]] = {}
    asked = [each for each in THEIRS if only.lower() in each.name.lower()]
    taking_turns = [*OURS, *[each for each in asked if await _is_there(each, lacking)]]
    for number in range(1, rounds + 1):
        for each in tuple(taking_turns):
            _say(f"round {number} of {rounds}: {each.name}")
            of_rounds = found.setdefault(each.name, [])
            of_rounds.append(await _turn(each, scale, lacking))
            if not any(of_rounds):  # it doesn't run here; what once ran may try again
                taking_turns.remove(each)
    ran = [name for name, of_rounds in found.items() if any(of_rounds)]
    return [standing(name, found) for name in ran], lacking


async def _is_there(contestant: Contestant, lacking: dict[str, str]) -> bool:
    if contestant.prepare is not None:
        try:
            await contestant.prepare()
        except FAILURES as failure:
            _lacks(contestant, failure, lacking)
            return False
    return True


async def _turn(contestant: Contestant, scale: float, lacking: dict[str, str]) -> Figure | None:
    messages = max(LEAST, round(contestant.messages * scale / RECIPIENTS) * RECIPIENTS)
    try:
        figure = await contestant.send(messages)
    except FAILURES as failure:
        if contestant in OURS:
            raise
        _lacks(contestant, failure, lacking)
        return None
    _say(f"  {figure.accepted_per_s:,.0f} accepted/s, {figure.settled_per_s:,.0f} settled/s")
    return figure


def _lacks(contestant: Contestant, failure: Exception, lacking: dict[str, str]) -> None:
    reason = str(failure) or type(failure).__name__
    _say(f"without {contestant.name}: {reason}")
    lacking[contestant.name] = reason.splitlines()[0]


def standing(name: str, found: dict[str, list[Figure | None]]) -> Standing:
    """Return the medians of one of them, and what each of ours is to it, round by round."""
    figures = [each for each in found[name] if each is not None]
    ratios = {}
    for ours in OURS:
        of_rounds = [
            mine.settled_per_s / each.settled_per_s
            for mine, each in zip(found[ours.name], found[name], strict=False)
            if mine is not None and each is not None
        ]
        if name not in {each.name for each in OURS}:
            ratios[ours.name] = spread(of_rounds)
    return Standing(
        name=name,
        messages=figures[0].messages,
        rounds=len(figures),
        accepted_per_s=statistics.median(each.accepted_per_s for each in figures),
        settled_per_s=statistics.median(each.settled_per_s for each in figures),
        ratios=ratios,
    )


# --- what is said of it ---------------------------------------------------------------


def table(standings: Sequence[Standing], lacking: dict[str, str], versions: str) -> str:
    """Return the standings as a table in Markdown."""
    rows = [
        "| | messages | accepted/s | settled/s | single sends are | 100 a request are |",
        "|---|---|---|---|---|---|",
    ]
    for each in standings:
        ratios = [_ratio(each.ratios.get(ours.name)) for ours in OURS]
        rows.append(
            f"| {each.name} | {each.messages:,} | {each.accepted_per_s:,.0f} "
            f"| {each.settled_per_s:,.0f} | {' | '.join(ratios)} |"
        )
    most = max((each.rounds for each in standings), default=0)
    rows += ["", f"Medians of {most} rounds on {datetime.now(UTC).date()}. {versions}"]
    rows += [f"Not in all rounds: {name} ({reason})." for name, reason in lacking.items()]
    return "\n".join(rows) + "\n"


def _ratio(found: Spread | None) -> str:
    if found is None:
        return ""
    return f"**{found.median:.2f} ×** ({found.least:.2f} to {found.most:.2f})"


async def _versions() -> str:
    """Return what was run on what."""
    said = [f"jasmin {jasmin.VERSION}"]
    for package in ("kannel", "rabbitmq-server", "redis-server"):
        with_version = ["dpkg-query", "--show", "--showformat=${Version}", package]
        try:
            process = await asyncio.create_subprocess_exec(
                *with_version, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
        except FileNotFoundError:  # not Debian
            continue
        version = (await process.communicate())[0].decode()
        if version:
            said.append(f"{package} {version}")
    return f"{', '.join(said)}; {machine(tempfile.gettempdir())}."


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


async def main(rounds: int, scale: float, only: str, *, as_json: bool) -> None:
    """Run all, print the standings, and write a whole run's into the document."""
    if (
        running := asyncio.current_task()
    ) is not None:  # so that whoever was started is stopped
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    standings, lacking = await run(rounds, scale, only)
    versions = await _versions()
    written = table(standings, lacking, versions)
    if as_json:
        told = [asdict(each) for each in standings]
        print(json.dumps({"standings": told, "lacking": lacking, "versions": versions}))
    else:
        print(written)
    if scale == 1 and rounds >= ROUNDS and not only:
        text = DOCUMENT.read_text("utf-8")
        DOCUMENT.write_text(TABLE.sub(lambda found: found[1] + written + found[2], text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer messages")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", default="", help="peers whose name has this in it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    chosen = parser.parse_args()
    uvloop.run(main(chosen.rounds, chosen.scale, chosen.only, as_json=chosen.json))
