"""The texts that reached handsets, put together from their parts: a phone to look at."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.world.submission import decode_text

if TYPE_CHECKING:
    from arrivals.world.submission import Submission

TEXTS_MAX: Final = 1_000
UNFINISHED_MAX: Final = 1_000  # long messages of which parts are missing

_Key = tuple[str, str, int, int]


class InboxText(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text on a handset."""

    number: str
    sender: str
    text: str
    parts: int
    at_us: int  # when its last part arrived


class Inbox:
    """Keep the latest texts, in memory only."""

    def __init__(self) -> None:
        self._texts: deque[InboxText] = deque(maxlen=TEXTS_MAX)
        self._unfinished: dict[_Key, dict[int, bytes]] = {}
        self._waiting: list[tuple[str, asyncio.Future[InboxText]]] = []

    def texts(self, number: str | None = None) -> tuple[InboxText, ...]:
        """Return the latest texts, of one number or of all, oldest first."""
        return tuple(text for text in self._texts if number in (None, text.number))

    def arrived(self, submission: Submission, at_us: int, shown_sender: str = "") -> None:
        """Take a part that reached its handset; a carrier may have replaced its sender."""
        octets: bytes | None = submission.octets
        if submission.parts > 1:
            octets = self._join(submission)
        if octets is None:
            return
        text = InboxText(
            number=submission.destination,
            sender=shown_sender or submission.source,
            text=decode_text(octets, submission.data_coding, submission.alphabet),
            parts=submission.parts,
            at_us=at_us,
        )
        self._texts.append(text)
        for number, future in self._waiting:
            if number == text.number and not future.done():
                future.set_result(text)

    async def next_text(self, number: str) -> InboxText:
        """Wait for the next text that reaches a number."""
        future: asyncio.Future[InboxText] = asyncio.get_running_loop().create_future()
        waiting = (number, future)
        self._waiting.append(waiting)
        try:
            return await future
        finally:
            self._waiting.remove(waiting)

    def _join(self, submission: Submission) -> bytes | None:
        """Return the octets of a long message once all its parts are there."""
        key = (
            submission.source,
            submission.destination,
            submission.concatenation,
            submission.parts,
        )
        parts = self._unfinished.setdefault(key, {})
        parts[submission.part] = submission.octets
        if len(parts) < submission.parts:
            if len(self._unfinished) > UNFINISHED_MAX:
                del self._unfinished[next(iter(self._unfinished))]
            return None
        del self._unfinished[key]
        return b"".join(parts[number] for number in sorted(parts))
