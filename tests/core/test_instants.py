"""Moments and durations as they are shown."""

from __future__ import annotations

import pytest

from arrivals.core.instants import rfc3339, spell


def test_a_moment_is_rfc_3339_in_utc() -> None:
    """Microseconds are kept, and the zone is said."""
    assert rfc3339(0) == "1970-01-01T00:00:00.000000Z"
    assert rfc3339(1_800_000_000_123_456) == "2027-01-15T08:00:00.123456Z"


@pytest.mark.parametrize(
    ("duration_us", "said"),
    [
        (0, "0 ms"),
        (12_345, "12 ms"),
        (999_999, "999 ms"),
        (3_400_000, "3.4 s"),
        (38_900_000, "38 s"),
        (60_000_000, "1 min"),
        (125_000_000, "2 min 5 s"),
        (3_600_000_000, "1 h"),
        (12_000_000_000, "3 h 20 min"),
        (187_200_000_000, "2 d 4 h"),
    ],
)
def test_a_duration_is_said_as_people_say_it(duration_us: int, said: str) -> None:
    """Two units at most, and none that is zero."""
    assert spell(duration_us) == said
