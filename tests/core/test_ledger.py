"""Money by outcome: postings, settlement and adjustments, as tables."""

from __future__ import annotations

import itertools

import pytest

from arrivals.core.catalogue import REFUNDABLE_OUTCOMES
from arrivals.core.ledger import (
    PostingKind,
    adjustment,
    funding,
    is_charged,
    posting,
    provider_cost,
    settlement,
)
from arrivals.core.message import TERMINAL, Reach, State
from arrivals.core.money import Micros

NOTHING: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("kind", "debit", "credit"),
    [
        (PostingKind.HOLD, "funds:7", "held:7"),
        (PostingKind.CAPTURE, "held:7", "revenue:EUR"),
        (PostingKind.RELEASE, "held:7", "funds:7"),
        (PostingKind.REFUND, "revenue:EUR", "funds:7"),
        (PostingKind.RECHARGE, "funds:7", "revenue:EUR"),
    ],
)
def test_a_posting_takes_from_one_and_gives_to_another(
    kind: PostingKind, debit: str, credit: str
) -> None:
    """Invariant 1: one amount, two entries."""
    made = posting(kind, 7, Micros(5), "EUR")
    assert (made.kind, made.debit, made.credit) == (kind, debit, credit)
    assert (made.account_id, made.amount, made.currency) == (7, 5, "EUR")
    assert made.reference is None


def test_funding_goes_either_way() -> None:
    came = funding(7, Micros(5), "EUR", "wire", "r1")
    went = funding(7, Micros(-5), "EUR", "back", "r2")
    assert (came.kind, came.debit, came.credit) == (
        PostingKind.FUNDING, "external:funding", "funds:7",
    )  # fmt: skip
    assert (went.kind, went.debit, went.credit) == (
        PostingKind.WITHDRAWAL, "funds:7", "external:funding",
    )  # fmt: skip
    assert came.amount == went.amount == 5
    assert (came.reason, came.reference) == ("wire", "r1")


def test_a_providers_cost_is_nobodys_statement() -> None:
    made = provider_cost("north", Micros(3), "EUR")
    assert (made.kind, made.debit, made.credit) == (
        PostingKind.COST, "cost:north", "payable:north",
    )  # fmt: skip
    assert made.account_id is None


@pytest.mark.parametrize("state", TERMINAL)
@pytest.mark.parametrize("refund_on", [NOTHING, frozenset(REFUNDABLE_OUTCOMES)])
def test_never_handed_off_is_never_charged(state: State, refund_on: frozenset[str]) -> None:
    """Invariant 13."""
    assert not is_charged(state, Reach.NONE, refund_on)
    assert settlement(state, Reach.NONE, refund_on) is PostingKind.RELEASE


@pytest.mark.parametrize("reach", [Reach.HANDOFF_UNKNOWN, Reach.HANDED_OFF])
@pytest.mark.parametrize("state", TERMINAL)
def test_after_a_hand_off_the_outcome_and_the_account_decide(
    state: State, reach: Reach
) -> None:
    charged = state is not State.CANCELLED
    assert is_charged(state, reach, NOTHING) is charged
    named = frozenset({state.value})
    assert is_charged(state, reach, named) is (state is State.DELIVERED)
    others = frozenset(REFUNDABLE_OUTCOMES) - named
    kind = PostingKind.CAPTURE if charged else PostingKind.RELEASE
    assert settlement(state, reach, others) is kind


ADJUSTMENTS = {
    # paid, charged, recharge
    (True, False, False): PostingKind.REFUND,
    (True, False, True): PostingKind.REFUND,
    (False, True, True): PostingKind.RECHARGE,
}


@pytest.mark.parametrize(
    ("paid", "charged", "recharge"), list(itertools.product((True, False), repeat=3))
)
def test_a_revision_appends_what_is_missing(paid: bool, charged: bool, recharge: bool) -> None:
    """Invariant 39: by new entries, and nothing where the ledger is right already."""
    found = adjustment(paid=paid, charged=charged, recharge=recharge)
    assert found is ADJUSTMENTS.get((paid, charged, recharge))


@pytest.mark.parametrize("recharge", [True, False])
def test_no_walk_of_revisions_refunds_twice(recharge: bool) -> None:
    """Invariants 8 and 9: what is taken for a message is its price, or nothing."""
    refund_on = frozenset({"failed", "unknown"})
    for first, *revisions in itertools.product(TERMINAL, repeat=4):
        taken = int(settlement(first, Reach.HANDED_OFF, refund_on) is PostingKind.CAPTURE)
        for state in revisions:
            charged = is_charged(state, Reach.HANDED_OFF, refund_on)
            kind = adjustment(paid=bool(taken), charged=charged, recharge=recharge)
            taken += {PostingKind.REFUND: -1, PostingKind.RECHARGE: 1, None: 0}[kind]
            assert taken in {0, 1}
            assert charged or not taken
