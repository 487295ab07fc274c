"""What follows a crash: a restart, everybody asks again, and a judge looks twice."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from arrivals.store.group_commit import Backend
from arrivals.store.verifying import run_checks
from tests.flows.script import BEGIN_US, SetClock
from tests.proof.errands import Line, Outside
from tests.proof.judge import Judge
from tests.proof.life import Life

# The machine was away for so long, and its clock is well ahead of whatever was written.
AWAY_S = 30.0


def wrong_after_restart(
    place: str | Path,
    open_writer: Callable[[SetClock], Backend],
    seed: int,
    lines: Iterable[Line],
) -> list[str]:
    """Return what a restarted process lost or does wrong, given what the witness wrote down."""
    outside = Outside(seed)
    said = list(lines)
    for line in said:
        outside.hear(line)
    clock = SetClock()
    writer = None
    try:
        writer = open_writer(clock)
        query = _query_of(writer)
        [(latest_us,)] = query("SELECT coalesce(max(at), 0) FROM events")
        clock.us = max(BEGIN_US, int(latest_us))
        clock.tick(AWAY_S)
        wrong = Judge(query, outside).losses()
        if not wrong:
            Life(writer, clock, outside).end()
            wrong = Judge(query, outside).verdict()
            # The judge looks at every one; the store's own checks, which take as long, at half.
            checks = run_checks(place, clock) if len(said) % 2 else ()
            wrong += [f"invariant {c.invariant}: {c.samples}" for c in checks if c.count]
    except Exception:  # noqa: BLE001 - whatever stops a restart is a violation, and the report of this run
        wrong = [traceback.format_exc()]
    finally:
        if writer is not None:
            writer.close()
    return wrong


def _query_of(writer: Backend) -> Callable[[str], list[tuple]]:
    connection = writer._connection  # type: ignore[attr-defined]
    return lambda statement: connection.execute(statement).fetchall()
