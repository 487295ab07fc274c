"""Try parked receipts again when what decides whose they are has changed.

A receipt that matches nothing is parked until an id or a destination comes to be known that it
may be about. But an operator may as well say later whose ids a provider tells (`ids_of`) or how
it writes them (`dialect.id_form`), and a provider that was gone may return. Then, and once at
the start, a round goes through what is parked:

    in batches                 one at each look of the sweep, in the order they came, up to the
                               newest that was there when the round began: what comes later is
                               matched by the present catalogue
    in several processes       each makes a round when it hears of a change itself. A receipt is
                               locked while it is tried, and gone once it is recorded
    a second time              where the database is shared: another process may have parked by
                               the old catalogue meanwhile, or recorded an answer at the moment
                               of the trial, and neither saw the other
    from its beginning         when something changes during a round, or the process restarts:
                               what fits nothing stayed as it was, so it may be tried again
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.flows.matching import UsualForm
from arrivals.flows.platform import Platform
from arrivals.flows.receipt_habits import usual_forms
from arrivals.flows.receive import try_parked
from arrivals.store.api import Step, StoreError, Transaction

_log = logging.getLogger("arrivals.parked")

TRY_ORDER: Final = 45
TRIED_MAX: Final = 100  # in one transaction: the writer is busy with them for some 20 ms
SHRINK_BY: Final = 8  # a batch after one that failed: 100, 12, 1 receipts, then none
# Longer than any process takes to hear of a change and to end the transaction it is in.
SECOND_ROUND_AFTER_S: Final = 30.0

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


class Parked:
    """What one process does about parked receipts when its catalogue changes."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._catalogue: Catalogue | None = None  # the one that was looked at last
        self._deciding: dict[str, Deciding] = {}
        self._next: Batch | None = None
        self._limit = TRIED_MAX  # of the next batch, fewer after one that failed
        self._second: frozenset[str] = frozenset()  # the providers of a second round
        self._second_at = 0.0
        self._step = try_step(
            lambda: platform.catalogue,
            usual_forms(lambda: platform.catalogue, platform.habits),
        )

    async def look(self) -> None:
        """Try one batch, if a round is under way or begins."""
        self._begin()
        batch = self._next
        if batch is None:
            return
        limit = self._limit
        self._limit = max(limit // SHRINK_BY, int(limit > 1))  # for the next, if this one fails
        if not limit:
            _log.error("a parked receipt that can't be tried is left out: it stays parked")
        try:
            touched, self._next = await self._platform.store.write(
                self._step, msgspec.structs.replace(batch, limit=limit)
            )
        except StoreError:
            self._limit = TRIED_MAX  # it is none of the receipts' fault
            raise
        self._limit = TRIED_MAX
        self._platform.changes.publish(touched)

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
