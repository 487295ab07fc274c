"""`arrivals keys`: make, list and revoke API keys."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, Installation, place_of
from arrivals.cli.output import on_stdout, put_json, put_table, say

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

Environment = Annotated[
    Literal["live", "test"],
    typer.Option(help="test keys reach sandbox providers only, live keys the others only."),
]


def new_key(environment: Literal["live", "test"]) -> str:
    """Return a key that nobody has."""
    from arrivals.clock import SystemChance
    from arrivals.core.ids import cell_name, key_suffix, make_api_key

    chance = SystemChance()
    return make_api_key(
        environment, cell_name(0), key_suffix(chance.entropy(8)), chance.entropy(32)
    )


@app.command("list")
def list_keys(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """List all keys; their secrets aren't kept anywhere."""
    catalogue = Installation(place_of(data, config)).catalogue()
    keys = sorted(catalogue.keys.values(), key=lambda key: (key.account_id, key.key_id))
    if as_json:
        put_json(
            [
                {
                    "key_id": each.key_id,
                    "account_id": each.account_id,
                    "environment": each.environment,
                    "name": each.name,
                    "active": each.active,
                }
                for each in keys
            ]
        )
        return
    put_table(
        ("key", "account#", "of", "environment", "name", "state"),
        [
            (
                each.key_id,
                each.account_id,
                catalogue.accounts[each.account_id].username,
                each.environment,
                each.name,
                "active" if each.active else "revoked",
            )
            for each in keys
        ],
        "There are no keys. Make one with: arrivals keys create --account 1",
    )


@app.command("create")
def create_key(
    account: Annotated[int, typer.Option(help="The account's number.")],
    environment: Environment = "live",
    name: Annotated[str, typer.Option(help="Says later what it is used for.")] = "",
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from arrivals.flows.administer import REGISTER_KEY
    from arrivals.flows.configuration import KeyToRegister

    key = new_key(environment)
    made = Installation(place_of(data, config)).do(
        REGISTER_KEY, KeyToRegister(account_id=account, name=name, key=key)
    )
    if as_json:
        put_json({"key_id": made.key_id, "account_id": account, "key": key})
        return
    say(key)
    on_stdout().print(
        f"Key {made.key_id} of account {account} ({environment}). It is shown this once only; "
        "a running server knows it within five seconds.",
        style="dim",
    )


@app.command("generate")
def generate_key(environment: Environment = "live", as_json: AsJson = False) -> None:
    """Print a new key without registering it: for key_file or key_env of a settings file."""
    key = new_key(environment)
    if as_json:
        put_json({"key": key})
    else:
        say(key)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Its eight characters.")],
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End a key for good; a running server refuses it within five seconds."""
    from arrivals.flows.administer import REVOKE_KEY

    key = Installation(place_of(data, config)).do(REVOKE_KEY, key_id)
    if as_json:
        put_json({"key_id": key.key_id, "account_id": key.account_id, "active": key.active})
    else:
        say(f"Key {key.key_id} of account {key.account_id} is revoked.")
