"""Look whether a SQLite file is whole: by SQLite's own check, and by reading every text.

SQLite keeps no sums of its pages. What its check sees is a page that can't be read, a tree out
of order, an index that disagrees with its table, a value that its column forbids. Junk within a
long text is seen by its letters. A letter that became another letter is seen by nobody.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

import apsw
import msgspec

TROUBLES_MAX: Final = 5  # told of one file
STEPS_BETWEEN_LOOKS: Final = 20_000  # of SQLite's machine: some milliseconds
# Without the one, no message's id can be read, and without the other no key is known.
SECRETS: Final = ("message_id_secret", "key_pepper")
_PAGE: Final = re.compile(r"\bpage (\d+)")

_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")

DAMAGED_FIX: Final = (
    "stop the server and keep the folder as it is, then restore the newest backup into an "
    "empty one: arrivals restore FILE --data DIR; what that lacks may be found with: "
    "sqlite3 arrivals.db .recover"
)


# A write that the system refused; the database says FULL by itself only for ENOSPC, and not
# for a quota or a limit on the size of files.
WRITES_REFUSED: Final = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_FSYNC,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_SHMSIZE,
    }
)


def is_out_of_room(error: apsw.Error) -> bool:
    """Tell whether a write failed for want of room."""
    code = getattr(error, "extendedresult", None)  # apsw's own errors have none
    return isinstance(error, apsw.FullError) or code in WRITES_REFUSED


_OF_ROWS: Final = ("CHECK constraint failed", "NULL value in", "NUMERIC value", "TEXT value")


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a file found."""

    troubles: tuple[str, ...]  # in words; none: nothing is damaged as far as this looked
    finished: bool  # whether all was looked at

    @property
    def words(self) -> str:
        """The troubles as one part of a sentence."""
        return "; ".join(self.troubles)

    @property
    def in_rows_only(self) -> bool:
        """Whether all can be read, and some row holds what its table forbids."""
        return all(each.startswith(_OF_ROWS) for each in self.troubles)

    @property
    def fix(self) -> str:
        """What to do about them."""
        return DAMAGED_FIX


def look_at(
    connection: apsw.Connection, *, quick: bool = False, seconds: float | None = None
) -> Looked:
    """Look at every page, index and text of a database, for so long at most.

    It reads the whole file once and each index twice: one to three seconds for 100 MB. A
    `quick` look leaves out what indexes and texts hold, and takes half of that or less.
    """
    until = None if seconds is None else time.monotonic() + seconds
    troubles: list[str] = []
    connection.set_progress_handler(
        None if until is None else lambda: time.monotonic() >= until, STEPS_BETWEEN_LOOKS
    )
    try:
        troubles += _said_by_sqlite(connection, quick=quick)
        if not quick and not troubles:
            troubles += _unreadable(connection, until)
            troubles += _secrets_missing(connection)
    except apsw.InterruptError:
        return Looked(troubles=_told(troubles), finished=False)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
        troubles.append(str(error).partition(": ")[2] or str(error))
    finally:
        connection.set_progress_handler(None)
    return Looked(troubles=_told(troubles), finished=True)


def _told(troubles: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(troubles))[:TROUBLES_MAX]


def _said_by_sqlite(connection: apsw.Connection, *, quick: bool) -> Iterator[str]:
    check = "quick_check" if quick else "integrity_check"
    for (said,) in connection.execute(f"PRAGMA {check}({TROUBLES_MAX})"):
        for line in str(said).splitlines():
            if line != "ok" and not line.startswith("*** in database"):
                yield _in_words(line)


def _in_words(line: str) -> str:
    page = _PAGE.search(line)
    return f"page {page[1]} is damaged ({line})" if page else line


def _unreadable(connection: apsw.Connection, until: float | None) -> Iterator[str]:
    """Yield the tables with a text that is none: read by eye, letter by letter, as UTF-8."""
    tables = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    for (table,) in tables:
        names = [
            str(row[1])
            for row in connection.execute(f"PRAGMA table_info({table})")
            if str(row[2]).upper() == "TEXT"
        ]
        if not names:
            continue
        text = f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608 - the file's own names
        try:
            for n, _ in enumerate(connection.execute(text)):
                if until is not None and n % 1_000 == 0 and time.monotonic() >= until:
                    raise apsw.InterruptError("the time is up")
        except UnicodeDecodeError:
            yield f"a text in the table {table} is damaged"


def _secrets_missing(connection: apsw.Connection) -> Iterator[str]:
    """Yield the installation's own secrets that an installation in use hasn't got."""
    ours = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'orders')"
    if (
        connection.execute(ours).get != 2
        or not connection.execute("SELECT EXISTS (SELECT 1 FROM orders)").get
    ):
        return
    for name in SECRETS:
        found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).get
        if not isinstance(found, str) or not _HEX.fullmatch(found):
            yield f"the installation's own {name.replace('_', ' ')} is lost"
