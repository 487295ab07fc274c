"""Take the power away at any instant of a script, and see whether what was promised is there.

    python -m tests.proof.power_loss --states 50000 --state FILE
    python -m tests.proof.power_loss --point 1234           # that state again

One life is recorded on a disk that remembers, with what was told to the outside in the same
sequence; then the disk is rebuilt as the loss of power may have left it at many an instant,
opened, recovered and judged. Some lives checkpoint and begin their log anew all the time.

Before that, the order: nothing may be told while a write to the log waits for its sync.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from arrivals.store.folders import DATABASE_NAME
from arrivals.store.sqlite import SqliteWriter
from tests.flows.script import SetClock
from tests.proof.crash_points import shared_memory
from tests.proof.errands import Line, Outside
from tests.proof.life import Life, prepare
from tests.proof.long_run import LongRun, Wrong, main
from tests.proof.recorded_disk import Deed, Platter, RecordingDisk, Said, Synced
from tests.proof.restart import wrong_after_restart

STATES_A_LIFE = 20
TURNS_MAX = 25
CHECKPOINTS_AFTER_PAGES = (None, 4, 30)  # None: as the store has it
LOG_NAME = f"{DATABASE_NAME}-wal"


@dataclass
class Ground:
    """A folder, the prepared file, and how lives are lived in it."""

    folder: Path
    prepared: bytes
    doomed: type[SqliteWriter] = SqliteWriter  # or one with a mistake, planted by a test
    pragmas: tuple[str, ...] = ()  # the same
    _lives: dict[int, list[Deed]] = field(default_factory=dict)

    def life_of(self, seed: int) -> list[Deed]:
        """Return the deeds of one life; the last one is remembered."""
        if seed not in self._lives:
            self._lives = {seed: self._record(seed)}
        return self._lives[seed]

    def _record(self, seed: int) -> list[Deed]:
        chance = random.Random(f"power/{seed}")
        folder = self.folder / "life"
        folder.mkdir()
        (folder / DATABASE_NAME).write_bytes(self.prepared)
        clock = SetClock()
        disk = RecordingDisk(f"recorded-{seed}")
        note = disk.deeds.append
        try:
            with disk.as_default():
                writer = self.doomed(folder / DATABASE_NAME, clock)
            self._set_up(writer._connection, chance)
            alive = Life(writer, clock, Outside(seed), lambda line: note(Said(line)))
            for _ in range(chance.randint(3, TURNS_MAX)):
                alive.live(chance)
            deeds = list(disk.deeds)  # without those of the end: nobody closes what loses power
            writer.close()
        finally:
            shutil.rmtree(folder)
            disk.unregister()
        return deeds

    def _set_up(self, connection: apsw.Connection, chance: random.Random) -> None:
        pages = chance.choice(CHECKPOINTS_AFTER_PAGES)
        checkpoints = () if pages is None else (f"wal_autocheckpoint = {pages}",)
        for pragma in (*checkpoints, *self.pragmas):
            connection.execute(f"PRAGMA {pragma}").fetchall()


@contextmanager
def ground(**changes: Any) -> Iterator[Ground]:
    """Give a ground in memory, where there is some to be had: this disk is only played."""
    with tempfile.TemporaryDirectory(prefix="arrivals-power-", dir=shared_memory()) as name:
        folder = Path(name)
        clock = SetClock()
        writer = SqliteWriter(folder / DATABASE_NAME, clock)
        prepare(writer, clock)
        writer.close()
        yield Ground(folder, (folder / DATABASE_NAME).read_bytes(), **changes)


def losses(ground: Ground, states: range) -> Iterator[Wrong]:
    """Try one state after another; each life has STATES_A_LIFE of them."""
    for number in states:
        seed = number // STATES_A_LIFE
        deeds = ground.life_of(seed)
        wrong = out_of_order(deeds) if number % STATES_A_LIFE == 0 else []
        yield number, wrong + lose_power(ground, seed, deeds, random.Random(f"loss/{number}"))


def out_of_order(deeds: Sequence[Deed]) -> list[str]:
    """Return what was told before the sync that makes it durable (invariants 15 and 24)."""
    platter = Platter({})
    early = []
    for deed in deeds:
        if isinstance(deed, Said) and deed.line[0] != "asks" and LOG_NAME in platter.unsafe:
            early.append(f"told before it was synced: {deed.line}")
        platter.do(deed)
    return early


def lose_power(
    ground: Ground, seed: int, deeds: Sequence[Deed], chance: random.Random
) -> list[str]:
    """Rebuild the disk as it may be after some of the deeds; return what is wrong with it."""
    platter = Platter({DATABASE_NAME: ground.prepared})
    lines: list[Line] = []
    for deed in deeds[: _instant(deeds, chance)]:
        platter.do(deed)
        if isinstance(deed, Said):
            lines.append(deed.line)
    folder = ground.folder / "found"
    folder.mkdir()
    try:
        for name, content in platter.after_loss_of_power(chance).items():
            (folder / name).write_bytes(content)
        return wrong_after_restart(
            folder, lambda clock: SqliteWriter(folder / DATABASE_NAME, clock), seed, lines
        )
    finally:
        shutil.rmtree(folder)


def _instant(deeds: Sequence[Deed], chance: random.Random) -> int:
    """Choose an instant: any, or right before a sync, where most is at stake."""
    syncs = [at for at, deed in enumerate(deeds) if isinstance(deed, Synced)]
    if syncs and chance.random() < 0.4:
        return chance.choice(syncs)
    return chance.randint(0, len(deeds))


if __name__ == "__main__":
    sys.exit(main(LongRun(name="power_loss", unit="states", ground=ground, each=losses)))
