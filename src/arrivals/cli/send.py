"""`arrivals send`: one message, and if wanted its outcome as the exit code."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from arrivals.cli.connection import AsJson, Client, Key, Url
from arrivals.cli.following import Screen, exit_code_of, follow
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, say
from arrivals.cli.usage import flag

SENDER: Final = "ARRIVALS"
WAIT_S: Final = 150.0  # longer than a message of `arrivals dev` can stay open
KEY_OCTETS: Final = 16

Route = Annotated[
    int | None, typer.Option(help="The route. [else the account's default route]")
]
Sender = Annotated[str, typer.Option(help="Who it is from.")]
ValidFor = Annotated[int | None, typer.Option(metavar="SECONDS", help="How long it is of use.")]
Category = Annotated[str | None, typer.Option(help="otp, alert or bulk. [else the route's]")]
SendAt = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Not before: RFC 3339, such as 2026-12-24T18:00Z."),
]
OnAmbiguous = Annotated[
    str | None,
    typer.Option(help="If no answer comes to the hand-off: wait, query, resend, fail."),
]
ClientRef = Annotated[str | None, typer.Option(help="Your own reference, echoed everywhere.")]
MaxPrice = Annotated[str | None, typer.Option(metavar="AMOUNT", help="Refuse a higher price.")]
MaxSegments = Annotated[int | None, typer.Option(metavar="N", help="Refuse a longer text.")]
Quote = Annotated[
    str | None, typer.Option(metavar="QUOTE", help="Only at the price of this estimate.")
]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(help="The same key twice is one message. [else a new one each time]"),
]
Timeout = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="How long --wait waits at most.")
]


def send(
    number: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The recipient, with its country code.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The message.")],
    route: Route = None,
    sender: Sender = SENDER,
    wait: Annotated[
        bool, flag("--wait", help="Wait for the outcome; it is the exit code.")
    ] = False,
    timeout: Timeout = WAIT_S,
    category: Category = None,
    send_at: SendAt = None,
    valid_for: ValidFor = None,
    on_ambiguous: OnAmbiguous = None,
    client_ref: ClientRef = None,
    max_price: MaxPrice = None,
    max_segments: MaxSegments = None,
    quote: Quote = None,
    idempotency_key: IdempotencyKey = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send one message.

    Accepted isn't delivered: without --wait the exit code 0 says only that the message is
    committed. With --wait it is the outcome: 0 delivered, 2 failed, 3 filtered, 4 unknown,
    5 expired, 6 cancelled, 7 still open when --timeout passed. Always: 1 refused by the
    API, 64 wrong usage, 69 the server can't be reached.
    """
    from arrivals.clock import SystemChance

    wanted: dict[str, Any] = {
        "route_id": route,
        "caller_id": sender,
        "numbers": [number],
        "message": text,
        "category": category,
        "valid_for": valid_for,
        "on_ambiguous": on_ambiguous,
        "client_ref": client_ref,
        "send_at": send_at,
        "max_price": max_price,
        "max_segments": max_segments,
        "quote_id": quote,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    promise = idempotency_key or SystemChance().entropy(KEY_OCTETS).hex()
    with Client(url, key) as client:
        answer = client.post("/api/v1/send_sms", body, promise)
        message_id = answer["messages"][0]["bx_message_id"]
        if not wait:
            if as_json:
                put_json(answer)
            else:
                _tell_accepted(answer, message_id)
            return
        message = _follow(client, answer, message_id, timeout, quiet=as_json)
    code = exit_code_of(message)
    if as_json:
        put_json({"send": answer, "message": message, "exit_code": int(code)})
    elif code is ExitCode.STILL_OPEN:
        say(f"Still open after {timeout:g} s. Go on with: arrivals watch {message_id}")
    raise typer.Exit(int(code))


def _follow(
    client: Client, answer: dict[str, Any], message_id: str, timeout_s: float, *, quiet: bool
) -> dict[str, Any]:
    """Wait for the outcome; whatever happens meanwhile, what was accepted is told."""
    if not quiet:
        say(message_id)
    try:
        with Screen(quiet=quiet) as screen:
            return follow(client, message_id, timeout_s=timeout_s, show=screen.show)
    except Stop as stop:
        fix = f"it was accepted all the same; see: arrivals watch {message_id}"
        body = {"send": answer, "error": stop.problem, "fix": fix}
        raise Stop(stop.problem, fix, code=stop.code, body=body) from None


def _tell_accepted(answer: dict[str, Any], message_id: str) -> None:
    console = on_stdout()
    say(message_id)
    currency = answer["currency"]
    segments = sum(line["segments"] for line in answer["committed"]["prices"])
    parts = "1 segment" if segments == 1 else f"{segments} segments"
    say(
        f"Accepted on route {answer['route_id']}: {parts}, {answer['cost']} {currency} held, "
        f"{answer['balance_after']} {currency} left."
    )
    console.print(
        f"Accepted isn't delivered. See: arrivals watch {message_id}", style="dim", markup=False
    )
