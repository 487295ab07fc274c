"""The dispatcher and the fleet, with a provider under the test's control."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from arrivals.core.catalogue import ApiKey, Flow, Provider
from arrivals.core.errors import Code, Refusal
from arrivals.core.ids import hash_api_key, make_api_key
from arrivals.flows import dispatch, fleet
from arrivals.flows.administer import KEY_PEPPER
from arrivals.flows.conditions import Condition
from arrivals.flows.dispatch import Dispatcher
from arrivals.flows.fleet import Fleet
from arrivals.providers.api import Result, Submission, Taken
from arrivals.store.api import Step, StoreUnavailable
from tests.flows.installation import Installation, account, installed, provider, route
from tests.flows.script import ScriptedConnection, answer, receipt

NORTH, SOUTH = provider("north", 1), provider("south", 1)


@contextlib.asynccontextmanager
async def dispatching(
    here: Installation, connection: ScriptedConnection
) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(here.platform, connection, "test")
    task = asyncio.create_task(dispatcher.run())
    try:
        yield dispatcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def taken(connection: ScriptedConnection, count: int) -> list[Submission]:
    """Wait until so many submissions have been handed over."""
    async with asyncio.timeout(5):
        while len(connection.taken) < count:
            connection.arrived.clear()
            await connection.arrived.wait()
    return connection.taken


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again; for what announces itself to nobody."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def tell(connection: ScriptedConnection, sent: Sequence[Submission], result: Result) -> None:
    assert connection.sink is not None
    told = [answer(each, result, connection.provider_id) for each in sent]
    connection.sink.answered(told)


async def state(here: Installation, key: int, wanted: str) -> None:
    """Wait until a message is in a state."""
    async with asyncio.timeout(5):
        while True:
            changed = here.platform.changes.on_message(key)
            if await here.state(key) == wanted:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await changed.wait()


@pytest.fixture
async def here(place: str) -> AsyncIterator[Installation]:
    async with installed(place, providers=[NORTH, SOUTH], started=False) as installation:
        yield installation


async def test_what_is_accepted_is_handed_over_and_recorded(here: Installation):
    """Invariant 24: the intent is durable before the provider is given anything."""
    connection = ScriptedConnection("north")
    async with dispatching(here, connection):
        accepted = await here.send("31612345678")
        [sent] = await taken(connection, 1)
        assert await here.kinds(sent.key) == ["accepted", "claimed"]
        assert sent.key == accepted.order.order_id << 17
        tell(connection, [sent], Taken(((1, "a1", "A1"),)))
        await state(here, sent.key, "submitted")
        assert connection.sink is not None
        connection.sink.received([receipt("north", "A1", "DELIVRD", sent.msisdn)], ["token"])
        await state(here, sent.key, "delivered")
        await here.balance()  # a commit more: whoever waited for the one before has gone on
        assert connection.acknowledged == ["token"]


async def test_no_more_is_claimed_than_there_is_room(here: Installation):
    connection = ScriptedConnection("north", room=3)
    async with dispatching(here, connection):
        await here.send(*(f"3161234567{n}" for n in range(8)))
        await taken(connection, 3)
        connection.set(room=0)
        claimed = await here.rows("SELECT count(*) FROM messages WHERE state = 'sending'")
        assert claimed[0][0] in {3, 6, 8}
        await taken(connection, claimed[0][0])  # what was claimed a moment ago is on its way
        assert claimed[0][0] == len(connection.taken)


async def test_what_was_claimed_at_the_end_goes_back_to_its_queue(
    here: Installation, monkeypatch: pytest.MonkeyPatch
):
    """Invariant 26: a clean stop leaves nothing in doubt that never left."""
    connection = ScriptedConnection("north")
    write, claiming = here.store.write, asyncio.Event()

    async def slow(step: Step[Any, Any], item: Any) -> Any:
        result = await write(step, item)
        if step.name == "claim" and result:
            claiming.set()
            await asyncio.sleep(0.05)  # the commit is done, the dispatcher doesn't know yet
        return result

    monkeypatch.setattr(here.store, "write", slow)
    async with dispatching(here, connection):
        accepted = await here.send("31612345678")
        async with asyncio.timeout(5):
            await claiming.wait()
    assert connection.taken == []
    assert connection.stopped
    key = accepted.order.order_id << 17
    assert await here.state(key) == "waiting"
    assert await here.kinds(key) == ["accepted", "claimed", "not_sent"]


async def test_an_older_owner_gets_nothing_more(here: Installation):
    """Invariant 23: after a takeover the old epoch claims nothing."""
    first, second = ScriptedConnection("north"), ScriptedConnection("north")
    async with dispatching(here, first) as old, dispatching(here, second) as new:
        await until(lambda: old.epoch < new.epoch)
        await here.send(*(f"3161234567{n}" for n in range(8)))
        await taken(second, 8)
        assert first.taken == []


async def test_facts_wait_for_the_store(here: Installation, monkeypatch: pytest.MonkeyPatch):
    """A receipt is acknowledged only once it is durable, however long that takes."""
    monkeypatch.setattr(dispatch, "STORE_RETRY_S", 0.01)
    connection = ScriptedConnection("north")
    write, refused = here.store.write, 0

    async def failing(step: Step[Any, Any], item: Any) -> Any:
        nonlocal refused
        if step.name == "receive" and refused < 3:
            refused += 1
            assert connection.acknowledged == []
            raise StoreUnavailable("locked")
        return await write(step, item)

    monkeypatch.setattr(here.store, "write", failing)
    async with dispatching(here, connection):
        await here.send("31612345678")
        [sent] = await taken(connection, 1)
        tell(connection, [sent], Taken(((1, "a1", "A1"),)))
        assert connection.sink is not None
        connection.sink.received([receipt("north", "A1", "DELIVRD", sent.msisdn)], ["token"])
        await state(here, sent.key, "delivered")
    assert (refused, connection.acknowledged) == (3, ["token"])


async def test_a_poison_fact_fails_alone(here: Installation, caplog: pytest.LogCaptureFixture):
    """Invariant 31: its neighbours are recorded, and it isn't tried without a pause."""
    connection = ScriptedConnection("north")
    async with dispatching(here, connection):
        await here.send("31612345678", "31612345679")
        sent = await taken(connection, 2)
        poison = Taken(((1, object(), "A1"),))  # type: ignore[arg-type]
        assert connection.sink is not None
        connection.sink.answered(
            [
                answer(sent[0], poison, "north"),
                answer(sent[1], Taken(((1, "a2", "A2"),)), "north"),
            ]
        )
        await state(here, sent[1].key, "submitted")
        await until(lambda: "answer: a fact could not be recorded" in caplog.text)
    assert await here.state(sent[0].key) == "sending"


