"""Fake receipts: each detector's power, its silence without data, and the sum of them."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.fakes import (
    CANARY_CAP,
    LLR_CAP,
    SUSPECT_MIN,
    Ages,
    Kind,
    Part,
    canary,
    contradiction,
    conversions,
    converted,
    missing_tail,
    no_negatives,
    score,
    too_fast,
    too_uniform,
)
from arrivals.outcome.strata import Stratum, risk_ratio
from tests.outcome.routes import (
    LOG_AGES,
    TAIL,
    TAIL_INVENTED,
    Route,
    ages,
    crude,
    hits,
    strata,
)


def share_found(fake: float, runs: int, *, messages: int = 2_000) -> float:
    """Return how often the conversions alone find a faker."""
    found = [conversions(strata(random.Random(run), messages, fake)) for run in range(runs)]
    return sum(part.found for part in found) / runs


# --- canary ---------------------------------------------------------------------------


def test_one_canary_decides() -> None:
    part = canary(1, 50)
    assert part.found
    assert part.llr == CANARY_CAP
    assert score([part]).suspected
    assert part.words == "1 of 50 to numbers that can't receive were called delivered"


def test_a_silent_canary_clears_nobody() -> None:
    """Fakers know test numbers, so that no receipt for one proves nothing."""
    for part in (canary(0, 500), canary(0, 0)):
        assert (part.llr, part.found) == (0.0, False)
    assert "would see to that" in canary(0, 500).words
    assert "no message went" in canary(0, 0).words


# --- timing ---------------------------------------------------------------------------


def test_a_missing_tail_is_found_in_a_few_hundred_receipts() -> None:
    """Hardly ever on an honest route; who keeps a fifth of the tail needs to send more."""
    draw = random.Random(1)
    peers = (500, 10_000)
    faked, careful, honest = (
        [missing_tail(hits(draw, receipts, rate), receipts, *peers).found for _ in range(runs)]
        for receipts, rate, runs in (
            (300, TAIL_INVENTED, 100),
            (600, TAIL / 5, 100),
            (300, TAIL, 400),
        )
    )
    assert sum(faked) >= 98
    assert sum(careful) >= 90
    assert sum(honest) <= 4
    assert "0 of 300 receipts took over ten minutes" in missing_tail(0, 300, *peers).words


@pytest.mark.parametrize("counts", [(0, 300, 19, 400), (0, 0, 50, 1_000)])
def test_without_peers_a_tail_cannot_be_missed(counts: tuple[int, int, int, int]) -> None:
    part = missing_tail(*counts)
    assert (part.llr, part.found) == (0.0, False)
    assert "too few" in part.words


def test_a_tail_that_is_there_speaks_for_the_route() -> None:
    assert missing_tail(100, 2_000, 500, 10_000).llr == -LLR_CAP


def test_invented_ages_are_too_uniform_and_honest_ones_are_not() -> None:
    draw = random.Random(2)
    peers = ages(draw, 2_000, invented=False)
    invented, honest = (ages(draw, 300, invented=kind) for kind in (True, False))
    part = too_uniform(invented, peers)
    assert part.found
    assert part.llr == LLR_CAP
    assert "differ as samples" in part.words
    assert not too_uniform(honest, peers).found
    assert too_uniform(honest, peers).llr < 0


def test_ages_that_may_be_chance_are_not_held_against_a_route() -> None:
    """Narrower, but within what samples of this size differ by: it weighs nothing."""
    ours = Ages([0, 50, 50, 0], [0.0, 1.0, 2.0, 3.0])
    peers = Ages([10, 45, 45, 10], [0.0, 1.0, 2.0, 3.0])
    part = too_uniform(ours, peers)
    assert (part.llr, part.found) == (0.0, False)
    assert "may be alike" in part.words


def test_uniformity_needs_receipts_and_peers_that_spread() -> None:
    few, many, even = (
        Ages([count, rest], [0, 1]) for count, rest in ((9, 9), (99, 99), (0, 500))
    )
    assert "too few" in too_uniform(few, many).words
    assert "too few" in too_uniform(many, few).words
    assert "all took the same time" in too_uniform(many, even).words


def test_receipts_before_anybody_elses_are_too_fast() -> None:
    draw = random.Random(3)
    peers = ages(draw, 10_000, invented=False)
    honest = ages(draw, 1_000, invented=False)
    assert not too_fast(honest, peers).found
    instant = Ages([30, *honest.counts[1:]], LOG_AGES)
    slower_peers = Ages([0, 0, *peers.counts[:-2]], LOG_AGES)
    part = too_fast(instant, slower_peers)
    assert part.found
    assert part.llr == LLR_CAP


def test_the_fastest_of_few_peers_are_not_known() -> None:
    few = Ages([1_999, 0], [0, 1])
    for part in (too_fast(few, few), too_fast(Ages([0, 0], [0, 1]), Ages([2_000, 0], [0, 1]))):
        assert (part.llr, part.found) == (0.0, False)


def test_a_route_as_fast_as_its_slowest_peers_is_not_too_fast() -> None:
    """Peers' last bin holds all of theirs: nothing of ours can be before it but the rest."""
    peers = Ages([0, 0, 0], [0, 1, 2])
    assert not too_fast(peers, peers).found
    assert too_fast(Ages([50, 0, 0], [0, 1, 2]), Ages([0, 0, 5_000], [0, 1, 2])).found


