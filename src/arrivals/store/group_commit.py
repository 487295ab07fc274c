"""One writer for all: whatever waits is committed together, and one sync serves every stage.

    loop thread                          writer thread
    write(step, item) ── pending ──┐
    write(step, item) ── pending ──┴──▶  begin, run steps in order, commit
                       ◀── results, each told apart from the others

The thread is one that the loop runs work on, so a loop without threads has a writer too.

While a transaction runs, the next one's items gather; so the batch grows with the load and
costs an idle system nothing. A transaction that fails is rolled back and run again in
halves, down to the one item that fails; one that fails for want of a database fails as a whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

from arrivals.store.api import (
    Item,
    Result,
    Step,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    Transaction,
)

# A transaction of this many items takes some tens of milliseconds; more would only make
# codes wait behind bulk.
ITEMS_MAX: Final = 2_000

# An item of more rows than this is heavy: a transaction takes all that is light before it, and
# of the heavy ones as many as hold about so many rows together, but one at least. So a code
# waits for a few tens of milliseconds of somebody's bulk, and bulk is never stopped by codes.
LIGHT_ROWS_MAX: Final = 50
HEAVY_ROWS_MAX: Final = 2_000

# Loop turns to let requests of the same moment join: measured, three turns triple the batch.
LINGER_TURNS: Final = 3

# How often a transaction runs that other processes got in the way of.
RUNS_MAX: Final = 20

# No item's fault, and no smaller transaction would do better.
OUTAGES: Final = (StoreFull, StoreUnavailable, StoreDamaged)

_log = logging.getLogger("arrivals.store")


class Backend(Protocol):
    """What a database offers to its writer thread; called from that thread only."""

    def begin(self) -> Transaction:
        """Begin the transaction that every step of this commit shares."""

    def commit(self) -> None:
        """Make it durable; when this returns, it is."""

    def rollback(self) -> None:
        """Undo it; never raises, whatever state the transaction is in."""

    def mend(self, error: BaseException) -> bool:
        """Put right what another process was in the way of; True if it is worth a new run.

        Called after a rollback; may wait, and never raises.
        """

    def named(self, error: BaseException) -> BaseException:
        """Turn the database's word for trouble into the contract's, where it has one."""

    def close(self) -> None:
        """Give the connection back."""


class _Waiting:
    """An item that waits for its commit."""

    __slots__ = ("error", "future", "item", "result", "step")

    def __init__(self, step: Step[Any, Any], item: Any, future: asyncio.Future[Any]) -> None:
        self.step = step
        self.item = item
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def tell(self) -> None:
        """Answer the caller; what it got is durable."""
        if self.future.done():  # its caller was cancelled; the commit stands all the same
            if self.error is not None:
                why = type(self.error).__name__
                _log.warning("step %s failed unheard: %s", self.step.name, why)
        elif self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, StopIteration):  # a future can't carry this one
            self.future.set_exception(RuntimeError("the step raised StopIteration"))
        else:
            self.future.set_exception(self.error)


class GroupCommit:
    """Gather items on the loop, commit them together on a thread of its own."""

    def __init__(self, open_backend: Callable[[], Backend]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open_backend = open_backend
        self._pending: list[_Waiting] = []
        self._heavy: deque[tuple[int, _Waiting]] = deque()  # with their numbers of rows
        self._busy = False
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(1, "arrivals-writer")
        self._backend: Backend | None = None
        self.commits = 0
        self.items = 0
        self.totals: dict[tuple[str, ...], int] = {}

    async def start(self) -> None:
        """Open the database on the writer's thread; raises what opening raised."""
        opening = self._loop.run_in_executor(self._thread, self._open_backend)
        try:
            self._backend = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    async def write(self, step: Step[Item, Result], item: Item) -> Result:
        """Run a step for one item in the next transaction; return after its commit."""
        if self._closing:
            raise StoreUnavailable("the store is closing")
        future: asyncio.Future[Result] = self._loop.create_future()
        waiting = _Waiting(step, item, future)
        if step.rows is not None and (rows := step.rows(item)) > LIGHT_ROWS_MAX:
            self._heavy.append((rows, waiting))
        else:
            self._pending.append(waiting)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._linger, LINGER_TURNS)
        return await future

    async def close(self) -> None:
        """Commit what was submitted, then end the thread."""
        self._closing = True
        await self._idle.wait()
        if self._backend is not None:
            await self._loop.run_in_executor(self._thread, self._backend.close)
        self._thread.shutdown()

    def _linger(self, turns: int) -> None:
        if turns:
            self._loop.call_soon(self._linger, turns - 1)
            return
        batch, self._pending = self._pending[:ITEMS_MAX], self._pending[ITEMS_MAX:]
        room = HEAVY_ROWS_MAX
        while self._heavy and room > 0:
            rows, waiting = self._heavy.popleft()
            room -= rows
            batch.append(waiting)
        committed = self._loop.run_in_executor(self._thread, self._commit, batch)
        committed.add_done_callback(lambda _: self._ended(batch))

    def _ended(self, batch: list[_Waiting]) -> None:
        """Tell each waiter, and start the next transaction; runs on the loop."""
        for each in batch:
            each.tell()
        if self._pending or self._heavy:
            self._linger(0)
        else:
            self._busy = False
            self._idle.set()

    def _commit(self, batch: list[_Waiting]) -> None:
        """Commit a batch, in halves where it fails, so that poison fails alone."""
        if self._backend is None:
            raise AssertionError("nothing was opened")
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            error = _attempt(self._backend, part, self.totals)
            if error is None:
                self.commits += 1
                self.items += len(part)
            elif isinstance(error, OUTAGES):
                for each in (each for left in (part, *waiting) for each in left):
                    each.error = error
                return
            elif len(part) == 1:
                part[0].error = error
            else:
                half = len(part) // 2
                waiting += (part[half:], part[:half])


def _close_unwanted(opening: asyncio.Future[Backend]) -> None:
    """Close a database that was opened for somebody who is gone."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _attempt(
    backend: Backend, batch: Sequence[_Waiting], totals: dict[tuple[str, ...], int]
) -> BaseException | None:
    """Run a batch in one transaction and count what it did; return why it failed, if it did."""
    for run in range(RUNS_MAX):
        try:
            tx = backend.begin()
            run_steps(tx, batch)
            backend.commit()
        except BaseException as error:  # noqa: BLE001 - every batch must end, and its callers hear how
            backend.rollback()
            if run + 1 < RUNS_MAX and backend.mend(error):
                continue
            return backend.named(error)
        for what, count in tx.tallies.items():
            totals[what] = totals.get(what, 0) + count
        return None
    raise AssertionError("the last run returns")


def run_steps(tx: Transaction, batch: Sequence[_Waiting]) -> None:
    """Run every step of a batch once over its items, in the steps' order."""
    by_step: dict[Step[Any, Any], list[_Waiting]] = {}
    for each in batch:
        by_step.setdefault(each.step, []).append(each)
    for step, group in sorted(by_step.items(), key=lambda pair: pair[0].order):
        results = step.run(tx, [each.item for each in group])
        if len(results) != len(group):
            raise AssertionError(f"step {step.name} must answer every item")
        for each, result in zip(group, results, strict=True):
            each.result = result
