"""Match a transaction's receipts to messages, and fold each message's receipts to one outcome.

`matching` finds the message; what matches nothing is parked. The same receipt twice changes a
counter and nothing else, and the order in which they come doesn't matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue, Provider
from arrivals.core.message import (
    TRANSITIONS,
    Message,
    Move,
    Reach,
    State,
    allows,
    is_inferred,
)
from arrivals.core.parts import (
    FINAL_MOVES,
    PARTS_WAIT_US,
    contradicts,
    count_of,
    has_arrived_in_part,
    lacks_part,
    place_of,
    roll_up,
)
from arrivals.flows.doubt import is_awaited, unnamed
from arrivals.flows.fits import waits_for
from arrivals.flows.journal import Journal
from arrivals.flows.known_ids import UsualForm, nothing_usual
from arrivals.flows.matching import Matching
from arrivals.flows.receipt_words import TOLD_MAX, Found, body_of, read
from arrivals.flows.tallies import reported
from arrivals.providers.api import Receipt
from arrivals.store.api import Transaction
from arrivals.store.rows import ParkedReceipt, ToPark

_encode: Final = msgspec.json.Encoder().encode

# Which final words contradict an end: every other one, unless it ended without a word.
_CONTRADICTED_BY: Final = {
    state: FINAL_MOVES - {move}
    for (before, move), state in TRANSITIONS.items()
    if before is State.SUBMITTED and move in FINAL_MOVES
} | {State.CANCELLED: FINAL_MOVES}

SAME_MAX: Final = 255  # as often as parts may share an id

# Beside the fingerprints of what a hand-off has seen: its place among the parts, and how many
# receipts came of it that are only counted.
PLACE: Final = "place"
COUNTED: Final = "counted"


class Receiving:
    """The receipts of one transaction."""

    def __init__(
        self,
        tx: Transaction,
        catalogue: Catalogue,
        usual_form: UsualForm = nothing_usual,
    ) -> None:
        self.journal = Journal(tx, catalogue)
        self._tx = tx
        self._catalogue = catalogue
        self._matching = Matching(tx, catalogue, self.journal, usual_form)
        self._parking: list[ToPark] = []
        self._doubtful: dict[int, Message] = {}
        self._waited: list[tuple[str, int]] = []  # whose receipt ends a message, and since when
        # The destinations, by provider, of which one doubt less is left.
        self.heard_of: dict[str, set[str]] = {}

    def record(
        self, receipts: Sequence[Receipt], *, parked: Sequence[ParkedReceipt] = ()
    ) -> None:
        """Record receipts in the order they came; new ones' bytes are kept for a week.

        `parked` are the same receipts as they were parked, if they were.
        """
        self._matching.look_up(receipts)
        kept: list[tuple[str, int | None, str]] = []
        matched: list[int] = []
        for number, receipt in enumerate(receipts):
            again = parked[number] if parked else None
            since_us = again.received_at_us if again else None
            found = self._matching.whose(number, since_us)
            if found is None:
                if again is None:
                    self._park(receipt)
            else:
                self._one(found, since_us)
                if again is not None:
                    matched.append(again.parked_id)
                    self._others_like_it(number, again, found)
            kept.append(
                (receipt.provider_id, found.message.key if found else None, receipt.raw)
            )
        self.journal.flush()
        reported(self._tx, self._waited)
        self._tx.see(list(self._matching.seen.values()))
        self._tx.unpark(matched)
        self._tx.park(self._parking)
        for key, message in self._doubtful.items():
            if not is_awaited(self.journal.get(key) or message):
                numbers = self.heard_of.setdefault(message.provider_id, set())
                numbers.add(unnamed(message.msisdn))
        if not parked:
            self._tx.keep_raw(kept)

    def _others_like_it(self, number: int, again: ParkedReceipt, found: Found) -> None:
        """Take in the very same receipt for the other parts for which it was parked."""
        if found.message.segments == 1:
            return
        for _ in range(min(again.count, SAME_MAX) - 1):
            other = self._matching.whose(number, again.received_at_us)
            if other is not None:
                self._one(other, again.received_at_us)

    def _park(self, receipt: Receipt) -> None:
        forms = waits_for(receipt)
        if not forms:
            return  # nothing to match it by will ever be heard of; its raw bytes are kept
        kept = msgspec.structs.replace(receipt, raw="")  # which is bounded, and kept elsewhere
        body = _encode(kept).decode()
        self._parking.append(
            ToPark(receipt.provider_id, receipt.fingerprint, body, tuple(forms))
        )

    # --- what does it say ------------------------------------------------------------

    def _one(self, found: Found, since_us: int | None) -> None:
        receipt = found.receipt
        provider = self._catalogue.providers[receipt.provider_id]
        said, reason = read(receipt, provider)
        if said in FINAL_MOVES and not provider.answers_per_message:
            found = self._matching.choose(found, PLACE)
        if _is_repeat(found):
            return
        body = body_of(found, reason, provider)
        if since_us is not None:
            body["came_at"] = since_us
        message = self._heard_of(found.message, said)
        move, parts = said, message.parts
        attempt = found.handoff.attempt
        is_long = count_of(parts, message.segments, attempt) > 1
        # Of a long message in doubt, the other parts' receipts must still find it in doubt.
        in_doubt = is_long and message.state is not State.SUBMITTED
        # Of a hand-off that lacks a part no receipt speaks for the whole.
        per_part = is_long and (not provider.answers_per_message or lacks_part(parts, attempt))
        if per_part and said in FINAL_MOVES:
            part = _place(message, found)
            if contradicts(parts, message.segments, attempt, part, said):
                body["conflict"] = True
            parts, move = roll_up(parts, message.segments, attempt, part, said)
            body["part"] = part
            body["parts"] = parts
        elif said is Move.RECEIPT_PROGRESS and in_doubt:
            move = None
        if move is None and message.state is State.WAITING:
            # Somebody has it, or a part of it, so a resend not yet begun is dropped.
            move = Move.RESEND_DROPPED if in_doubt else Move.RECEIPT_PROGRESS
        wake_at_us = self._wake_at_us(message, provider, parts)
        if move in _CONTRADICTED_BY.get(message.state, ()):
            body["conflict"] = True
        if move is None or not allows(message.state, move):
            self._note(found, message, said, body, parts, wake_at_us)
            return
        ends = move in FINAL_MOVES
        self._note_wait(message, ends=ends)
        self.journal.move(
            message,
            move,
            f"carrier:{receipt.provider_id}",
            body,
            reach=Reach.HANDED_OFF,
            parts=parts,
            rank=None,
            wake_at_us=None if ends else wake_at_us,
            reason=reason if ends and move is not Move.RECEIPT_DELIVERED else None,
        )

    def _note_wait(self, message: Message, *, ends: bool) -> None:
        if ends and message.state is State.SUBMITTED:
            self._waited.append((message.provider_id, message.changed_at_us))

    def _wake_at_us(self, message: Message, provider: Provider, parts: str | None) -> int:
        """Return until when other parts' receipts are waited for."""
        if provider.receipts_per == "unknown" and has_arrived_in_part(parts):
            return min(message.outcome_deadline_us, self._tx.now_us + PARTS_WAIT_US)
        return message.outcome_deadline_us

    def _heard_of(self, message: Message, said: Move | None) -> Message:
        """Return the message as it is now that there's a word of it.

        What was only inferred from silence is taken back.
        """
        message = self.journal.get(message.key) or message
        if is_awaited(message):
            self._doubtful.setdefault(message.key, message)
        if said not in FINAL_MOVES or not is_inferred(message):
            return message
        cause = {"cause": "a receipt came after all"}
        withdrawn = Move.INFERENCE_WITHDRAWN
        return self.journal.move(message, withdrawn, "model", cause, reason="no_receipt")

    def _note(
        self,
        found: Found,
        message: Message,
        said: Move | None,
        body: dict[str, Any],
        parts: str | None,
        wake_at_us: int,
    ) -> None:
        """Keep evidence that moves nothing: progress, a part, a repeat, a contradiction."""
        if _is_only_counted(found, message, parts):
            return
        changes: dict[str, object] = {"parts": parts}
        if message.state is not State.CANCELLED:
            changes["reach"] = Reach.HANDED_OFF
        if message.state in {State.AMBIGUOUS, State.SUBMITTED}:
            # Somebody has it, whatever its policy wanted to do next.
            changes["wake_at_us"] = wake_at_us
        kind = said.value if said else "receipt"
        actor = f"carrier:{found.receipt.provider_id}"
        self.journal.note(message, kind, actor, body, **changes)


def _is_repeat(found: Found) -> bool:
    """Count a receipt, and tell whether the very same one came before."""
    fingerprint = found.receipt.fingerprint
    count = found.seen[fingerprint] = found.seen.get(fingerprint, 0) + 1
    return count > 1


def _is_only_counted(found: Found, message: Message, parts: str | None) -> bool:
    """Count a receipt that changes nothing of a message that was told of so often already."""
    is_known = message.reach is Reach.HANDED_OFF or message.state is State.CANCELLED
    if message.seq < TOLD_MAX or not is_known or parts != message.parts:
        return False
    del found.seen[found.receipt.fingerprint]
    found.seen[COUNTED] = found.seen.get(COUNTED, 0) + 1
    return True


def _place(message: Message, found: Found) -> int:
    """Return a hand-off's place among its message's parts, the same one ever after."""
    handoff = found.handoff
    if PLACE not in found.seen:
        found.seen[PLACE] = place_of(
            message.parts, message.segments, handoff.attempt, handoff.part
        )
    return found.seen[PLACE]
