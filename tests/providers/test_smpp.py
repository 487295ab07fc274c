"""The SMPP connection over real sockets: against an SMSC of the test's, and the world's."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from arrivals.clock import SystemClock
from arrivals.core.pacing import Pacer
from arrivals.providers import handoff, smpp
from arrivals.providers.api import Fate, NotSent, Refused, Taken, Throttled, Unanswered
from arrivals.providers.smpp import SmppConnection
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from arrivals.smpp.pdu import Pdu
from tests.flows.installation import carrier_world
from tests.providers.certificates import self_signed
from tests.providers.smsc import Peer, Smsc, an_smsc, connected, submission

pytestmark = pytest.mark.slow

LONG = "a long text " * 27  # three parts
LONG_UNICODE = "ein langer Text ✓ " * 10  # three parts of UCS-2


async def trouble(connection: SmppConnection, word: str) -> None:
    """Wait until a connection says what is wrong; it tells nobody."""
    async with asyncio.timeout(5):
        while word not in (connection.trouble or ""):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


# --- bound, or not --------------------------------------------------------------------


async def test_a_refused_bind_is_tried_again():
    async with carrier_world() as world:
        world.refuse_binds()
        async with connected(world.port, wait=False) as (connection, _):
            await world.truth.until(lambda: not world.binds and bool(connection.trouble))
            assert (connection.up, connection.capacity()) == (False, 0)
            await trouble(connection, "RBINDFAIL")
            world.refuse_binds(False)
            async with asyncio.timeout(5):
                await connection.ready()
            assert connection.trouble is None


async def test_a_provider_that_went_away_is_found_again():
    async with carrier_world() as world, connected(world.port) as (connection, news):
        await world.go_away()
        connection.submit([submission(1)])
        [result] = await news.results(1)
        assert isinstance(result, NotSent | Unanswered)
        assert connection.capacity() == 0
        await world.come_back()
        async with asyncio.timeout(5):
            await connection.ready()
        connection.submit([submission(2, msisdn="99900000001")])
        await news.results(2)
        assert isinstance(news.answers[1].result, Taken)


async def test_garbage_ends_the_link_and_leaves_a_doubt():
    async with carrier_world() as world, connected(world.port) as (connection, news):
        world.garbage()
        connection.submit([submission(1, msisdn="99900000001")])
        [result] = await news.results(1)
        assert isinstance(result, Unanswered)
        world.garbage(False)
        async with asyncio.timeout(10):
            await connection.ready()


async def test_nobody_home():
    async with an_smsc() as smsc:
        port = smsc.port
    async with connected(port, wait=False) as (connection, news):
        connection.submit([submission(1)])
        assert await news.results(1) == [NotSent("not bound")]
        await trouble(connection, "can't connect")
        assert connection.refusal.startswith("can't connect: ")  # as an alarm says it


@pytest.mark.parametrize(
    ("password", "system_id"), [("longer than 64 " * 5, "n"), ("secret", "n" * 65)]
)
async def test_a_login_that_smpp_has_no_room_for_is_said(password: str, system_id: str):
    async with (
        an_smsc() as smsc,
        connected(
            smsc.port, password=password, wait=False, settings={"system_id": system_id}
        ) as (connection, _),
    ):
        await trouble(connection, "doesn't fit")
        assert smsc.binds == []
        assert password not in (connection.trouble or "")


async def test_transmitter_and_receiver_bind_apart_and_the_receiver_first():
    bind = {"bind": "transmitter+receiver"}
    async with an_smsc() as smsc, connected(smsc.port, settings=bind) as (connection, news):
        assert [kind for kind, _ in smsc.binds] == [c.BIND_RECEIVER, c.BIND_TRANSMITTER]
        smsc.answering = lambda number: f"A{number}"
        connection.submit([submission(1)])
        await news.results(1)
        [receiver] = [peer for peer in smsc.peers if peer.bound_as == c.BIND_RECEIVER]
        receiver.deliver("A1", "DELIVRD")
        await news.until(lambda: bool(news.receipts))
        assert news.receipts[0].external_id == "a1"
        # Without its receiver the transmitter goes on, and keeps what it has to send.
        smsc.answering = None
        receiver.transport.abort()
        connection.submit([submission(2)])
        await smsc.until(lambda: len(smsc.binds) == 3)
        [(peer, pdu)] = smsc.submits[1:]
        peer.answer(pdu, "A2")
        await news.results(2)
        assert isinstance(news.answers[1].result, Taken)


async def test_over_tls_with_an_authority_of_our_own(tmp_path: Path):
    context, certificate = await asyncio.to_thread(self_signed, tmp_path)
    trusting = {"tls": True, "tls_ca": str(certificate)}
    async with an_smsc(context) as smsc:
        smsc.answering = lambda number: f"A{number}"
        async with connected(smsc.port, settings=trusting) as (connection, news):
            connection.submit([submission(1)])
            [result] = await news.results(1)
            assert isinstance(result, Taken)
        async with connected(smsc.port, wait=False, settings={"tls": True}) as (other, _):
            await trouble(other, "can't connect")
        async with connected(smsc.port, wait=False) as (plain, _):
            await trouble(plain, "tls = true")
        assert len(smsc.binds) == 1


# --- window and pace ------------------------------------------------------------------


async def test_the_window_holds_counted_in_parts():
    """Invariant 28: never more unanswered submit_sm than the window, whatever is submitted."""
    async with an_smsc() as smsc, connected(smsc.port, window=4) as (connection, news):
        connection.submit([submission(n, LONG) for n in range(1, 5)])
        while len(smsc.submits) < 12 or any(peer.submits for peer in smsc.peers):
            await smsc.until(lambda: any(peer.submits for peer in smsc.peers))
            assert connection.window_used <= 4
            peer = next(peer for peer in smsc.peers if peer.submits)
            peer.answer(peer.submits[0], f"A{len(smsc.submits)}")
            await asyncio.sleep(0)
        assert smsc.most_open <= 4
        results = await news.results(4)
        assert all(isinstance(each, Taken) for each in results)
        assert connection.capacity() == 4


async def test_the_pace_holds_counted_in_parts():
    """Invariant 28: PDUs a second, not messages a second."""
    async with (
        an_smsc() as smsc,
        connected(smsc.port, window=50, throughput=20.0) as (connection, news),
    ):
        smsc.answering = lambda number: f"A{number}"
        begin = time.monotonic()
        connection.submit([submission(n, LONG) for n in range(1, 12)])
        await news.results(11)
        # The first of 33 parts goes at once; the others take a twentieth of a second each.
        assert time.monotonic() - begin >= 32 / 20 - 0.05
        assert connection.capacity() <= 1


class SteppedClock(SystemClock):
    """A clock that stands still until it is moved."""

    now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


async def test_the_moment_between_two_looks_at_the_clock_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
):
    """Too early at one look and late enough at the next: somebody must still come back."""
    clock = SteppedClock()
    available = Pacer.available

    def looked_at_too_early(pacer: Pacer, now_us: int) -> int:
        found = available(pacer, now_us)
        if not found:
            clock.now_s = max(clock.now_s, now_us / 1e6 + 0.1)
        return found

    async with (
        an_smsc() as smsc,
        connected(smsc.port, throughput=10.0, clock=clock) as (connection, news),
    ):
        smsc.answering = lambda number: f"A{number}"
        connection.submit([submission(1)])
        await news.results(1)
        monkeypatch.setattr(Pacer, "available", looked_at_too_early)
        async with asyncio.timeout(5):
            await connection.ready()


async def test_a_throttled_bind_is_held_and_tells_so():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.answering = lambda _: c.ESME_RTHROTTLED
        connection.submit(
            [submission(n, "hi", f"3{n}612345678", sender=f"S{n}") for n in range(3)]
        )
        alone, whole = Throttled(c.ESME_RTHROTTLED), Throttled(c.ESME_RTHROTTLED, True)
        assert await news.results(3) == [alone, alone, whole]
        assert connection.throttles == {"message": 2, "bind": 1}
        assert (connection.up, connection.capacity()) == (True, 0)
        begin = time.monotonic()
        async with asyncio.timeout(5):
            await connection.ready()
        assert time.monotonic() - begin >= 0.8
        assert connection.held_for_s >= 0.8, "what may go now has waited for so long"


async def test_a_pace_that_holds_nothing_back_isn_t_told_as_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
):
    """A bind may stay slowed for long while little is sent: nobody waits for it."""
    monkeypatch.setattr(handoff, "WANTED_US", 200_000)
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.answering = lambda _: c.ESME_RTHROTTLED
        connection.submit(
            [submission(n, "hi", f"3{n}612345678", sender=f"S{n}") for n in range(3)]
        )
        await news.results(3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.ready()
        assert connection.held_for_s > 0
        await asyncio.sleep(0.3)
        assert connection.held_for_s == 0.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.ready()
        assert 0 < connection.held_for_s < 0.2, "a new wait"


@pytest.mark.parametrize("status", [c.ESME_RTHROTTLED, c.ESME_RMSGQFUL])
async def test_one_number_that_is_throttled_for_good_holds_up_nobody_else(status: int):
    """A recipient whose queue was full made two hundred others take twenty seconds."""
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.answering = lambda number: status if number % 3 == 0 else f"A{number}"
        for turn in range(30):
            numbers = ("31612345671", "31612345672", "31600000000")
            connection.submit(
                [submission(3 * turn + n, msisdn=each) for n, each in enumerate(numbers)]
            )
            await news.results(3 * turn + 3)
            assert connection.capacity() == 10
        found = [each.result for each in news.answers]
        assert found.count(Throttled(status)) == 30
        assert (connection.throttles["bind"], connection.held_for_s) == (0, 0.0)


# --- long messages --------------------------------------------------------------------


@pytest.mark.parametrize("text", [LONG, LONG_UNICODE, "short", "kurz ✓"])
async def test_a_text_arrives_as_it_was_written(text: str):
    async with carrier_world("wire") as world, connected(world.port) as (connection, news):
        connection.submit([submission(1, text)])
        await news.results(1)
        await world.truth.until(lambda: bool(world.inbox.texts()))
        [arrived] = world.inbox.texts("31612345678")
        assert (arrived.text, arrived.sender) == (text, "ACME")


async def test_parts_go_in_order_on_one_bind():
    """Invariant 29: one reference, one bind, in order, also among other messages."""
    async with an_smsc() as smsc, connected(smsc.port, window=2) as (connection, news):
        smsc.answering = lambda number: f"A{number}"
        batch = [submission(n, LONG, msisdn=f"3161234567{n}") for n in range(5)]
        connection.submit(batch)
        await news.results(5)
        assert len({peer for peer, _ in smsc.submits}) == 1
        for each in batch:
            mine = [
                part_of(pdu)
                for _, pdu in smsc.submits
                if pdu.octets("destination_addr") == each.msisdn.encode()
            ]
            assert [part.number for part in mine if part] == [1, 2, 3]
            assert len({part.reference for part in mine if part}) == 1


async def test_a_part_refused_after_others_were_taken_is_told_as_what_it_is():
    """Invariant 29: never silently sent, never in doubt; it says which parts are there."""
    async with an_smsc() as smsc, connected(smsc.port, window=1) as (connection, news):
        smsc.answering = lambda number: "A1" if number == 1 else 0x0B
        connection.submit([submission(1, LONG)])
        refused = Refused(
            0x0B,
            "invalid_number",
            retryable=False,
            elsewhere=False,
            part=2,
            parts_accepted=((1, "a1", "A1"),),
        )
        assert await news.results(1) == [refused]
        assert len(smsc.submits) == 2


async def test_a_first_part_refused_keeps_the_others_here():
    async with an_smsc() as smsc, connected(smsc.port, window=1) as (connection, news):
        smsc.answering = lambda _: 0x0B
        connection.submit([submission(1, LONG)])
        assert await news.results(1) == [Refused(0x0B, "invalid_number", False, False)]
        assert len(smsc.submits) == 1


async def test_a_lost_link_is_a_doubt_for_what_left_and_none_for_what_didn_t():
    """Invariant 26: a part of which bytes left is never called not sent."""
    async with an_smsc() as smsc, connected(smsc.port, window=4) as (connection, news):
        connection.submit(
            [submission(1, LONG), submission(2, LONG), submission(3, LONG), submission(4)]
        )
        [(peer, first), *_] = await smsc.submitted(4)
        peer.answer(first, "A1")  # makes room for one more part
        await smsc.submitted(5)
        peer.transport.abort()
        await news.results(4)
        by_key = {each.key: each.result for each in news.answers}
        assert by_key[1] == Unanswered("no answer came", ((1, "a1", "A1"),))
        assert by_key[2] == Unanswered("no answer came")
        assert isinstance(by_key[3], NotSent)
        assert isinstance(by_key[4], NotSent)


# --- answers and receipts -------------------------------------------------------------


async def answered_late(smsc: Smsc, peer: Peer, pdu: Pdu, word: int | str) -> None:
    await smsc.until(lambda: pdu in peer.submits)
    peer.answer(pdu, word)


async def test_silence_is_unanswered_and_a_late_answer_is_told():
    timeout = {"response_timeout_s": 0.3}
    async with an_smsc() as smsc, connected(smsc.port, settings=timeout) as (connection, news):
        connection.submit([submission(1), submission(2)])
        [(peer, one), (_, other)] = await smsc.submitted(2)
        assert [type(each) for each in await news.results(2)] == [Unanswered, Unanswered]
        await answered_late(smsc, peer, one, "A1")
        await answered_late(smsc, peer, other, 0x0B)
        await news.results(4)
        assert [(each.key, each.late) for each in news.answers[2:]] == [(1, True), (2, True)]
        assert isinstance(news.answers[2].result, Taken)
        assert isinstance(news.answers[3].result, Refused)


async def test_a_receipt_is_acknowledged_when_we_say_so():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        [peer] = smsc.peers
        peer.deliver("A1", "DELIVRD")
        await news.until(lambda: bool(news.receipts))
        await asyncio.sleep(0.05)
        assert peer.acknowledged == 0
        connection.acknowledge(news.tokens)
        await smsc.until(lambda: peer.acknowledged == 1)


async def test_a_reply_is_acknowledged_when_we_say_so():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        [peer] = smsc.peers
        fields: dict[str, int | bytes] = {
            "source_addr": b"31612345678",
            "destination_addr": b"27690",
            "short_message": b"STOP",
        }
        peer.send(Pdu(c.DELIVER_SM, fields=fields))
        peer.deliver("A1", "DELIVRD")
        await news.until(lambda: bool(news.replies) and bool(news.receipts))
        await asyncio.sleep(0.05)
        assert (peer.acknowledged, connection.inbound_ignored) == (0, 0)
        assert [(each.msisdn, each.sender) for each in news.replies] == [
            ("31612345678", "27690")
        ]
        connection.acknowledge(news.tokens)
        await smsc.until(lambda: peer.acknowledged == 2)


async def test_replies_that_nobody_records_hold_the_link_back(monkeypatch: pytest.MonkeyPatch):
    """Their number is bounded as that of receipts is: then nothing more is read."""
    monkeypatch.setattr(smpp, "OWED_MAX", 3)
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        [peer] = smsc.peers
        fields: dict[str, int | bytes] = {"source_addr": b"31612345678"}
        fields |= {"destination_addr": b"27690", "short_message": b"hi"}
        for _ in range(3):
            peer.send(Pdu(c.DELIVER_SM, fields=fields))
        await news.until(lambda: len(news.replies) == 3)
        peer.deliver("A1", "DELIVRD")
        await asyncio.sleep(0.1)
        assert news.receipts == []
        connection.acknowledge(news.tokens)
        await news.until(lambda: bool(news.receipts))


async def test_what_is_no_receipt_doesn_t_stop_the_link():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        [peer] = smsc.peers
        fields: dict[str, int | bytes] = {"source_addr": b"1", "short_message": b"hi"}
        peer.send(Pdu(c.DELIVER_SM, fields=fields))
        await news.until(lambda: bool(news.nothing))
        connection.acknowledge(news.tokens)
        await smsc.until(lambda: peer.acknowledged == 1)
        alert: dict[str, int | bytes] = {"source_addr": b"1", "esme_addr": b"2"}
        peer.send(Pdu(c.ALERT_NOTIFICATION, fields=alert))
        peer.deliver("A1", "DELIVRD")
        await news.until(lambda: bool(news.receipts))
        assert (connection.inbound_ignored, connection.up) == (2, True)
        assert [each.fate for each in news.nothing] == [Fate.UNREADABLE, Fate.ALERT]


async def test_a_yes_without_an_id_is_a_yes():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.answering = lambda _: ""
        connection.submit([submission(1)])
        [result] = await news.results(1)
        assert isinstance(result, Taken)
        assert result.ids == ((1, "", ""),)


async def test_a_message_that_can_t_be_written_is_refused_here():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        connection.submit([submission(1, msisdn="3" * 40)])
        [result] = await news.results(1)
        assert isinstance(result, Refused)
        assert (result.reason, result.retryable) == ("message_malformed", False)
        assert smsc.submits == []
        assert connection.capacity() == 10


# --- the end --------------------------------------------------------------------------


async def test_stopping_takes_three_seconds_at_most_and_tells_everything():
    slow = {"response_timeout_s": 30.0}
    async with (
        an_smsc() as smsc,
        connected(smsc.port, window=2, settings=slow) as (connection, news),
    ):
        connection.submit([submission(n) for n in range(1, 5)])
        await smsc.submitted(2)
        begin = time.monotonic()
        await connection.stop()
        assert time.monotonic() - begin < 3
        by_key = {each.key: type(each.result) for each in news.answers}
        assert by_key == {1: Unanswered, 2: Unanswered, 3: NotSent, 4: NotSent}


async def test_a_clean_stop_is_no_trouble(caplog: pytest.LogCaptureFixture):
    async with an_smsc() as smsc, connected(smsc.port) as (connection, _):
        await connection.stop()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_stopping_waits_for_answers_that_come():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        connection.submit([submission(1)])
        [(peer, pdu)] = await smsc.submitted(1)
        stopping = asyncio.create_task(connection.stop())
        await asyncio.sleep(0.05)
        peer.answer(pdu, "A1")
        await stopping
        [result] = await news.results(1)
        assert isinstance(result, Taken)
        assert not connection.up
