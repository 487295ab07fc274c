"""An answer that can't be recorded is tried again, by this process and by the next one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec
import pytest

from arrivals.core.ids import message_key
from arrivals.flows import unrecorded
from arrivals.flows.dispatch import Dispatcher
from arrivals.flows.unrecorded import AGAIN_MAX_S, Unrecorded
from arrivals.providers.api import Answer, Submission, Taken
from arrivals.store.api import Step, Transaction
from tests.flows.installation import Installation, installed, provider
from tests.flows.script import ScriptedConnection, answer, receipt

NORTH = provider("north", 20)
KEPT = "SELECT value FROM meta WHERE name = 'unrecorded_answers:north'"


class Mistake:
    """A step of ours that fails on some answers, until it is mended."""

    def __init__(self, right: Step[Any, Any], fails: Callable[[Answer], bool]) -> None:
        self._right = right
        self._fails = fails
        self.mended = False
        self.failures = 0
        self.step = Step(right.name, right.order, self._run)

    def _run(self, tx: Transaction, items: Sequence[Any]) -> Any:
        if not self.mended and any(self._fails(each) for item in items for each in item):
            self.failures += 1
            raise ZeroDivisionError("planted")
        return self._right.run(tx, items)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrecorded, "AGAIN_FIRST_S", 0.01)


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    async with installed(place, providers=[NORTH], started=False) as installation:
        yield installation


@contextlib.asynccontextmanager
async def dispatching(
    here: Installation, fails: Callable[[Answer], bool]
) -> AsyncIterator[tuple[ScriptedConnection, Mistake]]:
    connection = ScriptedConnection("north", room=500)
    dispatcher = Dispatcher(here.platform, connection, "test")
    mistake = Mistake(dispatcher._answer, fails)
    dispatcher._answer = mistake.step
    task = asyncio.create_task(dispatcher.run())
    try:
        yield connection, mistake
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110 - a row has no event to wait for
            await asyncio.sleep(0.01)


async def taken(connection: ScriptedConnection, count: int) -> list[Submission]:
    async def all_are_there() -> bool:
        return len(connection.taken) >= count

    await until(all_are_there)
    return connection.taken[:count]


def answers(sent: Sequence[Submission]) -> list[Answer]:
    return [
        answer(each, Taken(((1, f"a{each.key}", f"A{each.key}"),)), "north") for each in sent
    ]


async def kept(here: Installation) -> list[Any]:
    found = await here.rows(KEPT)
    return msgspec.json.decode(found[0][0]) if found else []


async def test_it_is_tried_again_until_it_is_recorded(here: Installation) -> None:
    """Its neighbours are recorded at once; then nothing of it is left over."""
    accepted = await here.send("31612345678", "31612345679")
    poison = message_key(accepted.order.order_id, 0)
    async with dispatching(here, lambda each: each.key == poison) as (connection, mistake):
        first, second = await taken(connection, 2)
        assert connection.sink is not None
        connection.sink.answered(answers([first, second]))
        await until(lambda: _is(here, second.key, "submitted"))
        before = mistake.failures

        async def tried_again() -> bool:
            return mistake.failures > before + 2 and len(await kept(here)) == 1

        await until(tried_again)
        assert await here.state(poison) == "sending"
        mistake.mended = True
        await until(lambda: _is(here, poison, "submitted"))

        async def struck_out() -> bool:
            return not await kept(here)

        await until(struck_out)
        assert (await here.kinds(poison)).count("taken") == 1


async def _is(here: Installation, key: int, state: str) -> bool:
    return await here.state(key) == state


async def test_the_next_process_records_it(here: Installation) -> None:
    """With the ids that its receipts will name; it isn't in doubt even for a moment."""
    accepted = await here.send("31612345678")
    key = message_key(accepted.order.order_id, 0)
    async with dispatching(here, lambda _: True) as (connection, _):
        sent = await taken(connection, 1)
        assert connection.sink is not None
        connection.sink.answered(answers(sent))

        async def is_written_down() -> bool:
            return len(await kept(here)) == 1

        await until(is_written_down)
    assert await here.state(key) == "sending"
    async with dispatching(here, lambda _: False) as (connection, _):
        await until(lambda: _is(here, key, "submitted"))
        assert "lease_lost" not in await here.kinds(key)
        assert connection.sink is not None
        told = receipt("north", f"A{key}", "DELIVRD", "31612345678")
        connection.sink.received([told], ["token"])
        await until(lambda: _is(here, key, "delivered"))
    assert await kept(here) == []


async def test_a_mistake_about_all_answers_stops_the_hand_offs(
    here: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And not the whole queue goes out for which nobody could account."""
    monkeypatch.setattr(unrecorded, "KEPT_MAX", 5)
    await here.send(*(f"3161234{n:04d}" for n in range(5)))
    async with dispatching(here, lambda _: True) as (connection, mistake):
        sent = await taken(connection, 5)
        assert connection.sink is not None
        connection.sink.answered(answers(sent))

        async def is_full() -> bool:
            return "nothing more is handed off" in caplog.text

        await until(is_full)
        await here.send("31699999999")
        await asyncio.sleep(0.1)
        assert len(connection.taken) == 5
        mistake.mended = True
        await taken(connection, 6)


async def test_the_pauses_grow_and_end_at_a_bound(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake that stands for a week costs a try a minute."""
    monkeypatch.setattr(unrecorded, "AGAIN_FIRST_S", 1.0)
    await here.send("31612345678")
    waits = Unrecorded(here.platform, "north")
    one = Answer(provider_id="north", key=1, attempt=1, epoch=1, result=Taken(()))
    pauses = [await waits.keep(one) for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, AGAIN_MAX_S, AGAIN_MAX_S, AGAIN_MAX_S]
    assert len(await kept(here)) == 1
