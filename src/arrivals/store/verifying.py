"""Verify an installation: check from where the last run stopped, and keep how far it came."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from arrivals.clock import Clock
from arrivals.store.api import StoreDamaged, StoreError
from arrivals.store.backend import holds_database, is_postgresql
from arrivals.store.beside import look_for_damage, looking_into, noting_in
from arrivals.store.checking import Checking
from arrivals.store.checks import COSTS
from arrivals.store.reading import ReadingConnection
from arrivals.store.soundness import Looked
from arrivals.store.statements import statements
from arrivals.store.verified import (
    Finding,
    Kind,
    Progress,
    Verified,
    last_run,
    note_run,
    progress_of,
)

UNSUMMED_MAX: Final = 500_000  # parts; further behind than that, a full run is less to read
LOOKS_MAX: Final = 3
LOOK_AGAIN_AFTER_S: Final = 1.0

Said = Callable[[Finding], None]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run."""

    run: Verified
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]  # what only a full run checks
    more: bool  # that changed and wasn't looked at yet: run again
    noted: bool  # the next run goes on from this one


def run_checks(place: str | Path, clock: Clock) -> Iterator[Finding]:
    """Run every check over everything, yielding each finding as made; keep nothing.

    Raises StoreError if the database can't be read.
    """
    with looking_into(place) as (connection, dialect):
        yield from Checking(connection, dialect, clock).findings()


def verify(
    place: str | Path, clock: Clock, *, full: bool = False, said: Said = lambda _: None
) -> Verdict:
    """Check what changed since the last run, or everything, and keep how far it came.

    The first run of all is a full one. `said` is told each finding as it is made. Raises
    StoreError if the database can't be read, and before a full run is begun on a file that is
    damaged; one that can't be written to is checked all the same.
    """
    looked = _looked_at(place) if full else None
    # What can be read is checked all the same: the checks name it better.
    if looked is not None and not looked.in_rows_only:
        raise StoreDamaged(f"{place}: {looked.words}", looked.fix)
    with looking_into(place) as (connection, dialect):
        verdict = _Verifying(place, connection, dialect, clock).once(full=full, said=said)
    if looked is not None and looked.troubles and not verdict.run.violations:
        raise StoreDamaged(f"{place}: {looked.words}", looked.fix)
    return verdict


def look_whole(folder: Path, clock: Clock, seconds: float | None = None) -> Looked:
    """Look for damage in a folder's file, and then at what costs little to prove.

    Never raises a StoreError.
    """
    looked = look_for_damage(folder, seconds)
    if looked.troubles or not looked.finished:
        return looked
    try:
        with looking_into(folder) as (connection, dialect):
            found = [
                each for each in Checking(connection, dialect, clock).cheap() if each.count
            ]
    except StoreError as error:
        return Looked(troubles=(str(error),), finished=True)
    troubles = tuple(f"this doesn't hold: {each.sentence}" for each in found)
    return Looked(troubles=troubles, finished=True)


def _looked_at(place: str | Path) -> Looked | None:
    """Return what was found in a folder's file, if there is one."""
    if is_postgresql(place) or not holds_database(place):
        return None
    return look_for_damage(Path(place))


def verify_in_turn(
    place: str | Path, clock: Clock, every_s: float, pause: Callable[[float], None]
) -> Verdict | None:
    """Check what changed since the last run, if that was long enough ago and nobody else does.

    It goes on until nothing that changed is left, and returns the last of these runs.
    What is found is looked at again before it counts: what was under way looks broken for a
    moment. `pause` sleeps; a run works no more than half of the time. Raises StoreError.
    """
    with looking_into(place) as (connection, dialect):
        before = last_run(connection, dialect)
        due_us = 0 if before is None else before.ended_at_us + round(every_s * 1e6)
        if clock.now_us() < due_us:
            return None
        if not connection.execute(statements("checks", dialect)["take_turn"]).get:
            return None
        verdict = _Verifying(place, connection, dialect, clock, pause).surely()
        while verdict.more and verdict.noted:
            verdict = _Verifying(place, connection, dialect, clock, pause).surely()
        return verdict


class _Verifying:
    def __init__(
        self,
        place: str | Path,
        connection: ReadingConnection,
        dialect: str,
        clock: Clock,
        pause: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._place = place
        self._connection = connection
        self._dialect = dialect
        self._clock = clock
        self._pause = pause
        self._before = last_run(connection, dialect)

    def once(self, *, full: bool, said: Said = lambda _: None) -> Verdict:
        """Run once and keep it."""
        since = None if full else progress_of(self._connection, self._dialect)
        verdict, progress = self._run(since, said)
        return self._noted(verdict, progress)

    def surely(self) -> Verdict:
        """Run, look again at what was found until nothing new is, and keep that."""
        since = progress_of(self._connection, self._dialect)
        verdict, progress = self._run(since)
        for _ in range(LOOKS_MAX - 1):
            seen = _broken(verdict)
            if not seen:
                break
            self._pause(LOOK_AGAIN_AFTER_S)
            again, progress = self._run(progress)
            verdict = _together(verdict, again)
            if _broken(again) <= seen:
                break
        return self._noted(verdict, progress)

    def _run(
        self, since: Progress | None, said: Said = lambda _: None
    ) -> tuple[Verdict, Progress]:
        if since is not None and len(since.unsummed) > UNSUMMED_MAX:
            since = None
        began_at_us = self._clock.now_us()
        checking = Checking(self._connection, self._dialect, self._clock, since, self._pause)
        findings: list[Finding] = []
        for finding in checking.findings():
            findings.append(finding)
            said(finding)
        kind: Kind = "full" if checking.since is None else "incremental"
        ended_at_us = self._clock.now_us()
        found: dict[int, int] = {}
        for each in findings:
            found[each.invariant] = found.get(each.invariant, 0) + each.count
        full_at_us = (
            ended_at_us if kind == "full" or not self._before else self._before.full_at_us
        )
        run = Verified(
            run=1 + (self._before.run if self._before else 0),
            kind=kind,
            began_at_us=began_at_us,
            ended_at_us=ended_at_us,
            full_at_us=full_at_us,
            checks=len(findings),
            looked_at=checking.looked_at,
            violations=sum(found.values()),
            found=found,
        )
        verdict = Verdict(
            run=run,
            findings=tuple(findings),
            left_out=() if kind == "full" else (COSTS.sentence,),
            more=checking.more,
            noted=False,
        )
        return verdict, checking.progress

    def _noted(self, verdict: Verdict, progress: Progress) -> Verdict:
        """Keep the run, where that can be done."""
        noted = False
        with contextlib.suppress(StoreError), noting_in(self._place) as connection:
            noted = note_run(connection, self._dialect, verdict.run, progress)
        return msgspec.structs.replace(verdict, noted=noted)


def _broken(verdict: Verdict) -> set[str]:
    return {each.sentence for each in verdict.findings if each.count}


def _together(first: Verdict, again: Verdict) -> Verdict:
    """Return the second look at a run as that run."""
    run = msgspec.structs.replace(
        again.run,
        kind=first.run.kind,
        began_at_us=first.run.began_at_us,
        full_at_us=first.run.full_at_us
        if first.run.kind == "incremental"
        else again.run.ended_at_us,
        checks=first.run.checks,
        looked_at=first.run.looked_at + again.run.looked_at,
    )
    return msgspec.structs.replace(again, run=run, left_out=first.left_out)
