"""Scopes: nothing is allowed that the table doesn't allow, and reading never spends."""

from __future__ import annotations

import itertools

import pytest

from arrivals.core.permissions import (
    ALLOWED,
    DEFAULT_SCOPES,
    OPERATORS_ACTS,
    OPERATORS_SCOPES,
    Act,
    Scope,
    Whose,
    in_force,
    in_order,
    whose,
)

SETS = [
    frozenset(each)
    for size in range(len(Scope) + 1)
    for each in itertools.combinations(Scope, size)
]


def test_every_act_is_in_the_table() -> None:
    assert set(ALLOWED) == set(Act)
    assert all(ALLOWED.values())


@pytest.mark.parametrize("scopes", SETS, ids=in_order)
@pytest.mark.parametrize("act", Act)
def test_scopes_together_allow_what_one_of_them_allows(
    scopes: frozenset[Scope], act: Act
) -> None:
    each = [whose(frozenset({scope}), act) for scope in scopes]
    widest = Whose.ALL if Whose.ALL in each else Whose.OWN if Whose.OWN in each else None
    assert whose(scopes, act) is widest


def test_only_who_may_send_can_spend_or_change_anything() -> None:
    for scopes in SETS:
        assert (whose(scopes, Act.SPEND) is not None) == (Scope.SEND in scopes)
        assert whose(scopes, Act.SPEND) is not Whose.ALL


def test_only_an_operators_scope_opens_all_accounts() -> None:
    for act in set(Act) - OPERATORS_ACTS:
        for scope in set(Scope) - OPERATORS_SCOPES:
            assert whose(frozenset({scope}), act) is not Whose.ALL


def test_a_key_may_do_what_it_could_before_there_were_scopes() -> None:
    assert all(whose(DEFAULT_SCOPES, act) is not None for act in Act)


def test_a_customers_account_has_none_of_the_operators_scopes() -> None:
    everything = frozenset(Scope)
    assert in_force(everything, operator=True) == everything
    assert in_force(everything, operator=False) == {Scope.SEND, Scope.READ}


def test_scopes_are_printed_in_one_order() -> None:
    assert in_order({Scope.ADMIN, Scope.SEND, Scope.READ}) == "send, read, admin"
    assert in_order(frozenset()) == ""
