"""Idempotency: an answer is stored once, found by its whole key, committed with its work."""

from __future__ import annotations

import msgspec
import pytest

from arrivals.store.api import RuleBroken, Transaction
from arrivals.store.rows import StoredAnswer
from tests.store.ground import Ground

pytestmark = pytest.mark.each_backend

KEY = (1, "POST /api/v1/send_sms", "k1")
ANSWER = StoredAnswer(*KEY, "hash", 200, '{"status":"success","id":"007"}', 12)


async def _stored(
    ground: Ground, *wanted: tuple[int, str, str]
) -> dict[tuple[int, str, str], StoredAnswer]:
    return await ground.run(lambda tx: tx.stored_answers(wanted))


@pytest.mark.parametrize("key", ["k1", "007", "1e5", "true", 'quote"', "\\", "~" * 255])
async def test_an_answer_comes_back_as_it_was(ground: Ground, key: str):
    given = msgspec.structs.replace(ANSWER, key=key)
    await ground.run(lambda tx: tx.store_answers([given]))
    wanted = (1, ANSWER.scope, key)
    assert await _stored(ground, wanted, wanted) == {wanted: given}


async def test_only_the_whole_key_finds_it(ground: Ground):
    """Invariants 18 and 43: another account, path or key is another promise."""
    await ground.run(lambda tx: tx.store_answers([ANSWER]))
    others = [
        (2, KEY[1], KEY[2]),
        (1, "POST /other", KEY[2]),
        (1, KEY[1], "K1"),
        (1, KEY[1], ""),
    ]
    assert await _stored(ground, *others) == {}
    assert await _stored(ground) == {}


async def test_a_second_answer_under_one_key_is_refused(ground: Ground):
    """Invariant 18."""
    await ground.run(lambda tx: tx.store_answers([ANSWER]))
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.store_answers([ANSWER]))
    twin = msgspec.structs.replace(ANSWER, key="k2")
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.store_answers([twin, twin]))
    assert await ground.value("SELECT count(*) FROM idempotency") == 1


async def test_the_answer_is_there_only_if_its_work_is(funded: Ground):
    """Invariants 15 and 17: one transaction holds both."""

    def work(tx: Transaction) -> None:
        tx.store_answers([ANSWER])
        raise LookupError

    with pytest.raises(LookupError):
        await funded.run(work)
    assert await _stored(funded, KEY) == {}
