"""Decide how many PDUs a bind may send now.

A token bucket in PDUs (parts, not messages: invariant 28) that slows down when the
provider says so. A throttled answer halves the rate, down to a floor, and holds the whole
bind: 1 s, then twice as long for each throttle that follows without a success, 60 s at
most. The rate is halved only if something was taken at it within the last second: who is
throttled right after a silence was not too fast. Successes bring the rate back in equal
steps. Answers to PDUs that were already under way when the hold began tell nothing new and
change nothing. Which throttled answers concern the bind at all is for `blame` to say.

The configured rate is what the provider sold: it holds at every moment, whatever the pace does
beside it. Neither a hold's end, nor an absolution, nor a scout that goes out during a hold
makes more of a second than it allows.

    clear ──throttled──▶ held (rate / 2) ──time──▶ slowed ──successes, absolved──▶ clear
                           ▲                         │
                           └──throttled (hold × 2)───┘

Without a configured rate there's no bucket until the first throttle; then the rate seen in
the last second stands in for the configured one until it has been reached again.

All arithmetic is exact: a rate is micro-PDUs a second, and a bucket holds 1e-12 of a PDU,
which is that rate times microseconds.
"""

from __future__ import annotations

from typing import Final

HOLD_FIRST_US: Final = 1_000_000
HOLD_MAX_US: Final = 60_000_000
HOLD_IN_DOUBT_US: Final = 5_000_000  # while it isn't known whether it was the pace
FLOOR_DIVISOR: Final = 64  # six halvings: a bind of 100/s still tries 1.6/s
RECOVERY_STEPS: Final = 20  # a twentieth of the full rate each second: 20 s from standstill
LEARNED_FLOOR_PER_S: Final = 1  # a bind without a rate is never slowed below one a second
# A quiet bind has shown nothing of what it can do: one throttled PDU must not teach it that
# its limit is the trickle it happened to carry. What is slower throttles again, and halves.
LEARNED_LEAST_PER_S: Final = 50
# A burst is a twentieth of the limit: enough to make up for 50 ms that a busy process was late.
BURSTS_PER_S: Final = 20

_SECOND_US: Final = 1_000_000
_PDU: Final = 1_000_000_000_000  # a bucket's unit is 1e-12 of a PDU
_RATE_MAX_PER_S: Final = 1_000_000


def within(limit_per_s: float) -> tuple[float, int]:
    """Return the rate and the burst that never make more than `limit_per_s` in any second.

    A full bucket and a second's refill may come together, so both fit under the limit: what
    the burst takes is missing from the rate.
    """
    burst = max(1, int(limit_per_s / BURSTS_PER_S))
    return limit_per_s - (burst - 1), burst


