"""Hold an answer back until messages have ended, or the time is up.

The order is committed before the wait begins, so hanging up loses nothing, and ends the wait.
When the time is up the answer tells how things stand and until when they can stay open.
Waits are bounded by themselves, and don't count among the requests that are worked on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from arrivals.core.depth import limit_of
from arrivals.core.ids import message_key
from arrivals.core.layers import LayerDetail, MessageLayers, layers
from arrivals.core.message import status_of
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.http.exchange import ClientGone, Request, query_invalid
from arrivals.http.naming import Told
from arrivals.http.send_answer import OrderLayers, SendAnswer

Journey = tuple[Trace, list[TimelineEvent]]

WAIT_DEFAULT_S: Final = 25.0
WAIT_MAX_S: Final = 60.0


def wanted_wait(request: Request) -> float | None:
    """Return how many seconds the caller wants to wait for the outcome; None: not at all."""
    query = request.query
    if not query or "wait" not in query:
        return None
    if query["wait"] != "outcome":
        raise query_invalid("wait", "must be outcome")
    text = query.get("timeout")
    if text is None:
        return WAIT_DEFAULT_S
    seconds = read_seconds(text)
    if seconds is None:
        raise query_invalid("timeout", "must be a number of seconds, at most 60")
    return min(seconds, WAIT_MAX_S)


def read_seconds(text: str) -> float | None:
    """Read `20`, `20.5` or `20s`, or return None."""
    whole, _, rest = text.removesuffix("s").partition(".")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 6):
        return None
    if rest and not (rest.isascii() and rest.isdigit() and len(rest) <= 6):
        return None
    return float(f"{whole}.{rest or 0}")


async def until_changed(request: Request, changed: asyncio.Event, seconds: float) -> None:
    """Return once it changed or the time is up; raises ClientGone if the client hangs up.

    The caller holds a place among the waits.
    """
    change = asyncio.ensure_future(changed.wait())
    gone = asyncio.ensure_future(request.disconnected())
    both = {change, gone}
    try:
        with request.site.in_hand.lent(request.account.account_id):
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not changed.is_set():
            raise ClientGone
    finally:
        for each in both:
            each.cancel()


async def wait_for_outcome(
    request: Request, order_id: int, count: int, seconds: float
) -> list[Journey]:
    """Return an order's messages once all have ended or the time is up."""
    request.waited = True
    platform = request.platform
    account_id = request.account.account_id
    keys = [message_key(order_id, n) for n in range(count)]
    until = platform.clock.monotonic() + seconds
    watched = keys[0]
    while True:
        # Taken before the look, so that a change in between isn't missed.
        changed = platform.changes.on_message(watched)
        still_open: list[int] = await platform.store.read(
            lambda reader: reader.open_messages(account_id, order_id, count)
        )
        left = until - platform.clock.monotonic()
        if not still_open or left <= 0:
            break
        if watched in still_open:
            await until_changed(request, changed, left)  # one more look, then the answer
        else:
            watched = still_open[0]
    found: list[Journey | None] = await platform.store.read(
        lambda reader: [reader.trace(account_id, key) for key in keys]
    )
    return [each for each in found if each is not None]


def with_outcome(answer: SendAnswer, messages: Sequence[Told]) -> SendAnswer:
    """Return the answer with every message as it stands now."""
    found = [
        layers(
            trace.message,
            events,
            trace.accepted_at_us,
            forecast,
            limit_of(trace.country, trace.sender),
        )
        for trace, events, forecast in messages
    ]
    for shown, (trace, _, _), its_layers in zip(answer.messages, messages, found, strict=True):
        shown.status = status_of(trace.message.state)
        shown.layers = its_layers
    answer.layers = _together(found)
    answer.counts = dict(Counter(each.outcome.state for each in found))
    done = set()
    if all(each.outcome.final for each in found):
        done = {"execution", "outcome"}
    elif all(each.execution.final for each in found):
        done = {"execution"}
    answer.open = [item for item in answer.open if item.layer not in done]
    return answer


def _together(found: Sequence[MessageLayers]) -> OrderLayers:
    """Return an order's layers: its messages' own where they agree, else `mixed`."""
    return OrderLayers(
        found[0].api,
        _one([each.execution for each in found]),
        _one([each.outcome for each in found]),
        _one([each.confirmed for each in found]),
    )


def _one(found: Sequence[LayerDetail]) -> LayerDetail:
    first = found[0]
    agreed = all(each.state == first.state for each in found)
    cause = first.cause if len(found) == 1 else None
    return LayerDetail(
        state=first.state if agreed else "mixed",
        since=max(each.since for each in found),
        final=all(each.final for each in found),
        cause=cause,
    )
