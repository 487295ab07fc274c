"""`arrivals accounts`: open them, list them, and move money in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, Installation, place_of
from arrivals.cli.network import remove
from arrivals.cli.output import money, put_json, put_table, say
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from arrivals.core.money import Micros
    from arrivals.flows.administer import NewAccount
    from arrivals.store.rows import Balance

app = typer.Typer(help="Open accounts, list them, and move their money.", no_args_is_help=True)

AccountId = Annotated[int, typer.Argument(metavar="ACCOUNT", help="The account's number.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="A plain decimal such as 25.50.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the ledger.")]
Reference = Annotated[
    str,
    typer.Option(help="An invoice's or a payment's number: the same one is booked once only."),
]


def micros(text: str) -> Micros:
    """Return an amount exactly, or refuse it as a usage error."""
    from arrivals.core.money import InvalidAmount, parse_amount

    try:
        amount = parse_amount(text)
    except InvalidAmount as error:
        raise typer.BadParameter(f"{text!r}: {error}") from None
    if amount < 0:
        raise typer.BadParameter("an amount isn't negative")
    return amount


@app.command("list")
def list_accounts(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the accounts with their balances."""
    installation = Installation(place_of(data, config))
    catalogue = installation.catalogue()
    balances = installation.balances(tuple(catalogue.accounts))
    rows = [(catalogue.accounts[each], balances[each]) for each in sorted(catalogue.accounts)]
    if as_json:
        put_json(
            [
                {
                    "account_id": account.account_id,
                    "name": account.name,
                    "username": account.username,
                    "flow": account.flow.value,
                    **_amounts(balance),
                }
                for account, balance in rows
            ]
        )
        return
    put_table(
        ("account#", "username", "name", "available#", "held#", "limit#", "traffic"),
        [
            (
                account.account_id,
                account.username,
                account.name,
                money(balance.available, balance.currency),
                money(balance.held, balance.currency),
                money(balance.limit, balance.currency),
                account.flow.value,
            )
            for account, balance in rows
        ],
        "There are no accounts. Open one with: arrivals accounts create",
    )


@app.command("create")
def create_account(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is.")],
    username: Annotated[str, typer.Option(help="Short, for the API.")],
    currency: Annotated[str, typer.Option(help="Three letters.")] = "EUR",
    limit: Annotated[str, typer.Option(help="How far below zero it may go.")] = "0",
    sender: Annotated[
        list[str] | None, typer.Option(help="A registered sender id; repeat for more.")
    ] = None,
    route: Annotated[
        list[int] | None, typer.Option(help="A restricted route it may use; repeat for more.")
    ] = None,
    operator: Annotated[
        bool, flag("--operator", help="It may read what concerns all accounts.")
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Open an account with an empty balance."""
    from arrivals.flows.administer import CREATE_ACCOUNT, NewAccount

    wanted = NewAccount(
        name=name,
        username=username,
        currency=currency,
        credit_limit=micros(limit),
        senders=frozenset(sender or ()),
        routes=frozenset(route or ()),
        operator=operator,
    )
    _check(wanted)
    account = Installation(place_of(data, config)).do(CREATE_ACCOUNT, wanted)
    if as_json:
        put_json({"account_id": account.account_id, "username": account.username})
        return
    number = account.account_id
    say(f"Account {number} ({account.username}) is open. Next:")
    say(f'  arrivals accounts credit {number} 25 --reason "first payment" --reference P-1')
    say(f"  arrivals keys create --account {number}")


def _check(wanted: NewAccount) -> None:
    """Hold an account to what the settings file holds it to; a usage error."""
    from arrivals.config import problems_of_account

    problems = problems_of_account(
        {
            "id": 1,
            "name": wanted.name,
            "username": wanted.username,
            "currency": wanted.currency,
            "senders": sorted(wanted.senders),
            "routes": sorted(wanted.routes),
        }
    )
    if problems:
        raise typer.BadParameter("; ".join(str(each) for each in problems))


@app.command("credit")
def credit(
    account: AccountId,
    amount: Amount,
    reason: Reason,
    reference: Reference,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Book money that came in: external:funding to the account's funds."""
    _fund(place_of(data, config), account, micros(amount), reason, reference, as_json)


@app.command("debit")
def debit(
    account: AccountId,
    amount: Amount,
    reason: Reason,
    reference: Reference,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Book money that goes back: the account's funds to external:funding."""
    from arrivals.core.money import Micros

    taken = Micros(-micros(amount))
    _fund(place_of(data, config), account, taken, reason, reference, as_json)


def _fund(
    place: str | Path,
    account: int,
    amount: Micros,
    reason: str,
    reference: str,
    as_json: bool,
) -> None:
    from arrivals.flows.administer import FUND, Funding

    if not reference.strip():
        raise typer.BadParameter("it says what is booked once only", param_hint="--reference")
    funded = Installation(place).do(
        FUND, Funding(account_id=account, amount=amount, reason=reason, reference=reference)
    )
    if as_json:
        put_json(
            {
                "posting_id": funded.posting_id,
                "repeated": funded.repeated,
                "account_id": account,
                **_amounts(funded.balance),
            }
        )
        return
    if funded.repeated:
        say(f"{reference} was booked before, as posting {funded.posting_id}; nothing changed.")
    else:
        say(f"Booked as posting {funded.posting_id}.")
    say(f"Account {account}: {money(funded.balance.available, funded.balance.currency)}.")


@app.command("limit")
def limit_account(
    account: AccountId,
    amount: Amount,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Set how far below zero an account may go."""
    from arrivals.flows.administer import SET_LIMIT, NewLimit

    balance = Installation(place_of(data, config)).do(
        SET_LIMIT, NewLimit(account_id=account, limit=micros(amount))
    )
    if as_json:
        put_json({"account_id": account, **_amounts(balance)})
    else:
        say(f"Account {account} may go {money(balance.limit, balance.currency)} below zero.")


@app.command("remove")
def remove_account(
    account: AccountId, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Take an account away that has been drained and settled; its keys end with it.

    Refused while it has money, or messages that haven't ended. Its number is never given out
    again, and what it sent stays.
    """
    remove("account", str(account), data, config, as_json=as_json)


def _amounts(balance: Balance) -> dict[str, object]:
    from arrivals.core.money import Micros, json_number

    return {
        "currency": balance.currency,
        "available": json_number(Micros(balance.available)),
        "held": json_number(Micros(balance.held)),
        "credit_limit": json_number(Micros(balance.limit)),
    }
