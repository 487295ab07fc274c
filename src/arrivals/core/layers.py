"""Show a message as its layers: api, execution, outcome and confirmed, and never as one word.

Each layer has its own state, the time it began, whether that is final, and its cause.
The outcome adds a verdict with the evidence for it. Nothing here guesses: a verdict is
what receipts, refusals, deadlines or the customer said; a probability is given only where
it is certain; and what isn't known is null, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.asking import what_to_ask
from arrivals.core.depth import Limit, deepest, shallowest
from arrivals.core.instants import rfc3339
from arrivals.core.message import (
    TRANSITIONS,
    Message,
    Move,
    Reach,
    State,
    execution_of,
    is_terminal,
    outcome_of,
)
from arrivals.core.parts import whole_handoffs
from arrivals.core.reasons import REASONS
from arrivals.core.timeline import (
    ONE_FOR_ALL,
    SCANNER_CLICK,
    Evidence,
    TimelineEvent,
    ended_by,
    evidence,
    is_answer,
    is_word,
    lacking_part,
    provider_of,
)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a layer stands where it does."""

    code: str
    text: str
    fix: str | None = None
    event: int | None = None  # the seq of the event that says so


class LayerDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One question about a message, and its answer so far."""

    state: str
    since: str
    final: bool
    cause: Cause | None = None


class FilteredBy(msgspec.Struct, frozen=True, kw_only=True):
    """Who stopped a message, and how we know."""

    who: str  # inferred: whose messages lack their receipts, the narrowest that is known
    how: str  # explicit_code | inferred
    reason: str | None = None
    event: int | None = None


class Eta(msgspec.Struct, frozen=True, kw_only=True):
    """When the outcome will probably be known."""

    p50: str
    p90: str


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Between what a probability lies, as far as anybody can know."""

    low: float
    high: float


class ModelCell(msgspec.Struct, frozen=True, kw_only=True):
    """Where a forecast comes from: the nearest group of messages that something is known of.

    What is null wasn't asked for: too little is known of messages that have it in common.
    """

    country_and_sender: str | None = None
    carrier: str | None = None
    provider: str | None = None
    sender: str | None = None
    handoffs: float  # behind it, older ones counting less


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the model of outcomes makes of a message that was handed off."""

    probability: float | None  # None: nobody who saw such messages arrive ever said so
    low: float
    high: float
    verdict: str | None
    filtered_by: str | None = None  # whose alarm says so, if it is likely_filtered
    surely_filtered: bool = False  # enough to end it as that, if nobody speaks of it in time
    receipt_to_come: float
    p50_us: int | None
    p90_us: int | None
    cell: tuple[str, ...]
    handoffs: float
    resolves: tuple[str, ...] = ()


class OutcomeDetail(LayerDetail, frozen=True, kw_only=True):
    """Whether it arrived, how sure that is, and what says so."""

    verdict: str | None  # null while it is open and nothing is likely
    probability: float | None  # that the handset got it
    bounds: Bounds | None = None
    receipt_to_come: float | None = None  # the chance that a final one still comes
    model: ModelCell | None = None
    resolves: list[str] = []  # what would settle it, where it isn't known
    why: str  # why the probability is what it is, or isn't known
    depth: str  # somebody vouches for it: none | submitted | carrier | handset | user
    duplicate_delivery: bool = False  # by their receipts two of its hand-offs arrived
    evidence: list[Evidence]
    filtered_by: FilteredBy | None = None
    eta: Eta | None = None
    final_after: str | None = None  # by then an open message ends as unknown
    revisable: bool = False  # stronger evidence may still change a final verdict


class MessageLayers(msgspec.Struct, frozen=True, kw_only=True):
    """The whole truth about one message, layer by layer; none stands for another."""

    api: LayerDetail
    execution: LayerDetail
    outcome: OutcomeDetail
    confirmed: LayerDetail


class RollUp(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages stand where, layer by layer."""

    api: dict[str, int]
    execution: dict[str, int]
    outcome: dict[str, int]
    confirmed: dict[str, int]


