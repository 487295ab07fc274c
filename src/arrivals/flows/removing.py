"""Take a provider, a route or an account away, once nothing depends on it any more.

What it did stays: messages, money and events name it for ever, so its document is kept and
marked, and left out of every snapshot. Whatever is under way isn't touched: the removal is
refused until it has ended. So drain first, and remove when the queue and the receipts are in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from arrivals.core.catalogue import Account, ApiKey, Catalogue, Flow, Provider, Route
from arrivals.core.money import Micros, format_amount
from arrivals.flows.administer import Impossible, administration, documents_of, put_document
from arrivals.store.api import Transaction

COUNTED_MAX: Final = 1_000  # of messages under way: enough to say that there are many


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What is to go."""

    kind: str  # account | provider | route
    name: str  # its id, as text


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What went with it."""

    keys: tuple[str, ...] = ()  # of an account: revoked for good


def remove(tx: Transaction, wanted: Removal) -> Removed:
    """Take it out of the catalogue; raises Impossible while anything depends on it."""
    catalogue = tx.catalogue()
    document = documents_of(catalogue).get((wanted.kind, wanted.name))
    if document is None or isinstance(document, ApiKey):
        raise Impossible(
            f"there is no {wanted.kind} {wanted.name}", f"see: arrivals {wanted.kind}s list"
        )
    called = f"{wanted.kind} {wanted.name}"
    if document.flow is not Flow.DRAINING:
        raise Impossible(
            f"{called} takes new messages",
            f"arrivals drain {called}, and remove it once what is under way has ended",
        )
    if problem := _needed_by(tx, catalogue, document):
        raise Impossible(*problem)
    under_way = tx.under_way(wanted.kind, wanted.name, COUNTED_MAX)
    if under_way:
        count = f"at least {under_way:,}" if under_way == COUNTED_MAX else f"{under_way:,}"
        raise Impossible(
            f"{called} has {count} messages that haven't ended",
            "wait for their outcomes, which deadlines bring at the latest: arrivals messages "
            "list --verdict open",
        )
    put_document(tx, replace(document, flow=Flow.REMOVED))
    if not isinstance(document, Account):
        return Removed()
    keys = [each for each in catalogue.keys.values() if each.account_id == document.account_id]
    for key in keys:
        put_document(tx, replace(key, active=False))
    return Removed(keys=tuple(sorted(each.key_id for each in keys)))


def _needed_by(
    tx: Transaction, catalogue: Catalogue, document: Account | Provider | Route
) -> tuple[str, str] | None:
    """Return what else would miss it, and what to do first, or None."""
    match document:
        case Provider(provider_id=name):
            return _of_provider(catalogue, name)
        case Route(route_id=route_id):
            for account in catalogue.accounts.values():
                if account.default_route == route_id:
                    needed = f"account {account.account_id} has route {route_id} by default"
                    return needed, "give it another default_route, then reload"
            return None
        case Account():
            balance = tx.balance(document.account_id)
            if balance is None or (balance.available, balance.held) == (0, 0):
                return None
            amount = format_amount(Micros(balance.available))
            return (
                f"account {document.account_id} has {amount} {document.currency}",
                "settle it first: arrivals accounts debit, or credit what it owes",
            )


def _of_provider(catalogue: Catalogue, name: str) -> tuple[str, str] | None:
    for route in catalogue.routes.values():
        if name in route.providers:
            fix = "take it out of that route's providers, then reload"
            return f"route {route.route_id} names provider {name}", fix
    for other in catalogue.providers.values():
        if other.ids_of == name:
            fix = "take that out, then reload"
            return f"provider {other.provider_id} says ids_of = {name!r}", fix
    return None


REMOVE: Final = administration("remove", remove)
