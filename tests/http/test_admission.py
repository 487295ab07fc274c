"""The bound follows the answers; who is refused is told a time that spreads the others."""

from __future__ import annotations

from arrivals.core.errors import Refusal
from arrivals.http import admission as admitting
from arrivals.http.admission import Admission


def told(admission: Admission, now: float) -> int | None:
    """Return after how many seconds to come again, or None: it was taken in hand."""
    try:
        admission.admit(now)
    except Refusal as refusal:
        return refusal.retry_after_s
    admission.in_hand += 1
    return None


def filled(admission: Admission, now: float = 0.0) -> Admission:
    while told(admission, now) is None:
        pass
    return admission


def test_what_fits_is_taken_and_the_rest_told_when_to_come() -> None:
    admission = filled(Admission())
    assert admission.in_hand == admitting.IN_HAND_FIRST
    assert told(admission, 0.1) == 1
    admission.answer(0.01, 0.2)
    assert told(admission, 0.2) is None
    later = [told(admission, 0.3) for _ in range(2_000)]
    assert later == sorted(later, key=lambda each: each or 0)
    assert later[-1] is not None
    assert 3 <= later[-1] <= admitting.RETRY_AFTER_MAX_S


def test_late_answers_lower_the_bound_once_together_and_never_to_nothing() -> None:
    admission = filled(Admission())
    for _ in range(100):
        admission.answer(1.0, 10.0)
    assert admission.bound == admitting.IN_HAND_FIRST * admitting.LOWERED_TO
    for second in range(100):
        admission.answer(1.0, 11.0 + second)
    assert admission.bound == admitting.IN_HAND_MIN


def test_answers_that_come_soon_raise_it_while_it_is_made_use_of() -> None:
    admission = filled(Admission())
    for n in range(5_000):
        admission.answer(0.01, n / 1_000)
        assert told(admission, n / 1_000) is None
    assert admission.bound > admitting.IN_HAND_FIRST + 3
    idle = Admission()
    for n in range(5_000):
        told(idle, n / 1_000)
        idle.answer(0.01, n / 1_000)
    assert idle.bound == admitting.IN_HAND_FIRST


def test_those_who_were_refused_are_forgotten_as_their_turn_comes() -> None:
    admission = filled(Admission())
    for _ in range(5_000):
        after_s = told(admission, 0.5)
    assert after_s is not None
    assert after_s > 5
    for n in range(1_000):
        admission.answer(0.01, 1.0 + n / 500)
    assert told(admission, 60.0) is None
    filled(admission, 60.0)
    assert told(admission, 60.0) == 1
