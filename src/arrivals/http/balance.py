"""What an account has left to spend."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from arrivals.core.money import Micros, json_number
from arrivals.core.permissions import Act
from arrivals.http.answers import Money
from arrivals.http.endpoints import Endpoint, endpoint
from arrivals.http.exchange import Request, Response, json_response

ROUTES: Final[list[Endpoint]] = []


class BalanceAnswer(msgspec.Struct, kw_only=True):
    """An account's funds: `balance` is what can be spent, holds already taken off."""

    status: str = "success"
    balance: Money
    currency: str
    sandbox: Annotated[bool, msgspec.Meta(description="The key only reaches the carrier world")]
    username: str
    held: Money
    credit_limit: Money


@endpoint(
    ROUTES,
    "GET",
    "/api/v1/balance",
    act=Act.READ_ACCOUNT,
    summary="Read the balance",
    tag="Account",
    answers=BalanceAnswer,
)
async def read_balance(request: Request) -> Response:
    """Return the funds less the holds of open messages."""
    account = request.account
    found = await request.platform.store.read(lambda reader: reader.balance(account.account_id))
    return json_response(
        BalanceAnswer(
            balance=json_number(Micros(found.available if found else 0)),
            currency=account.currency,
            sandbox=request.key.environment == "test",
            username=account.username,
            held=json_number(Micros(found.held if found else 0)),
            credit_limit=json_number(Micros(found.limit if found else 0)),
        )
    )
