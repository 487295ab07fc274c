"""Count what a group of messages has heard: one cell, in bounded memory.

A cell holds how many hand-offs got a positive or a negative final receipt, by their age when
it came, and how many still wait. Ages fall into 36 bins whose edges grow by a constant factor,
0.5 s to 72 h. Those that wait are counted as censored at the age they have now, so a cell
speaks from its first minute and needs nothing to mature.

Forgetting is forward decay (Cormode et al., ICDE 2009): a hand-off at time s weighs
2**((s - landmark)/half) for ever, and a reader divides by the present. Every number here is
therefore a sum over events of something that depends on the event's own times alone: events
may come in any order, and the cells of two nodes add up to the cell of one, to the rounding
of floating point. Both decays are kept, as two paces: an hour, to see a change and to say
when a receipt will come, and a week, for what is normal. A landmark moves by whole
half-lives, so moving it multiplies by a power of two and rounds nothing; it keeps the weights
far from overflow.

Those that wait are plain counts in slots of time. A slot of level k is 2**k ticks of half a
second wide and holds what is 8 to 16 slots old; older ones go up a level, two into one. Which
slot a hand-off is in follows from its time and the cell's clock alone, never from the way
there, so an answer finds the slot that its hand-off was counted in, whatever came between.

What may go wrong: an answer told twice is counted twice (whoever tells must know); one whose
hand-off was never told leaves a slot below zero, which a reader takes for empty.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import msgspec

BINS: Final = 36
HORIZON_S: Final = 72 * 3600.0  # nobody upstream keeps trying for longer
FIRST_EDGE_S: Final = 0.5
_LOG_RATIO: Final = math.log(HORIZON_S / FIRST_EDGE_S) / (BINS - 1)  # a factor of 1.46
# Bin j is [EDGES_S[j], EDGES_S[j + 1]); what came after the horizon is in bin BINS.
EDGES_S: Final = (
    0.0,
    *(FIRST_EDGE_S * math.exp(_LOG_RATIO * place) for place in range(BINS - 1)),
    HORIZON_S,
)

HALF_LIVES_S: Final = (3600.0, 7 * 24 * 3600.0)

TICK_US: Final = 500_000
LEVEL_SLOTS: Final = 16
LEVELS: Final = 17  # the last one holds whoever has waited for 68 h, to 137 h and more
FORMAT: Final = 1  # of an encoded cell

_DAY_TICKS: Final = 24 * 3600 * 1_000_000 // TICK_US
_DAY_US: Final = _DAY_TICKS * TICK_US
_DAY_HALVES: Final = 24  # the fast landmark moves by a day: 24 of its half-lives
_SEASON_DAYS: Final = 24 * 7  # and the slow one by 24 of its own
_ROW: Final = BINS + 1
_PACE: Final = 2 * _ROW + 1  # positive, negative, and those whom the horizon found waiting
_SILENT: Final = 2 * _ROW
_MASK: Final = LEVEL_SLOTS - 1
_NOBODY: Final = array("i", bytes(4 * LEVEL_SLOTS))
_HALF_US: Final = tuple(half * 1e6 for half in HALF_LIVES_S)


class Pace(IntEnum):
    """How fast a count forgets."""

    HOUR = 0
    WEEK = 1


class UnreadableCell(ValueError):
    """An encoded cell of another format, or none at all."""


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """A cell's counts as seen now; in bin j a hand-off weighs what it did on entering it."""

    positive: list[float]  # final receipts, by bin; the last one is past the horizon
    negative: list[float]
    at_risk: list[float]  # waiting on entering the bin; half of those that are in it now


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A cell as it is stored: what isn't zero, by position."""

    form: int
    tick: int
    day: int
    exits: list[tuple[int, float]]
    waiting: list[tuple[int, int]]


