"""One submission on its way: which parts left, how each was answered, and what that adds up to.

Pure. A message of several parts is answered as a whole: taken if every part was; refused
only if no part can have been taken; not sent only if no part reached the socket. Anything
between is Unanswered, with the parts that are known to be there (invariants 26 and 29).
"""

from __future__ import annotations

from typing import Final

from arrivals.core.reasons import RefusalKind, Retry, reason_for_status
from arrivals.providers.api import (
    NotSent,
    Refused,
    Result,
    Submission,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.smpp.receipts import normal_form

_US: Final = 1_000_000

# Which of several refusals speaks for the message: the one that a later try helps least.
_WEIGHT: Final = {
    RefusalKind.THROTTLED: 0,
    RefusalKind.RETRYABLE: 1,
    RefusalKind.PERMANENT: 2,
}


class Flight:
    """The parts of one submission, from the first byte to the last answer."""

    __slots__ = (
        "_namespace",
        "ended",
        "ids",
        "open",
        "refusals",
        "sent",
        "submission",
        "total",
        "unsent",
        "waited_s",
    )

    def __init__(self, submission: Submission, total: int, namespace: str) -> None:
        """Begin with nothing sent; `namespace` is that of the provider's own statuses."""
        self.submission = submission
        self.total = total
        self.unsent = total  # parts that are meant to go out
        self.sent = 0  # parts of which bytes left
        self.open = 0  # parts sent whose answer is waited for
        self.ids: dict[int, str] = {}  # as sent, by part
        self.refusals: dict[int, int] = {}  # statuses, by part
        self.waited_s = 0.0
        self.ended = False
        self._namespace = namespace

    @property
    def stopped(self) -> bool:
        """Whether the parts that didn't leave yet stay here: one was refused."""
        return bool(self.refusals)

    def left(self) -> None:
        """Note that a part's bytes left."""
        self.unsent -= 1
        self.sent += 1
        self.open += 1

    def stays(self) -> None:
        """Note that a part won't leave."""
        self.unsent -= 1

    def taken(self, part: int, message_id: str, waited_s: float) -> None:
        """Note that the provider has a part."""
        self.open -= 1
        self.waited_s = max(self.waited_s, waited_s)
        self.ids[part] = message_id

    def refused(self, part: int, status: int) -> None:
        """Note that the provider doesn't want a part."""
        self.open -= 1
        self.refusals[part] = status

    def silent(self) -> None:
        """Note that a part's answer is waited for no longer."""
        self.open -= 1

    def end(self, cause: str) -> Result | None:
        """Return what became of it, once, when nothing more of it is under way; else None.

        `cause` says why parts stayed here, if that is all there is to say.
        """
        if self.open or self.unsent or self.ended:
            return None
        self.ended = True
        if not self.sent:
            return NotSent(cause)
        if len(self.ids) == self.total:
            return Taken(self.all_ids(), round(self.waited_s * _US))
        if len(self.refusals) == self.sent:
            return self._refusal()
        cause = "a part was refused" if self.refusals else "no answer came"
        return Unanswered(cause, self.all_ids())

    def late(self, part: int, message_id: str | None, status: int) -> Result | None:
        """Take an answer that came after the end; return what it changes, if anything."""
        if message_id is None:
            self.refusals[part] = status
            return self._refusal() if len(self.refusals) == self.sent else None
        self.ids[part] = message_id
        if len(self.ids) == self.total:
            return Taken(self.all_ids())
        return Unanswered("an answer came late", self.all_ids())

    def all_ids(self) -> tuple[tuple[int, str, str], ...]:
        """Return the ids by part, in normal form and as sent."""
        return tuple((part, normal_form(raw), raw) for part, raw in sorted(self.ids.items()))

    def _refusal(self) -> Result:
        status, meaning = max(
            ((each, reason_for_status(each, self._namespace)) for each in self.statuses()),
            key=lambda found: _WEIGHT[found[1].kind],
        )
        if meaning.kind is RefusalKind.THROTTLED:
            return Throttled(status)
        retryable = meaning.kind is RefusalKind.RETRYABLE
        # Another provider is no way around a filter.
        elsewhere = meaning.reason.retry is Retry.OTHER and not meaning.reason.filtered
        return Refused(status, meaning.reason.code, retryable, elsewhere)

    def statuses(self) -> tuple[int, ...]:
        """Return the refusals in the order of their parts."""
        return tuple(status for _, status in sorted(self.refusals.items()))
