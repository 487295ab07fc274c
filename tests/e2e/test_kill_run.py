"""A short kill run; the long one is `make prove-kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.kill_run import KillRun


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_acknowledged_is_lost_when_the_platform_is_killed(tmp_path: Path):
    """Invariants 1 to 3, 6, 15, 17, 20, 24, 25 and 32."""
    verdict = await KillRun(tmp_path, kills=4, messages=800, seed=7).run()
    assert verdict.good, "\n".join(verdict.lines())
