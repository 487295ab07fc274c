"""Tell whoever waits that a message moved, or that a provider's queue has work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from weakref import WeakValueDictionary


class Changes:
    """Wake waiters after commits; nothing waits, nothing costs."""

    def __init__(self) -> None:
        # Weak: what nobody waits for any more is forgotten, changed or not.
        self._messages: WeakValueDictionary[int, asyncio.Event] = WeakValueDictionary()
        self._work: dict[str, asyncio.Event] = {}

    def publish(self, keys: Iterable[int]) -> None:
        """Wake everybody who waits for one of these messages."""
        if self._messages:
            for key in keys:
                event = self._messages.pop(key, None)
                if event is not None:
                    event.set()

    def on_message(self, key: int) -> asyncio.Event:
        """Return an event that is set at the message's next commit; take it before you look."""
        return self._messages.setdefault(key, asyncio.Event())

    def waited_for(self) -> list[int]:
        """Return the messages that somebody waits for."""
        return list(self._messages)

    def work_for(self, provider_id: str) -> asyncio.Event:
        """Return the event that is set when a provider's queue may have work."""
        return self._work.setdefault(provider_id, asyncio.Event())

    def queued(self, provider_id: str) -> None:
        """Note that a provider's queue may have work."""
        self.work_for(provider_id).set()