_REVISABLE: Final = frozenset(state for state, _ in TRANSITIONS if is_terminal(state))

_OPEN_WORDS: Final = {
    state.value: execution_of(state, Reach.NONE, 0) for state in State if not is_terminal(state)
}

# Reasons that are words of our own rather than a carrier's.
_OUR_WORDS: Final[dict[str, str]] = {
    Move.THROTTLED: "The provider asked us to slow down; it is tried again",
    Move.NOT_SENT: "It never left; it is tried again",
    Move.NOT_BOUND: "The provider said that we weren't bound; it is tried again",
    "resend": "No answer came, and the policy lets it go out once more",
    "resend_allowed": "No answer came, and the policy lets it go out once more",
    "no_receipt": "The deadline passed without a final receipt",
    "internal": "An error of ours stopped it",
    Move.RECEIPT_FABRICATED: "A receipt said that it arrived, and was proved to be made up",
}


# What is to be done once we have stopped trying, where there was nothing to do before.
_FIX_AT_THE_END: Final[dict[str, str]] = {
    "rate_limited_provider": "Send it again later, or have the provider's rate raised.",
    "provider_error": "Send it again later, or over another route.",
}


def layers(
    message: Message,
    events: Sequence[TimelineEvent],
    accepted_at_us: int,
    forecast: Forecast | None = None,
    limit: Limit | None = None,
) -> MessageLayers:
    """Return a message's four layers, from its row, its timeline and what is thought of it.

    `limit` is what receipts can mean at most for such a message.
    """
    return MessageLayers(
        api=LayerDetail(state="accepted", since=rfc3339(accepted_at_us), final=True),
        execution=_execution(message, events),
        outcome=outcome_layer(message, events, accepted_at_us, forecast, limit),
        confirmed=_confirmed(message, events, accepted_at_us),
    )


def roll_up(counts: Iterable[tuple[State, Reach, int, str, int]]) -> RollUp:
    """Add up messages given as (state, reach, attempts, confirmed, how many)."""
    found = RollUp(api={}, execution={}, outcome={}, confirmed={})
    for state, reach, attempts, confirmed, count in counts:
        for layer, word in (
            (found.api, "accepted"),
            (found.execution, execution_of(state, reach, attempts)),
            (found.outcome, outcome_of(state)),
            (found.confirmed, confirmed),
        ):
            layer[word] = layer.get(word, 0) + count
    return found


# --- execution ------------------------------------------------------------------------


def _execution(message: Message, events: Sequence[TimelineEvent]) -> LayerDetail:
    word = execution_of(message.state, message.reach, message.attempts)
    found = _began(word, events)
    since_us = found.at_us if found else message.changed_at_us
    return LayerDetail(
        state=word,
        since=rfc3339(since_us),
        final=message.reach is Reach.HANDED_OFF or is_terminal(message.state),
        cause=_execution_cause(message, word, found),
    )


def _began(word: str, events: Sequence[TimelineEvent]) -> TimelineEvent | None:
    """Return the event with which execution came to stand at `word`."""
    found: TimelineEvent | None = None
    for event in reversed(events):
        if _OPEN_WORDS.get(event.to_state) == word:
            found = event
        elif found is not None:
            return found
    # No state on the way said it: the end itself did, a receipt for a hand-off in doubt.
    return found or ended_by(events)


def _execution_cause(message: Message, word: str, found: TimelineEvent | None) -> Cause | None:
    if word == "handoff_unknown":
        return _cause("provider_timeout_unknown", found)
    if word in {"waiting", "not_executed"} and message.reason:
        return _cause(message.reason, found)
    return None


def _cause(code: str, event: TimelineEvent | None) -> Cause:
    reason = REASONS.get(code)
    text = reason.title if reason else _OUR_WORDS.get(code, code.replace("_", " ").capitalize())
    return Cause(
        code=code,
        text=text,
        fix=reason.fix if reason else None,
        event=event.seq if event else None,
    )


