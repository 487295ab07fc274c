"""Try parked receipts again, so many at a time.

A receipt that matches nothing is parked until an id or a destination comes to be known that it
may be about. More may wait for one than a transaction should try: those are gone through in
turn, some at each look of the sweep. An operator may as well say later whose ids a provider
tells (`ids_of`) or how it writes them (`dialect.id_form`), and a provider that was gone may
return. Then, and once at the start, a round goes through what is parked:

    in batches                 one at each look of the sweep, in the order they came, up to the
                               newest that was there when the round began: what comes later is
                               matched by the present catalogue
    in several processes       each makes a round when it hears of a change itself. A receipt is
                               locked while it is tried, and gone once it is recorded
    a second time              where the database is shared: another process may have looked
                               by the old catalogue meanwhile
    from its beginning         when something changes during a round, or the process restarts:
                               what fits nothing stayed as it was, so it may be tried again

Where the database is shared an answer and its receipt may be recorded by two processes at the
same moment, and neither sees the other. So each receipt is tried again a little later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.flows.known_ids import UsualForm
from arrivals.flows.platform import Platform
from arrivals.flows.receipt_habits import usual_forms
from arrivals.flows.receive import match_parked, try_heard, try_parked
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.parked")

TRY_ORDER: Final = 45
TRIED_MAX: Final = 100  # in one transaction: the writer is busy with them for some 20 ms
ROUNDS_MAX: Final = 5  # such transactions in one look
LOOK_EVERY_S: Final = 1.0  # where nothing was found at the last look
# Longer than two transactions overlap that don't see each other: nearly always, and at worst.
CROSSED_AFTER_US: Final = (3_000_000, 60_000_000)
SHRINK_BY: Final = 8  # a batch after one that failed: 100, 12, 1 receipts, then none
# Longer than any process takes to hear of a change and to end the transaction it is in.
SECOND_ROUND_AFTER_S: Final = 30.0

Asked = TypeVar("Asked")
Said = TypeVar("Said")

# What decides, beside what is known of messages, whose a provider's receipts are.
Deciding = tuple[str | None, str | None, bool, str | None]


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Where a round stands."""

    providers: frozenset[str]  # whose receipts are tried
    after: int = 0  # the parked receipt that was the last of the batch before
    until: int | None = None  # the last one of the round; None: the newest there is
    limit: int = TRIED_MAX  # 0: leave the next one out


def deciding(catalogue: Catalogue) -> dict[str, Deciding]:
    """Return, by provider, what a catalogue says that decides whose its receipts are."""
    found: dict[str, Deciding] = {}
    for name, each in catalogue.providers.items():
        other = catalogue.providers.get(each.ids_of) if each.ids_of else None
        others_form = other.dialect.id_form if other else None
        found[name] = (each.dialect.id_form, each.ids_of, other is not None, others_form)
    return found


def decided_anew(
    before: Mapping[str, Deciding], present: Mapping[str, Deciding]
) -> frozenset[str]:
    """Return the providers whose receipts may match otherwise now; new ones are among them."""
    return frozenset(name for name, each in present.items() if before.get(name) != each)


def try_step(
    catalogue: Callable[[], Catalogue], usual_form: UsualForm
) -> Step[Batch, tuple[set[int], Batch | None]]:
    """Return the step that tries a batch again.

    Its result is the messages it touched, and the batch that comes next, if there is one.
    """

    def run(tx: Transaction, batches: Sequence[Batch]) -> list[tuple[set[int], Batch | None]]:
        return [_try_one(tx, each, catalogue(), usual_form) for each in batches]

    return Step("try parked", TRY_ORDER, run)


def _try_one(
    tx: Transaction, batch: Batch, catalogue: Catalogue, usual_form: UsualForm
) -> tuple[set[int], Batch | None]:
    until = tx.newest_parked() if batch.until is None else batch.until
    ids = [each for each in tx.parked_after(batch.after, batch.limit or 1) if each <= until]
    parked = tx.parked(ids) if batch.limit else []
    wanted = [each for each in parked if each.provider_id in batch.providers]
    touched = try_parked(tx, catalogue, wanted, usual_form)
    if not ids or ids[-1] == until:
        return touched, None
    return touched, msgspec.structs.replace(batch, after=ids[-1], until=until)


def go_on_step(
    catalogue: Callable[[], Catalogue], usual_form: UsualForm
) -> Step[int, tuple[set[int], int]]:
    """Return the step that goes on with what more receipts wait for than were tried at once.

    Its items say how many to try; 0: leave the next one out. Its result is the messages it
    touched, and how many it tried.
    """

    def run(tx: Transaction, limits: Sequence[int]) -> list[tuple[set[int], int]]:
        return [_go_on(tx, each, catalogue(), usual_form) for each in limits]

    return Step("go on", TRY_ORDER, run)


def _go_on(
    tx: Transaction, limit: int, catalogue: Catalogue, usual_form: UsualForm
) -> tuple[set[int], int]:
    heard = tx.take_heard(limit or 1)
    if not limit:
        found = zip(heard, tx.parked_under(heard, 1), strict=True)
        tx.hear_later([each.after(ids[0]) for each, ids in found if ids])
        return set(), len(heard)
    tried, forms = try_heard(tx, catalogue, heard, usual_form, limit)
    match_parked(tx, catalogue, forms, tried.touched, usual_form)
    return tried.touched, tried.count


