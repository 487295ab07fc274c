"""The ledger: postings, cached balances, the limit, and what may never be edited."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest

from arrivals.core.ledger import Posting, PostingKind, funding, posting, provider_cost
from arrivals.core.message import Move
from arrivals.core.money import AMOUNT_MAX, Micros
from arrivals.store.api import Refused, RuleBroken, Transaction
from arrivals.store.rows import Balance
from tests.store.ground import (
    CLAIMED,
    ENDED,
    FUNDS,
    PRICE,
    TAKEN,
    Ground,
    delivered,
)

pytestmark = pytest.mark.each_backend


def hold(amount: int, account_id: int = 1) -> Posting:
    return posting(PostingKind.HOLD, account_id, Micros(amount), "EUR")


def cash(amount: int, reference: str | None, account_id: int = 1) -> Posting:
    made = funding(account_id, Micros(amount), "EUR", "cash", reference or "")
    return made if reference else msgspec.structs.replace(made, reference=None)


def _post(made: Posting, tx: Transaction) -> int:
    return tx.post(made)


def _adjust(key: int, kind: str, amount: int, tx: Transaction) -> int:
    return tx.adjust(key, kind, amount, posting_id=1)


async def balance(ground: Ground, account_id: int = 1) -> Balance:
    found = await ground.run(lambda tx: tx.balance(account_id))
    assert found is not None
    return found


# --- post -----------------------------------------------------------------------------------


async def test_a_posting_moves_the_balance_at_once(ground: Ground):
    await ground.fund()

    def work(tx: Transaction) -> list[Balance | None]:
        seen = [tx.balance(1)]
        tx.post(hold(300))
        seen.append(tx.balance(1))
        tx.post(posting(PostingKind.RELEASE, 1, Micros(100), "EUR"))
        tx.post(posting(PostingKind.CAPTURE, 1, Micros(200), "EUR"))
        return [*seen, tx.balance(1)]

    seen = await ground.run(work)
    assert [(each.available, each.held) for each in seen if each] == [
        (FUNDS, 0),
        (FUNDS - 300, 300),
        (FUNDS - 200, 0),
    ]
    assert await balance(ground) == seen[-1]


async def test_postings_alike_become_one(ground: Ground):
    await ground.fund()
    await ground.fund(2)

    def work(tx: Transaction) -> list[int]:
        return [
            tx.post(hold(10)),
            tx.post(hold(20, account_id=2)),
            tx.post(hold(30)),
            tx.post(posting(PostingKind.RELEASE, 1, Micros(5), "EUR")),
            tx.post(provider_cost("north", Micros(7), "EUR")),
            tx.post(provider_cost("north", Micros(7), "EUR")),
            tx.post(provider_cost("north", Micros(7), "USD")),
        ]

    one, other, same, release, cost, same_cost, dollars = await ground.run(work)
    assert one == same
    assert cost == same_cost
    assert len({one, other, release, cost, dollars}) == 5
    amounts = dict(await ground.sql("SELECT id, amount FROM postings WHERE id >= ?", one))
    assert amounts == {one: 40, other: 20, release: 5, cost: 14, dollars: 7}
    later = await ground.run(lambda tx: tx.post(hold(1)))
    assert later > dollars


async def test_postings_with_a_reference_or_another_reason_stay_alone(ground: Ground):
    await ground.fund(amount=0)

    def work(tx: Transaction) -> list[int]:
        named = [tx.post(cash(10, "a")), tx.post(cash(10, "b")), tx.post(cash(10, None))]
        other = Posting(
            kind=PostingKind.FUNDING, account_id=1, debit="external:funding", credit="funds:1",
            amount=Micros(1), currency="EUR", reason="gift",
        )  # fmt: skip
        return [*named, tx.post(other)]

    assert len(set(await ground.run(work))) == 4
    assert (await balance(ground)).available == 31


async def test_a_reference_is_found_before_and_after_the_commit(ground: Ground):
    await ground.fund()

    def work(tx: Transaction) -> tuple[int, object, object]:
        return tx.post(cash(10, "007")), tx.posted(1, "007"), tx.posted(2, "007")

    made, found, other = await ground.run(work)
    assert (found, other) == ((made, 10), None)
    assert await ground.run(lambda tx: tx.posted(1, "007")) == (made, 10)
    assert await ground.run(lambda tx: tx.posted(1, "7")) is None


async def test_a_reference_is_used_once(ground: Ground):
    await ground.fund()
    await ground.run(lambda tx: tx.post(cash(10, "a")))
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.post(cash(10, "a")))
    assert (await balance(ground)).available == FUNDS + 10


@pytest.mark.parametrize("limit", [0, 500])
async def test_what_is_there_can_be_spent_to_the_last(ground: Ground, limit: int):
    """Invariant 5: exactly to 0, exactly to -limit, and not one more."""
    await ground.fund(limit=limit)
    with pytest.raises(Refused):
        await ground.run(lambda tx: tx.post(hold(FUNDS + limit + 1)))
    await ground.run(lambda tx: tx.post(hold(FUNDS + limit)))
    assert await balance(ground) == Balance(1, "EUR", -limit, FUNDS + limit, limit)
    with pytest.raises(Refused):
        await ground.run(lambda tx: tx.post(hold(1)))
    await ground.run(lambda tx: tx.post(hold(0)))


async def test_refused_leaves_nothing_and_the_others_go_on(ground: Ground):
    """Invariant 16: the one that doesn't reach is refused; its neighbours are not."""
    await ground.fund()

    def work(tx: Transaction) -> None:
        tx.post(hold(10))
        with pytest.raises(Refused):
            tx.post(hold(FUNDS))
        tx.post(hold(20))

    await ground.run(work)
    assert await balance(ground) == Balance(1, "EUR", FUNDS - 30, 30, 0)
    assert await ground.sql("SELECT amount FROM postings WHERE kind = 'hold'") == [(30,)]


