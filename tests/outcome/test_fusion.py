"""Fusion: one verdict from all evidence, in any order, and nothing claimed from a timeout."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.fusion import (
    LADDER,
    P_MAX,
    P_MIN,
    VERDICTS,
    Depth,
    FilteredBy,
    Kind,
    Situation,
    Verdict,
    Word,
    is_surely_filtered,
    judge,
)
from arrivals.outcome.trust import Chance


def chance(p: float | None) -> Chance:
    return Chance(p=p, low=0.0, high=1.0) if p is None else Chance(p=p, low=p, high=p)


def given_that(p: float | None = 0.5, **facts) -> Situation:
    return Situation(chance=chance(p), **{"handed_off": True, **facts})


POSITIVE, HANDSET = Word.POSITIVE, Depth.HANDSET
KNOWN = {"word": Word.FAILED, "codes_known": True, "reason": "unknown_subscriber"}
CASES = [
    # what is known, and what it makes
    (given_that(0.2, seen=(Kind.CONVERSION,)), Verdict.DELIVERED),
    (given_that(0.01, **KNOWN, seen=(Kind.REPLY,)), Verdict.DELIVERED),
    (given_that(0.99, word=POSITIVE, word_depth=HANDSET), Verdict.DELIVERED),
    (given_that(0.9, word=POSITIVE, word_depth=HANDSET), Verdict.LIKELY_DELIVERED),
    (given_that(0.99, word=POSITIVE), Verdict.LIKELY_DELIVERED),  # the carrier's word only
    (given_that(0.4, word=POSITIVE, word_depth=HANDSET), Verdict.UNKNOWN),  # a known liar
    (given_that(None, word=POSITIVE, word_depth=HANDSET), Verdict.UNKNOWN),
    (given_that(0.9), Verdict.LIKELY_DELIVERED),
    (given_that(0.02, **KNOWN), Verdict.FAILED),
    (given_that(0.2, **KNOWN), Verdict.UNKNOWN),  # a route that says no too often
    (given_that(0.02, word=Word.FAILED, reason="x"), Verdict.UNKNOWN),  # codes we don't know
    (given_that(0.02, word=Word.FAILED, codes_known=True), Verdict.UNKNOWN),
    (given_that(0.02, handed_off=False, refused=True), Verdict.FAILED),
    (given_that(0.02, word=Word.FILTERED, word_by="alpha"), Verdict.FILTERED),
    (given_that(None, word=Word.FILTERED), Verdict.FILTERED),
    (given_that(0.5, word=Word.FILTERED, seen=(Kind.HUMAN_CLICK,)), Verdict.LIKELY_DELIVERED),
    (given_that(0.1, filter_alarm="KE/alpha"), Verdict.LIKELY_FILTERED),
    (given_that(0.4, filter_alarm="KE/alpha"), Verdict.UNKNOWN),
    (given_that(None, filter_alarm="KE/alpha"), Verdict.UNKNOWN),
    (given_that(None, filter_alarm="KE/alpha", alike_lack=True), Verdict.LIKELY_FILTERED),
    (given_that(0.4, filter_alarm="KE/alpha", alike_lack=True), Verdict.UNKNOWN),
    (given_that(None, alike_lack=True), Verdict.UNKNOWN),
    (given_that(None, word=POSITIVE, filter_alarm="a", alike_lack=True), Verdict.UNKNOWN),
    (given_that(0.1), Verdict.UNKNOWN),
    (given_that(0.02, word=Word.EXPIRED), Verdict.EXPIRED),
    (given_that(0.9, word=Word.EXPIRED), Verdict.LIKELY_DELIVERED),
    (given_that(0.5, handed_off=False, expired_before_handoff=True), Verdict.EXPIRED),
    (given_that(0.5, handed_off=True, expired_before_handoff=True), Verdict.UNKNOWN),
    (given_that(0.5, after_horizon=True), Verdict.UNKNOWN),
]


@pytest.mark.parametrize(("situation", "verdict"), CASES)
def test_verdicts(situation: Situation, verdict: Verdict) -> None:
    """Each row of the table, and what falls just short of it."""
    assert judge(situation).verdict is verdict


def test_every_verdict_has_a_row() -> None:
    """Seven verdicts, in the order in which they are tried; the last takes what is left."""
    assert [verdict for verdict, _ in VERDICTS][-1] is Verdict.UNKNOWN
    assert {verdict for verdict, _ in VERDICTS} == set(Verdict)
    assert {verdict for _, verdict in CASES} == set(Verdict)


def test_every_kind_of_evidence_has_a_rung() -> None:
    """Strength, group, depth and a source; only those who saw it prove it."""
    assert set(LADDER) == set(Kind)
    assert {kind for kind, rung in LADDER.items() if rung.proof} == {
        Kind.CONVERSION,
        Kind.REPLY,
        Kind.PROBE,
    }
    assert all(rung.source and rung.ratio > 0 for rung in LADDER.values())


def test_odds_multiply() -> None:
    """Evidence of different groups multiplies the odds."""
    found = judge(given_that(0.5, seen=(Kind.ASKED_AGAIN, Kind.SCANNER_CLICK)))
    assert found.p == pytest.approx(0.45 * 1.5 / (1 + 0.45 * 1.5))
    assert set(found.counted) == {Kind.ASKED_AGAIN, Kind.SCANNER_CLICK}
    assert found.low == found.high == pytest.approx(found.p)


def test_one_group_is_one_voice() -> None:
    """Three clicks are one reader, and the strongest piece speaks."""
    once = judge(given_that(0.2, seen=(Kind.HUMAN_CLICK,)))
    assert judge(given_that(0.2, seen=(Kind.HUMAN_CLICK,) * 3)) == once
    # A click outweighs the customer's word that it didn't come.
    both = judge(given_that(0.2, seen=(Kind.HUMAN_CLICK, Kind.DENIED)))
    assert both.counted == (Kind.HUMAN_CLICK,)
    assert judge(given_that(0.9, seen=(Kind.DENIED,))).p == pytest.approx(9 / 29, abs=1e-6)


def test_nothing_short_of_proof_is_sure() -> None:
    """A probability ends at the clips; proof is 1 and whoever had it not handed off is 0."""
    assert judge(given_that(1.0, seen=(Kind.HUMAN_CLICK,))).p == P_MAX
    assert judge(given_that(0.0, seen=(Kind.KNOWN_DEAD, Kind.PROBE_MISSED))).p == P_MIN
    proved = judge(given_that(None, seen=(Kind.PROBE,)))
    assert (proved.p, proved.low, proved.high, proved.final) == (1.0, 1.0, 1.0, True)
    never = judge(given_that(0.9, handed_off=False, refused=True))
    assert (never.p, never.final, never.depth) == (0.0, True, Depth.NONE)


def test_without_an_anchor_there_are_only_bounds() -> None:
    """Evidence moves the bounds; there is no number to move."""
    found = judge(
        Situation(
            chance=Chance(p=None, low=0.3, high=0.9),
            handed_off=True,
            seen=(Kind.ASKED_AGAIN,),
        )
    )
    assert found.p is None
    assert found.low < 0.3
    assert found.high < 0.9
    assert any("probe" in each for each in found.resolves)


def test_how_far_somebody_vouches() -> None:
    """The furthest that anybody's word reaches."""
    depths = [
        (given_that(handed_off=False), Depth.NONE),
        (given_that(), Depth.SUBMITTED),
        (given_that(word=Word.FAILED), Depth.CARRIER),
        (given_that(word=POSITIVE), Depth.CARRIER),
        (given_that(word=POSITIVE, word_depth=Depth.SUBMITTED), Depth.SUBMITTED),
        (given_that(word=POSITIVE, word_depth=HANDSET), HANDSET),
        (given_that(seen=(Kind.SCANNER_CLICK,)), Depth.CARRIER),
        (given_that(word=POSITIVE, seen=(Kind.CONVERSION,)), Depth.USER),
    ]
    assert [judge(situation).depth for situation, _ in depths] == [d for _, d in depths]


