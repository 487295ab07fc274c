"""`arrivals keys`: make, list and revoke API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, Installation, place_of
from arrivals.cli.output import on_stdout, put_json, put_table, say
from arrivals.core.permissions import DEFAULT_SCOPES, Scope, in_order

if TYPE_CHECKING:
    from arrivals.core.catalogue import ApiKey

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

Environment = Annotated[
    Literal["live", "test"],
    typer.Option(help="test keys reach sandbox providers only, live keys the others only."),
]


Scopes = Annotated[
    list[Scope] | None,
    typer.Option(
        "--scope",
        help="What it may do; repeat for more. support reads all accounts' messages and can't "
        "send; admin reads what the operator may. [else send and read]",
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="WHEN",
        help="Refused after it: a day such as 2027-01-31 (to its end, UTC), RFC 3339, or 90d.",
    ),
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
    """List all keys with when each was used last; their secrets aren't kept anywhere."""
    from arrivals.clock import SystemClock

    installation = Installation(place_of(data, config))
    catalogue = installation.catalogue()
    keys = sorted(catalogue.keys.values(), key=lambda key: (key.account_id, key.key_id))
    used = installation.last_uses(tuple(each.key_id for each in keys))
    now_us = SystemClock().now_us()
    if as_json:
        put_json([_shown(each, used.get(each.key_id), now_us) for each in keys])
        return
    put_table(
        ("key", "account#", "of", "environment", "scopes", "name", "used", "expires", "state"),
        [
            (
                each.key_id,
                each.account_id,
                catalogue.accounts[each.account_id].username,
                each.environment,
                in_order(each.scopes),
                each.name,
                _minute(used.get(each.key_id)) or "never",
                _minute(each.expires_at_us) or "never",
                _state(each, now_us),
            )
            for each in keys
        ],
        "There are no keys. Make one with: arrivals keys create --account 1",
    )


def _shown(key: ApiKey, used_at_us: int | None, now_us: int) -> dict[str, Any]:
    from arrivals.core.instants import rfc3339

    moments = {"last_used_at": used_at_us, "expires_at": key.expires_at_us}
    return {
        "key_id": key.key_id,
        "account_id": key.account_id,
        "environment": key.environment,
        "name": key.name,
        "active": _state(key, now_us) == "active",
        "state": _state(key, now_us),
        "scopes": [each.value for each in Scope if each in key.scopes],
        **{name: None if at is None else rfc3339(at) for name, at in moments.items()},
    }


def _state(key: ApiKey, now_us: int) -> str:
    if not key.active:
        return "revoked"
    ended = key.expires_at_us is not None and now_us >= key.expires_at_us
    return "expired" if ended else "active"


def _minute(at_us: int | None) -> str:
    """Print a moment to its minute, in UTC; nothing for None."""
    from arrivals.core.instants import rfc3339

    return "" if at_us is None else rfc3339(at_us)[:16].replace("T", " ")


@app.command("create")
def create_key(
    account: Annotated[int, typer.Option(help="The account's number.")],
    environment: Environment = "live",
    name: Annotated[str, typer.Option(help="Says later what it is used for.")] = "",
    scope: Scopes = None,
    expires: Expires = None,
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from arrivals.flows.administer import REGISTER_KEY
    from arrivals.flows.configuration import KeyToRegister

    key = new_key(environment)
    wanted = KeyToRegister(
        account_id=account,
        name=name,
        key=key,
        scopes=frozenset(scope) if scope else DEFAULT_SCOPES,
        expires_at_us=_end(expires),
    )
    made = Installation(place_of(data, config)).do(REGISTER_KEY, wanted)
    if as_json:
        shown = _shown(made, None, 0)
        kept = ("key_id", "account_id", "scopes", "expires_at")
        put_json({"key": key} | {each: shown[each] for each in kept})
        return
    say(key)
    until = f" until {_minute(made.expires_at_us)} UTC" if made.expires_at_us else ""
    what = f"{environment}; {in_order(made.scopes)}"
    on_stdout().print(
        f"Key {made.key_id} of account {account} ({what}){until}. "
        "It is shown this once only; a running server knows it within five seconds.",
        style="dim",
    )


def _end(text: str | None) -> int | None:
    """Return when a key ends, or refuse it as a usage error."""
    from arrivals.clock import SystemClock
    from arrivals.core.moments import DAY_US, read_end

    if text is None:
        return None
    now_us = SystemClock().now_us()
    days = text.strip().removesuffix("d")
    if text.strip().endswith("d") and days.isascii() and days.isdigit() and len(days) <= 5:
        end = now_us + int(days) * DAY_US
    else:
        found = read_end(text)
        if found is None:
            raise typer.BadParameter(
                f"{text!r} is no day, moment or number of days such as 90d",
                param_hint="--expires",
            )
        end = found
    if end <= now_us:
        raise typer.BadParameter(f"{text!r} is over already", param_hint="--expires")
    return end


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
