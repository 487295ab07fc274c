"""The shipped scenarios: each is whole, can be sent, and shows what it says it shows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from statistics import median

import pytest

from arrivals.cli.dev_installation import ACCOUNT_OF_KEY, ROUTES, SENDERS
from arrivals.core.phone import length_ok, normalise_msisdn
from arrivals.core.text import encode_segments
from arrivals.world.fate import Ending
from arrivals.world.scenario import Scenario, load_scenario, scenario_names
from arrivals.world.traffic import sends
from tests.world.measure import measure
from tests.world.rehearsal import Rehearsal, Rehearsed, reported

CLAIMS = (
    "clear-day", "queue-wall", "slow-burn-brownout", "hard-outage-failover",
    "timeout-but-accepted", "twin-requests", "two-faced-providers", "silent-carrier",
    "happy-liar", "skimmer-1pct", "whitelisted-probes", "late-flood", "no-receipt-land",
    "phone-off-overnight", "ten-dlc-hub-receipt", "daily-cap-midnight", "template-scrub",
    "rush-hour", "early-dlr", "balance-race", "node-crash-mid-send", "dedupe-drop",
    "crash-loop", "many-tongues",
)  # fmt: skip
MISSPECIFIED = ("tenants-differ", "drift", "correlated-failures")


def test_all_scenarios_are_there() -> None:
    assert set(scenario_names()) == {*CLAIMS, *MISSPECIFIED, "bad-day", "wire"}


def check_shares(scenario: Scenario, seed: int) -> None:
    counts = {stream.name: stream.count * stream.copies for stream in scenario.traffic}
    for stream, found in measure(scenario, seed).items():
        expect = scenario.expect[stream]
        for shares, wanted in (
            (found.truth, expect.truth),
            (found.reported, expect.reported),
            (found.acts, expect.acts),
        ):
            assert set(shares) <= set(wanted), stream
            for word, share in wanted.items():
                off_by = abs(shares.get(word, 0.0) - share)
                assert off_by <= expect.off_by(share, counts[stream]), (stream, word)
        for quantile, arrives_s in expect.arrives_s.items():
            off_by = abs(found.arrives_s[quantile] / arrives_s - 1)
            assert off_by <= expect.arrives_off_by, (stream, quantile)


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario_names())
def test_shares_are_as_the_scenario_states(name: str) -> None:
    scenario = load_scenario(name)
    check_shares(scenario, scenario.seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", scenario_names())
def test_shares_are_as_the_scenario_states_on_another_seed(name: str) -> None:
    check_shares(load_scenario(name), 20261114)


@pytest.mark.parametrize("name", scenario_names())
def test_every_stream_has_expectations_and_every_expectation_a_stream(name: str) -> None:
    scenario = load_scenario(name)
    streams = [stream.name for stream in scenario.traffic]
    assert sorted(streams) == sorted(scenario.expect)
    assert {stream.provider for stream in scenario.traffic} <= set(scenario.providers)
    assert all(expect.verdicts for expect in scenario.expect.values())


@pytest.mark.parametrize("name", scenario_names())
def test_all_of_it_can_be_sent_in_dev(name: str) -> None:
    """Known accounts, routes and senders, valid numbers, texts of one segment."""
    scenario = load_scenario(name)
    for stream in scenario.traffic:
        assert stream.account in ACCOUNT_OF_KEY
        assert stream.route in {route.route_id for route in ROUTES}
        assert stream.sender in SENDERS or stream.sender.isdigit()
    for send in itertools.islice(sends(scenario.traffic, scenario.seed), 200):
        assert normalise_msisdn(send.number) == send.number
        assert length_ok(send.number)
        assert len(encode_segments(send.text)) == 1


def played(name: str, *streams: str) -> list[Rehearsed]:
    scenario = load_scenario(name)
    return list(Rehearsal(scenario, scenario.seed).play(*streams))


def share(which: list[Rehearsed], ending: Ending) -> float:
    return sum(each.fate.ending is ending for each in which) / len(which)


@pytest.mark.slow
def test_queue_wall_makes_one_wait_and_not_the_other() -> None:
    waits = [each.fate.ended_s for each in played("queue-wall", "campaign")]
    assert max(waits) > 1_900
    assert all(each.fate.answer.delay_s < 1 for each in played("queue-wall"))
    assert max(each.fate.ended_s for each in played("queue-wall", "codes")) < 60


def test_twins_differ() -> None:
    pairs = defaultdict(list)
    for each in played("twin-requests"):
        pairs[each.send.nth].append(each.fate)
    differ = sum(one.ending is not two.ending for one, two in pairs.values())
    assert 0.2 < differ / len(pairs) < 0.35


@pytest.mark.slow
def test_the_silent_carrier_is_silent_from_noon() -> None:
    links = played("silent-carrier", "links")
    before = [each for each in links if each.send.at_s < 10_800]
    after = [each for each in links if each.send.at_s >= 10_800]
    assert share(before, Ending.FILTERED) == 0
    assert 0.35 < share(after, Ending.FILTERED) < 0.45
    for each in links:
        assert each.fate.answer.status == 0
        if each.fate.ending is Ending.FILTERED:
            assert (reported(each.fate), each.fate.cause) == ("silent", "content")


def test_the_outage_is_an_outage_and_no_longer() -> None:
    for each in played("hard-outage-failover", "alerts"):
        gone = 1_800 <= each.send.at_s < 3_600
        assert (each.fate.ending is Ending.REFUSED) == gone


def test_a_crash_loop_loses_all_that_it_takes_but_for_what_it_sent_on() -> None:
    for each in played("crash-loop"):
        crashing = 1_200 <= each.send.at_s < 1_800
        assert each.fate.answer.lost is crashing
    during = [each for each in played("crash-loop") if 1_200 <= each.send.at_s < 1_800]
    assert 0.7 < share(during, Ending.LOST) < 0.9


@pytest.mark.slow
def test_the_late_flood_comes_after_two_hours_out_of_order() -> None:
    held = []
    for each in played("late-flood"):
        for receipt in each.fate.receipts:
            at_s = each.send.at_s + receipt.delay_s
            assert not 3_600 <= at_s < 10_800
            if receipt.held_s:
                assert 10_800 <= at_s <= 11_400
                held.append((at_s - receipt.held_s, at_s))
    assert len(held) > 1_000
    due, came = zip(*sorted(held), strict=True)
    assert all(3_600 <= at_s < 10_800 for at_s in due)
    inverted = sum(one > other for one, other in itertools.pairwise(came))
    assert inverted > len(held) / 3


def test_phones_that_were_off_come_back_in_the_morning() -> None:
    """It begins at 20:00: 22:00 is 7,200 s in, and 7:00 is 39,600 s."""
    late = []
    for each in played("phone-off-overnight", "patient"):
        arrives_s = each.send.at_s + each.fate.ended_s
        if each.fate.ending is Ending.REACHED and each.fate.ended_s > 600:
            assert each.send.at_s > 7_000
            assert 39_600 <= arrives_s <= 39_600 + 5_400 + 60
            late.append(arrives_s)
    assert 0.2 < len(late) / 2_000 < 0.35


def test_the_cap_ends_at_midnight() -> None:
    """It begins at 18:00; both providers' messages count for one brand."""
    everything = played("daily-cap-midnight")
    capped = [each for each in everything if each.fate.cause == "cap"]
    assert len({each.submission.system_id for each in capped}) == 2
    assert min(each.send.at_s for each in capped) > 14_000
    assert max(each.send.at_s for each in capped) < 21_600
    assert len(capped) == pytest.approx(600, abs=10)


