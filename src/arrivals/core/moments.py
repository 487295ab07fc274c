"""Read moments and days as people and programs write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from arrivals.core.instants import SECOND_US

DAY_US: Final = 86_400 * SECOND_US

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
    r"(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
# An unescaped + in a query string arrives as a space.
_LOST_PLUS: Final = re.compile(r"(?<=[0-9]) (?=\d{2}:?\d{2}$)", re.ASCII)


def iso_day(day: int) -> str:
    """Print days since 1970 as a date."""
    return (_EPOCH + timedelta(days=day)).date().isoformat()


def read_moment(text: str, *, zone_needed: bool = False) -> int | None:
    """Read a moment as microseconds since 1970, or return None; UTC where no zone is given."""
    match = _MOMENT.fullmatch(text)
    if match is None or (zone_needed and match["zone"] is None):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def read_moment_in_query(text: str) -> int | None:
    """Read a moment with its zone, whether or not its + was escaped; None if it isn't one."""
    return read_moment(_LOST_PLUS.sub("+", text), zone_needed=True)


def read_day_or_moment(text: str) -> tuple[int, int] | None:
    """Read a day or a moment as its first microsecond and the first one after it, or None."""
    if _DATE.fullmatch(text):
        start = read_moment(f"{text}T00:00Z")
        return None if start is None else (start, start + DAY_US)
    moment = read_moment(text)
    if moment is None:
        moment = read_moment(_LOST_PLUS.sub("+", text))
    return None if moment is None else (moment, moment + 1)


def read_end(text: str) -> int | None:
    """Read when something ends: with a day (UTC), or at a moment; None if it is neither."""
    found = read_day_or_moment(text.strip())
    if found is None:
        return None
    start, after = found
    return after if after - start == DAY_US else start
