"""What `arrivals dev` sets up: routes, providers, prices, five keys, and funds to try them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from arrivals.cli.connection import DEV_FILE
from arrivals.cli.output import Stop
from arrivals.core.catalogue import Account, Provider, Route
from arrivals.core.ids import cell_name, key_suffix, make_api_key, parse_api_key
from arrivals.core.money import MICROS_PER_UNIT, Micros
from arrivals.core.phone import SANDBOX_CODE, countries
from arrivals.core.pricing import PriceRow
from arrivals.flows.applying import apply_configuration
from arrivals.flows.configuration import Configuration, KeyToRegister
from arrivals.store.api import Transaction
from arrivals.world.installation import (
    PROVIDERS,
    in_order,
    provider_as_installed,
    providers_of,
)
from arrivals.world.scenario import Scenario

CURRENCY: Final = "EUR"
SENDERS: Final = frozenset({"ARRIVALS", "BRIDGEXAPI"})
FUNDS: Final = Micros(10_000 * MICROS_PER_UNIT)
SANDBOX_PASSWORD: Final = "world"  # noqa: S105 - the carrier world's, in every example
RESTRICTED: Final = frozenset({5, 7, 8})
DEV_FILE_MODE: Final = 0o600

MAIN, EMPTY, PUBLIC, OTHER = 1, 2, 3, 4  # accounts


def _route(route_id: int, name: str, *, category: str = "alert") -> Route:
    return Route(
        route_id=route_id,
        name=name,
        display_name=name,
        category=category,
        access="restricted" if route_id in RESTRICTED else "public",
        sender_policy="registered" if route_id == 8 else "any",
        currency=CURRENCY,
        providers=in_order(route_id, PROVIDERS),
    )


ROUTES: Final = (
    _route(1, "Economy", category="bulk"),
    _route(2, "Standard"),
    _route(3, "Premium"),
    _route(4, "Direct"),
    _route(5, "Casino", category="bulk"),
    _route(6, "Wholesale", category="bulk"),
    _route(7, "iGaming", category="bulk"),
    _route(8, "OTP Platform", category="otp"),
)

# Demo prices per segment, in micro-units: by calling code where a price is known well enough
# to look plausible, one for everybody else, and the route's own share of it.
PRICE: Final = 65_000
PRICES: Final = {
    "1": 12_000, "7": 48_000, "31": 87_000, "32": 92_000, "33": 58_000, "34": 55_000,
    "39": 62_000, "44": 46_000, "49": 84_000, "52": 31_000, "55": 28_000, "61": 44_000,
    "81": 68_000, "86": 39_000, "90": 21_000, "91": 9_000, "234": 71_000, "351": 41_000,
}  # fmt: skip
PRICE_SANDBOX: Final = 10_000
PERCENT: Final = {1: 60, 2: 80, 3: 100, 4: 120, 5: 140, 6: 50, 7: 130, 8: 110}
PRICE_STEP: Final = 500  # half a tenth of a cent: price lists are rounded


def demo_prices(route_id: int) -> tuple[PriceRow, ...]:
    """Return the demo price list of a route: every calling code, the sandbox's at 0.01."""
    names: dict[str, str] = {}
    for country in countries():
        names.setdefault(country.calling_code, country.name)
    return tuple(
        PriceRow(country=name, prefix=code, price=_price(route_id, code))
        for code, name in names.items()
    )


def _price(route_id: int, code: str) -> Micros:
    if code == SANDBOX_CODE:
        return Micros(PRICE_SANDBOX)
    exact = PRICES.get(code, PRICE) * PERCENT[route_id] // 100
    return Micros(max(PRICE_STEP, exact - exact % PRICE_STEP))


def _account(
    account_id: int,
    name: str,
    *,
    routes: frozenset[int] = RESTRICTED,
    default_route: int = 3,
    operator: bool = False,
) -> Account:
    return Account(
        account_id=account_id,
        name=name.capitalize(),
        username=name,
        currency=CURRENCY,
        default_route=default_route,
        routes=routes,
        senders=SENDERS,
        operator=operator,
    )


