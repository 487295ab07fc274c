"""Prove the invariants again and again while the process serves, and say what doesn't hold.

It reads on a thread and a connection of its own, in short transactions and for no more than
half of the time, so neither the sweep nor a writer waits for it. Where several processes share
a database, whoever comes first when a run is due does it for all.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from arrivals.flows.platform import Platform
from arrivals.store.api import StoreError
from arrivals.store.verifying import Verdict, verify_in_turn

VERIFY_EVERY_S: Final = 60.0
FIRST_AFTER_S: Final = 5.0  # what came due while nobody served is done by then

_log = logging.getLogger("arrivals.verify")


class Stopped(Exception):
    """The process stops, and the run with it."""


class Verifier:
    """The proofs of one process; the store keeps the newest for all to see."""

    def __init__(
        self,
        platform: Platform,
        place: str | Path,
        every_s: float = VERIFY_EVERY_S,
        *,
        first_after_s: float = FIRST_AFTER_S,
        begin_thread: Callable[[], None] | None = None,
    ) -> None:
        """Verify the installation at `place`; `begin_thread` is called on the thread first."""
        self._platform = platform
        self._place = place
        self._every_s = every_s
        self._first_after_s = min(first_after_s, every_s)
        self._begin_thread = begin_thread
        self._stopping = threading.Event()
        self._broken: dict[str, int] = {}  # as it was last said

    async def run(self) -> None:
        """Verify until cancelled."""
        threads = ThreadPoolExecutor(1, "arrivals-verify", self._begin_thread)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._first_after_s)
            while True:
                try:
                    await loop.run_in_executor(threads, self._once)
                except StoreError as error:
                    _log.warning("it couldn't be verified: %s", error)
                except Exception as error:  # noqa: BLE001 - a proof must not end what it proves
                    # So damaged that a check can't read it, or a mistake in a check: serve on.
                    _log.error("it couldn't be verified: %s", type(error).__name__)
                await asyncio.sleep(self._every_s)
        finally:
            self._stopping.set()
            threads.shutdown(wait=False, cancel_futures=True)

    def _once(self) -> None:
        clock = self._platform.clock
        verdict = verify_in_turn(self._place, clock, self._every_s, self._pause)
        if verdict is not None:
            self._say(verdict)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped

    def _say(self, verdict: Verdict) -> None:
        """Log what is broken when it is found, and when it holds again."""
        broken = {each.sentence: each.count for each in verdict.findings if each.count}
        for finding in verdict.findings:
            before = self._broken.get(finding.sentence, 0)
            if finding.count > before:
                _log.error(
                    "invariant %d is broken %d times: %s (%s)",
                    finding.invariant,
                    finding.count,
                    finding.sentence,
                    ", ".join(finding.samples),
                )
            elif before and not finding.count:
                _log.warning("invariant %d holds: %s", finding.invariant, finding.sentence)
        self._broken = broken
