"""Risk ratios over strata: known results, symmetry, and what can't be compared."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.strata import Z_99, RiskRatio, Stratum, risk_ratio

COUNTS = st.integers(0, 5_000)


def stratum(hits: int, misses: int, peer_hits: int, peer_misses: int) -> Stratum:
    """Return a stratum of what hit and what didn't."""
    return Stratum(hits, hits + misses, peer_hits, peer_hits + peer_misses)


STRATA = st.lists(st.builds(stratum, COUNTS, COUNTS, COUNTS, COUNTS), min_size=1, max_size=8)


def ratio(*strata: Stratum) -> RiskRatio:
    """Return a risk ratio that must exist."""
    found = risk_ratio(strata)
    assert found is not None
    return found


def test_one_stratum_is_the_plain_ratio() -> None:
    """With one stratum it is the ratio of two proportions, and its textbook error."""
    found = ratio(Stratum(45, 100, 60, 120))
    assert found.rr == pytest.approx(0.45 / 0.5)
    assert found.se_log == pytest.approx(math.sqrt(1 / 45 - 1 / 100 + 1 / 60 - 1 / 120))
    assert found.high == pytest.approx(found.rr * math.exp(Z_99 * found.se_log))
    assert found.low == pytest.approx(found.rr / math.exp(Z_99 * found.se_log))


def test_two_strata_by_hand() -> None:
    """Greenland and Robins' sums, added up by hand over two strata."""
    found = ratio(Stratum(10, 20, 12, 30), Stratum(5, 50, 30, 150))
    # R = 10*30/50 + 5*150/200 = 9.75; S = 12*20/50 + 30*50/200 = 12.3
    assert found.rr == pytest.approx(9.75 / 12.3)
    # P = (22*600/2500 - 120/50) + (35*7500/40000 - 150/200) = 2.88 + 5.8125
    assert found.se_log == pytest.approx(math.sqrt(8.6925 / (9.75 * 12.3)))


def test_strata_take_the_mix_out() -> None:
    """A route with the worse accounts looks bad in the crude ratio and not in this one."""
    strata = (Stratum(90, 100, 900, 1_000), Stratum(300, 1_000, 30, 100))
    crude = (390 / 1_100) / (930 / 1_100)
    assert crude < 0.5
    assert ratio(*strata).rr == pytest.approx(1.0)


@pytest.mark.parametrize(
    "strata",
    [
        [],
        [Stratum(3, 5, 0, 0)],
        [Stratum(0, 0, 3, 5)],
        [Stratum(0, 10, 0, 10)],
    ],
)
def test_what_cannot_be_compared(strata: list[Stratum]) -> None:
    assert risk_ratio(strata) is None


def test_a_side_without_a_hit_still_has_limits() -> None:
    """A route that delivers nothing is below its peers, and its mirror image above them."""
    nothing = ratio(Stratum(0, 200, 500, 1_000), Stratum(0, 100, 300, 500))
    assert 0 < nothing.rr < 0.01
    assert nothing.high < 0.2
    mirrored = ratio(Stratum(500, 1_000, 0, 200), Stratum(300, 500, 0, 100))
    assert mirrored.rr == pytest.approx(1 / nothing.rr)
    assert mirrored.se_log == pytest.approx(nothing.se_log)


def test_a_few_perfect_messages_prove_little() -> None:
    """All of three on both sides is no difference, with much room for one."""
    few, many = ratio(Stratum(3, 3, 3, 3)), ratio(Stratum(3_000, 3_000, 3_000, 3_000))
    assert few.rr == many.rr == 1
    assert few.low < 0.6
    assert many.low > 0.999


@given(STRATA, st.randoms(use_true_random=False))
def test_the_order_of_strata_does_not_matter(strata: list[Stratum], random) -> None:
    shuffled = list(strata)
    random.shuffle(shuffled)
    assert risk_ratio(shuffled) == risk_ratio(strata)


@given(STRATA)
def test_limits_enclose_and_turning_the_sides_inverts(strata: list[Stratum]) -> None:
    found = risk_ratio(strata)
    turned = risk_ratio([Stratum(each[2], each[3], each[0], each[1]) for each in strata])
    if found is None or turned is None:
        assert found is turned is None
        return
    assert 0 < found.low < found.rr < found.high < math.inf
    assert turned.rr == pytest.approx(1 / found.rr)
    assert turned.se_log == pytest.approx(found.se_log, abs=1e-9)


@given(STRATA)
def test_strata_of_one_side_add_nothing(strata: list[Stratum]) -> None:
    alone = [Stratum(3, 7, 0, 0), Stratum(0, 0, 4, 9)]
    assert risk_ratio([*strata, *alone]) == risk_ratio(strata)


def test_hardly_any_trials_give_limits_that_say_nothing() -> None:
    found = risk_ratio([Stratum(1e-9, 2e-9, 1e-9, 3e-9)])
    assert found is not None
    assert found.low < 1e-15
    assert found.high > 1e15
