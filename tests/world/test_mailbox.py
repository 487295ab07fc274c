"""Receipts over a socket: kept, delivered, redelivered, and what they look like."""

from __future__ import annotations

import time

import pytest

from arrivals.smpp import constants as c
from arrivals.world import mailbox
from tests.world.esme import Esme
from tests.world.small_world import small_world

# Store and forward


async def test_receipts_wait_for_a_bind_that_may_receive() -> None:
    async with small_world() as world:
        sender = await Esme.connect(world.port, bind=c.BIND_TRANSMITTER)
        tokens = [sender.submit("447700900001", f"text {n}")[0] for n in range(20)]
        for token in tokens:
            await sender.answer(token)
        other = await Esme.connect(world.port, system_id="south")
        assert sender.receipts == []
        receiver = await Esme.connect(world.port, bind=c.BIND_RECEIVER)
        await receiver.until(lambda: len(receiver.receipts) == 20)
        # Stored in order, delivered in order, to nobody else.
        assert [r.message_id for r in receiver.receipts] == [
            sender.message_id(t) for t in tokens
        ]
        assert other.receipts == []


async def test_receipts_outlive_the_connection_and_the_listener() -> None:
    async with small_world("answer = { median_s = 0.01 }", speed=1) as world:
        esme = await Esme.connect(world.port, acknowledge=None)
        tokens = [esme.submit("447700900001", f"text {n}")[0] for n in range(3)]
        for token in tokens:
            await esme.answer(token)
        await esme.until(lambda: len(esme.receipts) == 3)
        await world.go_away()
        await esme.until(lambda: esme.closed)
        with pytest.raises(OSError, match=r"refused|Connect"):
            await Esme.connect(world.port)
        await world.come_back()
        again = await Esme.connect(world.port)
        await again.until(lambda: len(again.receipts) == 3)
        assert [r.message_id for r in again.receipts] == [esme.message_id(t) for t in tokens]
        await world.truth.until(lambda: world.truth.counters["receipts_acknowledged"] == 3)
        assert world.truth.counters["receipts_redelivered"] == 3


async def test_what_an_unbinding_peer_left_unacknowledged_waits_in_order() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port, acknowledge=None)
        tokens = [esme.submit("447700900001", f"text {n}")[0] for n in range(5)]
        await esme.until(lambda: len(esme.receipts) == 5)
        esme.session.unbind(esme.loop.time())
        esme.flush()
        await esme.until(lambda: esme.closed)
        again = await Esme.connect(world.port)
        await again.until(lambda: len(again.receipts) == 5)
        assert [r.message_id for r in again.receipts] == [esme.message_id(t) for t in tokens]


async def test_the_oldest_receipts_go_when_too_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mailbox, "WAITING_MAX", 5)
    async with small_world() as world:
        sender = await Esme.connect(world.port, bind=c.BIND_TRANSMITTER)
        tokens = [sender.submit("447700900001", f"text {n}")[0] for n in range(8)]
        await sender.until(lambda: len(sender.answers) == 8)
        assert world.truth.counters["receipts_dropped"] == 3
        receiver = await Esme.connect(world.port, bind=c.BIND_RECEIVER)
        await receiver.until(lambda: len(receiver.receipts) == 5)
        kept = [sender.message_id(token) for token in tokens[3:]]
        assert [receipt.message_id for receipt in receiver.receipts] == kept


@pytest.mark.slow
@pytest.mark.parametrize("acknowledge", [None, c.ESME_RX_T_APPN])
async def test_unacknowledged_receipts_come_again_and_not_for_ever(
    acknowledge: int | None,
) -> None:
    async with small_world(speed=1_000, acknowledge_within_s=0.05) as world:
        esme = await Esme.connect(world.port, acknowledge=acknowledge)
        esme.submit("447700900001")
        await world.truth.until(lambda: world.truth.counters["receipts_given_up"] == 1)
        await esme.until(lambda: len(esme.receipts) == 10)
        assert len({receipt.message_id for receipt in esme.receipts}) == 1


