"""Chance is a function: the same question has the same answer, and answers are spread right."""

from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from arrivals.world.draws import Draws, lognormal, u, weibull

IDENTITIES = [b"message %d" % number for number in range(20_000)]


@given(st.integers(), st.binary(), st.binary(max_size=16))
def test_a_draw_is_between_zero_and_one_and_repeats(
    seed: int, identity: bytes, purpose: bytes
) -> None:
    draw = u(seed, identity, purpose)
    assert 0 < draw < 1
    assert draw == u(seed, identity, purpose)


def test_seed_identity_and_purpose_each_change_a_draw() -> None:
    assert len({u(1, b"a", b"p"), u(2, b"a", b"p"), u(1, b"b", b"p"), u(1, b"a", b"q")}) == 4


def test_draws_are_pinned_so_that_a_seed_means_the_same_in_every_version() -> None:
    assert u(1, b"message", b"radio") == 0.5849542455960559


def test_draws_are_uniform() -> None:
    draws = [u(7, identity, b"p") for identity in IDENTITIES]
    tenths = [sum(at / 10 <= draw < (at + 1) / 10 for draw in draws) for at in range(10)]
    assert all(abs(count - 2_000) < 200 for count in tenths)


def test_distributions_have_their_quantiles() -> None:
    draws = [u(7, identity, b"p") for identity in IDENTITIES]
    logs = [lognormal(draw, 2.5, 0.7) for draw in draws]
    assert abs(statistics.median(logs) - 2.5) < 0.05
    tails = sorted(weibull(draw, 240, 0.6) for draw in draws)
    # The scale of a Weibull is its quantile at 1 - 1/e, whatever its shape.
    assert abs(tails[int(20_000 * 0.632)] - 240) < 12


def test_certain_and_impossible_things_are_so() -> None:
    for identity in IDENTITIES[:100]:
        chance = Draws(1, identity)
        assert chance.happens(1.0, b"p")
        assert not chance.happens(0.0, b"p")
        assert chance.lognormal(3.0, 0.0, b"p") == 3.0
        assert chance.weibull(0.0, 0.7, b"p") == 0.0
        assert chance.pick({"only": 0.2}, b"p") == "only"


def test_picks_follow_their_weights() -> None:
    picks = [Draws(3, identity).pick({"a": 6, "b": 3, "c": 1}, b"p") for identity in IDENTITIES]
    for key, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert abs(picks.count(key) / len(picks) - share) < 0.015