ACCOUNTS: Final = (
    _account(MAIN, "main", operator=True),
    _account(EMPTY, "empty"),
    _account(PUBLIC, "public", routes=frozenset()),
    _account(OTHER, "other"),
)
ACCOUNT_OF_KEY: Final = {
    "main": MAIN,
    "empty": EMPTY,
    "revoked": MAIN,
    "public": PUBLIC,
    "other": OTHER,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SandboxAddress:
    """Where the carrier world listens, and how its providers behave."""

    host: str
    port: int
    scenario: Scenario

    @property
    def providers(self) -> tuple[str, ...]:
        """Those that the scenario has."""
        return providers_of(self.scenario)


def _provider(name: str, world: SandboxAddress) -> Provider:
    settings: dict[str, object] = {
        "host": world.host,
        "port": world.port,
        "password": SANDBOX_PASSWORD,
    }
    return provider_as_installed(name, world.scenario, settings)


def dev_preparation(
    keys: Mapping[str, str], world: SandboxAddress
) -> Callable[[Transaction], None]:
    """Return what brings a data folder's installation into shape for development.

    Providers follow the world's port, those of earlier scenarios too, and keys follow
    dev.json. Routes, accounts and prices are set up once, with the providers of that time's
    scenario: what somebody changed in them since stays.
    """

    def prepare(tx: Transaction) -> None:
        catalogue = tx.catalogue()
        earlier = (name for name, each in catalogue.providers.items() if each.sandbox)
        routes = tuple(
            replace(each, providers=in_order(each.route_id, world.providers))
            for each in ROUTES
            if each.route_id not in catalogue.routes
        )
        accounts = tuple(each for each in ACCOUNTS if each.account_id not in catalogue.accounts)
        configuration = Configuration(
            providers=tuple(
                _provider(name, world) for name in dict.fromkeys((*world.providers, *earlier))
            ),
            routes=routes,
            prices={
                each.route_id: demo_prices(each.route_id)
                for each in ROUTES
                if each.route_id not in catalogue.prices
            },
            accounts=accounts,
            opening_funds={
                each.account_id: FUNDS for each in accounts if each.account_id != EMPTY
            },
            keys=tuple(
                KeyToRegister(
                    account_id=ACCOUNT_OF_KEY[name],
                    name=name,
                    key=key,
                    active=name != "revoked",
                )
                for name, key in keys.items()
            ),
        )
        apply_configuration(tx, configuration)

    return prepare


# --- dev.json -----------------------------------------------------------------------------


def dev_keys(data: Path, entropy: Callable[[int], bytes]) -> dict[str, str]:
    """Return the five keys of a data folder, made and kept when they aren't there yet."""
    path = data / DEV_FILE
    kept: object = None
    if path.exists():
        try:
            kept = msgspec.json.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            raise Stop(
                f"{path} can't be read",
                "mend or remove it; removing it makes new keys for the same data",
            ) from None
    found = kept.get("keys") if isinstance(kept, dict) else None
    keys = dict(found) if isinstance(found, dict) else {}
    whole = {
        name: keys[name] if parse_api_key(str(keys.get(name))) else _new_key(entropy)
        for name in ACCOUNT_OF_KEY
    }
    if whole != keys:
        write_dev_file(data, {"keys": whole})
    return whole


def _new_key(entropy: Callable[[int], bytes]) -> str:
    return make_api_key("test", cell_name(0), key_suffix(entropy(8)), entropy(32))


def write_dev_file(data: Path, contents: Mapping[str, object]) -> None:
    """Write dev.json for its owner's eyes only, whole or not at all; raises Stop."""
    path = data / DEV_FILE
    unfinished = path.with_suffix(".unfinished")
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.unlink(missing_ok=True)
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, DEV_FILE_MODE)
        with os.fdopen(file, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(contents)) + b"\n")
        unfinished.replace(path)
    except OSError as error:
        raise Stop(
            f"{path} can't be written: {error.strerror}", "choose another folder with --data"
        ) from None
