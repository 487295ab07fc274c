"""Commit a long stream of recipients in chunks, each line with a verdict of its own.

A stream is named by its idempotency key. Its progress is a row: how many lines are decided,
what came of them, and a SHA-256 over them. Each chunk is one order, and the progress moves
on in the very transaction that commits it, so a crash anywhere leaves a prefix decided and
nothing half done. The same stream sent again skips that prefix, if its hash agrees, and goes
on behind it.

    lines ──▶ hash, decode ──▶ plan (loop thread) ──▶ chunk step (writer thread)
                    the next chunk is planned while up to IN_FLIGHT_MAX commit

Chunks commit in order: a chunk is refused unless it begins where the row says the stream
stands. So neither an accident in flight nor a twin of the same stream can decide a line twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.errors import Code, Refusal, refuse
from arrivals.core.fairness import FairRanks
from arrivals.flows.accept import ACCEPT_ORDER, Accepted, Request, accept_step
from arrivals.flows.plan import Recipient, SendRequest, too_late
from arrivals.flows.platform import Platform
from arrivals.flows.repeats import Repeats
from arrivals.store.api import Step, StoreFull, StoreUnavailable, Transaction
from arrivals.store.rows import Batch

CHUNK_LINES: Final = 1_000  # tens of milliseconds of the writer; codes must not wait longer
# A thousand lines with a text of two segments each; with longer ones a chunk has fewer lines.
CHUNK_OCTETS_MAX: Final = 512 * 1024
# Of the loop, between two looks at everybody else; a stretch ends with the line at hand.
STRETCH_S: Final = 0.005
IN_FLIGHT_MAX: Final = 2  # chunks being committed while the next is planned
RECIPIENTS_MAX: Final = 100_000
REFUSALS_KEPT_MAX: Final = 1_000
DESTINATION_SHOWN_MAX: Final = 20  # of what stood where a number belongs

_encode: Final = msgspec.json.Encoder().encode


class LineRefusal(msgspec.Struct, frozen=True):
    """One line that wasn't accepted, and why; `line` is counted as an editor does."""

    line: int
    to: str
    code: str
    detail: str


class StreamLine(msgspec.Struct, frozen=True):
    """One decoded line: a recipient, or why it can't be one; `raw` is what is hashed."""

    raw: bytes
    recipient: Recipient | None = None
    refusal: Refusal | None = None
    to: str = ""
    line: int = 0  # in its file, blank lines and a header counted too


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Consecutive lines of a stream, decided, on their way into the store."""

    stream: Batch
    start: int  # how many lines stand before it
    lines: int
    prefix_hash: str  # over all lines up to its end
    numbers: tuple[int, ...] = ()  # of the request's recipients: their line numbers
    request: Request | None = None  # None: no line of it can be accepted
    refusals: tuple[LineRefusal, ...] = ()


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """The wish to begin a stream, or to go on with it."""

    account_id: int
    key: str
    options: str
    send_at_us: int | None = None


_REFUSALS: Final = msgspec.json.Decoder(list[LineRefusal])


def refusals_of(stream: Batch) -> list[LineRefusal]:
    """Return the refused lines that were kept, at most REFUSALS_KEPT_MAX."""
    return _REFUSALS.decode(stream.refusals)


# --- the steps ------------------------------------------------------------------------


def _open(tx: Transaction, wanted: Sequence[Opening]) -> list[Batch | Refusal]:
    results: list[Batch | Refusal] = []
    for each in wanted:
        found = tx.batch(each.account_id, each.key)
        if found is None:
            # One that goes on was in time when it began.
            late = None if each.send_at_us is None else too_late(each.send_at_us, tx.now_us)
            if late is not None:
                results.append(late)
                continue
            found = tx.save_batch(Batch(0, each.account_id, each.key, each.options, tx.now_us))
        same = found.options == each.options
        results.append(found if same else refuse(Code.IDEMPOTENCY_KEY_MISMATCH))
    return results


OPEN_STREAM: Final = Step("open stream", ACCEPT_ORDER - 1, _open)


def _finish(tx: Transaction, wanted: Sequence[Batch]) -> list[Batch | Refusal]:
    results: list[Batch | Refusal] = []
    for each in wanted:
        found = tx.batch(each.account_id, each.key)
        if found is None or found.lines != each.lines:
            results.append(refuse(Code.IDEMPOTENCY_IN_PROGRESS))
            continue
        ended = msgspec.structs.replace(found, finished_at_us=found.finished_at_us or tx.now_us)
        results.append(tx.save_batch(ended))
    return results


FINISH_STREAM: Final = Step("finish stream", ACCEPT_ORDER + 1, _finish)


def chunk_step(ranks: FairRanks) -> Step[Chunk, Batch | Refusal]:
    """Return the step that commits a chunk as one order and moves its stream's progress on."""
    accept = accept_step(ranks)

    def run(tx: Transaction, chunks: Sequence[Chunk]) -> list[Batch | Refusal]:
        results: list[Batch | Refusal] = []
        for chunk in chunks:
            stream = tx.batch(chunk.stream.account_id, chunk.stream.key)
            if stream is None or stream.lines != chunk.start or stream.finished_at_us:
                # A twin of this stream is ahead, or a chunk before this one failed.
                results.append(refuse(Code.IDEMPOTENCY_IN_PROGRESS))
                continue
            outcome = accept.run(tx, [chunk.request])[0] if chunk.request else None
            results.append(tx.save_batch(_moved_on(stream, chunk, outcome)))
        return results

    return Step("chunk", ACCEPT_ORDER, run)


