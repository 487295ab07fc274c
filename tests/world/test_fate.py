"""Drawn fates: the same for the same message, and in the shares that scenarios state."""

from __future__ import annotations

import random
from collections import Counter
from hashlib import blake2b

import msgspec
import pytest

from arrivals.world.fate import Ending, Fate
from arrivals.world.fixed_fates import SCRIPTS, fate_of
from arrivals.world.scenario import Scenario, load_scenario, parse_scenario, scenario_names
from arrivals.world.submission import Submission

SAMPLE = 20_000
DAY_S = 86_400
TEXTS = (
    b"Your parcel is here",
    b"Your code is 482113",
    b"You won the jackpot: bit.ly/3xyz",
    b"SEE HTTP://EXAMPLE.COM/A NOW",
)


def submission(number: int, system_id: str = "north", **fields: object) -> Submission:
    identity = b"message %d" % number
    made = Submission(
        system_id=system_id,
        source="Arrivals",
        destination=f"447700{number:06d}",
        octets=b"Your parcel is here",
        identity=identity,
        group=identity,
        at_s=number * DAY_S / SAMPLE,
    )
    return msgspec.structs.replace(made, **fields)


@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        ("clear-day", "1264fe7bb9c354b711e20ccd3e049530"),
        ("bad-day", "861bab1ff2df13611039ba21667d61e6"),
        ("wire", "d9a410a7dfd0ac22d74610b43b344581"),
    ],
)
def test_fates_are_pinned_so_that_a_seed_means_the_same_in_every_version(
    name: str, pinned: str
) -> None:
    """A world can be given more to draw, but what it drew before stays."""
    scenario = load_scenario(name)
    digest = blake2b(digest_size=16)
    for number in range(3_000):
        for system_id in ("north", "south"):
            one = submission(
                number,
                system_id,
                octets=TEXTS[number % 4],
                backlog_s=float(number % 3),
                registered_delivery=(1, 0x11, 2)[number % 3],
            )
            fate = fate_of(one, scenario, 7)
            answer = fate.answer
            said = [
                (receipt.delay_s, receipt.state, receipt.error) for receipt in fate.receipts
            ]
            whole = (
                answer.delay_s, answer.status, answer.lost, fate.ending.value, fate.ended_s,
                said, fate.id_form, fate.any_bind,
            )  # fmt: skip
            digest.update(repr(whole).encode())
    assert digest.hexdigest() == pinned


@pytest.mark.parametrize("name", ["clear-day", "bad-day"])
def test_fates_dont_depend_on_order_or_company(name: str) -> None:
    scenario = load_scenario(name)
    all_of_them = [submission(number) for number in range(500)]
    shuffled = random.Random(4).sample(all_of_them, k=250)
    fates = {one.identity: fate_of(one, scenario, 9) for one in all_of_them}
    for one in shuffled:
        assert fate_of(one, scenario, 9) == fates[one.identity]


def test_another_seed_is_another_day() -> None:
    scenario = load_scenario("bad-day")
    ours = [fate_of(submission(number), scenario, 1) for number in range(200)]
    theirs = [fate_of(submission(number), scenario, 2) for number in range(200)]
    assert sum(one == other for one, other in zip(ours, theirs, strict=True)) < 5


