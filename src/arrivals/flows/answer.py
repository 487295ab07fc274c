"""Record what providers answered: taken, throttled, refused, not sent, or no answer at all.

An answer is a fact. It is recorded whoever owns the bind by now, and however late; only
`not_sent` is the word of the epoch that wrote the intent and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import order_of
from arrivals.core.message import Message, Move, Reach, State, allows, is_terminal
from arrivals.core.parts import count_of
from arrivals.core.retry import RULES, Cause, next_at
from arrivals.core.routing import next_usable
from arrivals.flows.doubt import keep_in_mind, unnamed
from arrivals.flows.journal import Journal
from arrivals.flows.plan import Defaults
from arrivals.flows.receive import match_parked
from arrivals.providers.api import Answer, NotSent, Refused, Taken, Throttled, Unanswered
from arrivals.store.api import Step, Transaction
from arrivals.store.rows import Handoff

ANSWER_ORDER: Final = 20
SECOND_US: Final = 1_000_000

# A provider's own errors get one more try there before the next provider is asked.
TRIES_BEFORE_FAILOVER: Final = 2


def answer_step(
    catalogue: Callable[[], Catalogue], ranks: FairRanks, defaults: Defaults
) -> Step[Sequence[Answer], set[int]]:
    """Return the step that records answers; its result is the messages it touched."""

    def run(tx: Transaction, batches: Sequence[Sequence[Answer]]) -> list[set[int]]:
        recording = Recording(tx, catalogue(), ranks, defaults)
        recording.record([answer for batch in batches for answer in batch])
        return [recording.journal.touched for _ in batches]

    return Step("answer", ANSWER_ORDER, run)


class Recording:
    """The answers of one transaction."""

    def __init__(
        self, tx: Transaction, catalogue: Catalogue, ranks: FairRanks, defaults: Defaults
    ) -> None:
        self.journal = Journal(tx, catalogue)
        self._tx = tx
        self._catalogue = catalogue
        self._ranks = ranks
        self._defaults = defaults
        self._handoffs: list[Handoff] = []
        self._heard_of: dict[
            str, set[str]
        ] = {}  # forms, by provider, to try parked receipts with
        self._epochs: dict[str, int] = {}
        self._orders: dict[int, tuple[str, ...]] = {}

    def record(self, answers: Sequence[Answer]) -> None:
        """Record answers in the order they came."""
        self.journal.load(each.key for each in answers)
        self._orders = self._tx.providers_of(
            order_of(each.key) for each in answers if isinstance(each.result, Refused)
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
            body = {"attempt": each.attempts, "provider": each.provider_id}
            self._doubt(each, Move.LEASE_LOST, body, "clock")
        self._finish()

    def _finish(self) -> None:
        """Write it all, then see whether parked receipts fit what is known now."""
        self.journal.flush()
        self._tx.add_handoffs(self._handoffs)
        for each in self._handoffs:
            self._heard_of.setdefault(each.provider_id, set()).add(each.external_id)
        match_parked(self._tx, self._catalogue, self._heard_of, self.journal.touched)

    def _one(self, message: Message, answer: Answer) -> None:
        if isinstance(answer.result, NotSent) and self._is_fenced(message, answer):
            return
        if isinstance(answer.result, Throttled | NotSent | Refused):
            without = self._without(message, answer)
            if without is None:
                return
            message = without
        match answer.result:
            case Taken() as taken:
                self._taken(message, answer, taken)
            case Throttled(status=status):
                self._again(
                    message, answer, Move.THROTTLED, Cause.THROTTLED, {"status": status}
                )
            case NotSent(cause=cause):
                self._again(message, answer, Move.NOT_SENT, Cause.NOT_SENT, {"cause": cause})
            case Refused() as refused:
                self._refused(message, answer, refused)
            case Unanswered() as unanswered:
                self._unanswered(message, answer, unanswered)
        # One message less in doubt: a receipt that fitted two may fit one now.
        self._listen(answer.provider_id, message.msisdn)

    def _is_fenced(self, message: Message, answer: Answer) -> bool:
        """Tell whether a `not_sent` comes from an epoch that has no say any more."""
        provider_id = answer.provider_id
        if provider_id not in self._epochs:
            self._epochs[provider_id] = self._tx.bind_epoch(provider_id)
        return not message.epoch == answer.epoch == self._epochs[provider_id]

    def _listen(self, provider_id: str, msisdn: str) -> None:
        self._heard_of.setdefault(provider_id, set()).add(unnamed(msisdn))

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
        cost = self._cost(message, answer.provider_id, answer.attempt)
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

    def _cost(self, message: Message, provider_id: str, attempt: int) -> int:
        provider = self._catalogue.providers.get(provider_id)
        route = self._catalogue.routes.get(message.route_id)
        if provider is None or route is None or not provider.cost:
            return 0
        cost = provider.cost * count_of(message.parts, message.segments, attempt)
        self.journal.settlement.charge_cost(provider_id, cost, route.currency)
        return cost

    def _identify(
        self, message: Message, answer: Answer, ids: Sequence[tuple[int, str, str]]
    ) -> None:
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

    # --- not taken -------------------------------------------------------------------

    def _again(
        self,
        message: Message,
        answer: Answer,
        move: Move,
        cause: Cause,
        facts: dict[str, Any],
        **changes: object,
    ) -> None:
        """Put a message that was proved not taken back into the queue, for later."""
        if not _decides(message, answer, move):
            self._late_fact(message, answer, move, facts)
            return
        attempts_max = RULES[cause].attempts_max
        tries = message.tries + (attempts_max is not None)
        turn = message.attempts - message.tries if attempts_max is None else tries
        at_us = next_at(
            cause,
            max(1, turn),
            self._tx.now_us,
            spread(message.key, message.attempts),
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
        route = self._catalogue.routes.get(message.route_id)
        worn_out = refused.retryable and message.tries + 1 >= TRIES_BEFORE_FAILOVER
        if route is None or not route.failover or not (refused.elsewhere or worn_out):
            return False
        order = self._orders.get(order_of(message.key), ())
        target = next_usable(self._catalogue, order, answer.provider_id)
        if target is None:
            return False
        keep_in_mind(self._tx, message, answer.attempt)
        body = {
            "attempt": answer.attempt,
            "provider": answer.provider_id,
            "to": target,
            "policy": "failover",
            "set_by": "route",
            **facts,
        }
        self.journal.move(
            message,
            Move.FAILED_OVER,
            f"provider:{answer.provider_id}",
            body,
            tries=message.tries + 1,
            provider_id=target,
            reason=refused.reason,
            rank=self._ranks.front(target, message.lane, message.account_id),
            wake_at_us=message.expires_at_us,
        )
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
            self.journal.move(
                after,
                Move.RESEND_DROPPED,
                "clock",
                {"cause": "the resend was refused"},
                reason="provider_timeout_unknown",
                rank=None,
                wake_at_us=message.outcome_deadline_us,
            )

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

    # --- no answer -------------------------------------------------------------------

    def _unanswered(self, message: Message, answer: Answer, unanswered: Unanswered) -> None:
        body: dict[str, Any] = {
            "attempt": answer.attempt,
            "provider": answer.provider_id,
            "cause": unanswered.cause,
        }
        parts = unanswered.parts_accepted
        if parts:
            body["parts_accepted"] = [part for part, _, _ in parts]
            body["ids"] = [as_sent for _, _, as_sent in parts if as_sent]
        if answer.attempt == message.attempts and allows(message.state, Move.UNANSWERED):
            self._doubt(message, Move.UNANSWERED, body, "worker", partly=bool(parts))
        elif parts and message.state in {State.AMBIGUOUS, State.WAITING}:
            self._partly_taken(message, body)
        else:
            body["late"] = True
            self.journal.note(message, Move.UNANSWERED.value, "worker", body)
        self._identify(message, answer, parts)

    def _partly_taken(self, message: Message, body: dict[str, Any]) -> None:
        """Note parts that turn out to be taken: it is never sent again whole (invariant 29)."""
        deadline_us = message.outcome_deadline_us
        if message.state is State.WAITING:
            dropped = body | {"cause": "a part of it was taken after all"}
            self.journal.move(
                message,
                Move.RESEND_DROPPED,
                "worker",
                dropped,
                reach=max(message.reach, Reach.HANDOFF_UNKNOWN),
                reason="provider_timeout_unknown",
                rank=None,
                wake_at_us=deadline_us,
            )
            return
        kind = Move.UNANSWERED.value
        self.journal.note(
            message, kind, "worker", body | {"late": True}, wake_at_us=deadline_us
        )

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


def spread(key: int, attempt: int) -> float:
    """Return a message's own share of a jitter, in [0, 1): the same at every run."""
    return (
        (key * 0x9E3779B97F4A7C15 + attempt * 0xBF58476D1CE4E5B9) >> 11 & 0xFFFFFF
    ) / 0x1000000


def _decides(message: Message, answer: Answer, move: Move) -> bool:
    """Tell whether an answer is about the newest attempt, or the last one still in doubt."""
    last = message.state is State.AMBIGUOUS and message.reach is Reach.NONE
    return (last or answer.attempt == message.attempts) and allows(message.state, move)
