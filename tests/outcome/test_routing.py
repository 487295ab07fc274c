"""Buyers where the truth is known: who buys by outcome pays about what an oracle would."""

from __future__ import annotations

import pytest

from tests.outcome.routing import report

MESSAGES = 400


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_receipts_buy_the_liar_and_outcomes_do_not(seed: int) -> None:
    found = report(seed, MESSAGES, own=1_200)["buyers"]
    assert found["receipts"]["bought"]["budget"] > 0.9 * MESSAGES
    assert found["receipts"]["above_oracle"] > 0.2
    assert found["outcome"]["above_oracle"] < 0.10
    assert found["thompson"]["above_oracle"] < 0.10
    assert found["outcome"]["arrived"] > 0.9