# --- outcome --------------------------------------------------------------------------


def outcome_layer(
    message: Message,
    events: Sequence[TimelineEvent],
    accepted_at_us: int,
    forecast: Forecast | None = None,
    limit: Limit | None = None,
) -> OutcomeDetail:
    """Return the outcome layer alone, as a forecast while the message is open."""
    ended = is_terminal(message.state)
    end = ended_by(events)
    since_us = accepted_at_us
    if ended:
        since_us = end.at_us if end else message.changed_at_us
    found = evidence(events, limit)
    probability, why = _probability(message, found, forecast)
    verdict = message.state.value if ended else None
    filtered_by = _filtered_by(message, end)
    denied = forecast is not None and forecast.probability is not None and probability is None
    if forecast is not None and forecast.verdict is not None and not denied:
        verdict = forecast.verdict
        filtered_by = filtered_by or _inferred(forecast)
    return OutcomeDetail(
        state=outcome_of(message.state),
        since=rfc3339(since_us),
        final=ended,
        cause=_end_cause(message, end) if ended else None,
        verdict=verdict,
        probability=probability,
        why=why,
        **_foreseen(forecast, probability),
        depth=_depth(message, found),
        duplicate_delivery=came_twice(message, events),
        evidence=found,
        filtered_by=filtered_by,
        final_after=None if ended else rfc3339(message.outcome_deadline_us),
        revisable=message.state in _REVISABLE,
    )


def _end_cause(message: Message, end: TimelineEvent | None) -> Cause | None:
    if not message.reason:
        return None
    cause = _cause(message.reason, end)
    fix = _FIX_AT_THE_END.get(message.reason) or what_to_ask(message, end)
    if fix:
        cause = msgspec.structs.replace(cause, fix=fix)
    lacking = lacking_part(end, message)
    if lacking:
        text = f"{lacking}{cause.text[:1].lower()}{cause.text[1:]}"
        cause = msgspec.structs.replace(cause, text=text[:1].upper() + text[1:])
    return cause


_CELL: Final = ("country_and_sender", "carrier", "provider", "sender")


def _foreseen(forecast: Forecast | None, probability: float | None) -> dict[str, Any]:
    """Return what the model adds to an outcome."""
    if forecast is None:
        return {}
    eta = None
    if forecast.p50_us is not None and forecast.p90_us is not None:
        eta = Eta(p50=rfc3339(forecast.p50_us), p90=rfc3339(forecast.p90_us))
    certain = probability in {0.0, 1.0}
    return {
        "bounds": None
        if certain
        else Bounds(low=_shown(forecast.low), high=_shown(forecast.high)),
        "receipt_to_come": _shown(forecast.receipt_to_come),
        "model": ModelCell(
            **dict(zip(_CELL, forecast.cell, strict=False)),
            handoffs=round(forecast.handoffs, 1),
        ),
        "resolves": list(forecast.resolves),
        "eta": eta,
    }


def _shown(chance: float) -> float:
    """Return a chance with the digits that mean anything."""
    return round(chance, 4)


def _probability(
    message: Message, found: Sequence[Evidence], forecast: Forecast | None
) -> tuple[float | None, str]:
    """Return how likely it arrived, or null, and why; where nothing is known, that too."""
    chance, why = _chance(message, found, forecast)
    if chance is None and forecast is not None and forecast.high - forecast.low > _ANYTHING:
        why += "; it may have arrived or not, we know nothing of it"
    return chance, why


_ANYTHING: Final = 0.95  # bounds so far apart leave everything open


