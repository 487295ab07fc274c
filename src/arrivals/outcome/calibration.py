"""Check probabilities against what really happened, and say how far they were off.

A probability is calibrated when, of the messages that were given 0.8, eight in ten arrived.
It is checked on anchored messages that the model never learnt from: a keyed hash of a
message's key puts one in ten aside, the same ones on every node and after every restart.
They are those whose recipients acted, which is not a random sample; whoever shows these
figures has to say so.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

HELD_OUT_SHARE: Final = 0.1
MASS_BINS: Final = 20  # of equal numbers of messages, for the reliability table
AGES_S: Final = (0.0, 60.0, 600.0, 3_600.0, 86_400.0)  # when a probability is looked at
_SURE: Final = 1e-9  # a logarithm of less would say infinity about one mistake
_BYTES: Final = 8
Z_TWO_SIDED: Final = 2.576  # a normal variable is within it 99 times in 100
MEAN_OF_NORMAL: Final = math.sqrt(2.0 / math.pi)  # of its distance from the middle


class Scored(NamedTuple):
    """A probability that was given, and whether the message arrived."""

    p: float
    arrived: bool


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of about the same probability: what was said of them, and what came."""

    count: float  # where old messages count less, as they count now
    low: float  # the least and the greatest probability among them
    high: float
    said: float  # their mean probability
    arrived: float  # the share that arrived
    arrived_low: float  # and where that may lie, 99 times in 100
    arrived_high: float


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How good probabilities were; lower is better."""

    count: float
    arrived: float
    brier: float  # the mean square of the error
    brier_error: float  # a standard error of it
    log_loss: float
    ece: float  # the mean distance between what was said and what came, by row
    ece_by_chance: float  # what a perfect forecast would have of so few messages
    rows: list[Row]


def is_held_out(message_key: int, secret: bytes, share: float = HELD_OUT_SHARE) -> bool:
    """Tell whether a message is put aside to check with, never to learn from."""
    digest = hashlib.blake2b(
        message_key.to_bytes(_BYTES, "big"), digest_size=_BYTES, key=secret, person=b"held out"
    ).digest()
    return int.from_bytes(digest, "big") < share * float(1 << 8 * _BYTES)


def score(scored: Iterable[Scored], bins: int = MASS_BINS) -> Score | None:
    """Return how good probabilities were, or None without any."""
    found = sorted(scored)
    if not found:
        return None
    rows = _table(found, bins)
    count = len(found)
    errors = [(each.p - each.arrived) ** 2 for each in found]
    brier = math.fsum(errors) / count
    return Score(
        count=count,
        arrived=sum(each.arrived for each in found) / count,
        brier=brier,
        brier_error=math.sqrt(math.fsum((each - brier) ** 2 for each in errors)) / count,
        log_loss=-math.fsum(_log_chance(each) for each in found) / count,
        ece=math.fsum(row.count * abs(row.said - row.arrived) for row in rows) / count,
        ece_by_chance=math.fsum(row.count * _by_chance(row) for row in rows) / count,
        rows=rows,
    )


def _table(found: Sequence[Scored], bins: int) -> list[Row]:
    """Cut sorted probabilities into rows of the same number of messages, or one fewer."""
    count = len(found)
    rows = min(bins, count)
    cuts = [count * row // rows for row in range(rows + 1)]
    return [_row(found[start:end]) for start, end in pairwise(cuts)]


def _row(found: Sequence[Scored]) -> Row:
    count = len(found)
    arrived = sum(each.arrived for each in found)
    low, high = wilson(arrived, count)
    return Row(
        count=count,
        low=found[0].p,
        high=found[-1].p,
        said=math.fsum(each.p for each in found) / count,
        arrived=arrived / count,
        arrived_low=low,
        arrived_high=high,
    )


def wilson(hits: float, trials: float, z: float = Z_TWO_SIDED) -> tuple[float, float]:
    """Return where a share may lie: Wilson's interval, two-sided, 99 in 100 by default."""
    share = hits / trials
    middle = share + z * z / (2.0 * trials)
    width = z * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    scale = 1.0 + z * z / trials
    return max((middle - width) / scale, 0.0), min((middle + width) / scale, 1.0)


def _by_chance(row: Row) -> float:
    """Return how far off a perfect forecast is on average, with so few messages."""
    return MEAN_OF_NORMAL * math.sqrt(row.said * (1.0 - row.said) / row.count)


def _log_chance(each: Scored) -> float:
    yes, no = log_chances(each.p)
    return yes if each.arrived else no


def log_chances(p: float) -> tuple[float, float]:
    """Return the logarithms of a probability and of its opposite, both finite."""
    return math.log(max(p, _SURE)), math.log(max(1.0 - p, _SURE))
