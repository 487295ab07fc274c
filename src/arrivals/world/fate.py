"""A submission's whole future, drawn at once: the answer, the truth and the receipts.

Truth and report are kept apart on purpose. What a handset got is decided first, in
`journey`; what the provider says about it is decided after, in `reports`, and may be late,
doubled, contradictory, invented or nothing at all. All delays count from the arrival of the
submit_sm, in world seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.core.reasons import carrier_world_error
from arrivals.smpp import constants as c

if TYPE_CHECKING:
    from arrivals.world.carrier import Carrier
    from arrivals.world.provider import IdForm


class Ending(StrEnum):
    """What really became of a submission."""

    REACHED = "reached"  # it's on the handset
    FILTERED = "filtered"  # the carrier kept it
    FAILED = "failed"  # no handset could take it
    EXPIRED = "expired"  # the handset was away for too long
    LOST = "lost"  # the provider took it and dropped it
    REFUSED = "refused"  # the provider didn't take it


class Answer(msgspec.Struct, frozen=True):
    """What the submit_sm is answered; a lost answer is never sent."""

    delay_s: float = 0.0
    status: int = c.ESME_ROK
    lost: bool = False


class PlannedReceipt(msgspec.Struct, frozen=True):
    """One receipt that will be sent."""

    delay_s: float
    state: str
    error: str = "000"
    held_s: float = 0.0  # of the delay, since it was written
    word: str = ""  # in place of the state's own


class Journey(msgspec.Struct, frozen=True):
    """What happens between provider and handset."""

    ending: Ending
    at_s: float
    queued_s: float = 0.0  # when it reached the carrier
    error: str = "000"
    cause: str = ""  # why a carrier kept it
    shown_sender: str = ""  # in place of its own
    carrier: Carrier | None = None  # where it got to, if it got to any


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """All that will happen to a submission."""

    answer: Answer
    ending: Ending
    ended_s: float  # when the truth is settled
    receipts: tuple[PlannedReceipt, ...] = ()
    id_form: IdForm = "decimal"
    any_bind: bool = False  # receipts may go to other binds than the one that submitted
    cause: str = ""  # why a carrier kept it
    carried_s: float | None = None  # when it reached a carrier, if it ever did
    shown_sender: str = ""  # in place of its own


def error_of(reason: str) -> str:
    """Return the err that the carrier world has for a reason; raise LookupError for others."""
    error = carrier_world_error(reason)
    if error is None:
        raise LookupError(f"the carrier world has no err for {reason}")
    return error


ABSENT: Final = error_of("absent_subscriber")
FILTERED: Final = error_of("content_filtered")
EXPIRED: Final = error_of("expired_upstream")
