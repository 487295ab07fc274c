"""Move a message on to its route's next provider, by the route's own policy.

Two things move it: a refusal that another provider needn't share, and a provider that puts it
off for longer than its route waits. Nothing was taken in either case; each hop is an event that
names the policy and its cause.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from arrivals.core.catalogue import Catalogue, Route
from arrivals.core.fairness import FairRanks
from arrivals.core.message import Message, Move
from arrivals.core.routing import next_usable
from arrivals.core.timeline import SLOWED, UNBOUND
from arrivals.flows.doubt import keep_in_mind
from arrivals.flows.journal import Journal
from arrivals.providers.api import Answer
from arrivals.store.api import Transaction

SECOND_US: Final = 1_000_000

# A provider that takes our binds and doesn't know of them is as good as away.
UNBOUND_MAX_S: Final = 30

_CAUSES: Final = {Move.THROTTLED: SLOWED, Move.NOT_BOUND: UNBOUND}


class Onward:
    """The moves to next providers of one transaction."""

    def __init__(
        self, tx: Transaction, journal: Journal, catalogue: Catalogue, ranks: FairRanks
    ) -> None:
        self._tx = tx
        self._journal = journal
        self._catalogue = catalogue
        self._ranks = ranks

    def target(
        self, message: Message, order: tuple[str, ...], tried: str, avoid: Collection[str] = ()
    ) -> str | None:
        """Return the provider that a message may move on to, or None."""
        route = self._catalogue.routes.get(message.route_id)
        if route is None or not route.failover:
            return None
        return next_usable(self._catalogue, order, tried, avoid)

    def due_at_us(self, message: Message, answer: Answer, move: Move) -> int | None:
        """Return when a message that its provider puts off may move on; None: never."""
        route = self._catalogue.routes.get(message.route_id)
        limit_s = None if route is None else _patience_s(route, move)
        if limit_s is None:
            return None
        told = self.put_off(message, answer, move)
        return (told[0] if told else self._tx.now_us) + limit_s * SECOND_US

    def put_off(self, message: Message, answer: Answer, move: Move) -> list[int]:
        """Return when this provider put the message off in the same way before."""
        return [
            each.at_us
            for each in self._journal.told(message.key, move.value)
            if each.body.get("provider") == answer.provider_id
        ]

    def move(
        self,
        message: Message,
        answer: Answer,
        target: str,
        facts: dict[str, Any],
        **changes: object,
    ) -> None:
        """Put a message into the next provider's queue, near the front."""
        keep_in_mind(self._tx, message, answer.attempt)
        body = {
            "attempt": answer.attempt,
            "provider": answer.provider_id,
            "to": target,
            "policy": "failover",
            "set_by": "route",
            **facts,
        }
        self._journal.move(
            message,
            Move.FAILED_OVER,
            f"provider:{answer.provider_id}",
            body,
            provider_id=target,
            rank=self._ranks.front(target, message.lane, message.account_id),
            wake_at_us=message.expires_at_us,
            **changes,
        )


def cause_of(move: Move) -> str:
    """Return why a message that was put off like this moves on."""
    return _CAUSES[move]


def _patience_s(route: Route, move: Move) -> int | None:
    return route.throttle_failover_s if move is Move.THROTTLED else UNBOUND_MAX_S
