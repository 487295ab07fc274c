"""Learn how often a word of a route is true, from those who saw the message arrive.

Receipts can't tell a lost receipt from a dropped message, nor a true one from an invented one.
Anchors can: a code typed in, a reply, a click by a person, a probe that received it. Most
messages have none even when they arrive, so a count of anchors means nothing alone. It is
compared with what the same senders get where receipts are trusted: within an account, a class
of template and a country (a stratum), a message that arrived is anchored equally often,
whichever way it went. The Mantel-Haenszel sums of that comparison are the anchors observed
and those expected if the route were as good as its peers, and their ratio times the peers' own
quality is how often the word was true.

What this rests on: at least one route of a stratum must be honest. A share that all routes
take alike is invisible, and where nothing can be compared only bounds are given: at least as
many arrived as were anchored, at most all.

Accounts report on themselves, so in a cell that several share none counts for more than
30 % of what is expected (or an equal part, below four accounts). Probes are an account of
their own, asked only where customers don't say enough: a route may know their numbers.
Sums decay by the week and are sums over events, so that they merge and take any order.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from arrivals.outcome.cells import UnreadableCell
from arrivals.outcome.fading import scale, season_of, shrinkage, weight
from arrivals.outcome.hierarchy import Key, Path
from arrivals.outcome.strata import Z_99, RiskRatio, Stratum, risk_ratio
from arrivals.outcome.trust import Quality, Trust

PEERS_QUALITY: Final = 0.99  # of positive receipts where nothing speaks against a route
SILENCE_QUALITY: Final = 0.3  # of silence where nothing is known: receipts are lost, too
NEGATIVE_QUALITY: Final = 0.02  # carriers deliver late, or say no of what they delivered
NEGATIVE_QUALITY_MAX: Final = 0.1  # what that may be where nobody can be compared
# Expected anchors that the level above is worth to a cell that chance could have made of it:
# most routes are honest, and most silences alike. One that is surely different is taken by
# its own word, as far as it has one.
LIKENESS: Final = (200.0, 100.0, 50.0)  # of a positive receipt, a silence, a negative receipt
STRANGENESS: Final = 5.0
STRANGE_Z: Final = 2.576  # further off than 99 in 100 by chance
ANCHORS_MIN: Final = 5.0  # expected; with fewer nothing is claimed
ACCOUNT_SHARE_MAX: Final = 0.3  # of what a shared cell expects
TRUSTED_FROM: Final = 0.97  # a route surely below this times its peers isn't one of them
ROUNDS_MAX: Final = 4  # of finding out which peers to trust
STRATA_MAX: Final = 50_000  # about 20 MB
FORGOTTEN_SHARE: Final = 0.1  # of a full book goes at once, the lightest first
REVIEW_US: Final = 60_000_000  # how long a review of the peers is good for
TRUSTS_MAX: Final = 10_000  # paths answered between two reviews
PROBES: Final = "probes"  # the account of probe numbers

_ROUTE: Final = 3  # the level of a provider on a carrier, where receipts are true or aren't


class Said(IntEnum):
    """What a hand-off heard in the end."""

    POSITIVE = 0
    SILENT = 1  # nothing, for as long as anything was to be expected
    NEGATIVE = 2


class Source(NamedTuple):
    """Whose messages are alike in how often they are anchored when they arrive."""

    account: str
    template_class: str
    country: str


class _Sums:
    """Of one source in one cell: how many heard each word, and how many were anchored."""

    __slots__ = ("hits", "trials")

    def __init__(self) -> None:
        self.trials = [0.0] * len(Said)
        self.hits = [0.0] * len(Said)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    season: int
    rows: list[tuple[Key, Source, list[float], list[float]]]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Kept)


class Compared(NamedTuple):
    """A cell's anchors against its peers', with no account over its share."""

    observed: float
    expected: float
    se_log: float | None  # of the ratio of the two; None: too little to say
    ratio: RiskRatio | None = None
    full: float = 0.0  # anchors of its own trials at the peers' rate, were that known exactly
    seen: float = 0.0  # anchors there were, whosever and comparable or not


class Book:
    """Count anchors by cell and source, and say how often words are true."""

    def __init__(self, strata_max: int = STRATA_MAX) -> None:
        """Start with nothing known."""
        self._strata_max = strata_max
        self._sums: dict[tuple[Key, Source], _Sums] = {}
        self._sources: dict[Key, set[Source]] = {}
        self._season = 0
        self._reviewed_us: int | None = None
        # What the last review found.
        self._scale = 1.0  # what a weight counts now
        self._liars: frozenset[Key] = frozenset()
        self._peers: dict[Source, _Sums] = {}
        self._routes: dict[Key, list[Key]] = {}
        self._comparisons: dict[tuple[Key, Said], Compared] = {}
        self._trusts: dict[Path, Trust] = {}

    def __len__(self) -> int:
        """Return how many strata there are."""
        return len(self._sums)

    # --- what is told ----------------------------------------------------------------

    def told(
        self, path: Path, source: Source, said: Said, sent_us: int, count: int = 1
    ) -> None:
        """Count what a hand-off heard, whether it is anchored or not; -1 takes it back.

        Only messages that could be anchored count: of accounts that report, or to probes.
        """
        self._add(path, source, said, sent_us, count, anchored=False)

    def anchored(
        self, path: Path, source: Source, said: Said, sent_us: int, count: int = 1
    ) -> None:
        """Count a hand-off that a person or a probe received; it is also told of by `told`."""
        self._add(path, source, said, sent_us, count, anchored=True)

    def merge(self, other: Book) -> None:
        """Add what another book counted."""
        self._move_landmark(max(self._season, other._season))
        shrink = shrinkage(other._season, self._season)
        for (key, source), theirs in other._sums.items():
            ours = self._at(key, source)
            for said in Said:
                ours.trials[said] += theirs.trials[said] * shrink
                ours.hits[said] += theirs.hits[said] * shrink
        self._reviewed_us = None

    def encode(self) -> bytes:
        """Return the book as bytes."""
        rows = [
            (key, source, sums.trials, sums.hits)
            for (key, source), sums in sorted(self._sums.items())
        ]
        return _encoder.encode(_Kept(self._season, rows))

    @classmethod
    def decode(cls, kept: bytes) -> Book:
        """Return the book of encoded bytes, or raise UnreadableCell."""
        try:
            found = _decoder.decode(kept)
        except msgspec.DecodeError as error:
            raise UnreadableCell(str(error)) from error
        book = cls()
        book._season = found.season
        for key, source, trials, hits in found.rows:
            sums = book._at(key, source)
            sums.trials, sums.hits = list(trials), list(hits)
        return book

    def _add(
        self,
        path: Path,
        source: Source,
        said: Said,
        sent_us: int,
        count: int,
        *,
        anchored: bool,
    ) -> None:
        self._move_landmark(max(self._season, season_of(sent_us)))
        counts = count * weight(sent_us, self._season)
        for key in (path[:_ROUTE], path):
            sums = self._at(key, source)
            (sums.hits if anchored else sums.trials)[said] += counts

    def _move_landmark(self, season: int) -> None:
        if season == self._season:
            return
        shrink = shrinkage(self._season, season)
        for sums in self._sums.values():
            sums.trials = [value * shrink for value in sums.trials]
            sums.hits = [value * shrink for value in sums.hits]
        self._season = season

    def _at(self, key: Key, source: Source) -> _Sums:
        sums = self._sums.get((key, source))
        if sums is None:
            if len(self._sums) >= self._strata_max:
                self._forget()
            sums = self._sums[key, source] = _Sums()
            self._sources.setdefault(key, set()).add(source)
        return sums

    def _forget(self) -> None:
        lightest = sorted(self._sums, key=lambda place: sum(self._sums[place].trials))
        for key, source in lightest[: max(int(self._strata_max * FORGOTTEN_SHARE), 1)]:
            del self._sums[key, source]
            self._sources[key].discard(source)
            if not self._sources[key]:
                del self._sources[key]

    # --- what it says ----------------------------------------------------------------

    def trust(self, path: Path, now_us: int) -> Trust:
        """Return how often each word on a path is true, as known at the last review."""
        self._review_if_due(now_us)
        found = self._trusts.get(path)
        if found is None:
            if len(self._trusts) >= TRUSTS_MAX:
                self._trusts.clear()
                self._comparisons.clear()
            found = self._trusts[path] = Trust(
                positive=self._quality(path, Said.POSITIVE, PEERS_QUALITY),
                silent=self._quality(path, Said.SILENT, SILENCE_QUALITY),
                negative=self._quality(path, Said.NEGATIVE, NEGATIVE_QUALITY),
            )
        return found

    def anchored_share(self, source: Source, now_us: int) -> float | None:
        """Return how many of a source's arrivals are anchored, by trusted routes' receipts."""
        self._review_if_due(now_us)
        peers = self._peers.get(source, _Sums())
        hits, trials = peers.hits[Said.POSITIVE], peers.trials[Said.POSITIVE]
        few = hits * self._scale < ANCHORS_MIN
        return None if few else min(hits / trials / PEERS_QUALITY, 1.0)

    def against_peers(self, key: Key, now_us: int) -> RiskRatio | None:
        """Return a cell's positive receipts against trusted peers', if there are any."""
        self._review(now_us)
        return self._compared(key, Said.POSITIVE).ratio

    def compare(self, keys: Sequence[Key], said: Said, now_us: int) -> Compared:
        """Compare the cells of one provider together, each account once, with trusted peers."""
        self._review_if_due(now_us)
        return self._compare(keys, said)

    def _quality(self, path: Path, said: Said, start: float) -> Quality:
        """Walk down a path; each level starts from the one above."""
        ratio = start / PEERS_QUALITY
        anchored, level = None, None
        for depth in range(len(path) + 1):
            found = self._compared(path[:depth], said)
            strength = STRANGENESS if _is_strange(found, ratio) else LIKENESS[said]
            ratio = (found.observed + strength * ratio) / (found.expected + strength)
            if depth >= _ROUTE - 1 and found.se_log is not None:
                anchored, level = found, depth
        p = PEERS_QUALITY * min(ratio, 1.0)  # no word is truer than the peers' receipts
        if anchored is None or anchored.se_log is None:
            assumed = said is Said.NEGATIVE
            return Quality(
                p=p if assumed else None,
                low=0.0 if assumed else self._floor(path[:_ROUTE], said),
                high=NEGATIVE_QUALITY_MAX if assumed else 1.0,
                expected=0.0,
                observed=0.0,
                level=None,
                why=ASSUMED if assumed else NO_ANCHOR,
            )
        factor = math.exp(Z_99 * anchored.se_log)
        return Quality(
            p=p,
            low=p / factor,
            high=min(p * factor, 1.0),
            expected=anchored.expected,
            observed=anchored.observed,
            level=level,
            why=ANCHORED,
        )

    def _floor(self, key: Key, said: Said) -> float:
        """Return what surely arrived of a word's messages: those anchored, less their noise."""
        trials = hits = 0.0
        for _, sums in self._of(key):
            trials += sums.trials[said] * self._scale
            hits += sums.hits[said] * self._scale
        if hits <= 0.0 or trials <= 0.0:
            return 0.0
        return min(max((hits - Z_99 * math.sqrt(hits)) / trials, 0.0), 1.0)

    def _compared(self, key: Key, said: Said) -> Compared:
        """Compare a cell with its peers, once between two reviews."""
        found = self._comparisons.get((key, said))
        if found is None:
            found = self._compare([key], said) if len(key) >= _ROUTE else self._pool(key, said)
            self._comparisons[key, said] = found
        return found

    def _pool(self, key: Key, said: Said) -> Compared:
        """Add up the routes within a cell that are alike.

        A route that drops messages has many silences, and would speak for all others.
        """
        routes = [self._compared(route, said) for route in self._routes.get(key, ())]
        known = [each for each in routes if each.expected >= ANCHORS_MIN]
        if not known:
            return Compared(0.0, 0.0, None)
        middle = statistics.median(each.observed / each.expected for each in known)
        alike = [each for each in known if not _is_strange(each, middle)]
        observed = math.fsum(each.observed for each in alike)
        expected = math.fsum(each.expected for each in alike)
        return Compared(observed, expected, 1.0 / math.sqrt(max(observed, 0.5)))

    def _compare(self, keys: Sequence[Key], said: Said) -> Compared:
        strata: dict[str, list[Stratum]] = defaultdict(list)
        seen = 0.0
        for source in sorted({each for key in keys for each in self._sources.get(key, ())}):
            own = [self._sums[key, source] for key in keys if (key, source) in self._sums]
            hits = sum(sums.hits[said] for sums in own) * self._scale
            trials = sum(sums.trials[said] for sums in own) * self._scale
            seen += max(hits, 0.0)
            peer_hits, peer_trials = PEERS_QUALITY * _CERTAIN, _CERTAIN
            if source.account != PROBES:  # what arrives at a probe is always seen
                peer_hits, peer_trials = self._rest(keys, source, said)
            if trials > 0.0 and peer_trials > 0.0 and peer_hits > 0.0:
                found = Stratum(max(hits, 0.0), trials, peer_hits, peer_trials)
                strata[source.account].append(found)
        expected = {account: _sums_of(found)[1] for account, found in strata.items()}
        if math.fsum(expected.values()) - expected.get(PROBES, 0.0) >= ANCHORS_MIN:
            strata.pop(PROBES, None)
        most = _fair_share([expected[account] for account in strata])
        fair: list[Stratum] = []
        for account, theirs in strata.items():
            part = min(most / expected[account], 1.0)
            fair += [Stratum(*(value * part for value in each)) for each in theirs]
        observed, wanted = _sums_of(fair)
        ratio = risk_ratio(fair) if wanted >= ANCHORS_MIN else None
        full = sum(each.trials * each.peer_hits / each.peer_trials for each in fair)
        return Compared(observed, wanted, ratio.se_log if ratio else None, ratio, full, seen)

    def _rest(self, keys: Sequence[Key], source: Source, said: Said) -> tuple[float, float]:
        """Return a source's anchors and positive receipts on trusted routes but these."""
        peers = self._peers.get(source)
        if peers is None:
            return 0.0, 0.0
        hits, trials = peers.hits[Said.POSITIVE], peers.trials[Said.POSITIVE]
        for key in keys if said is Said.POSITIVE else ():
            own = self._sums.get((key, source))
            if own is not None and key[:_ROUTE] not in self._liars:
                hits, trials = hits - own.hits[said], trials - own.trials[said]
        return max(hits, 0.0) * self._scale, max(trials, 0.0) * self._scale

    def _of(self, key: Key) -> Iterator[tuple[Source, _Sums]]:
        return ((source, self._sums[key, source]) for source in self._sources.get(key, ()))

    # --- whom to compare with ----------------------------------------------------------

    def _review_if_due(self, now_us: int) -> None:
        if self._reviewed_us is None or not 0 <= now_us - self._reviewed_us < REVIEW_US:
            self._review(now_us)

    def _review(self, now_us: int) -> None:
        """Find the routes whose receipts can be trusted: all, but those found surely worse.

        A liar among the peers makes the honest look better and himself less bad, so those
        found are left out and the rest is looked at again.
        """
        self._reviewed_us = now_us
        self._comparisons = {}
        self._trusts = {}
        self._scale = scale(self._season, now_us)
        routes = [key for key in self._sources if len(key) == _ROUTE]
        self._liars = frozenset()
        self._peers = self._sum_up(routes)
        self._routes = defaultdict(list)
        for route in routes:
            for depth in range(_ROUTE):
                self._routes[route[:depth]].append(route)
        for _ in range(ROUNDS_MAX):
            liars = frozenset(
                key for key in routes if _is_worse(self._compare([key], Said.POSITIVE).ratio)
            )
            if liars == self._liars:
                break
            self._liars = liars
            self._peers = self._sum_up(key for key in routes if key not in liars)

    def _sum_up(self, keys: Iterable[Key]) -> dict[Source, _Sums]:
        found: dict[Source, _Sums] = defaultdict(_Sums)
        for key in keys:
            for source, sums in self._of(key):
                found[source].trials[Said.POSITIVE] += sums.trials[Said.POSITIVE]
                found[source].hits[Said.POSITIVE] += sums.hits[Said.POSITIVE]
        return dict(found)


