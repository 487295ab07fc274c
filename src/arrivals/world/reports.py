"""What providers say about a submission, whatever became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.world.draws import Draws
from arrivals.world.fate import ABSENT, Answer, Ending, Journey, PlannedReceipt

if TYPE_CHECKING:
    from arrivals.world.carrier import Carrier, Cause, FilterMode
    from arrivals.world.provider import Depth, Receipts
    from arrivals.world.scenario import Scenario
    from arrivals.world.submission import Submission

# Final states by what registered_delivery asks for (section 5.2.17): bits 0 and 1.
_FINAL_WANTED: Final[dict[int, frozenset[str]]] = {
    0: frozenset(),
    1: frozenset({"DELIVRD", "UNDELIV", "EXPIRED", "REJECTD", "DELETED", "UNKNOWN"}),
    2: frozenset({"UNDELIV", "EXPIRED", "REJECTD", "DELETED", "UNKNOWN"}),
    3: frozenset({"DELIVRD"}),
}
_INTERMEDIATE: Final = frozenset({"ENROUTE", "ACCEPTD"})
_WANTS_INTERMEDIATE: Final = 0x10

PROGRESS_WORDS: Final = ("ACKED", "BUFFRED")  # of the network after the provider

_DEPTHS: Final[dict[Depth, int]] = {"none": 0, "carrier": 1, "handset": 2}

# What carriers usually say about what they keep. For a text's content that's drawn from the
# filter's modes, and too much too fast is taken for such a text.
_SAID: Final[dict[Cause, FilterMode]] = {
    "sender": "reported",
    "template": "silent",
    "duplicate": "silent",
    "cap": "reported",
}


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


def receipts_of(
    submission: Submission, scenario: Scenario, journey: Journey, answer: Answer, seed: int
) -> tuple[PlannedReceipt, ...]:
    """Return what the provider will say, with everything that may go wrong with that."""
    habits = scenario.provider(submission.system_id).receipts
    own = Draws(seed, submission.identity)
    final = _final_word(submission, scenario, journey, answer, seed)
    if final is None or not _is_told(journey, habits, own):
        return _made_up_word(journey, answer, habits.gives_up_after_s, habits.gives_up_word)
    if habits.per == "message" and submission.parts > 1:
        chosen = 1 + int(Draws(seed, submission.group).u(b"receipt part") * submission.parts)
        if submission.part != chosen:
            return ()
    delay_s = final.delay_s + habits.delay.draw(own, b"receipt")
    if own.happens(habits.late, b"late"):
        delay_s += habits.late_delay.draw(own, b"late by")
    if own.happens(habits.before_answer, b"early"):
        delay_s = answer.delay_s * 0.5
    return tuple(_with_others(submission, journey, habits, final, delay_s, own))


def _with_others(
    submission: Submission,
    journey: Journey,
    habits: Receipts,
    final: PlannedReceipt,
    delay_s: float,
    own: Draws,
) -> list[PlannedReceipt]:
    """Return the final word with all that is told beside it, as it comes in."""
    receipts = [PlannedReceipt(delay_s, final.state, final.error)]
    if submission.registered_delivery & _WANTS_INTERMEDIATE:
        receipts.insert(0, PlannedReceipt(min(journey.queued_s, delay_s), "ENROUTE"))
    if own.happens(habits.progress, b"progress"):
        word = PROGRESS_WORDS[int(own.u(b"progress word") * len(PROGRESS_WORDS))]
        due_s = min(journey.queued_s, delay_s)
        receipts.insert(0, PlannedReceipt(due_s, "ENROUTE", word=word))
    if own.happens(habits.contradicted, b"contradicted"):
        receipts.insert(0, _opposite(final, delay_s))
    if own.happens(habits.duplicated, b"duplicated"):
        receipts.append(PlannedReceipt(delay_s + 1.0, final.state, final.error))
    if own.happens(habits.reordered, b"reordered"):
        receipts.append(PlannedReceipt(delay_s + 0.5, "ENROUTE"))
    return receipts


def _is_told(journey: Journey, habits: Receipts, own: Draws) -> bool:
    """Tell whether a word gets from the carrier to the provider, and from there to us."""
    carrier = journey.carrier
    return own.happens(habits.coverage, b"coverage") and (
        carrier is None or own.happens(carrier.receipts.coverage, b"carrier tells")
    )


def when_the_link_is_up(
    submission: Submission, scenario: Scenario, receipts: tuple[PlannedReceipt, ...], seed: int
) -> tuple[PlannedReceipt, ...]:
    """Return receipts as they come over a link that is down at times; some may never.

    `scenario` is the whole one, with its eras.
    """
    if not scenario.eras:
        return receipts
    own = Draws(seed, submission.identity)
    come = []
    for nth, receipt in enumerate(receipts):
        due_s = submission.at_s + receipt.delay_s
        up_s = _up_again_s(submission, scenario, due_s)
        if up_s == due_s:
            come.append(receipt)
        elif up_s is not None:
            habits = scenario.at(up_s).provider(submission.system_id).receipts
            held_s = up_s - due_s + habits.flood_s * own.u(b"flood %d" % nth)
            delay_s = receipt.delay_s + held_s
            come.append(msgspec.structs.replace(receipt, delay_s=delay_s, held_s=held_s))
    return tuple(come)


def _up_again_s(submission: Submission, scenario: Scenario, at_s: float) -> float | None:
    """Return when receipts come that are due at a moment; None is never."""
    up_s: float | None = at_s
    while up_s is not None and (scenario.at(up_s).provider(submission.system_id).receipts.held):
        up_s = scenario.next_change_s(up_s)
    return up_s


def _final_word(
    submission: Submission,
    scenario: Scenario,
    journey: Journey,
    answer: Answer,
    seed: int,
) -> PlannedReceipt | None:
    """Return the final word before any delay of its own; None when nothing is ever said."""
    at_s = journey.at_s
    provider = scenario.provider(submission.system_id)
    shared = Draws(seed, submission.group)
    carrier = journey.carrier
    if carrier is None:
        made_up_s = at_s + provider.fabricated_delay.draw(shared, b"made up")
        return None if answer.lost else PlannedReceipt(made_up_s, "DELIVRD")
    depth = min(provider.receipts.depth, carrier.receipts.depth, key=_DEPTHS.__getitem__)
    if depth == "none":
        return None
    if depth == "carrier":
        # Written when the carrier takes it, before anything that may stop it there.
        return PlannedReceipt(journey.queued_s, carrier.receipts.word)
    if journey.ending is Ending.REACHED:
        return PlannedReceipt(at_s, "DELIVRD")
    if journey.ending is Ending.FAILED:
        return PlannedReceipt(at_s, "UNDELIV", journey.error)
    if journey.ending is Ending.EXPIRED:
        return PlannedReceipt(at_s, "EXPIRED", journey.error)
    mode = _mode(journey, carrier, shared)
    if mode == "reported":
        return PlannedReceipt(at_s, "REJECTD", journey.error)
    if mode == "silent":
        return None
    made_up_s = at_s + provider.fabricated_delay.draw(shared, b"made up")
    return PlannedReceipt(made_up_s, "DELIVRD")


def _mode(journey: Journey, carrier: Carrier, shared: Draws) -> FilterMode:
    for said in (carrier.says, _SAID):
        for cause, mode in said.items():
            if cause == journey.cause:
                return mode
    return shared.pick(carrier.filter.modes, b"filter mode")


def _made_up_word(
    journey: Journey, answer: Answer, after_s: float, word: str
) -> tuple[PlannedReceipt, ...]:
    """Return the word of a provider that has waited long enough and knows nothing."""
    if not after_s or (journey.ending is Ending.LOST and answer.lost):
        return ()
    return (PlannedReceipt(after_s, word),)


def _opposite(final: PlannedReceipt, at_s: float) -> PlannedReceipt:
    if final.state == "DELIVRD":
        return PlannedReceipt(at_s, "UNDELIV", ABSENT)
    return PlannedReceipt(at_s, "DELIVRD")
