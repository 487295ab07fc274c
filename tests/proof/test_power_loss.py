"""Loss of power at any instant; `python -m tests.proof.power_loss` tries many more."""

from __future__ import annotations

import pytest

from tests.proof.mistakes import CARELESS_PRAGMAS, LateWriter
from tests.proof.power_loss import STATES_A_LIFE, ground, losses, out_of_order

STATES_A_CASE = 10 * STATES_A_LIFE
CASES = 5  # a thousand states


def _wrong(states: range, **planted: object) -> dict[int, list[str]]:
    with ground(**planted) as here:
        return {number: wrong for number, wrong in losses(here, states) if wrong}


def test_a_few_losses_of_power_lose_nothing():
    """Invariants 1, 2, 6, 7, 9, 13, 15, 17, 18, 20, 24, 25 and 37."""
    assert _wrong(range(6)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("case", range(CASES))
def test_losses_of_power_lose_nothing(case: int):
    """The same, in other states of other lives."""
    first = 100 * STATES_A_LIFE + case * STATES_A_CASE
    assert _wrong(range(first, first + STATES_A_CASE)) == {}


def test_nothing_is_told_before_the_log_is_synced():
    """Invariants 15 and 24, by the order in which things reached the disk and the outside."""
    with ground() as here:
        deeds = here.life_of(5)
        assert len(deeds) > 50
        assert out_of_order(deeds) == []


@pytest.mark.slow
def test_the_explorer_sees_what_is_not_synced():
    """The canary: with synchronous = NORMAL promises are told early, and some are lost."""
    with ground(pragmas=CARELESS_PRAGMAS) as here:
        assert out_of_order(here.life_of(5))
    wrong = _wrong(range(1, 80), pragmas=CARELESS_PRAGMAS)
    assert sum("told before" not in found[0] for found in wrong.values()) >= 3


@pytest.mark.slow
def test_the_explorer_sees_what_is_told_before_its_commit():
    """The canary: a writer that commits after it answered loses what it promised."""
    wrong = _wrong(range(1, 80), doomed=LateWriter)
    assert sum("told before" not in found[0] for found in wrong.values()) >= 10
