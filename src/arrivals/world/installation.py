"""A scenario as an installation has it: providers, and the order in which routes try them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arrivals.core.catalogue import Provider
from arrivals.world.scenario import DEFAULT_PROVIDER

if TYPE_CHECKING:
    from arrivals.world.scenario import Scenario

PROVIDERS: Final = ("north", "south")  # in every scenario; some have more


def providers_of(scenario: Scenario) -> tuple[str, ...]:
    """Return the names of those that a scenario has, the usual ones first."""
    named = [name for name in scenario.providers if name != DEFAULT_PROVIDER]
    return tuple(dict.fromkeys((*PROVIDERS, *named)))


def in_order(route_id: int, providers: tuple[str, ...]) -> tuple[str, ...]:
    """Let each provider be the first of some routes, from route 1 on."""
    first = (route_id - 1) % len(providers)
    return providers[first:] + providers[:first]


def provider_as_installed(
    name: str, scenario: Scenario, settings: dict[str, object]
) -> Provider:
    """Return a provider's row in the catalogue; `settings` say where and how to dial."""
    plays = scenario.provider(name)
    return Provider(
        provider_id=name,
        sandbox=True,
        # Half of what it takes: a lost answer stands in its window longer than in ours.
        window=max(1, plays.window // 2),
        error_namespace=plays.error_namespace,
        expired_is_final=not plays.receipts.gives_up_after_s,
        settings={"system_id": name, "bind": "transceiver", "tls": False, **settings},
    )
