"""What a customer may still say about a message: cancel it, or tell whether it arrived."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.errors import Code, Refusal, refuse
from arrivals.core.message import Message, Move, Reach, State, allows
from arrivals.core.timeline import ASKED_AGAIN
from arrivals.flows.accept import Idempotency, Replay, replayed
from arrivals.flows.journal import Journal
from arrivals.outcome.clicks import Click, Clicker, clicked_by
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import StoredAnswer

AMEND_ORDER: Final = 40
_FABRICATED: Final = Move.RECEIPT_FABRICATED
# Ends that are ours alone: who refused a message may have sent it on all the same.
_NEVER_LEFT: Final = frozenset({State.CANCELLED, State.EXPIRED})
# What the word rests on; `probe` is a phone of the customer's own.
FEEDBACK_KINDS: Final = ("otp", "reply", "click", "support", "probe", ASKED_AGAIN)


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's word about one of their messages.

    `confirmed` None asks to cancel; True and False say whether the person got it. Of the kind
    `asked_again` it is False and says nothing: they wanted another one. A click of which
    something is known confirms only if it looks like a person's.
    """

    account_id: int
    key: int
    confirmed: bool | None = None
    kind: str = "support"
    click: Click | None = None  # what is known of it, if anything
    idempotency: Idempotency | None = None


# The message after it, or the word that the same request did it before.
Amended = Message | Replay | Refusal


def amend_step(catalogue: Callable[[], Catalogue]) -> Step[Amendment, Amended]:
    """Return the step that applies amendments; it answers with the message after them."""

    def run(tx: Transaction, wanted: Sequence[Amendment]) -> list[Amended]:
        known = catalogue()
        journal = Journal(tx, known)
        journal.load(each.key for each in wanted)
        operators = {each.account_id for each in known.accounts.values() if each.operator}
        results = [_once(tx, journal, each, operators) for each in wanted]
        journal.flush()
        return results

    return Step("amend", AMEND_ORDER, run)


def _once(
    tx: Transaction, journal: Journal, wanted: Amendment, operators: Container[int]
) -> Amended:
    """Apply an amendment, or find that its idempotency key did so before."""
    message = journal.get(wanted.key)
    if message is None or message.account_id != wanted.account_id:
        return refuse(Code.NOT_FOUND, what="message")
    promise = wanted.idempotency
    if promise is None:
        return _apply(tx, journal, message, wanted, operators)
    key = (wanted.account_id, promise.scope, promise.key)
    before = tx.stored_answers([key]).get(key)
    if before is not None:
        return replayed(before, promise)
    result = _apply(tx, journal, message, wanted, operators)
    if isinstance(result, Message):
        tx.store_answers([StoredAnswer(*key, promise.body_hash, 200, "", tx.now_us)])
    return result


def _apply(
    tx: Transaction,
    journal: Journal,
    message: Message,
    wanted: Amendment,
    operators: Container[int],
) -> Message | Refusal:
    if wanted.confirmed is not None:
        if message.state in _NEVER_LEFT and message.reach is Reach.NONE:
            return refuse(Code.NEVER_HANDED_OFF, state=message.state.value)
        word, body = _word(tx, message, wanted, confirmed=wanted.confirmed)
        after = journal.note(message, "feedback", "customer", body, confirmed=word)
        missed = wanted.kind == "probe" and not wanted.confirmed
        if missed and message.account_id in operators and message.state is State.DELIVERED:
            # Not the word of whoever pays for what arrived, but of who runs phone and platform.
            return journal.move(after, _FABRICATED, "operator", {}, reason=_FABRICATED.value)
        return after
    if not allows(message.state, Move.CANCEL_ASKED) or message.reach:
        return refuse(Code.NOT_CANCELLABLE, state=message.state.value)
    body = {"cause": "the customer asked for it"}
    return journal.move(message, Move.CANCEL_ASKED, "customer", body, reason="cancelled")


def _word(
    tx: Transaction, message: Message, wanted: Amendment, *, confirmed: bool
) -> tuple[str, dict[str, Any]]:
    """Return what a message counts as by its customer's word, and what is kept of that."""
    if wanted.kind == ASKED_AGAIN:  # a hint, and neither a yes nor a no
        return message.confirmed, {"kind": ASKED_AGAIN}
    word = "confirmed" if confirmed else "denied"
    if wanted.click is None:
        return word, {"confirmed": confirmed, "kind": wanted.kind}
    # Which program a person uses is nobody's business: what is kept is what it was taken for.
    by, why = clicked_by(wanted.click, tx.handed_off_at([message.key]).get(message.key))
    body = {"kind": wanted.kind, "by": by.value, "why": why.value}
    if by is Clicker.SCANNER:
        return message.confirmed, body
    return word, {"confirmed": confirmed, **body}
