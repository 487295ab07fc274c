"""A receipt's depth reaches the judgement: by its provider, and as its country allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from arrivals.flows import foresight
from arrivals.outcome.fusion import Depth, Judgement, Situation, judge
from arrivals.outcome.learner import Learner
from tests.flows.installation import installed, provider
from tests.flows.script import SetClock
from tests.flows.story import Story


@pytest.mark.parametrize(
    ("receipt_depth", "to", "sender", "depth"),
    [
        ("handset", "31612345678", "ARRIVALS", Depth.HANDSET),
        ("carrier", "31612345678", "ARRIVALS", Depth.CARRIER),
        ("submitted", "31612345678", "ARRIVALS", Depth.SUBMITTED),
        ("handset", "12025550123", "12025550188", Depth.CARRIER),
        ("handset", "639171234567", "ARRIVALS", Depth.SUBMITTED),
    ],
)
async def test_a_word_is_judged_by_its_depth(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    receipt_depth: str,
    to: str,
    sender: str,
    depth: Depth,
) -> None:
    judged: list[Situation] = []

    def noted(situation: Situation) -> Judgement:
        judged.append(situation)
        return judge(situation)

    monkeypatch.setattr(foresight, "judge", noted)
    north = provider("north", 1, receipt_depth=receipt_depth)
    place, clock = str(tmp_path / "data"), SetClock()
    async with installed(place, providers=[north], started=False, clock=clock) as here:
        story = Story(here, clock)
        await story.play(f"""
            accept   {to} sender={sender}
            claim
            answer   1 taken A1
            receipt  A1 DELIVRD
            """)
        trace, events = await story.journey()
        catalogue = here.platform.catalogue
        foresight.foresee(Learner(b"secret"), catalogue, trace, events, clock.us)
    assert [each.word_depth for each in judged] == [depth]