def test_no_negative_receipt_among_many_is_found() -> None:
    assert no_negatives(0, 600, 300, 10_000).found
    assert not no_negatives(0, 100, 300, 10_000).found
    assert not no_negatives(15, 600, 300, 10_000).found
    assert no_negatives(15, 600, 300, 10_000).llr == -LLR_CAP
    for part in (no_negatives(0, 600, 0, 10_000), no_negatives(0, 0, 300, 10_000)):
        assert (part.llr, part.found) == (0.0, False)


def test_what_a_good_direct_route_may_be_is_not_suspicious_alone() -> None:
    """Two such signs together are."""
    sign, other = (
        no_negatives(0, 600, 300, 10_000),
        Part(kind=Kind.TIMING, name="too fast", llr=LLR_CAP, found=True, words="fast"),
    )
    alone = score([sign])
    assert not alone.suspected
    assert alone.words.startswith("receipts are perhaps not the handsets': 0 of 600")
    assert score([sign, other]).suspected


# --- contradiction --------------------------------------------------------------------


def test_dead_numbers_that_live_on_one_route_are_a_contradiction() -> None:
    assert contradiction(8, 20, 4, 200).found
    assert not contradiction(1, 20, 4, 200).found
    assert contradiction(0, 40, 4, 200).llr < 0
    # Fewer than the peers' is no more honest than as many.
    assert contradiction(0, 40, 40, 200).llr == 0
    assert not contradiction(0, 40, 190, 200).found
    part = contradiction(0, 0, 4, 200)
    assert (part.llr, part.found) == (0.0, False)


def test_without_peers_dead_numbers_may_have_new_owners() -> None:
    assert not contradiction(3, 5, 0, 0).found


# --- conversions ----------------------------------------------------------------------


def test_of_many_routes_compared_one_must_stand_out_more() -> None:
    """Twenty routes are twenty chances to be named by mistake."""
    low = risk_ratio([Stratum(12, 40, 60, 100)])
    lower = risk_ratio([Stratum(60, 200, 600, 1_000)])
    assert [converted(low, compared).found for compared in (1, 20)] == [True, False]
    assert [converted(lower, compared).found for compared in (1, 20)] == [True, True]


def test_conversions_find_fakers_of_a_tenth_and_of_a_fifth() -> None:
    """At about 2,000 conversions; tests.outcome.power plays more runs, and fewer messages."""
    assert share_found(0.1, 30, messages=3_333) >= 0.75
    assert share_found(0.2, 30, messages=3_333) >= 0.95


def test_honest_routes_with_other_accounts_are_not_blamed() -> None:
    """The crude ratio blames many of them: strata are what makes it a fact."""
    runs = [strata(random.Random(run), 2_000, 0.0) for run in range(60)]
    assert sum(conversions(run).found for run in runs) <= 1
    assert sum(conversions(crude(run)).found for run in runs) >= 4


