"""Which providers of a route may carry a message, in what order, and why the others may not."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import msgspec

from arrivals.core.catalogue import Account, Catalogue, Flow, Provider, Route


class Considered(msgspec.Struct, frozen=True):
    """One provider that routing looked at; `why_not` is None when it may be the first."""

    provider_id: str
    why_not: str | None


OWN_ORDER: Final = "the route's own order of providers"


class RouteDecision(msgspec.Struct, frozen=True):
    route_id: int
    providers: tuple[str, ...]  # eligible, in the order they will be tried
    considered: tuple[Considered, ...]
    rule: str = OWN_ORDER

    @property
    def first(self) -> str | None:
        """The provider whose queue the message enters, or None if there is none."""
        return self.providers[0] if self.providers else None


def may_use(account: Account, route: Route) -> bool:
    """Tell whether the account is allowed on the route."""
    if route.route_id in account.denied_routes:
        return False
    return route.access == "public" or route.route_id in account.routes


def sender_allowed(account: Account, route: Route, sender: str) -> bool:
    """Tell whether the sender id may be used: any, or one registered to the account."""
    return route.sender_policy == "any" or sender in account.senders


def choose(catalogue: Catalogue, route: Route, environment: str) -> RouteDecision:
    """Order the route's providers for one environment, with a reason for each that loses."""
    considered = [
        Considered(name, _why_not(catalogue.providers[name], environment))
        for name in route.providers
    ]
    eligible = [each.provider_id for each in considered if each.why_not is None]
    return RouteDecision(route.route_id, tuple(eligible), tuple(considered))


def next_provider(decision_order: tuple[str, ...], tried: str) -> str | None:
    """Return the provider after `tried` in the order fixed at accept, or None at its end."""
    if tried not in decision_order:
        return None
    position = decision_order.index(tried) + 1
    return decision_order[position] if position < len(decision_order) else None


def next_usable(
    catalogue: Catalogue, order: tuple[str, ...], tried: str, avoid: Container[str] = ()
) -> str | None:
    """Return the next provider that takes new messages, past those to `avoid`, or None.

    It is of the same kind as `tried`: a sandbox's messages stay in sandboxes (invariant 46).
    """
    before = catalogue.providers.get(tried)
    target = next_provider(order, tried)
    while target is not None:
        provider = catalogue.providers.get(target)
        if (
            provider is not None
            and provider.flow is not Flow.DRAINING
            and (before is None or provider.sandbox is before.sandbox)
            and target not in avoid
        ):
            return target
        target = next_provider(order, target)
    return None


def held_by(
    catalogue: Catalogue,
    account_id: int,
    route_id: int,
    provider_id: str,
    *,
    up: bool,
    ails: str | None = None,
) -> list[str]:
    """Return what keeps a queued message here, as clauses; `up` is of its provider's bind.

    `ails` says what else is wrong with the provider, if something is.
    """
    account, route = catalogue.accounts.get(account_id), catalogue.routes.get(route_id)
    provider = catalogue.providers.get(provider_id)
    found = []
    if account is not None and account.flow is Flow.PAUSED:
        found.append("its account is paused")
    if route is not None and route.flow is Flow.PAUSED:
        found.append(f"route {route_id} is paused")
    if provider is not None and provider.flow is Flow.PAUSED:
        found.append(f"provider {provider_id} is paused")
    elif not up:
        found.append(f"provider {provider_id} can't be reached")
    elif ails is not None:
        found.append(f"provider {provider_id} {ails}")
    return found


def _why_not(provider: Provider, environment: str) -> str | None:
    if provider.sandbox and environment != "test":
        return "sandbox_provider_and_live_key"
    if not provider.sandbox and environment == "test":
        return "live_provider_and_test_key"
    if provider.flow is Flow.DRAINING:
        return "draining"
    return None
