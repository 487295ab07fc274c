"""What the sweeper does beside sweeping: forgetting as fast as things come in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from arrivals.flows import sweep
from arrivals.flows.receive import receive_step
from arrivals.flows.sweep import RAW_FOR_US, Sweeper
from arrivals.store.rows import StoredAnswer
from tests.flows.installation import Installation, installed, provider
from tests.flows.script import SetClock, receipt
from tests.flows.story import Story

DUE = "SELECT 1 FROM messages WHERE wake_at <= ?"
RAW = [("north", None, "00")]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def here(place: str, clock: SetClock) -> AsyncIterator[Installation]:
    async with installed(
        place, providers=[provider("north", 1)], started=False, clock=clock
    ) as installation:
        yield installation


async def left(here: Installation) -> int:
    found = await here.rows("SELECT count(*) FROM raw_receipts")
    return int(found[0][0])


@pytest.mark.parametrize("nth", [0, 1, 2])
async def test_one_that_cannot_be_swept_holds_up_nobody(
    here: Installation,
    clock: SetClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
):
    """Invariant 31: the others expire on time, and it's tried again later."""
    monkeypatch.setattr(sweep, "SWEEP_EVERY_S", 0.001)
    keys = []
    for n in range(3):
        sent = await here.send(f"3161234560{n}", valid_for_s=60)
        keys.append(sent.order.order_id << 17)
        clock.tick(1)
    # No account has this number: the message can be read, and its money not be settled.
    spoil = "UPDATE messages SET account_id = ? WHERE id = ?"
    await here.damage(spoil, 9, keys[nth])
    clock.tick(61)
    good = [key for key in keys if key != keys[nth]]
    task = asyncio.create_task(Sweeper(here.platform).run())
    try:
        async with asyncio.timeout(5):
            await ended(here, *good)
            assert await here.state(keys[nth]) == "accepted"
            # Once it's mended, its time comes again.
            while await here.rows(DUE, clock.us):  # noqa: ASYNC110 - a row has no event
                await asyncio.sleep(0.005)
            await here.damage(spoil, 1, keys[nth])
            clock.tick(sweep.PUT_OFF_US / 1_000_000 + 1)
            await ended(here, keys[nth])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    said = [each.getMessage() for each in caplog.records]
    assert said.count("a message that can't be swept is put off") == 1


async def ended(here: Installation, *keys: int) -> None:
    for key in keys:
        while await here.state(key) != "expired":  # noqa: ASYNC110 - a row has no event
            await asyncio.sleep(0.005)


async def test_a_second_resend_is_not_even_made_by_mistake(here: Installation, clock: SetClock):
    """Invariant 25: whatever wakes a message early, its policy lets it out twice at most."""
    story = Story(here, clock)
    await story.play("""
        accept   31612345678 on_ambiguous=resend
        claim
        answer   1 unanswered
        tick     61
        claim
        answer   2 unanswered
        """)
    await here.damage("UPDATE messages SET wake_at = 1")
    await story.play("tick 1\nstate ambiguous\nclaim north 0")


@pytest.mark.parametrize(
    ("table", "days"), [("raw_receipts", 7), ("idempotency", 7), ("parked_receipts", 3)]
)
async def test_what_is_kept_is_kept_as_long_as_was_said(
    here: Installation, clock: SetClock, table: str, days: int
):
    """Answers for 7 days, receipts that match nothing for 72 h, raw ones for 7 days."""
    parked = receipt("north", "X1", "DELIVRD", "31612345678")
    answer = StoredAnswer(1, "POST /x", "key", "hash", 200, "", clock.us)
    await here.store.write(receive_step(lambda: here.platform.catalogue), [parked])
    await here.in_transaction(lambda tx: tx.store_answers([answer]))
    sweeper = Sweeper(here.platform)
    left = f"SELECT count(*) FROM {table}"
    clock.tick(days * 86_400 - 1)
    await sweeper._forget_some()
    assert await here.rows(left) == [(1,)]
    clock.tick(2)
    await sweeper._forget_some()
    assert await here.rows(left) == [(0,)]


async def test_a_receipt_that_still_matches_nothing_is_kept_no_longer_for_that(
    here: Installation, clock: SetClock
):
    """Invariant 37: 72 h from when it came, however often it was tried again."""
    story = Story(here, clock)
    await story.play("""
        accept   31612345678 31612345678 31612345678
        claim    north 3
        answer   1 unanswered
        answer   2 unanswered
        receipt  X9 DELIVRD
        parked   1
        """)
    came = await here.rows("SELECT received_at FROM parked_receipts")
    clock.tick(86_400)
    await story.play("answer 3 unanswered\nparked 1")
    assert await here.rows("SELECT received_at FROM parked_receipts") == came


async def test_what_has_piled_up_is_forgotten_in_one_go(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """Round after round and turn after turn, without waiting a minute between."""
    monkeypatch.setattr(sweep, "FORGET_MAX", 10)
    monkeypatch.setattr(sweep, "SWEEP_EVERY_S", 0.001)
    await here.in_transaction(lambda tx: tx.keep_raw(RAW * 123))
    clock.tick(RAW_FOR_US / 1_000_000 + 1)
    await here.in_transaction(lambda tx: tx.keep_raw(RAW * 4))
    task = asyncio.create_task(Sweeper(here.platform).run())
    try:
        async with asyncio.timeout(5):
            while await left(here) == 127:  # begin once the sweeper runs
                clock.tick(sweep.FORGET_EVERY_S)
                await asyncio.sleep(0.005)
            # The clock stands still from here on.
            while await left(here) > 4:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await left(here) == 4


async def test_a_turn_of_forgetting_is_bounded(
    here: Installation, clock: SetClock, monkeypatch: pytest.MonkeyPatch
):
    """What is due must not wait until everything old is gone."""
    monkeypatch.setattr(sweep, "FORGET_MAX", 10)
    await here.in_transaction(lambda tx: tx.keep_raw(RAW * 75))
    clock.tick(RAW_FOR_US / 1_000_000 + 1)
    sweeper = Sweeper(here.platform)
    assert await sweeper._forget_some()
    assert await left(here) == 75 - sweep.FORGET_ROUNDS_MAX * 10
    assert not await sweeper._forget_some()
    assert await left(here) == 0
