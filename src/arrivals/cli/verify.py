"""`arrivals verify`: prove the invariants on the database as it stands, live or not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, place_of
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, put_table, say

if TYPE_CHECKING:
    from arrivals.store.checks import Finding


def verify(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """Check every invariant that the database can answer for, beside a live server too.

    Exit codes: 0 all of them hold, 1 some don't, 2 it couldn't be checked.
    """
    from arrivals.clock import SystemClock
    from arrivals.store.api import StoreError
    from arrivals.store.beside import shown
    from arrivals.store.checks import run_checks

    place = place_of(data, config)
    findings: list[Finding] = []
    waiting = on_stdout().status("Checking") if sys.stdout.isatty() and not as_json else None
    try:
        if waiting is not None:
            waiting.start()
        for finding in run_checks(place, SystemClock()):
            findings.append(finding)
            if waiting is not None:
                waiting.update(f"Checked: {finding.sentence}")
    except StoreError as error:
        raise Stop(
            f"it couldn't be checked: {error}",
            "name the data folder or the database with --data; see also: arrivals doctor",
            code=ExitCode.UNCHECKED,
        ) from None
    finally:
        if waiting is not None:
            waiting.stop()
    violations = sum(each.count for each in findings)
    if as_json:
        put_json({"data": shown(place), "violations": violations, "checks": findings})
    else:
        _tell(findings, violations)
    raise typer.Exit(int(ExitCode.VIOLATIONS if violations else ExitCode.OK))


def _tell(findings: list[Finding], violations: int) -> None:
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
            more = f" and {each.count - len(each.samples)} more" if each.count > 5 else ""
            say(f"{each.invariant} is broken {each.count} ×: {', '.join(each.samples)}{more}")
            if each.invariant == 32:
                say("   Deadlines are acted on while a server runs. Does one?")
    console = on_stdout()
    took = sum(each.milliseconds for each in findings)
    if violations:
        console.print(f"{violations} violations in {took:.0f} ms.", style="bold red")
    else:
        console.print(
            f"All {len(findings)} checks hold, looked at in {took:.0f} ms.", style="green"
        )
