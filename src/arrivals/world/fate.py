"""A submission's whole future, drawn at once: the answer, the truth and the receipts.

Truth and report are kept apart on purpose. What a handset got is decided first; what the
provider says about it is decided after, and may be late, doubled, contradictory, invented
or nothing at all. All delays count from the arrival of the submit_sm, in world seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.core.reasons import carrier_world_error
from arrivals.smpp import constants as c
from arrivals.world.draws import Draws
from arrivals.world.filters import suspicion

if TYPE_CHECKING:
    from arrivals.world.scenario import Carrier, IdForm, Provider, Scenario
    from arrivals.world.submission import Submission


class Ending(StrEnum):
    """What really became of a submission."""

    REACHED = "reached"  # it's on the handset
    FILTERED = "filtered"  # the carrier kept it
    FAILED = "failed"  # no handset could take it
    EXPIRED = "expired"  # the handset was away for too long
    LOST = "lost"  # the provider took it and dropped it
    REFUSED = "refused"  # the provider didn't take it


class Answer(msgspec.Struct, frozen=True):
    """What the submit_sm is answered; a lost answer is never sent."""

    delay_s: float = 0.0
    status: int = c.ESME_ROK
    lost: bool = False


class PlannedReceipt(msgspec.Struct, frozen=True):
    """One receipt that will be sent."""

    delay_s: float
    state: str
    error: str = "000"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """All that will happen to a submission."""

    answer: Answer
    ending: Ending
    ended_s: float  # when the truth is settled
    receipts: tuple[PlannedReceipt, ...] = ()
    id_form: IdForm = "decimal"
    any_bind: bool = False  # receipts may go to other binds than the one that submitted


class Journey(msgspec.Struct, frozen=True):
    """What happens between provider and handset."""

    ending: Ending
    at_s: float
    queued_s: float = 0.0  # when it reached the carrier
    error: str = "000"


def _error(reason: str) -> str:
    error = carrier_world_error(reason)
    if error is None:
        raise LookupError(f"the carrier world has no err for {reason}")
    return error


ABSENT: Final = _error("absent_subscriber")
FILTERED: Final = _error("content_filtered")
EXPIRED: Final = _error("expired_upstream")

# Final states by what registered_delivery asks for (section 5.2.17): bits 0 and 1.
_FINAL_WANTED: Final[dict[int, frozenset[str]]] = {
    0: frozenset(),
    1: frozenset({"DELIVRD", "UNDELIV", "EXPIRED", "REJECTD", "DELETED", "UNKNOWN"}),
    2: frozenset({"UNDELIV", "EXPIRED", "REJECTD", "DELETED", "UNKNOWN"}),
    3: frozenset({"DELIVRD"}),
}
_INTERMEDIATE: Final = frozenset({"ENROUTE", "ACCEPTD"})
_WANTS_INTERMEDIATE: Final = 0x10


def draw(submission: Submission, scenario: Scenario, seed: int) -> Fate:
    """Return what happens to a submission that no table has a fate for."""
    provider = scenario.provider(submission.system_id)
    own = Draws(seed, submission.identity)
    answer = _answer(submission, provider, own, seed)
    if answer.status != c.ESME_ROK:
        return Fate(answer=answer, ending=Ending.REFUSED, ended_s=answer.delay_s)
    journey = _journey(submission, scenario, answer, own, seed)
    return Fate(
        answer=answer,
        ending=journey.ending,
        ended_s=journey.at_s,
        receipts=wanted(submission, _receipts(submission, scenario, journey, answer, seed)),
        id_form=provider.id_form,
        any_bind=provider.receipts.any_bind,
    )


def wanted(
    submission: Submission, receipts: tuple[PlannedReceipt, ...]
) -> tuple[PlannedReceipt, ...]:
    """Return the receipts that registered_delivery asks for.

    An intermediate one comes with any final one that does: carriers send them unasked.
    """
    asked = submission.registered_delivery
    if asked & 3 == 1 or not receipts:
        return receipts
    finals = _FINAL_WANTED[asked & 3]
    if asked & _WANTS_INTERMEDIATE:
        finals |= _INTERMEDIATE
    kept = tuple(receipt for receipt in receipts if receipt.state in finals)
    return kept if finals else ()


def _answer(submission: Submission, provider: Provider, own: Draws, seed: int) -> Answer:
    delay_s = provider.answer.draw(own, b"answer")
    errors = provider.errors
    brownout = provider.brownout
    if brownout.share:
        stretch = b"%b/%d" % (
            submission.system_id.encode(),
            int(submission.at_s // brownout.length_s),
        )
        if Draws(seed, stretch).happens(brownout.share, b"brownout"):
            delay_s *= brownout.slowness
            errors = max(errors, brownout.errors)
    if submission.backlog_s and provider.rate.over == "queue":
        delay_s += submission.backlog_s
    if own.happens(errors, b"error"):
        return Answer(delay_s, c.ESME_RSYSERR)
    if own.happens(provider.refusals, b"refusal"):
        return Answer(delay_s, c.ESME_RINVDSTADR)
    return Answer(delay_s, lost=own.happens(provider.lost_answers, b"lost answer"))


def _journey(
    submission: Submission, scenario: Scenario, answer: Answer, own: Draws, seed: int
) -> Journey:
    provider = scenario.provider(submission.system_id)
    shared = own if submission.parts == 1 else Draws(seed, submission.group)
    queued_s = answer.delay_s + provider.queue.draw(own, b"queue")
    if submission.backlog_s and provider.rate.over == "silent_queue":
        queued_s += submission.backlog_s
    if answer.lost and own.happens(provider.lost_answers_dropped, b"dropped"):
        return Journey(Ending.LOST, queued_s, queued_s)
    if shared.happens(provider.fabricates, b"fabricated"):
        return Journey(Ending.LOST, queued_s, queued_s)
    carrier = scenario.carrier(submission.destination, seed)
    if _is_filtered(submission, carrier, shared):
        return Journey(Ending.FILTERED, queued_s, queued_s, FILTERED)
    kept_s = provider.expires_after_s
    if submission.validity_s is not None:
        kept_s = min(kept_s, submission.validity_s)
    return _reach(carrier, shared, queued_s, kept_s)


def _is_filtered(submission: Submission, carrier: Carrier, shared: Draws) -> bool:
    rules = carrier.filter
    if not rules.rules:
        return shared.happens(rules.base, b"filter")
    return shared.happens(suspicion(submission.text, rules.base, rules.rules), b"filter")


def _reach(carrier: Carrier, shared: Draws, queued_s: float, kept_s: float) -> Journey:
    """Follow a message over the air; a phone is off, busy or there."""
    radio_s = carrier.radio.draw(shared, b"radio")
    if shared.happens(carrier.failures.share, b"failure"):
        error = shared.pick(carrier.failures.errors, b"failure error")
        return Journey(Ending.FAILED, queued_s + radio_s, queued_s, error)
    if shared.happens(carrier.off.share, b"off"):
        radio_s += carrier.off.draw(shared, b"off for")
    elif shared.happens(carrier.busy.share, b"busy"):
        radio_s += carrier.busy.draw(shared, b"busy for")
    if queued_s + radio_s > kept_s:
        return Journey(Ending.EXPIRED, max(queued_s, kept_s), queued_s, EXPIRED)
    return Journey(Ending.REACHED, queued_s + radio_s, queued_s)


def _receipts(
    submission: Submission, scenario: Scenario, journey: Journey, answer: Answer, seed: int
) -> tuple[PlannedReceipt, ...]:
    """Return what the provider will say, with everything that may go wrong with that."""
    provider = scenario.provider(submission.system_id)
    habits = provider.receipts
    own = Draws(seed, submission.identity)
    final = _final_word(submission, scenario, journey, answer, seed)
    if final is None or not own.happens(habits.coverage, b"coverage"):
        return ()
    if habits.per == "message" and submission.parts > 1:
        chosen = 1 + int(Draws(seed, submission.group).u(b"receipt part") * submission.parts)
        if submission.part != chosen:
            return ()
    delay_s = final.delay_s + habits.delay.draw(own, b"receipt")
    if own.happens(habits.late, b"late"):
        delay_s += habits.late_delay.draw(own, b"late by")
    if own.happens(habits.before_answer, b"early"):
        delay_s = answer.delay_s * 0.5
    receipts = [PlannedReceipt(delay_s, final.state, final.error)]
    if submission.registered_delivery & _WANTS_INTERMEDIATE:
        receipts.insert(0, PlannedReceipt(min(journey.queued_s, delay_s), "ENROUTE"))
    if own.happens(habits.contradicted, b"contradicted"):
        receipts.insert(0, _opposite(final, delay_s))
    if own.happens(habits.duplicated, b"duplicated"):
        receipts.append(PlannedReceipt(delay_s + 1.0, final.state, final.error))
    if own.happens(habits.reordered, b"reordered"):
        receipts.append(PlannedReceipt(delay_s + 0.5, "ENROUTE"))
    return tuple(receipts)


def _final_word(
    submission: Submission, scenario: Scenario, journey: Journey, answer: Answer, seed: int
) -> PlannedReceipt | None:
    """Return the final word before any delay of its own; None when nothing is ever said."""
    at_s = journey.at_s
    if journey.ending is Ending.REACHED:
        return PlannedReceipt(at_s, "DELIVRD")
    if journey.ending is Ending.FAILED:
        return PlannedReceipt(at_s, "UNDELIV", journey.error)
    if journey.ending is Ending.EXPIRED:
        return PlannedReceipt(at_s, "EXPIRED", journey.error)
    shared = Draws(seed, submission.group)
    provider = scenario.provider(submission.system_id)
    made_up_s = at_s + provider.fabricated_delay.draw(shared, b"made up")
    if journey.ending is Ending.LOST:
        return None if answer.lost else PlannedReceipt(made_up_s, "DELIVRD")
    carrier = scenario.carrier(submission.destination, seed)
    mode = shared.pick(carrier.filter.modes, b"filter mode")
    if mode == "reported":
        return PlannedReceipt(at_s, "REJECTD", journey.error)
    return PlannedReceipt(made_up_s, "DELIVRD") if mode == "fake" else None


def _opposite(final: PlannedReceipt, at_s: float) -> PlannedReceipt:
    if final.state == "DELIVRD":
        return PlannedReceipt(at_s, "UNDELIV", ABSENT)
    return PlannedReceipt(at_s, "DELIVRD")
