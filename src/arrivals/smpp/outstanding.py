"""The requests that wait for their answers, and those that no longer do but are remembered."""

from __future__ import annotations

import msgspec

from arrivals.smpp import constants as c
from arrivals.smpp.events import Event, Unanswered, UnansweredReason
from arrivals.smpp.states import WINDOWED


class Sent(msgspec.Struct, frozen=True):
    """A request as it was sent."""

    token: object
    command_id: int
    sent_at: float

    def is_answered_by(self, command_id: int) -> bool:
        """Whether a response with this command id is this request's."""
        return command_id in (self.command_id | c.RESPONSE, c.GENERIC_NACK)


class Outstanding:
    """Unanswered requests by sequence number, oldest first: one timeout serves all.

    What was given up is remembered, `late_max` of them, because a late answer still tells
    an outcome and a provider's message id.
    """

    def __init__(self, timeout_s: float, late_max: int) -> None:
        self._timeout_s = timeout_s
        self._late_max = late_max
        self._waiting: dict[int, Sent] = {}
        self._late: dict[int, Sent] = {}
        self.windowed = 0  # those that fill the window

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, number: int) -> bool:
        """Whether an answer with this number would mean an earlier request."""
        return number in self._waiting or number in self._late

    @property
    def late(self) -> int:
        """How many were given up and are remembered."""
        return len(self._late)

    def tokens(self) -> tuple[object, ...]:
        """Return the tokens of what waits, oldest first."""
        return tuple(sent.token for sent in self._waiting.values())

    def add(self, number: int, sent: Sent) -> None:
        """Begin to wait."""
        self._waiting[number] = sent
        self.windowed += sent.command_id in WINDOWED

    def get(self, number: int) -> Sent | None:
        """Return what waits under a number."""
        return self._waiting.get(number)

    def settle(self, number: int) -> Sent:
        """Stop waiting for an answer that came."""
        sent = self._waiting.pop(number)
        self.windowed -= sent.command_id in WINDOWED
        return sent

    def settle_late(self, number: int, command_id: int) -> Sent | None:
        """Return and forget the given-up request that a response is for."""
        sent = self._late.get(number)
        if sent is None or not sent.is_answered_by(command_id):
            return None
        return self._late.pop(number)

    def deadline(self) -> float | None:
        """Return when the oldest will have waited too long."""
        for sent in self._waiting.values():
            return sent.sent_at + self._timeout_s
        return None

    def expire(self, now: float) -> list[Event]:
        """Give up what has waited too long."""
        expired = []
        for number, sent in self._waiting.items():
            if now < sent.sent_at + self._timeout_s:
                break
            expired.append(number)
        return [self._give_up(number, UnansweredReason.TIMEOUT) for number in expired]

    def abandon(self, reason: UnansweredReason) -> list[Event]:
        """Give up everything."""
        return [self._give_up(number, reason) for number in tuple(self._waiting)]

    def _give_up(self, number: int, reason: UnansweredReason) -> Unanswered:
        sent = self.settle(number)
        self._late[number] = sent
        if len(self._late) > self._late_max:
            del self._late[next(iter(self._late))]
        return Unanswered(sent.token, number, reason)
