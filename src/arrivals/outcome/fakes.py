"""Weigh whether a route makes its receipts up.

Four kinds of evidence, none of which trusts the receipts it judges:

    canary          a number that can't receive (switched off, disconnected) is "delivered"
    timing          handsets that are off answer late, and some fail: a route without that tail
                    doesn't ask handsets; nor does one too fast, too even, or without failures
    contradiction   numbers that a trusted route knows not to exist are "delivered" here
    conversions     delivered messages convert less often than the peers' delivered messages

Each part is a log-likelihood ratio of "makes receipts up" against "doesn't", with the numbers
behind it in words. Parts of one kind see the same thing, so only the strongest of a kind
counts; and as no part is better than its model, each is capped, a canary's word least. A
part without data says so and weighs nothing: what nobody looked at isn't clean. What a good
direct route may also be (fast, even, with few failures) raises no suspicion by itself.

Canary and timing can't tell invented receipts from ones that a hub gave before the handset
was asked: either way the receipt isn't the handset's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import accumulate
from statistics import NormalDist
from typing import Final, NamedTuple

import msgspec

from arrivals.outcome.strata import LIMIT_LOG_MAX, RiskRatio, Stratum, risk_ratio

LLR_CAP: Final = 3.0  # e^3, 20 to 1, is as much as one imperfect model may say
CANARY_CAP: Final = 7.0  # a thousand to one: a number may have been switched on by mistake
SUSPECT_MIN: Final = math.log(100)  # of the sum, or of one part before its cap

TAIL_S: Final = 600.0  # a receipt is late from here on
TAIL_LEFT: Final = 0.2  # of the peers' late ones that a faker still has
TAIL_PEERS_MIN: Final = 20  # late receipts of peers; with fewer their rate isn't known
FAST_USUAL: Final = 0.001  # of the peers' receipts are faster than their own 0.001 quantile
FAST_FAKED: Final = 0.02
FAST_PEERS_MIN: Final = 2_000
EVEN_LEFT: Final = 0.5  # of the peers' spread of ln(age)
EVEN_RECEIPTS_MIN: Final = 100
KOLMOGOROV_FACTOR: Final = 1.95  # two samples differ so much once in a thousand
NEGATIVES_LEFT: Final = 0.1
NO_NEGATIVES_CHANCE_MAX: Final = 1e-4
CONVERSIONS_LOST_MIN: Final = 0.05  # by a faker whom we'd ever compare with
RATIO_MAX: Final = 0.97  # the upper limit of a route that is called a faker
NAMED_WRONGLY: Final = 0.01  # of times that honest routes are compared


class Kind(StrEnum):
    """What a part looks at; one part of each kind counts."""

    CANARY = "canary"
    TIMING = "timing"
    CONTRADICTION = "contradiction"
    CONVERSIONS = "conversions"


class _Rate(NamedTuple):
    """What is known of a rate: a beta distribution, so that few peers prove little."""

    alpha: float
    beta: float

    def less(self, left: float) -> _Rate:
        """Return the rate of which so much is left, known as well as the rate itself."""
        mean = left * self.alpha / (self.alpha + self.beta)
        return _Rate(self.alpha, self.alpha / mean - self.alpha)

    def log_chance(self, hits: int, trials: int) -> float:
        """Return the logarithm of the chance of so many hits (beta-binomial)."""
        return (
            math.lgamma(trials + 1)
            - math.lgamma(hits + 1)
            - math.lgamma(trials - hits + 1)
            + _log_beta(hits + self.alpha, trials - hits + self.beta)
            - _log_beta(self.alpha, self.beta)
        )


_ANY_RATE: Final = _Rate(1.0, 1.0)


def _rate(hits: int, trials: int) -> _Rate:
    return _Rate(hits + 0.5, trials - hits + 0.5)


def _log_beta(alpha: float, beta: float) -> float:
    return math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)


# What a good direct route may also be.
_COMPANIONS: Final = frozenset({"too fast", "too uniform", "no negatives"})


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One detector's word."""

    kind: Kind
    name: str
    llr: float  # after its cap
    found: bool  # beyond what chance explains
    words: str
    share_max: float | None = None  # of its receipts made up, that it can't exclude


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a route makes receipts up, and why."""

    llr: float
    suspected: bool
    parts: tuple[Part, ...]
    fake_share_max: float | None  # can't be excluded; None without an independent anchor
    words: str


class Ages(NamedTuple):
    """How old receipts were when they came: one count for each bin, from young to old.

    Those that are compared have the same bins.
    """

    counts: Sequence[float]
    log_ages: Sequence[float]  # ln(seconds) in the middle of each bin


def canary(delivered: int, messages: int) -> Part:
    """Judge messages to numbers that can't have received them."""
    if not messages:
        return _silent(Kind.CANARY, "canary", "no message went to a number that can't receive")
    if not delivered:
        words = (
            f"none of {messages} to numbers that can't receive was called delivered;"
            " who knows those numbers would see to that"
        )
        return _part(Kind.CANARY, "canary", 0.0, found=False, words=words)
    words = f"{delivered} of {messages} to numbers that can't receive were called delivered"
    return _part(Kind.CANARY, "canary", math.inf, found=True, words=words)