@pytest.mark.slow
async def test_an_outage_of_the_store_stops_no_dispatcher(
    here: Installation, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch, "STORE_RETRY_S", 0.01)
    connection = ScriptedConnection("north")
    write, refused = here.store.write, 0

    async def failing(step: Step[Any, Any], item: Any) -> Any:
        nonlocal refused
        if step.name == "claim" and refused < 3:
            refused += 1
            raise StoreUnavailable("locked")
        return await write(step, item)

    monkeypatch.setattr(here.store, "write", failing)
    async with dispatching(here, connection):
        await here.send("31612345678")
        await taken(connection, 1)
    assert refused == 3


async def test_codes_overtake_bulk(here: Installation):
    """A code waits for one claim at most, though 5,000 bulk messages were there before it."""
    connection = ScriptedConnection("north", room=10)
    numbers = [f"316{n:08d}" for n in range(1_000)]
    for _ in range(5):
        await here.send(*numbers, category="bulk")
    async with dispatching(here, connection):
        await taken(connection, 10)
        code = await here.send("31699999999", category="otp")
        before = len(connection.taken)
        async with asyncio.timeout(5):
            while not any(each.msisdn == "31699999999" for each in connection.taken):
                connection.arrived.clear()
                await connection.arrived.wait()
        place = [each.msisdn for each in connection.taken].index("31699999999")
        assert place - before <= 40  # a claim under way, and every fourth is bulk's
        claimed = await here.rows(
            "SELECT at FROM events WHERE message_id = ? AND kind = 'claimed'",
            code.order.order_id << 17,
        )
        assert claimed[0][0] - code.order.accepted_at_us < 1_000_000


async def test_bulk_isn_t_stopped_by_codes(here: Installation):
    connection = ScriptedConnection("north", room=1)
    await here.send(*(f"316{n:08d}" for n in range(40)), category="otp")
    await here.send("31699999999", category="bulk")
    async with dispatching(here, connection):
        await taken(connection, 10)
    assert "31699999999" in [each.msisdn for each in connection.taken[:10]]


