"""Match receipts to messages, and fold each message's receipts to one outcome.

A receipt is matched through the database and never through memory: by the provider's id
in any of its forms; without an id by the reference we sent along; and last by destination,
when exactly one hand-off in doubt fits. What matches nothing is parked and tried again when
an answer, or its absence, tells more about a message to that destination. The same receipt
twice changes a counter and nothing else, and the order in which they come doesn't matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.ids import handoff_reference
from arrivals.core.message import (
    TRANSITIONS,
    Message,
    Move,
    Reach,
    State,
    allows,
    is_inferred,
    is_terminal,
)
from arrivals.core.parts import (
    FINAL_MOVES,
    PARTS_WAIT_US,
    contradicts,
    count_of,
    has_arrived_in_part,
    part_in_doubt,
    place_of,
    roll_up,
)
from arrivals.flows.doubt import DOUBTED_FOR_US, may_be_out, unnamed
from arrivals.flows.journal import Journal
from arrivals.flows.receipt_words import Found, body_of, read
from arrivals.providers.api import Receipt, forms_in, forms_of
from arrivals.smpp.receipts import IdForm
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import Attempt, Handoff, Match

RECEIVE_ORDER: Final = 30

# How sure a match is that no id made: the reference is ours, but only 16 bits wide.
INFERRED_BY_REFERENCE: Final = 0.99
INFERRED: Final = 0.9

_encode: Final = msgspec.json.Encoder().encode
_RECEIPT: Final = msgspec.json.Decoder(Receipt)

# Which final words contradict an end: every other one, unless it ended without a word.
_CONTRADICTED_BY: Final = {
    state: FINAL_MOVES - {move}
    for (before, move), state in TRANSITIONS.items()
    if before is State.SUBMITTED and move in FINAL_MOVES
} | {State.CANCELLED: FINAL_MOVES}

# Beside the fingerprints of what a hand-off has seen: its place among the parts.
PLACE: Final = "place"

# A destination as a national number: these many last digits must agree.
NATIONAL_DIGITS_MIN: Final = 7


# What is usual of a provider that writes ids as given, or of which nothing is known.
_LITERAL: Final = (None, IdForm.AS_GIVEN)

# In which form a provider surely tells ids; None if that isn't known.
UsualForm = Callable[[str], IdForm | None]


def _nothing_usual(_: str) -> None:
    """Know nothing of any provider."""


def receive_step(
    catalogue: Callable[[], Catalogue], usual_form: UsualForm = _nothing_usual
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
    parked = [
        each for provider_id, wanted in forms.items() for each in tx.unpark(provider_id, wanted)
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
        usual_form: UsualForm = _nothing_usual,
    ) -> None:
        self.journal = Journal(tx, catalogue)
        self._tx = tx
        self._catalogue = catalogue
        self._usual_form = usual_form
        self._seen: dict[tuple[str, str, int, int, int], tuple[Handoff, dict[str, int]]] = {}
        # The hand-offs that this transaction inferred, which it couldn't look up at its begin.
        self._inferred: dict[tuple[str, str], list[Match]] = {}

    def record(
        self, receipts: Sequence[Receipt], *, parked_since_us: Sequence[int] = ()
    ) -> None:
        """Record receipts in the order they came; new ones' bytes are kept for a week.

        `parked_since_us` tells, of receipts that were parked, when each of them came.
        """
        matches = self._matches(receipts)
        self.journal.load(
            match.handoff.message_id for found in matches.values() for match in found
        )
        kept: list[tuple[str, int | None, str]] = []
        for number, receipt in enumerate(receipts):
            since_us = parked_since_us[number] if parked_since_us else None
            known = self._with_inferred(receipt, matches.get(number, []))
            found = self._whose(receipt, known, since_us)
            if found is None:
                self._park(receipt, since_us)
            else:
                self._one(receipt, found, since_us)
            kept.append(
                (receipt.provider_id, found.message.key if found else None, receipt.raw)
            )
        self.journal.flush()
        self._tx.see(list(self._seen.values()))
        if not parked_since_us:
            self._tx.keep_raw(kept)

    def _matches(self, receipts: Sequence[Receipt]) -> dict[int, list[Match]]:
        """Look ids up in the provider's usual form, else as they were sent; then in any other.

        What a usual form finds among ended messages only gives way to an open one, so that a
        provider that changes its ways is understood as if nothing were known of it.
        """
        known = {name: self._usual_form(name) for name in {r.provider_id for r in receipts}}
        usual = [known[each.provider_id] for each in receipts]
        first = [_first_forms(each, form) for each, form in zip(receipts, usual, strict=True)]
        found = self._look_up(receipts, first)
        settled = {
            number
            for number, matches in found.items()
            if usual[number] in _LITERAL or any(_is_open(each) for each in matches)
        }
        others = [
            () if number in settled else (*forms_of(each), unnamed(each.msisdn))
            for number, each in enumerate(receipts)
        ]
        for number, matches in self._look_up(receipts, others).items():
            as_sent = receipts[number].external_id
            exact = [each for each in matches if each.handoff.external_id == as_sent]
            plain = exact or matches
            if number not in found or any(_is_open(each) for each in plain):
                found[number] = plain
        return found

    def _look_up(
        self, receipts: Sequence[Receipt], forms: Sequence[Sequence[str]]
    ) -> dict[int, list[Match]]:
        found: dict[int, list[Match]] = {}
        wanted = [
            (each.provider_id, its_forms)
            for each, its_forms in zip(receipts, forms, strict=True)
        ]
        for match in self._tx.match(wanted):
            if _same_handset(match.msisdn, receipts[match.asked].msisdn):
                found.setdefault(match.asked, []).append(match)
        return found

    def _with_inferred(self, receipt: Receipt, matches: list[Match]) -> list[Match]:
        """Add what was inferred since the look-up; an id as sent goes before its forms."""
        if not self._inferred:
            return matches
        both = matches + [
            match
            for form in forms_of(receipt)
            for match in self._inferred.get((receipt.provider_id, form), ())
            if _same_handset(match.msisdn, receipt.msisdn)
        ]
        as_sent = [each for each in both if each.handoff.external_id == receipt.external_id]
        return as_sent or both

    # --- whose is it -----------------------------------------------------------------

    def _whose(
        self, receipt: Receipt, matches: Sequence[Match], since_us: int | None
    ) -> Found | None:
        """Find the message; `since_us` is when a receipt came that has been parked."""
        named = [each for each in matches if each.handoff.external_id != unnamed(each.msisdn)]
        nameless = [each for each in matches if each not in named]
        return (
            self._by_id(receipt, named)
            or self._by_doubt(receipt, since_us)
            or self._by_destination(nameless, since_us)
        )

    def _by_id(self, receipt: Receipt, matches: Sequence[Match]) -> Found | None:
        """Choose among hand-offs with this id and destination: still open, then newest.

        A receipt that names no destination fits one message or none.
        """
        candidates = self._open_first(matches)
        if not candidates or not (receipt.msisdn or _are_one(candidates)):
            return None
        # A receipt may have told an id before the answer did, and then its part was guessed.
        first: dict[tuple[int, int], tuple[Message, Match]] = {}
        for each in sorted(candidates, key=lambda each: each[1].handoff.at_us):
            first.setdefault((each[0].key, each[1].handoff.attempt), each)
        message, best = max(
            first.values(), key=lambda each: (each[1].handoff.at_us, each[0].key)
        )
        return Found(message, best.handoff, self._counter(best.handoff, best.seen), "id", 1.0)

    def _by_destination(self, matches: Sequence[Match], since_us: int | None) -> Found | None:
        """Find the only message to a destination that its provider took without an id."""
        candidates = [
            each for each in self._open_first(matches) if self._attempts(each[0], since_us)
        ]
        if not candidates or not _are_one(candidates):
            return None
        message, best = candidates[0]
        seen = self._counter(best.handoff, best.seen)
        return Found(message, best.handoff, seen, "destination", INFERRED)

    def _open_first(self, matches: Sequence[Match]) -> list[tuple[Message, Match]]:
        """Return the matches with their messages: the open ones, or else those that ended."""
        found = [
            (message, match)
            for match in matches
            if (message := self.journal.get(match.handoff.message_id)) is not None
        ]
        return [each for each in found if not is_terminal(each[0].state)] or found

    def _by_doubt(self, receipt: Receipt, since_us: int | None) -> Found | None:
        """Find the hand-off in doubt that it may be about: a lost answer leaves no id."""
        if not receipt.msisdn or receipt.provider_id not in self._catalogue.providers:
            return None
        since = self._tx.now_us - DOUBTED_FOR_US
        doubtful = self._tx.in_doubt(receipt.provider_id, [receipt.msisdn], since)
        self.journal.add(doubtful)
        current = [self.journal.get(each.key) or each for each in doubtful]
        fitting = [
            (each, attempts)
            for each in current
            if may_be_out(each) and (attempts := self._attempts(each, since_us, receipt))
        ]
        # What still waits for news comes before what has ended without it.
        waiting = [each for each in fitting if not is_terminal(each[0].state)]
        fitting = waiting or fitting
        if len(fitting) != 1:
            return None
        message, attempts = fitting[0]
        # What is under way may have its answer yet, which tells whose receipt this is.
        if message.state is State.SENDING and message.attempts in attempts:
            return None
        return self._infer(receipt, message, attempts[0])

    def _attempts(
        self, message: Message, since_us: int | None, receipt: Receipt | None = None
    ) -> list[int]:
        """Return the attempts that a receipt may be about, the likeliest first.

        It is about none that began after it came; one that names no known id, about none that
        its provider answered, and sooner about one that it answered for in part.
        """
        # Of what is under way or taken, the newest attempt wasn't proved to be nothing.
        newest = message.state in {State.SENDING, State.SUBMITTED} and not message.resends
        if since_us is None and newest:
            begun = [Attempt(message.attempts, 0, message.provider_id)]
        else:
            self.journal.flush()
            begun = self._tx.possible_handoffs(message.key)
        return [
            each.number
            for each in sorted(begun, key=lambda each: not each.partly)
            if (since_us is None or each.begun_at_us <= since_us)
            and (receipt is None or _may_be_about(receipt, message, each))
        ]

    def _infer(self, receipt: Receipt, message: Message, attempt: int) -> Found:
        handoff = Handoff(
            receipt.provider_id,
            receipt.external_id or f"inferred:{message.key}",
            message.key,
            attempt,
            part_in_doubt(message.parts, message.segments, attempt),
            self._tx.now_us,
        )
        by_reference = receipt.reference is not None
        found = Found(
            message,
            handoff,
            self._counter(handoff, {} if receipt.external_id else self._seen_by(handoff)),
            "reference" if by_reference else "destination",
            INFERRED_BY_REFERENCE if by_reference else INFERRED,
        )
        self._tx.add_handoffs([handoff])
        match = Match(0, handoff, found.seen, message.msisdn, message.state)
        name = (receipt.provider_id, handoff.external_id)
        self._inferred.setdefault(name, []).append(match)
        return found

    def _seen_by(self, handoff: Handoff) -> dict[str, int]:
        """Return what a hand-off that no receipt can name has seen before (invariant 35)."""
        key = msgspec.structs.astuple(handoff)[:5]
        matches = self._tx.match([(handoff.provider_id, (handoff.external_id,))])
        known = [each for each in matches if msgspec.structs.astuple(each.handoff)[:5] == key]
        return known[0].seen if known else {}

    def _counter(self, handoff: Handoff, seen: dict[str, int]) -> dict[str, int]:
        key = msgspec.structs.astuple(handoff)[:5]
        return self._seen.setdefault(key, (handoff, seen))[1]

    def _park(self, receipt: Receipt, received_at_us: int | None) -> None:
        forms = [*forms_of(receipt)]
        if receipt.msisdn:
            forms.append(unnamed(receipt.msisdn))
        if not forms:
            return  # nothing to match it by will ever be heard of; its raw bytes are kept
        self._tx.park(
            receipt.provider_id,
            forms,
            receipt.fingerprint,
            _encode(receipt).decode(),
            received_at_us=received_at_us,
        )

    # --- what does it say ------------------------------------------------------------

    def _one(self, receipt: Receipt, found: Found, since_us: int | None) -> None:
        count = found.seen.get(receipt.fingerprint, 0)
        found.seen[receipt.fingerprint] = count + 1
        if count:
            return
        provider = self._catalogue.providers[receipt.provider_id]
        said, reason = read(receipt, provider)
        body = body_of(receipt, found, reason, provider)
        if since_us is not None:
            body["came_at"] = since_us
        message = self._heard_of(self.journal.get(found.message.key) or found.message, said)
        move, parts = said, message.parts
        attempt = found.handoff.attempt
        is_long = count_of(parts, message.segments, attempt) > 1
        # Of a long message in doubt, the other parts' receipts must still find it in doubt.
        in_doubt = is_long and message.state is not State.SUBMITTED
        per_part = is_long and not provider.answers_per_message
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
        wake_at_us = message.outcome_deadline_us
        if provider.receipts_per == "unknown" and has_arrived_in_part(parts):
            wake_at_us = min(wake_at_us, self._tx.now_us + PARTS_WAIT_US)
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


def _first_forms(receipt: Receipt, usual: IdForm | None) -> Sequence[str]:
    if usual in _LITERAL:
        return (receipt.external_id,) if receipt.external_id else ()
    return forms_in(receipt, usual)


def _is_open(match: Match) -> bool:
    return not is_terminal(State(match.state))


def _may_be_about(receipt: Receipt, message: Message, attempt: Attempt) -> bool:
    """Tell whether a receipt that names no known id may be about an attempt."""
    reference = handoff_reference(message.key, attempt.number)
    return (
        attempt.provider_id == receipt.provider_id
        and not attempt.taken
        and receipt.reference in {None, reference}
    )


def _place(message: Message, found: Found) -> int:
    """Return a hand-off's place among its message's parts, the same one ever after."""
    handoff = found.handoff
    if PLACE not in found.seen:
        found.seen[PLACE] = place_of(
            message.parts, message.segments, handoff.attempt, handoff.part
        )
    return found.seen[PLACE]


def _are_one(candidates: Sequence[tuple[Message, Match]]) -> bool:
    return len({message.key for message, _ in candidates}) == 1


def _same_handset(ours: str, theirs: str) -> bool:
    """Tell whether a receipt is about our destination; some write it nationally, or not."""
    national = theirs.lstrip("0")
    if not theirs or ours == national:
        return True
    return len(national) >= NATIONAL_DIGITS_MIN and ours.endswith(national)
