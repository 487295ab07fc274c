"""Retries: when, how often, and never past the message's validity."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.retry import RULES, SPREAD, Cause, next_at, share_of

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
FAR = NOW + 24 * 3600 * SECOND
CAUSES = st.sampled_from(list(Cause))
JITTERS = st.floats(0, 1, exclude_max=True)


def wait(cause: Cause, attempt: int, jitter: float = 0.999999) -> float | None:
    """Return the wait in seconds, to the tenth, with nearly the longest jitter."""
    at = next_at(cause, attempt, NOW, jitter, deadline_us=FAR)
    return None if at is None else round((at - NOW) / SECOND, 1)


@pytest.mark.parametrize(
    ("cause", "waits"),
    [
        (Cause.THROTTLED, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Cause.NOT_SENT, [0.5, 1, 2, 4, 8, 16, 30, 30]),
        (Cause.NOT_BOUND, [0.5, 1, 2, 4, 8, 16, 30, 30]),
        (Cause.REFUSED_RETRYABLE, [10, 30, 90, 270, None]),
    ],
)
def test_waits_grow_to_a_ceiling(cause: Cause, waits: list[float | None]) -> None:
    assert [wait(cause, attempt) for attempt in range(1, len(waits) + 1)] == waits


def test_every_cause_has_a_rule() -> None:
    assert set(RULES) == set(Cause)


@pytest.mark.parametrize("cause", [Cause.THROTTLED, Cause.NOT_SENT, Cause.NOT_BOUND])
def test_being_throttled_or_never_sent_uses_no_budget(cause: Cause) -> None:
    """Invariant 27: however often it happens, only time ends it."""
    assert wait(cause, 100_000) is not None


@given(CAUSES, st.integers(1, 200), JITTERS, st.integers(0, 200 * SECOND))
def test_no_retry_at_or_past_the_deadline(
    cause: Cause, attempt: int, jitter: float, left: int
) -> None:
    """Invariant 27: every retry respects the message's validity."""
    at = next_at(cause, attempt, NOW, jitter, deadline_us=NOW + left)
    assert at is None or NOW < at < NOW + left


@given(CAUSES, st.integers(1, 4), JITTERS)
def test_jitter_spreads_the_upper_half_of_the_wait(
    cause: Cause, attempt: int, jitter: float
) -> None:
    longest = next_at(cause, attempt, 0, 0.9999999, deadline_us=FAR)
    at = next_at(cause, attempt, 0, jitter, deadline_us=FAR)
    if longest is None or at is None:
        assert at == longest
        return
    floor = 1 - SPREAD
    # The longest jitter drawn is a little below 1, and each wait is a whole microsecond.
    tolerance = 1 + longest * 1e-6
    assert longest * floor - tolerance <= at <= longest + tolerance


@given(CAUSES, JITTERS)
def test_waits_never_shrink(cause: Cause, jitter: float) -> None:
    times = [next_at(cause, attempt, 0, jitter, deadline_us=FAR) for attempt in range(1, 60)]
    known = [at for at in times if at is not None]
    assert all(before <= after for before, after in pairwise(known))


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        next_at(Cause.THROTTLED, 0, NOW, 0.0, deadline_us=FAR)


@given(st.integers(0, 1 << 60), st.integers(0, 10_000))
def test_a_message_s_own_share_is_the_same_at_every_run(key: int, attempt: int) -> None:
    assert 0 <= share_of(key, attempt) < 1
    assert share_of(key, attempt) == share_of(key, attempt)


def test_shares_of_neighbours_are_spread() -> None:
    """A thousand messages that were throttled at once don't come back at once."""
    shares = sorted(share_of(7 << 17 | n, 1) for n in range(1_000))
    assert max(after - before for before, after in pairwise(shares)) < 0.02