def test_who_filtered_it() -> None:
    """By an explicit code, or as an inference from the cell's alarm."""
    explicit = judge(given_that(0.01, word=Word.FILTERED, word_by="alpha"))
    assert explicit.filtered_by == FilteredBy(who="alpha", how="explicit_code")
    nameless = judge(given_that(0.01, word=Word.FILTERED))
    assert nameless.filtered_by == FilteredBy(who="carrier", how="explicit_code")
    inferred = judge(given_that(0.1, filter_alarm="KE/alpha"))
    assert inferred.filtered_by == FilteredBy(who="KE/alpha", how="inferred")
    assert judge(given_that(0.5)).filtered_by is None


def test_what_would_settle_an_unknown() -> None:
    """A receipt while one may come; the codes where they are unknown; feedback always."""
    assert len(judge(given_that(0.5)).resolves) == 2
    assert len(judge(given_that(0.5, after_horizon=True)).resolves) == 1
    codes = judge(given_that(0.02, word=Word.FAILED, reason="x"))
    assert any("codes" in each for each in codes.resolves)
    assert judge(given_that(0.9)).resolves == ()


def test_final_at_the_horizon_and_revised_by_proof() -> None:
    """Nothing more is waited for, and a late conversion still counts."""
    late = given_that(0.5, after_horizon=True)
    assert judge(late).final
    assert not judge(given_that(0.5)).final
    proved = judge(msgspec.structs.replace(late, seen=(Kind.CONVERSION,)))
    assert (proved.verdict, proved.final) == (Verdict.DELIVERED, True)