def _moved_on(stream: Batch, chunk: Chunk, outcome: object) -> Batch:
    """Return the stream's progress after a chunk, whatever came of its lines."""
    accepted, cost = 0, 0
    refused = list(chunk.refusals)
    if isinstance(outcome, Accepted):
        accepted, cost = len(outcome.messages), outcome.order.cost
        refused += [
            _refused(chunk.numbers[each.index], each.msisdn, each.refusal)
            for each in outcome.refused
        ]
    elif chunk.request is not None and isinstance(outcome, Refusal):
        recipients = chunk.request.plan.request.recipients
        refused += [
            _refused(number, each.to, outcome)
            for number, each in zip(chunk.numbers, recipients, strict=True)
        ]
    refused.sort(key=lambda each: each.line)
    kept = stream.refusals
    if refused and stream.refused < REFUSALS_KEPT_MAX:
        kept = _encode((refusals_of(stream) + refused)[:REFUSALS_KEPT_MAX]).decode()
    return msgspec.structs.replace(
        stream,
        lines=chunk.start + chunk.lines,
        accepted=stream.accepted + accepted,
        refused=stream.refused + chunk.lines - accepted,
        cost=stream.cost + cost,
        prefix_hash=chunk.prefix_hash,
        refusals=kept,
    )


def _refused(line: int, to: str, refusal: Refusal) -> LineRefusal:
    return LineRefusal(line, to[:DESTINATION_SHOWN_MAX], refusal.code, words_of(refusal))


def words_of(refusal: Refusal) -> str:
    """Say in one line why a line is refused."""
    detail = refusal.detail
    if refusal.code == Code.BODY_INVALID and refusal.errors:
        problem = refusal.errors[0]
        field = [step for step in problem["loc"][1:] if isinstance(step, str)][-1:]
        detail = ": ".join([*field, problem["msg"]])
    return detail


# --- one stream on its way ------------------------------------------------------------


