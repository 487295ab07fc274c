"""Group commit: many callers share a transaction, and none of them another's fate."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arrivals.core.ledger import funding
from arrivals.core.money import Micros
from arrivals.store.api import (
    RuleBroken,
    Step,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnavailable,
    Transaction,
)
from arrivals.store.group_commit import (
    HEAVY_ROWS_MAX,
    ITEMS_MAX,
    LIGHT_ROWS_MAX,
    GroupCommit,
)
from tests.backends import Backend
from tests.store.ground import Ground, StillClock

PATIENCE_S = 10


class Gate:
    """A step that keeps the writer busy until it's opened, so that others gather behind it."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()
        self.step: Step[None, None] = Step("gate", 0, self._wait)

    def _wait(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        self._reached.set()
        assert self._opened.wait(PATIENCE_S)
        return items

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, PATIENCE_S)

    def open(self) -> None:
        self._opened.set()


@asynccontextmanager
async def gathering(ground: Ground) -> AsyncIterator[None]:
    """Hold the writer while the body submits; what it submitted is one batch."""
    gate = Gate()
    held = asyncio.ensure_future(ground.store.write(gate.step, None))
    await gate.reached()
    try:
        yield
        await asyncio.sleep(0)  # what the body made into tasks begins
    finally:
        gate.open()
        await held


def _commits(ground: Ground) -> tuple[int, int]:
    if not ground.backend.tells_its_commits:
        pytest.skip("this backend doesn't tell its commits")
    commits: tuple[int, int] = ground.store.commits
    return commits


def set_setting(tx: Transaction, names: Sequence[str]) -> list[str]:
    for name in names:
        if name.startswith("bad"):
            raise LookupError(name)
        tx.set_setting(name, "there")
    return [f"did {name}" for name in names]


SET: Step[str, str] = Step("set", 5, set_setting)


async def _there(ground: Ground) -> set[str]:
    return {name for (name,) in await ground.sql("SELECT name FROM meta WHERE value = 'there'")}


async def test_many_callers_share_few_commits(ground: Ground):
    before = _commits(ground)
    names = [f"n{n}" for n in range(500)]
    results = await asyncio.gather(*(ground.store.write(SET, name) for name in names))
    assert results == [f"did {name}" for name in names]
    after = _commits(ground)
    assert after[1] - before[1] == 500
    assert after[0] - before[0] <= 3


async def test_what_gathers_while_the_writer_is_busy_is_one_commit(ground: Ground):
    before = _commits(ground)
    async with gathering(ground):
        waiting = [asyncio.ensure_future(ground.store.write(SET, f"n{n}")) for n in range(50)]
    await asyncio.gather(*waiting)
    assert _commits(ground)[0] - before[0] == 2


async def test_a_transaction_is_bounded(ground: Ground):
    before = _commits(ground)
    async with gathering(ground):
        waiting = [
            asyncio.ensure_future(ground.store.write(SET, f"n{n}"))
            for n in range(ITEMS_MAX + 1)
        ]
    await asyncio.gather(*waiting)
    assert _commits(ground)[0] - before[0] == 3


async def test_steps_run_in_their_order_and_items_as_they_came(ground: Ground):
    """Money is held before it is captured, whoever asked first."""
    ran: list[tuple[str, list[int]]] = []

    def step(name: str, order: int) -> Step[int, int]:
        def run(tx: Transaction, items: Sequence[int]) -> Sequence[int]:
            ran.append((name, list(items)))
            return items

        return Step(name, order, run)

    late, early, middle = step("late", 9), step("early", -1), step("middle", 5)
    wanted = [(late, 1), (middle, 2), (late, 3), (early, 4), (middle, 5)]
    async with gathering(ground):
        waiting = [asyncio.ensure_future(ground.store.write(*each)) for each in wanted]
    assert await asyncio.gather(*waiting) == [1, 2, 3, 4, 5]
    assert ran == [("early", [4]), ("middle", [2, 5]), ("late", [1, 3])]


async def test_steps_of_one_name_are_not_mixed_up(ground: Ground):
    """Two closures may share a name; each runs its own items."""

    def step(word: str) -> Step[int, str]:
        return Step("same", 1, lambda tx, items: [word for _ in items])

    async with gathering(ground):
        waiting = [
            asyncio.ensure_future(ground.store.write(step(word), n))
            for n, word in enumerate(("a", "b"))
        ]
    assert await asyncio.gather(*waiting) == ["a", "b"]


