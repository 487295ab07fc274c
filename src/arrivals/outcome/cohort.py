"""Say how alike the fates of look-alike messages are, and what they go with.

A cohort is the messages of one shape: one account, sender and country, and a text that differs
in nothing but what differs by message (`template.py`). Were the request all that decides, they
would all end alike. How mixed their ends are is the entropy of their verdicts, and what share
of the entropy a factor takes away is its mutual information with the verdict. Any factor of
many values takes some away by chance, so that is worked out beside it (Miller and Madow), and
each factor is tested against random pairings of its values with the verdicts. None of it names
a cause.

A verdict is the state that a message ended in. One that is open, or that its sender cancelled,
has had no fate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from arrivals.core.instants import rfc3339
from arrivals.core.message import TERMINAL, State
from arrivals.outcome.hierarchy import carrier_of
from arrivals.outcome.template import masked

VERDICTS: Final = tuple(each.value for each in TERMINAL if each is not State.CANCELLED)
ENDED_MIN: Final = 10  # with fewer, how mixed they are is mostly chance
VALUES_MAX: Final = 64  # of a factor; the rest are counted as one
VALUES_SHOWN_MAX: Final = 8
OTHERS: Final = "others"
# One cohort in a hundred shows a factor that is none, over all that are tested.
BEYOND_CHANCE_Z: Final = 3.1

_HOUR: Final = slice(len("2026-11-22T"), len("2026-11-22T19"))


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One message, as its row has it."""

    key: int
    state: str
    route_id: int
    provider_id: str
    msisdn: str
    country: str
    sender: str
    segments: int
    encoding: str
    category: str
    attempts: int
    accepted_at_us: int
    text: str | None


class CohortSlice(msgspec.Struct, frozen=True, kw_only=True):
    """The messages that have one value of a factor, by how they ended."""

    value: str
    verdicts: dict[str, int]


class GoesWith(msgspec.Struct, frozen=True, kw_only=True):
    """How much a factor tells of a verdict."""

    factor: str
    bits: float  # of mutual information
    by_chance: float  # what a factor of so many values shows though it is none
    beyond_chance: bool
    values: list[CohortSlice]  # the most frequent


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """The fates of messages of one shape."""

    messages: int
    open: int
    cancelled: int
    verdicts: dict[str, int]  # of those that ended
    entropy_bits: float
    determinism: float | None  # 1: all end alike; 0: as mixed as can be; None: too few ended
    factors: list[GoesWith]  # what tells most comes first


FACTORS: Final[dict[str, Callable[[Member], object]]] = {
    "provider": lambda each: each.provider_id,
    "route": lambda each: each.route_id,
    "carrier": lambda each: carrier_of(each.country, each.msisdn),
    "attempts": lambda each: each.attempts,
    "segments": lambda each: each.segments,
    "encoding": lambda each: each.encoding,
    "category": lambda each: each.category,
    "hour": lambda each: rfc3339(each.accepted_at_us)[_HOUR],
}


def of_one_shape(members: Iterable[Member], text: str | None) -> list[Member]:
    """Return those whose text is of the same template; of an erased text, none."""
    if text is None:
        return []
    wanted = masked(text)
    known: dict[str, bool] = {}  # an order's messages often share their text
    found = []
    for each in members:
        if each.text is None:
            continue
        alike = known.get(each.text)
        if alike is None:
            alike = known[each.text] = masked(each.text) == wanted
        if alike:
            found.append(each)
    return found


def cohort(members: Sequence[Member]) -> Cohort:
    """Return how messages of one shape ended, and what that goes with."""
    ended = [each for each in members if each.state in VERDICTS]
    verdicts = Counter(each.state for each in ended)
    entropy = entropy_bits(verdicts)
    cancelled = sum(each.state == State.CANCELLED for each in members)
    enough = len(ended) >= ENDED_MIN
    return Cohort(
        messages=len(members),
        open=len(members) - len(ended) - cancelled,
        cancelled=cancelled,
        verdicts={name: verdicts[name] for name in VERDICTS if verdicts[name]},
        entropy_bits=entropy,
        determinism=1.0 - entropy / math.log2(len(VERDICTS)) if enough else None,
        factors=_ranked(ended) if enough else [],
    )


def _ranked(ended: Sequence[Member]) -> list[GoesWith]:
    found = [_goes_with(name, ended) for name in FACTORS]
    told = [each for each in found if len(each.values) > 1]
    return sorted(told, key=lambda e: (e.by_chance - e.bits, e.factor))


def _goes_with(name: str, ended: Sequence[Member]) -> GoesWith:
    read = FACTORS[name]
    pairs = [(str(read(each)), each.state) for each in ended]
    kept = {value for value, _ in Counter(value for value, _ in pairs).most_common(VALUES_MAX)}
    table = Counter((value if value in kept else OTHERS, verdict) for value, verdict in pairs)
    counts = Counter[str]()
    for (value, _), count in table.items():
        counts[value] += count
    verdicts = Counter(verdict for _, verdict in pairs)
    freedom = (len(counts) - 1) * (len(verdicts) - 1)
    return GoesWith(
        factor=name,
        bits=mutual_bits(table),
        by_chance=freedom / (2.0 * len(pairs) * math.log(2.0)),
        beyond_chance=deviations(chi_squared(table), *shuffled(table)) >= BEYOND_CHANCE_Z,
        values=[
            CohortSlice(
                value=value,
                verdicts={v: table[value, v] for v in VERDICTS if table[value, v]},
            )
            for value, _ in counts.most_common(VALUES_SHOWN_MAX)
        ],
    )


