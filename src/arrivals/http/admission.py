"""Take in hand what can be answered soon, and tell the rest when to come again.

How much that is depends on the machine, its disk and what else it does, so nobody has to say:
the bound follows the answers. Each answer that comes soon raises it a little, as long as it is
made use of; one that comes late lowers it by a fifth, once for all that were late together
(additive increase, multiplicative decrease). Without a bound everybody waits for everybody,
and what is accepted comes too late for whoever asked.

Those who are refused are counted as a queue that isn't here: at the rate of the last second's
answers, so long will it take until all of them have had their turn.
"""

from __future__ import annotations

from typing import Final

from arrivals.core.errors import Code, refuse

SOON_S: Final = 0.15
IN_HAND_MIN: Final = 512  # what any machine answers soon, or is too small for its work
IN_HAND_MAX: Final = 10_000
IN_HAND_FIRST: Final = 1_000
LOWERED_TO: Final = 0.8
RETRY_AFTER_MAX_S: Final = 60
_RATE_OVER_S: Final = 1.0


class Admission:
    """How many commits of one process are asked for, and how many may be."""

    def __init__(self) -> None:
        self.in_hand = 0  # whoever begins a commit adds one
        self.bound = float(IN_HAND_FIRST)
        self._lowered_at = float("-inf")
        self._second = float("-inf")  # when the second began that is counted now
        self._answers = 0  # in it
        self._rate = float(IN_HAND_MIN)  # answers in the second before
        self._refused = 0.0  # whose turn has not come

    def admit(self, now: float) -> None:
        """Raise the Refusal that says when to come again, if there is no room."""
        if self.in_hand < self.bound:
            return
        self._count(now)
        self._refused += 1
        seconds = min(1 + int(self._refused / self._rate), RETRY_AFTER_MAX_S)
        raise refuse(Code.QUEUE_FULL, retry_after_s=seconds)

    def answer(self, took_s: float, now: float) -> None:
        """Let go of what was in hand for so many seconds."""
        used = self.in_hand * 2 > self.bound
        self.in_hand -= 1
        self._count(now)
        self._answers += 1
        if took_s > SOON_S:
            if now - self._lowered_at > SOON_S:
                self._lowered_at = now
                self.bound = max(self.bound * LOWERED_TO, IN_HAND_MIN)
        elif used:
            self.bound = min(self.bound + 1.0 / self.bound, IN_HAND_MAX)

    def _count(self, now: float) -> None:
        passed = now - self._second
        if passed < _RATE_OVER_S:
            return
        if self._answers:
            self._rate = max(self._answers / min(passed, 2 * _RATE_OVER_S), 1.0)
        self._refused = max(self._refused - self._rate * min(passed, RETRY_AFTER_MAX_S), 0.0)
        self._second, self._answers = now, 0
