"""Parts that are put off: each is sent again by itself, and what is known is told."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from arrivals.clock import SystemClock
from arrivals.providers import held
from arrivals.providers.api import (
    NotSent,
    PartHeld,
    Refused,
    Taken,
    Throttled,
    Unanswered,
)
from arrivals.smpp import constants as c
from arrivals.smpp.concat import part_of
from arrivals.smpp.pdu import Pdu
from tests.providers.parts import final, parts_seen, taking
from tests.providers.smsc import Peer, an_smsc, connected, submission

pytestmark = pytest.mark.slow

LONG = "a long text " * 27  # three parts
THROTTLED, QUEUE_FULL, SYSTEM_ERROR = c.ESME_RTHROTTLED, c.ESME_RMSGQFUL, c.ESME_RSYSERR
FORGOTTEN = c.ESME_RINVBNDSTS


@pytest.mark.parametrize("window", [1, 2, 10])
@pytest.mark.parametrize("part", [1, 2, 3])
@pytest.mark.parametrize("status", [THROTTLED, QUEUE_FULL])
async def test_a_throttled_part_is_sent_again_by_itself(window: int, part: int, status: int):
    """One part of three met "throttled"; the message was told as never answered."""
    async with an_smsc() as smsc, connected(smsc.port, window=window) as (connection, news):
        smsc.judging = taking(lambda n, seen: status if n == part and seen == 1 else None)
        connection.submit([submission(1, LONG)])
        first = (await news.results(1))[0]
        if part == 1 and window == 1:
            # Nothing was taken and nothing is open: the whole of it waits in the queue.
            assert first == Throttled(status)
            assert parts_seen(smsc) == [1]
            return
        assert isinstance(first, PartHeld)
        assert (first.part, first.status) == (part, status)
        assert part not in {number for number, _, _ in first.parts_accepted}
        result = await final(news)
        assert isinstance(result, Taken)
        assert [number for number, _, _ in result.ids] == [1, 2, 3]
        assert sorted(parts_seen(smsc)) == sorted([1, 2, 3, part])
        references = {each.reference for _, pdu in smsc.submits if (each := part_of(pdu))}
        assert len(references) == 1
        assert (connection.window_used, connection.capacity()) == (0, window)


async def test_all_parts_throttled_are_one_message_throttled():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda *_: THROTTLED)
        connection.submit([submission(1, LONG)])
        assert [type(each) for each in await news.results(1)] == [Throttled]
        await asyncio.sleep(0.05)
        assert len(news.answers) == 1


async def test_a_part_throttled_again_says_so_each_time():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, seen: THROTTLED if n == 2 and seen <= 2 else None)
        now_us = SystemClock().now_us()
        connection.submit([submission(1, LONG)])
        assert isinstance(await final(news), Taken)
        told = [each for each in news.of(1) if isinstance(each, PartHeld)]
        assert [each.part for each in told] == [2, 2]
        assert told[0].until_us >= now_us
        assert parts_seen(smsc) == [1, 2, 3, 2, 2]


async def test_a_stop_between_two_parts_lets_the_rest_of_the_message_go():
    """With a window of one a restart left every long message that had begun in doubt."""
    async with an_smsc() as smsc, connected(smsc.port, window=1) as (connection, news):
        connection.submit([submission(1, LONG), submission(2)])
        await smsc.submitted(1)
        stopping = asyncio.create_task(connection.stop())
        ids = itertools.count(1)
        for number in range(3):
            await smsc.submitted(number + 1)
            peer, pdu = smsc.submits[number]
            peer.answer(pdu, f"A{next(ids)}")
        assert isinstance(await final(news), Taken)
        await stopping
        assert parts_seen(smsc) == [1, 2, 3]
        assert news.of(2) == [NotSent("the platform is stopping")]


async def test_a_part_in_doubt_ends_the_message_as_a_doubt():
    """Whether the silent part is there isn't known, so nothing more is sent of it."""
    quick = {"response_timeout_s": 0.3}
    async with an_smsc() as smsc, connected(smsc.port, settings=quick) as (connection, news):

        def judge(peer: Peer, pdu: Pdu) -> int | str | None:
            part = part_of(pdu)
            assert part is not None
            words: dict[int, int | str | None] = {1: "A1", 2: THROTTLED, 3: None}
            return words[part.number]

        smsc.judging = judge
        connection.submit([submission(1, LONG)])
        result = await final(news)
        assert result == Unanswered("a part was refused", ((1, "a1", "A1"),))
        assert parts_seen(smsc) == [1, 2, 3]


@pytest.mark.parametrize("status", [0x0B, THROTTLED])
async def test_a_late_answer_about_a_part_ends_the_doubt(status: int):
    """Part 2 was refused after its time-out, and the message stayed in doubt to its end."""
    quick = {"response_timeout_s": 0.3}
    async with an_smsc() as smsc, connected(smsc.port, settings=quick) as (connection, news):
        judge = taking(lambda *_: None)
        smsc.judging = lambda peer, pdu: (
            None if parts_seen(smsc) == [1, 2] else judge(peer, pdu)
        )
        connection.submit([submission(1, LONG)])
        doubt = await final(news)
        assert isinstance(doubt, Unanswered)
        assert len(doubt.parts_accepted) == 2
        peer, pdu = smsc.submits[1]
        peer.answer(pdu, status)
        if status == THROTTLED:
            await news.until(lambda: isinstance(news.of(1)[-1], PartHeld))
            await news.until(lambda: isinstance(news.of(1)[-1], Taken))
            assert parts_seen(smsc) == [1, 2, 3, 2]
        else:
            await news.until(lambda: isinstance(news.of(1)[-1], Refused))
            assert news.of(1)[-1] == Refused(
                status, "invalid_number", False, False, 2, doubt.parts_accepted
            )
        assert (connection.window_used, connection.capacity()) == (0, 10)


