"""When each key was used last: noted in memory, and written beside requests, never in one.

A write a minute and key is enough to see which keys nobody needs any more. The first use that a
process sees is written at once, so that a key that was used shows it soon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from arrivals.store.api import Step, StoreError, Transaction

if TYPE_CHECKING:
    from arrivals.store.api import Store

USED_EVERY_US: Final = 60_000_000  # of one key, between two writes
GATHERED_S: Final = 1.0  # keys that are used within it are written together
USED_ORDER: Final = 99  # behind everything else of the same transaction
KEY_USED: Final = "key_used:{key_id}"  # a setting: microseconds since 1970

_log = logging.getLogger("arrivals.uses")


class Uses:
    """The uses of one process; as many entries as there are keys."""

    def __init__(self) -> None:
        self._noted: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._anything = asyncio.Event()

    def note(self, key_id: str, now_us: int) -> None:
        """Note that a key was used, unless it was within the minute before."""
        if now_us - self._noted.get(key_id, -USED_EVERY_US) < USED_EVERY_US:
            return
        self._noted[key_id] = self._waiting[key_id] = now_us
        self._anything.set()

    async def run(self, store: Store) -> None:
        """Write what was noted, until cancelled; what can't be written is tried again."""
        while True:
            await self._anything.wait()
            await asyncio.sleep(GATHERED_S)
            self._anything.clear()
            waiting, self._waiting = self._waiting, {}
            try:
                await store.write(_USED, waiting)
            except StoreError as error:
                _log.warning("when keys were used isn't written: %s", error)
                self._waiting = waiting | self._waiting
                await asyncio.sleep(USED_EVERY_US / 1e6)
                self._anything.set()


def last_uses(tx: Transaction, key_ids: Sequence[str]) -> dict[str, int]:
    """Return when these keys were used last, to the minute; one that never was is left out."""
    found = ((each, tx.setting(KEY_USED.format(key_id=each))) for each in key_ids)
    return {key_id: int(text) for key_id, text in found if text is not None}


def _used(tx: Transaction, items: Sequence[Mapping[str, int]]) -> list[None]:
    # In one order everywhere, so that processes that share the rows wait in no circle.
    for key_id, at_us in sorted(pair for each in items for pair in each.items()):
        tx.set_setting(KEY_USED.format(key_id=key_id), str(at_us))
    return [None for _ in items]


_USED: Final[Step[Mapping[str, int], None]] = Step("key_used", USED_ORDER, _used)