async def test_refused_alone_writes_nothing(ground: Ground):
    await ground.fund(amount=0)

    def work(tx: Transaction) -> None:
        with pytest.raises(Refused):
            tx.post(hold(1))
        with pytest.raises(Refused):
            tx.post(hold(1, account_id=99))

    await ground.run(work)
    assert await ground.value("SELECT count(*) FROM postings") == 0


async def test_money_may_come_in_below_the_limit(ground: Ground):
    """An account that is over a lowered limit can still be paid up."""
    await ground.fund(limit=500)
    await ground.run(lambda tx: tx.post(hold(FUNDS + 400)))
    await ground.run(lambda tx: tx.post(cash(1, "a")))
    assert (await balance(ground)).available == -399


async def test_an_amount_is_not_negative_and_in_the_accounts_currency(ground: Ground):
    """Invariant 4: not even where two would add up to something positive."""
    await ground.fund()

    def negative(tx: Transaction) -> None:
        tx.post(hold(10))
        tx.post(hold(-5))

    with pytest.raises(RuleBroken, match="never negative"):
        await ground.run(negative)
    with pytest.raises(RuleBroken, match="currency"):
        await ground.run(lambda tx: tx.post(posting(PostingKind.HOLD, 1, PRICE, "USD")))
    assert await balance(ground) == Balance(1, "EUR", FUNDS, 0, 0)


async def test_a_sum_that_outgrows_the_column_is_refused(ground: Ground):
    """Invariant 4: it would become a float, and the account unreadable."""
    await ground.fund(amount=AMOUNT_MAX)
    for n in range(8):
        await ground.run(partial(_post, cash(AMOUNT_MAX, f"more-{n}")))
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.post(cash(AMOUNT_MAX, "too much")))
    assert (await balance(ground)).available == 9 * AMOUNT_MAX


