"""The truth of a submission: from the provider's answer to the handset, or not so far.

A carrier asks its questions in one order, and the first that stops a message is the cause
of its ending: who sends, what text is registered, what came before, what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arrivals.smpp import constants as c
from arrivals.world.draws import Draws
from arrivals.world.fate import EXPIRED, FILTERED, Answer, Ending, Journey, error_of
from arrivals.world.filters import TRAITS, suspicion
from arrivals.world.hours import hour_at, rush_factor, sleeps_s, troubled
from arrivals.world.people import matches

if TYPE_CHECKING:
    from arrivals.world.carrier import Carrier, Cause
    from arrivals.world.provider import Provider
    from arrivals.world.scenario import Scenario
    from arrivals.world.submission import Submission

UNKNOWN_SUBSCRIBER: Final = error_of("unknown_subscriber")
CARRIER_ERROR: Final = error_of("carrier_error")
SENDER_REJECTED: Final = error_of("sender_id_rejected")

ERRORS: Final[dict[Cause, str]] = {
    "content": FILTERED,
    "sender": error_of("sender_not_registered"),
    "template": error_of("template_mismatch"),
    "duplicate": FILTERED,
    "velocity": FILTERED,
    "cap": error_of("carrier_quota_exceeded"),
}


def answer_of(submission: Submission, scenario: Scenario, seed: int) -> Answer:
    """Return what a provider answers."""
    provider = scenario.provider(submission.system_id)
    own = Draws(seed, submission.identity)
    delay_s = provider.answer.draw(own, b"answer")
    if not provider.up:
        return Answer(delay_s, c.ESME_RSYSERR)
    errors, slowness = _trouble(submission, provider, seed)
    delay_s *= slowness
    if submission.backlog_s and provider.rate.over == "queue":
        delay_s += submission.backlog_s
    if own.happens(errors, b"error"):
        return Answer(delay_s, c.ESME_RSYSERR)
    if own.happens(provider.refusals, b"refusal"):
        return Answer(delay_s, c.ESME_RINVDSTADR)
    return Answer(delay_s, lost=own.happens(provider.lost_answers, b"lost answer"))


def _trouble(submission: Submission, provider: Provider, seed: int) -> tuple[float, float]:
    """Return the share of errors, and how many times as slow a provider is, at this moment."""
    errors, slowness = provider.errors, 1.0
    brownout, bursts = provider.brownout, provider.bursts
    if brownout.share:
        stretch = b"%b/%d" % (
            submission.system_id.encode(),
            int(submission.at_s // brownout.length_s),
        )
        if Draws(seed, stretch).happens(brownout.share, b"brownout"):
            errors, slowness = max(errors, brownout.errors), brownout.slowness
    if troubled(bursts, f"provider {submission.system_id}", submission.at_s, seed):
        errors, slowness = max(errors, bursts.errors), max(slowness, bursts.slowness)
    return errors, slowness


def journey_of(
    submission: Submission, scenario: Scenario, answer: Answer, seed: int
) -> Journey:
    """Follow a submission that was taken."""
    provider = scenario.provider(submission.system_id)
    own = Draws(seed, submission.identity)
    shared = own if submission.parts == 1 else Draws(seed, submission.group)
    in_queue_s = provider.queue.draw(own, b"queue")
    if provider.rush.factor > 1:
        in_queue_s *= rush_factor(provider.rush, hour_at(submission.at_s, scenario.begins_h))
    queued_s = answer.delay_s + in_queue_s
    if submission.backlog_s and provider.rate.over == "silent_queue":
        queued_s += submission.backlog_s
    if answer.lost and own.happens(provider.lost_answers_dropped, b"dropped"):
        return Journey(Ending.LOST, queued_s, queued_s)
    if shared.happens(provider.fabricates, b"fabricated") and not _is_spared(
        submission, scenario
    ):
        return Journey(Ending.LOST, queued_s, queued_s)
    carrier = scenario.carrier(submission.destination, seed)
    shown, stopped = _sender(submission, scenario, carrier)
    if stopped:
        return Journey(
            Ending.FILTERED, queued_s, queued_s, stopped, cause="sender", carrier=carrier
        )
    cause = _cause(submission, scenario, carrier, shared)
    if cause is not None:
        return Journey(
            Ending.FILTERED, queued_s, queued_s, ERRORS[cause], cause=cause, carrier=carrier
        )
    kept_s = min(provider.expires_after_s, carrier.keeps_s)
    if submission.validity_s is not None:
        kept_s = min(kept_s, submission.validity_s)
    ending, at_s, error = _reach(submission, scenario, carrier, queued_s, kept_s, seed)
    return Journey(ending, at_s, queued_s, error, shown_sender=shown, carrier=carrier)


def _is_spared(submission: Submission, scenario: Scenario) -> bool:
    """Tell whether a provider that fabricates sends this one on, to look honest."""
    spares = scenario.provider(submission.system_id).spares
    if "probes" in spares and submission.destination in scenario.numbers.probes:
        return True
    return "codes" in spares and TRAITS["code"](submission.text)


def _sender(submission: Submission, scenario: Scenario, carrier: Carrier) -> tuple[str, str]:
    """Return what a sender is replaced by, and the err it's stopped with; mostly neither."""
    if not carrier.senders:
        return "", ""
    rule = carrier.senders.get(scenario.kind_of(submission.source), "ok")
    if rule == "replaced":
        return carrier.replacement, ""
    if rule == "blocked":
        return "", SENDER_REJECTED
    registered = rule == "ok" or scenario.sender(submission.source).registered
    return "", "" if registered else ERRORS["sender"]


