"""A disk that remembers: every write, truncation, sync and deletion, and what was said between.

`RecordingDisk` is a VFS of SQLite's own kind that passes everything on to the default one, so
that locks and shared memory work as always, and notes what reached the file. What the outside
noticed in between stands in the same sequence as `Said`.

`Platter` gives the disk back as a loss of power may have left it at any instant. What had been
synced by then is there. Of what hadn't, any part may be: writes whole, missing or torn between
two sectors, in any order, and so are truncations; a new file whose directory wasn't synced may
be missing. (SQLite syncs a new log's directory in the log's first sync. The file of shared
memory is rebuilt by whoever opens the database first, so it is left out.)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

SECTORS = (512, 4096)
KEPT_FILES = ("-wal", "-journal", ".db")


@dataclass(frozen=True, slots=True)
class Said:
    line: Any


@dataclass(frozen=True, slots=True)
class Wrote:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    name: str


@dataclass(frozen=True, slots=True)
class Deleted:
    name: str
    synced: bool  # with its directory


Deed = Said | Wrote | Truncated | Synced | Deleted
Change = Wrote | Truncated


class RecordingDisk(apsw.VFS):
    """The default VFS, with a memory."""

    def __init__(self, name: str) -> None:
        self.deeds: list[Deed] = []
        self.name = name
        self.below = apsw.vfs_names()[0]
        super().__init__(name, self.below)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802 - SQLite's word
        return _RecordedFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.deeds.append(Deleted(Path(filename).name, syncdir))

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Let every connection that is opened meanwhile write here."""
        apsw.set_default_vfs(self.name)
        try:
            yield
        finally:
            apsw.set_default_vfs(self.below)


class _RecordedFile(apsw.VFSFile):
    def __init__(self, disk: RecordingDisk, filename: Any, flags: list[int]) -> None:
        super().__init__(disk.below, filename, flags)
        # Temporary files have no name, and nobody looks for them after a loss of power.
        uri = isinstance(filename, apsw.URIFilename)
        name = Path(filename.filename() if uri else filename or "").name
        self._name = name if name.endswith(KEPT_FILES) else ""
        self._deeds = disk.deeds

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        if self._name:
            self._deeds.append(Wrote(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        if self._name:
            self._deeds.append(Truncated(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        if self._name:
            self._deeds.append(Synced(self._name))


class _File:
    """One file: what is safe of it, and what may or may not be."""

    def __init__(self, content: bytes, *, entered: bool) -> None:
        self.safe = bytearray(content)
        self.entered = entered  # in its directory, safely
        self.pending: list[Change] = []

    def sync(self) -> None:
        for each in self.pending:
            _apply(self.safe, each)
        self.pending = []
        self.entered = True


class Platter:
    """The disk at an instant, moved on deed by deed."""

    def __init__(self, files: dict[str, bytes]) -> None:
        """Begin with files that are safe."""
        self._files = {name: _File(content, entered=True) for name, content in files.items()}

    def do(self, deed: Deed) -> None:
        """Move on by one deed."""
        match deed:
            case Wrote(name) | Truncated(name):
                self._files.setdefault(name, _File(b"", entered=False)).pending.append(deed)
            case Synced(name):
                self._files.setdefault(name, _File(b"", entered=False)).sync()
            case Deleted(name):
                self._files.pop(name, None)
            case Said():
                pass

    @property
    def unsafe(self) -> list[str]:
        """The files of which something isn't synced."""
        return [name for name, file in self._files.items() if file.pending]

    def after_loss_of_power(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files as they may be found; the next call may find them otherwise."""
        found = {}
        sector = chance.choice(SECTORS)
        how_much = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for name, file in self._files.items():
            if not file.entered and chance.random() < 0.5:
                continue
            content = bytearray(file.safe)
            for each in _survivors(file.pending, sector, how_much, chance):
                _apply(content, each)
            found[name] = bytes(content)
        return found


def _survivors(
    pending: Sequence[Change], sector: int, how_much: float, chance: random.Random
) -> list[Change]:
    """Choose which parts of what wasn't synced reached the disk, and in which order."""
    pieces = [piece for each in pending for piece in _torn(each, sector)]
    if chance.random() < 0.3:  # everything up to some instant, and nothing after it
        return pieces[: chance.randint(0, len(pieces))]
    kept = [each for each in pieces if chance.random() < how_much]
    if chance.random() < 0.5:
        chance.shuffle(kept)
    return kept


def _torn(change: Change, sector: int) -> Iterator[Change]:
    """Split a write where one sector ends and the next begins."""
    if isinstance(change, Truncated):
        yield change
        return
    at, end = change.offset, change.offset + len(change.data)
    while at < end:
        until = min(end, (at // sector + 1) * sector)
        piece = change.data[at - change.offset : until - change.offset]
        yield Wrote(change.name, at, piece)
        at = until


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Truncated):
        del content[change.size :]
        return
    end = change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[change.offset : end] = change.data
