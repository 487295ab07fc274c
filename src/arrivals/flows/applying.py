"""Make an installation what a settings file asks for, in one transaction.

A file is applied again and again, and what operators did since by hand must outlast it: what
they paused, keys they revoked, funds they booked, and prices they imported. So a price file
counts only when it isn't the one that was applied last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from arrivals.core.catalogue import Account, ApiKey, Catalogue, Provider, Route
from arrivals.core.ids import parse_api_key
from arrivals.core.money import Micros
from arrivals.core.pricing import PriceRow
from arrivals.flows.administer import (
    Document,
    Funding,
    Impossible,
    NewPrices,
    administration,
    as_registered,
    documents_of,
    fund,
    has_prices,
    import_prices,
    limit_problem,
    place_of,
    put_account,
    put_document,
    scope_problem,
)
from arrivals.flows.configuration import Configuration
from arrivals.store.api import Transaction

OPENING_REFERENCE: Final = "opening-funds"
AT_START: Final = "settings_at_start"  # a setting, too
PRICES_APPLIED: Final = "prices_applied:{route_id}"  # a setting: the file's digest


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration changed, in words such as `route 3`."""

    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    left_alone: tuple[str, ...] = ()  # in the database and not in the configuration
    by_hand: tuple[str, ...] = ()  # prices that were imported since and stay
    at_restart: tuple[str, ...] = ()  # settings that differ from those of the last start


def apply_configuration(tx: Transaction, wanted: Configuration) -> Applied:
    """Make the installation what the configuration asks for, in one transaction.

    What it doesn't name stays as it is, and so does what operators paused. Raises Impossible,
    with every conflict, before anything is written.
    """
    catalogue = tx.catalogue()
    conflicts = _conflicts(tx, catalogue, wanted)
    if conflicts:
        raise Impossible("; ".join(conflicts), "nothing was changed")
    present = documents_of(catalogue)
    keys = [as_registered(tx, each) for each in wanted.keys]
    created, changed, unchanged = [], [], 0
    documents: tuple[Document, ...] = (
        *wanted.providers,
        *wanted.routes,
        *wanted.accounts,
        *keys,
    )
    for each in documents:
        before = present.pop(place_of(each), None)
        after = each if before is None else _keeping_flow(each, before)
        if before is None:
            created.append(" ".join(place_of(each)))
        elif after != before:
            changed.append(" ".join(place_of(each)))
        else:
            unchanged += 1
            continue
        if isinstance(after, Account):
            put_account(tx, after)
        else:
            put_document(tx, after)
    repriced, by_hand = _apply_prices(tx, catalogue, wanted.prices)
    changed += repriced
    for account_id, amount in wanted.opening_funds.items():
        if amount and tx.posted(account_id, OPENING_REFERENCE) is None:
            fund(tx, _opening(account_id, amount))
            changed.append(f"funds of account {account_id}")
    left_alone = tuple(" ".join(place) for place in present if place[0] != "key")
    return Applied(
        created=tuple(created),
        changed=tuple(changed),
        unchanged=unchanged,
        left_alone=left_alone,
        by_hand=tuple(by_hand),
        at_restart=_at_restart(tx, wanted),
    )


def note_start(tx: Transaction, wanted: Configuration) -> None:
    """Keep with what a server starts now, for `reload` to tell what it can't apply."""
    tx.set_setting(AT_START, msgspec.json.encode(wanted.at_start).decode())


def _at_restart(tx: Transaction, wanted: Configuration) -> tuple[str, ...]:
    """Return the settings that differ from those that the last server started with."""
    kept = tx.setting(AT_START)
    if kept is None or not wanted.at_start:
        return ()
    before = msgspec.json.decode(kept, type=dict[str, str])
    # A setting that an earlier version didn't know says nothing.
    changed = (key for key, value in wanted.at_start.items() if before.get(key, value) != value)
    return tuple(changed)


