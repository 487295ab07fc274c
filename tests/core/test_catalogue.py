"""The catalogue's vocabulary hangs together with the rest of the core."""

from __future__ import annotations

import dataclasses

import pytest

from arrivals.core.catalogue import (
    AMBIGUITY_POLICIES,
    CATEGORIES,
    LANE_OF_CATEGORY,
    REFUNDABLE_OUTCOMES,
    Account,
    Catalogue,
    Flow,
    Provider,
    Route,
    paused_in_words,
)
from arrivals.core.dialect import Dialect
from arrivals.core.ledger import is_charged
from arrivals.core.message import Reach, State


def test_every_category_has_a_lane_of_its_own_and_codes_go_first() -> None:
    assert set(LANE_OF_CATEGORY) == set(CATEGORIES)
    assert sorted(LANE_OF_CATEGORY, key=LANE_OF_CATEGORY.__getitem__) == list(CATEGORIES)
    assert LANE_OF_CATEGORY["otp"] == 0


@pytest.mark.parametrize("outcome", REFUNDABLE_OUTCOMES)
def test_every_refundable_outcome_is_an_end_that_is_given_back(outcome: str) -> None:
    assert not is_charged(State(outcome), Reach.HANDED_OFF, frozenset({outcome}))


def test_a_delivered_message_is_never_given_back() -> None:
    assert "delivered" not in REFUNDABLE_OUTCOMES
    assert is_charged(State.DELIVERED, Reach.HANDED_OFF, frozenset({"delivered"}))


def test_the_safe_word_is_the_default() -> None:
    """Invariant 25: nothing goes out twice unless somebody asked for it."""
    defaults = {field.name: field.default for field in dataclasses.fields(Route)}
    assert defaults["on_ambiguous"] == AMBIGUITY_POLICIES[0] == "wait"
    account = Account(account_id=1, name="a", username="a", currency="EUR")
    assert not account.recharge
    assert account.flow is Flow.ACTIVE
    assert account.refund_on == frozenset()


def test_a_snapshot_can_t_be_edited() -> None:
    provider = Provider(provider_id="north", sandbox=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        provider.flow = Flow.PAUSED  # type: ignore[misc]
    assert not provider.expired_is_final


def test_what_is_paused_and_nothing_else_keeps_its_messages_queued() -> None:
    accounts = {
        number: Account(
            account_id=number, name="a", username=f"a{number}", currency="EUR", flow=flow
        )
        for number, flow in enumerate(Flow, 1)
    }
    catalogue = Catalogue(
        version=1, accounts=accounts, keys={}, providers={}, routes={}, prices={}
    )
    paused = [each.account_id for each in accounts.values() if each.flow is Flow.PAUSED]
    assert catalogue.paused() == (paused, [])
    assert len(paused) == 1


@pytest.mark.parametrize(
    ("receipts_per", "long_messages", "one"),
    [
        ("segment", "udh", False),
        ("unknown", "sar", False),
        ("message", "udh", True),
        ("segment", "payload", True),  # it gets one PDU and gives one id
    ],
)
def test_one_receipt_tells_of_all_parts_by_habit_or_because_they_left_as_one(
    receipts_per: str, long_messages: str, one: bool
) -> None:
    provider = Provider(
        provider_id="north",
        sandbox=False,
        receipts_per=receipts_per,
        dialect=Dialect(long_messages=long_messages),
    )
    assert provider.answers_per_message is one


def test_what_is_paused_is_said_of_providers_routes_and_accounts() -> None:
    provider = Provider(provider_id="north", sandbox=False, flow=Flow.PAUSED)
    account = Account(account_id=7, name="a", username="a", currency="EUR", flow=Flow.DRAINING)
    route = Route(
        route_id=3,
        name="r",
        display_name="r",
        category="otp",
        access="public",
        sender_policy="any",
        currency="EUR",
        providers=("north",),
    )
    catalogue = Catalogue(
        version=1,
        accounts={7: account},
        keys={},
        providers={"north": provider},
        routes={3: route},
        prices={},
    )
    said = ["provider north is paused", "account 7 is draining"]
    assert paused_in_words(catalogue) == said
    stopped = dataclasses.replace(route, flow=Flow.PAUSED)
    catalogue = dataclasses.replace(catalogue, routes={3: stopped})
    assert paused_in_words(catalogue)[1] == "route 3 is paused"


def test_an_account_is_known_after_it_was_removed() -> None:
    """Whatever it sent is still told of, in its currency."""
    here, gone = [
        Account(account_id=number, name="a", username=f"a{number}", currency="EUR")
        for number in (1, 2)
    ]
    other = Provider(provider_id="2", sandbox=True)
    catalogue = Catalogue(
        version=1, accounts={1: here}, keys={}, providers={}, routes={}, prices={},
        removed=(other, gone),
    )  # fmt: skip
    assert [catalogue.account(number) for number in (1, 2, 3)] == [here, gone, None]