def test_receipts_of_the_hub_come_before_anything_that_is_filtered() -> None:
    for each in played("ten-dlc-hub-receipt", "registered", "unregistered"):
        (receipt,) = each.fate.receipts
        assert receipt.state == "DELIVRD"
        assert each.fate.carried_s is not None


def test_a_third_of_the_receipts_are_early() -> None:
    everything = played("early-dlr")
    early = [
        each
        for each in everything
        if each.fate.receipts and each.fate.receipts[0].delay_s < each.fate.answer.delay_s
    ]
    assert len(early) / len(everything) == pytest.approx(0.33, abs=0.03)


@pytest.mark.slow
def test_the_liars_probes_arrive_and_its_bulk_does_not() -> None:
    assert share(played("whitelisted-probes", "probes"), Ending.REACHED) == 1
    assert share(played("whitelisted-probes", "codes"), Ending.LOST) == 0
    assert share(played("whitelisted-probes", "campaign"), Ending.LOST) > 0.3


def test_what_is_resent_too_soon_is_dropped_and_the_first_is_not() -> None:
    for each in played("dedupe-drop", "too-soon"):
        if each.fate.cause == "duplicate":
            assert each.send.copy == 1
            assert each.fate.receipts == ()


@pytest.mark.slow
def test_spells_hit_both_providers_at_once() -> None:
    """What fails in an hour fails for north and south alike: the counts go together."""
    failed: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for each in played("correlated-failures"):
        if each.fate.ending is Ending.FAILED:
            hour = int(each.send.at_s // 1_800)
            failed[hour][each.submission.system_id == "south"] += 1
    middle = [median(counts[side] for counts in failed.values()) for side in (0, 1)]
    agree = sum((one > middle[0]) == (two > middle[1]) for one, two in failed.values())
    assert agree / len(failed) > 0.7


@pytest.mark.slow
def test_drift_has_no_step() -> None:
    """Two hours are never far from the next two."""
    told = defaultdict(list)
    for each in played("drift"):
        told[int(each.send.at_s // 7_200)].append(bool(each.fate.receipts))
    shares = [sum(told[hours]) / len(told[hours]) for hours in sorted(told)]
    assert shares[0] - shares[-1] > 0.1
    assert all(abs(one - two) < 0.08 for one, two in itertools.pairwise(shares))
