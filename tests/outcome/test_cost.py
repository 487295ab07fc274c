"""The cost in its short form: bytes are bounded, and an event costs what it should."""

from __future__ import annotations

import pytest

from tests.outcome.cost import measure

BYTES_MAX = 4_096
EVENT_US_MAX = 100.0  # ten times the aim: this machine may be busy, and only a slip is meant


@pytest.mark.slow
def test_what_an_event_and_a_cell_cost() -> None:
    """Five levels an event, in microseconds; a cell in a few thousand bytes."""
    found = measure(10_000, repeats=1)
    assert found["bytes_a_cell"] <= BYTES_MAX
    assert found["bytes_kept"] <= BYTES_MAX
    assert found["us_an_event"] <= EVENT_US_MAX
