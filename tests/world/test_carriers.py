"""What carriers do to messages, and providers to words: one habit at a time."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from arrivals.smpp import constants as c
from arrivals.world.fate import Ending, Fate
from arrivals.world.history import Seen
from arrivals.world.limits import Limits
from arrivals.world.people import kind_of, matches
from arrivals.world.provider import Provider, Rate
from arrivals.world.scenario import Scenario, parse_scenario
from arrivals.world.smsc import CarrierWorld
from tests.world.esme import Esme
from tests.world.small_world import SMALL, small_world
from tests.world.test_fate import fates as fates_in

SENDERS = """
[senders.BANK]
templates = ["Code {#} for {#}."]
[senders.18005550100]
kind = "toll_free"
"""
SPELL = "bursts = { calm_s = 0.001, lasts_s = 2592000, errors = 0.4, slowness = 20 }"


def world(carrier: str = "", provider: str = "") -> Scenario:
    return parse_scenario(SMALL.replace("PROVIDER", provider) + carrier + SENDERS)


def one(scenario: Scenario, **fields: object) -> Fate:
    (fate,) = fates_in(scenario, 1, **fields)
    return fate


def said(fate: Fate) -> list[tuple[str, str]]:
    return [(receipt.state, receipt.error) for receipt in fate.receipts]


@pytest.mark.parametrize(
    ("rule", "source", "ending", "receipts"),
    [
        ("alpha = 'ok'", "Nobody", "reached", [("DELIVRD", "000")]),
        ("alpha = 'blocked'", "BANK", "filtered", [("REJECTD", "011")]),
        ("alpha = 'registered_only'", "BANK", "reached", [("DELIVRD", "000")]),
        ("alpha = 'registered_only'", "Nobody", "filtered", [("REJECTD", "012")]),
        ("alpha = 'replaced'", "Nobody", "reached", [("DELIVRD", "000")]),
        ("long_code = 'blocked'", "447700900001", "filtered", [("REJECTD", "011")]),
        ("long_code = 'blocked'", "38124", "reached", [("DELIVRD", "000")]),
        ("long_code = 'blocked'", "18005550100", "reached", [("DELIVRD", "000")]),
        ("toll_free = 'blocked'", "18005550100", "filtered", [("REJECTD", "011")]),
    ],
)
def test_senders_are_judged_by_their_kind(
    rule: str, source: str, ending: str, receipts: list[tuple[str, str]]
) -> None:
    fate = one(world(f"senders = {{ {rule} }}"), source=source)
    assert (fate.ending, said(fate)) == (ending, receipts)
    assert fate.shown_sender == ("38124" if "replaced" in rule else "")


def test_senders_look_like_what_they_are() -> None:
    looks = [kind_of(source) for source in ("ACME", "38124", "447700900001", "")]
    assert looks == ["alpha", "short_code", "long_code", "alpha"]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Code 482113 for login.", True),
        ("Code 482113 for login", False),
        ("code 482113 for login.", False),
        ("Code  for login.", False),
        ("Code 1 for " + "x" * 31 + ".", False),
        ("Code (1) for [a-z].", True),
    ],
)
def test_templates_fit_to_the_letter(text: str, fits: bool) -> None:
    assert matches(text, ("Hello", "Code {#} for {#}.")) is fits
    fate = one(world("scrubs = true"), source="BANK", octets=text.encode())
    assert (fate.ending is Ending.REACHED) is fits
    assert fate.cause == ("" if fits else "template")
    assert bool(fate.receipts) is fits  # what is scrubbed is scrubbed in silence


@pytest.mark.parametrize(
    ("seen", "cause", "receipts"),
    [
        (Seen(over_cap=True), "cap", [("REJECTD", "014")]),
        (Seen(too_fast=True), "velocity", []),
        (Seen(repeated=True), "duplicate", []),
        (Seen(flooding=True), "content", []),
    ],
)
def test_what_was_seen_before_is_a_cause(
    seen: Seen, cause: str, receipts: list[tuple[str, str]]
) -> None:
    strict = "filter = { flood = { per_minute = 1, adds = 1 }, modes = { silent = 1 } }"
    fate = one(world(strict), seen=seen)
    assert (fate.ending, fate.cause, said(fate)) == ("filtered", cause, receipts)


def test_a_carrier_says_what_the_scenario_says_it_says() -> None:
    told = one(world("says = { duplicate = 'fake', cap = 'silent' }"), seen=Seen(repeated=True))
    assert (told.ending, said(told)) == ("filtered", [("DELIVRD", "000")])
    assert not one(world("says = { cap = 'silent' }"), seen=Seen(over_cap=True)).receipts


@pytest.mark.parametrize(
    ("carrier", "provider", "receipts"),
    [
        ("none", "handset", []),
        ("handset", "none", []),
        ("carrier", "handset", [("ACCEPTD", "000")]),
        ("handset", "carrier", [("ACCEPTD", "000")]),
        ("handset", "handset", [("UNDELIV", "002")]),
    ],
)
def test_a_receipt_is_no_deeper_than_either_tells(
    carrier: str, provider: str, receipts: list[tuple[str, str]]
) -> None:
    lines = (
        f'failures = {{ share = 1 }}\nreceipts = {{ depth = "{carrier}", word = "ACCEPTD" }}'
    )
    scenario = world(lines, f'receipts = {{ depth = "{provider}" }}')
    fate = one(scenario)
    assert (fate.ending, said(fate)) == ("failed", receipts)


def test_what_a_carrier_doesnt_cover_is_a_share() -> None:
    fates = fates_in(world("receipts = { coverage = 0.7 }"), 2_000)
    assert sum(bool(fate.receipts) for fate in fates) / 2_000 == pytest.approx(0.7, abs=0.03)


def test_a_provider_gives_up_after_three_days_and_writes_a_word() -> None:
    habits = 'receipts = { gives_up_after_s = 259200, gives_up_word = "UNKNOWN" }'
    silent = one(world("filter = { base = 1, modes = { silent = 1 } }", habits))
    assert said(silent) == [("UNKNOWN", "000")]
    assert silent.receipts[0].delay_s == 259_200
    assert said(one(world("", habits))) == [("DELIVRD", "000")]
    lost = one(world("", habits + "\nlost_answers = 1\nlost_answers_dropped = 1"))
    assert said(lost) == []  # it never had it


def test_a_faker_spares_what_it_is_told_to() -> None:
    numbers = '\n[numbers]\nprobes = ["447700900001"]'
    liar = 'fabricates = 1\nspares = ["probes", "codes"]'
    scenario = parse_scenario(SMALL.replace("PROVIDER", liar) + numbers)
    assert one(scenario).ending is Ending.LOST
    assert one(scenario, destination="447700900001").ending is Ending.REACHED
    assert one(scenario, octets=b"Your code is 482113").ending is Ending.REACHED


def test_busy_phones_are_tried_again_when_the_pauses_say() -> None:
    busy = "busy = { share = 1, scale_s = 240, shape = 0.6 }"
    exact = [fate.ended_s for fate in fates_in(world(busy))]
    tried = [fate.ended_s for fate in fates_in(world(busy + "\nretries_s = [60, 300, 900]"))]
    due = {60, 360, *(1_260 + 900 * n for n in range(300))}
    assert set(tried) <= due
    for away_s, at_s in zip(exact, tried, strict=True):
        assert at_s >= away_s
        assert not any(away_s <= earlier < at_s for earlier in due)


def test_failures_by_number_are_the_same_every_time() -> None:
    scenario = world("failures = { share = 0.3, by_number = true }")
    first = [fate.ending for fate in fates_in(scenario)]
    again = [
        fate.ending
        for n in range(400)
        for fate in fates_in(
            scenario, 1, destination=f"447700{n:06d}", identity=b"again %d" % n
        )
    ]
    assert first == again
    assert first.count(Ending.FAILED) / 400 == pytest.approx(0.3, abs=0.06)


def test_a_carriers_spell_fails_for_every_provider() -> None:
    spell = world(SPELL.replace("0.4", "1"))
    told = [one(spell, system_id=name) for name in ("north", "south")]
    assert [(fate.ending, said(fate)) for fate in told] == [
        ("failed", [("UNDELIV", "020")])
    ] * 2


def test_a_providers_spell_is_errors_and_slowness() -> None:
    spell = world("", "answer = { median_s = 0.1 }\n" + SPELL)
    fates = fates_in(spell, 2_000)
    assert {round(fate.answer.delay_s, 6) for fate in fates} == {2.0}
    refused = sum(fate.answer.status == c.ESME_RSYSERR for fate in fates)
    assert refused / 2_000 == pytest.approx(0.4, abs=0.04)


def test_a_rate_of_each_sender_holds_one_and_not_the_other() -> None:
    limits = Limits()
    rate = Rate(per_s=1, per="sender", over="silent_queue", queue_max_s=10)
    provider = Provider(rate=rate)
    waits = [limits.judge(provider, "north", "ACME", 0.0) for _ in range(13)]
    assert [wait for _, wait in waits[:11]] == list(range(11))
    assert waits[11:] == [(c.ESME_RMSGQFUL, 0.0)] * 2
    assert limits.judge(provider, "north", "OTHER", 0.0) == (c.ESME_ROK, 0.0)
    assert limits.judge(provider, "south", "ACME", 0.0) == (c.ESME_ROK, 0.0)
    all_in_one = msgspec.structs.replace(rate, per="provider", per_s=2.0)
    assert limits.judge(Provider(rate=all_in_one), "north", "ACME", 0.0) == (c.ESME_ROK, 0.0)


# Over a socket


async def test_a_replaced_sender_is_what_the_phone_shows() -> None:
    scenario = world("senders = { alpha = 'replaced' }\nreplacement = '70707'")
    async with small_world(scenario=scenario) as carrier_world:
        esme = await Esme.connect(carrier_world.port)
        esme.submit("447700900009")
        await esme.until(lambda: len(esme.receipts) == 1)
        assert [text.sender for text in carrier_world.inbox.texts()] == ["70707"]


async def test_a_provider_writes_its_own_words_and_codes() -> None:
    habits = (
        'receipts = { tlvs = false, words = { UNDELIV = "FAILED" }, codes = { "002" = "27" } }'
    )
    scenario = world("failures = { share = 1 }", habits)
    async with small_world(scenario=scenario) as carrier_world:
        esme = await Esme.connect(carrier_world.port)
        esme.submit("447700900009")
        await esme.until(lambda: len(esme.receipts) == 1)
        (receipt,) = esme.receipts
        assert (receipt.stat_raw, receipt.error, receipt.state) == ("FAILED", "27", "UNDELIV")


async def test_repeats_are_remembered_over_a_socket() -> None:
    scenario = world("duplicates = { within_s = 3600 }\nsays = { duplicate = 'reported' }")
    async with small_world(scenario=scenario) as carrier_world:
        esme = await Esme.connect(carrier_world.port)
        for _ in range(2):
            esme.submit("447700900009")
        await esme.until(lambda: len(esme.receipts) == 2)
        assert sorted(esme.states()) == ["DELIVRD", "REJECTD"]
        causes = {ended.cause for ended in carrier_world.truth.endings}
        assert causes == {"", "duplicate"}


TIMELINE = """
[[timeline]]
about = "Something happens to north."
from_s = 100
until_s = 200
providers.default = { CHANGE }
"""


def changing(change: str, carrier: str = "") -> Scenario:
    return parse_scenario(
        SMALL.replace("PROVIDER", "") + carrier + TIMELINE.replace("CHANGE", change)
    )


async def at(carrier_world: CarrierWorld, moment_s: float) -> None:
    """Wait for a moment of a world's own time."""
    come = asyncio.Event()
    carrier_world._inside.agenda.enter(moment_s, come.set)
    await come.wait()


