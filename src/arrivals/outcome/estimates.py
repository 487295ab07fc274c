"""Say what share of a provider's messages arrives, with bounds, to choose providers by.

A message belongs to one carrier, and most cells of a provider on a carrier have few anchors.
Who chooses a provider for an order wants less: one number for a country and a kind of sender.
So the provider's cells there are taken together: their receipts as one curve, their anchors as
one comparison with the peers, in which every account is still compared with itself.

The share is how often each word is heard times how often it is true. Receipts of the last hour
count most, so that an outage shows; whether receipts are true is a matter of weeks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from arrivals.core.selection import ANCHORS_MIN, Z_90, Estimate
from arrivals.outcome.anchors import (
    ANCHORS_MIN as COMPARED_MIN,
)
from arrivals.outcome.anchors import (
    NEGATIVE_QUALITY,
    NEGATIVE_QUALITY_MAX,
    PEERS_QUALITY,
    SILENCE_QUALITY,
    Book,
    Compared,
    Said,
)
from arrivals.outcome.cells import HORIZON_S, Cell, Exposure, Pace
from arrivals.outcome.curves import STRENGTH, Curve, shrunk
from arrivals.outcome.hierarchy import REFRESH_US, STRENGTH_OF_WEEK, Key, Tree
from arrivals.outcome.trust import UNANCHORED_MAX

ESTIMATES_MAX: Final = 10_000  # kept between two refreshes
_SHARE_DIGITS: Final = 4  # more mean nothing, and it's kept with every order
_ROUTE: Final = 3  # the length of the key of a provider on a carrier


class Estimates:
    """What is known of providers, kept for some seconds: it is asked for with every order."""

    def __init__(self, tree: Tree) -> None:
        """Read the curves of this tree."""
        self._tree = tree
        self._keys: dict[tuple[str, str], list[Key]] = {}
        self._listed_us: int | None = None
        self._kept: dict[tuple[str, str], tuple[int, Estimate]] = {}

    def of(self, book: Book, destination: str, provider: str, now_us: int) -> Estimate:
        """Return what is known of a provider's messages to a country and kind of sender."""
        place = (destination, provider)
        kept = self._kept.get(place)
        if kept is not None and 0 <= now_us - kept[0] < REFRESH_US:
            return kept[1]
        keys = self._routes(now_us).get(place, [])
        found = self._estimate(book, keys, now_us) if keys else Estimate()
        if len(self._kept) >= ESTIMATES_MAX:
            self._kept.clear()
        self._kept[place] = (now_us, found)
        return found

    def destinations(self, provider: str, now_us: int) -> list[str]:
        """Return to where a provider was used, by country and kind of sender."""
        return sorted(to for to, name in self._routes(now_us) if name == provider)

    def _routes(self, now_us: int) -> dict[tuple[str, str], list[Key]]:
        """Return the cells of each provider, listed anew every few seconds."""
        if self._listed_us is None or not 0 <= now_us - self._listed_us < REFRESH_US:
            self._listed_us = now_us
            found: dict[tuple[str, str], list[Key]] = defaultdict(list)
            for key, _ in self._tree.cells():
                if len(key) == _ROUTE:
                    found[key[0], key[-1]].append(key)
            self._keys = dict(found)
        return self._keys

    def _estimate(self, book: Book, keys: Sequence[Key], now_us: int) -> Estimate:
        cells = [cell for key in keys if (cell := self._tree.cell(key)) is not None]
        curve, handoffs = _curve(cells, self._tree.curve_of(keys[0][:1], now_us), now_us)
        compared = {said: book.compare(keys, said, now_us) for said in Said}
        return estimate(curve, handoffs, compared)


def _curve(cells: Sequence[Cell], around: Curve, now_us: int) -> tuple[Curve, float]:
    """Draw cells as one curve, of the last hour as far as it says something."""
    week, hour = (
        _together(cell.exposure(pace, now_us) for cell in cells)
        for pace in (Pace.WEEK, Pace.HOUR)
    )
    long = shrunk(week, around, STRENGTH)
    return shrunk(hour, long, STRENGTH_OF_WEEK), long.weight


def _together(parts: Iterable[Exposure]) -> Exposure:
    found = list(parts)
    return Exposure(
        positive=_sums(each.positive for each in found),
        negative=_sums(each.negative for each in found),
        at_risk=_sums(each.at_risk for each in found),
    )


def _sums(rows: Iterable[Sequence[float]]) -> list[float]:
    return [math.fsum(column) for column in zip(*rows, strict=True)]


class _Truth(NamedTuple):
    """How often a word is true, and what that rests on."""

    p: float
    low: float
    high: float
    anchored: bool
    matters: bool = True  # whether a number may not be given without an anchor


def estimate(curve: Curve, handoffs: float, compared: dict[Said, Compared]) -> Estimate:
    """Return the share that arrives, from how often words are heard and how often they hold."""
    silent, positive, negative = curve.at(HORIZON_S)
    words = (
        (positive, _truth(compared[Said.POSITIVE], PEERS_QUALITY)),
        (silent, _truth(compared[Said.SILENT], SILENCE_QUALITY)),
        (negative, _negative(compared[Said.NEGATIVE])),
    )
    p = math.fsum(share * word.p for share, word in words)
    # Doubts of anchored words are independent, and so is that of how often they are heard;
    # what nobody vouches for may be wrong all at once.
    heard = Z_90**2 * p * (1.0 - p) / (curve.weight + STRENGTH_OF_WEEK)
    low, high = (
        math.sqrt(heard + math.fsum((share * off) ** 2 for share, off, sure in offs if sure))
        + math.fsum(share * off for share, off, sure in offs if not sure)
        for offs in (
            [(share, word.p - word.low, word.anchored) for share, word in words],
            [(share, word.high - word.p, word.anchored) for share, word in words],
        )
    )
    anchors = math.fsum(each.full for each in compared.values())
    blind = math.fsum(share for share, word in words if word.matters and not word.anchored)
    known = anchors >= ANCHORS_MIN and blind <= UNANCHORED_MAX
    p90_s = curve.eta_s(0.0, 0.9)
    return Estimate(
        delivered=round(p, _SHARE_DIGITS) if known else None,
        low=round(max(p - low, 0.0), _SHARE_DIGITS),
        high=round(min(p + high, 1.0), _SHARE_DIGITS),
        anchors=round(anchors, 1),
        confirmed=round(math.fsum(each.seen for each in compared.values()), 1),
        handoffs=round(handoffs, 1),
        p90_s=None if p90_s is None else round(p90_s, 1),
    )


def _truth(found: Compared, start: float) -> _Truth:
    """Return how often a positive receipt or a silence is followed by an arrival."""
    ratio = found.ratio
    if ratio is None or found.full < COMPARED_MIN:
        return _Truth(start, 0.0, 1.0, anchored=False)
    factor = math.exp(Z_90 * ratio.se_log)
    p, low, high = (
        PEERS_QUALITY * min(each, 1.0)  # no word is truer than the peers' receipts
        for each in (ratio.rr, ratio.rr / factor, ratio.rr * factor)
    )
    return _Truth(p, low, high, anchored=True)


def _negative(found: Compared) -> _Truth:
    """Return how often a negative receipt is wrong; where nobody says, it is assumed."""
    if found.ratio is not None and found.full >= COMPARED_MIN:
        return _truth(found, NEGATIVE_QUALITY)
    return _Truth(NEGATIVE_QUALITY, 0.0, NEGATIVE_QUALITY_MAX, anchored=False, matters=False)
