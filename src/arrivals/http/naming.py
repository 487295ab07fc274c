"""What providers are called: by their ids before the operator's own accounts, else by number.

From whom an operator buys, and at what cost, is the operator's to tell. So a customer reads of
`provider 1`, its place in the route's own list: enough to see that a message went over another
one, and the same in every answer about that route. What is shown is folded from a message's
row and events, so it's these that get other names, before anything is made of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from arrivals.core.catalogue import Account, Catalogue, Provider
from arrivals.core.explain import Sentence
from arrivals.core.layers import Forecast
from arrivals.core.selection import Record
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.outcome.episodes import Trouble

# A provider that the route doesn't have any more.
ANOTHER: Final = "another provider"
_BEGINNING: Final = re.compile(rf"(?:^|(?<=\. ))(?:provider \d|{ANOTHER})")
_NAMED: Final = re.compile(r"\bprovider ([a-z0-9][a-z0-9_-]*)")
_OF_PROVIDERS: Final = frozenset({"provider", "carrier"})  # what an event's actor begins with
_WHERE_NAMED: Final = ("provider", "came_over")  # in an event's body
_MODEL_PROVIDER: Final = 2  # its place in a cell


@lru_cache(maxsize=1_024)  # of routes: each send asks
def _numbers(places: tuple[str, ...], behind: str) -> dict[str, str]:
    return {name: f"provider {number}{behind}" for number, name in enumerate(places, 1)}


class Names:
    """What one route's providers are called before one account."""

    __slots__ = ("_called", "_everybody", "shown")

    def __init__(
        self,
        account: Account,
        places: Sequence[str],
        everybody: Sequence[str] = (),
        of: str = "",
    ) -> None:
        """Number a route's `places`; `everybody` may stand in what is told of its messages.

        `of` is put behind a number, where two routes are spoken of.
        """
        self.shown = account.operator
        self._called = _numbers(tuple(places), of)
        self._everybody = everybody

    def of(self, provider_id: str) -> str:
        """Return what a provider is called."""
        if self.shown or not provider_id:
            return provider_id
        return self._called.get(provider_id, ANOTHER)

    def phrase(self, provider_id: str) -> str:
        """Return how a sentence speaks of a provider."""
        return f"provider {provider_id}" if self.shown else self.of(provider_id)

    def trace(self, trace: Trace) -> Trace:
        """Return a message with its providers called so, and without what they cost."""
        if self.shown:
            return trace
        message = msgspec.structs.replace(
            trace.message, provider_id=self.of(trace.message.provider_id)
        )
        selection = None if trace.selection is None else self._selection(trace.selection)
        return msgspec.structs.replace(trace, message=message, selection=selection)

    def events(self, events: Sequence[TimelineEvent]) -> list[TimelineEvent]:
        """Return a message's events with its providers called so."""
        return list(events) if self.shown else [self._event(each) for each in events]

    def forecast(self, found: Forecast | None) -> Forecast | None:
        """Return a forecast with its providers called so."""
        if self.shown or found is None:
            return found
        return msgspec.structs.replace(
            found,
            cell=tuple(self._cell(found.cell)),
            filtered_by=self._whose(found.filtered_by),
        )

    def alarm(self, trouble: Trouble) -> str:
        """Return what an alarm says: all of it to operators, else what anybody may read."""
        return trouble.words if self.shown else self._whose(trouble.public_words) or ""

    def sentences(self, found: Sequence[Sentence]) -> list[Sentence]:
        """Return sentences that begin as sentences do, whatever a provider is called."""
        if self.shown:
            return list(found)
        return [
            msgspec.structs.replace(each, text=_BEGINNING.sub(_capital, each.text))
            for each in found
        ]

    def _known(self, name: Any) -> Any:
        """Return another name for a provider's; anything else may stand there, too."""
        known = name in self._called or name in self._everybody
        return self.of(name) if known else name

    def _whose(self, words: str | None) -> str | None:
        """Return whose messages are kept from their people, in words that name no provider."""
        if words is None:
            return None
        return in_words(words, self._called, ANOTHER)

    def _cell(self, cell: Sequence[Any]) -> list[Any]:
        return [
            self._known(each) if place == _MODEL_PROVIDER else each
            for place, each in enumerate(cell)
        ]

    def _event(self, event: TimelineEvent) -> TimelineEvent:
        kind, _, name = event.actor.partition(":")
        theirs = name and kind in _OF_PROVIDERS
        body = dict(event.body)
        for place in _WHERE_NAMED:
            if body.get(place):
                body[place] = self.of(str(body[place]))
        if "to" in body:
            body["to"] = self._known(body["to"])
        model = body.get("model")
        if isinstance(model, dict):
            body["model"] = {
                **model,
                "cell": self._cell(model.get("cell") or ()),
                "filtered_by": self._whose(model.get("filtered_by")),
            }
        return msgspec.structs.replace(
            event, actor=f"{kind}:{self.of(name)}" if theirs else event.actor, body=body
        )

    def _selection(self, record: Record) -> Record:
        """Rename a record's providers, for a sentence; it can't be asked again."""
        asked, chosen = record.question, record.selection
        return msgspec.structs.replace(
            record,
            question=msgspec.structs.replace(
                asked,
                candidates=tuple(
                    msgspec.structs.replace(each, provider=self.of(each.provider), cost=0)
                    for each in asked.candidates
                ),
                incumbent=None,
            ),
            selection=msgspec.structs.replace(
                chosen,
                providers=tuple(self.of(each) for each in chosen.providers),
                considered=tuple(
                    msgspec.structs.replace(each, provider_id=self.of(each.provider_id))
                    for each in chosen.considered
                ),
            ),
        )


class Told(NamedTuple):
    """A message as its account may read it."""

    trace: Trace
    events: list[TimelineEvent]
    forecast: Forecast | None


def names_on(account: Account, catalogue: Catalogue, route_id: int, *, of: str = "") -> Names:
    """Return what a route's providers are called before an account."""
    route = catalogue.routes.get(route_id)
    places = route.providers if route is not None else ()
    gone = (each.provider_id for each in catalogue.removed if isinstance(each, Provider))
    return Names(account, places, (*catalogue.providers, *gone), of)


def in_words(text: str, called: Mapping[str, str], otherwise: str) -> str:
    """Return a text that says `provider` before names alone with each called otherwise.

    `otherwise` is what one is called that nobody knows any more.
    """
    return _NAMED.sub(lambda found: called.get(found[1], otherwise), text)


def _capital(found: re.Match[str]) -> str:
    text = found[0]
    return text[:1].upper() + text[1:]