class Crossed(msgspec.Struct, frozen=True, kw_only=True):
    """From where on receipts are tried that may have crossed their answers, until when."""

    since: tuple[int, int]  # when the last one came that was tried, and which
    until_us: int
    limit: int = TRIED_MAX  # 0: leave the next one out

    def limited(self, limit: int) -> Crossed:
        """Return it with another limit."""
        return msgspec.structs.replace(self, limit=limit)


def crossed_step(
    catalogue: Callable[[], Catalogue], usual_form: UsualForm
) -> Step[Crossed, tuple[set[int], tuple[int, int] | None]]:
    """Return the step that tries receipts once more that came a moment ago.

    Its result is the messages it touched, and the last receipt that it tried; None: none.
    """

    def run(
        tx: Transaction, items: Sequence[Crossed]
    ) -> list[tuple[set[int], tuple[int, int] | None]]:
        return [_try_crossed(tx, each, catalogue(), usual_form) for each in items]

    return Step("crossed", TRY_ORDER, run)


def _try_crossed(
    tx: Transaction, asked: Crossed, catalogue: Catalogue, usual_form: UsualForm
) -> tuple[set[int], tuple[int, int] | None]:
    came = tx.parked_between(asked.since, asked.until_us, asked.limit or 1)
    parked = tx.parked([parked_id for _, parked_id in came] if asked.limit else [])
    touched = try_parked(tx, catalogue, parked, usual_form)
    return touched, came[-1] if came else None


class _Limit:
    """How many receipts to try next: fewer after each failure, and then none, so as to pass."""

    def __init__(self) -> None:
        self._next = TRIED_MAX

    def take(self) -> int:
        """Return how many, as if they would fail."""
        limit = self._next
        self._next = max(limit // SHRINK_BY, int(limit > 1))
        if not limit:
            _log.error("a parked receipt that can't be tried is left out: it stays parked")
        return limit

    def reset(self) -> None:
        """Try as many as ever: they were tried, or could not be for no fault of theirs."""
        self._next = TRIED_MAX


class Parked:
    """What one process does about parked receipts beside receiving and answers."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._catalogue: Catalogue | None = None  # the one that was looked at last
        self._deciding: dict[str, Deciding] = {}
        self._next: Batch | None = None
        self._second: frozenset[str] = frozenset()  # the providers of a second round
        self._second_at = 0.0
        # The last receipts tried so long after they came; a start tries all there are.
        self._crossed = dict.fromkeys(CROSSED_AFTER_US, (platform.clock.now_us(), 0))
        self._go_on_at = self._crossed_at = 0.0
        known: tuple[Callable[[], Catalogue], UsualForm] = (
            lambda: platform.catalogue,
            usual_forms(lambda: platform.catalogue, platform.habits),
        )
        self._batch_step = try_step(*known)
        self._go_on_step = go_on_step(*known)
        self._crossed_step = crossed_step(*known)
        self._limits: dict[str, _Limit] = {}  # by step

    async def look(self) -> None:
        """Try some of those that are due to be tried."""
        self._begin()
        if self._next is not None:
            batch = self._next
            self._next = await self._try(
                self._batch_step, lambda limit: msgspec.structs.replace(batch, limit=limit)
            )
        await self._go_on()
        if self._platform.store.is_shared:
            await self._try_crossed()

    async def _go_on(self) -> None:
        now = self._platform.clock.monotonic()
        for _ in range(ROUNDS_MAX if now >= self._go_on_at else 0):
            if not await self._try(self._go_on_step, lambda limit: limit):
                self._go_on_at = now + LOOK_EVERY_S
                break

    async def _try_crossed(self) -> None:
        now = self._platform.clock.monotonic()
        if now < self._crossed_at:
            return
        self._crossed_at = now + LOOK_EVERY_S
        for after_us, since in self._crossed.items():
            until_us = self._platform.clock.now_us() - after_us
            if until_us <= since[0]:
                continue
            asked = Crossed(since=since, until_us=until_us)
            last = await self._try(self._crossed_step, asked.limited)
            if last is not None:
                self._crossed[after_us] = last
                self._crossed_at = now

    async def _try(
        self, step: Step[Asked, tuple[set[int], Said]], item: Callable[[int], Asked]
    ) -> Said:
        """Run one of the steps with as many receipts as may be tried; return what it says."""
        limit = self._limits.setdefault(step.name, _Limit())
        asked = item(limit.take())
        try:
            touched, result = await self._platform.store.write(step, asked)
        except StoreError:
            limit.reset()
            raise
        limit.reset()
        self._platform.changes.publish(touched)
        return result

    def _begin(self) -> None:
        """Begin a round if the catalogue changed in what decides, or a second one is due."""
        catalogue, now = self._platform.catalogue, self._platform.clock.monotonic()
        if catalogue is not self._catalogue:
            present = deciding(catalogue)
            anew = decided_anew(self._deciding, present)
            self._catalogue, self._deciding = catalogue, present
            if anew:
                under_way = self._next.providers if self._next else frozenset()
                self._next = Batch(providers=anew | under_way)
                if self._platform.store.is_shared:
                    self._second |= anew
                    self._second_at = now + SECOND_ROUND_AFTER_S
        if self._second and self._next is None and now >= self._second_at:
            self._next, self._second = Batch(providers=self._second), frozenset()