def _cause(
    submission: Submission, scenario: Scenario, carrier: Carrier, shared: Draws
) -> Cause | None:
    seen, rules = submission.seen, carrier.filter
    if carrier.scrubs and not matches(
        submission.text, scenario.sender(submission.source).templates
    ):
        return "template"
    if seen.over_cap:
        return "cap"
    if seen.too_fast:
        return "velocity"
    if seen.repeated and shared.happens(carrier.duplicates.dropped, b"duplicate"):
        return "duplicate"
    base = rules.base + (rules.flood.adds if seen.flooding else 0.0)
    if rules.rules:
        base = suspicion(submission.text, base, rules.rules)
    return "content" if shared.happens(base, b"filter") else None


def _reach(
    submission: Submission,
    scenario: Scenario,
    carrier: Carrier,
    queued_s: float,
    kept_s: float,
    seed: int,
) -> tuple[Ending, float, str]:
    """Follow a message over the air; a phone is off, busy or there."""
    shared = Draws(seed, submission.group)
    number = submission.destination
    radio_s = carrier.radio.draw(shared, b"radio")
    at_s = submission.at_s + queued_s
    failures = carrier.failures
    fails = Draws(seed, number.encode()) if failures.by_number else shared
    if number in scenario.numbers.dead:
        return Ending.FAILED, queued_s + radio_s, UNKNOWN_SUBSCRIBER
    if troubled(carrier.bursts, f"carrier {carrier.name}", at_s, seed):
        radio_s *= carrier.bursts.slowness
        if shared.happens(carrier.bursts.errors, b"burst"):
            return Ending.FAILED, queued_s + radio_s, CARRIER_ERROR
    if number in scenario.numbers.probes:
        return Ending.REACHED, queued_s + radio_s, "000"
    if fails.happens(failures.share, b"failure"):
        error = fails.pick(failures.errors, b"failure error")
        return Ending.FAILED, queued_s + radio_s, error
    radio_s += _away_s(submission, scenario, carrier, at_s, seed)
    if queued_s + radio_s > kept_s:
        return Ending.EXPIRED, max(queued_s, kept_s), EXPIRED
    return Ending.REACHED, queued_s + radio_s, "000"


def _away_s(
    submission: Submission, scenario: Scenario, carrier: Carrier, at_s: float, seed: int
) -> float:
    """Return how long a phone keeps a message waiting that comes at a moment."""
    shared = Draws(seed, submission.group)
    if carrier.night.share:
        hour = hour_at(at_s, scenario.begins_h)
        asleep_s = sleeps_s(carrier.night, submission.destination, hour, seed)
        if asleep_s:
            return asleep_s  # the phone tells the network as soon as it's on
    if shared.happens(carrier.off.share, b"off"):
        return carrier.off.draw(shared, b"off for")
    if shared.happens(carrier.busy.share, b"busy"):
        return _next_try_s(carrier.busy.draw(shared, b"busy for"), carrier.retries_s)
    return 0.0


def _next_try_s(away_s: float, retries_s: tuple[float, ...]) -> float:
    """Return when a phone that was away is tried next; the last pause goes on for ever."""
    if not retries_s:
        return away_s
    tried_s = 0.0
    for pause_s in retries_s:
        tried_s += pause_s
        if tried_s >= away_s:
            return tried_s
    last_s = retries_s[-1]
    return tried_s + -((tried_s - away_s) // last_s) * last_s
