"""How a provider writes its receipts, learnt from those that matched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.habits import (
    CLOCK_RECEIPTS_MIN,
    FORM_RECEIPTS_MIN,
    INFERRED,
    PROVIDERS_MAX,
    RECEIPTS_MAX,
    STEP_US,
    STEPS_MAX,
    Habit,
    Habits,
)
from arrivals.smpp.receipts import IdForm

MINUTE_US = 60 * 1_000_000
HOUR_US = 60 * MINUTE_US
CAME_US = 1_800_000_000 * 1_000_000


def seen(*forms: tuple[str, int]) -> Habit:
    habit = Habit()
    for form, count in forms:
        for _ in range(count):
            habit.saw(form, None, CAME_US)
    return habit


@pytest.mark.parametrize(
    ("forms", "usual"),
    [
        ([(IdForm.HEX_TO_DECIMAL, FORM_RECEIPTS_MIN)], IdForm.HEX_TO_DECIMAL),
        ([(IdForm.HEX_TO_DECIMAL, FORM_RECEIPTS_MIN - 1)], None),
        ([(IdForm.AS_GIVEN, 990), (IdForm.LEADING_ZEROS, 10)], IdForm.AS_GIVEN),
        ([(IdForm.AS_GIVEN, 980), (IdForm.LEADING_ZEROS, 20)], None),
        # What was matched without an id shows nothing of its form.
        ([(IdForm.AS_GIVEN, 100), (INFERRED, 900)], IdForm.AS_GIVEN),
        ([(INFERRED, 900)], None),
        ([], None),
    ],
)
def test_a_form_is_known_when_it_is_sure(
    forms: list[tuple[str, int]], usual: IdForm | None
) -> None:
    assert seen(*forms).id_form is usual


def test_a_provider_that_changes_its_ways_is_found_out() -> None:
    """Soon nothing is sure any more, and in the end the new form is."""
    habit = seen((IdForm.AS_GIVEN, 50_000))
    for _ in range(200):
        habit.saw(IdForm.HEX_TO_DECIMAL, None, CAME_US)
    assert habit.id_form is None
    for _ in range(60_000):
        habit.saw(IdForm.HEX_TO_DECIMAL, None, CAME_US)
    assert habit.id_form is IdForm.HEX_TO_DECIMAL
    assert habit.receipts <= RECEIPTS_MAX


def clock(*ahead_us: int) -> int | None:
    habit = Habit()
    for each in ahead_us:
        habit.saw(IdForm.AS_GIVEN, CAME_US + each, CAME_US)
    return habit.clock_offset_minutes


def test_a_clocks_offset_is_a_median_in_quarters_of_an_hour() -> None:
    """Minutes without seconds, and receipts that come late, don't move it."""
    assert clock(*[8 * HOUR_US - 59_000_000] * CLOCK_RECEIPTS_MIN) == 480
    assert clock(*[345 * MINUTE_US] * CLOCK_RECEIPTS_MIN) == 345  # Nepal
    assert clock(*[0] * 15, *[-3 * HOUR_US] * 5) == 0
    assert clock(*[0] * (CLOCK_RECEIPTS_MIN - 1)) is None


def test_a_clock_that_no_zone_explains_isnt_counted() -> None:
    assert clock(*[15 * HOUR_US] * 100) is None
    assert clock(*[(STEPS_MAX + 1) * STEP_US] * 50, *[0] * CLOCK_RECEIPTS_MIN) == 0


@given(st.lists(st.integers(-20 * HOUR_US, 20 * HOUR_US), max_size=300))
def test_what_is_kept_has_a_bound(ahead_us: list[int]) -> None:
    habit = Habit()
    for each in ahead_us:
        habit.saw(IdForm.AS_GIVEN, CAME_US + each, CAME_US)
    assert len(habit.offsets) <= 2 * STEPS_MAX + 1
    minutes = habit.clock_offset_minutes
    assert minutes is None or abs(minutes) <= 14 * 60


def test_each_provider_has_its_own_up_to_a_bound() -> None:
    habits = Habits()
    for n in range(PROVIDERS_MAX + 1):
        habits.saw(f"p{n}", IdForm.AS_GIVEN, None, CAME_US)
    assert len(habits.by_provider) == PROVIDERS_MAX
    for _ in range(FORM_RECEIPTS_MIN):
        habits.saw("p7", IdForm.AS_GIVEN, None, CAME_US)
    assert habits.id_form("p7") is IdForm.AS_GIVEN
    assert habits.id_form("p8") is habits.id_form("nobody") is None