class Cell:
    """Final receipts by age, and who still waits, for one group of messages."""

    __slots__ = ("day", "exits", "next_day", "tick", "version", "waiting")

    def __init__(self) -> None:
        self.tick = 0  # the latest time it was told of, in half seconds
        self.day = 0  # its landmarks, as a day since 1970
        self.next_day = _DAY_TICKS  # the tick with which they move
        self.exits = array("d", bytes(8 * 2 * _PACE))
        self.waiting = array("i", bytes(4 * LEVEL_SLOTS * LEVELS))
        self.version = 0

    # --- the clock -------------------------------------------------------------------

    def move_to(self, tick: int) -> None:
        """Let the cell's clock stand at `tick`, unless it is later already."""
        last = self.tick
        if tick <= last:
            return
        self.tick = tick
        if tick >= self.next_day:
            self._move_landmarks(tick // _DAY_TICKS)
        # Above this level, both times fall into the same slot: nothing there has grown old.
        top = min((last ^ tick).bit_length(), LEVELS) - 1
        waiting = self.waiting
        for level in range(top, -1, -1):  # from above, so that slots are free when they fill
            slots = waiting[level << 4 : (level + 1) << 4]
            if slots == _NOBODY:
                continue
            newest, oldest = last >> level, (tick >> level) - _MASK
            for place, count in enumerate(slots):
                if count:
                    index = newest - ((newest - place) & _MASK)
                    if index < oldest:
                        waiting[level << 4 | place] = 0
                        self.count(index << level, count)

    def count(self, tick: int, count: int) -> None:
        """Add to those that wait since `tick`, which isn't later than the cell's clock."""
        position = _position(tick, self.tick)
        if position is not None:
            self.waiting[position] += count
            return
        middle_us = _middle_us(LEVELS - 1, tick >> LEVELS - 1)
        for pace, weight in enumerate(_weights(middle_us, self.day)):
            self.exits[pace * _PACE + _SILENT] += count * weight

    def _move_landmarks(self, day: int) -> None:
        for pace, halves in enumerate(_halves_between(self.day, day)):
            shrink = math.ldexp(1.0, -halves)
            for place in range(pace * _PACE, (pace + 1) * _PACE):
                self.exits[place] *= shrink
        self.day = day
        self.next_day = (day + 1) * _DAY_TICKS

    # --- two into one ----------------------------------------------------------------

    def merge(self, other: Cell) -> None:
        """Add what another cell counted, as if this one had been told of it too."""
        theirs = other.copy()
        self.move_to(theirs.tick)
        theirs.move_to(self.tick)
        for place, value in enumerate(theirs.exits):
            self.exits[place] += value
        for place, count in enumerate(theirs.waiting):
            self.waiting[place] += count
        self.version += 1

    def copy(self) -> Cell:
        """Return a cell of the same counts."""
        twin = Cell()
        twin.tick, twin.day, twin.next_day = self.tick, self.day, self.next_day
        twin.exits, twin.waiting = self.exits[:], self.waiting[:]
        twin.version = self.version
        return twin

    # --- to keep, and back -----------------------------------------------------------

    def encode(self) -> bytes:
        """Return the cell as bytes, as many as it has to say."""
        kept = _Kept(
            FORMAT,
            self.tick,
            self.day,
            [(place, value) for place, value in enumerate(self.exits) if value],
            [(place, count) for place, count in enumerate(self.waiting) if count],
        )
        return _encoder.encode(kept)

    @classmethod
    def decode(cls, kept: bytes) -> Cell:
        """Return the cell of encoded bytes, or raise UnreadableCell."""
        cell = cls()
        try:
            found = _decoder.decode(kept)
            for place, value in found.exits:
                cell.exits[place] = value
            for place, count in found.waiting:
                cell.waiting[place] = count
        except (msgspec.DecodeError, IndexError, OverflowError) as error:
            raise UnreadableCell(str(error)) from error
        if found.form != FORMAT:
            raise UnreadableCell(f"a cell of format {found.form}, not {FORMAT}")
        cell.tick, cell.day = found.tick, found.day
        cell.next_day = (found.day + 1) * _DAY_TICKS
        return cell

    # --- what it says now ------------------------------------------------------------

    def exposure(self, pace: Pace, now_us: int) -> Exposure:
        """Return receipts and hand-offs at risk, bin by bin, as they weigh now.

        A hand-off's weight in a bin is its decay since it entered that bin, so that an hour's
        memory of what happens after ten hours is the last hour's, not the tenth's before.
        """
        start = pace * _PACE
        positive = [max(value, 0.0) for value in self.exits[start : start + _ROW]]
        negative = [max(value, 0.0) for value in self.exits[start + _ROW : start + _SILENT]]
        leaving = [p + n for p, n in zip(positive, negative, strict=True)]
        leaving[BINS] += max(self.exits[start + _SILENT], 0.0)
        halfway = [0.0] * _ROW
        for sent_us, count in self.waiting_since():
            weight = count * _weights(sent_us, self.day)[pace]
            halfway[bin_of((now_us - sent_us) / 1e6)] += weight
        at_risk = [0.0] * _ROW
        reached = 0.0
        for place in range(BINS, -1, -1):
            reached += leaving[place] + halfway[place]
            at_risk[place] = reached - halfway[place] / 2
        half_us = _HALF_US[pace]
        since_us = _landmarks_us(self.day)[pace] - now_us
        scale = [2.0 ** ((since_us + edge * 1e6) / half_us) for edge in EDGES_S]
        return Exposure(
            positive=[value * by for value, by in zip(positive, scale, strict=True)],
            negative=[value * by for value, by in zip(negative, scale, strict=True)],
            at_risk=[value * by for value, by in zip(at_risk, scale, strict=True)],
        )

    def waiting_since(self) -> list[tuple[int, int]]:
        """Return those that wait, as (the middle of their slot of time, how many)."""
        found = []
        for position, count in enumerate(self.waiting):
            if count > 0:
                level, place = position >> 4, position & _MASK
                newest = self.tick >> level
                index = newest - ((newest - place) & _MASK)
                found.append((_middle_us(level, index), count))
        return found


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)


