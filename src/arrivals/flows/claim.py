"""Claim messages for a provider, and put in doubt what an older owner was sending.

Claim and intent are one transaction, for no more messages than there is room for, and only
after its commit do bytes leave. So a crash leaves at most a window's worth in doubt, and
everything else simply queued.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.dialect import PLAIN
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import handoff_reference
from arrivals.core.message import Message, Move, Reach
from arrivals.core.parts import begin
from arrivals.core.text import analyse
from arrivals.flows.answer import ANSWER_ORDER, Recording
from arrivals.flows.divert import LANES
from arrivals.flows.journal import Journal
from arrivals.flows.plan import Defaults
from arrivals.flows.replies import expect_replies
from arrivals.providers.api import Submission
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import Outgoing

CLAIM_ORDER: Final = 50
RECOVER_MAX: Final = 1_000

# A claimed message that nobody answered for is in doubt after this, whatever went wrong:
# well past any provider's response timeout and pace.
SENDING_MAX_US: Final = 300 * 1_000_000


class ClaimRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A bind owner's wish for work."""

    provider_id: str
    epoch: int
    limit: int
    bulk_first: bool = False
    held_us: int = 0  # for how long the provider's throttling has held the queue back


def claim_step(
    catalogue: Callable[[], Catalogue], ranks: FairRanks
) -> Step[ClaimRequest, list[Submission]]:
    """Return the step that claims messages and writes their intents."""

    def run(tx: Transaction, requests: Sequence[ClaimRequest]) -> list[list[Submission]]:
        return [_claim(tx, each, catalogue(), ranks) for each in requests]

    return Step("claim", CLAIM_ORDER, run)


def _claim(
    tx: Transaction, request: ClaimRequest, catalogue: Catalogue, ranks: FairRanks
) -> list[Submission]:
    if tx.bind_epoch(request.provider_id) != request.epoch:
        return []  # somebody newer owns the bind: an old epoch claims nothing
    paused = catalogue.paused()
    journal = Journal(tx, catalogue)
    submissions: list[Submission] = []
    provider = catalogue.providers.get(request.provider_id)
    alphabet = PLAIN.alphabet if provider is None else provider.dialect.alphabet
    for lane in reversed(LANES) if request.bulk_first else LANES:
        wanted = request.limit - len(submissions)
        if wanted <= 0:
            break
        claimed = tx.claim(request.provider_id, lane, wanted, paused)
        if claimed:
            highest = claimed[-1].message.rank or 0
            ranks.claimed(request.provider_id, lane, highest)
            tx.note_lane(request.provider_id, lane, highest)
            expect_replies(tx, claimed)
        for outgoing in claimed:
            submission = _intend(tx, journal, outgoing, request, alphabet)
            if submission is not None:
                submissions.append(submission)
    journal.flush()
    return submissions


def _intend(
    tx: Transaction,
    journal: Journal,
    outgoing: Outgoing,
    request: ClaimRequest,
    alphabet: str,
) -> Submission | None:
    message, epoch = outgoing.message, request.epoch
    if message.expires_at_us <= tx.now_us:
        journal.add([message])
        expire(journal, message)
        return None
    attempt = message.attempts + 1
    reference = handoff_reference(message.key, attempt)
    body = {"attempt": attempt, "provider": message.provider_id, "epoch": epoch}
    if request.held_us:
        body["held_us"] = request.held_us
    # The price stands, and the parts are as many as this provider's alphabet asks for.
    segments = analyse(outgoing.text, alphabet).segments
    if segments != message.segments:
        body["segments"] = segments
    after = journal.move(
        message,
        Move.CLAIMED,
        "worker",
        body,
        attempts=attempt,
        epoch=epoch,
        parts=begin(
            message.parts,
            message.segments,
            attempt,
            segments,
            may_be_out=message.reach is not Reach.NONE,
        ),
        rank=None,
        wake_at_us=min(tx.now_us + SENDING_MAX_US, message.outcome_deadline_us),
    )
    return Submission(
        key=message.key,
        attempt=attempt,
        epoch=epoch,
        sender=outgoing.sender,
        msisdn=message.msisdn,
        text=outgoing.text,
        segments=segments,
        reference=reference,
        expires_at_us=after.expires_at_us,
    )


def expire(journal: Journal, message: Message) -> None:
    """End a queued message whose validity passed, or drop the resend it waited for."""
    if message.reach:
        journal.move(
            message,
            Move.RESEND_DROPPED,
            "clock",
            {"cause": "the validity passed before the resend"},
            reason="provider_timeout_unknown",
            rank=None,
            wake_at_us=message.outcome_deadline_us,
        )
        return
    body = {"cause": "the validity passed in our queue", "where": "queue"}
    journal.move(message, Move.VALIDITY_PASSED, "clock", body, reason="expired_in_our_queue")


def recover_step(
    catalogue: Callable[[], Catalogue], ranks: FairRanks, defaults: Defaults
) -> Step[tuple[str, int], int]:
    """Return the step that puts in doubt what older epochs of a bind were sending."""

    def run(tx: Transaction, binds: Sequence[tuple[str, int]]) -> list[int]:
        counts = []
        for provider_id, epoch in binds:
            lost = tx.sending(provider_id, epoch, RECOVER_MAX)
            Recording(tx, catalogue(), ranks, defaults).lose(lost)
            counts.append(len(lost))
        return counts

    return Step("recover", ANSWER_ORDER, run)
