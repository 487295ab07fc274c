"""Put a message's evidence together: one verdict, its probability, and what it rests on.

The start is what silence means at this age, or how often such a receipt is true. Each other
piece of evidence multiplies the odds by its likelihood ratio: how much likelier it is to be
seen when a message arrived. Pieces of one group are one voice (three clicks are one reader),
so a group counts once, by its strongest piece. Only those who saw the message prove anything.

The verdict is the first row of VERDICTS that fits. A provider that gave up waiting has said
nothing: whatever no row can claim is unknown, with its probability and what would settle it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import msgspec

from arrivals.outcome.trust import Chance, Quality

P_MIN: Final = 0.001  # nothing short of proof is surer than this
P_MAX: Final = 0.999
HANDSET_TRUE_MIN: Final = 0.98  # of a route's handset receipts, to take one at its word
LIKELY_DELIVERED_MIN: Final = 0.85
LIKELY_FILTERED_MAX: Final = 0.30
FAILED_MAX: Final = 0.05
# What ends a silent message as filtered at its deadline: no more chance than this, an alarm,
# and so many hand-offs behind it.
SURELY_FILTERED_MAX: Final = 0.05
SURELY_FILTERED_HANDOFFS_MIN: Final = 200.0
INFERRED: Final = "inferred"  # how we know who filtered a message that nobody says was


class Verdict(StrEnum):
    """What became of a message, as far as anybody can know."""

    DELIVERED = "delivered"
    LIKELY_DELIVERED = "likely_delivered"
    FAILED = "failed"
    FILTERED = "filtered"
    LIKELY_FILTERED = "likely_filtered"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Depth(IntEnum):
    """How far somebody vouches for a message having come."""

    NONE = 0
    SUBMITTED = 1
    CARRIER = 2
    HANDSET = 3
    USER = 4


class Kind(StrEnum):
    """What was seen of a message beside its receipts."""

    CONVERSION = "conversion"
    REPLY = "reply"
    PROBE = "probe"
    HUMAN_CLICK = "human_click"
    SCANNER_CLICK = "scanner_click"
    ASKED_AGAIN = "asked_again"
    DENIED = "denied"
    PROBE_MISSED = "probe_missed"
    KNOWN_DEAD = "known_dead"


class Rung(msgspec.Struct, frozen=True):
    """What a kind of evidence says, how strongly, and where that comes from."""

    ratio: float  # how many times likelier it is seen of a message that arrived
    group: str  # pieces of one group are one voice
    depth: Depth
    source: str
    proof: bool = False


# The defaults of the likelihood ratios are assumptions, in the order of what the trade takes
# for proof; conversions and replies can only follow an arrival.
LADDER: Final[dict[Kind, Rung]] = {
    Kind.CONVERSION: Rung(
        1_000.0, "person", Depth.USER, proof=True,
        source="the customer's own feedback: what Twilio, AWS and Vonage take for delivered",
    ),
    Kind.REPLY: Rung(
        1_000.0, "person", Depth.USER, proof=True, source="an answer to the message, or STOP"
    ),
    Kind.PROBE: Rung(
        1_000.0, "probe", Depth.HANDSET, proof=True, source="a phone of our own received it"
    ),
    Kind.HUMAN_CLICK: Rung(
        200.0, "person", Depth.HANDSET, "assumed: scanners are told apart, but not surely"
    ),
    Kind.SCANNER_CLICK: Rung(
        1.5, "scanner", Depth.CARRIER,
        "assumed: operators open links before delivery, and of what they then filter, too",
    ),
    Kind.ASKED_AGAIN: Rung(
        0.45, "asked_again", Depth.NONE,
        "assumed: a code wanted again within 20 to 120 s; people also lose what arrived",
    ),
    Kind.DENIED: Rung(
        0.05, "person", Depth.NONE, "the customer's own feedback; people overlook messages"
    ),
    Kind.PROBE_MISSED: Rung(0.02, "probe", Depth.NONE, "a phone of our own got nothing"),
    Kind.KNOWN_DEAD: Rung(
        0.01, "number", Depth.NONE, "the number is known to be off or nobody's"
    ),
}  # fmt: skip


class Word(StrEnum):
    """What the strongest final receipt of a message says, if any came."""

    NOTHING = "nothing"
    POSITIVE = "positive"
    FAILED = "failed"
    FILTERED = "filtered"  # by an explicit code
    EXPIRED = "expired"  # by the handset's or carrier's clock, not by a provider's timer


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that bears on one message's outcome, in plain values."""

    chance: Chance  # from silence at its age, or how often such a receipt is true
    handed_off: bool
    word: Word = Word.NOTHING
    word_depth: Depth = Depth.CARRIER  # of the receipt: a route's own, where that is known
    word_by: str = ""  # who gave it: a provider or carrier
    reason: str | None = None  # of a negative receipt or a refusal
    codes_known: bool = False  # whether its codes are those of a namespace we know
    refused: bool = False  # by a provider or by us, for good
    expired_before_handoff: bool = False
    seen: tuple[Kind, ...] = ()
    filter_alarm: str | None = None  # the cell whose alarm for silent filtering is on
    alike_lack: bool = False  # what it has in common with others goes with what is missing
    after_horizon: bool = False