class _Bucket:
    """What may go at once: it fills at a rate, up to a burst."""

    __slots__ = ("_burst", "_level", "_updated_us")

    def __init__(self, burst: int) -> None:
        self._burst = burst
        self._level = burst * _PDU
        self._updated_us: int | None = None

    def holds(self, rate: int, now_us: int) -> int:
        """Return how many PDUs may go now."""
        if self._updated_us is None:
            self._updated_us = now_us
        elapsed_us = now_us - self._updated_us
        if elapsed_us > 0:
            self._level = min(self._level + elapsed_us * rate, self._burst * _PDU)
            self._updated_us = now_us
        return self._level // _PDU

    def take(self, n: int) -> None:
        self._level -= n * _PDU

    def give_back(self, n: int) -> None:
        self._level = min(self._level + n * _PDU, self._burst * _PDU)

    def set(self, n: int, at_us: int) -> None:
        """Hold so many PDUs at a moment, which may be still to come."""
        self._level, self._updated_us = n * _PDU, at_us

    def next_at(self, rate: int, now_us: int) -> int:
        """Return when a PDU may go, at a level that is up to date at `now_us`."""
        return now_us - (-max(0, _PDU - self._level) // rate)


class Pacer:
    """One bind's pace; time is handed in, in microseconds."""

    __slots__ = (
        "_burst",
        "_configured",
        "_full",
        "_hold_us",
        "_limit",
        "_pace",
        "_raised_us",
        "_rate",
        "_seen",
        "_seen_before",
        "_seen_since_us",
        "_succeeded_us",
        "_until_us",
        "slowed_since_us",
    )

    def __init__(self, rate_per_s: float | None, burst: int) -> None:
        """Start full. `rate_per_s` may be a fraction; None sets no limit."""
        if rate_per_s is not None and not 0 < rate_per_s <= _RATE_MAX_PER_S:
            raise ValueError("a rate is above 0 and at most 1,000,000 PDUs a second")
        if burst < 1:
            raise ValueError("a burst is at least one PDU")
        self._configured = None if rate_per_s is None else max(1, round(rate_per_s * 1e6))
        self._full = self._configured  # what successes climb back to
        self._rate = self._configured  # None: unlimited
        self._burst = burst
        self._limit = _Bucket(burst)  # at the configured rate, always
        self._pace = _Bucket(burst)  # at the pace in force
        self._until_us = 0  # the hold's end; a held bind always has a rate
        self._hold_us = HOLD_FIRST_US  # the next hold's length
        self._raised_us = 0
        self._seen = self._seen_before = 0  # PDUs in this second and the one before
        self._seen_since_us = 0
        self._succeeded_us = -_SECOND_US  # when something was taken, outside of a hold
        self.slowed_since_us: int | None = None  # None: nothing slows the bind

    @property
    def rate_per_s(self) -> float | None:
        """The pace in force now; None is unlimited."""
        return None if self._rate is None else self._rate / 1e6

    @property
    def held_until_us(self) -> int:
        """When the latest hold ends; 0 before the first."""
        return self._until_us

    def available(self, now_us: int) -> int:
        """Return how many PDUs may go now, at most one burst."""
        if self._rate is None:
            return self._burst
        if now_us < self._until_us:
            return 0
        return min(self._pace.holds(self._rate, now_us), self.scouts(now_us))

    def scouts(self, now_us: int) -> int:
        """Return how many PDUs may go even while the bind is held, at most one burst."""
        if self._configured is None:
            return self._burst
        return self._limit.holds(self._configured, now_us)

    def scout(self, now_us: int) -> bool:
        """Take a PDU that goes out though the bind is held; return whether it may."""
        if not self.scouts(now_us):
            return False
        self._limit.take(1)
        return True

    def take(self, n: int, now_us: int) -> int:
        """Take up to `n` PDUs from the bucket and return how many were granted."""
        if self._rate is None:
            granted = max(n, 0)
            self._count(granted, now_us)
        else:
            granted = max(min(n, self.available(now_us)), 0)
            self._pace.take(granted)
            self._limit.take(granted)
        return granted

    def give_back(self, n: int, now_us: int) -> None:
        """Return PDUs that were granted and never sent."""
        self._limit.give_back(n)
        if now_us >= self._until_us:
            self._pace.give_back(n)

    def next_at(self, now_us: int) -> int | None:
        """Return when the next PDU may go, or None when one may go now."""
        if self._rate is None or self.available(now_us):
            return None
        paced_us = self._pace.next_at(self._rate, max(now_us, self._until_us))
        return max(paced_us, self.scout_at(now_us))

    def scout_at(self, now_us: int) -> int:
        """Return when a PDU may go even while the bind is held."""
        if self.scouts(now_us):
            return now_us
        return self._limit.next_at(self._configured or 1, now_us)

    def throttled(self, now_us: int, *, in_doubt: bool = False) -> None:
        """Note a throttled answer: hold the whole bind, and halve its rate if that was it.

        `in_doubt` says that it may be somebody's own fault: then the hold is a short one.
        """
        if now_us < self._until_us:
            return
        if self.slowed_since_us is None:
            self.slowed_since_us = now_us
        if self._full is None:
            self._count(0, now_us)
            seen_per_s = max(self._seen, self._seen_before, LEARNED_LEAST_PER_S)
            self._full = self._rate = seen_per_s * 1_000_000
        rate = self._full if self._rate is None else self._rate
        was_pace = self._succeeded_us >= max(self._until_us, now_us - _SECOND_US)
        self._rate = max(rate // 2, self._floor(self._full)) if was_pace else rate
        if in_doubt:
            self._hold_us = min(self._hold_us, HOLD_IN_DOUBT_US)
        self._until_us = now_us + self._hold_us
        # One PDU for each second of silence tries the ground when the hold ends, so that one
        # answer doesn't speak for all; the rest comes at the new rate.
        probes = min(self._hold_us // HOLD_FIRST_US, self._burst)
        self._hold_us = min(self._hold_us * 2, HOLD_MAX_US)
        self._pace.set(probes, self._until_us)
        self._raised_us = self._until_us

    def absolve(self) -> None:
        """Go back to the full rate at once: what slowed the bind was not its pace."""
        if self.slowed_since_us is None:
            return
        self.slowed_since_us = None
        self._hold_us, self._until_us = HOLD_FIRST_US, 0
        self._full = self._rate = self._configured

    def succeeded(self, now_us: int) -> None:
        """Note an accepted PDU: end the streak of holds and raise the rate a little."""
        if now_us < self._until_us:
            return
        self._succeeded_us = now_us
        if self.slowed_since_us is None or self._full is None or self._rate is None:
            return
        self._hold_us = HOLD_FIRST_US
        if self._rate == self._configured:
            self.slowed_since_us = None
            return
        self._pace.holds(self._rate, now_us)
        elapsed_us = max(0, min(now_us - self._raised_us, _SECOND_US))
        step = self._full * elapsed_us // (RECOVERY_STEPS * _SECOND_US)
        if step == 0:
            return
        self._raised_us = now_us
        self._rate = min(self._rate + step, self._full)
        if self._rate == self._full:
            self.slowed_since_us = None
            if self._configured is None:
                self._full = self._rate = None

    def _floor(self, full: int) -> int:
        if self._configured is None:
            return LEARNED_FLOOR_PER_S * 1_000_000
        return max(1, full // FLOOR_DIVISOR)

    def _count(self, sent: int, now_us: int) -> None:
        """Keep the PDUs of this second and the last, to know the rate if throttled."""
        seconds = (now_us - self._seen_since_us) // _SECOND_US
        if seconds > 0:
            self._seen_before = self._seen if seconds == 1 else 0
            self._seen, self._seen_since_us = 0, self._seen_since_us + seconds * _SECOND_US
        self._seen += sent