class BatchStream:
    """A stream of recipients being read; feed it lines, then finish it.

    `template` is the send that every chunk repeats with recipients of its own; it must
    allow partial acceptance.
    """

    def __init__(self, platform: Platform, template: SendRequest, stream: Batch) -> None:
        self._platform = platform
        self._template = msgspec.structs.replace(
            template,
            partial=True,
            batch_id=stream.batch_id,
            recipients=(),
            deduplicate=False,  # within a chunk; it's done here, over the whole stream
            asked_at_us=stream.created_at_us,
        )
        self.repeats = Repeats(template.text, drop=template.deduplicate)
        self._stream = stream
        self._already = stream.lines  # decided by an earlier sending of the same stream
        self._hash = hashlib.sha256()
        self._waiting: list[StreamLine] = []
        self._waiting_octets = 0
        self._in_flight: deque[asyncio.Task[Batch | Refusal]] = deque()
        self._step = chunk_step(platform.ranks)
        self._planned = 0  # lines handed to the writer or skipped
        self.received = 0
        self.replayed = False

    @property
    def batch_id(self) -> int:
        """Which batch it is."""
        return self._stream.batch_id

    @property
    def decided(self) -> int:
        """How many lines are decided, as far as this stream was told."""
        return self._stream.lines

    async def add(self, lines: Iterable[StreamLine | None]) -> None:
        """Take in lines; whole chunks of them are committed. Raises Refusal.

        None stands for octets that made no line: they cost time as well.
        """
        rest, more = iter(lines), True
        while more:
            async with self._platform.stream_turn:
                more = self._take(rest)
                await asyncio.sleep(0)
            if self.received > RECIPIENTS_MAX:
                await self._end_at_the_bound()
            if len(self._waiting) >= CHUNK_LINES or self._waiting_octets >= CHUNK_OCTETS_MAX:
                await self._send_chunk()

    def _take(self, lines: Iterator[StreamLine | None]) -> bool:
        """Take in lines until a chunk is full or others must have their turn; False: all."""
        clock = self._platform.clock
        until = clock.monotonic() + STRETCH_S
        for line in lines:
            if line is not None:
                self.received += 1
                if self.received > RECIPIENTS_MAX:
                    return False
                if self.received <= self._already:
                    self._skip(line)
                else:
                    self._waiting.append(line)
                    self._waiting_octets += len(line.raw)
                    if (
                        len(self._waiting) >= CHUNK_LINES
                        or self._waiting_octets >= CHUNK_OCTETS_MAX
                    ):
                        return True
            if clock.monotonic() > until:
                return True
        return False

    async def _end_at_the_bound(self) -> None:
        """Decide what there may be, close the stream, and refuse the rest."""
        self.received = RECIPIENTS_MAX
        await self.finish()
        limit = f"{RECIPIENTS_MAX:,} recipients: those are decided, and the batch is closed"
        raise refuse(Code.BODY_TOO_LARGE, limit=limit)

    async def finish(self) -> Batch:
        """Commit what is left and close the stream; return its final progress."""
        ended_before = self._stream.finished_at_us is not None
        if self.received < self._already or (ended_before and self.received > self._already):
            raise refuse(Code.IDEMPOTENCY_KEY_MISMATCH)  # it was of another length then
        if ended_before:
            self.replayed = True
            return self._stream
        if self._waiting:
            await self._send_chunk()
        while self._in_flight:
            await self._landed()
        self._stream = await self._write(FINISH_STREAM, self._stream)
        return self._stream

    async def stop(self) -> None:
        """Let what is in flight land, and forget the rest."""
        landed = await asyncio.gather(*self._in_flight, return_exceptions=True)
        self._in_flight.clear()
        for each in landed:
            if isinstance(each, Batch):
                self._stream = each

    def _skip(self, line: StreamLine) -> None:
        """Pass over a line that is decided already; the whole prefix must be the same."""
        self._hash.update(line.raw)
        self._hash.update(b"\n")
        if line.recipient is not None:
            self.repeats.first_line(line.line or self.received, line.recipient)
        self._planned = self.received
        if (
            self.received == self._already
            and self._hash.hexdigest() != self._stream.prefix_hash
        ):
            raise refuse(Code.IDEMPOTENCY_KEY_MISMATCH)

    async def _send_chunk(self) -> None:
        if self._stream.finished_at_us is not None:
            raise refuse(Code.IDEMPOTENCY_KEY_MISMATCH)  # it was shorter then
        lines, self._waiting, self._waiting_octets = self._waiting, [], 0
        async with self._platform.stream_turn:
            self._hash.update(b"\n".join([line.raw for line in lines]) + b"\n")
            chunk = self._decide(lines)
            await asyncio.sleep(0)
        self._planned += len(lines)
        while len(self._in_flight) >= IN_FLIGHT_MAX:
            await self._landed()
        self._in_flight.append(asyncio.ensure_future(self._commit(chunk)))
        await asyncio.sleep(0)  # others of this process have their turn between two chunks

    def _decide(self, lines: Sequence[StreamLine]) -> Chunk:
        """Plan one chunk; lines that can't be accepted keep their reasons."""
        start = self._planned
        numbers: list[int] = []
        recipients: list[Recipient] = []
        refusals: list[LineRefusal] = []
        for place, line in enumerate(lines, start + 1):
            number = line.line or place
            refusal = line.refusal
            if refusal is None and line.recipient is not None:
                first = self.repeats.first_line(number, line.recipient)
                if first is not None and self.repeats.drop:
                    refusal = refuse(Code.DUPLICATE, line=first)
            if refusal is not None:
                refusals.append(_refused(number, line.to, refusal))
            elif line.recipient is not None:
                numbers.append(number)
                recipients.append(line.recipient)
        request: Request | None = None
        if recipients:
            request = self._plan(recipients, numbers, refusals)
        return Chunk(
            stream=self._stream,
            start=start,
            lines=len(lines),
            prefix_hash=self._hash.hexdigest(),
            numbers=tuple(numbers),
            request=request,
            refusals=tuple(refusals),
        )

    def _plan(
        self, recipients: list[Recipient], numbers: list[int], refusals: list[LineRefusal]
    ) -> Request | None:
        """Plan recipients together; if none can be accepted, note why for each."""
        template = self._template
        try:
            planned = self._platform.plan(
                msgspec.structs.replace(template, recipients=recipients)
            )
        except Refusal as why:
            whys = [each.refusal for each in why.each] or [why] * len(recipients)
            refusals += [
                _refused(number, each.to, its)
                for number, each, its in zip(numbers, recipients, whys, strict=True)
            ]
            why.each, why.__traceback__ = (), None  # they refer to each other
            return None
        return Request(plan=planned)

    async def _commit(self, chunk: Chunk) -> Batch | Refusal:
        result = await self._platform.store.write(self._step, chunk)
        if isinstance(result, Batch) and chunk.request is not None:
            self._platform.changes.queued(chunk.request.plan.decision.providers[0])
        return result

    async def _landed(self) -> None:
        """Wait for the oldest chunk in flight; raises the Refusal that stopped it."""
        result = await _unless_the_store_fails(self._in_flight.popleft())
        self._stream = result

    async def _write(self, step: Step[Any, Batch | Refusal], item: Any) -> Batch:
        return await _unless_the_store_fails(
            asyncio.ensure_future(self._platform.store.write(step, item))
        )


async def open_stream(platform: Platform, opening: Opening) -> Batch:
    """Begin a stream, or find where it stands. Raises Refusal, for other options above all."""
    return await _unless_the_store_fails(
        asyncio.ensure_future(platform.store.write(OPEN_STREAM, opening))
    )


async def _unless_the_store_fails(writing: asyncio.Future[Batch | Refusal]) -> Batch:
    try:
        result = await writing
    except StoreFull:
        raise refuse(Code.DISK_FULL) from None
    except StoreUnavailable:
        raise refuse(Code.UNAVAILABLE) from None
    if isinstance(result, Refusal):
        raise result
    return result
