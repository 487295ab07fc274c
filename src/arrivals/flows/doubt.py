"""What is kept in mind of hand-offs that were never answered.

A provider that never answered may have the message all the same, and its receipt then names an
id that nobody knows. So it is found by its destination: among the messages that may be out
(the store looks those up by state), and among hand-offs that were written down without an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arrivals.core.message import Message, Reach, State
from arrivals.flows.journal import Journal
from arrivals.store.api import Transaction
from arrivals.store.rows import DOUBTFUL_MAX, Attempt, Handoff

# How long after its end a message is still thought of, if a hand-off of it was never answered:
# the longest that carriers take for a receipt.
DOUBTED_FOR_US: Final = 72 * 3600 * 1_000_000

BETWEEN_TWO_NUMBERS_MAX: Final = 20  # of the newest messages from one number to another


def unnamed(msisdn: str) -> str:
    """Return what stands for the id of a hand-off that its provider gave none."""
    return f"to:{msisdn}"


def is_place(external_id: str) -> bool:
    """Tell whether an id may only stand for none."""
    return external_id.startswith("to:")


def is_unnamed(external_id: str, msisdn: str) -> bool:
    """Tell whether a hand-off's id only stands for none."""
    return is_place(external_id) and external_id == unnamed(msisdn)


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


class Doubts:
    """What may be out unanswered, read once for all of a transaction's receipts that ask."""

    def __init__(self, tx: Transaction, journal: Journal) -> None:
        self._tx = tx
        self._journal = journal
        self._writes = 0
        self._found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
        self._begun: dict[int, list[Attempt]] = {}
        self._sent: dict[tuple[str, str], set[int]] = {}

    def to(self, provider_id: str, *numbers: str) -> Iterator[Message]:
        """Return a provider's messages to these numbers of which bytes may be out."""
        found = map(self._journal.get, self._to(provider_id, *numbers))
        return (each for each in found if each is not None)

    def are_too_many(self, provider_id: str, *numbers: str) -> bool:
        """Tell whether there may be others to one of these numbers that weren't read."""
        return any(len(self._to(provider_id, each)) >= DOUBTFUL_MAX for each in numbers)

    def _to(self, provider_id: str, *numbers: str) -> list[int]:
        if self._writes != self._journal.writes:
            self._writes = self._journal.writes
            self._found.clear()
        asked = (provider_id, numbers)
        if asked not in self._found:
            since_us = self._tx.now_us - DOUBTED_FOR_US
            read = self._tx.in_doubt(provider_id, numbers, since_us)
            self._journal.add(read)
            self._found[asked] = [each.key for each in read]
        return self._found[asked]

    def attempts(self, message: Message) -> list[Attempt]:
        """Return the hand-offs of a message that weren't proved to be nothing."""
        if message.key not in self._begun:
            self._journal.flush()
            self._begun[message.key] = self._tx.possible_handoffs(message.key)
        return self._begun[message.key]

    def went_between(self, message: Message, sender: str) -> bool:
        """Tell whether a message was sent from a number of ours lately."""
        between = (message.msisdn, sender)
        if between not in self._sent:
            since_us = self._tx.now_us - DOUBTED_FOR_US
            sent = self._tx.answerable(*between, since_us, BETWEEN_TWO_NUMBERS_MAX)
            self._sent[between] = {each.message_id for each in sent}
        return message.key in self._sent[between]