@pytest.mark.parametrize("poison", [{17}, {0}, {63}, {3, 4, 40}, set(range(64))], ids=str)
async def test_poison_fails_alone(ground: Ground, poison: set[int]):
    """Invariant 31, in the store: the one that fails fails; all others are committed."""
    names = [f"bad{n}" if n in poison else f"n{n}" for n in range(64)]
    async with gathering(ground):
        waiting = [asyncio.ensure_future(ground.store.write(SET, name)) for name in names]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for name, result in zip(names, results, strict=True):
        if name.startswith("bad"):
            assert isinstance(result, LookupError)
            assert result.args == (name,)
        else:
            assert result == f"did {name}"
    assert await _there(ground) == {name for name in names if not name.startswith("bad")}


async def test_a_rule_that_breaks_at_the_commit_fails_alone_too(ground: Ground):
    """Money is written last, so the database refuses it only then."""
    await ground.fund(amount=0)

    def pay(tx: Transaction, items: Sequence[str]) -> list[int]:
        return [tx.post(funding(1, Micros(1), "EUR", "", item)) for item in items]

    step: Step[str, int] = Step("pay", 1, pay)
    async with gathering(ground):
        waiting = [asyncio.ensure_future(ground.store.write(step, item)) for item in "abca"]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [int, int, int, RuleBroken]
    assert await ground.value("SELECT available FROM balances") == 3


async def test_a_step_must_answer_every_item(ground: Ground):
    step: Step[int, int] = Step("mute", 1, lambda tx, items: [])
    with pytest.raises(AssertionError, match="mute must answer every item"):
        await ground.store.write(step, 1)


async def test_an_exception_that_a_step_returns_is_a_value(ground: Ground):
    """A refusal is an answer: the transaction stands, and it comes back, not up."""
    refusal = LookupError("no")

    def run(tx: Transaction, items: Sequence[int]) -> list[Any]:
        tx.set_setting("kept", "there")
        return [refusal for _ in items]

    assert await ground.store.write(Step("refuse", 1, run), 1) is refusal
    assert await _there(ground) == {"kept"}


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt, MemoryError])
async def test_nothing_that_a_step_raises_stops_the_writer(
    ground: Ground, error: type[BaseException]
):
    def run(tx: Transaction, items: Sequence[int]) -> list[int]:
        raise error

    async with gathering(ground):
        bad = asyncio.ensure_future(_outcome(ground, Step("bad", 1, run)))
        good = asyncio.ensure_future(ground.store.write(SET, "good"))
    expected = RuntimeError if error is StopIteration else error
    assert isinstance(await bad, expected)
    assert await good == "did good"


async def _outcome(ground: Ground, step: Step[Any, Any]) -> BaseException | None:
    try:
        await ground.store.write(step, 1)
    except BaseException as error:  # noqa: BLE001 - the test is about every kind of them
        return error
    return None


