"""Keep the record of what was said of messages and what came, by provider and country.

Two things are summed up for each group, and for all. What is known of its hand-offs: how many
a receipt called delivered or not, and how many a person confirmed; the rest is unknown, and
may all have failed or all have arrived. And how good forecasts were: for each age at which
they are looked at, their errors and a table of what was said beside what came.

Whether a message arrived is known of few, and of those who acted only. So a confirmed message
stands for all that arrived like it: if a third of an account's messages that arrive are
confirmed, one that is confirmed counts as three arrivals and the others as none. Summed over
many that is the true number, whoever confirms; of a single message it says nothing. The spread
of these counts is kept beside them, so that no figure is read more finely than it is.

All of it is sums over messages, which fade, add up between nodes, and are bounded.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final

import msgspec

from arrivals.outcome.calibration import (
    AGES_S,
    MEAN_OF_NORMAL,
    Z_TWO_SIDED,
    Row,
    Score,
    log_chances,
)
from arrivals.outcome.cells import UnreadableCell
from arrivals.outcome.fading import scale, season_of, shrinkage, weight

GROUPS_MAX: Final = 500  # a provider in a country each; about 3 MB when all of them are full
FORGOTTEN_SHARE: Final = 0.1  # of a full record goes at once, the lightest first

# Where one row of the table ends and the next begins: finer where most probabilities are.
EDGES: Final = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99,
)  # fmt: skip

Group = tuple[str, ...]  # provider and country; () is all of them
ALL: Final[Group] = ()


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery rate by receipts, with the bounds that what is unknown leaves it."""

    handoffs: float  # older ones count less
    delivered: float  # shares of them, by their receipts
    failed: float
    unknown: float
    low: float  # if all that is unknown failed
    high: float  # if all of it arrived
    confirmed: float  # the share that a person vouched for: the least that surely arrived


class AtAge(msgspec.Struct, frozen=True, kw_only=True):
    """How good the forecasts were that were given at one age."""

    age_s: float
    without_forecast: float  # messages of which nothing could be said then
    score: Score | None  # None: no message was told a probability


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one group, and how good the forecasts for it were."""

    group: Group
    known: Known
    unresolved: float  # held out, and nobody can know what became of such messages
    ages: list[AtAge]


class _Sums(msgspec.Struct, array_like=True):
    """Of the forecasts of one age."""

    nothing_said: float = 0.0
    brier: float = 0.0
    brier_squares: float = 0.0
    log_loss: float = 0.0
    # By row: messages, the sum of what was said, of what came, and of its squares.
    rows: dict[int, list[float]] = {}

    def add(self, other: _Sums, times: float) -> None:
        self.nothing_said += other.nothing_said * times
        self.brier += other.brier * times
        self.brier_squares += other.brier_squares * times
        self.log_loss += other.log_loss * times
        for place, theirs in other.rows.items():
            ours = self.rows.setdefault(place, [0.0] * 4)
            for column, value in enumerate(theirs):
                ours[column] += value * times


class _Record(msgspec.Struct, array_like=True):
    """Of one group; what a message counts is its weight when it was sent."""

    handoffs: float = 0.0
    delivered: float = 0.0
    failed: float = 0.0
    confirmed: float = 0.0
    unresolved: float = 0.0
    ages: list[_Sums] = msgspec.field(default_factory=lambda: [_Sums() for _ in AGES_S])

    def add(self, other: _Record, times: float) -> None:
        self.handoffs += other.handoffs * times
        self.delivered += other.delivered * times
        self.failed += other.failed * times
        self.confirmed += other.confirmed * times
        self.unresolved += other.unresolved * times
        for ours, theirs in zip(self.ages, other.ages, strict=True):
            ours.add(theirs, times)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    season: int
    forgotten: _Record
    groups: list[tuple[Group, _Record]]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Kept)


class TrackRecord:
    """The record of one installation, or of a part of it."""

    def __init__(self, groups_max: int = GROUPS_MAX) -> None:
        """Start with nothing known."""
        self._groups_max = groups_max
        self._groups: dict[Group, _Record] = {}
        self._forgotten = _Record()  # the sum of groups that had to go
        self._season = 0

    def __len__(self) -> int:
        """Return how many groups there are."""
        return len(self._groups)

    # --- what is told ----------------------------------------------------------------

    def handed_off(self, group: Group, sent_us: int) -> None:
        """Count a hand-off."""
        record, times = self._record(group, sent_us)
        record.handoffs += times

    def received(self, group: Group, sent_us: int, count: int = 1, *, positive: bool) -> None:
        """Count a hand-off's final receipt; -1 takes it back."""
        record, times = self._record(group, sent_us)
        if positive:
            record.delivered += count * times
        else:
            record.failed += count * times

    def confirmed(self, group: Group, sent_us: int) -> None:
        """Count a message that a person received."""
        record, times = self._record(group, sent_us)
        record.confirmed += times

    def unresolved(self, group: Group, sent_us: int) -> None:
        """Count a message that was held out for nothing: nobody can tell what it stands for."""
        record, times = self._record(group, sent_us)
        record.unresolved += times

    def came(
        self, group: Group, sent_us: int, said: list[float | None], arrivals: float
    ) -> None:
        """Compare what was said of a message, at each age, with how many arrivals it means."""
        record, times = self._record(group, sent_us)
        for sums, p in zip(record.ages, said, strict=True):
            sums.add(_one(p, arrivals), times)

    def merge(self, other: TrackRecord) -> None:
        """Add what another record counted."""
        self._move_landmark(max(self._season, other._season))
        times = shrinkage(other._season, self._season)
        self._forgotten.add(other._forgotten, times)
        for group, theirs in other._groups.items():
            self._at(group).add(theirs, times)

    def _record(self, group: Group, sent_us: int) -> tuple[_Record, float]:
        """Return a group's record, and what a message counts in it."""
        self._move_landmark(max(self._season, season_of(sent_us)))
        return self._at(group), weight(sent_us, self._season)

    def _move_landmark(self, season: int) -> None:
        if season == self._season:
            return
        times = shrinkage(self._season, season)
        self._forgotten = _times(self._forgotten, times)
        self._groups = {group: _times(record, times) for group, record in self._groups.items()}
        self._season = season

    def _at(self, group: Group) -> _Record:
        record = self._groups.get(group)
        if record is None:
            if len(self._groups) >= self._groups_max:
                self._forget()
            record = self._groups[group] = _Record()
        return record

    def _forget(self) -> None:
        """Let the lightest groups go; what they counted stays in the sum of all."""
        lightest = sorted(self._groups, key=lambda group: self._groups[group].handoffs)
        for group in lightest[: max(int(self._groups_max * FORGOTTEN_SHARE), 1)]:
            self._forgotten.add(self._groups.pop(group), 1.0)

    # --- what it says ----------------------------------------------------------------

    def groups(self, now_us: int) -> list[GroupRecord]:
        """Return what is known of all messages, and of each group, the heaviest first."""
        if not self._groups:
            return []
        now = scale(self._season, now_us)
        everything = _times(self._forgotten, 1.0)
        for record in self._groups.values():
            everything.add(record, 1.0)
        by_weight = sorted(self._groups.items(), key=lambda item: (-item[1].handoffs, item[0]))
        return [_read(group, record, now) for group, record in [(ALL, everything), *by_weight]]

    # --- to keep, and back -----------------------------------------------------------

    def encode(self) -> bytes:
        """Return the record as bytes."""
        return _encoder.encode(
            _Kept(self._season, self._forgotten, sorted(self._groups.items(), key=_name))
        )

    @classmethod
    def decode(cls, kept: bytes) -> TrackRecord:
        """Return the record of encoded bytes, or raise UnreadableCell."""
        try:
            found = _decoder.decode(kept)
        except msgspec.DecodeError as error:
            raise UnreadableCell(str(error)) from error
        record = cls()
        record._season = found.season
        record._forgotten = found.forgotten
        record._groups = dict(found.groups)
        return record


