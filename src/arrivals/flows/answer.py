"""Record what providers answered: taken, throttled, refused, not sent, or no answer at all.

An answer is a fact. It is recorded whoever owns the bind by now, and however late; only
`not_sent` is the word of the epoch that wrote the intent and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import order_of
from arrivals.core.message import Message, Move, Reach, State, allows, is_terminal
from arrivals.core.parts import count_of
from arrivals.core.retry import RULES, Cause, next_at, share_of
from arrivals.flows.halfway import Halfway
from arrivals.flows.known_ids import UsualForm, nothing_usual
from arrivals.flows.onward import Onward, cause_of
from arrivals.flows.plan import Defaults
from arrivals.flows.receive import match_parked
from arrivals.providers.api import (
    Answer,
    NotBound,
    NotSent,
    PartHeld,
    Refused,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.store.api import Step, Transaction

ANSWER_ORDER: Final = 20

# A provider's own errors get one more try there before the next provider is asked.
TRIES_BEFORE_FAILOVER: Final = 2

# Answers that may move a message on to another provider.
_MOVING: Final = (Refused, Throttled, NotBound)


def nobody() -> Collection[str]:
    """Name no provider that a message should not move on to."""
    return ()


def answer_step(
    catalogue: Callable[[], Catalogue],
    ranks: FairRanks,
    defaults: Defaults,
    avoid: Callable[[], Collection[str]] = nobody,
    usual_form: UsualForm = nothing_usual,
) -> Step[Sequence[Answer], set[int]]:
    """Return the step that records answers; its result is the messages it touched.

    `avoid` names the providers to which nothing moves on that is merely put off.
    """

    def run(tx: Transaction, batches: Sequence[Sequence[Answer]]) -> list[set[int]]:
        recording = Recording(tx, catalogue(), ranks, defaults, avoid(), usual_form)
        recording.record([answer for batch in batches for answer in batch])
        return [recording.journal.touched for _ in batches]

    return Step("answer", ANSWER_ORDER, run)


class Recording(Halfway):
    """The answers of one transaction."""

    def __init__(
        self,
        tx: Transaction,
        catalogue: Catalogue,
        ranks: FairRanks,
        defaults: Defaults,
        avoid: Collection[str] = (),
        usual_form: UsualForm = nothing_usual,
    ) -> None:
        super().__init__(tx, catalogue, defaults)
        self._onward = Onward(tx, self.journal, catalogue, ranks)
        self._avoid = avoid
        self._usual_form = usual_form
        self._epochs: dict[str, int] = {}
        self._orders: dict[int, tuple[str, ...]] = {}

    def record(self, answers: Sequence[Answer]) -> None:
        """Record answers in the order they came."""
        self.journal.load(each.key for each in answers)
        self._orders = self._tx.providers_of(
            order_of(each.key) for each in answers if isinstance(each.result, _MOVING)
        )
        for each in answers:
            message = self.journal.get(each.key)
            if message is not None:
                self._one(message, each)
        self._finish()

    def lose(self, messages: Sequence[Message]) -> None:
        """Turn messages whose sender is gone into AMBIGUOUS: their bytes may have left."""
        self.journal.add(messages)
        for each in messages:
            body: dict[str, Any] = {"attempt": each.attempts, "provider": each.provider_id}
            parts = self._parts_known(each, each.attempts)
            if parts:
                body["parts_accepted"] = parts
            self._doubt(each, Move.LEASE_LOST, body, "clock", partly=bool(parts))
        self._finish()

    def _finish(self) -> None:
        """Write it all, then see whether parked receipts fit what is known now."""
        self.journal.flush()
        self._tx.add_handoffs(self._handoffs)
        for each in self._handoffs:
            self._heard_of.setdefault(each.provider_id, set()).add(each.external_id)
        touched = self.journal.touched
        match_parked(self._tx, self._catalogue, self._heard_of, touched, self._usual_form)

    def _one(self, message: Message, answer: Answer) -> None:
        if isinstance(answer.result, NotSent) and self._is_fenced(message, answer):
            return
        if _took_nothing(answer):
            without = self._without(message, answer)
            if without is None:
                return
            message = without
            self._not_taken(message, answer)
        else:
            self._maybe_taken(message, answer)
        # One message less in doubt: a receipt that fitted two may fit one now.
        self._listen(answer.provider_id, message.msisdn)

    def _maybe_taken(self, message: Message, answer: Answer) -> None:
        match answer.result:
            case Taken() as taken:
                self._taken(message, answer, taken)
            case Refused() as refused:
                self._part_refused(message, answer, refused)
            case PartHeld() as held:
                self._part_held(message, answer, held)
            case Unanswered() as unanswered:
                self._unanswered(message, answer, unanswered)

    def _not_taken(self, message: Message, answer: Answer) -> None:
        match answer.result:
            case Throttled() as throttled:
                slow = {"whole_bind": True} if throttled.whole_bind else {}
                facts = {"status": throttled.status, **slow}
                self._put_off(message, answer, Move.THROTTLED, Cause.THROTTLED, facts)
            case NotBound(status=status):
                facts = {"status": status}
                self._put_off(message, answer, Move.NOT_BOUND, Cause.NOT_BOUND, facts)
            case NotSent(cause=cause):
                self._again(message, answer, Move.NOT_SENT, Cause.NOT_SENT, {"cause": cause})
            case Refused() as refused:
                self._refused(message, answer, refused)

    def _is_fenced(self, message: Message, answer: Answer) -> bool:
        """Tell whether a `not_sent` comes from an epoch that has no say any more."""
        provider_id = answer.provider_id
        if provider_id not in self._epochs:
            self._epochs[provider_id] = self._tx.bind_epoch(provider_id)
        return not message.epoch == answer.epoch == self._epochs[provider_id]

    def _without(self, message: Message, answer: Answer) -> Message | None:
        """Return the message with the reach that is left if this attempt was not taken.

        None if that was recorded before: facts may come twice.
        """
        others: set[int] = set()
        # The newest attempt that is still under way can't have been answered before.
        is_under_way = message.state is State.SENDING and answer.attempt == message.attempts
        if message.resends or not is_under_way:
            self.journal.flush()
            possible = {each.number for each in self._tx.possible_handoffs(message.key)}
            if answer.attempt not in possible:
                return None
            others = possible - {answer.attempt}
        if message.reach is Reach.HANDED_OFF:
            return message
        if is_terminal(message.state):
            if message.reach is not Reach.NONE and not others:
                self.journal.settlement.give_back(message)
            return message
        reach = message.reach if others else Reach.NONE
        return msgspec.structs.replace(message, reach=reach)

    # --- taken -----------------------------------------------------------------------

    def _taken(self, message: Message, answer: Answer, taken: Taken) -> None:
        if not allows(message.state, Move.TAKEN) and self._is_known(message, answer):
            return
        body = {
            "attempt": answer.attempt,
            "provider": answer.provider_id,
            "ids": [as_sent for _, _, as_sent in taken.ids if as_sent],
            "elapsed_us": taken.elapsed_us,
        }
        if answer.late:
            body["late"] = True
        parts = count_of(message.parts, message.segments, answer.attempt)
        cost = self._cost(message, answer.provider_id, parts)
        changes: dict[str, object] = {
            "reach": Reach.HANDED_OFF,
            "provider_cost": message.provider_cost + cost,
        }
        actor = f"provider:{answer.provider_id}"
        # Whichever attempt it was: somebody has it, so a resend not yet begun is dropped, and
        # one that is under way has nothing more to decide.
        if allows(message.state, Move.TAKEN):
            self.journal.move(
                message,
                Move.TAKEN,
                actor,
                body,
                provider_id=answer.provider_id,
                reason=None,
                rank=None,
                wake_at_us=message.outcome_deadline_us,
                **changes,
            )
        else:
            self.journal.note(message, "taken", actor, body, **changes)
        self._identify(message, answer, taken.ids)

    def _is_known(self, message: Message, answer: Answer) -> bool:
        """Tell whether the very same answer was recorded before: facts may come twice.

        That its ids are known says nothing: a receipt may have told them first.
        """
        self.journal.flush()
        attempts = self._tx.possible_handoffs(message.key)
        return any(each.taken and each.number == answer.attempt for each in attempts)

    # --- not taken -------------------------------------------------------------------

    def _put_off(
        self,
        message: Message,
        answer: Answer,
        move: Move,
        cause: Cause,
        facts: dict[str, Any],
    ) -> None:
        """Wait with a message that its provider doesn't take now, or move on if it lasts."""
        if not _decides(message, answer, move):
            self._late_fact(message, answer, move, facts)
            return
        order = self._orders.get(order_of(message.key), ())
        target = self._onward.target(message, order, answer.provider_id, self._avoid)
        due_at_us = None
        if target is not None:
            due_at_us = self._onward.due_at_us(message, answer, move)
        if target is None or due_at_us is None or due_at_us > self._tx.now_us:
            turn = None
            if cause is Cause.NOT_BOUND:  # the bind's trouble, whatever came before it
                turn = len(self._onward.put_off(message, answer, move)) + 1
            self._again(message, answer, move, cause, facts, turn=turn, latest_us=due_at_us)
            return
        why = facts | {"cause": cause_of(move)}
        self._onward.move(message, answer, target, why, reason=move.value)

    def _again(
        self,
        message: Message,
        answer: Answer,
        move: Move,
        cause: Cause,
        facts: dict[str, Any],
        turn: int | None = None,
        latest_us: int | None = None,
        **changes: object,
    ) -> None:
        """Put a message that was proved not taken back into the queue, for later.

        `turn` counts how often this has come, if it is known better; `latest_us` is by when
        it should be tried again.
        """
        if not _decides(message, answer, move):
            self._late_fact(message, answer, move, facts)
            return
        attempts_max = RULES[cause].attempts_max
        tries = message.tries + (attempts_max is not None)
        if turn is None:
            turn = message.attempts - message.tries if attempts_max is None else tries
        at_us = next_at(
            cause,
            max(1, turn),
            self._tx.now_us,
            share_of(message.key, message.attempts),
            deadline_us=message.expires_at_us,
        )
        if at_us is None and attempts_max is not None:
            why = "its validity leaves no time to retry"
            if tries >= attempts_max:
                why = "the retries are used up"
            self._end(message, answer, facts | {"cause": why}, **changes)
            return
        body = {"attempt": answer.attempt, "provider": answer.provider_id, **facts}
        if at_us is not None:
            at_us = min(at_us, latest_us or at_us)
            body["not_before"] = at_us
        self.journal.move(
            message,
            move,
            f"provider:{answer.provider_id}",
            body,
            tries=tries,
            rank=None,
            wake_at_us=at_us or message.expires_at_us,
            **{"reason": move.value, **changes},
        )

    def _refused(self, message: Message, answer: Answer, refused: Refused) -> None:
        facts = {"status": refused.status, "reason": refused.reason}
        current = _decides(message, answer, Move.REFUSED)
        if current and self._fail_over(message, answer, refused, facts):
            return
        if refused.retryable:
            self._again(
                message,
                answer,
                Move.REFUSED_RETRYABLE,
                Cause.REFUSED_RETRYABLE,
                facts,
                reason=refused.reason,
            )
        elif current:
            self._end(message, answer, facts, reason=refused.reason)
        else:
            self._late_fact(message, answer, Move.REFUSED, facts)

    def _fail_over(
        self, message: Message, answer: Answer, refused: Refused, facts: dict[str, Any]
    ) -> bool:
        """Move on to the route's next provider, where the route and the refusal allow it."""
        worn_out = refused.retryable and message.tries + 1 >= TRIES_BEFORE_FAILOVER
        if not (refused.elsewhere or worn_out):
            return False
        order = self._orders.get(order_of(message.key), ())
        target = self._onward.target(message, order, answer.provider_id)
        if target is None:
            return False
        changes = {"reason": refused.reason, "tries": message.tries + 1}
        self._onward.move(message, answer, target, facts, **changes)
        return True

    def _end(
        self, message: Message, answer: Answer, facts: dict[str, Any], **changes: object
    ) -> None:
        tries = message.tries + 1
        actor = f"provider:{answer.provider_id}"
        body = {"attempt": answer.attempt, "provider": answer.provider_id, **facts}
        if message.reach is Reach.NONE:
            self.journal.move(message, Move.REFUSED, actor, body, tries=tries, **changes)
            return
        # Another attempt may have been taken. No to the one says nothing about the other.
        after = self.journal.note(message, Move.REFUSED.value, actor, body, tries=tries)
        if allows(after.state, Move.RESEND_DROPPED):
            self._drop_resend(after, "clock", {"cause": "the resend was refused"})

    def _late_fact(
        self, message: Message, answer: Answer, move: Move, facts: dict[str, Any]
    ) -> None:
        body = {
            "attempt": answer.attempt,
            "provider": answer.provider_id,
            "late": True,
            **facts,
        }
        self.journal.note(message, move.value, f"provider:{answer.provider_id}", body)


def _decides(message: Message, answer: Answer, move: Move) -> bool:
    """Tell whether an answer is about the newest attempt, or the last one still in doubt."""
    last = message.state is State.AMBIGUOUS and message.reach is Reach.NONE
    return (last or answer.attempt == message.attempts) and allows(message.state, move)


def _took_nothing(answer: Answer) -> bool:
    """Tell whether it is the proof that nothing of an attempt was taken."""
    result = answer.result
    if isinstance(result, Refused):
        return not result.part
    return isinstance(result, Throttled | NotBound | NotSent)
