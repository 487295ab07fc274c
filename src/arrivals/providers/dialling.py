"""Where a provider is dialled and what the bind says, from its settings."""

from __future__ import annotations

import ssl
from typing import Final

from arrivals.core.catalogue import Provider
from arrivals.providers.link import LinkSettings
from arrivals.smpp import constants as c

WINDOW_MAX: Final = 5_000
BINDS: Final = {
    "transceiver": (c.BIND_TRANSCEIVER,),
    # The receivers first: no receipt is homeless when the first message goes out.
    "transmitter+receiver": (c.BIND_RECEIVER, c.BIND_TRANSMITTER),
}

Address = tuple[str, int]


def link_settings(provider: Provider, password: str) -> LinkSettings:
    """Return where a provider is dialled, and what the bind says."""
    settings, dialect = provider.settings, provider.dialect
    context: ssl.SSLContext | None = None
    if settings.get("tls"):
        authority = settings.get("tls_ca")
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
    return LinkSettings(
        host=str(settings["host"]),
        port=int(str(settings["port"])),
        system_id=str(settings["system_id"]),
        password=password,
        system_type=dialect.system_type,
        address_range=dialect.address_range,
        interface_version=dialect.interface_version,
        window=min(provider.window, WINDOW_MAX),
        response_timeout_s=float(str(settings.get("response_timeout_s", 10.0))),
        enquire_link_s=float(str(settings.get("enquire_link_s", 15.0))),
        tls=context,
    )


def addresses_of(provider: Provider) -> list[Address]:
    """Return the hosts and ports at which a provider is dialled, in order."""
    settings = provider.settings
    hosts = settings.get("hosts")
    if isinstance(hosts, list):
        return [(str(host), int(port)) for host, port in hosts]
    return [(str(settings["host"]), int(str(settings["port"])))]
