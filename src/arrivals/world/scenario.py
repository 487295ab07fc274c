"""A carrier world in full, from TOML: who is in it, what changes when, what must come of it.

A scenario is read once, checked field by field, and never changes. A provider is found by
the system_id that binds; one that isn't named behaves as `default`, and the named ones state
only what differs from it. A carrier is chosen by number: by its longest prefix, then by
shares, so a number always belongs to the same carrier.

What changes over time stands in the timeline, and makes eras: whole scenarios, each from a
moment on. Who asks how things are says when: `scenario.at(at_s)`.
"""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_right
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from arrivals.tables import Problem, read_table
from arrivals.world.carrier import Carrier
from arrivals.world.draws import Draws
from arrivals.world.expect import Expect, Shows
from arrivals.world.people import Numbers, Sender, Users, kind_of
from arrivals.world.provider import Provider
from arrivals.world.tables import Hour, Part, PositiveSeconds, Seconds
from arrivals.world.traffic import Disturbance, Traffic

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from arrivals.world.people import SenderKind

DEFAULT_PROVIDER: Final = "default"
CHANGES_MAX: Final = 200  # of a timeline

_NOBODY: Final = Users()
_UNREGISTERED: Final = Sender(registered=False)


class ScenarioError(ValueError):
    """A scenario that can't be read or doesn't make sense; says where."""


