"""Whose messages a request reads: its own account's, or with the scope `support` anybody's.

What a key's scopes allow is decided before an endpoint is called. An endpoint asks here for the
account to read as, so that every look into the store names one, whoever asks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arrivals.core.errors import Code, refuse
from arrivals.core.permissions import Scope, Whose, in_order
from arrivals.http.endpoints import Parameter
from arrivals.http.exchange import Request, query_invalid, whole_number

if TYPE_CHECKING:
    from arrivals.store.queries import Reader

ACCOUNT: Final = Parameter(
    name="account_id",
    about="Whose; another than the key's own takes the scope support",
    type="integer",
)
_WRITTEN: Final = re.compile(r"\w")


def named_account(request: Request) -> int | None:
    """Return the account whose rows are asked for; None: of all, which only support may."""
    own, text = request.account.account_id, request.query.get("account_id")
    if text is None:
        return None if request.whose is Whose.ALL else own
    number = whole_number(text)
    if number is None:
        raise query_invalid("account_id", "must be a whole number")
    if number != own and request.whose is not Whose.ALL:
        has, needs = in_order(request.key.scopes), str(Scope.SUPPORT)
        raise refuse(Code.SCOPE_MISSING, has=has, needs=needs)
    if request.platform.catalogue.account(number) is None:
        raise refuse(Code.NOT_FOUND, what="account")
    return number


def one_account(request: Request) -> int:
    """Return the one account whose rows are asked for; support must name it."""
    found = named_account(request)
    if found is None:
        raise query_invalid("account_id", "is needed with this key: whose are wanted?")
    return found


def owner_of_order(request: Request, reader: Reader, order_id: int) -> int:
    """Return the account to read an order or its messages as: for support, its owner."""
    own = request.account.account_id
    if request.whose is not Whose.ALL:
        return own
    owner = reader.owner_of_order(order_id)
    return own if owner is None else owner


def owner_of_batch(request: Request, reader: Reader, batch_id: int) -> int:
    """Return the account to read a batch as: for support, its owner."""
    own = request.account.account_id
    if request.whose is not Whose.ALL:
        return own
    owner = reader.owner_of_batch(batch_id)
    return own if owner is None else owner


def currency_of(request: Request, account_id: int) -> str:
    """Return the currency of an account whose rows were found."""
    found = request.platform.catalogue.account(account_id)
    return request.account.currency if found is None else found.currency


def veiled(text: str) -> str:
    """Return a text of another account's as support may see it: its shape, and no word of it.

    It has as many segments as the text itself: every letter of an alphabet takes what x does.
    """
    return _WRITTEN.sub("x", text)
