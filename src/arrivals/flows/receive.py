"""Record receipts, and try those that are parked again.

What matches nothing is parked and tried again when an answer, or its absence, tells more about
a message to that destination, or when the catalogue tells more about its provider
(flows/parked.py). An answer is looked up under the few forms in which receipts may tell its id;
a receipt waits under one. However many wait, a transaction tries some, and the sweep the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.flows.doubt import is_place
from arrivals.flows.known_ids import UsualForm, nothing_usual
from arrivals.flows.receiving import Receiving
from arrivals.providers.api import Receipt
from arrivals.smpp.receipts import bare_forms_of
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import Heard, ParkedReceipt

RECEIVE_ORDER: Final = 30

_RECEIPT: Final = msgspec.json.Decoder(Receipt)

# Parked receipts that are tried in one transaction, and of those that wait for one id or one
# number: the others are tried by the sweep. The writer is busy with a hundred for some 20 ms.
TRIED_MAX: Final = 500
TRIED_UNDER_ONE_MAX: Final = 100
TRIED_UNDER_ONE_MIN: Final = 10  # where so many are asked for that there is no room for more


def receive_step(
    catalogue: Callable[[], Catalogue], usual_form: UsualForm = nothing_usual
) -> Step[Sequence[Receipt], set[int]]:
    """Return the step that records receipts; its result is the messages it touched."""

    def run(tx: Transaction, batches: Sequence[Sequence[Receipt]]) -> list[set[int]]:
        receiving = Receiving(tx, catalogue(), usual_form)
        receiving.record([receipt for batch in batches for receipt in batch])
        touched = receiving.journal.touched
        match_parked(tx, catalogue(), receiving.heard_of, touched, usual_form)
        return [touched for _ in batches]

    return Step("receive", RECEIVE_ORDER, run, rows=len)


def _keep_raw(tx: Transaction, receipts: Sequence[Receipt]) -> list[None]:
    tx.keep_raw([(each.provider_id, None, each.raw) for each in receipts])
    return [None for _ in receipts]


# What a receipt that can't be recorded leaves behind, for whoever has to look.
KEEP_RAW: Final[Step[Receipt, None]] = Step("keep raw", RECEIVE_ORDER, _keep_raw)


def match_parked(
    tx: Transaction,
    catalogue: Catalogue,
    forms: dict[str, set[str]],
    touched: set[int],
    usual_form: UsualForm = nothing_usual,
) -> None:
    """Try parked receipts again that newly known ids or destinations may explain.

    And again, while one of them ends a doubt for which others waited. `forms` are ids as they
    are stored, and destinations, by provider. What is more than TRIED_MAX is left to the sweep.
    """
    room = TRIED_MAX
    while forms and tx.any_parked():
        tried, forms = try_heard(tx, catalogue, heard_in(catalogue, forms), usual_form, room)
        room -= tried.count
        touched |= tried.touched


def heard_in(catalogue: Catalogue, forms: dict[str, set[str]]) -> list[Heard]:
    """Return under what receipts may wait that are about these ids or destinations, ids first.

    A provider's receipts wait for its own ids, and for those of the one that `ids_of` names.
    """
    telling: dict[str, list[str]] = {}
    for name, each in catalogue.providers.items():
        for of in {name, each.ids_of or name}:
            telling.setdefault(of, []).append(name)
    names = dict.fromkeys(
        (is_place(form), provider_id, bare)
        for of, its_forms in forms.items()
        for provider_id in telling.get(of, ())
        for form in its_forms
        for bare in ((form,) if is_place(form) else bare_forms_of(form))
    )
    return [Heard(provider_id, form) for _, provider_id, form in sorted(names)]


class Tried(msgspec.Struct, frozen=True):
    """What became of a trial: how many receipts it was of, and the messages it touched."""

    count: int
    touched: set[int]


def try_heard(
    tx: Transaction,
    catalogue: Catalogue,
    heard: Sequence[Heard],
    usual_form: UsualForm,
    room: int,
) -> tuple[Tried, dict[str, set[str]]]:
    """Try the next parked receipts that wait for something, and note for what more of them do.

    Return what became of it, and of which destinations one doubt less is left.
    """
    chosen: dict[int, None] = {}
    left: list[Heard] = []
    share = TRIED_MAX // max(1, len(heard))
    under_one = min(TRIED_UNDER_ONE_MAX, max(TRIED_UNDER_ONE_MIN, share))
    for each, ids in zip(heard, tx.parked_under(heard, under_one + 1), strict=True):
        now = ids[: min(under_one, room - len(chosen))]
        chosen |= dict.fromkeys(now)
        if len(now) < len(ids):
            left.append(each.after(now[-1]) if now else each)
        elif each.again:
            left.append(Heard(each.provider_id, each.form))
    tx.hear_later(left)
    parked = tx.parked(list(chosen))
    receiving = _tried(tx, catalogue, parked, usual_form)
    if receiving is None:
        return Tried(len(parked), set()), {}
    return Tried(len(parked), receiving.journal.touched), receiving.heard_of


def try_parked(
    tx: Transaction,
    catalogue: Catalogue,
    parked: Sequence[ParkedReceipt],
    usual_form: UsualForm = nothing_usual,
) -> set[int]:
    """Record the parked receipts that match now, and return the messages they touched.

    The others stay; and so do those of a provider that isn't in the catalogue.
    """
    receiving = _tried(tx, catalogue, parked, usual_form)
    if receiving is None:
        return set()
    touched = set(receiving.journal.touched)
    match_parked(tx, catalogue, receiving.heard_of, touched, usual_form)
    return touched


def _tried(
    tx: Transaction,
    catalogue: Catalogue,
    parked: Sequence[ParkedReceipt],
    usual_form: UsualForm,
) -> Receiving | None:
    known = [each for each in parked if each.provider_id in catalogue.providers]
    if not known:
        return None
    receiving = Receiving(tx, catalogue, usual_form)
    receiving.record([_RECEIPT.decode(each.receipt) for each in known], parked=known)
    return receiving
