"""Read the catalogue from its documents and its price lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Account, ApiKey, Catalogue, Flow, Provider, Route
from arrivals.core.money import Micros
from arrivals.core.pricing import PriceList, Rate

_DOCUMENTS: Final[dict[str, type[Any]]] = {
    "account": Account,
    "key": ApiKey,
    "provider": Provider,
    "route": Route,
}


def read_catalogue(rows: Callable[..., list[Any]]) -> Catalogue:
    """Read the whole catalogue; `rows` runs a named statement and returns its rows."""
    found: dict[str, list[Any]] = {kind: [] for kind in _DOCUMENTS}
    for kind, body in rows("catalogue"):
        found[kind].append(msgspec.json.decode(body, type=_DOCUMENTS[kind]))
    prices = {
        route_id: PriceList(
            route_id=route_id,
            version=version,
            currency=currency,
            rates=tuple(
                Rate(rate_id=rate_id, prefix=prefix, country=country, price=Micros(price))
                for rate_id, prefix, country, price in rows("rates", route_id, version)
            ),
        )
        for route_id, version, currency in rows("price_lists")
    }
    removed = [
        each
        for kind in ("account", "provider", "route")
        for each in found[kind]
        if each.flow is Flow.REMOVED
    ]
    for kind in ("account", "provider", "route"):
        found[kind] = [each for each in found[kind] if each.flow is not Flow.REMOVED]
    accounts = {each.account_id: each for each in found["account"]}
    version = rows("setting", "catalogue_version")
    return Catalogue(
        version=int(version[0][0]) if version else 0,
        accounts=accounts,
        keys={each.key_id: each for each in found["key"] if each.account_id in accounts},
        providers={each.provider_id: each for each in found["provider"]},
        routes={each.route_id: each for each in found["route"]},
        prices=prices,
        removed=tuple(removed),
    )