def _apply_prices(
    tx: Transaction, before: Catalogue, wanted: Mapping[int, tuple[PriceRow, ...]]
) -> tuple[list[str], list[str]]:
    """Import each file that isn't the one applied last; return what changed and what stays.

    A route whose currency changed has its prices anew whatever its file says.
    """
    routes = tx.catalogue().routes
    changed, by_hand = [], []
    for route_id, rows in wanted.items():
        name, digest = PRICES_APPLIED.format(route_id=route_id), _digest(routes[route_id], rows)
        present = before.prices.get(route_id)
        if present is not None and tx.setting(name) == digest:
            if not has_prices(present, routes[route_id].currency, rows):
                by_hand.append(f"prices of route {route_id} (version {present.version})")
            continue
        version = import_prices(tx, NewPrices(route_id=route_id, rows=rows))
        tx.set_setting(name, digest)  # behind the catalogue's lock, where there is one
        if version is not None:
            changed.append(f"prices of route {route_id} (version {version})")
    return changed, by_hand


def _digest(route: Route, rows: Sequence[PriceRow]) -> str:
    """Return what tells one price list from another, however its file is laid out."""
    lines = sorted((each.prefix, each.country, each.price) for each in rows)
    return hashlib.sha256(msgspec.json.encode((route.currency, lines))).hexdigest()


def _opening(account_id: int, amount: Micros) -> Funding:
    return Funding(
        account_id=account_id,
        amount=amount,
        reason="opening funds",
        reference=OPENING_REFERENCE,
    )


def _conflicts(tx: Transaction, catalogue: Catalogue, wanted: Configuration) -> list[str]:
    """Return what a configuration asks for that what is there does not allow."""
    found = []
    gone = {each.provider_id: each for each in catalogue.removed if isinstance(each, Provider)}
    for provider in wanted.providers:
        before = (gone | catalogue.providers).get(provider.provider_id)
        if before is not None and before.sandbox != provider.sandbox:
            found.append(
                f"provider {provider.provider_id} can't change `sandbox`: give it a new id"
            )
    for account in wanted.accounts:
        balance = tx.balance(account.account_id)
        if balance is not None and balance.currency != account.currency:
            found.append(
                f"account {account.account_id} has its balance in {balance.currency}: "
                "open another account for another currency"
            )
        elif problem := limit_problem(tx, account):
            found.append(problem)
    for route in wanted.routes:
        old = catalogue.routes.get(route.route_id)
        if (
            old is not None
            and old.currency != route.currency
            and route.route_id not in wanted.prices
        ):
            found.append(f"route {route.route_id} needs prices in {route.currency}")
    found += _key_conflicts(tx, catalogue, wanted)
    return found


def _key_conflicts(tx: Transaction, catalogue: Catalogue, wanted: Configuration) -> list[str]:
    found = []
    accounts = catalogue.accounts | {each.account_id: each for each in wanted.accounts}
    for key in wanted.keys:
        parts = parse_api_key(key.key)
        present = catalogue.keys.get(parts.key_id) if parts else None
        if present is not None and present.account_id != key.account_id:
            found.append(
                f"key {present.key_id} belongs to account {present.account_id}, "
                f"not to {key.account_id}: make a new key"
            )
        owner = accounts.get(key.account_id)
        if owner is not None and (lacks := scope_problem(owner, as_registered(tx, key))):
            found.append(": ".join(lacks))
    return found


def _keeping_flow(wanted: Document, before: Document) -> Document:
    """Return a document as wanted, but flowing as operators have set it since."""
    if isinstance(wanted, ApiKey):
        # A key that was revoked by hand isn't revived by a file that still lists it.
        return replace(wanted, active=wanted.active and getattr(before, "active", True))
    return replace(wanted, flow=getattr(before, "flow", wanted.flow))


APPLY_CONFIGURATION: Final = administration("apply_configuration", apply_configuration)
