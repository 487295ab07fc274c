"""The request log: what each account asked of the API, how it was answered and how fast.

It is telemetry: bounded, in a file of its own that isn't synced, and written at most once a
second from memory, so no request ever waits for it. Every request is counted; of the single
lines only so many a second are kept. No text, number or key is ever in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import apsw
import msgspec

from arrivals.store.sqlite import one_opener
from arrivals.store.statements import statements

T = TypeVar("T")

FILE_NAME: Final = "activity.db"
FLUSH_EVERY_S: Final = 1.0
LINES_WAITING_MAX: Final = 5_000  # single lines kept between two flushes, the newest
LINES_KEPT_MAX: Final = 200_000  # about 20 MB
HOURS_KEPT: Final = 90 * 24
ENDPOINTS_MAX: Final = 200
BUSY_TIMEOUT_MS: Final = 2_000

HOUR_US: Final = 3_600_000_000

_SQL: Final = statements("activity")
_log = logging.getLogger("arrivals.activity")
_encode: Final = msgspec.json.Encoder().encode


class Answered(NamedTuple):
    """One request that was answered."""

    account_id: int
    at_us: int
    method: str
    endpoint: str  # the path's template, which holds no ids
    status: int
    latency_us: int | None  # None: it was held open because it was asked to
    ip: str | None
    route_id: int | None


class LogLine(NamedTuple):
    """One line of an account's request log."""

    line_id: int
    at_us: int
    method: str
    endpoint: str
    status: int
    latency_us: int | None
    ip: str | None
    route_id: str | None


class Tally(NamedTuple):
    """Requests added up."""

    requests: int
    errors: int
    timed: int
    latency_us: int

    @property
    def average_ms(self) -> int:
        """The mean latency in whole milliseconds; 0 where nothing was timed."""
        return self.latency_us // self.timed // 1_000 if self.timed else 0


class Totals(NamedTuple):
    """An account's requests since the log began, and of late."""

    all: Tally
    requests_today: int
    errors_of_a_day: int


class ActivityLog:
    """Gather answers in memory and write them down beside everything else."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lines: deque[Answered] = deque(maxlen=LINES_WAITING_MAX)
        self._hours: dict[tuple[int, int, str, str], list[int]] = {}
        self._thread = ThreadPoolExecutor(1, "arrivals-activity")
        self._connection: apsw.Connection | None = None
        self._flusher: asyncio.Task[None] | None = None

    def record(self, answered: Answered) -> None:
        """Note one answer; costs about a microsecond and never fails."""
        account_id, at_us, method, endpoint, status, latency_us, _, _ = answered
        self._lines.append(answered)
        key = (account_id, at_us // HOUR_US, method, endpoint)
        counts = self._hours.get(key)
        if counts is None:
            counts = self._hours.setdefault(key, [0, 0, 0, 0])
        counts[0] += 1
        counts[1] += status >= 400
        if latency_us is not None:
            counts[2] += 1
            counts[3] += latency_us

    async def open(self) -> None:
        """Open or create the file and write to it from now on."""
        await self._run(self._open_here)
        self._flusher = asyncio.create_task(self._flush_for_ever(), name="activity")

    async def close(self) -> None:
        """Write what has gathered, then close; a second time does nothing."""
        if self._flusher is None:
            return
        self._flusher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flusher
        self._flusher = None
        await self._run(self._close_here)
        self._thread.shutdown(wait=True)

    async def totals(self, account_id: int, now_us: int) -> Totals:
        """Return an account's sums, today's (UTC) and those of the last 24 hours."""
        hour = now_us // HOUR_US
        *sums, today, errors = (
            await self._rows("totals", hour - hour % 24, hour - 23, account_id)
        )[0]
        return Totals(Tally(*sums), today, errors)

    async def days(self, account_id: int, now_us: int, days: int) -> dict[int, Tally]:
        """Return the sums of the last days that had requests, by day since 1970."""
        first = (now_us // HOUR_US // 24 - days + 1) * 24
        return {day: Tally(*sums) for day, *sums in await self._rows("days", account_id, first)}

    async def endpoints(self, account_id: int) -> list[tuple[str, str, Tally]]:
        """Return the sums by (endpoint, method), the busiest first."""
        rows = await self._rows("endpoints", account_id, ENDPOINTS_MAX)
        return [(endpoint, method, Tally(*sums)) for endpoint, method, *sums in rows]

    async def log(
        self, account_id: int, filters: Mapping[str, str | int], limit: int, skip: int
    ) -> tuple[int, list[LogLine]]:
        """Return how many lines fit the filters, and a page of them, newest first.

        Filters are endpoint, method, status and route_id.
        """
        clauses = " ".join(_SQL[f"only {name}"] for name in filters)
        values = (account_id, *filters.values())

        def read(connection: apsw.Connection) -> tuple[int, list[LogLine]]:
            count = connection.execute(
                _SQL["log_count"].replace("{filters}", clauses), values
            ).get
            page = connection.execute(
                _SQL["log"].replace("{filters}", clauses), (*values, limit, skip)
            )
            return count, [LogLine(*row) for row in page]

        return await self._run(lambda: self._after_flush(read))

    # --- on the log's own thread ------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _rows(self, name: str, *values: Any) -> list[tuple[Any, ...]]:
        def read(connection: apsw.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(_SQL[name], values).fetchall()

        return await self._run(lambda: self._after_flush(read))

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            if self._hours:
                await self._run(self._flush_here)

    def _after_flush(self, read: Callable[[apsw.Connection], T]) -> T:
        """Read what the caller did a moment ago too."""
        self._flush_here()
        if self._connection is None:
            raise AssertionError("the request log isn't open")
        return read(self._connection)

    def _open_here(self) -> None:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        self._path.chmod(0o600)
        with one_opener(self._path.parent):
            for pragma in ("journal_mode = WAL", "synchronous = OFF"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            connection.execute(_SQL["schema"]).fetchall()
        self._connection = connection

    def _flush_here(self) -> None:
        connection = self._connection
        if connection is None or not self._hours:
            return
        # The loop's thread goes on recording, into new ones.
        lines, self._lines = self._lines, deque(maxlen=LINES_WAITING_MAX)
        hours, self._hours = self._hours, {}
        rows = [(*key, *counts) for key, counts in hours.items()]
        newest_hour = max(hour for _, hour, _, _ in hours)
        try:
            with connection:
                connection.execute(_SQL["insert_requests"], (_text(list(lines)),)).fetchall()
                connection.execute(_SQL["add_hours"], (_text(rows),)).fetchall()
                connection.execute(_SQL["forget_requests"], (LINES_KEPT_MAX,)).fetchall()
                connection.execute(_SQL["forget_hours"], (newest_hour - HOURS_KEPT,)).fetchall()
        except apsw.Error as error:  # telemetry may be lost; requests may not
            _log.warning("request log not written: %s", type(error).__name__)

    def _close_here(self) -> None:
        self._flush_here()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _text(rows: list[Any]) -> str:
    return _encode(rows).decode()