def missing_tail(late: int, receipts: int, peer_late: int, peer_receipts: int) -> Part:
    """Judge how many receipts came late, against peers to the same carrier."""
    name = "missing tail"
    if peer_late < TAIL_PEERS_MIN or not receipts:
        return _silent(Kind.TIMING, name, "too few late receipts of peers to compare with")
    usual = _rate(peer_late, peer_receipts)
    llr = usual.less(TAIL_LEFT).log_chance(late, receipts) - usual.log_chance(late, receipts)
    words = (
        f"{late} of {receipts} receipts took over ten minutes, where phones that are off make"
        f" {peer_late / peer_receipts:.1%} of the peers' late"
    )
    return _part(Kind.TIMING, name, llr, found=llr > SUSPECT_MIN, words=words)


def too_fast(ours: Ages, peers: Ages) -> Part:
    """Judge how many receipts came faster than nearly all of the peers' to the same carrier."""
    name = "too fast"
    receipts, peer_receipts = sum(ours.counts), sum(peers.counts)
    if peer_receipts < FAST_PEERS_MIN or not receipts:
        return _silent(Kind.TIMING, name, "too few receipts of peers to know their fastest")
    bins = zip(ours.counts, accumulate(peers.counts), strict=True)
    faster = sum(count for count, peers_by in bins if peers_by <= FAST_USUAL * peer_receipts)
    llr = faster * math.log(FAST_FAKED / FAST_USUAL) + (receipts - faster) * math.log(
        (1 - FAST_FAKED) / (1 - FAST_USUAL)
    )
    words = (
        f"{faster:.0f} of {receipts:.0f} receipts came faster than 999 of 1,000 of the peers'"
    )
    return _part(Kind.TIMING, name, llr, found=llr > SUSPECT_MIN, words=words)


def too_uniform(ours: Ages, peers: Ages) -> Part:
    """Judge how widely the ages of receipts spread, against peers to the same carrier.

    It is found only if the two also differ as samples.
    """
    name = "too uniform"
    receipts, peer_receipts = sum(ours.counts), sum(peers.counts)
    if min(receipts, peer_receipts) < EVEN_RECEIPTS_MIN:
        return _silent(Kind.TIMING, name, "too few receipts to tell how they spread")
    spread, peer_spread = _spread(ours), _spread(peers)
    if not peer_spread:
        return _silent(Kind.TIMING, name, "the peers' receipts all took the same time")
    # Two normal distributions of ln(age), one half as wide as the other.
    squares = (spread / peer_spread) ** 2
    llr = receipts * (-math.log(EVEN_LEFT) - squares * (EVEN_LEFT**-2 - 1) / 2)
    gap = _kolmogorov(ours.counts, peers.counts)
    differ = gap > KOLMOGOROV_FACTOR * math.sqrt(1 / receipts + 1 / peer_receipts)
    words = (
        f"receipts' ages spread {spread / peer_spread:.2f} times as widely as the peers',"
        f" and the two {'differ' if differ else 'may be alike'} as samples"
    )
    found = differ and spread < EVEN_LEFT * peer_spread
    return _part(Kind.TIMING, name, llr if differ else min(llr, 0.0), found=found, words=words)


def no_negatives(
    negatives: int, receipts: int, peer_negatives: int, peer_receipts: int
) -> Part:
    """Judge how many receipts were negative, against peers to the same carrier."""
    name = "no negatives"
    if not peer_negatives or not receipts:
        return _silent(Kind.TIMING, name, "no negative receipts of peers to compare with")
    usual = _rate(peer_negatives, peer_receipts)
    honest = usual.log_chance(negatives, receipts)
    llr = usual.less(NEGATIVES_LEFT).log_chance(negatives, receipts) - honest
    found = not negatives and honest < math.log(NO_NEGATIVES_CHANCE_MAX)
    words = (
        f"{negatives} of {receipts} receipts were negative, and"
        f" {peer_negatives / peer_receipts:.1%} of the peers'"
    )
    return _part(Kind.TIMING, name, llr, found=found, words=words)


