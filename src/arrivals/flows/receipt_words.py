"""Read what a matched receipt says: the move it makes, its reason, and what the event keeps."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Provider
from arrivals.core.depth import depth_of_word
from arrivals.core.handsets import Fit, fit_of
from arrivals.core.message import Message, Move
from arrivals.core.reasons import reason_for_receipt
from arrivals.providers.api import Receipt, form_of
from arrivals.smpp.receipts import IdForm
from arrivals.store.rows import Handoff

# Events of a message, beyond which a receipt that changes nothing is counted and not told, and
# one that names no known id isn't taken for its own. Ten parts with five receipts each: fifty.
TOLD_MAX: Final = 200

_PROGRESS: Final = frozenset({"ENROUTE", "ACCEPTD", "SCHEDULED"})
_NEGATIVE: Final = frozenset({"UNDELIV", "REJECTD", "DELETED"})


class Found(msgspec.Struct, frozen=True):
    """The message a receipt belongs to, and how we know."""

    receipt: Receipt  # as its message's provider would have sent it
    message: Message
    handoff: Handoff
    seen: dict[str, int]
    matched_by: str  # id | reference | destination
    confidence: float
    # The parts that one id names, by what was answered; the hand-off is the first of them.
    sharing: tuple[tuple[Handoff, dict[str, int]], ...] = ()


def read(receipt: Receipt, provider: Provider) -> tuple[Move | None, str | None]:
    """Return what a receipt says as a move, and its reason; None: it only is evidence.

    A word that means no more than that somebody stopped waiting never becomes an outcome,
    unless the provider's profile says that its EXPIRED is the carrier's own.
    """
    word = receipt.word
    if _is_progress(receipt):
        return Move.RECEIPT_PROGRESS, None
    if word == "DELIVRD":
        return Move.RECEIPT_DELIVERED, None
    if word == "EXPIRED" and provider.expired_is_final:
        return Move.RECEIPT_EXPIRED, "expired_upstream"
    if word not in _NEGATIVE:
        return None, None
    reason = reason_for_receipt(word, receipt.error, provider.error_namespace, receipt.said)
    return (Move.RECEIPT_FILTERED if reason.filtered else Move.RECEIPT_FAILED), reason.code


def _is_progress(receipt: Receipt) -> bool:
    return receipt.word in _PROGRESS or receipt.intermediate


def body_of(found: Found, reason: str | None, provider: Provider) -> dict[str, Any]:
    """Return what the event of a receipt keeps."""
    receipt = found.receipt
    body: dict[str, Any] = {
        "provider": receipt.provider_id,
        "attempt": found.handoff.attempt,
        "id": receipt.external_id,
        "stat": receipt.word,
        "err": receipt.error,
        "matched_by": found.matched_by,
        "depth": depth_of_word(
            receipt.word,
            provider.receipt_depth,
            intermediate=receipt.intermediate,
            acceptd_is_own=provider.acceptd_is_own,
        ),
    }
    if found.matched_by == "id":
        form = form_of(receipt, found.handoff.external_id)
        if form is not None and form is not IdForm.AS_GIVEN:
            body["id_form"] = form.value
        if receipt.msisdn != found.message.msisdn:
            body |= _number_of(receipt, found.message.msisdn)
    if found.confidence < 1:
        body["inferred"] = True
        body["confidence"] = found.confidence
    if reason:
        body["reason"] = reason
    if receipt.done:
        body["claimed_at"] = receipt.done
    if receipt.tlv_said:
        # message_state and the text disagree: one of them is the stat, and both are kept.
        body["tlv_said"] = receipt.tlv_said
        body["text_said"] = receipt.said
    if receipt.came_over:
        body["came_over"] = receipt.came_over
    return body


def _number_of(receipt: Receipt, msisdn: str) -> dict[str, Any]:
    """Return what is odd about the number that a receipt tells beside a known id."""
    fit = fit_of(msisdn, receipt.msisdn, receipt.other)
    if fit is Fit.OTHER:
        return {"unswapped": True}
    return {"number_differs": True} if fit in {Fit.ALIKE, Fit.APART} else {}
