"""`arrivals watch`, `explain`, `compare`, `timeline`: what became of a message, and why."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import typer

from arrivals.cli.connection import AsJson, Client, Key, Url
from arrivals.cli.following import Screen, exit_code_of, follow
from arrivals.cli.output import STYLES, ExitCode, on_stdout, put_json, say, visible
from arrivals.cli.usage import flag

_MESSAGE_ID: Final = re.compile(r"BX-[0-9]{1,14}-[0-9a-f]{16}")
_ORDER_ID: Final = re.compile(r"(?:BX-)?([0-9]{1,14})")

MessageId = Annotated[
    str, typer.Argument(metavar="BX-…", help="The message's id, as send printed it.")
]
LOOK_AT_ORDER_EVERY_S: Final = 0.5


def checked_message_id(text: str) -> str:
    """Return a message id, or refuse it as a usage error."""
    if _MESSAGE_ID.fullmatch(text.strip()) is None:
        raise typer.BadParameter(
            f"{text!r} isn't a message id; those look like BX-1-c5f4f53431ed22c2"
        )
    return text.strip()


def watch(
    wanted: Annotated[
        str, typer.Argument(metavar="BX-…|ORDER", help="A message's id, or an order's number.")
    ],
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long to watch at most.")
    ] = None,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Follow a message or an order live, until every outcome is known.

    A message's outcome is the exit code, as with `arrivals send --wait`. An order ends
    with 0 when all its messages have ended, whatever came of them, and with 7 before.
    """
    order = _ORDER_ID.fullmatch(wanted.strip())
    message_id = "" if order else checked_message_id(wanted)
    with Client(url, key) as client:
        if order is not None:
            _watch_order(client, order[1], timeout, as_json=as_json)
            return
        with Screen(quiet=as_json) as screen:
            message = follow(client, message_id, timeout_s=timeout, show=screen.show)
    if as_json:
        put_json(message)
    raise typer.Exit(int(exit_code_of(message)))


def _watch_order(
    client: Client, order_id: str, timeout: float | None, *, as_json: bool
) -> None:
    import threading

    from arrivals.clock import SystemClock

    clock = SystemClock()
    began = clock.monotonic()
    pause = threading.Event()
    last = ""
    while True:
        order = client.get(f"/api/v1/orders/{order_id}")
        outcome = order["layers"]["outcome"]
        line = f"order {order_id}: {order['ended']} of {order['count']} ended; " + ", ".join(
            f"{count} {state}" for state, count in outcome.items() if count
        )
        if line != last and not as_json:
            say(last := line)
        ended = order["ended"] >= order["count"]
        if ended or (timeout is not None and clock.monotonic() - began >= timeout):
            if as_json:
                put_json(order)
            raise typer.Exit(0 if ended else int(ExitCode.STILL_OPEN))
        pause.wait(LOOK_AT_ORDER_EVERY_S)


def explain(
    message_id: MessageId,
    cohort: Annotated[
        bool,
        flag("--cohort", help="Say as well how messages that look like it ended."),
    ] = False,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say in sentences why a message stands where it does; numbers cite its timeline."""
    message_id = checked_message_id(message_id)
    with Client(url, key) as client:
        answer = client.get(f"/api/v1/messages/{message_id}/explain")
        if cohort:
            answer["cohort"] = client.get(f"/api/v1/messages/{message_id}/cohort")
    if as_json:
        put_json(answer)
        return
    console = on_stdout()
    verdict = answer.get("verdict") or "open"
    console.print(message_id, style="bold", end="  ", markup=False)
    console.print(verdict, style=STYLES.get(verdict, "cyan"))
    for sentence in answer["sentences"]:
        console.print(_cited(sentence))
    if cohort:
        console.print("look-alikes", style="bold")
        for text in answer["cohort"]["sentences"]:
            console.print(_cited({"text": text, "cites": []}))


def _cited(sentence: dict[str, Any]) -> Any:
    from rich.text import Text

    cites = ", ".join(str(each) for each in sentence["cites"])
    text = Text(f"  {visible(sentence['text'])}")
    return text.append(f" [{cites}]", style="dim") if cites else text


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A message's id.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one's.")],
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say where two messages part, by how much, what goes with it, and what nothing does.

    Numbers in brackets cite events of the two timelines.
    """
    wanted = {"a": checked_message_id(a), "b": checked_message_id(b)}
    with Client(url, key) as client:
        if as_json:
            put_json(client.get("/api/v1/compare", **wanted))
        else:
            text = client.get_text("/api/v1/compare", format="text", **wanted)
            say(visible(text.rstrip("\n")))


def timeline(
    message_id: MessageId, url: Url = None, key: Key = None, as_json: AsJson = False
) -> None:
    """List what happened to a message, when, and whose time passed meanwhile."""
    message_id = checked_message_id(message_id)
    with Client(url, key) as client:
        path = f"/api/v1/messages/{message_id}/timeline"
        if as_json:
            put_json(client.get(path))
        else:
            say(visible(client.get_text(path, format="text").rstrip("\n")))
