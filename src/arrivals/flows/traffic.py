"""Count what goes to each provider and what comes back, as running totals of this process.

Labels are bounded: providers, the kinds of answers, and our own reasons for refusals; never a
code as it came, a number or an account. A batch is counted at once where that can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from arrivals.core.buckets import Buckets
from arrivals.core.reasons import REASONS
from arrivals.providers.api import (
    Answer,
    NotBound,
    NotSent,
    PartHeld,
    Receipt,
    Refused,
    Taken,
    Throttled,
    Unanswered,
)

# From a provider next door to one that answers right before its time-out.
SUBMIT_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_RESULTS: Final[dict[type, str]] = {
    Taken: "taken",
    Throttled: "throttled",
    NotBound: "not_bound",
    Refused: "refused",
    NotSent: "not_sent",
    Unanswered: "unanswered",
}


class Traffic:
    """The totals of the providers whose binds this process owned."""

    def __init__(self) -> None:
        self.handed: Counter[str] = Counter()
        self.answers: Counter[tuple[str, str]] = Counter()  # provider, result
        self.late: Counter[str] = Counter()  # answers to what was given up
        self.refusals: Counter[tuple[str, str, str]] = Counter()  # provider, fault, reason
        self.throttles: Counter[tuple[str, str]] = Counter()  # provider, scope
        self.receipts: Counter[tuple[str, str]] = Counter()  # provider, word
        self.replies: Counter[str] = Counter()
        self.submit_s: dict[str, Buckets] = {}

    def handed_over(self, provider_id: str, count: int) -> None:
        """Count messages that a connection was given."""
        self.handed[provider_id] += count

    def answered(self, provider_id: str, answers: Sequence[Answer]) -> None:
        """Count what became of hand-offs, each once however often it is spoken of."""
        times = self.submit_s.get(provider_id)
        if times is None:
            times = self.submit_s[provider_id] = Buckets(SUBMIT_S)
        for each in answers:
            result = each.result
            if isinstance(result, PartHeld):
                continue  # not its end
            if each.late:
                self.late[provider_id] += 1
                continue
            self.answers[provider_id, _RESULTS[type(result)]] += 1
            if isinstance(result, Taken):
                times.add(result.elapsed_us / 1e6)
            elif isinstance(result, Throttled):
                self.throttles[provider_id, "bind" if result.whole_bind else "message"] += 1
            elif isinstance(result, Refused):
                fault = REASONS[result.reason].fault.value
                self.refusals[provider_id, fault, result.reason] += 1

    def received(self, provider_id: str, receipts: Sequence[Receipt]) -> None:
        """Count receipts by the word they give."""
        for each in receipts:
            self.receipts[provider_id, each.word] += 1

    def replied(self, provider_id: str, count: int) -> None:
        """Count messages from handsets."""
        self.replies[provider_id] += count
