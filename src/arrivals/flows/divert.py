"""Move a provider's queue to the next one while it stays away, is broken or slows us.

Only where routes allow it.

What waits here is under way nowhere, so moving it makes no duplicate; each hop is an event that
names the route's policy. A route's messages go only to providers of the same route, further
down.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from arrivals.core.catalogue import Catalogue, Flow
from arrivals.core.fairness import FairRanks
from arrivals.core.routing import next_usable
from arrivals.core.timeline import AWAY
from arrivals.flows.doubt import keep_in_mind
from arrivals.flows.journal import Journal
from arrivals.store.api import Step, Transaction

DIVERT_ORDER: Final = 50  # with the claims: what is claimed isn't diverted, and the reverse
DIVERT_MAX: Final = 500  # messages of one lane at once
LANES: Final = (0, 1, 2)


class Diversion(msgspec.Struct, frozen=True):
    """A wish to empty a provider's queue; `away` are those that can't take it over."""

    provider_id: str
    away: frozenset[str] = frozenset()
    cause: str = AWAY
    routes: frozenset[int] | None = None  # only theirs; None: all that allow it
    held_us: int = 0  # for how long this has kept the queue waiting


class Diverted(msgspec.Struct, frozen=True):
    """How many messages moved, and to whose queues; `more` if some may be left."""

    count: int
    targets: frozenset[str]
    more: bool


def divert_step(
    catalogue: Callable[[], Catalogue], ranks: FairRanks
) -> Step[Diversion, Diverted]:
    """Return the step that moves lost providers' queues on."""

    def run(tx: Transaction, wanted: Sequence[Diversion]) -> list[Diverted]:
        return [_divert(tx, each, catalogue(), ranks) for each in wanted]

    return Step("divert", DIVERT_ORDER, run)


def _divert(
    tx: Transaction, wanted: Diversion, catalogue: Catalogue, ranks: FairRanks
) -> Diverted:
    target_of = _targets(wanted, catalogue)
    # Left out of the claim, so that what can't move never stands in the way of what can.
    fixed = [route_id for route_id in catalogue.routes if route_id not in target_of]
    journal = Journal(tx, catalogue)
    count, more = 0, False
    for lane in LANES if target_of else ():
        found = tx.claim(wanted.provider_id, lane, DIVERT_MAX, ([], fixed))
        more = more or len(found) == DIVERT_MAX
        count += len(found)
        for outgoing in found:
            message = outgoing.message
            target = target_of[message.route_id]
            body: dict[str, Any] = {
                "provider": wanted.provider_id,
                "to": target,
                "policy": "failover",
                "set_by": "route",
                "cause": wanted.cause,
            }
            if wanted.held_us:
                body["held_us"] = wanted.held_us
            keep_in_mind(tx, message)
            rank = ranks.take(target, lane, message.account_id)
            journal.note(message, "diverted", "worker", body, provider_id=target, rank=rank)
    journal.flush()
    return Diverted(count, frozenset(target_of.values()), more)


def _targets(wanted: Diversion, catalogue: Catalogue) -> dict[int, str]:
    """Return where each route's messages go from here; a route that isn't named keeps its own.

    An outage is answered by the route as it stands now, not as it stood at accept.
    """
    avoid: Collection[str] = wanted.away | {
        name for name, each in catalogue.providers.items() if each.flow is not Flow.ACTIVE
    }
    targets: dict[int, str] = {}
    for route in catalogue.routes.values():
        if route.failover and (wanted.routes is None or route.route_id in wanted.routes):
            target = next_usable(catalogue, route.providers, wanted.provider_id, avoid)
            if target is not None:
                targets[route.route_id] = target
    return targets
