"""A provider under the test's control, and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from arrivals.core.ids import handoff_reference
from arrivals.providers.api import (
    Answer,
    NotBound,
    NotSent,
    PartHeld,
    Receipt,
    Refused,
    Result,
    Sink,
    Submission,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.smpp.receipts import normal_form

SECOND_US = 1_000_000
BEGIN_US = 1_700_000_000_000_000


class SetClock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.us = BEGIN_US

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return (self.us - BEGIN_US) / 1e6

    def tick(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


class ScriptedConnection:
    """Takes what it is given, and answers when the test says so."""

    def __init__(self, provider_id: str, room: int = 10) -> None:
        self.provider_id = provider_id
        self.up = True
        self.room = room
        self.is_broken = False
        self.held_for_s = 0.0
        self.window, self.window_used = room, 0
        self.lacks = self.refusal = ""
        self.taken: list[Submission] = []
        self.acknowledged: list[object] = []
        self.stopped = False
        self.sink: Sink | None = None
        self.arrived = asyncio.Event()  # something was handed over
        self._changed = asyncio.Event()

    def capacity(self) -> int:
        return self.room if self.up else 0

    async def ready(self) -> None:
        while not self.capacity():
            self._changed.clear()
            await self._changed.wait()

    def set(self, *, up: bool = True, room: int = 10) -> None:
        self.up, self.room = up, room
        self._changed.set()

    def submit(self, batch: Sequence[Submission]) -> None:
        self.taken.extend(batch)
        self.arrived.set()

    def acknowledge(self, tokens: Sequence[object]) -> None:
        self.acknowledged.extend(tokens)

    async def start(self, sink: Sink) -> None:
        self.sink = sink

    async def stop(self) -> None:
        self.stopped = True


def answer(
    submission: Submission, result: Result, provider_id: str, *, late: bool = False
) -> Answer:
    return Answer(
        provider_id=provider_id,
        key=submission.key,
        attempt=submission.attempt,
        epoch=submission.epoch,
        result=result,
        late=late,
    )


def _named(ids: Sequence[str]) -> tuple[tuple[int, str, str], ...]:
    """Read ids as a story writes them by part: `3=A3`; without a number, in order."""
    found = [each.rpartition("=") for each in ids]
    return tuple(
        (int(part or number), normal_form(raw), raw)
        for number, (part, _, raw) in enumerate(found, 1)
    )


_PLAIN: dict[str, Result] = {
    "unanswered": Unanswered("no answer came"),
    "throttled": Throttled(0x58),
    "slowed": Throttled(0x58, whole_bind=True),
    "full": Throttled(0x14),
    "refused_form": Refused(0x62, "provider_dialect", retryable=False, elsewhere=True),
    "not_bound": NotBound(0x04),
    "not_sent": NotSent("the connection was lost"),
}


def result_of(word: str, ids: Sequence[str]) -> Result:
    """Read a result as a story writes it: `taken A1`, `refused no_route`, `partly A1`, …

    Of parts: `part_held 30 2 1=A1` is tried again until half a minute into the story;
    `part_refused no_route 2 1=A1`; `part_stopped 2 58 1=A1` was put off with that status.
    """
    match word:
        case "taken":
            return Taken(_named(ids))
        case "partly":
            return Unanswered("a part was refused", _named(ids))
        case "part_held":
            until_us = BEGIN_US + int(ids[0]) * SECOND_US
            return PartHeld(int(ids[1]), 0x58, until_us, _named(ids[2:]))
        case "part_refused":
            parts = _named(ids[2:])
            return Refused(0x45, ids[0], False, False, int(ids[1]), parts)
        case "part_stopped":
            status, parts = int(ids[1], 16), _named(ids[2:])
            reason, cause = "stopped_halfway", "the platform is stopping"
            return Refused(status, reason, False, False, int(ids[0]), parts, cause)
        case "refused":
            return Refused(0x0B, ids[0], retryable=False, elsewhere=False)
        case "refused_here":
            return Refused(0x0B, ids[0], retryable=False, elsewhere=True)
        case "refused_now":
            return Refused(0x08, ids[0], retryable=True, elsewhere=False)
    return _PLAIN[word]


def receipt(
    provider_id: str,
    external_id: str | None,
    word: str,
    msisdn: str,
    *,
    error: str = "000",
    reference: int | None = None,
    done: str = "",
) -> Receipt:
    return Receipt(
        provider_id=provider_id,
        external_id=normal_form(external_id) if external_id else None,
        names=(external_id,) if external_id else (),
        word=word,
        error=error,
        msisdn=msisdn,
        reference=reference,
        fingerprint=repr((external_id, word, error, msisdn, reference, done)),
        raw="00",
    )


def reference_of(submission: Submission) -> int:
    return handoff_reference(submission.key, submission.attempt)


def told(key: int, result: Result) -> Answer:
    """Return north's answer to a message."""
    return answer(sent(key), result, "north")


def sent(key: int, msisdn: str = "") -> Submission:
    """Return a message as it is handed over."""
    return Submission(
        key=key,
        attempt=1,
        epoch=1,
        sender="ARRIVALS",
        msisdn=msisdn or f"3161{key:07d}",
        text="hello",
        segments=1,
        reference=1,
        expires_at_us=0,
    )