# --- what is told to a chain of cells ---------------------------------------------------


def sent(cells: Sequence[Cell], sent_us: int, now_us: int) -> None:
    """Count a hand-off that waits for its receipt."""
    _wait(cells, sent_us, now_us, 1)


def withdrawn(cells: Sequence[Cell], sent_us: int, now_us: int) -> None:
    """Take back a hand-off that proved to be none, as if it had never been told."""
    _wait(cells, sent_us, now_us, -1)


def answered(cells: Sequence[Cell], sent_us: int, now_us: int, *, positive: bool) -> None:
    """Count the final receipt, which came at `now_us`, of a hand-off told before or after."""
    age_s = max(now_us - sent_us, 0) / 1e6
    place = bin_of(age_s) + (0 if positive else _ROW)
    day, fast, slow = -1, 0.0, 0.0
    for cell in _wait(cells, sent_us, now_us, -1):
        if cell.day != day:
            day = cell.day
            fast, slow = _weights(sent_us, day)
        exits = cell.exits
        exits[place] += fast
        exits[place + _PACE] += slow


def _wait(cells: Sequence[Cell], sent_us: int, now_us: int, count: int) -> Sequence[Cell]:
    began = min(sent_us, now_us) // TICK_US
    tick = now_us // TICK_US
    usual = _position(began, tick)  # in every cell whose clock this event moves
    for cell in cells:
        if tick > cell.tick:
            cell.move_to(tick)
        if cell.tick == tick and usual is not None:
            cell.waiting[usual] += count
        else:
            cell.count(began, count)
        cell.version += 1
    return cells


def bin_of(age_s: float) -> int:
    """Return the bin of an age; BINS is past the horizon."""
    return bisect_right(EDGES_S, age_s) - 1


# --- time -----------------------------------------------------------------------------


def _position(tick: int, clock: int) -> int | None:
    """Return where a tick is counted when the clock stands at `clock`; None: too long ago."""
    passed = clock - tick
    level = max(passed.bit_length() - 4, 0)
    if (clock >> level) - (tick >> level) > _MASK:
        level += 1  # its slot began a little before it
    if level >= LEVELS:
        return None
    return level << 4 | tick >> level & _MASK


def _middle_us(level: int, index: int) -> int:
    return ((2 * index + 1) << level) * TICK_US // 2


def _landmarks_us(day: int) -> tuple[int, int]:
    return day * _DAY_US, day // _SEASON_DAYS * _SEASON_DAYS * _DAY_US


def _halves_between(before: int, after: int) -> tuple[int, int]:
    """Return how many half-lives each landmark moves, whole ones."""
    seasons = after // _SEASON_DAYS - before // _SEASON_DAYS
    return (after - before) * _DAY_HALVES, seasons * _DAY_HALVES


def _weights(sent_us: int, day: int) -> tuple[float, float]:
    fast_us, slow_us = _landmarks_us(day)
    fast, slow = (sent_us - fast_us) / _HALF_US[0], (sent_us - slow_us) / _HALF_US[1]
    return 2.0**fast, 2.0**slow