# --- what is counted ------------------------------------------------------------------


def entropy_bits(counts: Mapping[str, int]) -> float:
    """Return how many bits it takes to tell which of these it was."""
    sum_ = sum(counts.values())
    return _never_below_0(
        math.fsum(-n / sum_ * math.log2(n / sum_) for n in counts.values() if n)
    )


def mutual_bits(table: Mapping[tuple[str, str], int]) -> float:
    """Return how many bits the one of each pair tells of the other."""
    rows, columns, sum_ = _margins(table)
    return _never_below_0(
        math.fsum(
            n / sum_ * math.log2(n * sum_ / (rows[row] * columns[column]))
            for (row, column), n in table.items()
            if n
        )
    )


def chi_squared(table: Mapping[tuple[str, str], int]) -> float:
    """Return Pearson's statistic of a table: how far it is from independence."""
    rows, columns, sum_ = _margins(table)
    # Over the cells that are there; those that aren't only add what was expected of them.
    return sum_ * (
        math.fsum(n * n / (rows[row] * columns[column]) for (row, column), n in table.items())
        - 1.0
    )


def shuffled(table: Mapping[tuple[str, str], int]) -> tuple[float, float]:
    """Return the mean and the variance of that statistic, were the pairs made at random.

    Exact for any margins, however few of a kind there are (Dawson, 1954), for four pairs
    or more.
    """
    rows, columns, sum_ = _margins(table)
    (spread, v), (other_spread, w) = (_moments(each, sum_) for each in (rows, columns))
    mean = sum_ * (len(rows) - 1) * (len(columns) - 1) / (sum_ - 1)
    first = 2 * sum_ / (sum_ - 3) * (spread - v) * (other_spread - w)
    return mean, first + sum_**2 / (sum_ - 1) * v * w


def _moments(margin: Counter[str], sum_: int) -> tuple[float, float]:
    kinds = len(margin)
    spread = (kinds - 1) * (sum_ - kinds) / (sum_ - 1)
    unevenness = math.fsum(1.0 / each for each in margin.values()) - kinds**2 / sum_
    return spread, unevenness * sum_ / (sum_ - 2)


def deviations(statistic: float, mean: float, variance: float) -> float:
    """Return how many standard deviations above chance a statistic is.

    It is taken for a gamma variable of this mean and variance, whose cube root is nearly
    normal (Wilson and Hilferty, 1931).
    """
    if variance <= 0.0:
        return 0.0  # there is one value, or one verdict: nothing to tell apart
    spread = variance / (9.0 * mean * mean)
    root = math.cbrt(max(statistic, 0.0) / mean)
    return (root - (1.0 - spread)) / math.sqrt(spread)


def _margins(
    table: Mapping[tuple[str, str], int],
) -> tuple[Counter[str], Counter[str], int]:
    rows, columns = Counter[str](), Counter[str]()
    for (row, column), count in table.items():
        rows[row] += count
        columns[column] += count
    return rows, columns, rows.total()


def _never_below_0(bits: float) -> float:
    """Take away what rounding left of an exact zero."""
    return max(bits, 0.0)


# --- in words -------------------------------------------------------------------------


def says(found: Cohort) -> list[str]:
    """Return a cohort in sentences."""
    ended = sum(found.verdicts.values())
    if not found.messages:
        return ["There is no message of this shape to compare with, or its text was erased."]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in found.verdicts.items())
    said = [
        f"{found.messages} messages of this shape: {counts or 'none has ended'}{_rest(found)}."
    ]
    if found.determinism is None:
        return [*said, f"Only {ended} have ended: too few to say what their ends go with."]
    said.append(f"{_how_alike(found.determinism)} (determinism {found.determinism:.2f} of 1).")
    if len(found.verdicts) == 1:
        return said
    telling = [each for each in found.factors if each.beyond_chance]
    if not telling:
        return [*said, "Nothing that we saw goes with their ends beyond chance."]
    return [*said, *(_telling(each, found) for each in telling)]


_ALIKE: Final = (
    (1.0, "They all had the same fate"),
    (0.8, "Nearly all had the same fate"),
    (0.5, "Most had the same fate, and some another"),
    (0.0, "They had different fates, though they asked for the same"),
)


def _how_alike(determinism: float) -> str:
    return next((words for least, words in _ALIKE if determinism >= least), _ALIKE[-1][1])


def _rest(found: Cohort) -> str:
    counts = (("still open", found.open), ("cancelled", found.cancelled))
    return "".join(f"; {count} {word}" for word, count in counts if count)


def _telling(factor: GoesWith, found: Cohort) -> str:
    shares = "; ".join(_slice(each) for each in factor.values)
    part, chance = (each / found.entropy_bits for each in (factor.bits, factor.by_chance))
    return (
        f"The {factor.factor} goes with {part:.0%} of the difference ({chance:.0%} would be"
        f" chance): {shares}. A correlation, not a cause."
    )


def _slice(each: CohortSlice) -> str:
    sum_ = sum(each.verdicts.values())
    return (
        f"{each.value} {each.verdicts.get(State.DELIVERED, 0) / sum_:.0%} delivered of {sum_}"
    )
