"""Count outcomes, and how long receipts took, where they are committed: once each.

A transaction that fails is run again, in halves, or undone. So a step tells its transaction
what happened, and the store has it in its totals once that is durable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from arrivals.core.buckets import Buckets, place_in
from arrivals.core.message import Message, is_terminal
from arrivals.store.api import Transaction

# From a handset that is in somebody's hand to one that was off over a weekend.
RECEIPT_S: Final = (
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 259_200.0,
)  # fmt: skip

_OUTCOME, _PLACE, _SUM = "outcome", "receipt place", "receipt us"

Totals = Mapping[tuple[str, ...], int]


def ended(tx: Transaction, before: Message, after: Message) -> None:
    """Count a message that ends, or whose end is revised."""
    if after.state is not before.state and is_terminal(after.state):
        tx.tally(_OUTCOME, after.provider_id, after.state.value)


def reported(tx: Transaction, waited: Sequence[tuple[str, int]]) -> None:
    """Count for how long messages waited for the receipts that end them.

    `waited` has the provider of each, and when it was handed off or last heard of.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for provider_id, since_us in waited:
        waited_us = max(0, tx.now_us - since_us)
        found[_PLACE, provider_id, str(place_in(RECEIPT_S, waited_us / 1e6))] += 1
        found[_SUM, provider_id] += waited_us
    for what, count in found.items():
        tx.tally(*what, by=count)


def outcomes_in(totals: Totals) -> dict[tuple[str, str], int]:
    """Return how many messages ended, by provider and state."""
    return {(what[1], what[2]): count for what, count in totals.items() if what[0] == _OUTCOME}


def receipt_times_in(totals: Totals) -> dict[str, Buckets]:
    """Return how long receipts took, by provider."""
    found: dict[str, Buckets] = {}
    for what, count in totals.items():
        if what[0] == _PLACE:
            times = found.setdefault(what[1], Buckets(RECEIPT_S))
            times.counts[int(what[2])] += count
        elif what[0] == _SUM:
            found.setdefault(what[1], Buckets(RECEIPT_S)).total += count / 1e6
    return found
