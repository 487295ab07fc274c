"""When something ends, as people write it."""

from __future__ import annotations

import pytest

from arrivals.core.instants import rfc3339
from arrivals.core.moments import (
    iso_day,
    read_day_or_moment,
    read_end,
    read_moment,
    read_moment_in_query,
)

DAY_US = 86_400_000_000
NOON_US = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-22", NOON_US + DAY_US // 2),  # with its end
        (" 2026-11-22T12:00:00Z ", NOON_US),
        ("2026-11-22T13:00+01:00", NOON_US),
        ("2026-11-22T12:00", NOON_US),
        ("2026-11-31", None),
        ("2026-13-01T00:00Z", None),
        ("tomorrow", None),
    ],
)
def test_an_end_is_a_days_end_or_a_moment(text: str, end: int | None) -> None:
    assert read_end(text) == end


def test_a_moment_needs_its_zone_only_where_that_is_asked() -> None:
    assert read_moment("2026-11-22T12:00:00") == NOON_US
    assert read_moment("2026-11-22T12:00:00", zone_needed=True) is None
    assert read_moment(rfc3339(NOON_US), zone_needed=True) == NOON_US


def test_a_plus_that_a_query_lost_is_put_back() -> None:
    assert read_moment_in_query("2026-11-22T13:00:00 01:00") == NOON_US
    assert read_day_or_moment("2026-11-22T13:00:00 01:00") == (NOON_US, NOON_US + 1)


def test_a_day_prints_as_it_reads() -> None:
    found = read_day_or_moment("2026-11-22")
    assert found == (NOON_US - DAY_US // 2, NOON_US + DAY_US // 2)
    assert iso_day(found[0] // DAY_US) == "2026-11-22"
