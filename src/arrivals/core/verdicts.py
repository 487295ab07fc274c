"""Keep a verdict of the model in a timeline, as it was when something followed from it.

What is likely is worked out anew whenever somebody asks, by all that is known by then. Where
money follows from it, or a list is to find it, it is an event: when an alarm says of a silent
message that it was kept from its recipient, and at the deadline of every message that nobody
spoke of. Who explains such a message tells what was thought then, until more is known of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arrivals.core.layers import Forecast
from arrivals.core.message import Message, Move, State, allows, is_terminal
from arrivals.core.timeline import JUDGED, TimelineEvent, is_receipt

LIKELY_FILTERED: Final = "likely_filtered"
LIKELY: Final = ("likely_delivered", LIKELY_FILTERED)  # what is never a state
_UNKNOWN: Final = State.UNKNOWN.value
_SILENT: Final = frozenset({State.SUBMITTED, State.AMBIGUOUS, State.UNKNOWN})


class Judged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was thought of a message at one moment; an event's body holds it under `model`."""

    verdict: str
    probability: float | None = None
    low: float = 0.0
    high: float = 1.0
    filtered_by: str | None = None  # whose alarm was on
    cell: tuple[str, ...] = ()
    handoffs: float = 0.0


def judged_of(forecast: Forecast) -> Judged | None:
    """Return what is worth recording of a forecast: what isn't plain ignorance."""
    if forecast.probability is None and forecast.verdict != LIKELY_FILTERED:
        return None
    return Judged(
        verdict=forecast.verdict or _UNKNOWN,
        probability=forecast.probability,
        low=forecast.low,
        high=forecast.high,
        filtered_by=forecast.filtered_by,
        cell=forecast.cell,
        handoffs=forecast.handoffs,
    )


def ending(message: Message, forecast: Forecast) -> tuple[Move, Judged | None]:
    """Return how a message ends of which nobody spoke until its deadline."""
    judged = judged_of(forecast)
    sure = forecast.surely_filtered and allows(message.state, Move.FILTER_INFERRED)
    if judged is None or not sure:
        return Move.DEADLINE_PASSED, judged
    return Move.FILTER_INFERRED, msgspec.structs.replace(judged, verdict=State.FILTERED.value)


def is_worth_noting(message: Message, judged: Judged | None) -> bool:
    """Tell whether an open message's verdict is one to record, and not recorded yet."""
    return (
        message.state in {State.SUBMITTED, State.AMBIGUOUS}
        and judged is not None
        and judged.verdict == LIKELY_FILTERED != message.verdict
    )


def on_record(message: Message) -> str | None:
    """Return the verdict that a list shows: the one on record, or how it ended, if it did.

    A recorded one is about silence, so it says nothing of a state that somebody's word made;
    who confirms a silent message stands above it.
    """
    if message.state in _SILENT and message.confirmed == "confirmed":
        return State.DELIVERED.value
    if message.state in _SILENT and message.verdict is not None:
        return message.verdict
    return message.state.value if is_terminal(message.state) else None


def body_of(judged: Judged | None) -> dict[str, Any]:
    """Return the part of an event's body that keeps a verdict."""
    return {} if judged is None else {"model": msgspec.to_builtins(judged)}


def recorded(events: Sequence[TimelineEvent]) -> Judged | None:
    """Return the newest verdict on record."""
    for event in reversed(events):
        if is_receipt(event):
            return None  # it was about silence
        if "model" in event.body:
            return msgspec.convert(event.body["model"], Judged)
    return None


def stands(events: Sequence[TimelineEvent]) -> bool:
    """Tell whether nothing was heard of a message since its verdict was recorded."""
    return bool(events) and "model" in events[-1].body


def verdict_sentence(event: TimelineEvent) -> str:
    """Return what was thought of a message at an event, as its explanation says it."""
    model = event.body.get("model", {})
    alarmed = model.get("filtered_by")
    p = model.get("probability")
    chance = "" if p is None else f" (a chance of {p:.1%} that it arrived)"
    passed = "The deadline passed without a final receipt"
    if event.kind == JUDGED:
        return (
            f"Receipts of {alarmed} were missing while others came, and this was one of those: "
            f"it was probably kept from the person{chance}."
        )
    if event.kind == Move.FILTER_INFERRED:
        return (
            f"{passed}, as with others of {alarmed}{chance}: that is little enough to call it "
            "filtered."
        )
    if not model:
        return f"{passed}."
    if alarmed:
        more = f"was probably kept from the person, with others of {alarmed}"
    elif model.get("verdict") == "likely_delivered":
        more = "had probably arrived nevertheless"
    else:
        more = "may have arrived or not"
    return f"{passed}; it {more}{chance}."