def _times(record: _Record, times: float) -> _Record:
    found = _Record()
    found.add(record, times)
    return found


def _name(item: tuple[Group, _Record]) -> Group:
    return item[0]


def _one(p: float | None, arrivals: float) -> _Sums:
    """Return the sums of one forecast; its errors are those it has on average."""
    if p is None:
        return _Sums(nothing_said=1.0)
    brier = p * p - 2.0 * p * arrivals + arrivals
    yes, no = log_chances(p)
    return _Sums(
        brier=brier,
        brier_squares=brier * brier,
        log_loss=-(arrivals * yes + (1.0 - arrivals) * no),
        rows={bisect_right(EDGES, p): [1.0, p, arrivals, arrivals * arrivals]},
    )


def _read(group: Group, record: _Record, now: float) -> GroupRecord:
    handoffs = max(record.handoffs, record.delivered + record.failed, record.confirmed)
    per_handoff = 1.0 / handoffs if handoffs > 0.0 else 0.0
    delivered, failed = (
        max(each, 0.0) * per_handoff for each in (record.delivered, record.failed)
    )
    unknown = max(1.0 - delivered - failed, 0.0)
    return GroupRecord(
        group=group,
        known=Known(
            handoffs=handoffs * now,
            delivered=delivered,
            failed=failed,
            unknown=unknown,
            low=delivered,
            high=min(delivered + unknown, 1.0),
            confirmed=record.confirmed * per_handoff,
        ),
        unresolved=record.unresolved * now,
        ages=[
            AtAge(
                age_s=age_s,
                without_forecast=sums.nothing_said * now,
                score=_score(sums, now),
            )
            for age_s, sums in zip(AGES_S, record.ages, strict=True)
        ],
    )


def _score(sums: _Sums, now: float) -> Score | None:
    rows = [_row(place, sums.rows[place], now) for place in sorted(sums.rows)]
    count = math.fsum(row.count for row in rows)
    if count <= 0.0:
        return None
    brier = sums.brier * now / count
    spread = max(sums.brier_squares * now / count - brier * brier, 0.0)
    return Score(
        count=count,
        arrived=math.fsum(row.count * row.arrived for row in rows) / count,
        brier=brier,
        brier_error=math.sqrt(spread / count),
        log_loss=sums.log_loss * now / count,
        ece=math.fsum(row.count * abs(row.said - row.arrived) for row in rows) / count,
        ece_by_chance=math.fsum(row.count * _by_chance(row) for row in rows) / count,
        rows=rows,
    )


def _row(place: int, sums: list[float], now: float) -> Row:
    weights, said, arrived, squares = sums
    count, mean = weights * now, arrived / weights
    # A few messages that went alike don't make a share certain: half a message either way.
    spread = max(squares / weights - mean * mean, 0.25 / count)
    error = Z_TWO_SIDED * math.sqrt(spread / count)
    return Row(
        count=count,
        low=EDGES[place - 1] if place else 0.0,
        high=EDGES[place] if place < len(EDGES) else 1.0,
        said=said / weights,
        arrived=mean,
        arrived_low=max(mean - error, 0.0),
        arrived_high=max(min(mean + error, 1.0), 0.0),
    )


def _by_chance(row: Row) -> float:
    """Return how far a perfect forecast would be off on average, with so few messages."""
    widest = max(row.arrived - row.arrived_low, row.arrived_high - row.arrived)
    return MEAN_OF_NORMAL * widest / Z_TWO_SIDED
