"""Write moves down: each message one event ahead, its money settled, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from arrivals.core.catalogue import Catalogue
from arrivals.core.message import TRANSITIONS, Message, Move, advance, is_terminal, noted
from arrivals.flows.settle import Settlement
from arrivals.flows.tallies import ended
from arrivals.store.api import Transaction
from arrivals.store.rows import Event, Told

_ENDS = frozenset(step for step, state in TRANSITIONS.items() if is_terminal(state))


class Journal:
    """The messages that one step changes within a transaction.

    A step reads messages from here, so that two facts about one message in one batch
    build on each other.
    """

    def __init__(self, tx: Transaction, catalogue: Catalogue) -> None:
        self._tx = tx
        self.settlement = Settlement(tx, catalogue.accounts.get)
        self._messages: dict[int, Message] = {}
        self._changed: dict[int, Message] = {}
        self._events: list[Event] = []
        self.touched: set[int] = set()
        self.writes = (
            0  # how often messages were written: what was read before may be otherwise
        )

    def load(self, keys: Iterable[int]) -> None:
        """Read messages that aren't here yet."""
        missing = [key for key in keys if key not in self._messages]
        if missing:
            self._messages |= self._tx.load(missing)

    def add(self, messages: Iterable[Message]) -> None:
        """Take in messages that were read otherwise."""
        for message in messages:
            self._messages.setdefault(message.key, message)

    def get(self, key: int) -> Message | None:
        """Return the message as it stands now."""
        return self._messages.get(key)

    def move(
        self, message: Message, move: Move, actor: str, body: dict[str, Any], **changes: object
    ) -> Message:
        """Advance a message along the table; an end or a revision settles its money."""
        if (message.state, move) in _ENDS:
            changes |= {"rank": None, "wake_at_us": None}
        after = advance(message, move, self._tx.now_us, **changes)
        after = self.settlement.of(message, after)
        ended(self._tx, message, after)
        if after.resolution is not None and message.resolution is None:
            body["settlement"] = after.resolution
        self._write(message, after, move.value, actor, body)
        return after

    def note(
        self, message: Message, kind: str, actor: str, body: dict[str, Any], **changes: object
    ) -> Message:
        """Record a fact that moves nothing."""
        after = noted(message, self._tx.now_us, **changes)
        self._write(message, after, kind, actor, body)
        return after

    def flush(self) -> None:
        """Write what has gathered."""
        self.settlement.finish()
        if self._changed:
            self._tx.save(list(self._changed.values()), self._events)
            self.writes += 1
            self._changed, self._events = {}, []

    def told(self, key: int, kind: str) -> list[Told]:
        """Return what a message's events of one kind told, those of this step among them."""
        if key in self._changed:
            self.flush()
        return self._tx.told(key, kind)

    def _write(
        self, before: Message, after: Message, kind: str, actor: str, body: dict[str, Any]
    ) -> None:
        if after.key in self._changed:
            self.flush()
        self._messages[after.key] = self._changed[after.key] = after
        self.touched.add(after.key)
        self._events.append(
            Event(
                after.key,
                after.seq,
                after.changed_at_us,
                kind,
                before.state,
                after.state,
                actor,
                body,
            )
        )
