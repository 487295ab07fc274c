"""What people do: in the stated shares, about what they got, told and recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from arrivals.smpp import constants as c
from arrivals.world.fate import Ending
from arrivals.world.scenario import Scenario, parse_scenario
from arrivals.world.smsc import CarrierWorld
from arrivals.world.truth import Acted
from tests.world.esme import Esme, now_us
from tests.world.rehearsal import Rehearsal, Rehearsed

WORLD = """
name = "small"
about = "For these tests."
[expect]
[providers.default]
[users]
conversion = 0.6
asks_again = 0.5
clicks = 0.3
scans = 0.4
replies = 0.5
stops = 0.25
[senders.KEEN]
conversion = 1.0
[numbers]
probes = ["447700900001"]
dead = ["447700900002"]
[[carriers]]
name = "one"
radio = { median_s = 3.0, sigma = 0.5 }
filter = { base = 0.2, modes = { silent = 1 } }
off = { share = 0.2, scale_s = 3600 }
"""
STREAM = """
[[traffic]]
name = "one"
text = "%s"
sender = "%s"
count = 4000
"""


def scenario(text: str, sender: str = "ARRIVALS", *changes: tuple[str, str]) -> Scenario:
    whole = WORLD + STREAM % (text, sender)
    for old, new in changes:
        assert old in whole
        whole = whole.replace(old, new)
    return parse_scenario(whole)


CERTAIN = (("base = 0.2", "base = 0"), ("off = { share = 0.2", "off = { share = 0"))


def played(text: str, sender: str = "ARRIVALS") -> list[Rehearsed]:
    return list(Rehearsal(scenario(text, sender), 1).play())


def kinds(each: Rehearsed) -> set[str]:
    return {act.kind for act in each.acts}


def among(which: list[Rehearsed], kind: str) -> float:
    return sum(kind in kinds(each) for each in which) / len(which)


def test_codes_that_arrive_are_typed_in_and_others_asked_for_again() -> None:
    codes = played("Your code is {code}")
    there = [each for each in codes if each.fate.ending is Ending.REACHED]
    away = [e for e in codes if e.fate.ending is not Ending.REACHED or e.fate.ended_s > 45]
    in_time = [each for each in there if each.fate.ended_s <= 45]
    assert among(there, "converted") == pytest.approx(0.6, abs=0.03)
    assert among(away, "asked_again") == pytest.approx(0.5, abs=0.04)
    assert among(in_time, "asked_again") == 0
    for each in codes:
        for act in each.acts:
            if act.kind == "converted":
                assert act.delay_s > each.fate.ended_s
            else:
                assert (act.kind, act.delay_s) == ("asked_again", 45)


@pytest.mark.slow
def test_a_senders_own_users_are_as_it_says() -> None:
    there = [e for e in played("Your code is {code}", "KEEN") if e.fate.ending == "reached"]
    assert among(there, "converted") == 1


def test_machines_click_on_what_passed_and_people_on_what_arrived() -> None:
    links = played("See https://example.com/{n}")
    kept = [each for each in links if each.fate.ending is Ending.FILTERED]
    there = [each for each in links if each.fate.ending is Ending.REACHED]
    assert among(kept, "scanned") == pytest.approx(0.4, abs=0.06)
    assert among(kept, "clicked") == 0
    assert among(there, "clicked") == pytest.approx(0.3, abs=0.03)
    scans = [act.delay_s for each in links for act in each.acts if act.kind == "scanned"]
    assert all(0.5 < delay_s < 5 for delay_s in scans)


@pytest.mark.slow
def test_only_a_number_is_replied_to() -> None:
    assert {kind for each in played("Hello {n}") for kind in kinds(each)} == set()
    numeric = played("Hello {n}", "447700900123")
    there = [each for each in numeric if each.fate.ending is Ending.REACHED]
    assert among(there, "replied") == pytest.approx(0.375, abs=0.03)
    assert among(there, "stopped") == pytest.approx(0.125, abs=0.02)


async def test_acts_are_told_recorded_and_written_without_a_text(tmp_path: Path) -> None:
    told: list[Acted] = []
    sure = scenario("", "ARRIVALS", *CERTAIN, ("conversion = 0.6", "conversion = 1"))
    path = tmp_path / "truth.ndjson"
    async with CarrierWorld(
        sure, seed=1, speed=1_000, now_us=now_us, truth_path=path, on_act=told.append
    ) as world:
        esme = await Esme.connect(world.port)
        (token,) = esme.submit("447700900009", "Your code is 482113", reference=77)
        await world.truth.until(lambda: world.truth.counters["converted"] == 1)
        (act,) = told
        assert world.truth.acts == (act,)
        assert (act.kind, act.source, act.destination) == (
            "converted",
            "Arrivals",
            "447700900009",
        )
        assert (act.reference, act.message_id) == (77, esme.message_id(token))
        esme.submit("447700900001", "Are you there?")
        await world.truth.until(lambda: world.truth.counters["probed"] == 1)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert Counter(line["event"] for line in lines) == {"handoff": 2, "ended": 2, "acted": 2}
    assert "482113" not in path.read_text("utf-8")


async def test_a_reply_comes_as_a_message_on_a_bind() -> None:
    """A deliver_sm that is no receipt, from the handset to the sender."""
    stops = ("replies = 0.5\nstops = 0.25", "replies = 1\nstops = 1")
    sure = scenario("", "ARRIVALS", *CERTAIN, stops)
    async with CarrierWorld(sure, seed=1, speed=10_000, now_us=now_us) as world:
        esme = await Esme.connect(world.port)
        esme.submit("447700900009", source="447700900123")
        await esme.until(lambda: len(esme.from_handsets) == 1)
        (reply,) = esme.from_handsets
        assert reply.octets("source_addr") == b"447700900009"
        assert reply.octets("destination_addr") == b"447700900123"
        assert reply.octets("short_message") == b"STOP"
        assert reply.number("esm_class") & 0x3C == 0
        await world.truth.until(lambda: world.truth.counters["replies_acknowledged"] == 1)
        assert world.truth.counters["stopped"] == 1


async def test_a_dead_number_has_no_phone_and_a_probe_always_has() -> None:
    certain = scenario("", "ARRIVALS", CERTAIN[0], ("share = 0.2", "share = 1"))
    async with CarrierWorld(certain, seed=1, speed=100_000, now_us=now_us) as world:
        esme = await Esme.connect(world.port)
        for number in range(20):
            esme.submit("447700900001", f"to a probe {number}")
            esme.submit("447700900002", f"to nobody {number}")
        await esme.until(lambda: len(esme.receipts) == 40)
        assert Counter(esme.states()) == {"DELIVRD": 20, "UNDELIV": 20}
        assert {r.error for r in esme.receipts if r.state == "UNDELIV"} == {"002"}
        assert esme.answers
        assert all(a.command_status == c.ESME_ROK for a in esme.answers.values())
