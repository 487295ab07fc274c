"""What a key may do: its scopes, what each of them opens, and whose messages it reads.

An operation is one of a few acts. The table says which scopes allow an act, and whether they
allow it for the key's own account or for everybody's. What isn't in the table is refused.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import cache
from typing import Final


class Scope(StrEnum):
    """What a key is for; a key has one or more of them."""

    SEND = "send"  # spends its account's money
    READ = "read"  # what its account may see
    SUPPORT = "support"  # messages of all accounts, and nothing that changes any
    ADMIN = "admin"  # what the operator may see


class Act(StrEnum):
    """What an operation does, as far as it matters who may."""

    SPEND = "spend"  # sends, or changes what becomes of a message
    ASK_PRICE = "ask_price"  # commits to nothing
    READ_MESSAGES = "read_messages"  # and orders, batches, and what became of them
    READ_ACCOUNT = "read_account"  # its balance and its request log
    READ_ROUTES = "read_routes"  # what may be sent over, at what price, and how that delivers
    READ_ALARMS = "read_alarms"  # the operator's
    READ_MODEL = "read_model"  # the operator's: how good forecasts were


class Whose(StrEnum):
    """For whom an act is allowed."""

    OWN = "own"  # the key's account
    ALL = "all"  # every account


DEFAULT_SCOPES: Final = frozenset({Scope.SEND, Scope.READ})
# Of the operator's own accounts only: what they open is everybody's.
OPERATORS_SCOPES: Final = frozenset({Scope.SUPPORT, Scope.ADMIN})

_OWN, _ALL = Whose.OWN, Whose.ALL
ALLOWED: Final[dict[Act, dict[Scope, Whose]]] = {
    Act.SPEND: {Scope.SEND: _OWN},
    Act.ASK_PRICE: {Scope.SEND: _OWN, Scope.READ: _OWN},
    Act.READ_MESSAGES: {Scope.READ: _OWN, Scope.SUPPORT: _ALL, Scope.ADMIN: _ALL},
    Act.READ_ACCOUNT: {Scope.READ: _OWN},
    Act.READ_ROUTES: dict.fromkeys(Scope, _OWN),
    Act.READ_ALARMS: {Scope.READ: _ALL, Scope.SUPPORT: _ALL, Scope.ADMIN: _ALL},
    Act.READ_MODEL: {Scope.READ: _ALL, Scope.ADMIN: _ALL},
}
# Whatever scope allows them, these are for accounts of the operator's.
OPERATORS_ACTS: Final = frozenset({Act.READ_ALARMS, Act.READ_MODEL})


@cache
def in_force(scopes: frozenset[Scope], *, operator: bool) -> frozenset[Scope]:
    """Return the scopes that count: on a customer's account, none of the operator's."""
    return scopes if operator else scopes - OPERATORS_SCOPES


@cache
def whose(scopes: frozenset[Scope], act: Act) -> Whose | None:
    """Return for whom these scopes allow an act, or None if they don't."""
    found = {ALLOWED[act].get(each) for each in scopes} - {None}
    return _ALL if _ALL in found else _OWN if found else None


def in_order(scopes: AbstractSet[Scope]) -> str:
    """Print scopes as `send, read`, in the order in which they are explained."""
    return ", ".join(each for each in Scope if each in scopes)
