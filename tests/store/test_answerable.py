"""What can be answered: found by both numbers, of one account only, the newest first."""

from __future__ import annotations

from typing import Any

import pytest

from arrivals.core.message import noted
from arrivals.store.api import Transaction
from arrivals.store.rows import Answerable, Answered
from tests.store.ground import BEGIN_US, Ground, event_of

PHONE, OURS = "31612345678", "31201234567"


async def begun(ground: Ground, *rows: tuple[int, int], **changes: Any) -> None:
    """Record hand-offs: (message, when)."""
    about: dict[str, Any] = {"msisdn": PHONE, "sender": OURS, "account_id": 1} | changes

    def work(tx: Transaction) -> None:
        tx.add_answerable([Answerable(at_us=at, message_id=key, **about) for key, at in rows])

    await ground.run(work)


async def found(ground: Ground, since_us: int = 0, limit: int = 10) -> list[Answered]:
    result: list[Answered] = await ground.run(
        lambda tx: tx.answerable(PHONE, OURS, since_us, limit)
    )
    return result


@pytest.mark.each_backend
async def test_the_newest_comes_first_and_there_is_a_limit(ground: Ground):
    await begun(ground, (7, 30), (9, 10), (8, 20))
    assert await found(ground) == [Answered(7, 30, 0), Answered(8, 20, 0), Answered(9, 10, 0)]
    assert await found(ground, limit=2) == [Answered(7, 30, 0), Answered(8, 20, 0)]
    assert await found(ground, since_us=20) == [Answered(7, 30, 0), Answered(8, 20, 0)]
    assert await found(ground, since_us=31) == []


async def test_a_message_that_goes_out_again_is_there_twice(ground: Ground):
    await begun(ground, (7, 10), (7, 20))
    assert await found(ground) == [Answered(7, 20, 0), Answered(7, 10, 0)]


@pytest.mark.each_backend
@pytest.mark.parametrize("other", [{"msisdn": "31612345679"}, {"sender": "27690"}])
async def test_both_numbers_must_be_theirs(ground: Ground, other: dict[str, str]):
    await begun(ground, (7, 10), **other)
    assert await found(ground) == []


@pytest.mark.each_backend
@pytest.mark.parametrize("other", [2, 10**9])
async def test_what_two_accounts_sent_is_nobody_s(ground: Ground, other: int):
    """Until one of them is past the window."""
    await begun(ground, (7, 10), account_id=other)
    await begun(ground, (8, 20))
    assert await found(ground) == []
    assert await found(ground, since_us=11) == [Answered(8, 20, 0)]


@pytest.mark.each_backend
async def test_answers_on_its_timeline_are_counted(funded: Ground):
    """And neither is a customer's own word, nor a hint that we noticed."""
    [key] = await funded.accept()
    await begun(funded, (key, BEGIN_US))
    for actor, replies in (("customer", 0), ("worker", 0), ("provider:north", 1)):
        before = await funded.load(key)
        after = noted(before, BEGIN_US + before.seq)
        said = event_of(before, after, "feedback", actor=actor, body={"confirmed": True})
        await funded.save((after, said))
        assert await found(funded) == [Answered(key, BEGIN_US, replies)]
