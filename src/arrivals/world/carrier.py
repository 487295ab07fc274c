"""How a mobile network treats messages, as a scenario file states it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from arrivals.world.filters import Trait
from arrivals.world.people import SenderKind
from arrivals.world.provider import Depth
from arrivals.world.tables import (
    MONTH_S,
    Bursts,
    Delay,
    Hour,
    LongTail,
    Night,
    Part,
    PositiveSeconds,
    Seconds,
    Share,
    Weight,
)

FilterMode = Literal["reported", "silent", "fake"]
# Why a carrier keeps a message.
Cause = Literal["content", "sender", "template", "duplicate", "velocity", "cap"]
SenderRule = Literal["ok", "registered_only", "replaced", "blocked"]


class Failures(Part, frozen=True):
    """Messages that no waiting helps."""

    share: Share = 0.0
    # err codes by weight; 002 is an unknown subscriber
    errors: dict[str, Weight] = msgspec.field(default_factory=lambda: {"002": 1.0})
    by_number: bool = False  # the same numbers every time, not a share of messages


class Flood(Part, frozen=True):
    """One text from one sender, over and over: more suspicious than each for itself."""

    per_minute: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0  # 0: nobody counts
    adds: Share = 0.0


class Filter(Part, frozen=True):
    """What a carrier keeps from its subscribers, and what it says about that."""

    base: Share = 0.0  # of any text
    rules: dict[Trait, Annotated[float, msgspec.Meta(ge=-1, le=1)]] = msgspec.field(
        default_factory=dict
    )  # added for a trait
    flood: Flood = Flood()
    # reported, silent or fake, by weight
    modes: dict[FilterMode, Weight] = msgspec.field(default_factory=lambda: {"reported": 1.0})


class Duplicates(Part, frozen=True):
    """The same text to the same number again, too soon."""

    within_s: Seconds = 0.0  # 0: nobody looks
    dropped: Share = 1.0


class Velocity(Part, frozen=True):
    """A sender that is too fast is taken for a spammer for a while."""

    per_s: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 0.0  # 0: no limit
    burst_s: PositiveSeconds = 1.0
    blocks_s: PositiveSeconds = 600.0
    kinds: tuple[SenderKind, ...] = ("long_code",)


class Cap(Part, frozen=True):
    """So many segments a day, until midnight."""

    daily: Annotated[int, msgspec.Meta(ge=0)] = 0  # 0: no cap
    per: Literal["brand", "sender"] = "brand"
    resets_h: Hour = 0.0  # when the carrier's day begins, by the world's clock


class CarrierReceipts(Part, frozen=True):
    """What a carrier tells providers."""

    depth: Depth = "handset"
    coverage: Share = 1.0
    word: Literal["DELIVRD", "ACCEPTD"] = "DELIVRD"  # for "we have it", at depth `carrier`


class Carrier(Part, frozen=True):
    """The mobile network at the end."""

    name: str
    share: Annotated[float, msgspec.Meta(gt=0)] = 1.0  # among carriers of the same prefix
    prefix: str = ""  # of the numbers it serves
    radio: Delay = Delay()  # to a handset that is on
    busy: LongTail = LongTail()
    off: LongTail = LongTail()
    night: Night = Night()
    retries_s: tuple[PositiveSeconds, ...] = ()  # pauses between tries; none: it's told at once
    bursts: Bursts = Bursts()  # errors fail for good, whoever the provider is
    failures: Failures = Failures()
    filter: Filter = Filter()
    senders: dict[SenderKind, SenderRule] = msgspec.field(
        default_factory=dict
    )  # ok where nothing is said
    replacement: str = "38124"  # the sender that a replaced one is shown as
    scrubs: bool = False  # a text must match one of its sender's templates
    duplicates: Duplicates = Duplicates()
    velocity: Velocity = Velocity()
    cap: Cap = Cap()
    says: dict[Cause, FilterMode] = msgspec.field(
        default_factory=dict
    )  # in place of what is usual for a cause
    receipts: CarrierReceipts = CarrierReceipts()
    keeps_s: PositiveSeconds = MONTH_S  # beside what provider and sender allow

    @property
    def remembers(self) -> bool:
        """Whether what came before matters to a message."""
        return bool(
            self.duplicates.within_s
            or self.velocity.per_s
            or self.cap.daily
            or self.filter.flood.per_minute
        )
