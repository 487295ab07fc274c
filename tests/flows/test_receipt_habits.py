"""What an installation learns of how its providers write receipts, and what it does with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from arrivals.flows.learning import Learning
from arrivals.flows.receipt_habits import LEARNT, habits_in
from arrivals.outcome.habits import CLOCK_RECEIPTS_MIN, FORM_RECEIPTS_MIN, INFERRED, Habit
from arrivals.smpp.receipts import IdForm
from arrivals.store.beside import kept_setting
from arrivals.store.postgres_transaction import PostgresTransaction
from arrivals.store.rows import Match
from arrivals.store.transaction import SqlTransaction
from tests.flows.installation import installed, provider
from tests.flows.script import SetClock
from tests.flows.story import Story

SECRET = b"a secret of this test"
DONE = "2311150613"  # eight hours ahead of when stories begin, to the minute


@pytest.fixture
async def story(place: str) -> AsyncIterator[Story]:
    clock = SetClock()
    async with installed(
        place, providers=[provider("north", 1)], started=False, clock=clock
    ) as here:
        yield Story(here, clock)


async def hears(story: Story, count: int) -> None:
    """Send messages whose receipts name their hexadecimal ids in decimal."""
    for n in range(1, count + 1):
        number = len(story.out) + 1
        await story.play(f"""
            accept   31612345678
            claim
            answer   {number} taken {0xABC000 + n:08x}
            deliver  'id:{0xABC000 + n} done date:{DONE} stat:DELIVRD err:000 text:'
            state    delivered
            """)


async def learnt(story: Story) -> Learning:
    found = Learning(story.here.platform, SECRET, learns=True)
    await found.restore()
    while await found.learn_some():
        pass
    return found


@pytest.mark.slow
async def test_what_was_learnt_is_kept_and_shown(story: Story) -> None:
    habits = story.here.platform.habits
    await hears(story, CLOCK_RECEIPTS_MIN)
    await story.play("""
        accept   31612345678
        claim
        deliver  'id:7F stat:DELIVRD err:000 text:'
        answer   21 taken 7F
        accept   31612345679
        claim
        answer   22 unanswered
        receipt  - DELIVRD
        """)
    story.clock.tick(10)
    model = await learnt(story)
    wanted = {"north": {IdForm.HEX_TO_DECIMAL: 20, IdForm.AS_GIVEN: 1, INFERRED: 1}}
    assert {name: each.forms for name, each in habits.by_provider.items()} == wanted
    assert habits.by_provider["north"].clock_offset_minutes == 480
    await model.keep()
    habits.by_provider = {}
    again = await learnt(story)  # another process: nothing is learnt twice
    assert {name: each.forms for name, each in habits.by_provider.items()} == wanted
    assert habits.by_provider["north"].clock_offset_minutes == 480
    assert not await again.learn_some()
    kept = kept_setting(story.here.place, LEARNT)
    assert kept is not None
    assert habits_in(kept) == habits.by_provider


def test_what_nobody_can_read_says_nothing() -> None:
    assert habits_in("not JSON") == habits_in("{}") == {}


def usual(story: Story, form: IdForm) -> None:
    story.here.platform.habits.by_provider["north"] = Habit(forms={form: FORM_RECEIPTS_MIN})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, story: Story) -> list[list[str]]:
    """Gather the forms of ids that the store is asked for, look-up by look-up."""
    found: list[list[str]] = []
    kind = PostgresTransaction if story.here.store.is_shared else SqlTransaction
    match = kind.match

    def noted(tx: Any, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Match]:
        found.append([form for _, forms in wanted for form in forms])
        return match(tx, wanted)

    monkeypatch.setattr(kind, "match", noted)
    return found


async def test_the_usual_form_is_tried_first(story: Story, asked: list[list[str]]) -> None:
    usual(story, IdForm.HEX_TO_DECIMAL)
    await story.play("""
        accept   31612345678
        claim
        answer   1 taken 00B8BE19
        receipt  12107289 DELIVRD
        state    delivered
        """)
    first, *others = asked
    assert "00b8be19" in first
    assert "12107289" not in first
    assert others == []  # nothing was left to look for


# Whatever is taken for usual, each of these is understood as if nothing were known.
TABLES = {
    "as given": """
        accept   31612345678
        claim
        answer   1 taken 12107289
        receipt  12107289 DELIVRD
        state    delivered
        """,
    "zeros": """
        accept   31612345678
        claim
        answer   1 taken 12
        receipt  0000000012 DELIVRD
        state    delivered
        """,
    "decimal": """
        accept   31612345678
        claim
        answer   1 taken 00b8be19
        receipt  12107289 DELIVRD
        state    delivered
        """,
    "hexadecimal": """
        accept   31612345678
        claim
        answer   1 taken 12107289
        receipt  B8BE19 DELIVRD
        state    delivered
        """,
    "no number": """
        accept   31612345678
        claim
        answer   1 taken A-1
        receipt  a-1 DELIVRD
        state    delivered
        """,
    "no id": """
        accept   31612345678
        claim
        answer   1 taken ''
        receipt  - DELIVRD
        state    delivered
        """,
    "parked": """
        accept   31612345678
        claim
        receipt  12107289 DELIVRD
        answer   1 taken b8be19
        state    delivered
        """,
    "again": """
        accept   31612345678
        claim
        answer   1 taken b8be19
        receipt  12107289 DELIVRD
        receipt  12107289 DELIVRD
        is       seen 2
        """,
    "an old message in one form, an open one as given": """
        accept   31612345678
        claim
        answer   1 taken 10
        receipt  10 UNDELIV
        state    failed
        accept   31612345678
        claim
        answer   2 taken 16
        receipt  16 DELIVRD done=2
        state    delivered
        """,
}


@pytest.mark.parametrize(
    ("form", "state"), [(IdForm.HEX_TO_DECIMAL, "delivered"), (None, "submitted")]
)
async def test_what_is_usual_decides_where_two_fit(
    story: Story, form: IdForm | None, state: str
) -> None:
    """Where nothing is known the id as it was sent decides, though its message has ended."""
    if form is not None:
        usual(story, form)
    await story.play(f"""
        accept   31612345678
        claim
        answer   1 taken 16
        receipt  16 UNDELIV
        accept   31612345678
        claim
        answer   2 taken 10
        receipt  16 DELIVRD done=2
        state    {state}
        """)


@pytest.mark.slow
@pytest.mark.parametrize("form", [*IdForm, None])
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
async def test_no_habit_makes_a_match_impossible(
    tmp_path: Path, table: str, form: IdForm | None
) -> None:
    clock = SetClock()
    async with installed(
        str(tmp_path / "data"), providers=[provider("north", 1)], started=False, clock=clock
    ) as here:
        story = Story(here, clock)
        if form is not None:
            usual(story, form)
        await story.play(table)
