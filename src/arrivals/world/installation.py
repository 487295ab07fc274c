"""A scenario as an installation has it: providers, and the order in which routes try them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arrivals.core.catalogue import Provider
from arrivals.core.dialect import PLAIN, Dialect, SenderForm
from arrivals.world.scenario import DEFAULT_PROVIDER

if TYPE_CHECKING:
    from arrivals.world.provider import Provider as Played
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
        dialect=fitting(plays),
        ids_of=_tells_ids_of(name, scenario),
        settings={"system_id": name, "bind": "transceiver", "tls": False, **settings},
    )


def fitting(plays: Played) -> Dialect:
    """Return what to write down of a provider, so that everything of it is understood."""
    wanted = plays.dialect
    version = wanted.interface_version
    marked = plays.receipts.bends.classes.keys() <= {"headerless"}
    return Dialect(
        system_type=wanted.system_type or "",
        service_type=wanted.service_type or "",
        address_range=wanted.address_range or "",
        interface_version=PLAIN.interface_version if version is None else version,
        optional_parameters=not wanted.refuses_tlvs and wanted.user_message_reference,
        validity=wanted.validity[0],
        alphabet=wanted.alphabet,
        senders=tuple(
            SenderForm(pattern=each.pattern, ton=each.ton, npi=each.npi)
            for each in wanted.senders
        ),
        unmarked_receipts=not marked,
        long_messages=wanted.long_messages[0],
    )


def _tells_ids_of(name: str, scenario: Scenario) -> str | None:
    """Return the login whose receipts come on the binds of this one."""
    others = (each for each in providers_of(scenario) if each != name)
    tell = (each for each in others if scenario.provider(each).receipts.told_to == name)
    return next(tell, None)