def test_latencies_of_a_clear_day_are_seconds() -> None:
    scenario = load_scenario("clear-day")
    fates = [fate_of(submission(number), scenario, 1) for number in range(5_000)]
    delays = sorted(fate.receipts[0].delay_s for fate in fates)
    assert 3 < delays[len(delays) // 2] < 7
    assert delays[int(len(delays) * 0.95)] < 30
    assert all(fate.answer.delay_s < 1 for fate in fates)


@pytest.mark.parametrize("name", ["clear-day", "bad-day"])
def test_report_follows_truth_unless_the_scenario_lies(name: str) -> None:
    """A receipt comes after what it tells of, and only a fake or contradicted one is wrong."""
    scenario = load_scenario(name)
    for number in range(3_000):
        fate = fate_of(submission(number, at_s=0.0), scenario, 3)
        for receipt in fate.receipts:
            assert receipt.delay_s >= 0
        if name == "clear-day" and fate.receipts:
            assert fate.receipts[0].delay_s >= fate.ended_s >= fate.answer.delay_s
            honest = (fate.ending is Ending.REACHED) == (fate.receipts[0].state == "DELIVRD")
            assert honest


SMALL = """
name = "small"
about = "For these tests."
[expect.default]
truth = { reached = 1.0 }
reported = { delivered = 1.0 }
[providers.default]
PROVIDER
[[carriers]]
name = "one"
CARRIER
"""


def small(provider: str = "", carrier: str = "") -> Scenario:
    return parse_scenario(SMALL.replace("PROVIDER", provider).replace("CARRIER", carrier))


def fates(scenario: Scenario, count: int = 400, **fields: object) -> list[Fate]:
    return [fate_of(submission(n, **fields), scenario, 5) for n in range(count)]  # type: ignore[arg-type]


def states(fate: Fate) -> list[str]:
    return [receipt.state for receipt in fate.receipts]


@pytest.mark.parametrize(
    ("registered_delivery", "delivered", "failed"),
    [
        (0, [], []),
        (1, ["DELIVRD"], ["UNDELIV"]),
        (2, [], ["UNDELIV"]),
        (3, ["DELIVRD"], []),
        (0x11, ["ENROUTE", "DELIVRD"], ["ENROUTE", "UNDELIV"]),
    ],
)
def test_receipts_are_those_asked_for(
    registered_delivery: int, delivered: list[str], failed: list[str]
) -> None:
    scenario = small(carrier="failures = { share = 0.5 }")
    drawn = fates(scenario, registered_delivery=registered_delivery)
    assert {fate.ending for fate in drawn} == {Ending.REACHED, Ending.FAILED}
    for fate in drawn:
        assert states(fate) == (delivered if fate.ending is Ending.REACHED else failed)


def test_a_phone_that_is_off_for_longer_than_the_validity_expires_the_message() -> None:
    scenario = small(carrier="off = { share = 1, scale_s = 3600 }")
    for fate in fates(scenario, validity_s=60.0):
        if fate.ending is Ending.EXPIRED:
            assert fate.ended_s == 60.0
            assert [(r.state, r.error) for r in fate.receipts] == [("EXPIRED", "030")]
        else:
            assert fate.ended_s <= 60.0
    assert sum(f.ending is Ending.EXPIRED for f in fates(scenario, validity_s=60.0)) > 380
    assert all(f.ending is Ending.REACHED for f in fates(scenario))


def test_a_provider_gives_up_after_its_own_time() -> None:
    scenario = small("expires_after_s = 10", "off = { share = 1, scale_s = 36000 }")
    assert max(fate.ended_s for fate in fates(scenario)) == 10


@pytest.mark.parametrize(
    ("mode", "state"), [("reported", "REJECTD"), ("silent", None), ("fake", "DELIVRD")]
)
def test_filters_report_keep_silent_or_lie(mode: str, state: str | None) -> None:
    scenario = small(carrier=f"filter = {{ base = 1, modes = {{ {mode} = 1 }} }}")
    for fate in fates(scenario, 50):
        assert fate.ending is Ending.FILTERED
        assert states(fate) == ([state] if state else [])


def test_filters_read_the_text() -> None:
    scenario = small(carrier="filter = { rules = { lure = 1.0 } }")
    assert all(fate.ending is Ending.REACHED for fate in fates(scenario, 50))
    stopped = fates(scenario, 50, octets=b"Jackpot for you")
    assert all(fate.ending is Ending.FILTERED for fate in stopped)


def test_the_parts_of_one_message_share_its_handset() -> None:
    scenario = small(carrier="failures = { share = 0.5 }")
    for number in range(100):
        group = b"group %d" % number
        endings = {
            fate_of(
                submission(
                    number, identity=group + bytes((part,)), group=group, parts=3, part=part
                ),
                scenario,
                5,
            ).ending
            for part in (1, 2, 3)
        }
        assert len(endings) == 1


def test_one_receipt_per_message_comes_for_one_of_its_parts() -> None:
    scenario = small('receipts = { per = "message" }')
    chosen = Counter[int]()
    for number in range(300):
        group = b"group %d" % number
        reporting = [
            part
            for part in (1, 2, 3)
            if fate_of(
                submission(
                    number, identity=group + bytes((part,)), group=group, parts=3, part=part
                ),
                scenario,
                5,
            ).receipts
        ]
        assert len(reporting) == 1
        chosen.update(reporting)
    assert min(chosen[1], chosen[2], chosen[3]) > 60


def test_brownouts_come_in_stretches() -> None:
    scenario = small(
        "answer = { median_s = 0.1 }\n"
        "brownout = { share = 0.3, length_s = 100, errors = 0.5, slowness = 20 }"
    )
    for stretch in range(60):
        inside = [
            fate_of(submission(n, at_s=stretch * 100 + n % 100), scenario, 5)
            for n in range(200)
        ]
        delays = {round(fate.answer.delay_s, 6) for fate in inside}
        refused = sum(fate.ending is Ending.REFUSED for fate in inside)
        assert (delays, refused > 60) in [({0.1}, False), ({2.0}, True)]


def test_what_a_provider_fabricates_never_arrives() -> None:
    for fate in fates(small("fabricates = 1"), 50):
        assert fate.ending is Ending.LOST
        assert states(fate) == ["DELIVRD"]


def test_receipts_can_be_doubled_disordered_contradicted_early_or_missing() -> None:
    everything = small("receipts = { duplicated = 1, reordered = 1, contradicted = 1 }")
    assert states(fates(everything, 1)[0]) == ["UNDELIV", "DELIVRD", "DELIVRD", "ENROUTE"]
    early = small("answer = { median_s = 2 }\nreceipts = { before_answer = 1 }")
    assert all(f.receipts[0].delay_s < f.answer.delay_s for f in fates(early, 50))
    assert all(not f.receipts for f in fates(small("receipts = { coverage = 0 }"), 50))


def test_a_queueing_provider_is_late_aloud_or_in_silence() -> None:
    aloud = small('rate = { per_s = 1, over = "queue" }')
    silent = small('rate = { per_s = 1, over = "silent_queue" }')
    (fate,) = fates(aloud, 1, backlog_s=8.0)
    assert fate.answer.delay_s == 8.0
    (fate,) = fates(silent, 1, backlog_s=8.0)
    assert (fate.answer.delay_s, fate.ended_s) == (0.0, 8.0)


def test_fixed_fates_are_the_same_everywhere_and_soon_over() -> None:
    scenarios = [load_scenario(name) for name in scenario_names()]
    for number, script in SCRIPTS.items():
        one = submission(1, destination=number)
        told = {
            (fate.answer, fate.ending, fate.receipts)
            for fate in (fate_of(one, scenario, 5) for scenario in scenarios)
        }
        assert len(told) == 1, script.about
        if number[-2:] not in ("03", "10", "14", "17"):
            ((answer, _, receipts),) = told
            last = max([answer.delay_s, *(receipt.delay_s for receipt in receipts)])
            assert last <= 5


def test_there_are_twenty_one_fixed_fates() -> None:
    assert sorted(SCRIPTS) == [f"999000000{number:02d}" for number in range(1, 22)]
