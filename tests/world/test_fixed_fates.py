"""Every fixed fate over a real socket: what an ESME sees, and what really happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp.receipts import id_candidates
from arrivals.world.fate import Ending
from arrivals.world.scenario import load_scenario
from arrivals.world.smsc import CarrierWorld
from tests.world.esme import Esme, now_us

pytestmark = pytest.mark.slow  # a socket for each

LONG_TEXT = "A long text that needs several segments. " * 8  # 328 septets: three parts


@dataclass
class Stage:
    """A world, an ESME bound to it, and the fate under test."""

    world: CarrierWorld
    esme: Esme

    async def endings(self, count: int) -> list[Ending]:
        await self.world.truth.until(lambda: len(self.world.truth.endings) >= count)
        return [ended.ending for ended in self.world.truth.endings]

    async def probe(self) -> None:
        """Send a delivered text through and wait for its receipt: what came before is done.

        The agenda is in order, so nothing that was due before the probe's receipt is left.
        """
        (token,) = self.esme.submit("99900000001", text="probe")
        await self.esme.answer(token)
        probe = self.esme.message_id(token)
        await self.esme.until(
            lambda: any(r.message_id in id_forms(probe) for r in self.esme.receipts)
        )
        self.esme.receipts = [
            r for r in self.esme.receipts if r.message_id not in id_forms(probe)
        ]


def id_forms(message_id: str) -> tuple[str, ...]:
    return (message_id, str(int(message_id, 16)))


# Over a socket in three of them; test_fate.py compares all scenarios.
@pytest.fixture(
    params=[
        pytest.param("bad-day", marks=pytest.mark.slow),
        pytest.param("clear-day", marks=pytest.mark.slow),
        "wire",
    ]
)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    scenario = load_scenario(request.param)
    async with CarrierWorld(scenario, seed=3, speed=50, now_us=now_us) as world:
        esme = await Esme.connect(world.port)
        assert esme.bind_status == c.ESME_ROK
        yield Stage(world, esme)
        esme.close()


def said(stage: Stage) -> list[tuple[str, str | None]]:
    return [(receipt.state, receipt.error) for receipt in stage.esme.receipts]


@pytest.mark.parametrize(
    ("number", "ending", "receipts"),
    [
        ("01", Ending.REACHED, [("DELIVRD", "000")]),
        ("02", Ending.FAILED, [("UNDELIV", "001")]),
        ("03", Ending.FILTERED, []),
        ("04", Ending.FILTERED, [("REJECTD", "010")]),
        ("07", Ending.REACHED, [("DELIVRD", "000")] * 3),
        ("08", Ending.REACHED, [("DELIVRD", "000"), ("ACCEPTD", "000"), ("ENROUTE", "000")]),
        ("10", Ending.REACHED, [("DELIVRD", "000")]),
        ("11", Ending.LOST, [("DELIVRD", "000")]),
        ("12", Ending.REACHED, [("UNDELIV", "001"), ("DELIVRD", "000")]),
        ("13", Ending.EXPIRED, [("EXPIRED", "030")]),
    ],
)
async def test_accepted_and_reported(
    stage: Stage, number: str, ending: Ending, receipts: list[tuple[str, str]]
) -> None:
    (token,) = stage.esme.submit(f"999000000{number}")
    answer = await stage.esme.answer(token)
    assert answer.command_status == c.ESME_ROK
    assert await stage.endings(1) == [ending]
    await stage.esme.until(lambda: len(stage.esme.receipts) >= len(receipts))
    await stage.probe()
    assert said(stage) == receipts
    assert {r.message_id for r in stage.esme.receipts} <= {stage.esme.message_id(token)}
    texts = stage.world.inbox.texts(f"999000000{number}")
    assert [text.text for text in texts if text.text != "probe"] == (
        ["hello"] if ending is Ending.REACHED else []
    )


async def test_05_the_response_is_lost_and_the_receipt_comes(stage: Stage) -> None:
    (token,) = stage.esme.submit("99900000005", reference=77)
    await stage.esme.until(lambda: len(stage.esme.receipts) == 1)
    await stage.probe()
    assert token not in stage.esme.answers
    (handoff, _) = stage.world.truth.handoffs
    assert (handoff.answered, handoff.status) == (False, c.ESME_ROK)
    assert await stage.endings(1) == [Ending.REACHED, Ending.REACHED]


async def test_05_echoes_the_reference_by_which_its_receipt_is_matched(stage: Stage) -> None:
    stage.esme.submit("99900000005", reference=77)
    await stage.esme.until(lambda: len(stage.esme.receipts) == 1)
    (receipt,) = stage.esme.receipts
    assert (receipt.state, receipt.user_message_reference) == ("DELIVRD", 77)
    assert receipt.message_id == stage.world.truth.handoffs[0].message_id


async def test_06_is_throttled_three_times_for_each_message(stage: Stage) -> None:
    for _ in range(2):
        statuses = []
        for _ in range(4):
            (token,) = stage.esme.submit("99900000006")
            statuses.append((await stage.esme.answer(token)).command_status)
        assert statuses == [c.ESME_RTHROTTLED] * 3 + [c.ESME_ROK]
    await stage.esme.until(lambda: stage.esme.states() == ["DELIVRD"] * 2)
    assert stage.world.truth.counters["throttled"] == 6
    assert await stage.endings(2) == [Ending.REACHED] * 2


async def test_06_throttles_each_part_of_a_long_text(stage: Stage) -> None:
    """A sender that stops at the first throttled part has had three after three tries."""
    for attempt in range(4):
        tokens = stage.esme.submit("99900000006", LONG_TEXT, concatenation=attempt)
        statuses = [(await stage.esme.answer(token)).command_status for token in tokens]
        assert set(statuses) == {c.ESME_ROK if attempt == 3 else c.ESME_RTHROTTLED}


async def test_09_the_receipt_comes_before_the_response(stage: Stage) -> None:
    (token,) = stage.esme.submit("99900000009")
    await stage.esme.answer(token)
    message_id = stage.esme.message_id(token)
    assert stage.esme.timeline == [("receipt", message_id), ("answer", message_id)]
    assert stage.esme.states() == ["DELIVRD"]


@pytest.mark.parametrize("header", ["udh8", "udh16", "sar"])
async def test_14_one_part_of_several_is_lost(stage: Stage, header: str) -> None:
    tokens = stage.esme.submit("99900000014", LONG_TEXT, header=header)
    for token in tokens:
        assert (await stage.esme.answer(token)).command_status == c.ESME_ROK
    await stage.esme.until(lambda: len(stage.esme.receipts) == 2)
    await stage.probe()
    assert stage.esme.states() == ["DELIVRD", "DELIVRD"]
    ids = [stage.esme.message_id(token) for token in tokens]
    assert len(set(ids)) == 3
    assert [receipt.message_id for receipt in stage.esme.receipts] == ids[:2]
    assert sorted(await stage.endings(3))[:1] == [Ending.LOST]
    assert stage.world.inbox.texts("99900000014") == ()


async def test_14_a_single_segment_arrives(stage: Stage) -> None:
    stage.esme.submit("99900000014")
    await stage.esme.until(lambda: stage.esme.states() == ["DELIVRD"])


async def test_15_is_refused_for_good(stage: Stage) -> None:
    (token,) = stage.esme.submit("99900000015")
    assert (await stage.esme.answer(token)).command_status == c.ESME_RINVDSTADR
    await stage.probe()
    assert stage.esme.receipts == []
    assert stage.world.truth.counters["refused"] == 1
    assert {ended.destination for ended in stage.world.truth.endings} == {"99900000001"}


async def test_16_answers_in_hex_and_reports_in_decimal(stage: Stage) -> None:
    (token,) = stage.esme.submit("99900000016")
    await stage.esme.answer(token)
    await stage.esme.until(lambda: stage.esme.states() == ["DELIVRD"])
    answered, reported = stage.esme.message_id(token), stage.esme.receipts[0].message_id
    assert reported is not None
    assert answered != reported
    assert int(answered, 16) == int(reported)
    assert answered in id_candidates(reported)


async def test_17_is_never_heard_of_again(stage: Stage) -> None:
    (token,) = stage.esme.submit("99900000017")
    await stage.probe()
    assert token not in stage.esme.answers
    assert stage.esme.receipts == []
    first, second = stage.world.truth.handoffs
    assert (first.destination, first.answered) == ("99900000017", False)
    assert second.answered
    assert Ending.LOST in await stage.endings(2)


@pytest.mark.parametrize(
    ("number", "status"), [("18", c.ESME_RTHROTTLED), ("19", c.ESME_RMSGQFUL)]
)
async def test_18_and_19_are_told_to_wait_for_ever(
    stage: Stage, number: str, status: int
) -> None:
    for _ in range(5):
        (token,) = stage.esme.submit(f"999000000{number}")
        assert (await stage.esme.answer(token)).command_status == status
    await stage.probe()
    assert stage.esme.receipts == []
    assert {ended.destination for ended in stage.world.truth.endings} == {"99900000001"}


@pytest.mark.parametrize("header", ["udh8", "udh16", "sar"])
async def test_20_throttles_the_second_part_once(stage: Stage, header: str) -> None:
    tokens = stage.esme.submit("99900000020", LONG_TEXT, header=header)
    statuses = [(await stage.esme.answer(token)).command_status for token in tokens]
    assert statuses == [c.ESME_ROK, c.ESME_RTHROTTLED, c.ESME_ROK]
    tokens = stage.esme.submit("99900000020", LONG_TEXT, header=header)
    assert (await stage.esme.answer(tokens[1])).command_status == c.ESME_ROK
    await stage.esme.until(lambda: len(stage.esme.receipts) == 5)
    assert [text.text for text in stage.world.inbox.texts("99900000020")] == [LONG_TEXT]


async def test_21_refuses_the_second_part_for_good(stage: Stage) -> None:
    for attempt in range(2):
        tokens = stage.esme.submit("99900000021", LONG_TEXT, concatenation=attempt)
        statuses = [(await stage.esme.answer(token)).command_status for token in tokens]
        assert statuses == [c.ESME_ROK, c.ESME_RINVDSTADR, c.ESME_ROK]
    assert stage.world.inbox.texts("99900000021") == ()


@pytest.mark.parametrize("number", ["20", "21"])
async def test_20_and_21_take_a_single_segment(stage: Stage, number: str) -> None:
    stage.esme.submit(f"999000000{number}")
    await stage.esme.until(lambda: stage.esme.states() == ["DELIVRD"])
