"""The server: binds, store and forward, limits, ids, faults on demand, and its end."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu
from arrivals.world import agenda, exchange
from arrivals.world.fate import Ending
from arrivals.world.limits import Limits
from arrivals.world.scenario import load_scenario
from arrivals.world.smsc import CarrierWorld, run_world
from tests.world.esme import Esme, now_us
from tests.world.small_world import small_world

LONG_TEXT = "Ein langer Text, der in mehrere Teile geht: schön. " * 7


# Binds


async def test_a_wrong_password_is_refused_and_the_right_one_is_not() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port, password="wrong")
        assert esme.bind_status == c.ESME_RINVPASWD
        assert world.binds == {}
        await esme.bind("north", "world", c.BIND_TRANSCEIVER)
        assert esme.bind_status == c.ESME_ROK
        assert world.binds == {"north": 1}
        assert world.truth.counters["binds_refused"] == 1


async def test_a_password_of_ones_own_replaces_the_scenarios() -> None:
    async with small_world(password="other") as world:
        esme = await Esme.connect(world.port)
        assert esme.bind_status == c.ESME_RINVPASWD
        await esme.bind("north", "other", c.BIND_TRANSCEIVER)
        assert esme.bind_status == c.ESME_ROK


async def test_an_empty_system_id_is_refused() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port, system_id="")
        assert esme.bind_status == c.ESME_RINVSYSID


async def test_binds_are_refused_while_that_is_asked() -> None:
    async with small_world() as world:
        world.refuse_binds()
        esme = await Esme.connect(world.port)
        assert esme.bind_status == c.ESME_RBINDFAIL
        world.refuse_binds(False)
        await esme.bind("north", "world", c.BIND_TRANSCEIVER)
        assert esme.bind_status == c.ESME_ROK


async def test_a_command_the_world_doesnt_know_is_said_to_be_so() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        query = Pdu(c.QUERY_SM, fields={"message_id": b"1"})
        esme.session.send_request(query, esme.loop.time(), "query")
        esme.flush()
        assert (await esme.answer("query")).command_status == c.ESME_RINVCMDID


# Limits


async def test_what_is_over_the_rate_is_throttled() -> None:
    async with small_world("rate = { per_s = 0.001, burst_s = 5000 }") as world:
        esme = await Esme.connect(world.port)
        tokens = [esme.submit("447700900001", f"text {n}")[0] for n in range(8)]
        statuses = [(await esme.answer(token)).command_status for token in tokens]
        assert statuses == [c.ESME_ROK] * 5 + [c.ESME_RTHROTTLED] * 3
        # A number with a fixed fate is above such things.
        (token,) = esme.submit("99900000001")
        assert (await esme.answer(token)).command_status == c.ESME_ROK


async def test_what_is_over_the_rate_waits_where_a_provider_queues() -> None:
    rate = 'rate = { per_s = 1, burst_s = 1, over = "queue", queue_max_s = 3 }'
    async with small_world(rate, speed=20) as world:
        esme = await Esme.connect(world.port)
        began = time.monotonic()
        tokens = [esme.submit("447700900001", f"text {n}")[0] for n in range(6)]
        statuses = [(await esme.answer(token)).command_status for token in tokens]
        assert statuses == [c.ESME_ROK] * 4 + [c.ESME_RMSGQFUL] * 2
        assert time.monotonic() - began >= 3 / 20 - 0.02
        await esme.until(lambda: len(esme.receipts) == 4)


@pytest.mark.slow
async def test_a_bind_with_too_much_unanswered_is_told_so() -> None:
    async with small_world("window = 3\nanswer = { median_s = 0.2 }") as world:
        esme = await Esme.connect(world.port)
        tokens = [esme.submit("447700900001", f"text {n}")[0] for n in range(5)]
        statuses = [(await esme.answer(token)).command_status for token in tokens]
        assert statuses == [c.ESME_ROK] * 3 + [c.ESME_RMSGQFUL] * 2
        (token,) = esme.submit("447700900001", "again")
        assert (await esme.answer(token)).command_status == c.ESME_ROK


async def test_a_world_with_too_much_due_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "DUE_MAX", 2)
    async with small_world("queue = { median_s = 0.2 }") as world:
        esme = await Esme.connect(world.port)
        tokens = [esme.submit("447700900001", f"text {n}")[0] for n in range(2)]
        statuses = [(await esme.answer(token)).command_status for token in tokens]
        assert statuses == [c.ESME_ROK, c.ESME_RMSGQFUL]
        await esme.until(lambda: len(esme.receipts) == 1)
        (token,) = esme.submit("447700900001", "again")
        assert (await esme.answer(token)).command_status == c.ESME_ROK


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "CONNECTIONS_MAX", 1)
    async with small_world() as world:
        first = await Esme.connect(world.port)
        second = await Esme.connect(world.port)
        assert second.closed
        first.submit("447700900001")
        await first.until(lambda: len(first.receipts) == 1)


async def test_system_ids_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "SYSTEM_IDS_MAX", 1)
    async with small_world() as world:
        assert (await Esme.connect(world.port, "north")).bind_status == c.ESME_ROK
        assert (await Esme.connect(world.port, "south")).bind_status == c.ESME_RBINDFAIL
        assert (await Esme.connect(world.port, "north")).bind_status == c.ESME_ROK


async def test_throttling_changes_no_later_fate() -> None:
    """What is turned away unseen isn't an occurrence: a retry meets the fate of a first try."""
    async with small_world("rate = { per_s = 0.001, burst_s = 1000 }") as world:
        inside = world._inside
        esme = await Esme.connect(world.port)
        await esme.answer(esme.submit("447700900001", "spends the burst")[0])
        for status in (c.ESME_RTHROTTLED, c.ESME_RTHROTTLED, c.ESME_ROK):
            if status == c.ESME_ROK:
                inside._limits = Limits()
            (token,) = esme.submit("447700900001", "code 1")
            assert (await esme.answer(token)).command_status == status
        assert set(inside._occurrences._recent.values()) == {1}


