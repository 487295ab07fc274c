"""Seal a backup: one sum over all its octets, so that any that changes later is noticed.

The seal is a line after the last page, where SQLite doesn't look. A number in the file's head
says that there must be one: a file that lost its end isn't taken for one that never had it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import BinaryIO, Final

import apsw

from arrivals.store.api import StoreDamaged

MARK: Final = 0x41525256  # SQLite's application_id of a backup; a data folder's has 0
_MARK_AT: Final = 68  # in the head of every SQLite file
_PREFIX: Final = b"\narrivals backup, blake2b-256 "
_LINE: Final = re.compile(re.escape(_PREFIX) + rb"([0-9a-f]{64})\n")
_LINE_OCTETS: Final = len(_PREFIX) + 65
_READ_OCTETS: Final = 1 << 20


def mark(connection: apsw.Connection) -> None:
    """Write into a copy that it will be sealed."""
    connection.execute(f"PRAGMA application_id = {MARK}").fetchall()


def unmark(connection: apsw.Connection) -> None:
    """Make a copy of a backup an ordinary database again."""
    connection.execute("PRAGMA application_id = 0").fetchall()


def seal(path: Path) -> None:
    """Add the sum to a file that is finished; the caller syncs it."""
    with path.open("rb+") as file:
        found = _sum(file, path.stat().st_size)
        file.write(_PREFIX + found.encode() + b"\n")


def check_seal(path: Path) -> None:
    """Raise StoreDamaged if a sealed file isn't what was sealed.

    Backups of earlier versions have no seal, and pass.
    """
    octets = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_MARK_AT + 4)
        file.seek(max(0, octets - _LINE_OCTETS))
        line = _LINE.fullmatch(file.read())
        marked = head[_MARK_AT:] == MARK.to_bytes(4, "big")
        if line is None and not marked:
            return
        file.seek(0)
        if line is None or _sum(file, octets - _LINE_OCTETS).encode() != line[1]:
            raise StoreDamaged(
                f"{path} isn't what was written: it was damaged, changed or cut off since",
                "take another copy of it, or an older backup",
            )


def _sum(file: BinaryIO, octets: int) -> str:
    found = hashlib.blake2b(digest_size=32)
    while octets and (read := file.read(min(octets, _READ_OCTETS))):
        found.update(read)
        octets -= len(read)
    return found.hexdigest()