# --- what leaks -----------------------------------------------------------------------------


async def test_what_is_rolled_back_is_forgotten(ground: Ground):
    """Balances, ids and gathered postings of a failed transaction are never seen again."""
    await ground.fund()
    first = await ground.run(lambda tx: tx.post(hold(10)))

    def fail(tx: Transaction) -> None:
        tx.post(hold(500))
        tx.post(cash(5, "lost"))
        tx.next_order_ids(10)
        tx.open_balance(3, "EUR", 9)
        raise LookupError

    with pytest.raises(LookupError):
        await ground.run(fail)
    assert await balance(ground) == Balance(1, "EUR", FUNDS - 10, 10, 0)
    assert await ground.run(lambda tx: tx.posted(1, "lost")) is None
    assert await ground.run(lambda tx: tx.balance(3)) is None
    order_id = await ground.run(lambda tx: tx.next_order_ids(1)[0])
    posting_id = await ground.run(lambda tx: tx.post(hold(1)))
    if ground.backend.many_write:  # ids leave gaps there
        assert order_id > 10
        assert posting_id > first + 1
    else:
        assert (order_id, posting_id) == (1, first + 1)


# --- balances -------------------------------------------------------------------------------


async def test_a_balance_is_opened_once_and_its_limit_changes(ground: Ground):
    assert await ground.run(lambda tx: tx.balance(1)) is None

    def work(tx: Transaction) -> list[Balance | None]:
        tx.open_balance(1, "EUR", 0)
        opened = tx.balance(1)
        tx.post(cash(100, "a"))
        tx.open_balance(1, "EUR", 50)
        tx.post(hold(150))
        return [opened, tx.balance(1)]

    opened, after = await ground.run(work)
    assert opened == Balance(1, "EUR", 0, 0, 0)
    assert after == await balance(ground) == Balance(1, "EUR", -50, 150, 50)


async def test_a_limit_cannot_fall_below_what_is_used(ground: Ground):
    """Invariant 5."""
    await ground.fund(amount=0, limit=100)
    await ground.run(lambda tx: tx.post(hold(60)))
    with pytest.raises(RuleBroken):
        await ground.run(lambda tx: tx.open_balance(1, "EUR", 59))
    await ground.run(lambda tx: tx.open_balance(1, "EUR", 60))
    assert (await balance(ground)).limit == 60


@pytest.mark.parametrize(
    "change",
    ["available = -1", "held = -1", "credit_limit = -1", "available = 1.5", "available = 1e19"],
)
async def test_the_row_refuses_what_post_would(ground: Ground, change: str):
    """Invariants 4 and 5."""
    if ground.backend.many_write and change == "held = -1":
        pytest.skip("what one slot held another may release: only the sum is never negative")
    if ground.backend.many_write and change == "available = 1.5":
        pytest.skip("its columns are integers by type, and round what isn't")
    await ground.fund(amount=1)
    with pytest.raises(RuleBroken):
        await ground.sql(f"UPDATE balances SET {change}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE postings SET amount = 0",
        "UPDATE postings SET reason = ''",
        "DELETE FROM postings",
    ],
)
async def test_postings_are_never_edited(ground: Ground, statement: str):
    """Invariant 3."""
    await ground.fund()
    with pytest.raises(RuleBroken, match="never"):
        await ground.sql(statement)


@pytest.mark.parametrize(
    ("column", "value"),
    [("kind", "gift"), ("credit", "x"), ("amount", -1), ("amount", 1.5), ("amount", "ten")],
)
async def test_no_such_posting(ground: Ground, column: str, value: object):
    """Invariants 1 and 4: two different ledger accounts, a whole amount."""
    row: dict[str, object]
    row = {"at": 1, "kind": "hold", "debit": "x", "credit": "y", "amount": 1, "currency": "EUR"}
    row[column] = value
    text = f"INSERT INTO postings ({', '.join(row)}) VALUES (?, ?, ?, ?, ?, ?)"
    with pytest.raises(RuleBroken):
        await ground.sql(text, *row.values())


