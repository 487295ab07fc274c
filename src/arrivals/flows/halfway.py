"""Record hand-offs that stop halfway: no answer, or some parts taken and others not.

What is known to be taken in part is never sent again whole (invariant 29), and the parts that
were taken are known by their ids at once, so that their receipts find them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from arrivals.core.catalogue import Catalogue
from arrivals.core.message import Message, Move, Reach, State, allows
from arrivals.core.parts import count_of, place_of, roll_up
from arrivals.core.timeline import PART_HELD
from arrivals.flows.doubt import unnamed
from arrivals.flows.journal import Journal
from arrivals.flows.plan import Defaults
from arrivals.providers.api import Answer, PartHeld, Refused, Unanswered
from arrivals.store.api import Transaction
from arrivals.store.rows import Handoff

SECOND_US: Final = 1_000_000

# A hand-off whose part was put off is in doubt when nothing more is heard of it for so long
# after the part was to go out: well past any provider's response timeout and pace.
NEWS_SLACK_US: Final = 120 * SECOND_US

Parts = Sequence[tuple[int, str, str]]  # (part, id in normal form, as sent)


class Halfway:
    """What the answers of one transaction leave in doubt, whole or in part."""

    def __init__(self, tx: Transaction, catalogue: Catalogue, defaults: Defaults) -> None:
        self.journal = Journal(tx, catalogue)
        self._tx = tx
        self._catalogue = catalogue
        self._defaults = defaults
        self._handoffs: list[Handoff] = []
        # Forms, by provider, to try parked receipts with.
        self._heard_of: dict[str, set[str]] = {}

    # --- taken in part ---------------------------------------------------------------

    def _part_held(self, message: Message, answer: Answer, held: PartHeld) -> None:
        """Note that a part is put off; the hand-off goes on, and what was taken is known."""
        parts = held.parts_accepted
        body = _in_part(answer, parts) | {"part": held.part, "until": held.until_us}
        if held.due_us:
            body["due"] = held.due_us
        if held.status:  # else it waits for its turn or for its link, and nobody put it off
            body["status"] = held.status
        if self._was_told(message, PART_HELD, body, ("attempt", "part", "until")):
            return
        actor = f"provider:{answer.provider_id}"
        if message.state is State.SENDING and answer.attempt == message.attempts:
            due_us = max(message.wake_at_us or 0, held.until_us + NEWS_SLACK_US)
            wake_at_us = min(due_us, message.outcome_deadline_us)
            self.journal.note(message, PART_HELD, actor, body, wake_at_us=wake_at_us)
        elif parts and message.state in {State.AMBIGUOUS, State.WAITING}:
            self._partly_taken(message, PART_HELD, actor, body)
        else:
            self.journal.note(message, PART_HELD, actor, body | {"late": True})
        self._identify(message, answer, parts)

    def _part_refused(self, message: Message, answer: Answer, refused: Refused) -> None:
        """End a message that lacks a part for good: others were taken, and are paid for.

        It fails whatever the receipts of the others say, and is never sent again whole
        (invariant 29). Another attempt that may have been taken whole still speaks for it.
        """
        parts = refused.parts_accepted
        body = _in_part(answer, parts) | {"part": refused.part, "reason": refused.reason}
        if refused.status:  # else it never left
            body["status"] = refused.status
        if refused.cause:
            body["cause"] = refused.cause
        if self._was_told(message, Move.PART_REFUSED, body, ("attempt",)):
            return
        actor = "worker" if refused.cause else f"provider:{answer.provider_id}"
        attempt = answer.attempt
        cost = self._cost(message, answer.provider_id, len(parts))
        changes: dict[str, object] = {
            "reach": Reach.HANDED_OFF,
            "provider_cost": message.provider_cost + cost,
            "parts": _without_part(message, attempt, refused.part),
        }
        if allows(message.state, Move.PART_REFUSED) and not self._others(message, attempt):
            tries, reason = message.tries + 1, refused.reason
            self.journal.move(
                message, Move.PART_REFUSED, actor, body, tries=tries, reason=reason, **changes
            )
        else:
            late = body | {"late": True}
            after = self.journal.note(message, Move.PART_REFUSED, actor, late, **changes)
            if after.state is State.SENDING and attempt == after.attempts:
                self._drop_resend(after, "clock", {"cause": "the resend was refused in part"})
        self._identify(message, answer, parts)

    def _others(self, message: Message, attempt: int) -> set[int]:
        """Return the other attempts that nobody proved not taken."""
        if not message.resends:
            return set()
        self.journal.flush()
        return {each.number for each in self._tx.possible_handoffs(message.key)} - {attempt}

    def _was_told(
        self, message: Message, kind: str, body: dict[str, Any], names: Sequence[str]
    ) -> bool:
        """Tell whether the very same fact was recorded before: facts may come twice."""
        return any(
            all(each.body.get(name) == body[name] for name in names)
            for each in self.journal.told(message.key, kind)
        )

    def _parts_known(self, message: Message, attempt: int) -> list[int]:
        """Return the parts of an attempt that are known to be taken while it is under way."""
        if count_of(message.parts, message.segments, attempt) == 1:
            return []
        return sorted(
            {
                part
                for each in self.journal.told(message.key, PART_HELD)
                if each.body.get("attempt") == attempt
                for part in each.body.get("parts_accepted", ())
            }
        )

    # --- no answer -------------------------------------------------------------------

    def _unanswered(self, message: Message, answer: Answer, unanswered: Unanswered) -> None:
        parts = unanswered.parts_accepted
        body = _in_part(answer, parts) | {"cause": unanswered.cause}
        known = [part for part, _, _ in parts] or self._parts_known(message, answer.attempt)
        if known:
            body["parts_accepted"] = known
        if answer.attempt == message.attempts and allows(message.state, Move.UNANSWERED):
            self._doubt(message, Move.UNANSWERED, body, "worker", partly=bool(known))
        elif parts and message.state in {State.AMBIGUOUS, State.WAITING}:
            self._partly_taken(message, Move.UNANSWERED.value, "worker", body)
        else:
            body["late"] = True
            self.journal.note(message, Move.UNANSWERED.value, "worker", body)
        self._identify(message, answer, parts)

    def _partly_taken(
        self, message: Message, kind: str, actor: str, body: dict[str, Any]
    ) -> None:
        """Note parts that turn out to be taken: it is never sent again whole (invariant 29)."""
        if message.state is State.WAITING:
            if kind == PART_HELD:
                message = self.journal.note(message, kind, actor, body)
            reach = max(message.reach, Reach.HANDOFF_UNKNOWN)
            dropped = body | {"cause": "a part of it was taken after all"}
            self._drop_resend(message, "worker", dropped, reach=reach)
            return
        wake_at_us = message.outcome_deadline_us
        self.journal.note(message, kind, actor, body | {"late": True}, wake_at_us=wake_at_us)

    def _doubt(
        self,
        message: Message,
        move: Move,
        body: dict[str, Any],
        actor: str,
        *,
        partly: bool = False,
    ) -> None:
        """Make a message AMBIGUOUS, and say what its policy does about it."""
        policy = message.on_ambiguous
        wake_at_us = message.outcome_deadline_us
        # With evidence that somebody has it, or a part of it, there is nothing to decide.
        if message.reach is not Reach.HANDED_OFF and not partly:
            resend_at = self._tx.now_us + self._defaults.resend_after_s * SECOND_US
            if policy == "fail":
                # In the next sweep, so that receipts that wait for it are heard first.
                wake_at_us = self._tx.now_us
            elif (
                policy == "resend" and not message.resends and resend_at < message.expires_at_us
            ):
                wake_at_us = resend_at
                body["resend_at"] = resend_at
        body["policy"] = policy
        self.journal.move(
            message,
            move,
            actor,
            body,
            reach=max(message.reach, Reach.HANDOFF_UNKNOWN),
            reason="provider_timeout_unknown",
            rank=None,
            wake_at_us=wake_at_us,
        )
        self._listen(message.provider_id, message.msisdn)

    # --- shared with what was answered whole --------------------------------------------

    def _drop_resend(
        self, message: Message, actor: str, body: dict[str, Any], **changes: object
    ) -> None:
        """Go back to not knowing what became of the hand-off before."""
        self.journal.move(
            message,
            Move.RESEND_DROPPED,
            actor,
            body,
            reason="provider_timeout_unknown",
            rank=None,
            wake_at_us=message.outcome_deadline_us,
            **changes,
        )

    def _cost(self, message: Message, provider_id: str, parts: int) -> int:
        provider = self._catalogue.providers.get(provider_id)
        route = self._catalogue.routes.get(message.route_id)
        if provider is None or route is None or not provider.cost:
            return 0
        cost = provider.cost * parts
        self.journal.settlement.charge_cost(provider_id, cost, route.currency)
        return cost

    def _identify(self, message: Message, answer: Answer, ids: Parts) -> None:
        self._handoffs.extend(
            Handoff(
                answer.provider_id,
                normal or unnamed(message.msisdn),
                message.key,
                answer.attempt,
                part,
                self._tx.now_us,
            )
            for part, normal, _ in ids
        )

    def _listen(self, provider_id: str, msisdn: str) -> None:
        self._heard_of.setdefault(provider_id, set()).add(unnamed(msisdn))


def _without_part(message: Message, attempt: int, part: int) -> str:
    """Return what is known of a message's parts once one of them won't be there."""
    place = place_of(message.parts, message.segments, attempt, part)
    return roll_up(message.parts, message.segments, attempt, place, Move.RECEIPT_FAILED)[0]


def _in_part(answer: Answer, parts: Parts) -> dict[str, Any]:
    """Return what an event tells of an attempt and of its parts that were taken."""
    body: dict[str, Any] = {"attempt": answer.attempt, "provider": answer.provider_id}
    if parts:
        body["parts_accepted"] = [part for part, _, _ in parts]
        body["ids"] = [as_sent for _, _, as_sent in parts if as_sent]
    return body