def contradiction(
    delivered: int, messages: int, peer_delivered: int, peer_messages: int
) -> Part:
    """Judge messages to numbers that a trusted route lately called unknown.

    Some of them are given to a new owner, so peers deliver a few too. A faker's rate may be
    any.
    """
    name = "contradiction"
    if not messages:
        return _silent(
            Kind.CONTRADICTION, name, "no message went to a number known not to exist"
        )
    honest = _rate(peer_delivered, peer_messages).log_chance(delivered, messages)
    llr = _ANY_RATE.log_chance(delivered, messages) - honest
    # What explains it no better by a higher rate than the peers' speaks against a faker.
    higher = delivered * (peer_messages + 1) > messages * (peer_delivered + 0.5)
    llr = llr if higher else min(llr, 0.0)
    words = (
        f"{delivered} of {messages} to numbers that a trusted route calls unknown were called"
        f" delivered, and {peer_delivered} of {peer_messages} of the peers'"
    )
    return _part(Kind.CONTRADICTION, name, llr, found=llr > SUSPECT_MIN, words=words)


def conversions(strata: Iterable[Stratum]) -> Part:
    """Judge how often positive receipts are followed by a conversion, against peers.

    A stratum is one account, template class and country: accounts differ more than routes do.
    Peers are routes that are trusted; if they lie as much, nothing shows here.
    """
    return converted(risk_ratio(strata))


def converted(ratio: RiskRatio | None, compared: int = 1) -> Part:
    """Judge the same by the ratio itself; None: there is nobody to compare with.

    Of `compared` routes that are judged together, all honest, one is named once in 100 times.
    """
    name = "conversion ratio"
    if ratio is None:
        return _silent(Kind.CONVERSIONS, name, "no independent anchor: no peers convert")
    surer = NormalDist().inv_cdf(1 - NAMED_WRONGLY / compared)
    found = ratio.rr * math.exp(min(surer * ratio.se_log, LIMIT_LOG_MAX)) < RATIO_MAX
    seen = math.log(ratio.rr)
    faked = min(seen, math.log(1 - CONVERSIONS_LOST_MIN))
    llr = (seen**2 - (seen - faked) ** 2) / (2 * ratio.se_log**2)
    words = (
        f"delivered messages convert {ratio.rr:.2f} times as often as the peers'"
        f" ({ratio.low:.2f} to {ratio.high:.2f})"
    )
    if found:
        words += f", as if {_share(ratio.rr):.0%} of their receipts were made up"
    part = _part(Kind.CONVERSIONS, name, llr, found=found, words=words)
    return msgspec.structs.replace(part, share_max=_share(ratio.low))


def score(parts: Sequence[Part]) -> Score:
    """Add up what the detectors say of one route."""
    strongest: dict[Kind, Part] = {}
    for part in parts:
        known = strongest.get(part.kind)
        if known is None or (part.found, part.llr) > (known.found, known.llr):
            strongest[part.kind] = part
    llr = math.fsum(part.llr for part in strongest.values())
    found = [part for part in parts if part.found]
    alone = any(part.name not in _COMPANIONS for part in found)
    suspected = alone or len(found) > 1 or llr > SUSPECT_MIN
    share_max = next((part.share_max for part in parts if part.share_max is not None), None)
    return Score(
        llr=llr,
        suspected=suspected,
        parts=tuple(parts),
        fake_share_max=share_max,
        words=_words(found, share_max, suspected=suspected),
    )


def _words(found: Sequence[Part], share_max: float | None, *, suspected: bool) -> str:
    if found:
        whose = "probably not the handsets'" if suspected else "perhaps not the handsets'"
        return f"receipts are {whose}: " + "; ".join(part.words for part in found)
    if suspected:
        return "no detector alone shows it, but together: receipts are probably not real"
    if share_max is None:
        return "nothing found, and no independent anchor: cannot exclude any share"
    return f"nothing found: cannot exclude that ≤ {share_max:.1%} of receipts are made up"


def _share(ratio: float) -> float:
    """Return the share of receipts that must be made up for a ratio of conversions."""
    return min(max(0.0, 1 - ratio), 1.0)


def _part(kind: Kind, name: str, llr: float, *, found: bool, words: str) -> Part:
    cap = CANARY_CAP if kind is Kind.CANARY else LLR_CAP
    return Part(kind=kind, name=name, llr=min(max(llr, -cap), cap), found=found, words=words)


def _silent(kind: Kind, name: str, words: str) -> Part:
    return Part(kind=kind, name=name, llr=0.0, found=False, words=words)


def _spread(ages: Ages) -> float:
    """Return the standard deviation of ln(age)."""
    receipts = sum(ages.counts)
    pairs = list(zip(ages.counts, ages.log_ages, strict=True))
    mean = math.fsum(count * age for count, age in pairs) / receipts
    return math.sqrt(math.fsum(count * (age - mean) ** 2 for count, age in pairs) / receipts)


def _kolmogorov(ours: Sequence[float], peers: Sequence[float]) -> float:
    """Return the largest distance between two distributions, looked at between bins."""
    own, other, largest = 0.0, 0.0, 0.0
    receipts, peer_receipts = sum(ours), sum(peers)
    for count, peer_count in zip(ours, peers, strict=True):
        own += count / receipts
        other += peer_count / peer_receipts
        largest = max(largest, abs(own - other))
    return largest
