"""What is kept in mind of hand-offs that were never answered.

A provider that never answered may have the message all the same, and its receipt then names an
id that nobody knows. So it is found by its destination: among the messages that may be out
(the store looks those up by state), and among hand-offs that were written down without an id.
"""

from __future__ import annotations

from typing import Final

from arrivals.core.message import Message, Reach, State
from arrivals.store.api import Transaction
from arrivals.store.rows import Handoff

# How long after its end a message is still thought of, if a hand-off of it was never answered:
# the longest that carriers take for a receipt.
DOUBTED_FOR_US: Final = 72 * 3600 * 1_000_000


def unnamed(msisdn: str) -> str:
    """Return what stands for the id of a hand-off that its provider gave none."""
    return f"to:{msisdn}"


def is_unnamed(external_id: str, msisdn: str) -> bool:
    """Tell whether a hand-off's id only stands for none."""
    return external_id.startswith("to:") and external_id == unnamed(msisdn)


def may_be_out(message: Message) -> bool:
    """Tell whether bytes may have left and no answer came, ever."""
    if message.state is State.WAITING:
        return message.reach is not Reach.NONE
    if message.state in {State.SENDING, State.AMBIGUOUS}:
        return True
    # Of a long message one part may have been heard of, and another hand-off never.
    is_long = message.segments > 1 or message.parts is not None
    return message.reach is Reach.HANDOFF_UNKNOWN or message.resends > 0 or is_long


def is_awaited(message: Message) -> bool:
    """Tell whether news of a hand-off may still decide what becomes of a message."""
    if message.state is State.WAITING:
        return message.reach is not Reach.NONE
    return message.state in {State.SENDING, State.AMBIGUOUS}


def keep_in_mind(tx: Transaction, message: Message, refused: int | None = None) -> None:
    """Write down a provider's unanswered hand-offs of a message that now goes to another one.

    `refused` is the attempt that was answered a moment ago, if one was.
    """
    if message.reach is Reach.NONE:
        return
    tx.add_handoffs(
        [
            Handoff(
                message.provider_id,
                unnamed(message.msisdn),
                message.key,
                each.number,
                1,
                tx.now_us,
            )
            for each in tx.possible_handoffs(message.key)
            if each.provider_id == message.provider_id
            and not (each.taken or each.number == refused)
        ]
    )
