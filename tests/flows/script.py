"""A provider under the test's control, and a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from arrivals.core.ids import handoff_reference
from arrivals.providers.api import (
    Answer,
    NotSent,
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


def result_of(word: str, ids: Sequence[str]) -> Result:
    """Read a result as a story writes it: `taken A1`, `refused no_route`, `partly A1`, …"""
    parts = tuple((part, normal_form(raw), raw) for part, raw in enumerate(ids, 1))
    match word:
        case "taken":
            return Taken(parts)
        case "partly":
            return Unanswered("a part was refused", parts)
        case "unanswered":
            return Unanswered("no answer came")
        case "throttled":
            return Throttled(0x58)
        case "not_sent":
            return NotSent("the connection was lost")
        case "refused":
            return Refused(0x0B, ids[0], retryable=False, elsewhere=False)
        case "refused_here":
            return Refused(0x0B, ids[0], retryable=False, elsewhere=True)
        case "refused_now":
            return Refused(0x08, ids[0], retryable=True, elsewhere=False)
    raise AssertionError(f"no result is called {word!r}")


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
