"""`arrivals messages`, `cancel`, `balance`, `estimate`: ask a running server about messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from arrivals.cli.connection import AsJson, Client, Key, Url
from arrivals.cli.inspecting import MessageId, checked_message_id
from arrivals.cli.output import Stop, on_stdout, put_json, put_table, say, visible
from arrivals.cli.send import KEY_OCTETS, SENDER, Category, Route, Sender

app = typer.Typer(help="Find messages, and list them.", no_args_is_help=True)

PAGE_MAX: Final = 200  # what the API gives at once
PAGES_MAX: Final = 200  # looked through for one answer: ten million messages, if few fit
FOUND_MAX: Final = 10_000
DAYS: Final = 30

Account = Annotated[
    int | None,
    typer.Option(help="Whose, by number; another's takes a key with the scope support."),
]
Limit = Annotated[int, typer.Option(min=1, max=FOUND_MAX, help="How many to show at most.")]


@app.command("find")
def find_messages(
    number: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Whom they went to.")
    ] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", metavar="BX-…", help="The message's id.")
    ] = None,
    ref: Annotated[
        str | None, typer.Option(metavar="REF", help="The sender's own reference, client_ref.")
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3_650, help="How far back to look; not for an id.")
    ] = DAYS,
    account: Account = None,
    limit: Limit = 20,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Find messages by number, id or reference, newest first; `explain` then says why.

    With a key of scope `support` those of all accounts are looked through.
    """
    if sum(each is not None for each in (number, message_id, ref)) != 1:
        raise typer.BadParameter("say one of --number, --id and --ref")
    path = f"/api/v1/messages/{checked_message_id(message_id)}" if message_id else ""
    with Client(url, key) as client:
        if path:
            found, more = [_line_of(client.get(path))], False
        else:
            since = None if ref is not None else _days_ago(days)
            wanted = {"msisdn": number, "client_ref": ref, "from": since, "account_id": account}
            found, more = _pages(client, wanted, limit)
    if not found:
        fix = f"{days} days were looked at: see --days" if number else "check the reference"
        raise Stop("no message was found", fix, body={"messages": [], "more": more})
    if as_json:
        put_json({"messages": found, "more": more})
    else:
        _put(found, more=more)


