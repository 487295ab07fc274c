"""What really happened, apart from what is reported: the judge of every outcome.

Each submit_sm that came is a hand-off, and each accepted one has an ending, after which
somebody may act on it. Counters are for ever; single records are bounded, the oldest go
first. A truth file gets every record as one line of JSON, so that another process can count
hand-offs after it killed the sender. Texts are in neither, only their hashes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.world.fate import Ending

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from arrivals.world.fate import Answer
    from arrivals.world.people import ActKind
    from arrivals.world.submission import Submission

RECORDS_MAX: Final = 50_000  # of each kind, about 30 MB together
BUFFERED_MAX: Final = 1_000  # lines; a fuller buffer is written without waiting for its time


class Handoff(
    msgspec.Struct, frozen=True, kw_only=True, tag="handoff", tag_field="event", gc=False
):
    """A submit_sm that the world received."""

    at_us: int
    system_id: str
    destination: str
    part: int
    parts: int
    text_hash: str
    message_id: str | None  # as answered; none when it wasn't taken
    status: int
    answered: bool  # whether the answer was sent
    reference: int | None = None  # its user_message_reference


class Ended(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="ended",
    tag_field="event",
    gc=False,
    omit_defaults=True,
):
    """What became of an accepted submit_sm; `reached` is an arrival on a handset."""

    at_us: int
    system_id: str
    destination: str
    part: int
    parts: int
    text_hash: str
    message_id: str
    ending: Ending
    cause: str = ""  # why a carrier kept it
    reference: int | None = None  # its user_message_reference


class Acted(
    msgspec.Struct, frozen=True, kw_only=True, tag="acted", tag_field="event", gc=False
):
    """What somebody did about a message; only they know, until it's told as feedback."""

    at_us: int
    system_id: str
    source: str
    destination: str
    text_hash: str  # of its first part
    message_id: str  # as answered
    reference: int | None  # the message's user_message_reference
    kind: ActKind


def text_hash(octets: bytes) -> str:
    """Return the name under which the truth knows a part's text."""
    return blake2b(octets, digest_size=8).hexdigest()


class TruthLedger:
    """Record hand-offs and endings, in memory and, if asked, in a file."""

    def __init__(self, path: Path | None = None, records_max: int = RECORDS_MAX) -> None:
        """Open the file, if there's to be one, for appending."""
        self.counters: Counter[str] = Counter()
        self._handoffs: deque[Handoff] = deque(maxlen=records_max)
        self._endings: deque[Ended] = deque(maxlen=records_max)
        self._acts: deque[Acted] = deque(maxlen=records_max)
        self._file: BinaryIO | None = path.open("ab") if path else None
        self._lines: list[bytes] = []
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def handoffs(self) -> tuple[Handoff, ...]:
        """The latest hand-offs, oldest first."""
        return tuple(self._handoffs)

    @property
    def endings(self) -> tuple[Ended, ...]:
        """The latest endings, oldest first."""
        return tuple(self._endings)

    @property
    def arrivals(self) -> tuple[Ended, ...]:
        """The latest endings on a handset, oldest first."""
        return tuple(ended for ended in self._endings if ended.ending is Ending.REACHED)

    @property
    def acts(self) -> tuple[Acted, ...]:
        """The latest acts of users, oldest first."""
        return tuple(self._acts)

    def count(self, what: str) -> None:
        """Count something that has no record."""
        self.counters[what] += 1
        if self._waiting:
            self._wake()

    def handed_off(
        self,
        submission: Submission,
        answer: Answer,
        message_id: str | None,
        at_us: int,
        *,
        answered: bool,
    ) -> None:
        """Record a submit_sm, how it's being answered, and whether that can be read."""
        counters = self.counters
        counters["handoffs"] += 1
        if answer.status != c.ESME_ROK:
            counters["throttled" if answer.status == c.ESME_RTHROTTLED else "refused"] += 1
        elif not answered:
            counters["answers_lost"] += 1
        record = Handoff(
            at_us=at_us,
            system_id=submission.system_id,
            destination=submission.destination,
            part=submission.part,
            parts=submission.parts,
            text_hash=text_hash(submission.octets),
            message_id=message_id,
            status=answer.status,
            answered=answered,
            reference=submission.reference,
        )
        self._handoffs.append(record)
        self._keep(record)

    def ended(
        self,
        submission: Submission,
        ending: Ending,
        message_id: str,
        at_us: int,
        *,
        cause: str = "",
    ) -> None:
        """Record what became of an accepted submit_sm."""
        self.counters[ending] += 1
        record = Ended(
            at_us=at_us,
            system_id=submission.system_id,
            destination=submission.destination,
            part=submission.part,
            parts=submission.parts,
            text_hash=text_hash(submission.octets),
            message_id=message_id,
            ending=ending,
            cause=cause,
            reference=submission.reference,
        )
        self._endings.append(record)
        self._keep(record)

    def acted(
        self, submission: Submission, kind: ActKind, message_id: str, at_us: int
    ) -> Acted:
        """Record what somebody did about a message, and return the record."""
        self.counters[kind] += 1
        record = Acted(
            at_us=at_us,
            system_id=submission.system_id,
            source=submission.source,
            destination=submission.destination,
            text_hash=text_hash(submission.octets),
            message_id=message_id,
            reference=submission.reference,
            kind=kind,
        )
        self._acts.append(record)
        self._keep(record)
        return record

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is recorded or counted that makes a condition true."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (condition, future)
        self._waiting.append(waiting)
        try:
            await future
        finally:
            self._waiting.remove(waiting)

    @property
    def unwritten(self) -> bool:
        """Whether lines wait for `flush`."""
        return bool(self._lines)

    def flush(self) -> None:
        """Hand every line to the operating system."""
        if self._file is not None and self._lines:
            lines, self._lines = self._lines, []
            self._file.write(b"".join(lines))
            self._file.flush()
            self._wake()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self, record: Handoff | Ended | Acted) -> None:
        if self._file is not None:
            self._lines.append(self._encoder.encode(record) + b"\n")
            if len(self._lines) >= BUFFERED_MAX:
                self.flush()
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(None)