async def test_accounts_share_a_lane(place: str):
    """Invariant 30 on the store: a latecomer with ten is through before another's thousand."""
    async with installed(
        place, providers=[NORTH], accounts=[account(1), account(2)], started=False
    ) as here:
        await here.send(*(f"316{n:08d}" for n in range(1_000)))
        await here.send(*(f"3160000{n:04d}" for n in range(10)), account_id=2)
        connection = ScriptedConnection("north", room=1)
        async with dispatching(here, connection):
            await taken(connection, 20)
        accounts = [
            (await here.rows("SELECT account_id FROM messages WHERE id = ?", each.key))[0][0]
            for each in connection.taken[:20]
        ]
        assert accounts.count(2) == 10


async def test_a_provider_that_stays_away_loses_its_queue(
    here: Installation, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dispatch, "IDLE_LOOK_S", 0.01)
    monkeypatch.setattr(dispatch, "FAILOVER_AFTER_S", 0.05)
    away, there = ScriptedConnection("north"), ScriptedConnection("south", room=1_000)
    away.up = False
    accepted = await here.send(*(f"316{n:08d}" for n in range(600)))
    async with dispatching(here, away), dispatching(here, there):
        await taken(there, 600)
        assert here.platform.conditions.has("north", Condition.AWAY)
        events = await here.kinds(accepted.order.order_id << 17)
        assert events == ["accepted", "diverted", "claimed"]
        away.set(up=True)
        await until(lambda: not here.platform.conditions.has("north", Condition.AWAY))
    assert away.taken == []


async def test_messages_that_can_t_move_don_t_stand_in_the_way(
    place: str, monkeypatch: pytest.MonkeyPatch
):
    """A thousand of a route without another provider, and one behind them that has one."""
    monkeypatch.setattr(dispatch, "IDLE_LOOK_S", 0.01)
    monkeypatch.setattr(dispatch, "FAILOVER_AFTER_S", 0.05)
    routes = [route(1, ["north"]), route(2, ["north", "south"])]
    async with installed(place, providers=[NORTH, SOUTH], routes=routes, started=False) as here:
        await here.send(*(f"316{n:08d}" for n in range(1_000)))
        await here.send("31699999999", route_id=2)
        away, there = ScriptedConnection("north"), ScriptedConnection("south")
        away.up = False
        async with dispatching(here, away), dispatching(here, there):
            await taken(there, 1)
        assert [each.msisdn for each in there.taken] == ["31699999999"]


# --- the fleet ------------------------------------------------------------------------


class Connections:
    """The scripted connections that a fleet opened, by provider, newest last."""

    def __init__(self) -> None:
        self.opened: dict[str, list[ScriptedConnection]] = {}
        self.are_up = True
        self.changed = asyncio.Event()

    def __call__(self, provider: Provider) -> ScriptedConnection:
        connection = ScriptedConnection(provider.provider_id)
        connection.up = self.are_up
        self.opened.setdefault(provider.provider_id, []).append(connection)
        self.changed.set()
        return connection

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await self.changed.wait()


@contextlib.asynccontextmanager
async def a_fleet(here: Installation) -> AsyncIterator[tuple[Fleet, Connections]]:
    connections = Connections()
    ships = Fleet(here.platform, connections, "test")
    task = asyncio.create_task(ships.run())
    try:
        yield ships, connections
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(fleet, "RESTART_AFTER_S", 0.01)


async def put(here: Installation, kind: str, name: str, document: Any) -> None:
    body = msgspec.json.encode(document).decode()
    await here.in_transaction(lambda tx: tx.put(kind, name, body))


@pytest.mark.usefixtures("quick")
async def test_providers_come_and_change_while_it_runs(here: Installation):
    async with a_fleet(here) as (ships, connections):
        await connections.until(lambda: connections.opened.keys() == {"north", "south"})
        await put(here, "provider", "far", provider("far", 1))
        await connections.until(lambda: "far" in ships.dispatchers)
        await put(here, "provider", "north", replace(NORTH, window=7))
        await connections.until(lambda: len(connections.opened["north"]) == 2)
        assert connections.opened["north"][0].stopped
        assert len(connections.opened["south"]) == 1
        ships._platform.catalogue.providers.pop("far")
        await connections.until(lambda: "far" not in ships.dispatchers)
    assert all(each.stopped for each in connections.opened["south"])


