"""`arrivals scenarios`: play scenarios with the whole platform; compare truth and verdicts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.output import (
    ExitCode,
    Stop,
    on_stdout,
    progress,
    put_json,
    put_table,
    say,
)
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from arrivals.sim.findings import Finding

SEED_MAX = 2**63 - 1
MESSAGES_MAX = 1_000_000
HOUR_S = 3_600
ALARMS_SHOWN = 5


def scenarios(
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Play this one or your own .toml file, and others named so; default: all.",
        ),
    ] = None,
    listed: Annotated[bool, flag("--list", help="Name them all and play none.")] = False,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=SEED_MAX, help="Play with this seed, not the scenario's own."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(
            min=1, max=MESSAGES_MAX, help="Messages of a stream; else as many as are enough."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Play scenarios on a virtual clock and compare what is said with what really happened.

    The whole platform sends a scenario's traffic into its carrier world, learns from receipts
    and from what people do, and judges every message; days go by in seconds. Then the verdicts
    are counted beside the truth, and compared with what the scenario's file states. Exit codes:
    0 all are within tolerance, 1 one isn't.
    """
    names = _chosen(run or [])
    if listed:
        _list(names, as_json=as_json)
        return
    missed = False
    for found in _played(names, seed, most, jobs):
        missed = missed or bool(found.misses)
        if as_json:
            put_json(found)
        else:
            _show(found)
    raise typer.Exit(int(ExitCode.VIOLATIONS if missed else ExitCode.OK))


def _chosen(run: Sequence[str]) -> list[str]:
    from arrivals.world.scenario import scenario_names

    known = scenario_names()
    for name in run:
        if name.endswith(".toml"):
            _check(name)
        elif name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            raise Stop(
                f"no scenario is called {name!r}",
                f"did you mean {' or '.join(near)}?"
                if near
                else "see arrivals scenarios --list",
                code=ExitCode.USAGE,
            )
    return list(dict.fromkeys(run)) or list(known)


def _check(file: str) -> None:
    """Stop unless a file is a scenario that can be played and judged."""
    from arrivals.world.scenario import ScenarioError, load_scenario

    try:
        found = load_scenario(file)
    except ScenarioError as error:
        raise Stop(str(error), "docs/sandbox.md has an example", code=ExitCode.USAGE) from None
    if not found.traffic:
        raise Stop(
            f"{file} sends nothing", "add [[traffic]]: what to send", code=ExitCode.USAGE
        )
    for stream in dict.fromkeys(each.name for each in found.traffic):
        if stream not in found.expect:
            raise Stop(
                f"{file} doesn't say what must come of its stream {stream!r}",
                f"add [expect.{stream}] with truth and reported; to see it, "
                f"arrivals dev --scenario {file}",
                code=ExitCode.USAGE,
            )


def _list(names: Sequence[str], *, as_json: bool) -> None:
    from arrivals.world.scenario import load_scenario

    found = [load_scenario(name) for name in names]
    if as_json:
        put_json([{"name": each.name, "about": each.about} for each in found])
        return
    put_table(("name", "what it shows"), [(each.name, each.about) for each in found], "")


def _played(
    names: Sequence[str], seed: int | None, most: int | None, jobs: int
) -> Iterator[Finding]:
    """Yield what each came to, in the order of their names."""
    show = progress()
    if jobs == 1:
        from arrivals.sim.repertoire import play_one

        for name in names:
            yield play_one(name, seed, most, tell=_teller(name, show))
            show("")
        return
    from arrivals.sim.repertoire import play_many

    show(f"{len(names)} scenarios, {jobs} at once")
    yield from play_many(names, seed, most, jobs)


def _teller(name: str, show: Callable[[str], None]) -> Callable[[float, int, int], None]:
    def tell(at_s: float, sent: int, whole: int) -> None:
        show(f"{name}: hour {at_s / HOUR_S:.1f}, {sent:,} of {whole:,} messages sent")

    return tell


# --- words ----------------------------------------------------------------------------


def _show(found: Finding) -> None:
    from arrivals.sim.findings import VERDICTS

    console = on_stdout()
    console.print(f"\n{found.name}", style="bold", end="")
    console.print(f"  {found.about}", markup=False)
    words = [each for each in VERDICTS if any(each in row for row in found.table.values())]
    put_table(
        ("truth", *(f"{word}#" for word in words)),
        [
            (truth, *(f"{row[word]:,}" if word in row else "" for word in words))
            for truth, row in found.table.items()
        ],
        "Nothing was accepted.",
    )
    say(
        f"{found.messages:,} messages in {found.days:.1f} days of its time; {found.charged:,} "
        f"charged, {found.arrived_twice} arrived twice, {found.turned_away} turned away."
    )
    say(f"{_right(found)}.")
    for alarm in found.alarms[:ALARMS_SHOWN]:
        console.print(f"alarm: {alarm}", style="yellow", markup=False)
    if len(found.alarms) > ALARMS_SHOWN:
        say(f"and {len(found.alarms) - ALARMS_SHOWN} alarms more (--json has them)")
    for miss in found.misses:
        console.print(f"out of tolerance: {miss}", style="red", markup=False)
    if not found.misses:
        console.print("Within tolerance.", style="green")


def _right(found: Finding) -> str:
    """Say how far the verdicts can be trusted."""
    said = [
        f"{word} is right in {right:.1%}"
        for word, right in (
            ("delivered", found.delivered_right),
            ("failed", found.failed_right),
        )
        if right is not None
    ]
    if found.silence_seen is not None:
        said.append(
            f"of {found.kept_in_silence:,} kept in silence "
            f"{found.silence_seen:.0%} are called so"
        )
    return ", ".join(said).capitalize() or "Nothing is called delivered or failed"