# The inbox


@pytest.mark.parametrize("header", ["udh8", "udh16", "sar"])
async def test_long_texts_reach_the_inbox_whole(header: str) -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        waiting = asyncio.create_task(world.inbox.next_text("447700900001"))
        esme.submit("447700900001", LONG_TEXT, header=header, source="ACME")
        text = await waiting
        assert (text.text, text.sender, text.parts) == (LONG_TEXT, "ACME", 3)
        assert world.inbox.texts("447700900001") == (text,)
        assert world.inbox.texts("447700900002") == ()


async def test_the_inbox_shows_other_alphabets() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        esme.submit("447700900001", "Код 4821 🙂", data_coding=8)
        await esme.until(lambda: len(esme.receipts) == 1)
        assert [text.text for text in world.inbox.texts()] == ["Код 4821 🙂"]


# Faults and the end


async def test_garbage_loses_the_stream_but_not_the_message() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        world.garbage()
        (token,) = esme.submit("447700900001")
        await esme.until(lambda: esme.dead != "")
        esme.close()
        await esme.until(lambda: esme.closed)
        assert token not in esme.answers
        world.garbage(False)
        again = await Esme.connect(world.port)
        await again.until(lambda: len(again.receipts) == 1)
        (handoff,) = world.truth.handoffs
        assert not handoff.answered
        assert [ended.ending for ended in world.truth.endings] == [Ending.REACHED]


async def test_junk_from_a_peer_ends_its_connection_only() -> None:
    async with small_world() as world:
        good, bad = await Esme.connect(world.port), await Esme.connect(world.port)
        bad.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        await bad.until(lambda: bad.closed)
        good.submit("447700900001")
        await good.until(lambda: len(good.receipts) == 1)


async def test_an_unbinding_peer_is_answered_and_let_go() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        esme.session.unbind(esme.loop.time())
        esme.flush()
        await esme.until(lambda: esme.closed)
        assert world.binds == {}