async def test_a_message_that_waits_for_a_part_takes_no_place_in_the_window():
    async with an_smsc() as smsc, connected(smsc.port, window=2) as (connection, news):
        smsc.judging = taking(lambda n, _: THROTTLED if n == 3 else None)
        connection.submit([submission(n, LONG, msisdn=f"3161234560{n}") for n in range(1, 3)])
        await news.until(lambda: len(news.answers) >= 2)
        assert {type(each.result) for each in news.answers} == {PartHeld}
        assert (connection.window_used, connection.capacity()) == (0, 2)
        connection.submit([submission(3)])
        assert isinstance(await final(news, 3), Taken)


async def test_a_part_goes_out_on_the_next_bind_when_its_link_was_lost():
    """It was proved not to be there, so nothing is sent twice."""
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, seen: THROTTLED if n == 2 and seen == 1 else None)
        connection.submit([submission(1, LONG)])
        await news.results(1)
        smsc.peers[0].transport.abort()
        assert isinstance(await final(news), Taken)
        assert parts_seen(smsc) == [1, 2, 3, 2]
        assert smsc.submits[-1][0] is smsc.peers[1]


async def test_a_part_that_is_throttled_past_its_validity_was_refused():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, _: THROTTLED if n == 2 else None)
        soon_us = SystemClock().now_us() + 1_500_000
        connection.submit([submission(1, LONG, expires_at_us=soon_us)])
        result = await final(news)
        assert isinstance(result, Refused)
        assert (result.part, result.status, result.retryable) == (2, THROTTLED, False)
        assert [number for number, _, _ in result.parts_accepted] == [1, 3]


def stopped(part: int, ids: tuple[tuple[int, str, str], ...]) -> Refused:
    return Refused(
        THROTTLED,
        "stopped_halfway",
        retryable=False,
        elsewhere=False,
        part=part,
        parts_accepted=ids,
        cause="the platform is stopping",
    )


async def test_stopping_tells_of_a_part_that_was_put_off():
    """A restart turned what was known of every part into a doubt, and that is paid for."""
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, _: THROTTLED if n == 2 else None)
        connection.submit([submission(1, LONG)])
        await news.results(1)
        await connection.stop()
        ids = ((1, "a1", "A1"), (3, "a2", "A2"))
        assert news.of(1)[-1] == stopped(2, ids)
        assert parts_seen(smsc) == [1, 2, 3]


async def test_a_part_put_off_under_a_lease_that_has_run_out_is_left_alone():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, _: THROTTLED if n == 2 else None)
        connection.submit([submission(1, LONG)])
        await news.results(1)
        news.lease_runs = False
        result = await final(news)
        assert isinstance(result, Refused)
        assert (result.part, result.status) == (2, THROTTLED)
        assert "lease" in result.cause
        assert parts_seen(smsc) == [1, 2, 3], "nothing left under another's lease"


async def test_only_so_many_messages_wait_for_a_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(held, "HELD_MAX", 2)
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, _: THROTTLED if n == 3 else None)
        connection.submit([submission(n, LONG, msisdn=f"3161234560{n}") for n in range(3)])
        await news.until(lambda: len(news.answers) >= 3)
        kinds = sorted(type(each.result).__name__ for each in news.answers)
        assert kinds == ["PartHeld", "PartHeld", "Refused"]


async def test_the_promise_of_news_is_renewed_while_nothing_can_be_sent(
    monkeypatch: pytest.MonkeyPatch,
):
    """A provider is away for long: whoever waits for the part hears that it still waits."""
    monkeypatch.setattr(held, "NEWS_US", 300_000)
    monkeypatch.setattr(held, "NEWS_LEFT_US", 200_000)
    monkeypatch.setattr(held, "LOOK_ROUND_S", 0.1)
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, _: THROTTLED if n == 2 else None)
        end_us = SystemClock().now_us() + 2_500_000
        connection.submit([submission(1, LONG, expires_at_us=end_us)])
        await news.results(1)
        await smsc.close()
        result = await final(news)
        assert isinstance(result, Refused)
        promises = [each.until_us for each in news.of(1) if isinstance(each, PartHeld)]
        assert len(promises) >= 3
        assert promises == sorted(promises)
        await smsc.listen()


async def test_a_provider_s_error_puts_a_part_off_for_longer():
    async with an_smsc() as smsc, connected(smsc.port) as (connection, news):
        smsc.judging = taking(lambda n, _: SYSTEM_ERROR if n == 2 else None)
        connection.submit([submission(1, LONG)])
        [result] = await news.results(1)
        assert isinstance(result, PartHeld)
        assert result.status == SYSTEM_ERROR
        await asyncio.sleep(1.2)
        assert parts_seen(smsc) == [1, 2, 3]
