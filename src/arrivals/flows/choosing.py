"""Order a route's providers by outcome: gather what the choice needs, remember the last one.

Nothing is read from the store: what is known of providers comes from this process's model,
which learns beside it. Without a model, or where nobody confirms anything, the route's own
order holds, and the record says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.core.catalogue import Route, Strategy
from arrivals.core.routing import RouteDecision
from arrivals.core.selection import (
    NOTHING_KNOWN,
    Candidate,
    Estimate,
    Obstacle,
    Question,
    Record,
    mixed,
    record_of,
    select,
)
from arrivals.flows.conditions import Condition

if TYPE_CHECKING:
    from arrivals.flows.plan import PlannedMessage, SendRequest
    from arrivals.flows.platform import Platform

# Country, sender, provider.
EstimateOf = Callable[[str, str, str], Estimate]

REMEMBERED_MAX: Final = 10_000  # last choices, by route and countries
TRY_BROKEN_EVERY_S: Final = 30.0  # one order, and what it may lose is one message
# Its multiples spread evenly over [0, 1), so that of any run of orders the share explores.
GOLDEN: Final = 0.6180339887498949

_Place = tuple[int, str, tuple[str, ...]]  # route, environment, countries


def nothing_known(country: str, sender: str, provider_id: str) -> Estimate:  # noqa: ARG001
    """Know nothing of any provider: no model runs in this process."""
    return NOTHING_KNOWN


def nowhere_known(provider_id: str) -> dict[str, Estimate]:  # noqa: ARG001
    """Know no destinations: no model runs in this process."""
    return {}


class Choosing:
    """One process's choices among providers."""

    def __init__(self, platform: Platform) -> None:
        self.estimate: EstimateOf = nothing_known
        self.destinations: Callable[[str], Mapping[str, Estimate]] = nowhere_known
        self._platform = platform
        self._last: dict[_Place, str] = {}
        self._asked: Counter[int] = Counter()  # times, by route
        self._tried: dict[str, float] = {}  # broken providers, and when last: monotonic

    def order(
        self,
        decision: RouteDecision,
        route: Route,
        request: SendRequest,
        messages: Sequence[PlannedMessage],
        within: tuple[int, float],
    ) -> tuple[RouteDecision, Record]:
        """Return a decision's providers in the order of their outcomes, and the record of it.

        `within` is the messages' lane, and for how many seconds they are of use.
        """
        countries = Counter(each.country for each in messages)
        place = (route.route_id, request.environment, tuple(sorted(countries)))
        asked = Question(
            strategy=route.strategy,
            floor=route.floor,
            candidates=tuple(
                self._candidate(name, route, request, countries, within)
                for name in decision.providers
            ),
            deadline_s=within[1],
            incumbent=self._last.get(place),
            explore=route.explore,
            u=self._turn(route) if route.explore else 1.0,
        )
        chosen = select(asked)
        if not chosen.explored:
            if len(self._last) >= REMEMBERED_MAX:
                self._last.clear()
            self._last[place] = chosen.providers[0]
        found = {each.provider_id: each for each in chosen.considered}
        ordered = msgspec.structs.replace(
            decision,
            providers=chosen.providers,
            considered=tuple(found.get(each.provider_id, each) for each in decision.considered),
            rule=chosen.rule.value,
        )
        return ordered, record_of(asked, chosen)

    def known(self, countries: Counter[str], sender: str, provider_id: str) -> Estimate:
        """Return what is known of a provider's messages to these countries."""
        return mixed(
            (weight, self.estimate(country, sender, provider_id))
            for country, weight in sorted(countries.items())
        )

    def _candidate(
        self,
        name: str,
        route: Route,
        request: SendRequest,
        countries: Counter[str],
        within: tuple[int, float],
    ) -> Candidate:
        platform = self._platform
        provider = platform.catalogue.providers[name]
        lane, useful_s = within
        obstacle = None
        if not platform.binds().get(name, True) or platform.conditions.has(
            name, Condition.AWAY
        ):
            obstacle = Obstacle.AWAY
        elif platform.conditions.has(name, Condition.BROKEN) and not self._tries(name):
            obstacle = Obstacle.BROKEN
        elif platform.conditions.slows(name, route):
            obstacle = Obstacle.SLOWING
        elif provider.throughput is not None:
            ahead = platform.ranks.ahead(name, lane, request.account_id)
            if ahead / provider.throughput > useful_s:
                obstacle = Obstacle.NO_HEADROOM
        draws = route.strategy is Strategy.THOMPSON
        return Candidate(
            provider=name,
            cost=provider.cost,
            obstacle=obstacle,
            estimate=self.known(countries, request.sender, name),
            u=platform.chance.uniform() if draws else None,
        )

    def _tries(self, name: str) -> bool:
        """Tell whether a broken provider may be chosen all the same, to see how it is now.

        Else nothing would go there any more, and nobody would see that it is whole again.
        """
        now = self._platform.clock.monotonic()
        if now - self._tried.get(name, -TRY_BROKEN_EVERY_S) < TRY_BROKEN_EVERY_S:
            return False
        self._tried[name] = now
        return True

    def _turn(self, route: Route) -> float:
        self._asked[route.route_id] += 1
        return self._asked[route.route_id] * GOLDEN % 1.0
