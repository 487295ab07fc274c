"""Who sends, who receives and what they do, as a scenario file states it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from arrivals.world.tables import Delay, Part, Seconds, Share

SenderKind = Literal["alpha", "short_code", "long_code", "toll_free"]
ActKind = Literal[
    "converted",  # the code was typed in
    "asked_again",  # nothing came, so they asked for another code
    "clicked",  # by a person
    "scanned",  # by a machine on the way, seconds after the message passed
    "replied",
    "stopped",  # replied STOP
    "probed",  # one of our own phones, which tells what it gets
]

SHORT_CODE_DIGITS_MAX: Final = 6
VARIABLE: Final = "{#}"  # in a template: a few characters that may be anything
VARIABLE_CHARACTERS_MAX: Final = 30


class Sender(Part, frozen=True):
    """One sender that somebody registered."""

    kind: SenderKind | None = None  # none: by how it looks
    brand: str = ""  # whose it is, for caps; without one it's a brand of its own
    registered: bool = True
    templates: tuple[str, ...] = ()  # with {#} for what varies
    conversion: Share | None = None  # of its codes, in place of what is usual


class Users(Part, frozen=True):
    """What people do with what they get, or don't get."""

    conversion: Share = 0.0  # of codes that reached a handset
    converts: Delay = Delay(median_s=20.0, sigma=0.7)  # after it's there
    asks_again: Share = 0.0  # of those whose code isn't there in time
    asks_after_s: Seconds = 45.0
    clicks: Share = 0.0  # of links that reached a handset
    click: Delay = Delay(median_s=120.0, sigma=1.2)
    scans: Share = 0.0  # of links that reached a carrier, filtered or not
    scan: Delay = Delay(median_s=1.7, sigma=0.25)
    replies: Share = 0.0  # of texts from a sender that can be replied to
    stops: Share = 0.0  # of those
    reply: Delay = Delay(median_s=90.0, sigma=1.0)


class Numbers(Part, frozen=True):
    """Numbers about which more is known."""

    probes: frozenset[str] = frozenset()  # phones of ours, always on
    dead: frozenset[str] = frozenset()  # nobody has them


def kind_of(source: str) -> SenderKind:
    """Return what a sender looks like; a toll-free number doesn't look it."""
    if not source.isdigit():
        return "alpha"
    return "short_code" if len(source) <= SHORT_CODE_DIGITS_MAX else "long_code"


def matches(text: str, templates: tuple[str, ...]) -> bool:
    """Tell whether a text is one of the registered ones, to the letter."""
    return any(_pattern(template).fullmatch(text) for template in templates)


@lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    fixed = (re.escape(piece) for piece in template.split(VARIABLE))
    return re.compile(f".{{1,{VARIABLE_CHARACTERS_MAX}}}".join(fixed), re.DOTALL)
