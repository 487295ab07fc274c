"""What the auditor keeps of each number that somebody wrote to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from arrivals.sim.frames import RINVBNDSTS, RMSGQFUL, RTHROTTLED

if TYPE_CHECKING:
    from arrivals.sim.frames import Short
    from arrivals.sim.network import Wire
    from arrivals.sim.said import Said

THROTTLES: Final = frozenset({RTHROTTLED, RMSGQFUL})
NOT_ITS_OWN: Final = THROTTLES | {RINVBNDSTS}  # answers that say nothing about the message


@dataclass(slots=True, eq=False)
class Submit:
    """One part that a provider received."""

    provider: str
    wire: Wire
    number: str
    part: int
    parts: int  # as it was cut
    series: bytes  # the reference that its parts share
    text: str
    left_at: float  # when the platform wrote it, in seconds
    status: int | None = None  # what the provider says; None: nothing yet
    heard_at: float | None = None  # when the platform read that

    @property
    def may_be_taken(self) -> bool:
        """Whether anybody who knows what the platform knows must fear so."""
        return not (self.status and self.heard_at is not None)

    def precedes(self, other: Submit) -> bool:
        """Tell whether the next part may follow this one, over whichever wire that comes.

        On another bind of its provider only a part follows that is put off, and only what is
        known to be there.
        """
        known = self.status == 0 and self.heard_at is not None
        same = self.wire is other.wire or (known and self.provider == other.provider)
        return same and self.part == other.part - 1

    @property
    def is_taken(self) -> bool:
        """Whether the provider has it, whoever knows."""
        return not self.status


@dataclass(slots=True, eq=False)
class Told:
    """A receipt that the platform read."""

    provider: str
    short: Short
    said: Said
    body: bytes
    submit: Submit | None = None  # whose id it gives
    number: str = ""  # the recipient it's about; "": nobody can tell yet
    is_acknowledged: bool = False

    @property
    def may_be_known(self) -> bool:
        """Whether the platform can know which message it's about: by id, else by number."""
        by_id = self.submit is not None and self.submit.heard_at is not None
        return by_id or self.short.source == self.number


@dataclass(slots=True, eq=False)
class Recipient:
    """One number that a customer wrote to, and everything that happened to it."""

    number: str
    account: str
    text: str
    parts: int
    price: int
    policy: str
    accepted: bool = False
    accepted_at: float = 0.0
    refused: bool = False  # by an answer that says nothing was kept
    message_id: str = ""
    cancelled: bool = False  # by an answer that says so
    left: int = 0  # how many of its PDUs left the platform, wherever they got to
    spoiled: bool = False  # somebody made up receipts about it
    disagreed: bool = False  # a receipt says one thing in its text and another beside it
    submits: list[Submit] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)  # words of all receipts that were read
    said: list[Told] = field(default_factory=list)  # those that were acknowledged
    receipts: set[tuple[str, bytes]] = field(default_factory=set)  # the same, by provider
    told_again: bool = False  # one of them was acknowledged twice
    told_elsewhere: bool = False  # one was acknowledged to a provider that never got it

    @property
    def taken(self) -> list[Submit]:
        """The parts that providers have."""
        return [each for each in self.submits if each.is_taken]

    @property
    def was_only_held(self) -> bool:
        """Whether nobody ever said more of it than that it comes too soon."""
        heard = [
            each.heard_at is not None and each.status in NOT_ITS_OWN for each in self.submits
        ]
        return bool(heard) and all(heard) and not self.said

    @property
    def is_held(self) -> bool:
        """Whether a provider ever made it wait."""
        return any(each.status in THROTTLES for each in self.submits)


def is_whole(taken: list[Submit]) -> bool:
    """Tell whether these parts are one hand-off of a whole message, each of them once."""
    needed = max((each.parts for each in taken), default=0)
    return sorted(each.part for each in taken) == list(range(1, needed + 1)) and bool(needed)