@app.command("list")
def list_messages(
    state: Annotated[
        str | None, typer.Option(help="One or more, with commas: queued, submitted, failed…")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option(help="How it ended: delivered, failed, … or open.")
    ] = None,
    route: Annotated[int | None, typer.Option(help="The route.")] = None,
    country: Annotated[str | None, typer.Option(help="Two letters, such as NL.")] = None,
    order: Annotated[int | None, typer.Option(help="The order.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="WHEN", help="A day, or RFC 3339.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="WHEN", help="A day (to its end), or RFC 3339."),
    ] = None,
    account: Account = None,
    limit: Limit = 20,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List messages, newest first; all filters hold together."""
    wanted: dict[str, str | int | None] = {
        "state": state,
        "verdict": verdict,
        "route_id": route,
        "country": country,
        "order_id": order,
        "from": since,
        "to": until,
        "account_id": account,
    }
    with Client(url, key) as client:
        found, more = _pages(client, wanted, limit)
    if as_json:
        put_json({"messages": found, "more": more})
    else:
        _put(found, more=more)


def cancel(
    message_id: MessageId, url: Url = None, key: Key = None, as_json: AsJson = False
) -> None:
    """Cancel a message that hasn't been handed off; what was held for it is released."""
    message_id = checked_message_id(message_id)
    with Client(url, key) as client:
        message = client.post(f"/api/v1/messages/{message_id}/cancel", {}, _promise())
    if as_json:
        put_json(message)
        return
    money = message["money"]
    say(f"{message_id} is cancelled; {money['released']} {money['currency']} are free again.")


def balance(url: Url = None, key: Key = None, as_json: AsJson = False) -> None:
    """Say what the key's account can spend, and what is held for open messages."""
    with Client(url, key) as client:
        found = client.get("/api/v1/balance")
    if as_json:
        put_json(found)
        return
    currency = found["currency"]
    say(f"{visible(found['username'])} has {found['balance']} {currency} to spend.")
    say(f"Held for open messages: {found['held']} {currency}.")
    if found["credit_limit"]:
        say(f"It may go {found['credit_limit']} {currency} below zero.")


def estimate(
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The recipient, with its country code.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The message.")],
    route: Route = None,
    sender: Sender = SENDER,
    category: Category = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say what a message would cost, and hold that price for ten minutes; nothing is sent."""
    wanted = {
        "route_id": route,
        "caller_id": sender,
        "numbers": [number],
        "message": text,
        "category": category,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    with Client(url, key) as client:
        found = client.post("/api/v1/estimate", body, _promise())
    if as_json:
        put_json(found)
        return
    currency = found["currency"]
    for line in found["prices"]:
        parts = "1 segment" if line["segments"] == 1 else f"{line['segments']} segments"
        say(
            f"{parts} to {visible(line['country'])}, "
            f"{line['price_per_segment']} {currency} each."
        )
    enough = "is enough" if found["sufficient_balance"] else "isn't enough"
    say(f"Route {found['route_id']}: {found['estimated_cost']} {currency} in all.")
    say(f"The balance of {found['balance']} {currency} {enough}.")
    _hint(f"To hold that price: send … --quote {found['quote_id']}")


def _promise() -> str:
    from arrivals.clock import SystemChance

    return SystemChance().entropy(KEY_OCTETS).hex()


def _days_ago(days: int) -> str:
    from arrivals.clock import SystemClock
    from arrivals.core.instants import rfc3339
    from arrivals.core.moments import DAY_US

    return rfc3339(SystemClock().now_us() - days * DAY_US)


def _pages(
    client: Client, wanted: Mapping[str, str | int | None], limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return the newest messages that fit, and whether there may be more."""
    found: list[dict[str, Any]] = []
    for page in _each_page(client, wanted, min(limit + 1, PAGE_MAX)):
        found += page["messages"]
        if len(found) > limit:
            return found[:limit], True
        if page["next_cursor"] is None:
            return found, False
    return found, True


def _each_page(
    client: Client, wanted: Mapping[str, str | int | None], rows: int
) -> Iterator[dict[str, Any]]:
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        page = client.get("/api/v1/messages", **wanted, limit=rows, cursor=cursor)
        yield page
        cursor = page["next_cursor"]


def _line_of(message: dict[str, Any]) -> dict[str, Any]:
    """Return a whole message as a line of a list, as far as the table shows it."""
    layers = {name: layer["state"] for name, layer in message["layers"].items()}
    kept = (
        *("bx_message_id", "order_id", "account_id", "msisdn", "country", "route_id"),
        *("caller_id", "client_ref", "status", "created_at"),
    )
    return {name: message[name] for name in kept} | {
        "layers": layers,
        "reason": message["error"],
    }


def _put(found: Sequence[dict[str, Any]], *, more: bool) -> None:
    columns = (
        "message",
        "number",
        "from",
        "accepted",
        "execution",
        "outcome",
        "why",
        "account#",
    )
    rows = [
        (
            each["bx_message_id"],
            each["msisdn"],
            visible(each["caller_id"]),
            each["created_at"][:19].replace("T", " "),
            each["layers"]["execution"],
            each["layers"]["outcome"],
            each["reason"] or "",
            each["account_id"],
        )
        for each in found
    ]
    put_table(columns, rows, "There are no such messages.")
    if more:
        _hint("There may be more: see --limit.")
    elif len(found) == 1:
        _hint(f"Why: arrivals explain {found[0]['bx_message_id']}")


def _hint(text: str) -> None:
    on_stdout().print(text, style="dim", markup=False, soft_wrap=True)
