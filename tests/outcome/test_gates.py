"""The gates in their short form: calibrated where the model fits, and not far off where not.

The long form, of five seeds with twelve times the messages, is `python -m tests.outcome.gates`.
"""

from __future__ import annotations

import pytest

from tests.outcome.gates import report

ECE_MAX = 0.03
MISSPECIFIED_ECE_MAX = 0.08
GAIN_MIN = 0.4  # of the Brier score over "pending means delivered"
SILENT_FROM_S = 60.0
SEEDS = 2


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_model_is_calibrated() -> None:
    """Silent for a minute or more, what is called 0.8 arrives eight times in ten."""
    ages = report("fitting", SEEDS, 25_000)["ages"]
    for age_s, row in ages.items():
        if age_s >= SILENT_FROM_S:
            assert row["ece"] <= ECE_MAX, (age_s, row)
            assert row["gain"] >= GAIN_MIN, (age_s, row)
    assert ages[60.0]["count"] > 2_000


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", ["kappa", "drift", "correlated"])
def test_a_world_it_does_not_expect(world: str) -> None:
    """Accounts that convert as they like, drift, failures together: worse, but still of use."""
    for age_s, row in report(world, 1, 20_000)["ages"].items():
        if age_s >= SILENT_FROM_S:
            assert row["ece"] <= MISSPECIFIED_ECE_MAX, (age_s, row)
            assert row["gain"] >= GAIN_MIN, (age_s, row)