NO_ANCHOR: Final = "no independent anchor: nobody who saw such messages arrive can be compared"
ASSUMED: Final = "assumed: carriers rarely say no of what arrived"
ANCHORED: Final = "compared with the same senders' messages where receipts hold"

_CERTAIN: Final = 1e9  # peers so many that they add no doubt


def _is_strange(found: Compared, above: float) -> bool:
    """Tell whether a cell differs from the level above by more than chance."""
    expected = found.expected * above
    return abs(found.observed - expected) > STRANGE_Z * math.sqrt(max(expected, 1.0))


def _is_worse(found: RiskRatio | None) -> bool:
    return found is not None and found.high < TRUSTED_FROM


def _sums_of(strata: Sequence[Stratum]) -> tuple[float, float]:
    """Return the Mantel-Haenszel sums: anchors observed, and expected at the peers' rates."""
    observed = expected = 0.0
    for each in strata:
        total = each.trials + each.peer_trials
        observed += each.hits * each.peer_trials / total
        expected += each.peer_hits * each.trials / total
    return observed, expected


def _fair_share(expected: Sequence[float]) -> float:
    """Return the most that one account may count, so that none has over its share of all."""
    if not expected:
        return math.inf
    left = sorted(expected)
    share = max(ACCOUNT_SHARE_MAX, 1.0 / len(left))
    for capped in range(len(left)):
        free = left[: len(left) - capped]
        most = share * math.fsum(free) / (1.0 - share * capped)
        if most >= free[-1]:
            return most
    return left[0]  # equal parts, but for rounding
