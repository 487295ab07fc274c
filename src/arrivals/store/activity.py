"""The request log: what each account asked of the API, how it was answered and how fast.

It is telemetry: bounded, in tables of its own that aren't synced, and written at most once a
second from memory, so no request ever waits for it. Every request is counted; of the single
lines only so many a second are kept. No text, number or key is ever in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from arrivals.store.api import StoreError
from arrivals.store.statements import statements

T = TypeVar("T")

FLUSH_EVERY_S: Final = 1.0
LINES_WAITING_MAX: Final = 5_000  # single lines kept between two flushes, the newest
LINES_KEPT_MAX: Final = 200_000  # about 20 MB
HOURS_KEPT: Final = 90 * 24
FORGET_MAX: Final = LINES_WAITING_MAX + 1_000  # in one flush: what one can bring, and some more
ENDPOINTS_MAX: Final = 200

HOUR_US: Final = 3_600_000_000

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


class ActivityTables(Protocol):
    """Where the log is kept, used by one thread; each verb raises a StoreError."""

    dialect: str

    def open(self) -> None:
        """Open or create them."""

    def write(self, written: Sequence[tuple[str, tuple[Any, ...]]]) -> None:
        """Run statements in one transaction."""

    def rows(self, text: str, values: tuple[Any, ...]) -> list[Any]:
        """Return what a statement finds."""

    def close(self) -> None:
        """Close them; never raises."""


class ActivityLog:
    """Gather answers in memory and write them down beside everything else."""

    def __init__(self, tables: ActivityTables) -> None:
        self._tables = tables
        self._sql = statements("activity", tables.dialect)
        self._lines: deque[Answered] = deque(maxlen=LINES_WAITING_MAX)
        self._hours: dict[tuple[int, int, str, str], list[int]] = {}
        self._recorded = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "arrivals-activity")
        self._flusher: asyncio.Task[None] | None = None

    def record(self, answered: Answered) -> None:
        """Note one answer; costs about a microsecond and never fails."""
        account_id, at_us, method, endpoint, status, latency_us, _, _ = answered
        self._lines.append(answered)
        key = (account_id, at_us // HOUR_US, method, endpoint)
        counts = self._hours.get(key)
        if counts is None:
            counts = self._hours.setdefault(key, [0, 0, 0, 0])
            self._recorded.set()
        counts[0] += 1
        counts[1] += status >= 400
        if latency_us is not None:
            counts[2] += 1
            counts[3] += latency_us

    async def open(self) -> None:
        """Open or create the tables and write to them from now on; raises a StoreError."""
        await self._run(self._tables.open)
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
        clauses = " ".join(self._sql[f"only {name}"] for name in filters)
        values = (account_id, *filters.values())
        count = self._sql["log_count"].replace("{filters}", clauses)
        page = self._sql["log"].replace("{filters}", clauses)

        def read() -> tuple[int, list[LogLine]]:
            self._flush_here()
            [(lines,)] = self._tables.rows(count, values)
            rows = self._tables.rows(page, (*values, limit, skip))
            return lines, [LogLine(*row) for row in rows]

        return await self._run(read)

    # --- on the log's own thread ------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _rows(self, name: str, *values: Any) -> list[Any]:
        """Read what the caller did a moment ago too."""

        def read() -> list[Any]:
            self._flush_here()
            return self._tables.rows(self._sql[name], values)

        return await self._run(read)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._recorded.wait()
            await asyncio.sleep(FLUSH_EVERY_S)
            self._recorded.clear()
            await self._run(self._flush_here)

    def _flush_here(self) -> None:
        if not self._hours:
            return
        # The loop's thread goes on recording, into new ones.
        lines, self._lines = self._lines, deque(maxlen=LINES_WAITING_MAX)
        hours, self._hours = self._hours, {}
        # In one order everywhere, so that processes that share the tables wait in no circle.
        rows = sorted((*key, *counts) for key, counts in hours.items())
        newest_hour = max(hour for _, hour, _, _ in hours)
        sql = self._sql
        try:
            self._tables.write(
                [
                    (sql["insert_lines"], (_text(list(lines)),)),
                    (sql["add_hours"], (_text(rows),)),
                    (sql["forget_lines"], (LINES_KEPT_MAX, FORGET_MAX)),
                    (sql["forget_hours"], (newest_hour - HOURS_KEPT, FORGET_MAX)),
                ]
            )
        except StoreError as error:  # telemetry may be lost; requests may not
            _log.warning("request log not written: %s", error)

    def _close_here(self) -> None:
        self._flush_here()
        self._tables.close()


def _text(rows: list[Any]) -> str:
    return _encode(rows).decode()