async def test_a_caller_that_is_gone_stops_nobody(ground: Ground):
    async with gathering(ground):
        waiting = [asyncio.ensure_future(ground.store.write(SET, f"n{n}")) for n in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert (results[0], results[2]) == ("did n0", "did n2")
    assert await _there(ground) == {"n0", "n1", "n2"}


async def test_what_fails_unheard_is_logged_without_its_words(
    ground: Ground, caplog: pytest.LogCaptureFixture
):
    """Invariant 44: an error's words may quote a text or a number."""
    async with gathering(ground):
        waiting = asyncio.ensure_future(ground.store.write(SET, "bad +31612345678"))
        await asyncio.sleep(0)
        waiting.cancel()
    with caplog.at_level(logging.WARNING):
        await ground.run(lambda tx: None)
    assert "step set failed unheard: LookupError" in caplog.text
    assert "316" not in caplog.text


# --- closing --------------------------------------------------------------------------------


async def test_close_finishes_what_was_submitted(ground: Ground):
    waiting = [asyncio.ensure_future(ground.store.write(SET, f"n{n}")) for n in range(20)]
    await asyncio.sleep(0)
    await ground.store.close()
    assert len(await asyncio.gather(*waiting)) == 20


async def test_a_closed_store_says_so(ground: Ground):
    await ground.store.close()
    await ground.store.close()
    with pytest.raises(StoreUnavailable):
        await ground.store.write(SET, "late")
    with pytest.raises(StoreUnavailable):
        await ground.store.read(lambda reader: None)


# --- when the database fails ----------------------------------------------------------------


class Failing:
    """A database whose commits fail as it is told; it keeps what it committed."""

    def __init__(self, failures: Callable[[list[str]], BaseException | None]) -> None:
        self._failures = failures
        self.begun: list[list[str]] = []
        self.kept: list[str] = []
        self.now_us = 0
        self.tallies: dict[tuple[str, ...], int] = {}

    def begin(self) -> Any:
        self.begun.append([])
        return self

    def set_setting(self, name: str, value: str) -> None:
        self.begun[-1].append(name)

    def commit(self) -> None:
        if (error := self._failures(self.begun[-1])) is not None:
            raise error
        self.kept += self.begun[-1]

    def rollback(self) -> None:
        pass

    def mend(self, error: BaseException) -> bool:
        return False

    def named(self, error: BaseException) -> BaseException:
        return StoreUnavailable("named") if isinstance(error, OSError) else error

    def close(self) -> None:
        pass


async def _written(database: Failing, count: int) -> list[Any]:
    writer = GroupCommit(lambda: database)
    await writer.start()
    try:
        return await asyncio.gather(
            *(writer.write(SET, f"n{n}") for n in range(count)), return_exceptions=True
        )
    finally:
        await writer.close()


@pytest.mark.parametrize(
    "outage", [StoreFull("full"), StoreUnavailable("away"), StoreDamaged("damaged"), OSError()]
)
async def test_an_outage_is_everybodys_and_tried_once(outage: Exception):
    """Two thousand halves of a transaction would find the disk as full as the first."""
    database = Failing(lambda names: outage)
    results = await _written(database, 500)
    assert len(database.begun) == 1
    assert all(isinstance(each, StoreError) for each in results)


async def test_an_outage_among_halves_ends_the_trying():
    def fail(names: list[str]) -> BaseException | None:
        if len(names) > 32:
            return LookupError()
        return StoreFull("full") if "n40" in names else None

    database = Failing(fail)
    results = await _written(database, 64)
    assert results[:32] == [f"did n{n}" for n in range(32)]
    assert all(isinstance(each, StoreFull) for each in results[32:])
    assert len(database.begun) == 3


async def test_a_database_that_doesnt_open_says_why():
    def broken() -> Any:
        raise LookupError("no such place")

    with pytest.raises(LookupError, match="no such place"):
        await GroupCommit(broken).start()


async def test_a_store_can_be_opened_again(backend: Backend, clock: StillClock, place: str):
    async with backend.open_at(place, clock) as first:
        await first.write(SET, "kept")
    async with backend.open_at(place, clock) as second:
        found = await second.write(
            Step("get", 1, lambda tx, items: [tx.setting("kept") for _ in items]), None
        )
    assert found == "there"


async def test_a_database_that_opens_for_nobody_is_closed():
    reached, opened, closed = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Failing:
        reached.set()
        assert opened.wait(PATIENCE_S)
        database = Failing(lambda names: None)
        database.close = closed.set  # type: ignore[method-assign]
        return database

    starting = asyncio.ensure_future(GroupCommit(slow).start())
    assert await asyncio.to_thread(reached.wait, PATIENCE_S)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    opened.set()
    assert await asyncio.to_thread(closed.wait, PATIENCE_S)


async def test_what_is_light_does_not_wait_behind_what_is_heavy(ground: Ground):
    """A code's request shares the next transaction, however much bulk came before it."""
    batches: list[list[int]] = []

    def run(tx: Transaction, items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        return items

    step = Step("sized", 10, run, rows=lambda item: item)
    heavy = HEAVY_ROWS_MAX * 3 // 4
    async with gathering(ground):
        bulk = [asyncio.ensure_future(ground.store.write(step, heavy)) for _ in range(5)]
        code = asyncio.ensure_future(ground.store.write(step, 1))
    await asyncio.gather(code, *bulk)
    assert batches == [[1, heavy, heavy], [heavy, heavy], [heavy]]


async def test_what_is_heavy_does_not_wait_for_what_is_light(ground: Ground):
    """Bulk goes on, one item a transaction at least, though codes never stop coming."""
    step = Step("sized", 10, lambda _, items: items, rows=lambda item: item)
    async with gathering(ground):
        bulk = asyncio.ensure_future(ground.store.write(step, HEAVY_ROWS_MAX * 9))
        codes = [
            asyncio.ensure_future(ground.store.write(step, LIGHT_ROWS_MAX))
            for _ in range(ITEMS_MAX + 10)
        ]
    await bulk
    assert not codes[-1].done()
    await asyncio.gather(*codes)
