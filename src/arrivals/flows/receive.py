"""Match receipts to messages, and fold each message's receipts to one outcome.

`matching` finds the message. What matches nothing is parked and tried again when an answer,
or its absence, tells more about a message to that destination. The same receipt twice changes
a counter and nothing else, and the order in which they come doesn't matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from arrivals.flows.journal import Journal
from arrivals.flows.matching import Matching, UsualForm, nothing_usual, parked_under
from arrivals.flows.receipt_words import Found, body_of, read
from arrivals.providers.api import Receipt
from arrivals.store.api import Step, Transaction

RECEIVE_ORDER: Final = 30

_encode: Final = msgspec.json.Encoder().encode
_RECEIPT: Final = msgspec.json.Decoder(Receipt)

# Which final words contradict an end: every other one, unless it ended without a word.
_CONTRADICTED_BY: Final = {
    state: FINAL_MOVES - {move}
    for (before, move), state in TRANSITIONS.items()
    if before is State.SUBMITTED and move in FINAL_MOVES
} | {State.CANCELLED: FINAL_MOVES}

SAME_MAX: Final = 255  # as often as parts may share an id

# Beside the fingerprints of what a hand-off has seen: its place among the parts.
PLACE: Final = "place"


def receive_step(
    catalogue: Callable[[], Catalogue], usual_form: UsualForm = nothing_usual
) -> Step[Sequence[Receipt], set[int]]:
    """Return the step that records receipts; its result is the messages it touched."""

    def run(tx: Transaction, batches: Sequence[Sequence[Receipt]]) -> list[set[int]]:
        receiving = Receiving(tx, catalogue(), usual_form)
        receiving.record([receipt for batch in batches for receipt in batch])
        return [receiving.journal.touched for _ in batches]

    return Step("receive", RECEIVE_ORDER, run)


def _keep_raw(tx: Transaction, receipts: Sequence[Receipt]) -> list[None]:
    tx.keep_raw([(each.provider_id, None, each.raw) for each in receipts])
    return [None for _ in receipts]


# What a receipt that can't be recorded leaves behind, for whoever has to look.
KEEP_RAW: Final[Step[Receipt, None]] = Step("keep raw", RECEIVE_ORDER, _keep_raw)


def match_parked(
    tx: Transaction, catalogue: Catalogue, forms: dict[str, set[str]], touched: set[int]
) -> None:
    """Try parked receipts again that newly known ids or destinations may explain."""
    # The very same receipt that came for several parts is one that was parked so often.
    parked = [
        each
        for provider_id, wanted in forms.items()
        for one in tx.unpark(provider_id, wanted)
        for each in [one] * min(one.count, SAME_MAX)
    ]
    if parked:
        receiving = Receiving(tx, catalogue)
        receiving.record(
            [_RECEIPT.decode(each.receipt) for each in parked],
            parked_since_us=[each.received_at_us for each in parked],
        )
        touched |= receiving.journal.touched


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

    def record(
        self, receipts: Sequence[Receipt], *, parked_since_us: Sequence[int] = ()
    ) -> None:
        """Record receipts in the order they came; new ones' bytes are kept for a week.

        `parked_since_us` tells, of receipts that were parked, when each of them came.
        """
        self._matching.look_up(receipts)
        kept: list[tuple[str, int | None, str]] = []
        for number, receipt in enumerate(receipts):
            since_us = parked_since_us[number] if parked_since_us else None
            found = self._matching.whose(number, since_us)
            if found is None:
                self._park(receipt, since_us)
            else:
                self._one(found, since_us)
            kept.append(
                (receipt.provider_id, found.message.key if found else None, receipt.raw)
            )
        self.journal.flush()
        self._tx.see(list(self._matching.seen.values()))
        if not parked_since_us:
            self._tx.keep_raw(kept)

    def _park(self, receipt: Receipt, received_at_us: int | None) -> None:
        forms = parked_under(receipt)
        if not forms:
            return  # nothing to match it by will ever be heard of; its raw bytes are kept
        provider = self._catalogue.providers.get(receipt.provider_id)
        self._tx.park(
            receipt.provider_id,
            forms,
            receipt.fingerprint,
            _encode(receipt).decode(),
            received_at_us=received_at_us,
            ids_of=provider.ids_of if provider else None,
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
        message = self._heard_of(self.journal.get(found.message.key) or found.message, said)
        move, parts = said, message.parts
        attempt = found.handoff.attempt
        is_long = count_of(parts, message.segments, attempt) > 1
        # Of a long message in doubt, the other parts' receipts must still find it in doubt.
        in_doubt = is_long and message.state is not State.SUBMITTED
        # Of a hand-off that lacks a part no receipt speaks for the whole.
        lacks = lacks_part(parts, attempt)
        per_part = is_long and (lacks or not provider.answers_per_message)
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
            self._note(message, said, receipt, body, parts, wake_at_us)
            return
        ends = move in FINAL_MOVES
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

    def _wake_at_us(self, message: Message, provider: Provider, parts: str | None) -> int:
        """Return until when other parts' receipts are waited for."""
        if provider.receipts_per == "unknown" and has_arrived_in_part(parts):
            return min(message.outcome_deadline_us, self._tx.now_us + PARTS_WAIT_US)
        return message.outcome_deadline_us

    def _heard_of(self, message: Message, said: Move | None) -> Message:
        """Take back what was only inferred from silence, now that there's a word."""
        if said not in FINAL_MOVES or not is_inferred(message):
            return message
        cause = {"cause": "a receipt came after all"}
        withdrawn = Move.INFERENCE_WITHDRAWN
        return self.journal.move(message, withdrawn, "model", cause, reason="no_receipt")

    def _note(
        self,
        message: Message,
        said: Move | None,
        receipt: Receipt,
        body: dict[str, Any],
        parts: str | None,
        wake_at_us: int,
    ) -> None:
        """Keep evidence that moves nothing: progress, a part, a repeat, a contradiction."""
        changes: dict[str, object] = {"parts": parts}
        if message.state is not State.CANCELLED:
            changes["reach"] = Reach.HANDED_OFF
        if message.state in {State.AMBIGUOUS, State.SUBMITTED}:
            # Somebody has it, whatever its policy wanted to do next.
            changes["wake_at_us"] = wake_at_us
        kind = said.value if said else "receipt"
        self.journal.note(message, kind, f"carrier:{receipt.provider_id}", body, **changes)


def _is_repeat(found: Found) -> bool:
    """Count a receipt, and tell whether the very same one came before."""
    fingerprint = found.receipt.fingerprint
    count = found.seen[fingerprint] = found.seen.get(fingerprint, 0) + 1
    return count > 1


def _place(message: Message, found: Found) -> int:
    """Return a hand-off's place among its message's parts, the same one ever after."""
    handoff = found.handoff
    if PLACE not in found.seen:
        found.seen[PLACE] = place_of(
            message.parts, message.segments, handoff.attempt, handoff.part
        )
    return found.seen[PLACE]
