"""One submission on its way: which parts left, how each was answered, and what that adds up to.

Pure. A message of several parts is answered as a whole: taken if every part was; refused
only if no part can have been taken; not sent only if no part reached the socket. Anything
between is Unanswered, with the parts that are known to be there (invariants 26 and 29).

A part that may be tried again while others of its message were taken is put off and tried by
itself, under its reference: never the whole message, of which a part is there already. So a
message whose parts were all answered ends as what it is: taken, or refused with the part that
was refused for good, or that we stopped sending. Only silence makes a doubt, and an answer that
comes after it may end it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from arrivals.core.reason_codes import UNWRITABLE
from arrivals.core.reasons import RefusalKind, Retry, StatusMeaning, reason_for_status
from arrivals.core.retry import Cause, next_at
from arrivals.providers.api import (
    NotBound,
    NotSent,
    PartHeld,
    Refused,
    Result,
    Submission,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.smpp import constants as c
from arrivals.smpp.receipt_texts import ID_CHARS_MAX, plain
from arrivals.smpp.receipts import normal_form

_US: Final = 1_000_000

_TRAITS_REMEMBERED: Final = 1_024
COUNTRY_DIGITS: Final = 2  # enough to tell countries apart, or their neighbourhood

NOT_BOUND: Final = c.ESME_RINVBNDSTS  # it concerns the bind; nothing was looked at
_NEVER_LEFT: Final = 0  # no status: the part waits behind another, or lost its link

# Why a message lacks a part that nobody refused.
_STOPPED: Final = "stopped_halfway"
_TOO_LATE: Final = "expired_in_our_queue"

# Which of several refusals speaks for the message: the one that a later try helps least.
_WEIGHT: Final = {
    RefusalKind.THROTTLED: 0,
    RefusalKind.RETRYABLE: 1,
    RefusalKind.PERMANENT: 2,
}
_CAUSE: Final = {
    RefusalKind.THROTTLED: Cause.THROTTLED,
    RefusalKind.RETRYABLE: Cause.REFUSED_RETRYABLE,
}


@lru_cache(maxsize=_TRAITS_REMEMBERED)
def _traits(sender: str, country: str, is_long: bool) -> tuple[str, ...]:  # noqa: FBT001 - a key of the cache
    mine = (f"from {sender}", f"to {country}")
    return (*mine, "long") if is_long else mine


class Flight:
    """The parts of one submission, from the first byte to the last answer."""

    __slots__ = (
        "_known_in_part",
        "_last",
        "_namespace",
        "_turns",
        "behind",
        "ended",
        "ids",
        "open",
        "refusals",
        "sent",
        "submission",
        "total",
        "unsent",
        "waited_s",
        "whole_bind",
    )

    def __init__(self, submission: Submission, total: int, namespace: str) -> None:
        """Begin with nothing sent; `namespace` is that of the provider's own statuses."""
        self.submission = submission
        self.total = total
        self.unsent = total  # parts that are meant to go out
        self.sent = 0  # parts of which bytes left and that weren't refused and put off
        self.open = 0  # parts sent whose answer is waited for
        self.ids: dict[int, str] = {}  # as sent, by part
        self.refusals: dict[int, int] = {}  # statuses, by part
        self.behind: list[int] = []  # parts that stayed here
        self.waited_s = 0.0
        self.ended = False
        self.whole_bind = False  # whether throttling it concerned more than itself
        self._known_in_part = False  # whether it ended in doubt with parts known to be taken
        self._last: dict[int, int] = {}  # why parts that were put off were so, before this try
        self._namespace = namespace
        self._turns: dict[Cause, int] = {}  # how often in a row it was put off for each

    @property
    def traits(self) -> tuple[str, ...]:
        """What it has in common with others that a provider may throttle for good."""
        submission = self.submission
        return _traits(submission.sender, submission.msisdn[:COUNTRY_DIGITS], self.total > 1)

    @property
    def stopped(self) -> bool:
        """Whether the parts that didn't leave yet stay here: one was refused."""
        return bool(self.refusals)

    @property
    def is_under_way(self) -> bool:
        """Whether an answer, or a part's leaving, is still to come."""
        return bool(self.open or self.unsent)

    @property
    def silences(self) -> int:
        """How many parts left and were never answered."""
        return self.sent - self.open - len(self.ids) - len(self.refusals)

    @property
    def is_taken(self) -> bool:
        """Whether the provider has all of it."""
        return len(self.ids) == self.total

    @property
    def is_lost(self) -> bool:
        """Whether it came to nothing: a part wasn't answered, or the bind was forgotten."""
        return bool(self.silences) or NOT_BOUND in self.refusals.values()

    @property
    def came_back(self) -> bool:
        """Whether what was to go out stayed here, so that nothing was answered to it."""
        return UNWRITABLE in self.refusals.values() or bool(self.behind and not self.refusals)

    def left(self) -> None:
        """Note that a part's bytes left."""
        self.unsent -= 1
        self.sent += 1
        self.open += 1

    def stays(self, part: int) -> None:
        """Note that a part won't leave, or not yet."""
        self.unsent -= 1
        self.behind.append(part)

    def taken(self, part: int, message_id: str, waited_s: float) -> None:
        """Note that the provider has a part."""
        self.open -= 1
        self.waited_s = max(self.waited_s, waited_s)
        self.ids[part] = message_id
        if self._turns:
            self._turns.clear()

    def refused(self, part: int, status: int) -> None:
        """Note that the provider doesn't want a part."""
        self.open -= 1
        self.refusals[part] = status

    def silent(self) -> None:
        """Note that a part's answer is waited for no longer."""
        self.open -= 1

    # --- the end ---------------------------------------------------------------------

    def end(self, cause: str) -> Result | None:
        """Return what became of it, once, when nothing more of it is under way; else None.

        None as well if it can go on: see `can_go_on`. `cause` says why parts stayed here, if
        that is all there is to say.
        """
        if self.open or self.unsent or self.ended:
            return None
        if self.is_taken:
            self.ended = True
            return Taken(self.all_ids(), round(self.waited_s * _US))
        if self.can_go_on:
            return None
        self.ended = True
        if not self.sent:
            return NotSent(cause)
        if not self.silences:
            return self._refusal()
        self._known_in_part = bool(self.ids)
        cause = "a part was refused" if self.refusals else "no answer came"
        return Unanswered(cause, self.all_ids())

    @property
    def can_go_on(self) -> bool:
        """Whether parts were taken, and all that is missing may be tried again by itself."""
        if not self.ids or self.is_under_way or self.ended or self.is_taken:
            return False
        return not self.silences and not any(
            self._kind(status) is RefusalKind.PERMANENT for status in self.refusals.values()
        )

    def put_off(self, now_us: int, jitter: float) -> int | None:
        """Return when what is missing is tried again; None if no try is left to it."""
        causes = {self._cause(status) for status in self.refusals.values()} or {Cause.NOT_SENT}
        until_us = now_us
        for cause in causes:
            turn = self._turns[cause] = self._turns.get(cause, 0) + 1
            deadline_us = self.submission.expires_at_us
            at_us = next_at(cause, turn, now_us, jitter, deadline_us=deadline_us)
            if at_us is None:
                return None
            until_us = max(until_us, at_us)
        return until_us

    def held(self, until_us: int, due_us: int) -> PartHeld:
        """Say that a part is put off until `due_us`; by `until_us` there is news of it."""
        part = self._missing()
        status = self.refusals.get(part, _NEVER_LEFT)
        return PartHeld(part, status, until_us, self.all_ids(), due_us)

    def resume(self) -> list[int]:
        """Return the parts that go out now, in order."""
        parts = sorted([*self.refusals, *self.behind])
        self.sent -= len(self.refusals)  # what was refused is known not to be there
        self.unsent = len(parts)
        self._last |= self.refusals
        self.refusals.clear()
        self.behind.clear()
        return parts

    def give_up(self) -> Result:
        """End it though it could go on: the provider's no stands, where there is one."""
        self.ended = True
        if self.refusals:
            return self._refusal()
        return self._lacking(_TOO_LATE, "its validity ended")

    def abandon(self, cause: str) -> Result:
        """End it because we stop: who put a part off is not who refuses it.

        Nothing of it is in doubt. The others were taken, and this one isn't there.
        """
        self.ended = True
        return self._lacking(_STOPPED, cause)

    def _lacking(self, reason: str, cause: str) -> Refused:
        part = self._missing()
        return Refused(
            self.refusals.get(part) or self._last.get(part, _NEVER_LEFT),
            reason,
            retryable=False,
            elsewhere=False,
            part=part,
            parts_accepted=self.all_ids(),
            cause=cause,
        )

    def _missing(self) -> int:
        return min(self.refusals, default=0) or min(self.behind)

    def late(self, part: int, message_id: str | None, status: int) -> Result | None:
        """Take an answer that came after its time; return what it changes, if anything.

        It may end a doubt, or leave no more of it than a part to try again (`can_go_on`), but
        only where nobody can have sent the whole of it again meanwhile.
        """
        if message_id is None:
            self.refusals[part] = status
        else:
            self.ids[part] = message_id
        if not self.ended:
            return None
        if self.is_taken:
            return Taken(self.all_ids())
        if self.silences:
            told = message_id is not None
            return Unanswered("an answer came late", self.all_ids()) if told else None
        self.ended = not self._known_in_part
        if self.can_go_on:
            return None
        self.ended = True
        return self._refusal() if self.refusals else self._lacking(_STOPPED, "it was in doubt")

    def all_ids(self) -> tuple[tuple[int, str, str], ...]:
        """Return the ids by part, in normal form and as sent."""
        return tuple(
            (part, normal_form(raw), plain(raw, ID_CHARS_MAX))
            for part, raw in sorted(self.ids.items())
        )

    def statuses(self) -> tuple[int, ...]:
        """Return the refusals in the order of their parts."""
        return tuple(status for _, status in sorted(self.refusals.items()))

    # --- refusals --------------------------------------------------------------------

    def _refusal(self) -> Result:
        part, status = max(
            sorted(self.refusals.items()), key=lambda each: self._weight(each[1])
        )
        meaning = self._meaning(status)
        reason = meaning.reason
        if self.ids:
            # Others are there: it is over here, and another provider would send them again.
            return Refused(
                status,
                reason.code,
                retryable=False,
                elsewhere=False,
                part=part,
                parts_accepted=self.all_ids(),
            )
        if status == NOT_BOUND:
            return NotBound(status)
        if meaning.kind is RefusalKind.THROTTLED:
            return Throttled(status, self.whole_bind)
        retryable = meaning.kind is RefusalKind.RETRYABLE
        # Another provider is no way around a filter.
        elsewhere = reason.retry is Retry.OTHER and not reason.filtered
        return Refused(status, reason.code, retryable, elsewhere)

    def _weight(self, status: int) -> int:
        return -1 if status == NOT_BOUND else _WEIGHT[self._kind(status)]

    def _cause(self, status: int) -> Cause:
        return Cause.NOT_SENT if status == NOT_BOUND else _CAUSE[self._kind(status)]

    def _kind(self, status: int) -> RefusalKind:
        return self._meaning(status).kind

    def _meaning(self, status: int) -> StatusMeaning:
        return reason_for_status(status, self._namespace)
