"""How a provider breaks down while it still binds, and whom it makes wait.

A crash loop behind a balancer: every bind is accepted, takes so many submits, and is gone
with all of them unanswered. A mute provider takes everything and answers nothing. One that
forgets its binds answers "wrong bind state" to who is bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from arrivals.smpp import constants as c
from arrivals.world.draws import Draws
from arrivals.world.fate import Answer, Ending, Fate
from arrivals.world.recent import Recent
from arrivals.world.submission import Kind, identify
from arrivals.world.tables import Count, Part, PositiveSeconds, Share

if TYPE_CHECKING:
    from arrivals.world.submission import Submission

HELD_MAX: Final = 20_000  # kinds of submission whose tries are counted, twice at most

Submits = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Status = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
Throttle = Literal["throttled", "queue_full"]

THROTTLES: Final[dict[Throttle, int]] = {
    "throttled": c.ESME_RTHROTTLED,
    "queue_full": c.ESME_RMSGQFUL,
}


class Breaks(Part, frozen=True):
    """How a provider breaks down."""

    drops_after: Submits = 0  # on one bind; then it drops it, all unanswered; 0: never
    drops_within_s: PositiveSeconds = 0.05  # of the first of them, be they fewer
    mute: bool = False  # it takes everything and answers nothing
    sends_on: Share = 0.0  # of what it dropped or was mute about
    forgets_after: Submits = 0  # on one bind; then each is in the wrong bind state; 0: never
    forgets_link: bool = False  # then enquire_link is in it too
    blames: Status = 0  # what every submit_sm is answered, however it's written; 0: nothing

    @property
    def loses(self) -> bool:
        """Whether what it takes is never answered."""
        return self.mute or self.drops_after > 0


SOUND: Final = Breaks()


class Holds(Part, frozen=True):
    """Which messages are told to wait though others aren't, and which parts."""

    numbers: Share = 0.0  # of numbers
    times: Count | None = None  # that each message to one of those is told so; None: always
    parts: Share = 0.0  # of parts of long messages: once each
    word: Throttle = "throttled"
    refuses_parts: Share = 0.0  # of long messages: one part of each, for good


NOBODY: Final = Holds()


class Held:
    """Judge what comes by whom it's for; no rate is in it."""

    def __init__(self, seed: int) -> None:
        """Begin with no try counted."""
        self._seed = seed
        self._tries: Recent[bytes, int] = Recent(HELD_MAX)

    def judge(self, holds: Holds, kind: Kind) -> int:
        """Return the status for a submit_sm of this kind, and count it where that matters."""
        number = Draws(self._seed, kind.destination.encode())
        if number.happens(holds.numbers, b"held number") and (
            holds.times is None or self._is_among_first(holds.times, kind)
        ):
            return THROTTLES[holds.word]
        return c.ESME_ROK if kind.parts == 1 else self._judge_part(holds, kind)

    def _judge_part(self, holds: Holds, kind: Kind) -> int:
        message = kind._replace(octets=b"", part=0)
        whole = Draws(self._seed, identify(*message))
        refused = 1 + int(whole.u(b"refused part") * kind.parts)
        if kind.part == refused and whole.happens(holds.refuses_parts, b"a part refused"):
            return c.ESME_RINVDSTADR
        own = Draws(self._seed, identify(*kind))
        if own.happens(holds.parts, b"held part") and self._is_among_first(1, kind):
            return THROTTLES[holds.word]
        return c.ESME_ROK

    def _is_among_first(self, times: int, kind: Kind) -> bool:
        """Count a try; tell whether it's one of the first, after which one is taken."""
        name = identify(*kind)
        tried = self._tries.get(name) or 0
        self._tries.put(name, tried + 1)
        return tried % (times + 1) < times


def lost_in(fate: Fate, breaks: Breaks, submission: Submission, seed: int) -> Fate:
    """Return what a broken provider makes of a fate: no answer, and mostly no ending either."""
    answer = Answer(0.0, lost=True)
    sent_on = Draws(seed, submission.identity).happens(breaks.sends_on, b"sent on")
    if sent_on and fate.ending is not Ending.REFUSED:
        return msgspec.structs.replace(fate, answer=answer)
    return Fate(answer=answer, ending=Ending.LOST, ended_s=0.0)
