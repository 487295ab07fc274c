"""How a carrier world behaves: providers, carriers and the shares to expect, from TOML.

A scenario is read once, checked field by field, and never changes. Every duration is in
seconds of the world's own time, which `speed` quickens. A provider is found by the
system_id that binds; one that isn't named behaves as `default`, and the named ones state
only what differs from it. A carrier is chosen by number: by its longest prefix, then by
shares, so a number always belongs to the same carrier.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from arrivals.world.draws import Draws
from arrivals.world.filters import Trait

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

DEFAULT_PROVIDER: Final = "default"
PASSWORD: Final = "world"  # noqa: S105 - of a sandbox; every example states it

_MONTH_S: Final = 30 * 86_400  # longer than any carrier keeps a message
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=_MONTH_S)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=_MONTH_S)]
Sigma = Annotated[float, msgspec.Meta(ge=0, le=5)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Weight = Annotated[float, msgspec.Meta(gt=0)]

IdForm = Literal[
    "decimal",
    "hex",
    "capital_hex_then_hex",
    "hex_then_decimal",
    "decimal_then_hex",
    "padded_decimal",
]
FilterMode = Literal["reported", "silent", "fake"]
OverRate = Literal["throttle", "queue", "silent_queue"]


class ScenarioError(ValueError):
    """A scenario that can't be read or doesn't make sense; says where."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a scenario file."""


class Delay(_Part, frozen=True):
    """A lognormal duration; without a sigma it's always the median."""

    median_s: Seconds = 0.0
    sigma: Sigma = 0.0

    def draw(self, chance: Draws, purpose: bytes) -> float:
        """Draw one."""
        return chance.lognormal(self.median_s, self.sigma, purpose)


class LongTail(_Part, frozen=True):
    """A share of messages that wait for a Weibull-distributed time."""

    share: Share = 0.0
    scale_s: Seconds = 0.0
    shape: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 1.0

    def draw(self, chance: Draws, purpose: bytes) -> float:
        """Draw how long it lasts."""
        return chance.weibull(self.scale_s, self.shape, purpose)


class Brownout(_Part, frozen=True):
    """Stretches of time in which a provider is slow and errs."""

    share: Share = 0.0  # of all time
    length_s: PositiveSeconds = 180.0
    errors: Share = 0.0  # answered ESME_RSYSERR meanwhile
    slowness: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 1.0  # times the answer's delay


class Rate(_Part, frozen=True):
    """How many PDUs a provider takes, and what it does with more."""

    per_s: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 0.0  # 0: no limit
    burst_s: PositiveSeconds = 1.0
    over: OverRate = "throttle"
    queue_max_s: Seconds = 60.0  # what would wait longer is answered ESME_RMSGQFUL


class Receipts(_Part, frozen=True):
    """How a provider reports."""

    coverage: Share = 1.0  # the rest never get one
    delay: Delay = Delay()
    late: Share = 0.0
    late_delay: Delay = Delay()
    duplicated: Share = 0.0
    reordered: Share = 0.0  # an intermediate one after the final one
    contradicted: Share = 0.0  # the opposite first
    before_answer: Share = 0.0
    per: Literal["segment", "message"] = "segment"
    echo_reference: bool = True  # user_message_reference comes back
    tlvs: bool = True  # receipted_message_id and message_state beside the text
    any_bind: bool = False  # in turn to every bind, not to the one that submitted
    window: Count = 10


class Provider(_Part, frozen=True):
    """How one provider takes messages."""

    password: str | None = PASSWORD  # none: any will do
    window: Count = 100  # unanswered submits a bind may have
    answer: Delay = Delay()
    errors: Share = 0.0  # ESME_RSYSERR, not taken
    refusals: Share = 0.0  # ESME_RINVDSTADR, not taken
    lost_answers: Share = 0.0  # taken, and never answered
    lost_answers_dropped: Share = 0.0  # of those, never sent on either
    fabricates: Share = 0.0  # dropped, and a DELIVRD made up
    fabricated_delay: Delay = Delay(median_s=3.0, sigma=0.15)
    rate: Rate = Rate()
    brownout: Brownout = Brownout()
    queue: Delay = Delay()  # from the provider to the carrier
    id_form: IdForm = "decimal"  # of message ids, in answers and receipts
    receipts: Receipts = Receipts()
    expires_after_s: PositiveSeconds = 259_200.0  # 72 h, as most carriers keep a message


class Failures(_Part, frozen=True):
    """Messages that no waiting helps."""

    share: Share = 0.0
    # err codes by weight; 002 is an unknown subscriber
    errors: dict[str, Weight] = msgspec.field(default_factory=lambda: {"002": 1.0})


class Filter(_Part, frozen=True):
    """What a carrier keeps from its subscribers, and what it says about that."""

    base: Share = 0.0  # of any text
    rules: dict[Trait, Annotated[float, msgspec.Meta(ge=-1, le=1)]] = {}  # added for a trait
    # reported, silent or fake, by weight
    modes: dict[FilterMode, Weight] = msgspec.field(default_factory=lambda: {"reported": 1.0})


class Carrier(_Part, frozen=True):
    """The mobile network at the end."""

    name: str
    share: Annotated[float, msgspec.Meta(gt=0)] = 1.0  # among carriers of the same prefix
    prefix: str = ""  # of the numbers it serves
    radio: Delay = Delay()  # to a handset that is on
    busy: LongTail = LongTail()
    off: LongTail = LongTail()
    failures: Failures = Failures()
    filter: Filter = Filter()


class Expect(_Part, frozen=True):
    """Shares of a large number of plain texts sent through one provider over a day."""

    truth: dict[str, Share]  # by ending
    reported: dict[str, Share]  # by what the first final word says
    tolerance: Share = 0.01

    def __post_init__(self) -> None:
        """Refuse shares that don't make a whole."""
        for shares in (self.truth, self.reported):
            if abs(sum(shares.values()) - 1) > 0.001:
                raise ValueError("expected shares sum to 1")


class Scenario(_Part, frozen=True):
    """One named world."""

    name: str
    about: str  # what it shows, in a sentence or two
    providers: dict[str, Provider]
    carriers: Annotated[tuple[Carrier, ...], msgspec.Meta(min_length=1)]
    expect: dict[str, Expect]  # by system_id

    def __post_init__(self) -> None:
        """Refuse a world without a default or with unserved numbers."""
        if DEFAULT_PROVIDER not in self.providers:
            raise ValueError("[providers.default] is missing")
        if not any(carrier.prefix == "" for carrier in self.carriers):
            raise ValueError('one carrier must serve the rest: prefix = ""')

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
        providers = document.get("providers")
        if isinstance(providers, dict) and isinstance(providers.get(DEFAULT_PROVIDER), dict):
            default = providers[DEFAULT_PROVIDER]
            document["providers"] = {
                name: _laid_over(default, own) for name, own in providers.items()
            }
        return msgspec.convert(document, Scenario)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ScenarioError(str(error)) from None


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
