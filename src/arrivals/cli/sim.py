"""`arrivals sim`: play whole worlds with faults on a virtual clock, and judge them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.output import ExitCode, Stop, on_stderr, on_stdout, progress, put_json, say
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from arrivals.sim.plan import Plan
    from arrivals.sim.simulation import Verdict

SEED_MAX = 2**63 - 1


def sim(
    seed: Annotated[
        int, typer.Option(min=0, max=SEED_MAX, help="The first run's seed; it replays exactly.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=1, help="How many seeds, one after another.")] = 1,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Run this plan instead of a seed's own."),
    ] = None,
    story: Annotated[bool, flag("--story", help="Print what happened, in order.")] = False,
    keep: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where the plan of a failure is written.")
    ] = Path(),
    jobs: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Run the whole system on a virtual clock, with faults, and judge what it did.

    Each seed is a world of its own: customers, carriers that lie, a network that loses and
    doubles, clocks that jump, disks that fill, processes that die. An auditor who sees what
    providers really received says what may not happen. The first run that breaks an invariant
    is made as small as it gets and written down. Exit codes: 0 none was broken, 1 one was.
    """
    if plan is not None or runs == 1:
        from arrivals.sim.plan import plan_of

        chosen = plan_of(seed) if plan is None else _read(plan)
        verdict = _one(chosen, story=story, as_json=as_json)
        failed = [verdict] if verdict.violations else []
    else:
        failed = _many(seed, runs, jobs, as_json=as_json)
    if failed and plan is None:
        _keep_smallest(failed[0], keep)
    raise typer.Exit(int(ExitCode.VIOLATIONS if failed else ExitCode.OK))


def _read(path: Path) -> Plan:
    import msgspec

    from arrivals.sim.plan import Plan

    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise Stop(
            f"{path} isn't a plan: {error}",
            "name a file that `arrivals sim` wrote",
            code=ExitCode.USAGE,
        ) from None


def _one(plan: Plan, *, story: bool, as_json: bool) -> Verdict:
    from arrivals.sim.simulation import run_plan

    verdict = run_plan(plan, say if story and not as_json else None)
    if as_json:
        put_json(verdict)
        return verdict
    ended = ", ".join(f"{count} {word}" for word, count in verdict.outcomes.items())
    say(f"Seed {verdict.seed}: {verdict.events} events in {verdict.seconds:.0f} s of its time.")
    say(f"  {verdict.recipients} recipients, {verdict.handoffs} hand-offs; {ended}")
    say(f"  its story in a word: {verdict.digest}")
    for each in verdict.violations:
        on_stdout().print(f"  {each}", style="red", markup=False)
    if not verdict.violations:
        on_stdout().print("No invariant was broken.", style="green")
    return verdict


def _many(first: int, runs: int, jobs: int, *, as_json: bool) -> list[Verdict]:
    from arrivals.clock import SystemClock
    from arrivals.sim.explore import run_seeds

    clock, failed, totals = SystemClock(), [], Counter[str]()
    console, began = on_stderr(), clock.monotonic()
    show = progress()
    for verdict in run_seeds(range(first, first + runs), jobs):
        totals.update(runs=1, recipients=verdict.recipients, handoffs=verdict.handoffs)
        totals.update(seconds=int(verdict.seconds), violations=len(verdict.violations))
        if verdict.violations:
            failed.append(verdict)
            console.print(f"seed {verdict.seed}: {verdict.violations[0]}", style="red")
        took_s = clock.monotonic() - began
        show(
            f"{totals['runs']:,} of {runs:,} runs, {len(failed)} failed, "
            f"{totals['runs'] / took_s:.1f} a second"
        )
    show("")
    if as_json:
        put_json({**totals, "failed": [each.seed for each in failed]})
    else:
        hours = totals["seconds"] / 3600
        say(
            f"{totals['runs']:,} runs, {totals['recipients']:,} recipients, "
            f"{totals['handoffs']:,} hand-offs, {hours:,.1f} hours of their time: "
            f"{len(failed) or 'none'} failed."
        )
    return failed


def _keep_smallest(verdict: Verdict, folder: Path) -> None:
    import msgspec

    from arrivals.sim.explore import shrink, size_of
    from arrivals.sim.plan import plan_of

    console = on_stderr()
    console.print(f"Making seed {verdict.seed} smaller …")
    smallest = shrink(
        plan_of(verdict.seed), verdict, lambda line: console.print(f"  {line}", markup=False)
    )
    path = folder / f"sim-{verdict.seed}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(smallest)) + b"\n")
    console.print(
        f"{size_of(smallest)}. See it:  arrivals sim --story --plan {path}", markup=False
    )