def test_skimming_of_one_in_a_hundred_cannot_be_excluded() -> None:
    """It isn't found, it isn't called clean, and the limit that is named holds it."""
    parts = [conversions(strata(random.Random(run), 2_000, 0.01)) for run in range(20)]
    assert sum(part.found for part in parts) <= 1
    limits = [part.share_max for part in parts]
    assert sum(limit is not None and 0.01 <= limit <= 0.12 for limit in limits) >= 18
    assert score([parts[0]]).words == (
        f"nothing found: cannot exclude that ≤ {limits[0]:.1%} of receipts are made up"
    )


def test_what_is_found_says_how_much() -> None:
    part = conversions([Stratum(400, 1_000, 3_000, 5_000)])
    assert part.found
    assert part.words == (
        "delivered messages convert 0.67 times as often as the peers' (0.61 to 0.73),"
        " as if 33% of their receipts were made up"
    )
    assert part.share_max == pytest.approx(0.39, abs=0.005)
    assert part.llr == LLR_CAP


def test_a_route_that_converts_better_than_its_peers_is_spoken_for() -> None:
    part = conversions([Stratum(2_100, 3_000, 9_000, 15_000)])
    assert part.llr == -LLR_CAP
    assert part.share_max == 0.0


def test_without_peers_there_is_no_anchor() -> None:
    part = conversions([Stratum(10, 20, 0, 0)])
    assert (part.llr, part.found, part.share_max) == (0.0, False, None)
    assert "no independent anchor" in part.words
    assert "cannot exclude any share" in score([part]).words
    assert "cannot exclude any share" in score([]).words


# --- all together ---------------------------------------------------------------------


@pytest.mark.slow
def test_an_honest_route_is_not_suspected_by_all_detectors_together() -> None:
    scores = [Route(receipts=600).judged(seed) for seed in range(25)]
    assert sum(each.suspected for each in scores) <= 1
    assert all(each.llr < 0 for each in scores)


def test_a_route_that_fakes_most_is_seen_by_each_kind() -> None:
    found = Route(fake=0.9, receipts=600).judged(1)
    assert found.suspected
    assert {part.kind for part in found.parts if part.found} == set(Kind) - {Kind.CANARY}
    assert found.llr == pytest.approx(3 * LLR_CAP)
    assert found.words.startswith("receipts are probably not the handsets'")


def test_two_kinds_may_show_together_what_neither_shows_alone() -> None:
    weak = [
        Part(kind=kind, name=kind, llr=2.5, found=False, words="weak")
        for kind in (Kind.TIMING, Kind.CONTRADICTION)
    ]
    assert not score(weak[:1]).suspected
    both = score(weak)
    assert both.suspected
    assert both.llr > SUSPECT_MIN
    assert both.words.startswith("no detector alone shows it")


PARTS = st.lists(
    st.builds(
        Part,
        kind=st.sampled_from(Kind),
        name=st.just("part"),
        llr=st.floats(-LLR_CAP, LLR_CAP),
        found=st.booleans(),
        words=st.just("words"),
    ),
    max_size=8,
)


@given(PARTS, st.randoms(use_true_random=False))
def test_a_score_is_bounded_and_knows_no_order(parts: list[Part], random) -> None:
    """Each kind counts once, however many parts it has."""
    before = score(parts)
    assert abs(before.llr) <= len(Kind) * LLR_CAP
    shuffled = list(parts)
    random.shuffle(shuffled)
    after = score(shuffled)
    assert (after.llr, after.suspected) == (before.llr, before.suspected)
    assert before.suspected or not any(part.found for part in parts)


COUNTS = st.integers(0, 3_000)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_any_counts_give_a_finite_part(
    hit: int, miss: int, peer_hit: int, peer_miss: int
) -> None:
    ours, theirs = hit + miss, peer_hit + peer_miss
    for part in (
        canary(hit, ours),
        missing_tail(hit, ours, peer_hit, theirs),
        no_negatives(hit, ours, peer_hit, theirs),
        contradiction(hit, ours, peer_hit, theirs),
        conversions([Stratum(hit, ours, peer_hit, theirs)]),
        too_fast(Ages([hit, miss], [0, 1]), Ages([peer_hit, peer_miss], [0, 1])),
        too_uniform(Ages([hit, miss], [0, 1]), Ages([peer_hit, peer_miss], [0, 1])),
    ):
        assert math.isfinite(part.llr)
        assert abs(part.llr) <= (CANARY_CAP if part.kind is Kind.CANARY else LLR_CAP)
        assert part.words