async def deafen(world: CarrierWorld, esme: Esme) -> asyncio.Event:
    """Stop reading, with small buffers between; the event tells when the world notices."""
    (connection,) = world._inside.connections
    noticed = asyncio.Event()
    pause = connection.pause_writing

    def pause_writing() -> None:
        pause()
        noticed.set()

    connection.pause_writing = pause_writing  # type: ignore[method-assign]
    assert connection._transport is not None
    for transport, option in (
        (connection._transport, socket.SO_SNDBUF),
        (esme.transport, socket.SO_RCVBUF),
    ):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 32_768)
    esme.transport.pause_reading()
    return noticed


@pytest.mark.slow
async def test_a_peer_that_doesnt_read_is_not_read_from() -> None:
    async with small_world("receipts = { window = 10000 }") as world:
        esme = await Esme.connect(world.port, window=10_000)
        noticed = await deafen(world, esme)
        for number in range(3_000):
            esme.submit("447700900001", f"text {number}")
        await noticed.wait()
        esme.transport.resume_reading()
        await esme.until(lambda: len(esme.receipts) == 3_000)
        assert len(esme.answers) == 3_000


@pytest.mark.slow
async def test_stopping_is_prompt_even_with_a_peer_that_doesnt_read() -> None:
    async with small_world("receipts = { window = 10000 }") as world:
        esme = await Esme.connect(world.port, window=10_000)
        noticed = await deafen(world, esme)
        for number in range(3_000):
            esme.submit("447700900001", f"text {number}")
        await noticed.wait()
        began = time.monotonic()
        await world.stop()
        assert time.monotonic() - began < 1.0
        esme.transport.resume_reading()
        await esme.until(lambda: esme.closed)


async def test_peers_are_told_when_the_world_stops() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        await world.stop()
        await esme.until(lambda: esme.unbound)


async def test_nothing_is_listening_after_the_end() -> None:
    async with small_world() as world:
        port = world.port
    with pytest.raises(OSError, match=r"refused|Connect"):
        await Esme.connect(port)


async def test_a_taken_port_is_an_error_at_start() -> None:
    async with small_world() as world:
        second = CarrierWorld(world.scenario, seed=1, port=world.port, now_us=now_us)
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.stop()


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_a_speed_that_isnt_one_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        CarrierWorld(load_scenario("wire"), seed=1, speed=speed, now_us=now_us)


async def test_run_world_runs_until_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    started: asyncio.Future[CarrierWorld] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        run_world(
            scenario=load_scenario("wire"),
            seed=1,
            stop=stop,
            now_us=now_us,
            started=started.set_result,
        )
    )
    world = await started
    esme = await Esme.connect(world.port)
    esme.submit("447700900001")
    await esme.until(lambda: len(esme.receipts) == 1)
    stop.set()
    await task
    await esme.until(lambda: esme.closed)


async def test_speed_quickens_the_world() -> None:
    async with CarrierWorld(
        load_scenario("clear-day"), seed=1, speed=1_000, now_us=now_us
    ) as world:
        esme = await Esme.connect(world.port)
        began = time.monotonic()
        esme.submit("99900000010")
        await esme.until(lambda: len(esme.receipts) == 1)
        assert 0.03 <= time.monotonic() - began < 1.0


@pytest.mark.slow
async def test_the_same_seed_gives_the_same_day_over_a_socket() -> None:
    numbers = list(range(60))
    assert await a_day(numbers) == await a_day(numbers[::-1])


async def a_day(numbers: list[int]) -> set[tuple[str, str, str | None]]:
    async with CarrierWorld(
        load_scenario("clear-day"), seed=8, speed=100_000, now_us=now_us
    ) as world:
        esme = await Esme.connect(world.port, window=100)
        for number in numbers:
            esme.submit(f"44770090{number:04d}", "Your parcel is here")
        await esme.until(lambda: len(esme.receipts) == len(numbers))
        endings = {(e.destination, e.ending.value, None) for e in world.truth.endings}
        return endings | {(r.source, r.state, r.error) for r in esme.receipts}
