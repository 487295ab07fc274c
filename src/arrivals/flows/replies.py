"""Notice who writes back: an answer proves that what it answers arrived.

A handset's message names two numbers and no message. It confirms the newest message of the only
account that used one of them to write to the other within the window, if it was handed off and
its order may go over the provider that brought the answer: a number is rented from one provider
and used over several, and nobody else's word is taken for it. What more comes from it changes
nothing, be it the next part of a long answer or the same one sent again; and so a customer who
denies the message after an answer has the last word. Whatever fits no message is counted, and
of a reply nothing is kept but that it came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.ids import order_of
from arrivals.core.message import Message
from arrivals.core.replies import REPLY_WINDOW_US, answered_by_reply, digits_of, readings
from arrivals.flows.journal import Journal
from arrivals.providers.api import Reply
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import Answerable, Answered, Outgoing

REPLY_ORDER: Final = 35  # after the answers and receipts that came before it
CANDIDATES_MAX: Final = 20  # of the newest messages between two numbers


class Heard(msgspec.Struct, frozen=True):
    """What became of a batch of replies."""

    confirmed: set[int]  # the messages that were answered for the first time
    repeated: int  # of messages that are confirmed already
    unmatched: int


def expect_replies(tx: Transaction, claimed: Sequence[Outgoing]) -> None:
    """Record which of the messages that go out now can be answered: nobody answers a name."""
    numbers = {sender: digits_of(sender) for sender in {each.sender for each in claimed}}
    rows = [
        Answerable(message.msisdn, number, message.account_id, tx.now_us, message.key)
        for message, sender in ((each.message, each.sender) for each in claimed)
        if (number := numbers[sender])
    ]
    if rows:
        tx.add_answerable(rows)


def reply_step(
    catalogue: Callable[[], Catalogue], probes: frozenset[str] = frozenset()
) -> Step[Sequence[Reply], Heard]:
    """Return the step that records replies; those of `probes` are our own test phones'."""

    def run(tx: Transaction, batches: Sequence[Sequence[Reply]]) -> list[Heard]:
        noticing = _Noticing(tx, catalogue(), probes)
        noticing.look_up([reply for batch in batches for reply in batch])
        heard = [noticing.hear(batch) for batch in batches]
        noticing.journal.flush()
        return heard

    return Step("replies", REPLY_ORDER, run)


class _Noticing:
    """The replies of one transaction."""

    def __init__(self, tx: Transaction, catalogue: Catalogue, probes: frozenset[str]) -> None:
        self.journal = Journal(tx, catalogue)
        self._tx = tx
        self._probes = probes
        self._found: dict[Reply, list[Answered]] = {}
        self._providers: dict[int, tuple[str, ...]] = {}

    def look_up(self, replies: Sequence[Reply]) -> None:
        """Find what each may answer, and read all of it at once."""
        self._found = {each: self._between(each) for each in replies}
        keys = {each.message_id for found in self._found.values() for each in found}
        if keys:
            self.journal.load(sorted(keys))
            self._providers = self._tx.providers_of({order_of(key) for key in keys})

    def _between(self, reply: Reply) -> list[Answered]:
        since_us = reply.came_at_us - REPLY_WINDOW_US
        for msisdn in readings(reply.msisdn, reply.sender):
            for sender in readings(reply.sender, reply.msisdn):
                found = self._tx.answerable(msisdn, sender, since_us, CANDIDATES_MAX)
                if found:
                    return found
        return []

    def hear(self, replies: Sequence[Reply]) -> Heard:
        """Confirm what replies are the first answer to."""
        confirmed: set[int] = set()
        repeated = unmatched = 0
        for reply in replies:
            message = answered_by_reply(self._messages(reply))
            if message is None:
                unmatched += 1
            elif message.confirmed == "confirmed" or self._has_reply(reply, message):
                repeated += 1
            else:
                self._confirm(reply, message)
                confirmed.add(message.key)
        return Heard(confirmed, repeated, unmatched)

    def _messages(self, reply: Reply) -> list[Message]:
        """Return what it may answer, as it stands now, the newest first."""
        found = dict.fromkeys(each.message_id for each in self._found[reply])
        return [
            message
            for key in found
            if (message := self.journal.get(key)) is not None
            and reply.provider_id in (message.provider_id, *self._providers[order_of(key)])
        ]

    def _has_reply(self, reply: Reply, message: Message) -> bool:
        found = self._found[reply]
        return any(each.replies for each in found if each.message_id == message.key)

    def _confirm(self, reply: Reply, message: Message) -> None:
        # The provider is who brought it, not who took the message: so it isn't in the body.
        kind = "probe" if message.msisdn in self._probes else "reply"
        body: dict[str, Any] = {"confirmed": True, "kind": kind}
        actor = f"provider:{reply.provider_id}"
        self.journal.note(message, "feedback", actor, body, confirmed="confirmed")
