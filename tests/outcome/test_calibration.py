"""Calibration: scores of known answer, and who is put aside to check with."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.calibration import (
    Scored,
    is_held_out,
    score,
    wilson,
)


def test_scores_by_hand() -> None:
    """Two messages, one right and one half right."""
    found = score([Scored(1.0, True), Scored(0.5, False)], bins=2)
    assert found is not None
    assert found.brier == pytest.approx(0.125)
    assert found.log_loss == pytest.approx(math.log(2) / 2)
    assert found.ece == pytest.approx(0.25)
    assert found.arrived == 0.5
    assert [(row.count, row.said, row.arrived) for row in found.rows] == [
        (1, 0.5, 0.0),
        (1, 1.0, 1.0),
    ]


def test_nothing_has_no_score() -> None:
    """No message, no figure."""
    assert score([]) is None


def test_a_sure_mistake_has_a_finite_price() -> None:
    """To be sure and wrong is bad, not infinite."""
    found = score([Scored(1.0, False)])
    assert found is not None
    assert found.log_loss == pytest.approx(-math.log(1e-9))


def test_who_says_what_comes_is_calibrated() -> None:
    """Honest probabilities score near 0; the same ones stretched don't."""
    chance = random.Random(3)
    honest, stretched = [], []
    for _ in range(20_000):
        p = chance.random()
        arrived = chance.random() < p
        honest.append(Scored(p, arrived))
        stretched.append(Scored(min(1.0, p * 1.3), arrived))
    good, bad = score(honest), score(stretched)
    assert good is not None
    assert bad is not None
    assert good.ece < 0.015
    assert bad.ece > 0.08
    assert good.brier == pytest.approx(1 / 6, abs=0.01)
    assert [row.count for row in good.rows] == [1_000] * 20
    assert sum(row.arrived_low <= row.said <= row.arrived_high for row in good.rows) >= 18


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_rows_are_all_messages_in_order(drawn) -> None:
    """The table leaves nobody out, and scores don't depend on the order."""
    scored = [Scored(*each) for each in drawn]
    found = score(scored)
    assert found is not None
    assert sum(row.count for row in found.rows) == len(scored)
    assert all(row.low <= row.said * (1 + 1e-9) for row in found.rows)
    assert max(row.count for row in found.rows) - min(row.count for row in found.rows) <= 1
    assert score(scored[::-1]) == found
    assert 0.0 <= found.ece <= 1.0


def test_one_in_ten_is_put_aside() -> None:
    """The same ones each time, others under another secret, a tenth of them."""
    aside = [key for key in range(20_000) if is_held_out(key, b"secret")]
    assert len(aside) == pytest.approx(2_000, abs=150)
    assert all(is_held_out(key, b"secret") for key in aside[:50])
    assert sum(is_held_out(key, b"other") for key in aside) == pytest.approx(200, abs=60)
    assert not is_held_out(1, b"secret", share=0.0)
    assert is_held_out(1, b"secret", share=1.0)


def test_wilson() -> None:
    """The interval of a textbook: 8 of 10 at 95 %."""
    assert wilson(8, 10, z=1.96) == pytest.approx((0.490, 0.943), abs=0.001)
    assert wilson(0, 5)[0] == pytest.approx(0.0)
    assert wilson(5, 5)[1] == pytest.approx(1.0)
