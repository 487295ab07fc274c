"""Providers that bind and then break down, and numbers and parts that are told to wait."""

from __future__ import annotations

import pytest

from arrivals.smpp.concat import Part, header_8_bit
from arrivals.world.breaks import Breaks, Held, Holds
from arrivals.world.fate import Ending
from arrivals.world.submission import Kind
from tests.world.raw_esme import ENQUIRE, SUBMIT, RawEsme
from tests.world.small_world import small_world

OK, WRONG_STATE, THROTTLED, QUEUE_FULL = 0, 0x04, 0x58, 0x14
FIRST, LAST = "447700900001", "447700900009"


async def bound(port: int) -> RawEsme:
    esme = await RawEsme.connect(port)
    assert await esme.bind() == OK
    return esme


async def fill_until_dropped(port: int, window: int) -> None:
    esme = await bound(port)
    for _ in range(window):
        esme.submit()
    await esme.until(lambda: esme.closed)
    assert [frame for frame in esme.frames if frame.command & 0xFF == SUBMIT] == []
    await esme.close()


async def test_a_crash_loop_takes_a_window_and_is_gone_again_and_again() -> None:
    async with small_world("breaks = { drops_after = 3 }") as world:
        for _ in range(3):
            await fill_until_dropped(world.port, 3)
        assert world.truth.counters["drops"] == 3
        assert [handoff.answered for handoff in world.truth.handoffs] == [False] * 9
        assert {ended.ending for ended in world.truth.endings} == {Ending.LOST}
        assert world.inbox.texts() == ()


async def test_a_crash_loop_drops_fewer_after_a_moment() -> None:
    async with small_world("breaks = { drops_after = 50, drops_within_s = 0.02 }") as world:
        esme = await bound(world.port)
        assert await esme.submitted() is None
        assert world.truth.counters["drops"] == 1
        await esme.close()


async def test_some_of_what_was_dropped_may_have_gone_on() -> None:
    async with small_world("breaks = { drops_after = 2, sends_on = 1 }") as world:
        esme = await bound(world.port)
        esme.submit(FIRST)
        esme.submit(LAST)
        await esme.until(lambda: esme.closed)
        again = await bound(world.port)
        await again.until(lambda: len(again.delivered) == 2)
        assert {each.source for each in again.delivered} == {FIRST, LAST}
        await esme.close()
        await again.close()


async def test_a_mute_provider_lives_and_answers_nothing() -> None:
    async with small_world("breaks = { mute = true }") as world:
        esme = await bound(world.port)
        esme.submit("99900000001")  # no fate is above that
        esme.submit()
        assert await esme.answer(ENQUIRE, esme.write(ENQUIRE)) is not None
        assert [frame.command & 0xFF for frame in esme.frames] == [9, ENQUIRE]
        assert [ended.ending for ended in world.truth.endings] == [Ending.LOST] * 2
        await esme.close()


@pytest.mark.parametrize(("forgets_link", "probe"), [("false", OK), ("true", WRONG_STATE)])
async def test_a_bind_is_forgotten_while_its_link_lives(forgets_link: str, probe: int) -> None:
    breaks = f"breaks = {{ forgets_after = 2, forgets_link = {forgets_link} }}"
    async with small_world(breaks) as world:
        esme = await bound(world.port)
        statuses = [await esme.submitted() for _ in range(4)]
        assert statuses == [OK, OK, WRONG_STATE, WRONG_STATE]
        answer = await esme.answer(ENQUIRE, esme.write(ENQUIRE))
        assert answer is not None
        assert answer.status == probe
        again = await bound(world.port)
        assert await again.submitted() == OK
        await esme.close()
        await again.close()


@pytest.mark.parametrize("code", [0x01, 0x48, 0x62, 0xC1, 0xC3])
async def test_a_provider_may_blame_every_message(code: int) -> None:
    async with small_world(f"breaks = {{ blames = {code} }}") as world:
        esme = await bound(world.port)
        assert [await esme.submitted(number) for number in (FIRST, LAST)] == [code, code]
        assert world.truth.endings == ()
        await esme.close()


async def test_it_breaks_down_on_demand_and_gets_well() -> None:
    async with small_world() as world:
        world.break_down(Breaks(forgets_after=1))
        esme = await bound(world.port)
        assert [await esme.submitted() for _ in range(2)] == [OK, WRONG_STATE]
        world.break_down(None)
        assert await esme.submitted() == OK
        await esme.close()


# Who is told to wait


async def test_a_number_is_always_throttled_and_no_other() -> None:
    async with small_world("holds = { numbers = 0.3 }") as world:
        esme = await bound(world.port)
        numbers = [f"4477009{n:05d}" for n in range(60)]
        first = [await esme.submitted(number) for number in numbers]
        again = [await esme.submitted(number) for number in numbers]
        assert first == again
        assert set(first) == {OK, THROTTLED}
        assert 8 <= first.count(THROTTLED) <= 30
        await esme.close()


async def test_a_number_is_throttled_so_many_times() -> None:
    async with small_world('holds = { numbers = 1, times = 2, word = "queue_full" }') as world:
        esme = await bound(world.port)
        for _ in range(2):
            statuses = [await esme.submitted() for _ in range(3)]
            assert statuses == [QUEUE_FULL, QUEUE_FULL, OK]
        assert len(world.truth.endings) == 2
        await esme.close()


async def parts(esme: RawEsme, destination: str, *wanted: int) -> list[int | None]:
    """Submit these parts of a text of three, and return what each is answered."""
    found = []
    for number in wanted:
        header = header_8_bit(Part(reference=7, total=3, number=number))
        text = header + b"part %d" % number
        found.append(await esme.submitted(destination, text, esm_class=0x40))
    return found


async def test_each_part_is_throttled_once() -> None:
    async with small_world("holds = { parts = 1 }") as world:
        esme = await bound(world.port)
        assert await esme.submitted() == OK  # of one part
        assert await parts(esme, FIRST, 1, 2, 3) == [THROTTLED] * 3
        assert await parts(esme, FIRST, 1, 2, 3) == [OK] * 3
        await esme.close()


async def test_one_part_of_a_message_is_refused_for_good() -> None:
    async with small_world("holds = { refuses_parts = 1 }") as world:
        esme = await bound(world.port)
        assert await esme.submitted() == OK
        for destination in (FIRST, LAST, "447700900005"):
            first = await parts(esme, destination, 1, 2, 3)
            assert sorted(status or 0 for status in first) == [OK, OK, 0x0B]
            assert await parts(esme, destination, 1, 2, 3) == first
        await esme.close()


def test_who_is_told_to_wait_is_a_share_and_the_seeds() -> None:
    holds = Holds(numbers=0.1)
    kinds = [Kind(b"ACME", f"4477{n:08d}", b"hello", 1, 1) for n in range(3_000)]
    told = [[Held(seed).judge(holds, kind) for kind in kinds] for seed in (1, 1, 2)]
    assert told[0] == told[1] != told[2]
    assert told[0].count(THROTTLED) / 3_000 == pytest.approx(0.1, abs=0.02)


async def test_a_number_told_to_wait_has_the_fate_of_a_first_try() -> None:
    """What is turned away unseen isn't an occurrence."""
    async with small_world("holds = { numbers = 1, times = 3 }") as world:
        esme = await bound(world.port)
        assert [await esme.submitted() for _ in range(4)][-1] == OK
        assert set(world._inside._occurrences._recent.values()) == {1}
        await esme.close()
