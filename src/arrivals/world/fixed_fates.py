"""The numbers whose fate is the same in every scenario, for sandboxes and tests.

Country code 999 is assigned to nobody. `999000000NN` decides what happens to whatever is
sent to it, bypassing drawn chance, brown-outs and rate limits. All but 03, 10, 14 and 17 to 19
have said their last word within three seconds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from arrivals.smpp import constants as c
from arrivals.world.breaks import SOUND, Breaks, lost_in
from arrivals.world.fate import (
    ABSENT,
    EXPIRED,
    FILTERED,
    Answer,
    Ending,
    Fate,
    PlannedReceipt,
)
from arrivals.world.journey import answer_of, journey_of
from arrivals.world.provider import IdForm
from arrivals.world.reports import receipts_of, wanted, when_the_link_is_up
from arrivals.world.scenario import Scenario
from arrivals.world.submission import Submission

_ANSWER: Final = Answer(0.05)
_LOST: Final = Answer(0.05, lost=True)
_REFUSED: Final = Answer(0.05, c.ESME_RINVDSTADR)
_THROTTLED: Final = Answer(0.0, c.ESME_RTHROTTLED)
_QUEUE_FULL: Final = Answer(0.0, c.ESME_RMSGQFUL)
_DELIVERED: Final = PlannedReceipt(1.0, "DELIVRD")


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A fate written down."""

    about: str
    ending: Ending = Ending.REACHED
    ended_s: float = 0.8
    answer: Answer = _ANSWER
    receipts: tuple[PlannedReceipt, ...] = (_DELIVERED,)
    throttled: int = 0  # times before it's taken, and again for each later sending
    part: int = 0  # the only one of a long message that it's about; 0: all
    last_part_lost: bool = False  # of a long message
    id_form: IdForm | None = None  # None: the provider's


SCRIPTS: Final[dict[str, Script]] = {
    "99900000001": Script(about="delivered"),
    "99900000002": Script(
        about="absent subscriber: failed",
        ending=Ending.FAILED,
        receipts=(PlannedReceipt(1.0, "UNDELIV", ABSENT),),
    ),
    "99900000003": Script(
        about="silently filtered: accepted, and no receipt ever",
        ending=Ending.FILTERED,
        receipts=(),
    ),
    "99900000004": Script(
        about="rejected as spam",
        ending=Ending.FILTERED,
        receipts=(PlannedReceipt(1.0, "REJECTD", FILTERED),),
    ),
    "99900000005": Script(
        about="response lost, receipt later",
        answer=_LOST,
        receipts=(PlannedReceipt(2.0, "DELIVRD"),),
    ),
    "99900000006": Script(about="throttled three times, then delivered", throttled=3),
    "99900000007": Script(
        about="duplicate receipts",
        receipts=(
            _DELIVERED,
            PlannedReceipt(1.2, "DELIVRD"),
            PlannedReceipt(1.4, "DELIVRD"),
        ),
    ),
    "99900000008": Script(
        about="receipts out of order: the final one, then what came before it",
        receipts=(_DELIVERED, PlannedReceipt(1.2, "ACCEPTD"), PlannedReceipt(1.4, "ENROUTE")),
    ),
    "99900000009": Script(
        about="receipt before the response",
        ended_s=0.1,
        answer=Answer(0.5),
        receipts=(PlannedReceipt(0.2, "DELIVRD"),),
    ),
    "99900000010": Script(
        about="delivered after 30 s",
        ended_s=29.8,
        receipts=(PlannedReceipt(30.0, "DELIVRD"),),
    ),
    "99900000011": Script(
        about="fake receipt: delivered claimed, and the handset never got it",
        ending=Ending.LOST,
    ),
    "99900000012": Script(
        about="contradictory receipts: undeliverable, then delivered",
        ended_s=1.8,
        receipts=(PlannedReceipt(1.0, "UNDELIV", ABSENT), PlannedReceipt(2.0, "DELIVRD")),
    ),
    "99900000013": Script(
        about="expires upstream",
        ending=Ending.EXPIRED,
        receipts=(PlannedReceipt(1.0, "EXPIRED", EXPIRED),),
    ),
    "99900000014": Script(
        about="one segment of several lost: the last has no receipt", last_part_lost=True
    ),
    "99900000015": Script(
        about="refused permanently at submit",
        ending=Ending.REFUSED,
        ended_s=_REFUSED.delay_s,
        answer=_REFUSED,
        receipts=(),
    ),
    "99900000016": Script(
        about="hex id in the response, decimal in the receipt", id_form="hex_then_decimal"
    ),
    "99900000017": Script(
        about="response lost and never sent on",
        ending=Ending.LOST,
        answer=_LOST,
        receipts=(),
    ),
    "99900000018": Script(
        about="always throttled",
        ending=Ending.REFUSED,
        ended_s=0.0,
        answer=_THROTTLED,
        receipts=(),
    ),
    "99900000019": Script(
        about="its queue is always full",
        ending=Ending.REFUSED,
        ended_s=0.0,
        answer=_QUEUE_FULL,
        receipts=(),
    ),
    "99900000020": Script(
        about="the second segment of several throttled once, then delivered",
        throttled=1,
        part=2,
    ),
    "99900000021": Script(
        about="the second segment of several refused permanently",
        ending=Ending.REFUSED,
        ended_s=_REFUSED.delay_s,
        answer=_REFUSED,
        receipts=(),
        part=2,
    ),
}
_TAKEN: Final = Script(about="whatever a script isn't about")