class FilteredBy(msgspec.Struct, frozen=True, kw_only=True):
    """Who stopped a message, and how we know: explicit_code or inferred."""

    who: str
    how: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict with all that belongs to it."""

    verdict: Verdict
    p: float | None  # that the handset got it or will; None: no independent anchor
    low: float
    high: float
    depth: Depth
    final: bool  # at proof, or when nothing more is to be expected; proof still revises it
    filtered_by: FilteredBy | None = None
    counted: tuple[Kind, ...] = ()  # one of each group
    resolves: tuple[str, ...] = ()  # what would settle it, if it is unknown


def chance_of_word(quality: Quality) -> Chance:
    """Return the chance that a message was delivered which has heard a word of this quality."""
    # What is only assumed gives bounds; it must not overrule the word itself.
    p = None if quality.level is None else quality.p
    return Chance(p=p, low=quality.low, high=quality.high)


def judge(situation: Situation) -> Judgement:
    """Return the verdict on a message, whatever the order in which its evidence came."""
    counted = _voices(situation.seen)
    proved = any(LADDER[kind].proof for kind in counted)
    chance = _fused(situation, counted, proved=proved)
    view = _View(situation, chance.p, proved)
    verdict = next(verdict for verdict, fits in VERDICTS if fits(view))
    return Judgement(
        verdict=verdict,
        p=chance.p,
        low=chance.low,
        high=chance.high,
        depth=_depth(situation, counted),
        final=proved or situation.after_horizon or _never_left(situation),
        filtered_by=_filtered_by(situation, verdict),
        counted=counted,
        resolves=_resolves(situation, chance) if verdict is Verdict.UNKNOWN else (),
    )


def is_surely_filtered(judgement: Judgement, handoffs: float) -> bool:
    """Tell whether so much speaks for a filter that silence may end by it."""
    return (
        judgement.verdict is Verdict.LIKELY_FILTERED
        and judgement.p is not None
        and judgement.p <= SURELY_FILTERED_MAX
        and handoffs >= SURELY_FILTERED_HANDOFFS_MIN
    )


# --- probability ------------------------------------------------------------------------


def _voices(seen: Iterable[Kind]) -> tuple[Kind, ...]:
    """Return the strongest piece of each group; of equals, the one that says it arrived."""
    strongest: dict[str, Kind] = {}
    for kind in sorted(set(seen), key=_strength, reverse=True):
        strongest.setdefault(LADDER[kind].group, kind)
    return tuple(strongest.values())


def _strength(kind: Kind) -> tuple[bool, float, str]:
    rung = LADDER[kind]
    return rung.proof, abs(math.log(rung.ratio)), kind.value


def _fused(situation: Situation, counted: Iterable[Kind], *, proved: bool) -> Chance:
    if proved:
        return Chance(p=1.0, low=1.0, high=1.0)
    if _never_left(situation):
        return Chance(p=0.0, low=0.0, high=0.0)
    weight = math.fsum(math.log(LADDER[kind].ratio) for kind in counted)
    start = situation.chance
    return Chance(
        p=None if start.p is None else _moved(start.p, weight),
        low=_moved(start.low, weight),
        high=_moved(start.high, weight),
    )


def _moved(p: float, weight: float) -> float:
    """Return a probability after evidence of a weight: the logarithm of its odds adds up."""
    p = min(max(p, P_MIN), P_MAX)
    return min(max(1.0 / (1.0 + math.exp(-math.log(p / (1.0 - p)) - weight)), P_MIN), P_MAX)


# --- verdict ----------------------------------------------------------------------------


class _View(NamedTuple):
    """What the rules look at."""

    situation: Situation
    p: float | None
    proved: bool


def _is_delivered(view: _View) -> bool:
    said = view.situation.word is Word.POSITIVE
    vouched = said and view.situation.word_depth >= Depth.HANDSET
    return view.proved or (vouched and view.p is not None and view.p >= HANDSET_TRUE_MIN)


def _is_expired(view: _View) -> bool:
    before = view.situation.expired_before_handoff and _never_left(view.situation)
    return before or (view.situation.word is Word.EXPIRED and not _is_likely_delivered(view))


def _is_filtered(view: _View) -> bool:
    return view.situation.word is Word.FILTERED and not _is_likely_delivered(view)


def _is_failed(view: _View) -> bool:
    situation = view.situation
    said = situation.word is Word.FAILED and situation.codes_known and bool(situation.reason)
    believed = view.p is not None and view.p <= FAILED_MAX
    return _never_left(situation) or (said and believed)


def _is_likely_filtered(view: _View) -> bool:
    """Tell of an alarm's cell what probably didn't arrive, and of silence what is all alike.

    Receipts that are missing for texts with one link, and come for all others of the cell, are
    no outage of receipts; so such a silence says something though nobody ever confirmed any.
    """
    situation = view.situation
    if situation.filter_alarm is None:
        return False
    if view.p is None:
        return situation.word is Word.NOTHING and situation.alike_lack
    return view.p <= LIKELY_FILTERED_MAX


def _is_likely_delivered(view: _View) -> bool:
    return view.p is not None and view.p >= LIKELY_DELIVERED_MIN


VERDICTS: Final[tuple[tuple[Verdict, Callable[[_View], bool]], ...]] = (
    (Verdict.DELIVERED, _is_delivered),
    (Verdict.EXPIRED, _is_expired),
    (Verdict.FILTERED, _is_filtered),
    (Verdict.FAILED, _is_failed),
    (Verdict.LIKELY_FILTERED, _is_likely_filtered),
    (Verdict.LIKELY_DELIVERED, _is_likely_delivered),
    (Verdict.UNKNOWN, lambda _: True),
)


def _never_left(situation: Situation) -> bool:
    ended = situation.refused or situation.expired_before_handoff
    return ended and not situation.handed_off and situation.word is Word.NOTHING


def _depth(situation: Situation, counted: Iterable[Kind]) -> Depth:
    depth = Depth.SUBMITTED if situation.handed_off else Depth.NONE
    if situation.word is Word.POSITIVE:
        depth = max(depth, situation.word_depth)
    elif situation.word is not Word.NOTHING:
        depth = max(depth, Depth.CARRIER)
    return max([depth, *(LADDER[kind].depth for kind in counted)])


def _filtered_by(situation: Situation, verdict: Verdict) -> FilteredBy | None:
    if verdict is Verdict.FILTERED:
        return FilteredBy(who=situation.word_by or "carrier", how="explicit_code")
    if verdict is Verdict.LIKELY_FILTERED:
        return FilteredBy(who=str(situation.filter_alarm), how=INFERRED)
    return None


_FEEDBACK: Final = "feedback from the customer's own system: who acted on it"
_PROBE: Final = "a probe number on the same carrier that received the same text, or didn't"
_TIME: Final = "a receipt, which may still come"
_CODES: Final = "the provider's list of its codes"


def _resolves(situation: Situation, chance: Chance) -> tuple[str, ...]:
    """Say what would settle an unknown outcome."""
    wanted = []
    if situation.word is Word.NOTHING and situation.handed_off and not situation.after_horizon:
        wanted.append(_TIME)
    if situation.word is Word.FAILED and not (situation.codes_known and situation.reason):
        wanted.append(_CODES)
    wanted.append(_FEEDBACK)
    if chance.p is None:
        wanted.append(_PROBE)
    return tuple(wanted)
