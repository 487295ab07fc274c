"""Pacing: never faster than agreed, slower when told, and back again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.pacing import HOLD_FIRST_US, HOLD_MAX_US, Pacer, within

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
RATES = st.floats(0.05, 5000)
STEPS = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 40)), max_size=60)


def slowed(rate: float | None, burst: int) -> Pacer:
    """Return a pacer that was throttled at a pace at which something was just taken."""
    pacer = Pacer(rate, burst)
    pacer.succeeded(NOW)
    pacer.throttled(NOW)
    return pacer


def drained(rate: float | None, burst: int) -> Pacer:
    pacer = Pacer(rate, burst)
    pacer.take(burst, NOW)
    return pacer


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pacer = Pacer(10, 5)
    assert pacer.available(NOW) == 5
    assert pacer.take(8, NOW) == 5
    assert pacer.next_at(NOW) == NOW + SECOND // 10
    assert pacer.take(8, NOW + SECOND // 10 - 1) == 0
    assert pacer.take(8, NOW + SECOND // 10) == 1
    assert pacer.available(NOW + 60 * SECOND) == 5
    assert pacer.next_at(NOW + 60 * SECOND) is None


def test_a_rate_may_be_a_fraction() -> None:
    pacer = drained(0.2, 1)
    assert pacer.next_at(NOW) == NOW + 5 * SECOND
    assert pacer.take(1, NOW + 5 * SECOND) == 1


def test_nothing_asked_is_nothing_taken() -> None:
    pacer = Pacer(10, 1)
    assert pacer.take(0, NOW) == 0
    assert pacer.take(-3, NOW) == 0
    assert pacer.available(NOW) == 1


@given(RATES, st.integers(1, 50), STEPS)
def test_no_window_exceeds_burst_and_rate(
    rate: float, burst: int, steps: list[tuple[int, int]]
) -> None:
    """Invariant 28: PDUs a second stay within the limit, whatever is asked when."""
    pacer, now, granted = Pacer(rate, burst), NOW, 0
    for elapsed, asked in steps:
        now += elapsed
        got = pacer.take(asked, now)
        assert 0 <= got <= asked
        granted += got
        assert granted <= burst + rate * (now - NOW) / SECOND * 1.00001 + 1e-6


@given(
    st.integers(1, 5000), st.lists(st.integers(0, SECOND), min_size=1, max_size=60).map(sorted)
)
def test_no_second_sees_more_than_the_limit(limit: int, instants: list[int]) -> None:
    """Invariant 28: a burst after a rest is part of the limit, not on top of it."""
    pacer = Pacer(*within(limit))
    granted = sum(pacer.take(limit, NOW + at) for at in instants if at < SECOND)
    assert granted <= limit


@pytest.mark.parametrize("limit", [0.5, 1, 7.5, 20, 39, 40, 100, 999, 5000])
def test_little_of_the_limit_is_given_up_for_bursts(limit: float) -> None:
    rate, burst = within(limit)
    assert burst >= 1
    assert limit * 0.95 <= rate <= limit


@given(RATES, st.integers(1, 50), STEPS)
def test_next_at_is_the_first_moment_that_works(
    rate: float, burst: int, steps: list[tuple[int, int]]
) -> None:
    pacer, now = Pacer(rate, burst), NOW
    for elapsed, asked in steps:
        now += elapsed
        pacer.take(asked, now)
        at = pacer.next_at(now)
        if at is None:
            assert pacer.available(now) >= 1
        else:
            assert now < at
            assert pacer.available(at - 1) == 0
            assert pacer.available(at) == 1
            now = at


def test_a_clock_that_steps_back_gives_nothing_and_breaks_nothing() -> None:
    pacer = drained(10, 5)
    assert pacer.take(1, NOW - 3600 * SECOND) == 0
    assert pacer.take(1, NOW + SECOND // 10) == 1


def test_what_was_not_sent_can_be_given_back() -> None:
    pacer = drained(10, 5)
    pacer.give_back(3, NOW)
    assert pacer.available(NOW) == 3
    pacer.give_back(99, NOW)
    assert pacer.available(NOW) == 5


def test_nothing_is_given_back_into_a_hold() -> None:
    pacer = drained(10, 5)
    pacer.throttled(NOW)
    pacer.give_back(5, NOW)
    assert pacer.available(NOW + HOLD_FIRST_US) == 1


def test_a_throttle_halves_the_rate_and_holds_the_bind() -> None:
    pacer = slowed(100, 10)
    assert pacer.rate_per_s == 50
    assert pacer.held_until_us == NOW + HOLD_FIRST_US
    assert pacer.available(NOW + HOLD_FIRST_US - 1) == 0
    assert pacer.take(5, NOW + HOLD_FIRST_US - 1) == 0
    assert pacer.next_at(NOW) == NOW + HOLD_FIRST_US
    assert pacer.take(5, NOW + HOLD_FIRST_US) == 1, "one PDU tries the ground"
    assert pacer.next_at(NOW + HOLD_FIRST_US) == NOW + HOLD_FIRST_US + SECOND // 50


def test_answers_already_under_way_change_nothing() -> None:
    """A window of ten throttled at once is one sign, not ten."""
    pacer = slowed(100, 10)
    for _ in range(9):
        pacer.throttled(NOW)
    pacer.succeeded(NOW)
    assert pacer.rate_per_s == 50
    assert pacer.held_until_us == NOW + HOLD_FIRST_US


def test_holds_double_to_a_minute_and_spare_the_rate_of_who_is_silent() -> None:
    """A throttle right after a silence says nothing of the pace."""
    pacer, now, holds = slowed(64, 3), NOW, []
    for _ in range(9):
        holds.append((pacer.held_until_us - now) // SECOND)
        now = pacer.held_until_us
        pacer.throttled(now)
    assert holds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert HOLD_MAX_US == 60 * SECOND
    assert pacer.rate_per_s == 32
    assert pacer.available(pacer.held_until_us) == 3, "a probe a second, within a burst"


def test_a_pace_that_is_too_fast_again_and_again_is_halved_down_to_a_floor() -> None:
    pacer = Pacer(64, 10)
    for _ in range(9):
        now = max(NOW, pacer.held_until_us)
        pacer.succeeded(now)
        pacer.throttled(now)
    assert pacer.rate_per_s is not None
    assert 1 <= pacer.rate_per_s <= 2
    assert pacer.held_until_us - now == HOLD_FIRST_US


def test_a_success_ends_the_streak_of_holds() -> None:
    pacer = Pacer(100, 10)
    pacer.throttled(NOW)
    pacer.throttled(NOW + 2 * SECOND)
    pacer.succeeded(NOW + 5 * SECOND)
    pacer.throttled(NOW + 6 * SECOND)
    assert pacer.held_until_us == NOW + 6 * SECOND + HOLD_FIRST_US


def test_successes_bring_the_rate_back_evenly_and_no_further() -> None:
    pacer = slowed(100, 10)
    start = pacer.held_until_us
    for second in range(1, 13):
        pacer.succeeded(start + second * SECOND)
        assert pacer.rate_per_s == min(100, 50 + 5 * second)


def test_many_successes_in_a_second_count_no_more_than_one() -> None:
    pacer = slowed(100, 10)
    start = pacer.held_until_us
    for step in range(1, 1001):
        pacer.succeeded(start + step * 1000)
    pacer.succeeded(start + SECOND)
    assert pacer.rate_per_s == pytest.approx(55, abs=0.01)


def test_a_success_long_after_the_last_raises_by_one_step() -> None:
    pacer = slowed(100, 10)
    pacer.succeeded(NOW + 3600 * SECOND)
    assert pacer.rate_per_s == 55


def test_without_a_rate_everything_goes() -> None:
    pacer = Pacer(None, 10)
    assert pacer.take(100_000, NOW) == 100_000
    assert pacer.available(NOW) == 10
    assert pacer.next_at(NOW) is None
    pacer.succeeded(NOW)
    assert pacer.rate_per_s is None


def test_without_a_rate_a_throttle_learns_one_until_it_is_reached_again() -> None:
    pacer = Pacer(None, 10)
    assert pacer.take(200, NOW) == 200
    assert pacer.take(1, NOW + SECOND) == 1
    pacer.succeeded(NOW + SECOND)
    pacer.throttled(NOW + SECOND)
    assert pacer.rate_per_s == 100
    assert pacer.take(5, NOW + SECOND) == 0
    start = pacer.held_until_us
    assert pacer.take(5, start) == 1
    for second in range(1, 10):
        pacer.succeeded(start + second * SECOND)
    assert pacer.rate_per_s == 190
    pacer.succeeded(start + 10 * SECOND)
    assert pacer.rate_per_s is None
    assert pacer.take(5000, start + 10 * SECOND) == 5000


def test_without_a_rate_a_quiet_bind_is_not_taken_for_a_slow_one() -> None:
    """What it carried in the last second says nothing; its first success sets it free."""
    pacer = Pacer(None, 10)
    pacer.take(50, NOW - 3600 * SECOND)
    pacer.throttled(NOW)
    assert pacer.rate_per_s == 50
    pacer.succeeded(NOW + HOLD_FIRST_US + SECOND // 20)
    assert {pacer.rate_per_s, pacer.slowed_since_us} == {None}


def test_without_a_rate_who_is_taken_and_throttled_in_turn_is_slowed_to_a_trickle() -> None:
    pacer, now = Pacer(None, 10), NOW
    for _ in range(10):
        pacer.succeeded(now)
        pacer.throttled(now)
        now = pacer.held_until_us
    assert pacer.rate_per_s == pytest.approx(1, abs=3)
    assert pacer.next_at(NOW) == pacer.held_until_us


WHAT_HAPPENS = st.sampled_from(
    ["take", "scout", "throttled", "absolved", "succeeded", "unsent"]
)


@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(0, SECOND // 2), WHAT_HAPPENS), max_size=80),
)
def test_whatever_a_provider_says_no_second_sees_more_than_the_limit(
    limit: int, steps: list[tuple[int, str]]
) -> None:
    """Invariant 28: holds, absolutions and scouts don't make more of a second.

    The report behind it: a bind of 5 a second that was throttled and absolved in turn got 9.
    """
    pacer, now, sent = Pacer(*within(limit)), NOW, list[int]()
    for elapsed, what in steps:
        now += elapsed
        if what == "take":
            sent += [now] * pacer.take(limit, now)
        elif what == "scout":
            sent += [now] * pacer.scout(now)
        elif what == "throttled":
            pacer.throttled(now, in_doubt=len(sent) % 2 == 0)
        elif what == "absolved":
            pacer.absolve()
        elif what == "succeeded":
            pacer.succeeded(now)
        elif sent and sent[-1] == now:
            pacer.give_back(1, now)
            sent.pop()
        assert sum(at > now - SECOND for at in sent) <= limit


def test_a_scout_goes_out_during_a_hold_as_the_limit_allows() -> None:
    pacer = slowed(2.0, 1)
    assert pacer.take(1, NOW) == 0
    assert pacer.scout(NOW)
    assert not pacer.scout(NOW)
    assert pacer.scout_at(NOW) == NOW + SECOND // 2
    assert pacer.scout(NOW + SECOND // 2)
    assert slowed(None, 3).scouts(NOW) == 3
    assert slowed(None, 3).scout_at(NOW) == NOW


@pytest.mark.parametrize("rate", [None, 100.0])
def test_a_bind_that_is_absolved_goes_on_at_its_full_pace(rate: float | None) -> None:
    pacer = slowed(rate, 10)
    pacer.absolve()
    assert (pacer.rate_per_s, pacer.slowed_since_us) == (rate, None)
    assert pacer.available(NOW + SECOND) >= 1
    pacer.absolve()
    pacer.throttled(NOW + SECOND)
    assert pacer.held_until_us == NOW + SECOND + HOLD_FIRST_US, "the next hold is a first one"


def test_it_says_since_when_it_is_slowed() -> None:
    pacer = Pacer(100, 10)
    assert pacer.slowed_since_us is None
    pacer.throttled(NOW)
    pacer.throttled(NOW + HOLD_FIRST_US)
    assert pacer.slowed_since_us == NOW
    pacer.succeeded(NOW + 5 * SECOND)
    assert pacer.slowed_since_us is None, "its rate was never halved"
    pacer.throttled(NOW + 5 * SECOND)
    for second in range(6, 17):
        assert pacer.slowed_since_us == NOW + 5 * SECOND
        pacer.succeeded(NOW + second * SECOND)
    assert pacer.slowed_since_us is None


@pytest.mark.parametrize("rate", [0, -1, 2_000_000, float("nan")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="a rate is"):
        Pacer(rate, 1)


def test_a_burst_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one PDU"):
        Pacer(1, 0)


@pytest.mark.parametrize("configured", [None, 1000.0, 100.0, 20.0])
@pytest.mark.parametrize("allowed", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_storm_of_throttles_finds_the_rate_that_is_allowed(
    configured: float | None, allowed: int
) -> None:
    """Ten minutes of a provider that allows a fraction: what it allows is nearly all used."""
    pacer = Pacer(*within(configured)) if configured else Pacer(None, 50)
    step_us, round_trip = 5_000, 10  # answers come 50 ms later
    tokens, taken, under_way = float(allowed), 0, [(0, 0)] * round_trip
    for step in range(600 * SECOND // step_us):
        now = NOW + step * step_us
        accepted, throttled = under_way.pop(0)
        if accepted:
            pacer.succeeded(now)
        if throttled:
            pacer.throttled(now)
        sent = pacer.take(min(50, pacer.available(now)), now)
        tokens = min(float(allowed), tokens + allowed * step_us / SECOND)
        accepted = min(sent, int(tokens))
        tokens -= accepted
        taken += accepted
        under_way.append((accepted, sent - accepted))
    possible = 600 * min(allowed, within(configured)[0] if configured else allowed)
    assert taken >= 0.8 * possible


def test_a_hold_is_short_while_it_is_in_doubt_whose_fault_it_is() -> None:
    pacer, now, holds = Pacer(100, 10), 0, []
    for _ in range(6):
        pacer.throttled(now, in_doubt=True)
        holds.append(pacer.held_until_us - now)
        now = pacer.held_until_us
    assert [each // 1_000_000 for each in holds] == [1, 2, 4, 5, 5, 5]
