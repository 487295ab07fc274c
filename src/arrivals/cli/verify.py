"""`arrivals verify`: prove the invariants on the database as it stands, live or not."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, place_of
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, put_table, say
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arrivals.store.verified import Finding
    from arrivals.store.verifying import Verdict


def verify(
    data: Data = None,
    config: Config = None,
    full: Annotated[
        bool, flag("--full", help="Check everything, not only what changed.")
    ] = False,
    watch: Annotated[
        bool, flag("--watch", help="Check what changed again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float,
        typer.Option("--every", metavar="SECONDS", min=0.1, help="How often to --watch."),
    ] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Check every invariant that the database can answer for, beside a live server too.

    It looks at what changed since the last run, also one of a server's own, and at what that
    found broken. The first run checks everything, and so does --full, which looks at every
    page of the file first: one to three seconds for 100 MB.

    Exit codes: 0 all of them hold, 1 some don't, 2 it couldn't be checked.
    """
    place = place_of(data, config)
    if watch:
        raise typer.Exit(_watch(place, every, full=full, as_json=as_json))
    verdict = _verified(place, full=full, as_json=as_json)
    if as_json:
        put_json(_as_json(place, verdict))
    else:
        _tell(verdict)
    raise typer.Exit(int(_exit_code(verdict)))


def _verified(place: str | Path, *, full: bool, as_json: bool) -> Verdict:
    """Run once, with a word about what is being done at a terminal."""
    if as_json or not sys.stdout.isatty():
        return _run(place, full=full, said=lambda _: None)
    with on_stdout().status("Checking") as status:
        return _run(
            place, full=full, said=lambda made: status.update(f"Checked: {made.sentence}")
        )


def _run(place: str | Path, *, full: bool, said: Callable[[Finding], None]) -> Verdict:
    """Run until nothing that changed is left; raises Stop."""
    from arrivals.clock import SystemClock
    from arrivals.store.api import StoreError
    from arrivals.store.verifying import verify as run_once

    clock = SystemClock()
    try:
        verdict = run_once(place, clock, full=full, said=said)
        while verdict.more and verdict.noted:
            verdict = run_once(place, clock, said=said)
    except StoreError as error:
        raise Stop(
            f"it couldn't be checked: {error}",
            error.fix
            or "name the data folder or the database with --data; see also: arrivals doctor",
            code=ExitCode.UNCHECKED,
        ) from None
    return verdict


def _watch(place: str | Path, every_s: float, *, full: bool, as_json: bool) -> int:
    """Run again and again until interrupted; return the exit code."""
    code = ExitCode.OK
    try:
        while True:
            began = time.monotonic()
            verdict = _run(place, full=full, said=lambda _: None)
            code = max(code, _exit_code(verdict))
            if as_json:
                put_json(_as_json(place, verdict))
            else:
                _tell_in_a_line(verdict)
            full = False
            time.sleep(max(0.0, every_s - (time.monotonic() - began)))
    except KeyboardInterrupt:
        return int(code)


def _exit_code(verdict: Verdict) -> ExitCode:
    return ExitCode.VIOLATIONS if verdict.run.violations else ExitCode.OK


def _as_json(place: str | Path, verdict: Verdict) -> dict[str, Any]:
    from arrivals.store.beside import shown

    run = verdict.run
    return {
        "data": shown(place),
        "kind": run.kind,
        "began_at": _time(run.began_at_us),
        "ended_at": _time(run.ended_at_us),
        "milliseconds": (run.ended_at_us - run.began_at_us) / 1_000,
        "looked_at": run.looked_at,
        "violations": run.violations,
        "left_out": verdict.left_out,
        "noted": verdict.noted,
        "checks": verdict.findings,
    }


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")


def _tell_in_a_line(verdict: Verdict) -> None:
    run = verdict.run
    took_ms = (run.ended_at_us - run.began_at_us) / 1_000
    broken = sorted({each.invariant for each in verdict.findings if each.count})
    named = f"  broken: {', '.join(map(str, broken))}" if broken else ""
    say(
        f"{_time(run.ended_at_us)}  {run.kind:<11}  {run.checks} checks  "
        f"{run.looked_at} messages  {run.violations} violations  {took_ms:.0f} ms{named}"
    )
    sys.stdout.flush()


def _tell(verdict: Verdict) -> None:
    findings, run = verdict.findings, verdict.run
    put_table(
        ("no.#", "what must hold", "broken#", "ms#"),
        [
            (each.invariant, each.sentence, each.count or "0", f"{each.milliseconds:.1f}")
            for each in findings
        ],
        "Nothing was checked.",
    )
    for each in findings:
        if each.count:
            _tell_broken(each)
    if verdict.left_out:
        say(f"Looked at {run.looked_at} messages that changed. Only --full also checks:")
        for sentence in verdict.left_out:
            say(f"   {sentence}")
    if not verdict.noted:
        say("This run couldn't be kept, so the next looks at the same again.")
    console = on_stdout()
    took = sum(each.milliseconds for each in findings)
    if run.violations:
        console.print(f"{run.violations} violations in {took:.0f} ms.", style="bold red")
    else:
        console.print(
            f"All {len(findings)} checks hold, looked at in {took:.0f} ms.", style="green"
        )


def _tell_broken(finding: Finding) -> None:
    left = finding.count - len(finding.samples)
    more = f" and {left} more" if left > 0 else ""
    say(f"{finding.invariant} is broken {finding.count} ×: {', '.join(finding.samples)}{more}")
    if finding.invariant == 32:
        say("   Deadlines are acted on while a server runs. Does one?")
    for line in finding.query.splitlines():
        say(f"   {line}")
