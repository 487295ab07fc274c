"""The breaker: what is lost in a row stops the rest, and an answer brings it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.breaker import (
    LOST_LEAST,
    LOST_MAX,
    PAUSE_FIRST_US,
    PAUSE_MAX_US,
    TRANSITIONS,
    Breaker,
    State,
)

NOW = 1_000_000_000
LATER = 10 * PAUSE_MAX_US


def tripped(window: int = 10) -> Breaker:
    breaker = Breaker(window)
    while not breaker.lost(NOW, 1.0):
        pass
    return breaker


def test_every_state_is_reached_and_left() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) == set(TRANSITIONS.values())


def test_closed_it_sets_no_limit() -> None:
    breaker = Breaker(10)
    breaker.sent()
    breaker.answered()
    assert breaker.room(5, NOW) is None
    assert breaker.next_at(NOW) is None


@pytest.mark.parametrize(
    ("window", "lost_max"),
    [(1, LOST_LEAST), (2, LOST_LEAST), (7, 7), (10, 10), (500, LOST_MAX)],
)
def test_it_opens_after_as_many_as_a_usual_window_in_a_row(window: int, lost_max: int) -> None:
    breaker = Breaker(window)
    assert [breaker.lost(NOW, 0.0) for _ in range(lost_max)] == [False] * (lost_max - 1) + [
        True
    ]
    assert breaker.state is State.OPEN
    assert breaker.room(0, NOW) == 0


def test_one_answer_between_begins_the_count_anew() -> None:
    """A provider that loses one in two is slow and dear, and no outage."""
    breaker = Breaker(10)
    for _ in range(50):
        for _ in range(9):
            assert not breaker.lost(NOW, 0.0)
        breaker.answered()
    assert breaker.state is State.CLOSED


def test_a_window_that_was_out_gets_lost_without_a_longer_pause() -> None:
    breaker = tripped(100)
    until = breaker.next_at(NOW)
    for _ in range(90):
        assert not breaker.lost(NOW + 1, 0.0)
    assert breaker.next_at(NOW) == until


def test_one_message_at_a_time_tries_the_ground_after_pauses_that_grow() -> None:
    """A crash loop behind a balancer: it binds, takes the window, and is gone."""
    breaker, now, pauses = tripped(), NOW, []
    for _ in range(9):
        until = breaker.next_at(now)
        assert until is not None
        assert breaker.room(0, until - 1) == 0
        assert breaker.room(0, until) == 1
        pauses.append(until - now)
        now = until
        breaker.sent()
        assert (breaker.room(0, LATER), breaker.next_at(now)) == (0, None)
        assert breaker.lost(now, 1.0)
    assert pauses[:6] == [PAUSE_FIRST_US * 2**n for n in range(6)]
    assert max(pauses) == PAUSE_MAX_US


@given(st.floats(0, 1, exclude_max=True))
def test_the_first_pause_is_short(jitter: float) -> None:
    """A provider that restarts is found again within a second."""
    breaker = Breaker(1)
    while not breaker.lost(NOW, jitter):
        pass
    until = breaker.next_at(NOW)
    assert until is not None
    assert PAUSE_FIRST_US // 2 <= until - NOW <= PAUSE_FIRST_US


def test_answers_let_twice_as_many_out_each_time() -> None:
    breaker = tripped(10)
    breaker.sent()
    allowed = []
    while breaker.state is not State.CLOSED:
        breaker.answered()
        allowed.append(breaker.room(0, NOW))
    assert allowed == [2, 4, 8, None]


def test_what_is_out_counts_against_what_may_go() -> None:
    breaker = tripped(10)
    breaker.sent()
    breaker.answered()
    assert [breaker.room(out, NOW) for out in range(4)] == [2, 1, 0, 0]


def test_a_loss_while_it_opens_begins_with_one_again_after_a_short_pause() -> None:
    """It answers one and loses the next: then it gets little."""
    breaker = tripped(100)
    for _ in range(5):
        breaker.sent()
        breaker.answered()
        assert breaker.lost(NOW, 1.0)
        assert breaker.next_at(NOW) == NOW + PAUSE_FIRST_US
        assert breaker.room(0, NOW + PAUSE_FIRST_US) == 1


def test_an_answer_to_what_was_out_before_is_an_answer() -> None:
    breaker = tripped(10)
    breaker.answered()
    assert breaker.state is State.OPENING
    assert breaker.room(0, NOW) == 2


@given(st.integers(1, 200), st.data())
def test_what_is_lost_is_bounded_by_a_window_and_the_pauses(
    window: int, data: st.DataObject
) -> None:
    """A provider that takes and never answers, for an hour."""
    breaker, now, out, lost = Breaker(window), NOW, 0, 0
    end = NOW + 3_600_000_000
    while now < end:
        room = breaker.room(out, now)
        sent = window - out if room is None else min(room, window - out)
        for _ in range(sent):
            breaker.sent()
        out += sent
        for _ in range(out):
            breaker.lost(now, data.draw(st.floats(0, 0.9)) if lost < 5 else 0.0)
        lost, out = lost + out, 0
        now = breaker.next_at(now) or now + 10_000_000
    assert lost <= max(window, LOST_LEAST + window) + 7 + 2 * 60