async def test_a_receipt_acknowledged_the_second_time_comes_no_more() -> None:
    async with small_world(speed=1_000) as world:
        esme = await Esme.connect(world.port, acknowledge=c.ESME_RX_T_APPN)
        esme.submit("447700900001")
        await esme.until(lambda: len(esme.receipts) == 1)
        esme.acknowledge = c.ESME_ROK
        await world.truth.until(lambda: world.truth.counters["receipts_acknowledged"] == 1)
        assert len(esme.receipts) == 2


async def test_receipts_in_flight_stay_within_the_providers_window() -> None:
    async with small_world("receipts = { window = 5 }") as world:
        esme = await Esme.connect(world.port, acknowledge=None)
        for number in range(20):
            esme.submit("447700900001", f"text {number}")
        await world.truth.until(lambda: world.truth.counters["reached"] == 20)
        await esme.until(lambda: len(esme.answers) == 20 and len(esme.receipts) == 5)
        assert world.truth.counters["receipts_sent"] == 5


async def test_receipts_go_to_every_bind_in_turn_where_a_provider_does_so() -> None:
    async with small_world("receipts = { any_bind = true }") as world:
        one, two = await Esme.connect(world.port), await Esme.connect(world.port)
        for number in range(10):
            one.submit("447700900001", f"text {number}")
        await one.until(lambda: len(one.answers) == 10 and len(one.receipts) == 5)
        await two.until(lambda: len(two.receipts) == 5)


async def test_receipts_go_to_the_bind_that_submitted_otherwise() -> None:
    async with small_world() as world:
        one, two = await Esme.connect(world.port), await Esme.connect(world.port)
        for number in range(10):
            one.submit("447700900001", f"text {number}")
        await one.until(lambda: len(one.receipts) == 10)
        assert two.receipts == []


# What receipts look like


async def test_a_receipt_swaps_the_addresses_and_is_dated() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        esme.submit("447700900001", source="ACME", reference=513)
        await esme.until(lambda: len(esme.receipts) == 1)
        (receipt,) = esme.receipts
        assert (receipt.source, receipt.destination) == ("447700900001", "ACME")
        assert receipt.user_message_reference == 513
        assert receipt.text_id == receipt.message_id
        for date in (receipt.submit_date, receipt.done_date):
            assert date is not None
            assert len(date) == 10
            assert (
                abs(time.mktime(time.strptime(date, "%y%m%d%H%M")) - time.mktime(time.gmtime()))
                <= 120
            )


async def test_a_provider_may_echo_nothing_and_write_no_tlvs() -> None:
    async with small_world("receipts = { echo_reference = false, tlvs = false }") as world:
        esme = await Esme.connect(world.port)
        esme.submit("447700900001", reference=513)
        await esme.until(lambda: len(esme.receipts) == 1)
        (receipt,) = esme.receipts
        assert receipt.user_message_reference is None
        assert (receipt.state, receipt.stat_raw) == ("DELIVRD", "DELIVRD")
        assert receipt.message_id == receipt.text_id


@pytest.mark.parametrize(
    ("form", "answered", "reported"),
    [
        ("decimal", "{:d}", "{:d}"),
        ("hex", "{:x}", "{:x}"),
        ("capital_hex_then_hex", "{:X}", "{:x}"),
        ("hex_then_decimal", "{:x}", "{:d}"),
        ("decimal_then_hex", "{:d}", "{:x}"),
        ("padded_decimal", "{:d}", "{:020d}"),
    ],
)
async def test_ids_are_written_as_the_provider_writes_them(
    form: str, answered: str, reported: str
) -> None:
    async with small_world(f'id_form = "{form}"') as world:
        esme = await Esme.connect(world.port)
        (token,) = esme.submit("447700900001")
        await esme.until(lambda: len(esme.receipts) == 1)
        number = int(esme.message_id(token), 10 if answered == "{:d}" else 16)
        assert esme.message_id(token) == answered.format(number)
        assert esme.receipts[0].message_id == reported.format(number)


async def test_ids_are_never_given_twice() -> None:
    async with small_world() as world:
        esme = await Esme.connect(world.port)
        tokens = [esme.submit("447700900001")[0] for _ in range(300)]
        await esme.until(lambda: len(esme.answers) == 300)
        assert len({esme.message_id(token) for token in tokens}) == 300