SITUATIONS = st.builds(
    Situation,
    chance=st.floats(0, 1).map(chance) | st.just(chance(None)),
    handed_off=st.booleans(),
    word=st.sampled_from(Word),
    word_depth=st.sampled_from(Depth),
    reason=st.none() | st.just("x"),
    codes_known=st.booleans(),
    refused=st.booleans(),
    expired_before_handoff=st.booleans(),
    seen=st.lists(st.sampled_from(Kind), max_size=8).map(tuple),
    filter_alarm=st.none() | st.just("cell"),
    alike_lack=st.booleans(),
    after_horizon=st.booleans(),
)


@given(SITUATIONS, st.randoms(use_true_random=False))
def test_order_and_repetition_are_nothing(situation: Situation, dice: random.Random) -> None:
    """Evidence in another order, or told twice, makes the same judgement."""
    seen = [*situation.seen, *situation.seen]
    dice.shuffle(seen)
    assert judge(msgspec.structs.replace(situation, seen=tuple(seen))) == judge(situation)


@given(SITUATIONS)
def test_a_judgement_is_sound(situation: Situation) -> None:
    """Probabilities stay probabilities, and claims rest on what they must."""
    found = judge(situation)
    assert 0.0 <= found.low <= found.high <= 1.0
    assert found.p is None or 0.0 <= found.p <= 1.0
    proved = any(LADDER[kind].proof for kind in situation.seen)
    if found.verdict is Verdict.DELIVERED and not proved:
        assert situation.word is Word.POSITIVE
        assert situation.word_depth >= Depth.HANDSET
    if situation.word is Word.NOTHING and situation.handed_off and not proved:
        assert found.verdict in {
            Verdict.UNKNOWN,
            Verdict.LIKELY_DELIVERED,
            Verdict.LIKELY_FILTERED,
        }
    assert bool(found.resolves) == (found.verdict is Verdict.UNKNOWN)
    assert math.isfinite(found.low)


@pytest.mark.parametrize(
    ("p", "alarm", "handoffs", "sure"),
    [
        (0.049, "KE/alpha", 200.0, True),
        (0.06, "KE/alpha", 200.0, False),
        (0.049, "KE/alpha", 199.0, False),
        (0.049, None, 200.0, False),
        (None, "KE/alpha", 200.0, False),
    ],
)
def test_silence_ends_as_filtered_only_where_much_speaks_for_it(
    p: float | None, alarm: str | None, handoffs: float, sure: bool
) -> None:
    found = judge(given_that(p, filter_alarm=alarm, alike_lack=True))
    assert is_surely_filtered(found, handoffs) is sure
