"""What is sent into a scenario, by whom and when: streams from the file, sends from a seed.

Whoever plays a scenario sends what `sends` yields, at its times or as fast as it likes. A
send's number and text come from its stream's name and its place in it, so that a longer
stream begins with the same ones and another stream beside it changes nothing.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from arrivals.world.draws import Draws
from arrivals.world.tables import MONTH_S, Part, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CODE_DIGITS: Final = 6
COUNT_MAX: Final = 1_000_000
COPIES_MAX: Final = 10
# Ends in 9, so it shares no factor with a power of ten: numbers look random and differ.
_SCATTER: Final = 61_803_399


class Traffic(Part, frozen=True, kw_only=True):
    """One stream of messages."""

    name: str
    about: str = ""
    account: str = "main"  # of those that `arrivals dev` has
    funds_for: Annotated[int, msgspec.Meta(ge=1)] | None = None  # messages the account can pay
    route: int = 3
    provider: str = "north"  # where the route leads while nothing is wrong
    sender: str = "ARRIVALS"
    text: str  # {code} is a code, {n} the message's place in the stream
    numbers: str | tuple[str, ...] = "4477########"  # # is any digit; or a list, in turn
    pool: Annotated[int, msgspec.Meta(ge=1)] | None = None  # numbers, then the first again
    count: Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)] = 2_000
    from_s: Seconds = 0.0
    over_s: Annotated[float, msgspec.Meta(ge=0, le=MONTH_S)] = 86_400.0  # 0: all at once
    copies: Annotated[int, msgspec.Meta(ge=1, le=COPIES_MAX)] = 1  # of each: text and number
    gap_s: Seconds = 0.0  # between copies
    valid_for_s: Annotated[int, msgspec.Meta(ge=1)] | None = None  # none: the route's


class Disturbance(Part, frozen=True):
    """Something done to the platform, not to the world, while a scenario is played."""

    at_s: Seconds
    kind: Literal["kill", "restart"]  # at once, or in order
    lasts_s: Seconds = 0.0  # until it's started again


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One message to send."""

    stream: Traffic
    at_s: float
    nth: int  # in its stream, from 0; the same for all copies
    copy: int  # from 0
    number: str
    text: str


def sends(traffic: Sequence[Traffic], seed: int) -> Iterator[Send]:
    """Yield everything that is sent, in the order of time."""
    streams = [
        _copies(stream, copy, seed) for stream in traffic for copy in range(stream.copies)
    ]
    return heapq.merge(*streams, key=lambda send: send.at_s)


def _copies(stream: Traffic, copy: int, seed: int) -> Iterator[Send]:
    name = stream.name.encode()
    first = int(Draws(seed, name).u(b"first number") * 10**12)
    slot_s = stream.over_s / stream.count
    for nth in range(stream.count):
        chance = Draws(seed, b"%b/%d" % (name, nth))
        into = chance.u(b"when") if slot_s else 0.0
        yield Send(
            stream=stream,
            at_s=stream.from_s + (nth + into) * slot_s + copy * stream.gap_s,
            nth=nth,
            copy=copy,
            number=_number(stream, nth, first),
            text=_text(stream.text, nth, chance),
        )


def _number(stream: Traffic, nth: int, first: int) -> str:
    place = nth % stream.pool if stream.pool else nth
    if not isinstance(stream.numbers, str):
        return stream.numbers[place % len(stream.numbers)]
    free = stream.numbers.count("#")
    if not free:
        return stream.numbers
    digits = f"{(first + place * _SCATTER) % 10**free:0{free}d}"
    return stream.numbers.replace("#" * free, digits)


def _text(text: str, nth: int, chance: Draws) -> str:
    if "{code}" in text:
        lowest = 10 ** (CODE_DIGITS - 1)
        code = lowest + int(chance.u(b"code") * 9 * lowest)
        text = text.replace("{code}", str(code))
    return text.replace("{n}", str(nth))
