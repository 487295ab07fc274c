"""Judge a message by its evidence and by what the model learnt: verdict, probability, ETA.

Where nobody has ever confirmed a message, there is no probability of a delivery to give: only
bounds, and what may still be heard. The word of a receipt then stands as its verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.depth import limit_of
from arrivals.core.layers import Forecast, depth_of_receipts
from arrivals.core.message import Message, Reach, State, is_terminal
from arrivals.core.timeline import (
    TimelineEvent,
    Trace,
    evidence,
    hint_of,
    is_receipt,
    is_word,
    provider_of,
)
from arrivals.core.verdicts import Judged, recorded, stands
from arrivals.outcome.alarms import meet
from arrivals.outcome.cells import HORIZON_S
from arrivals.outcome.episodes import LEARNT, Episode, Trouble
from arrivals.outcome.fusion import (
    INFERRED,
    Depth,
    Judgement,
    Kind,
    Situation,
    Verdict,
    Word,
    chance_of_word,
    is_surely_filtered,
    judge,
)
from arrivals.outcome.hierarchy import words_of
from arrivals.outcome.learner import Foreseen, Learner, Subject
from arrivals.outcome.trust import Chance

_WORDS: Final = {
    State.DELIVERED: Word.POSITIVE,
    State.FAILED: Word.FAILED,
    State.FILTERED: Word.FILTERED,
    State.EXPIRED: Word.EXPIRED,
}
_SEEN: Final = {
    "otp": Kind.CONVERSION,
    "reply": Kind.REPLY,
    "click": Kind.HUMAN_CLICK,
    "probe": Kind.PROBE,
}


def foresee(
    learner: Learner,
    catalogue: Catalogue,
    trace: Trace,
    events: Sequence[TimelineEvent],
    now_us: int,
) -> Forecast | None:
    """Return what is to be thought of a message now; None before it was handed off."""
    message = trace.message
    taken = next((each for each in events if each.kind == "taken"), None)
    if message.reach is Reach.NONE:
        return None
    sent_us = taken.at_us if taken else message.changed_at_us
    provider_id = (taken and provider_of(taken)) or message.provider_id
    subject = _subject(trace, sent_us)
    age_s = max(now_us - sent_us, 0) / 1e6
    found = learner.foresee(subject, provider_id, age_s, now_us)
    word = _word(message, events)
    before = recorded(events)
    # An alarm that is over was on when this was silent.
    alarm = words_of(found.alarm) if found.alarm else None
    kept = before.filtered_by if before else None
    judgement = judge(
        Situation(
            chance=_chance(found, word),
            handed_off=True,
            word=word,
            word_depth=_depth(trace, events),
            word_by=provider_id,
            reason=message.reason,
            codes_known=_codes_known(catalogue, provider_id),
            seen=_seen(events),
            filter_alarm=alarm or kept,
            alike_lack=found.alike_lack or kept is not None,
            after_horizon=age_s >= HORIZON_S,
        )
    )
    forecast = _forecast(message, found, judgement, sent_us)
    if before is not None and is_terminal(message.state) and stands(events):
        return _as_recorded(forecast, before)
    return forecast


def alarms_about(
    standing: Iterable[Episode], trace: Trace, events: Sequence[TimelineEvent]
) -> list[Trouble]:
    """Return what stands against receipts of such messages, by the cells that it is in."""
    taken = next((each for each in events if each.kind == "taken"), None)
    provider_id = (taken and provider_of(taken)) or trace.message.provider_id
    path = _subject(trace, trace.message.changed_at_us).path(provider_id)
    about = (each.trouble for each in standing if each.trouble.kind in LEARNT)
    return [each for each in about if meet(each.cell, path)]


def _subject(trace: Trace, sent_us: int) -> Subject:
    message = trace.message
    return Subject(
        key=message.key,
        account=str(message.account_id),
        country=trace.country,
        msisdn=message.msisdn,
        sender=trace.sender,
        category=trace.category,
        sent_us=sent_us,
        confirmed_seq=None,
        text=trace.text,
    )


def _word(message: Message, events: Sequence[TimelineEvent]) -> Word:
    """Return the word of the receipt that the message ended by, if it was one."""
    heard = any(is_receipt(each) for each in events)
    return _WORDS.get(message.state, Word.NOTHING) if heard else Word.NOTHING


def _depth(trace: Trace, events: Sequence[TimelineEvent]) -> Depth:
    """Return how far receipts vouch for a message: by its providers, and in its country."""
    found = evidence(events, limit_of(trace.country, trace.sender))
    return Depth[depth_of_receipts(trace.message.segments, found).upper()]


def _chance(found: Foreseen, word: Word) -> Chance:
    if word is Word.NOTHING:
        return found.chance
    trust = found.trust
    return chance_of_word(trust.positive if word is Word.POSITIVE else trust.negative)


def _seen(events: Sequence[TimelineEvent]) -> tuple[Kind, ...]:
    """Return what was seen; of a customer's yes and no only the newest counts."""
    hints = tuple(Kind(hint) for hint in map(hint_of, events) if hint)
    said = next((each.body for each in reversed(events) if is_word(each)), None)
    if said is None:
        return hints
    kind = str(said.get("kind"))
    if said.get("confirmed"):
        return (*hints, _SEEN.get(kind, Kind.CONVERSION))
    return (*hints, Kind.PROBE_MISSED if kind == "probe" else Kind.DENIED)


def _codes_known(catalogue: Catalogue, provider_id: str) -> bool:
    provider = catalogue.providers.get(provider_id)
    return provider is not None and provider.error_namespace != "generic"


def _forecast(
    message: Message, found: Foreseen, judgement: Judgement, sent_us: int
) -> Forecast:
    ended = is_terminal(message.state)
    # Of those that nobody confirms only a filter that shows in what is missing is said.
    said = judgement.p is not None or judgement.verdict is Verdict.LIKELY_FILTERED
    verdict: Verdict | None = judgement.verdict if said else None
    by = judgement.filtered_by
    if not ended and verdict is Verdict.UNKNOWN:
        verdict = None  # it is open: there's time to learn more
    return Forecast(
        probability=judgement.p,
        low=judgement.low,
        high=judgement.high,
        verdict=verdict.value if verdict else None,
        filtered_by=by.who if by is not None and by.how == INFERRED else None,
        surely_filtered=is_surely_filtered(judgement, found.handoffs),
        receipt_to_come=0.0 if ended else found.receipt_to_come,
        p50_us=None if ended or found.p50_s is None else sent_us + round(found.p50_s * 1e6),
        p90_us=None if ended or found.p90_s is None else sent_us + round(found.p90_s * 1e6),
        cell=found.cell,
        handoffs=found.handoffs,
        resolves=judgement.resolves,
    )


def _as_recorded(forecast: Forecast, before: Judged) -> Forecast:
    """Return what was thought of a message when it ended: nothing was heard of it since."""
    return msgspec.structs.replace(
        forecast,
        probability=before.probability,
        low=before.low,
        high=before.high,
        verdict=before.verdict,
        filtered_by=before.filtered_by,
        cell=before.cell,
        handoffs=before.handoffs,
        resolves=forecast.resolves if before.verdict == Verdict.UNKNOWN else (),
    )