# --- adjustments ----------------------------------------------------------------------------


async def _captured(ground: Ground) -> int:
    [key] = await ground.accept()
    paid = await ground.run(lambda tx: tx.post(posting(PostingKind.CAPTURE, 1, PRICE, "EUR")))
    await ground.drive(key, CLAIMED, TAKEN, delivered(paid))
    return key


async def test_adjustments_are_numbered_and_the_newest_counts(funded: Ground):
    """Invariants 8 and 9."""
    key, other = await _captured(funded), await _captured(funded)
    kinds = ["refund", "recharge", "refund"]
    numbers = [await funded.run(partial(_adjust, key, kind, PRICE)) for kind in kinds]
    assert numbers == [1, 2, 3]
    await funded.run(lambda tx: tx.adjust(other, "refund", PRICE, 1))
    await funded.run(lambda tx: tx.adjust(other, "recharge", PRICE, 1))
    found = await funded.run(lambda tx: tx.adjustments([key, other, 999]))
    assert found == {key: "refund", other: "recharge"}
    assert await funded.run(lambda tx: tx.adjustments([])) == {}


async def test_nothing_is_refunded_that_wasnt_paid(funded: Ground):
    """Invariant 8: refunds ≤ captured, of the whole price, in turns."""
    paid = await _captured(funded)
    [released] = await funded.accept()
    ended = {**ENDED, "resolution": "released", "resolution_posting": 1, "reach": 2}
    await funded.drive(released, CLAIMED, TAKEN, (Move.RECEIPT_FAILED, ended))
    for key, kind, amount in (
        (paid, "recharge", PRICE),
        (paid, "refund", PRICE - 1),
        (paid, "refund", PRICE + 1),
        (paid, "gift", PRICE),
        (released, "refund", PRICE),
        (999, "refund", PRICE),
    ):
        with pytest.raises(RuleBroken):
            await funded.run(partial(_adjust, key, kind, amount))
    await funded.run(lambda tx: tx.adjust(paid, "refund", PRICE, 1))
    await funded.run(lambda tx: tx.adjust(released, "recharge", PRICE, 1))
    with pytest.raises(RuleBroken, match="take turns"):
        await funded.run(lambda tx: tx.adjust(paid, "refund", PRICE, 1))
    with pytest.raises(RuleBroken, match="never updated"):
        await funded.sql("UPDATE adjustments SET amount = 0")
    with pytest.raises(RuleBroken, match="never deleted"):
        await funded.sql("DELETE FROM adjustments")


async def test_a_message_that_ends_and_is_revised_in_one_transaction_is_adjusted(
    funded: Ground,
):
    """Its row is still open when its refund is written."""
    [key] = await funded.accept()
    await funded.drive(key, CLAIMED, TAKEN)
    assert await funded.run(lambda tx: tx.adjust(key, "refund", PRICE, 1)) == 1


# --- under load ----------------------------------------------------------------------------


async def test_concurrent_holds_never_overdraw(ground: Ground):
    """Invariant 5, under as many callers as can be: exactly what fits is held."""
    await ground.fund(amount=1_000, limit=50)

    async def one() -> bool:
        try:
            await ground.run(lambda tx: tx.post(hold(100)))
        except Refused:
            return False
        return True

    assert sum(await asyncio.gather(*(one() for _ in range(40)))) == 10
    assert await balance(ground) == Balance(1, "EUR", 0, 1_000, 50)


def test_a_balance_is_a_value():
    with pytest.raises(AttributeError):
        Balance(1, "EUR", 1, 1, 1).available = 2  # type: ignore[misc]
    assert msgspec.structs.astuple(Balance(1, "EUR", 2, 3, 4)) == (1, "EUR", 2, 3, 4)