class Change(Part, frozen=True):
    """What is different from a moment on, or from one to another; later lines win."""

    about: str
    from_s: Seconds
    until_s: PositiveSeconds | None = None
    providers: dict[str, dict[str, Any]] = msgspec.field(
        default_factory=dict
    )  # `default` counts for all that state nothing
    carriers: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    users: dict[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse to end before the beginning."""
        if self.until_s is not None and self.until_s <= self.from_s:
            raise ValueError("until_s is after from_s")

    def holds(self, at_s: float) -> bool:
        """Tell whether it's so at a moment."""
        return self.from_s <= at_s < (math.inf if self.until_s is None else self.until_s)


class Era(Part, frozen=True):
    """How things are from a moment on."""

    from_s: float
    scenario: Scenario


class Scenario(Part, frozen=True, kw_only=True):
    """One named world."""

    name: str
    about: str  # what it shows, in a sentence or two
    seed: int = 1  # the one to play it with
    begins_h: Hour = 0.0  # the hour of the day at which the world's time begins
    providers: dict[str, Provider]
    carriers: Annotated[tuple[Carrier, ...], msgspec.Meta(min_length=1)]
    senders: dict[str, Sender] = msgspec.field(default_factory=dict)
    users: Users = _NOBODY
    numbers: Numbers = Numbers()
    timeline: Annotated[tuple[Change, ...], msgspec.Meta(max_length=CHANGES_MAX)] = ()
    traffic: tuple[Traffic, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    expect: dict[str, Expect] = msgspec.field(default_factory=dict)  # by stream
    shows: Shows = Shows()
    enough: Annotated[int, msgspec.Meta(ge=1)] = 1_000  # messages of a stream, to show it
    eras: tuple[Era, ...] = ()  # follow from the timeline; no file states them

    def __post_init__(self) -> None:
        """Refuse a world without a default, with unserved numbers, or that changes nobody."""
        if DEFAULT_PROVIDER not in self.providers:
            raise ValueError("[providers.default] is missing")
        if not any(carrier.prefix == "" for carrier in self.carriers):
            raise ValueError('one carrier must serve the rest: prefix = ""')
        names = {carrier.name for carrier in self.carriers}
        for change in self.timeline:
            strangers = (change.providers.keys() - self.providers) | (
                change.carriers.keys() - names
            )
            if strangers:
                raise ValueError(f"the timeline changes {min(strangers)!r}, which isn't there")

    @property
    def peopled(self) -> bool:
        """Whether anybody does anything about what they get."""
        return self.users is not _NOBODY or bool(self.senders or self.numbers.probes)

    def at(self, at_s: float) -> Scenario:
        """Return how things are at a moment of the world's time."""
        if not self.eras:
            return self
        place = bisect_right(self.eras, at_s, key=lambda era: era.from_s)
        return self.eras[max(0, place - 1)].scenario

    def next_change_s(self, at_s: float) -> float | None:
        """Return when something changes after a moment."""
        return next((era.from_s for era in self.eras if era.from_s > at_s), None)

    def provider(self, system_id: str) -> Provider:
        """Return the behaviour towards a system_id."""
        found = self.providers.get(system_id)
        return self.providers[DEFAULT_PROVIDER] if found is None else found

    def carrier(self, destination: str, seed: int) -> Carrier:
        """Return the carrier of a number."""
        if len(self.carriers) == 1:
            return self.carriers[0]
        longest = max(len(c.prefix) for c in self.carriers if destination.startswith(c.prefix))
        serving = {
            carrier.name: carrier
            for carrier in self.carriers
            if len(carrier.prefix) == longest and destination.startswith(carrier.prefix)
        }
        shares = {name: carrier.share for name, carrier in serving.items()}
        return serving[Draws(seed, destination.encode()).pick(shares, b"carrier")]

    def sender(self, source: str) -> Sender:
        """Return what is registered about a sender, if anything."""
        return self.senders.get(source, _UNREGISTERED)

    def kind_of(self, source: str) -> SenderKind:
        """Return what kind of sender this is: as registered, or as it looks."""
        return self.sender(source).kind or kind_of(source)


def scenario_names() -> tuple[str, ...]:
    """Return the names of the scenarios that come with the package."""
    return tuple(sorted(path.name.removesuffix(".toml") for path in _shipped()))


def load_scenario(name: str) -> Scenario:
    """Return a shipped scenario by its name, or one's own by its path (ending in .toml)."""
    if name.endswith(".toml"):
        path = Path(name)
        try:
            return parse_scenario(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"{name}: {error}") from None
        except ScenarioError as error:
            raise ScenarioError(f"{name}: {error}") from None
    for shipped in _shipped():
        if shipped.name == f"{name}.toml":
            return parse_scenario(shipped.read_text("utf-8"))
    raise ScenarioError(
        f"no scenario is called {name!r}: take {', '.join(scenario_names())}, or a .toml file"
    )


def parse_scenario(text: str) -> Scenario:
    """Return the scenario that a TOML text describes, or raise ScenarioError."""
    try:
        document = tomllib.loads(text)
        if "eras" in document:
            raise ScenarioError("eras follow from the timeline; state that")
        scenario = msgspec.convert(_with_defaults(document), Scenario)
        return msgspec.structs.replace(scenario, eras=tuple(_eras(document, scenario)))
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"this isn't TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ScenarioError(_what_is_wrong(document, error)) from None


def _what_is_wrong(document: dict[str, Any], error: msgspec.ValidationError) -> str:
    """Return in an editor's words what is wrong, each with its key, or what a table says of it.

    Tables that go by names are read one by one, so that the one that is wrong is named.
    """
    if isinstance(error.__cause__, ValueError):  # a table's own word
        words, _, path = str(error).rstrip("`").partition(" - at `$.")
        return f"{path}: {words}" if path else words
    problems: list[Problem] = []
    for name, kind in _BY_NAME.items():
        tables = document.get(name)
        for each, table in tables.items() if isinstance(tables, dict) else ():
            read_table(table, f"{name}.{each}", kind, problems)
    if not problems:
        read_table(document, "scenario", Scenario, problems)
    return "; ".join(str(each).removeprefix("scenario.") for each in problems) or str(error)


_BY_NAME: Final[dict[str, type[Part]]] = {
    "providers": Provider,
    "senders": Sender,
    "expect": Expect,
}


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """Let named providers take from the default what they don't state."""
    providers = document.get("providers")
    if not isinstance(providers, dict) or not isinstance(providers.get(DEFAULT_PROVIDER), dict):
        return document
    default = providers[DEFAULT_PROVIDER]
    named = {name: _laid_over(default, own) for name, own in providers.items()}
    return document | {"providers": named}


def _eras(document: dict[str, Any], scenario: Scenario) -> list[Era]:
    """Return the world as the timeline has it, from each of its moments on."""
    timeline = scenario.timeline
    if not timeline:
        return []
    moments = {0.0} | {c.from_s for c in timeline} | {c.until_s for c in timeline if c.until_s}
    still = {name: part for name, part in document.items() if name != "timeline"}
    eras = []
    for moment in sorted(moments):
        then = still
        for change in timeline:
            if change.holds(moment):
                then = _changed(then, change)
        try:
            now = msgspec.convert(_with_defaults(then), Scenario)
        except msgspec.ValidationError as error:
            words = _what_is_wrong(then, error)
            raise ScenarioError(f"the timeline from second {moment:g}: {words}") from None
        eras.append(Era(from_s=moment, scenario=now))
    return eras


def _changed(document: dict[str, Any], change: Change) -> dict[str, Any]:
    carriers = [
        _laid_over(each, change.carriers.get(each["name"], {})) for each in document["carriers"]
    ]
    return document | {
        "providers": _laid_over(document["providers"], change.providers),
        "carriers": carriers,
        "users": _laid_over(document.get("users", {}), change.users),
    }


def _laid_over(base: Any, own: Any) -> Any:
    """Return `base` with what `own` states instead, table by table."""
    if not isinstance(base, dict) or not isinstance(own, dict):
        return own
    merged = dict(base)
    for key, value in own.items():
        merged[key] = _laid_over(base[key], value) if key in base else value
    return merged


def _shipped() -> list[Traversable]:
    folder = resources.files("arrivals.world") / "scenarios"
    return [path for path in folder.iterdir() if path.name.endswith(".toml")]