def fate_of(
    submission: Submission, scenario: Scenario, seed: int, breaks: Breaks | None = None
) -> Fate:
    """Return what happens to a submission: as its number's script says, or as drawn.

    `breaks` says how its provider is broken, in place of what the scenario says.
    """
    if breaks is None:
        breaks = scenario.at(submission.at_s).provider(submission.system_id).breaks
    script = SCRIPTS.get(submission.destination)
    if script is None:
        fate = _drawn(submission, scenario, seed)
    else:
        fate = _scripted(submission, script, scenario)
    if breaks is SOUND or not breaks.loses:
        return fate
    return lost_in(fate, breaks, submission, seed)


def _scripted(submission: Submission, script: Script, scenario: Scenario) -> Fate:
    """Return what a script says of a submission."""
    if script.part and submission.part != script.part:
        script = _TAKEN
    if script.throttled and (submission.occurrence - 1) % (script.throttled + 1) < (
        script.throttled
    ):
        return Fate(answer=_THROTTLED, ending=Ending.REFUSED, ended_s=0.0)
    ending, receipts = script.ending, script.receipts
    if script.last_part_lost and submission.part == submission.parts > 1:
        ending, receipts = Ending.LOST, ()
    return Fate(
        answer=script.answer,
        ending=ending,
        ended_s=script.ended_s,
        receipts=wanted(submission, receipts),
        id_form=script.id_form or scenario.provider(submission.system_id).id_form,
    )


def _drawn(submission: Submission, scenario: Scenario, seed: int) -> Fate:
    """Return what happens to a submission that no table has a fate for."""
    now = scenario.at(submission.at_s)
    provider = now.provider(submission.system_id)
    answer = answer_of(submission, now, seed)
    if answer.status != c.ESME_ROK:
        return Fate(answer=answer, ending=Ending.REFUSED, ended_s=answer.delay_s)
    journey = journey_of(submission, now, answer, seed)
    told = wanted(submission, receipts_of(submission, now, journey, answer, seed))
    return Fate(
        answer=answer,
        ending=journey.ending,
        ended_s=journey.at_s,
        receipts=when_the_link_is_up(submission, scenario, told, seed),
        id_form=provider.id_form,
        any_bind=provider.receipts.any_bind,
        cause=journey.cause,
        carried_s=None if journey.ending is Ending.LOST else journey.queued_s,
        shown_sender=journey.shown_sender,
    )
