"""The truth: what it records, what it writes for others to read, and what it never holds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from arrivals.smpp import constants as c
from arrivals.world.fate import Answer, Ending
from arrivals.world.scenario import load_scenario
from arrivals.world.smsc import HOUSEKEEPING_S, CarrierWorld
from arrivals.world.submission import Submission
from arrivals.world.truth import TruthLedger, text_hash
from tests.world.esme import Esme, now_us

SECRET = "Your code is 482113"


def submission(number: int) -> Submission:
    identity = b"%d" % number
    return Submission(
        system_id="north",
        source="Arrivals",
        destination=f"447700{number:06d}",
        octets=SECRET.encode(),
        identity=identity,
        group=identity,
    )


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_the_file_has_a_line_for_each_handoff_and_ending(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    async with CarrierWorld(
        load_scenario("wire"), seed=1, now_us=now_us, truth_path=path
    ) as world:
        esme = await Esme.connect(world.port)
        (token,) = esme.submit("447700900001", SECRET)
        await esme.answer(token)
        (refused,) = esme.submit("99900000015", SECRET)
        await esme.answer(refused)
        message_id = esme.message_id(token)
    handoff, ended, turned_away = lines(path)
    assert handoff.pop("at_us") == pytest.approx(now_us(), abs=10_000_000)
    assert handoff == {
        "event": "handoff",
        "system_id": "north",
        "destination": "447700900001",
        "part": 1,
        "parts": 1,
        "text_hash": text_hash(SECRET.encode()),
        "message_id": message_id,
        "status": c.ESME_ROK,
        "answered": True,
        "reference": None,
    }
    assert (ended["event"], ended["ending"]) == ("ended", "reached")
    assert ended["message_id"] == message_id
    assert (turned_away["status"], turned_away["message_id"]) == (c.ESME_RINVDSTADR, None)
    assert "482113" not in path.read_text("utf-8")


async def test_the_file_is_written_while_the_world_runs(tmp_path: Path) -> None:
    """Another process can count hand-offs of a sender that was just killed."""
    path = tmp_path / "truth.ndjson"
    async with CarrierWorld(
        load_scenario("wire"), seed=1, now_us=now_us, truth_path=path
    ) as world:
        esme = await Esme.connect(world.port)
        (token,) = esme.submit("447700900001")
        await esme.answer(token)
        esme.close()
        assert world.truth.unwritten
        async with asyncio.timeout(20 * HOUSEKEEPING_S):
            await world.truth.until(lambda: not world.truth.unwritten)
        assert [line["event"] for line in lines(path)] == ["handoff", "ended"]


def test_the_file_grows_over_several_lives(tmp_path: Path) -> None:
    path = tmp_path / "truth.ndjson"
    for life in range(3):
        ledger = TruthLedger(path)
        ledger.handed_off(submission(life), Answer(), "1", 5, answered=True)
        ledger.close()
    assert [line["destination"] for line in lines(path)] == [
        "447700000000",
        "447700000001",
        "447700000002",
    ]


def test_records_are_bounded_and_counters_are_not() -> None:
    ledger = TruthLedger(records_max=10)
    for number in range(25):
        ledger.handed_off(submission(number), Answer(), str(number), number, answered=True)
        ledger.ended(submission(number), Ending.REACHED, str(number), number)
    assert [handoff.message_id for handoff in ledger.handoffs] == [
        str(n) for n in range(15, 25)
    ]
    assert len(ledger.arrivals) == 10
    assert ledger.counters["handoffs"] == ledger.counters["reached"] == 25


def test_each_kind_of_answer_is_counted() -> None:
    ledger = TruthLedger()
    for answer in (
        Answer(),
        Answer(lost=True),
        Answer(status=c.ESME_RTHROTTLED),
        Answer(status=c.ESME_RINVDSTADR),
    ):
        ledger.handed_off(submission(1), answer, None, 1, answered=not answer.lost)
    counters = ledger.counters
    assert (counters["handoffs"], counters["answers_lost"]) == (4, 1)
    assert (counters["throttled"], counters["refused"]) == (1, 1)
    assert [handoff.answered for handoff in ledger.handoffs] == [True, False, True, True]


def test_nothing_that_is_kept_holds_a_text() -> None:
    ledger = TruthLedger()
    ledger.handed_off(submission(1), Answer(), "1", 1, answered=True)
    ledger.ended(submission(1), Ending.REACHED, "1", 1)
    assert "482113" not in repr((ledger.handoffs, ledger.endings, ledger.counters))


async def test_waiting_ends_with_what_was_waited_for() -> None:
    ledger = TruthLedger()
    await ledger.until(lambda: True)
    waiting = asyncio.create_task(ledger.until(lambda: ledger.counters["reached"] == 2))
    for number in range(2):
        await asyncio.sleep(0)
        assert not waiting.done()
        ledger.ended(submission(number), Ending.REACHED, "1", 1)
    await waiting
