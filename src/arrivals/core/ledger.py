"""Money by outcome: what a message's end does to the funds that were held for it.

The ledger is double entry. A posting moves one amount from a debit to a credit account,
so it can't fail to sum to zero:

    funding   external:funding → funds:ACCOUNT     money comes in (a debit goes back)
    hold      funds → held                         at accept
    capture   held → revenue                       at the end, when it was used
    release   held → funds                         at the end, when it wasn't
    refund    revenue → funds                      a revision, after a capture
    recharge  funds → revenue                      a revision after a refund, where agreed
    cost      cost:PROVIDER → payable:PROVIDER     what the provider charges us
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from arrivals.core.message import Reach, State
from arrivals.core.money import Micros


class PostingKind(StrEnum):
    FUNDING = "funding"
    WITHDRAWAL = "withdrawal"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    REFUND = "refund"
    RECHARGE = "recharge"
    COST = "cost"


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of money; `amount` is positive, `debit` gives and `credit` gets."""

    kind: PostingKind
    account_id: int | None  # the customer whose statement shows it; None for provider cost
    debit: str
    credit: str
    amount: Micros
    currency: str
    reason: str = ""
    reference: str | None = None  # unique per account: makes funding idempotent


# Whose money gives and whose gets, by kind; `revenue` is kept by currency.
_LEGS: Final[dict[PostingKind, tuple[str, str]]] = {
    PostingKind.HOLD: ("funds", "held"),
    PostingKind.CAPTURE: ("held", "revenue"),
    PostingKind.RELEASE: ("held", "funds"),
    PostingKind.REFUND: ("revenue", "funds"),
    PostingKind.RECHARGE: ("funds", "revenue"),
}


def posting(kind: PostingKind, account_id: int, amount: Micros, currency: str) -> Posting:
    """Build the posting of a message's money: hold, capture, release, refund or recharge."""
    debit, credit = _LEGS[kind]
    return Posting(
        kind=kind,
        account_id=account_id,
        debit=f"{debit}:{currency if debit == 'revenue' else account_id}",
        credit=f"{credit}:{currency if credit == 'revenue' else account_id}",
        amount=amount,
        currency=currency,
    )


def funding(
    account_id: int, amount: Micros, currency: str, reason: str, reference: str
) -> Posting:
    """Build the posting that brings money in (positive) or takes it out (negative amount)."""
    incoming = amount >= 0
    return Posting(
        kind=PostingKind.FUNDING if incoming else PostingKind.WITHDRAWAL,
        account_id=account_id,
        debit="external:funding" if incoming else f"funds:{account_id}",
        credit=f"funds:{account_id}" if incoming else "external:funding",
        amount=Micros(abs(amount)),
        currency=currency,
        reason=reason,
        reference=reference,
    )


def provider_cost(provider_id: str, amount: Micros, currency: str) -> Posting:
    """Build the posting of what a provider charges for hand-offs it acknowledged."""
    return Posting(
        kind=PostingKind.COST,
        account_id=None,
        debit=f"cost:{provider_id}",
        credit=f"payable:{provider_id}",
        amount=amount,
        currency=currency,
    )


def is_charged(state: State, reach: Reach, refund_on: frozenset[str]) -> bool:
    """Tell whether a message that ended like this is paid for.

    Never handed off is never charged. After a hand-off it is, unless the account's
    refund policy names the outcome; a delivered message always is.
    """
    if state is State.CANCELLED or reach is Reach.NONE:
        return False
    return state is State.DELIVERED or state.value not in refund_on


def settlement(state: State, reach: Reach, refund_on: frozenset[str]) -> PostingKind:
    """Return how the hold of a message that just ended is resolved: capture or release."""
    charged = is_charged(state, reach, refund_on)
    return PostingKind.CAPTURE if charged else PostingKind.RELEASE


def adjustment(*, paid: bool, charged: bool, recharge: bool) -> PostingKind | None:
    """Return what a revision after settlement appends, if anything.

    `paid` is what the ledger says so far, `charged` what the new outcome asks for.
    Money given back is taken again only if the account agreed to it.
    """
    if paid and not charged:
        return PostingKind.REFUND
    if charged and not paid and recharge:
        return PostingKind.RECHARGE
    return None
