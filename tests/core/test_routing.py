"""Which providers a message may go to, and why not to others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from arrivals.core.catalogue import Account, Catalogue, Flow, Provider, Route
from arrivals.core.routing import (
    choose,
    held_by,
    may_use,
    next_provider,
    next_usable,
    sender_allowed,
)

ROUTE = Route(
    route_id=1, name="one", display_name="One", category="alert", access="public",
    sender_policy="any", currency="EUR", providers=("north", "south", "far", "live"),
)  # fmt: skip
ACCOUNT = Account(account_id=1, name="a", username="a", currency="EUR")


def catalogue(**changes: dict[str, Any]) -> Catalogue:
    providers = {
        name: replace(
            Provider(provider_id=name, sandbox=name != "live"), **changes.get(name, {})
        )
        for name in ROUTE.providers
    }
    return Catalogue(
        version=1, accounts={1: ACCOUNT}, keys={}, providers=providers, routes={1: ROUTE},
        prices={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("access", "granted", "denied", "allowed"),
    [
        ("public", False, False, True),
        ("public", False, True, False),
        ("restricted", False, False, False),
        ("restricted", True, False, True),
        ("restricted", True, True, False),
    ],
)
def test_who_may_use_a_route(access: str, granted: bool, denied: bool, allowed: bool) -> None:
    account = replace(
        ACCOUNT,
        routes=frozenset({1} if granted else ()),
        denied_routes=frozenset({1} if denied else ()),
    )
    assert may_use(account, replace(ROUTE, access=access)) is allowed


def test_senders_are_free_or_registered() -> None:
    registered = replace(ROUTE, sender_policy="registered")
    owner = replace(ACCOUNT, senders=frozenset({"ACME"}))
    assert sender_allowed(ACCOUNT, ROUTE, "ANY")
    assert sender_allowed(owner, registered, "ACME")
    assert not sender_allowed(owner, registered, "OTHER")


def test_test_keys_see_sandboxes_and_live_keys_the_world() -> None:
    """Invariant 46."""
    test = choose(catalogue(), ROUTE, "test")
    live = choose(catalogue(), ROUTE, "live")
    assert test.providers == ("north", "south", "far")
    assert live.providers == ("live",)
    assert {each.provider_id: each.why_not for each in test.considered} == {
        "north": None, "south": None, "far": None, "live": "live_provider_and_test_key",
    }  # fmt: skip
    assert live.considered[0].why_not == "sandbox_provider_and_live_key"
    assert (test.first, live.first) == ("north", "live")


def test_a_provider_that_is_being_emptied_is_passed_over() -> None:
    found = choose(catalogue(north={"flow": Flow.DRAINING}), ROUTE, "test")
    assert (found.first, found.considered[0].why_not) == ("south", "draining")
    paused = choose(catalogue(north={"flow": Flow.PAUSED}), ROUTE, "test")
    assert paused.first == "north"


def test_there_may_be_nobody() -> None:
    assert choose(catalogue(), replace(ROUTE, providers=()), "test").first is None


def test_the_next_is_further_down_the_order() -> None:
    order = ("north", "south")
    assert next_provider(order, "north") == "south"
    assert next_provider(order, "south") is None
    assert next_provider(order, "nobody") is None


@pytest.mark.parametrize(
    ("changes", "avoid", "found"),
    [
        ({}, (), "south"),
        ({}, ("south",), "far"),
        ({"south": {"flow": Flow.DRAINING}}, (), "far"),
        ({"south": {"flow": Flow.PAUSED}}, (), "south"),
        ({"south": {"sandbox": False}}, (), "far"),
        ({}, ("south", "far"), None),  # `live` is no place for a sandbox's message
    ],
)
def test_the_next_usable_one(
    changes: dict[str, Any], avoid: tuple[str, ...], found: str | None
) -> None:
    """Invariant 46 holds for failover too."""
    assert next_usable(catalogue(**changes), ROUTE.providers, "north", avoid) == found


def test_a_provider_that_is_no_more_is_passed_over() -> None:
    known = catalogue()
    del known.providers["south"]
    assert next_usable(known, ROUTE.providers, "north") == "far"
    del known.providers["north"]
    assert next_usable(known, ROUTE.providers, "north") == "far"


@pytest.mark.parametrize(
    ("account", "route", "provider", "up", "expected"),
    [
        (Flow.ACTIVE, Flow.ACTIVE, Flow.ACTIVE, True, []),
        (Flow.DRAINING, Flow.DRAINING, Flow.DRAINING, True, []),
        (Flow.ACTIVE, Flow.ACTIVE, Flow.ACTIVE, False, ["provider north can't be reached"]),
        (Flow.ACTIVE, Flow.ACTIVE, Flow.PAUSED, False, ["provider north is paused"]),
        (Flow.PAUSED, Flow.PAUSED, Flow.ACTIVE, True,
         ["its account is paused", "route 1 is paused"]),
    ],
)  # fmt: skip
def test_what_holds_a_message_is_said(
    account: Flow, route: Flow, provider: Flow, up: bool, expected: list[str]
) -> None:
    """Every cause is named; draining lets a queue empty."""
    found = replace(
        catalogue(north={"flow": provider}),
        accounts={1: replace(ACCOUNT, flow=account)},
        routes={1: replace(ROUTE, flow=route)},
    )
    assert held_by(found, 1, 1, "north", up=up) == expected


def test_what_ails_its_provider_is_said_of_one_that_can_be_reached() -> None:
    found, slow = catalogue(), "is slowing us"
    assert held_by(found, 1, 1, "north", up=True, ails=slow) == ["provider north is slowing us"]
    assert held_by(found, 1, 1, "north", up=False, ails=slow) == [
        "provider north can't be reached"
    ]
