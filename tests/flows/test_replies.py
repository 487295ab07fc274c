"""Handsets that answer: over the wire from the carrier world, once, and without their words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arrivals.clock import SystemClock
from arrivals.core.ids import message_key
from arrivals.flows import dispatch
from arrivals.flows.accept import Accepted
from arrivals.providers.api import Reply, Taken
from arrivals.providers.smpp import SmppConnection
from arrivals.store.api import Step, StoreUnavailable
from arrivals.store.copying import TABLES
from arrivals.world import mailbox
from arrivals.world.scenario import load_scenario
from arrivals.world.smsc import CarrierWorld
from arrivals.world.tables import Delay
from tests.flows.installation import Installation, installed, provider
from tests.flows.script import ScriptedConnection, receipt
from tests.flows.test_dispatcher import dispatching, state, taken, tell, until

PHONE, OURS = "31612345678", "31201234567"
WORDS = "Xylophone quartz, nobody else's business"
REPLY = Reply(provider_id="north", msisdn=PHONE, sender=OURS, came_at_us=0)


@asynccontextmanager
async def talkative_world() -> AsyncIterator[CarrierWorld]:
    """A world in which whoever can answers at once, half of them STOP."""
    scenario = load_scenario("clear-day")
    users = msgspec.structs.replace(
        scenario.users, replies=1.0, reply=Delay(median_s=1.0, sigma=0.1)
    )
    talkative = msgspec.structs.replace(scenario, users=users)
    world = CarrierWorld(talkative, 1, 100.0, now_us=SystemClock().now_us)
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


def key_of(sent: Accepted) -> int:
    return message_key(sent.order.order_id, 0)


async def feedback(here: Installation, key: int) -> list[tuple[str, Any]]:
    return await here.rows(
        "SELECT actor, body FROM events WHERE message_id = ? AND kind = 'feedback'", key
    )


async def confirmed(here: Installation, key: int) -> str:
    [(word,)] = await here.rows("SELECT confirmed FROM messages WHERE id = ?", key)
    return str(word)


def files_of(place: str) -> list[bytes]:
    return [each.read_bytes() for each in Path(place).glob("*") if each.is_file()]


@pytest.mark.slow
async def test_an_answer_from_the_world_confirms_and_its_words_are_nowhere(
    place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mailbox, "REPLIES", {"replied": WORDS, "stopped": WORDS})
    with caplog.at_level(logging.DEBUG):
        async with (
            talkative_world() as world,
            installed(place, providers=[provider("north", world.port)]) as here,
        ):
            sent = await here.send(PHONE, sender=OURS)
            named = await here.send(PHONE, sender="ARRIVALS")
            await here.wait_for(sent)
            await here.wait_for(named)
            await world.truth.until(lambda: world.truth.counters["replies_acknowledged"] > 0)
            assert await confirmed(here, key_of(sent)) == "confirmed"
            [(actor, body)] = await feedback(here, key_of(sent))
            assert actor == "provider:north"
            assert msgspec.json.decode(body) == {"confirmed": True, "kind": "reply"}
            assert await confirmed(here, key_of(named)) == "none"
            assert here.platform.replies == {"confirmed": 1, "repeated": 0, "unmatched": 0}
            kept = [row for each in TABLES for row in await here.rows(f"SELECT * FROM {each}")]
            assert await here.unsound() == []
    assert PHONE in str(kept)
    spellings = (WORDS, WORDS.encode().hex(), WORDS.split()[0])
    assert not [each for each in spellings if each in str(kept) or each in caplog.text]
    assert not [each for each in spellings for file in files_of(place) if each.encode() in file]


@pytest.mark.slow
async def test_an_answer_whose_acknowledgement_was_lost_counts_once(
    place: str, monkeypatch: pytest.MonkeyPatch
):
    """The process dies between its commit and the acknowledgement: the answer comes again."""
    async with talkative_world() as world:
        north = provider("north", world.port)
        with monkeypatch.context() as patched:
            patched.setattr(SmppConnection, "acknowledge", lambda *_: None)
            async with installed(place, providers=[north]) as here:
                sent = await here.send(PHONE, sender=OURS)
                async with asyncio.timeout(20):
                    while not here.platform.replies["confirmed"]:
                        await here.platform.changes.on_message(key_of(sent)).wait()
        assert world.truth.counters["replies_acknowledged"] == 0
        async with installed(place, providers=[north]) as again:
            await world.truth.until(lambda: world.truth.counters["replies_acknowledged"] > 0)
            assert again.platform.replies == {"confirmed": 0, "repeated": 1, "unmatched": 0}
            assert len(await feedback(again, key_of(sent))) == 1
            assert await confirmed(again, key_of(sent)) == "confirmed"
            assert await again.unsound() == []


@asynccontextmanager
async def handed_off(
    place: str,
) -> AsyncIterator[tuple[Installation, ScriptedConnection, int, Callable[..., Reply]]]:
    """A message that can be answered, and the connection that brings the answers."""
    async with installed(place, providers=[provider("north", 1)], started=False) as here:
        connection = ScriptedConnection("north")
        async with dispatching(here, connection):
            await here.send(PHONE, sender=OURS)
            [sent] = await taken(connection, 1)
            tell(connection, [sent], Taken(((1, "a1", "A1"),)))
            await state(here, sent.key, "submitted")

            def reply(**changes: Any) -> Reply:
                at_us = here.platform.clock.now_us()
                return msgspec.structs.replace(REPLY, came_at_us=at_us, **changes)

            yield here, connection, sent.key, reply


async def test_an_answer_waits_for_the_store(place: str, monkeypatch: pytest.MonkeyPatch):
    """It is acknowledged only once it is durable, however long that takes."""
    monkeypatch.setattr(dispatch, "STORE_RETRY_S", 0.01)
    async with handed_off(place) as (here, connection, key, reply):
        write, refused = here.store.write, 0

        async def failing(step: Step[Any, Any], item: Any) -> Any:
            nonlocal refused
            if step.name == "replies" and refused < 3:
                refused += 1
                assert connection.acknowledged == []
                raise StoreUnavailable("locked")
            return await write(step, item)

        monkeypatch.setattr(here.store, "write", failing)
        assert connection.sink is not None
        connection.sink.replied([reply()], ["token"])
        await until(lambda: connection.acknowledged == ["token"])
        assert refused == 3
        assert await confirmed(here, key) == "confirmed"


async def test_whoever_watches_is_told(place: str):
    async with handed_off(place) as (here, connection, key, reply):
        changed = here.platform.changes.on_message(key)
        assert connection.sink is not None
        connection.sink.replied([reply()], ["token"])
        async with asyncio.timeout(5):
            await changed.wait()
            while True:  # what was told may have been its hand-off still
                changed = here.platform.changes.on_message(key)
                if await confirmed(here, key) == "confirmed":
                    break
                await changed.wait()


async def test_an_answer_that_can_t_be_recorded_stops_nothing(
    place: str, caplog: pytest.LogCaptureFixture
):
    """Invariant 31: its neighbours and the receipts go on, and it isn't tried for ever."""
    async with handed_off(place) as (here, connection, key, reply):
        assert connection.sink is not None
        poison = reply(msisdn=3.5)
        connection.sink.replied([poison, reply(), reply(sender="27690")], ["a", "b", "c"])
        connection.sink.received([receipt("north", "A1", "DELIVRD", PHONE)], ["d"])
        await until(lambda: len(connection.acknowledged) == 4)
        assert "replies: a fact could not be recorded" in caplog.text
        assert await confirmed(here, key) == "confirmed"
        assert await here.state(key) == "delivered"
        assert here.platform.replies == {"confirmed": 1, "repeated": 0, "unmatched": 1}


async def test_one_batch_holds_all_parts_of_an_answer(place: str):
    async with handed_off(place) as (here, connection, key, reply):
        assert connection.sink is not None
        connection.sink.replied([reply(), reply(), reply()], ["a", "b", "c"])
        await until(lambda: len(connection.acknowledged) == 3)
        assert here.platform.replies == {"confirmed": 1, "repeated": 2, "unmatched": 0}
        assert len(await feedback(here, key)) == 1


async def test_a_name_costs_nothing(place: str):
    """Nothing is written for what nobody can answer."""
    async with installed(place, providers=[provider("north", 1)], started=False) as here:
        connection = ScriptedConnection("north")
        async with dispatching(here, connection):
            await here.send(PHONE, sender="ARRIVALS")
            await taken(connection, 1)
            assert await here.rows("SELECT * FROM answerable") == []
            await here.send(PHONE, sender="+31201234567")
            await taken(connection, 2)
            [(msisdn, sender)] = await here.rows("SELECT msisdn, sender FROM answerable")
            assert (msisdn, sender) == (PHONE, OURS)
