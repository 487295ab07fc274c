"""What a run of the checks found and how far it came, kept for the next to go on from."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from arrivals.store.reading import ReadingConnection
from arrivals.store.statements import statements

Kind = Literal["full", "incremental"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found."""

    invariant: int
    sentence: str  # what must hold
    count: int  # how often it doesn't
    samples: tuple[str, ...]
    query: str  # what was asked
    milliseconds: float = 0.0


class Unsummed(msgspec.Struct, frozen=True, array_like=True):
    """A part of a posting that isn't compared yet: it is newer than what a run looked at."""

    sum: str
    posting: int
    part: str
    amount: int


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What the next run goes on from."""

    place: int  # every event before it was looked at
    posting: int  # the newest that was looked at
    behind: bool = False  # events were left over, and then new postings are too
    moved: dict[int, tuple[int, int]]  # by account: (available, held) as of that posting
    unsummed: list[Unsummed] = []
    broken: dict[str, tuple[int, ...]] = {}  # by check: what to look at again
    standing: dict[str, Finding] = {}  # what only a full run can look at again


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what it looked at, and what it found."""

    run: int
    kind: Kind
    began_at_us: int
    ended_at_us: int
    full_at_us: int  # when the newest full run ended
    checks: int
    looked_at: int  # messages
    violations: int
    found: dict[int, int]  # by invariant: how often it is broken


_FIELDS: Final = msgspec.json.Decoder(tuple[Any, ...])
_SQL: Final = "verified"


def last_run(connection: ReadingConnection, dialect: str) -> Verified | None:
    """Return the newest run that was completed."""
    row = connection.execute(statements(_SQL, dialect)["last_run"]).fetchall()
    if not row:
        return None
    *fields, found = row[0]
    by_invariant = msgspec.json.decode(found, type=dict[int, int])
    names = Verified.__struct_fields__[: len(fields)]
    return msgspec.convert(
        {**dict(zip(names, fields, strict=True)), "found": by_invariant}, Verified
    )


def progress_of(connection: ReadingConnection, dialect: str) -> Progress | None:
    """Return what the next run goes on from; None if there was none, or not of this program."""
    found = connection.execute(statements(_SQL, dialect)["progress"]).get
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=Progress)
    except msgspec.DecodeError:
        return None


def note_run(
    connection: ReadingConnection, dialect: str, run: Verified, progress: Progress
) -> bool:
    """Keep a run; False if another that went on from the same one has been kept."""
    values = msgspec.structs.asdict(run) | {
        "found": msgspec.json.encode(run.found).decode(),
        "progress": msgspec.json.encode(progress).decode(),
    }
    return bool(connection.execute(statements(_SQL, dialect)["note_run"], values).fetchall())
