"""Print moments as RFC 3339 in UTC, and durations as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 24 * _HOUR_US

_SECONDS_REMEMBERED: Final = 64  # many answers tell of the same few seconds

# In the largest unit that fits, and the next smaller one.
_PAIRS: Final = (
    (_DAY_US, "d", _HOUR_US, "h"),
    (_HOUR_US, "h", _MINUTE_US, "min"),
    (_MINUTE_US, "min", SECOND_US, "s"),
)


def rfc3339(at_us: int) -> str:
    """Print microseconds since 1970 as `2026-11-22T19:18:03.512000Z`."""
    second, rest = divmod(at_us, SECOND_US)
    return f"{_whole_second(second)}.{rest:06d}Z"


@lru_cache(maxsize=_SECONDS_REMEMBERED)
def _whole_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


def spell(duration_us: int) -> str:
    """Say how long something took: `12 ms`, `3.4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if duration_us < SECOND_US:
        return f"{duration_us // 1_000} ms"
    if duration_us < 10 * SECOND_US:
        return f"{duration_us / SECOND_US:.1f} s"
    if duration_us < _MINUTE_US:
        return f"{duration_us // SECOND_US} s"
    whole_us, name, part_us, part_name = next(pair for pair in _PAIRS if duration_us >= pair[0])
    whole, rest = divmod(duration_us, whole_us)
    parts = rest // part_us
    return f"{whole} {name} {parts} {part_name}" if parts else f"{whole} {name}"
