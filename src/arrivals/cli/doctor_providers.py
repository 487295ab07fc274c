"""What doctor says of the settings of providers: nobody is dialled for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from arrivals.cli.diagnosis import GOOD, LOOK, Answer

if TYPE_CHECKING:
    from arrivals.core.catalogue import Provider, Route
    from arrivals.flows.configuration import Configuration

# SMPP 3.4 section 4.1: 16 and 9 octets with the closing NUL.
SYSTEM_ID_CHARS: Final = 15
PASSWORD_CHARS: Final = 8
# What the published clients take for a route's number; they ask nobody.
PUBLISHED_ROUTES: Final = {
    "bridgexapi of PyPI": frozenset({1, 2, 3, 4, 5, 7, 8}),
    "bridgexapi of npm": frozenset(range(1, 7)),
}


def look_at_providers(wanted: Configuration) -> Iterator[Answer]:
    """Tell what is unusual about each provider, and about routes that lead to several."""
    for provider in wanted.providers:
        yield from _login(provider)
        yield from _dialect(provider)
    yield from _numbering(wanted.routes)
    known = {each.provider_id: each for each in wanted.providers}
    for route in wanted.routes:
        yield from _route(route, [known[name] for name in route.providers])


def _login(provider: Provider) -> Iterator[Answer]:
    from arrivals.runtime import password_of

    lengths = (
        ("system_id", len(str(provider.settings["system_id"])), SYSTEM_ID_CHARS),
        ("password", len(password_of(provider)), PASSWORD_CHARS),
    )
    for what, length, room in lengths:
        if length > room:
            yield Answer(
                what=f"{what} of {provider.provider_id}",
                state=LOOK,
                found=f"{length} characters, and SMPP 3.4 has room for {room}; sent whole",
                fix=f"if its bind is refused, ask for a shorter one: {_check(provider)}",
            )


def _dialect(provider: Provider) -> Iterator[Answer]:
    from arrivals.core.dialect import INTERFACE_3_4, PLAIN

    dialect = provider.dialect
    set_here = [
        each.name
        for each in dataclasses.fields(dialect)
        if getattr(dialect, each.name) != getattr(PLAIN, each.name)
    ]
    what = f"dialect of {provider.provider_id}"
    if set_here:
        yield Answer(what=what, state=GOOD, found=f"sets {', '.join(set_here)}")
    if dialect.interface_version >= INTERFACE_3_4:
        return
    version = f"interface_version {dialect.interface_version:#04x} is before SMPP 3.4"
    if dialect.optional_parameters:
        fix = "that version has no optional parameters: set optional_parameters = false"
        yield Answer(what=what, state=LOOK, found=version, fix=fix)
    if provider.settings.get("bind") == "transceiver":
        fix = 'that version has no transceivers: set bind = "transmitter+receiver"'
        yield Answer(what=what, state=LOOK, found=version, fix=fix)


def _numbering(routes: Sequence[Route]) -> Iterator[Answer]:
    """Tell which routes a published client refuses by their number, before it asks us."""
    for client, reached in PUBLISHED_ROUTES.items():
        out = [str(each.route_id) for each in routes if each.route_id not in reached]
        if out:
            yield Answer(
                what=f"routes for {client}",
                state=LOOK,
                found=f"that published client can't name: {', '.join(out)}",
                fix="if your customers use it, number the routes 1 to 5: docs/clients.md",
            )


def _route(route: Route, providers: list[Provider]) -> Iterator[Answer]:
    alphabets: dict[str, list[str]] = {}
    for each in providers:
        alphabets.setdefault(each.dialect.alphabet, []).append(each.provider_id)
    if len(alphabets) > 1:
        named = ", ".join(f"{name} ({', '.join(ids)})" for name, ids in alphabets.items())
        yield Answer(
            what=f"alphabets of route {route.route_id}",
            state=LOOK,
            found=f"its providers differ: {named}",
            fix="a text is priced by the first one's; where another takes over, it may be "
            "more segments than you charged",
        )


def _check(provider: Provider) -> str:
    return f"arrivals providers check {provider.provider_id}"