@pytest.mark.usefixtures("quick")
async def test_new_settings_don_t_begin_the_clock_of_an_outage_anew(here: Installation):
    """Report: each `reload` put the alarm of a provider that was away off by a minute."""
    conditions, clock = here.platform.conditions, here.platform.clock
    async with a_fleet(here) as (_, connections):
        await connections.until(lambda: "north" in connections.opened)
        connections.opened["north"][0].set(up=False, room=0)
        await until(lambda: conditions.has("north", Condition.AWAY))
        since = clock.monotonic() - (
            conditions.lasted_s("north", Condition.AWAY, clock.monotonic()) or 0.0
        )
        connections.are_up = False
        await put(here, "provider", "north", replace(NORTH, window=7))
        await connections.until(lambda: len(connections.opened["north"]) == 2)
        await until(lambda: conditions.has("north", Condition.AWAY))
        now = clock.monotonic()
        assert conditions.lasted_s("north", Condition.AWAY, now) == pytest.approx(
            now - since, abs=0.01
        )


@pytest.mark.usefixtures("quick")
async def test_a_pause_holds_the_queue_without_another_dial(here: Installation):
    """Paused while it runs: nothing goes out until it is resumed, on the same connection."""
    async with a_fleet(here) as (ships, connections):
        await connections.until(lambda: "north" in ships.dispatchers)
        await put(here, "provider", "north", replace(NORTH, flow=Flow.PAUSED))
        await connections.until(
            lambda: here.platform.catalogue.providers["north"].flow is Flow.PAUSED
        )
        accepted = await here.send("31612345678")
        key = accepted.order.order_id << 17
        await asyncio.sleep(0.1)
        assert await here.state(key) == "accepted"
        await put(here, "provider", "north", NORTH)
        [connection] = connections.opened["north"]
        await taken(connection, 1)


@pytest.mark.usefixtures("quick")
async def test_a_revoked_key_opens_nothing(here: Installation):
    """Revocation holds on every node within five seconds: at the next look."""
    secret = make_api_key("test", "aa", "000001", bytes(32))
    pepper = bytes.fromhex(await here.in_transaction(lambda tx: tx.setting(KEY_PEPPER)))
    key = ApiKey(
        key_id="aa000001", account_id=1, environment="test", digest=hash_api_key(pepper, secret)
    )
    async with a_fleet(here) as (_, connections):
        await put(here, "key", key.key_id, key)
        await connections.until(lambda: key.key_id in here.platform.catalogue.keys)
        assert here.platform.authenticate(secret)[1].key_id == key.key_id
        await put(here, "key", key.key_id, replace(key, active=False))
        await connections.until(lambda: not here.platform.catalogue.keys[key.key_id].active)
        with pytest.raises(Refusal) as caught:
            here.platform.authenticate(secret)
        assert caught.value.code == Code.INVALID_KEY


@pytest.mark.usefixtures("quick")
async def test_a_dispatcher_that_breaks_is_started_again(
    here: Installation, caplog: pytest.LogCaptureFixture
):
    async with a_fleet(here) as (_, connections):
        await connections.until(lambda: "north" in connections.opened)
        broken = connections.opened["north"][0]

        def explode() -> int:
            raise RuntimeError("planted")

        broken.capacity = explode  # type: ignore[method-assign]
        here.platform.changes.queued("north")
        await connections.until(lambda: len(connections.opened["north"]) == 2)
        await here.send("31612345678")
        await taken(connections.opened["north"][1], 1)
    assert "provider north: its dispatcher stopped" in caplog.text


@pytest.mark.usefixtures("quick")
async def test_a_catalogue_that_can_t_be_read_leaves_the_last_one(
    here: Installation, caplog: pytest.LogCaptureFixture
):
    async with a_fleet(here) as (ships, connections):
        await connections.until(lambda: "north" in ships.dispatchers)
        await here.in_transaction(lambda tx: tx.put("route", "7", '{"route_id": "x"}'))
        await connections.until(lambda: "can't be read" in caplog.text)
        await here.send("31612345678")
        await taken(connections.opened["north"][0], 1)


async def test_a_message_that_can_t_be_claimed_doesn_t_stop_its_dispatcher(here: Installation):
    """Invariant 31: it ends alone; the same dispatcher hands the others over."""
    connection = ScriptedConnection("north")
    keys = [(await here.send(f"3161234567{n}")).order.order_id << 17 for n in range(4)]
    broken = "UPDATE orders SET text = NULL WHERE id = ? >> 17"
    await here.damage(broken, keys[1])
    async with dispatching(here, connection) as dispatcher:
        await state(here, keys[1], "failed")
        sent = await taken(connection, 3)
        assert {each.key for each in sent} == {*keys} - {keys[1]}
        after = await here.send("31612345679")
        assert (await taken(connection, 4))[3].key == after.order.order_id << 17
        assert dispatcher.epoch == 1
