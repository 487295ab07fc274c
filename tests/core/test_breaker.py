"""The breaker: what is lost stops the rest, and answers in a row bring it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.breaker import (
    LOST_LEAST,
    LOST_MAX,
    PAUSE_FIRST_US,
    PAUSE_MAX_US,
    PROOF_LEAST,
    STEADY_US,
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


@pytest.mark.parametrize(
    ("window", "taken", "lost"),
    [(10, 1, 9), (2, 1, 2), (1, 1, 1), (10, 1, 1), (10, 3, 9), (100, 1, 99), (10, 2, 1)],
)
def test_an_answer_between_losses_proves_nothing(window: int, taken: int, lost: int) -> None:
    """It bound, answered one, and dropped the connection at the tenth: 270 of 300 in doubt."""
    breaker, gone = Breaker(window), 0
    while breaker.state is State.CLOSED:
        for _ in range(taken):
            breaker.answered()
        for _ in range(lost):
            breaker.lost(NOW, 0.0)
            gone += 1
    assert gone <= 3 * max(window, LOST_MAX)


@pytest.mark.parametrize("window", [1, 10, 100])
def test_a_provider_that_loses_one_in_twenty_is_slow_and_dear_and_no_outage(
    window: int,
) -> None:
    breaker = Breaker(window)
    for _ in range(500):
        assert not breaker.lost(NOW, 0.0)
        for _ in range(19):
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


def test_answers_let_one_more_out_each_time() -> None:
    """So within one round trip twice as many: a window of ten takes four of them."""
    breaker = tripped(10)
    breaker.sent()
    allowed = []
    while breaker.state is not State.CLOSED:
        breaker.answered()
        allowed.append(breaker.room(0, NOW))
    assert allowed == [*range(2, 11), None]


def test_a_narrow_window_needs_a_row_of_answers_as_well() -> None:
    """Window 1, it answered one and dropped the next, for ever."""
    breaker = tripped(1)
    breaker.sent()
    assert [breaker.answered() for _ in range(PROOF_LEAST)] == [False] * (PROOF_LEAST - 1) + [
        True
    ]


def test_what_is_out_counts_against_what_may_go() -> None:
    breaker = tripped(10)
    breaker.sent()
    breaker.answered()
    assert [breaker.room(out, NOW) for out in range(4)] == [2, 1, 0, 0]


def test_a_loss_while_it_opens_begins_with_one_again_after_a_longer_pause() -> None:
    """It answers one and loses the next: then it gets less and less."""
    breaker, now = tripped(100), NOW
    for turn in range(1, 5):
        now = breaker.next_at(now) or now
        breaker.sent()
        breaker.answered()
        assert breaker.lost(now, 1.0)
        assert breaker.next_at(now) == now + PAUSE_FIRST_US * 2**turn
        assert breaker.room(0, now + PAUSE_FIRST_US * 2**turn) == 1


def test_pauses_go_on_growing_when_it_breaks_again_soon_after_it_closed() -> None:
    breaker, now = tripped(10), NOW
    until = breaker.next_at(now) or 0
    for after_us, pause_us in (
        (STEADY_US - 1, 2 * PAUSE_FIRST_US),
        (STEADY_US, PAUSE_FIRST_US),
    ):
        breaker.sent()
        while not breaker.answered():
            pass
        now = until + after_us
        while not breaker.lost(now, 1.0):
            pass
        until = breaker.next_at(now) or 0
        assert until - now == pause_us


def test_an_answer_to_what_was_out_before_changes_nothing() -> None:
    breaker = tripped(10)
    until = breaker.next_at(NOW)
    assert not breaker.answered()
    assert (breaker.state, breaker.next_at(NOW)) == (State.OPEN, until)


def test_a_try_that_never_left_is_made_again() -> None:
    """The connection was gone before the bytes left, and the breaker waited for ever."""
    breaker = tripped(10)
    until = breaker.next_at(NOW) or 0
    breaker.sent()
    breaker.unsent()
    assert (breaker.state, breaker.room(0, until)) == (State.OPEN, 1)


def test_what_was_lost_comes_back_late_and_more_goes_out_at_once() -> None:
    """A provider slower than its time-out: each answer came, and none was in time."""
    breaker = tripped(10)
    assert [breaker.regained() for _ in range(9)] == [False] * 9
    assert breaker.room(0, NOW) == 0
    assert breaker.regained(), "all ten are back"
    assert not breaker.lost(NOW, 0.0)
    assert not breaker.regained()
    assert breaker.room(0, NOW) is None


def test_a_slow_provider_is_given_more_with_each_row_that_comes_back() -> None:
    breaker, now, rows = tripped(10), NOW, []
    while breaker.state is not State.CLOSED:
        now = breaker.next_at(now) or now
        out = breaker.room(0, now) or 0
        rows.append(out)
        for _ in range(out):
            breaker.sent()
        for _ in range(out):
            breaker.lost(now, 1.0)
        for _ in range(out):
            breaker.regained()
    assert rows == [1, 2, 4, 8]


def test_late_answers_to_some_of_what_is_lost_open_nothing() -> None:
    breaker = tripped(10)
    for _ in range(20):
        breaker.sent()
        breaker.lost(NOW, 0.0)
        breaker.lost(NOW, 0.0)
        assert not breaker.regained()
        assert breaker.state is State.OPEN


def test_a_late_answer_while_one_is_out_counts() -> None:
    breaker = tripped(10)
    breaker.sent()
    breaker.regained()
    assert (breaker.state, breaker.room(0, NOW)) == (State.OPENING, 2)


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


@given(st.integers(1, 100), st.integers(1, 2), st.integers(1, 30))
def test_a_provider_that_takes_a_few_and_drops_the_rest_for_an_hour(
    window: int, taken: int, dropped: int
) -> None:
    """Each session answers so many, then cuts the connection under all that is out."""
    breaker, now, lost, tries = Breaker(window), NOW, 0, 0
    dropped = max(dropped, taken)
    while now < NOW + 3_600_000_000:
        now = (breaker.next_at(now) or now) + 1_000_000
        was_closed, answered = breaker.state is State.CLOSED, 0
        while True:
            room = breaker.room(0, now)
            out = min(window, dropped if room is None else room)
            for _ in range(out):
                breaker.sent()
            good = min(out, taken - answered)
            answered += good
            for _ in range(good):
                breaker.answered()
            if out > good:
                break
        for _ in range(out - good):
            lost += 1
            breaker.lost(now, 1.0)
        tries += not was_closed
    assert tries <= 2 * 70
    assert lost <= 4 * max(window, LOST_MAX) + tries * (taken + 1 + min(window, LOST_MAX))