def _chance(
    message: Message, found: Sequence[Evidence], forecast: Forecast | None
) -> tuple[float | None, str]:
    if message.confirmed == "confirmed":
        return 1.0, "the person got it: your own system confirmed it"
    if message.confirmed == "denied":
        return None, "your own system says that the person didn't get it"
    if is_terminal(message.state) and message.reach is Reach.NONE:
        return 0.0, "it was never handed off, so it can't have arrived"
    if forecast is not None and forecast.probability is not None:
        return (
            _shown(forecast.probability),
            "how often such messages arrived, by those whose arrival somebody confirmed",
        )
    if any(each.kind == "receipt" for each in found):
        return (
            None,
            "a receipt is its sender's word, and nobody has confirmed that it holds",
        )
    if forecast is not None and forecast.verdict is not None:
        return (
            None,
            "receipts of messages like it are missing while others come; nobody confirmed any",
        )
    if message.state is State.UNKNOWN:
        return None, "no receipt came in time, and nobody has confirmed such messages"
    return None, "it is open, and nobody has confirmed such messages yet"


def _depth(message: Message, found: Sequence[Evidence]) -> str:
    """Return how far somebody vouched for it."""
    if message.confirmed == "confirmed":
        return "user"
    known = "submitted" if message.reach is Reach.HANDED_OFF else "none"
    scanned = [each.depth or "none" for each in found if each.says == SCANNER_CLICK]
    return deepest([known, depth_of_receipts(message.segments, found), *scanned])


def depth_of_receipts(segments: int, found: Sequence[Evidence]) -> str:
    """Return how far receipts vouch for a message; a long one came as far as all its parts."""
    receipts = [each for each in found if each.kind == "receipt"]
    reached = [each.depth or "none" for each in receipts if each.part is None]
    silent = [] if any(each.says == ONE_FOR_ALL for each in found) else ["submitted"]
    for attempt in {each.attempt for each in receipts if each.part is not None}:
        parts: dict[int, list[str]] = {part: [] for part in range(1, segments + 1)}
        for each in receipts:
            if each.attempt == attempt and each.part is not None:
                parts.setdefault(each.part, []).append(each.depth or "none")
        known = [deepest(said) for said in parts.values() if said]
        reached.append(shallowest(known + silent * (len(known) < len(parts))))
    return deepest(reached)


def came_twice(message: Message, events: Sequence[TimelineEvent]) -> bool:
    """Tell whether receipts of two hand-offs say that it arrived, each of them whole."""
    said = {
        event.body.get("attempt")
        for event in events
        if event.kind == Move.RECEIPT_DELIVERED
        and event.actor != "clock"
        and not event.body.get("part")
    }
    return len(said) + whole_handoffs(message.parts) > 1


def _filtered_by(message: Message, end: TimelineEvent | None) -> FilteredBy | None:
    if message.state is not State.FILTERED:
        return None
    if end is not None and end.kind == Move.FILTER_INFERRED:
        who = str(end.body.get("model", {}).get("filtered_by", "carrier"))
        return FilteredBy(who=who, how="inferred", reason=message.reason, event=end.seq)
    return FilteredBy(
        who=(provider_of(end) if end else None) or "carrier",
        how="explicit_code",
        reason=message.reason,
        event=end.seq if end else None,
    )


def _inferred(forecast: Forecast) -> FilteredBy | None:
    if forecast.filtered_by is None:
        return None
    return FilteredBy(who=forecast.filtered_by, how="inferred", reason="silently_filtered")


# --- confirmed ------------------------------------------------------------------------


def _confirmed(
    message: Message, events: Sequence[TimelineEvent], accepted_at_us: int
) -> LayerDetail:
    last = next((event for event in reversed(events) if is_word(event)), None)
    if message.confirmed == "none" or last is None:
        return LayerDetail(state=message.confirmed, since=rfc3339(accepted_at_us), final=False)
    kind = str(last.body.get("kind", "support"))
    return LayerDetail(
        state=message.confirmed,
        since=rfc3339(last.at_us),
        final=False,  # the customer may change their word
        cause=Cause(code=kind, text=_whose_word(last), event=last.seq),
    )


def _whose_word(said: TimelineEvent) -> str:
    if not is_answer(said):
        return "Feedback from your own system"
    if said.body.get("kind") == "probe":
        return "A test phone of the operator's answered"
    return "The recipient answered"