@pytest.mark.slow
async def test_an_outage_cuts_binds_refuses_them_and_ends() -> None:
    async with small_world(scenario=changing("up = false"), speed=100) as carrier_world:
        esme = await Esme.connect(carrier_world.port)
        assert esme.bind_status == c.ESME_ROK
        await esme.until(lambda: esme.closed)
        again = await Esme.connect(carrier_world.port)
        refused = carrier_world._inside.agenda.now_s < 200  # or this machine was too slow
        assert not refused or again.bind_status == c.ESME_RBINDFAIL
        await at(carrier_world, 201)
        back = await Esme.connect(carrier_world.port)
        assert back.bind_status == c.ESME_ROK
        back.submit("447700900009")
        await back.until(lambda: len(back.receipts) == 1)


async def until_cut(carrier_world: CarrierWorld) -> None:
    """Bind, and wait for the bind's end."""
    esme = await Esme.connect(carrier_world.port)
    await esme.until(lambda: esme.closed)


@pytest.mark.slow
async def test_a_flapping_provider_drops_its_binds_until_it_is_over() -> None:
    async with small_world(scenario=changing("flaps_s = 20"), speed=60) as carrier_world:
        for _ in range(2):
            await until_cut(carrier_world)
        await at(carrier_world, 201)
        quiet = await Esme.connect(carrier_world.port)
        await at(carrier_world, 260)
        assert not quiet.closed
        assert 2 <= carrier_world.truth.counters["flaps"] <= 4


@pytest.mark.slow
async def test_held_receipts_come_when_the_link_is_up_with_their_own_dates() -> None:
    """By a clock that stands still at midnight, what was written before was yesterday."""
    held = changing("receipts = { held = true, flood_s = 1 }", "radio = { median_s = 120 }")
    midnight_us = 1_793_577_600_000_000  # 2026-11-02 00:00 UTC
    async with CarrierWorld(
        held, seed=1, speed=200, now_us=lambda: midnight_us
    ) as carrier_world:
        esme = await Esme.connect(carrier_world.port)
        esme.submit("447700900009")
        await esme.until(lambda: len(esme.receipts) == 1)
        assert carrier_world._inside.agenda.now_s >= 200
        assert esme.receipts[0].done_date == "2611012359"
