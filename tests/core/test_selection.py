"""Which provider goes first by outcome, and that a record says the same again."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.catalogue import Strategy
from arrivals.core.selection import (
    NOTHING_KNOWN,
    Candidate,
    Estimate,
    Obstacle,
    Question,
    Record,
    Rule,
    Selection,
    WhyNot,
    mixed,
    record_of,
    replay,
    select,
)


def known(delivered: float, low: float | None = None, **changes: Any) -> Estimate:
    return Estimate(
        **{
            "delivered": delivered,
            "low": delivered - 0.03 if low is None else low,
            "high": min(delivered + 0.03, 1.0),
            "anchors": 200.0,
            "handoffs": 500.0,
            "p90_s": 10.0,
            **changes,
        }
    )


HONEST, DEARER, LIAR = known(0.97), known(0.98), known(0.35)


def asked(*candidates: Candidate, **changes: Any) -> Question:
    return Question(
        **{"strategy": Strategy.OUTCOME, "floor": 0.85, "candidates": candidates, **changes}
    )


def one(name: str, cost: int, estimate: Estimate = NOTHING_KNOWN, **more: Any) -> Candidate:
    return Candidate(provider=name, cost=cost, estimate=estimate, **more)


def why_not(chosen: Selection) -> dict[str, str | None]:
    return {each.provider_id: each.why_not for each in chosen.considered}


def test_the_cheapest_of_those_that_deliver_enough_goes_first() -> None:
    chosen = select(
        asked(one("budget", 18, LIAR), one("south", 40, DEARER), one("north", 36, HONEST))
    )
    assert chosen.providers == ("north", "south", "budget")
    assert chosen.rule is Rule.CHEAPEST
    assert why_not(chosen) == {
        "budget": WhyNot.BELOW_FLOOR, "south": WhyNot.MORE_EXPENSIVE, "north": None,
    }  # fmt: skip


def test_it_is_the_cost_of_what_arrives() -> None:
    """40 for 98 in 100 is cheaper than 36 for 86 in 100, where both are good enough."""
    chosen = select(asked(one("south", 40, DEARER), one("north", 36, known(0.86, 0.855))))
    assert chosen.providers == ("south", "north")


def test_of_equal_costs_who_delivers_more_is_first() -> None:
    chosen = select(asked(one("north", 0, HONEST), one("south", 0, DEARER)))
    assert chosen.providers == ("south", "north")


def test_the_last_choice_stays_until_another_is_a_tenth_cheaper() -> None:
    def after(cost: int) -> Selection:
        candidates = (one("north", 100, HONEST), one("south", cost, HONEST))
        return select(asked(*candidates, incumbent="north"))

    assert (after(91).providers[0], after(91).rule) == ("north", Rule.STAYED)
    assert why_not(after(91))["south"] == WhyNot.NOT_MUCH_CHEAPER
    assert (after(89).providers[0], after(89).rule) == ("south", Rule.CHEAPEST)
    assert after(101).rule is Rule.CHEAPEST  # nothing held it back


@pytest.mark.parametrize(("low", "first"), [(0.84, "north"), (0.82, "south")])
def test_the_last_choice_may_fall_a_little_below_the_floor(low: float, first: str) -> None:
    candidates = (one("north", 30, known(0.9, low)), one("south", 40, HONEST))
    assert select(asked(*candidates, incumbent="north")).providers[0] == first
    assert select(asked(*candidates)).providers[0] == "south"


def test_who_is_too_slow_is_passed_over() -> None:
    slow = known(0.98, p90_s=61.0)
    chosen = select(asked(one("n", 1, slow), one("s", 2, HONEST), deadline_s=60.0))
    assert chosen.providers == ("s", "n")
    assert why_not(chosen)["n"] == WhyNot.TOO_SLOW


def test_with_too_few_confirmed_the_routes_own_order_holds() -> None:
    chosen = select(asked(one("n", 9), one("s", 1)))
    assert (chosen.providers, chosen.rule) == (("n", "s"), Rule.UNKNOWN)
    assert why_not(chosen) == {"n": None, "s": WhyNot.TOO_FEW_ANCHORS}


def test_the_unknown_is_better_than_who_surely_delivers_too_little() -> None:
    chosen = select(asked(one("budget", 1, LIAR), one("n", 9), one("s", 8)))
    assert (chosen.providers, chosen.rule) == (("n", "s", "budget"), Rule.UNKNOWN)
    assert not chosen.floor_unmet


def test_where_nobody_is_sure_to_deliver_enough_the_best_bound_goes_first() -> None:
    chosen = select(asked(one("budget", 1, LIAR), one("n", 9, known(0.85)), one("s", 8)))
    assert (chosen.providers, chosen.rule) == (("n", "s", "budget"), Rule.BEST_BOUND)
    assert chosen.floor_unmet
    only = select(asked(one("budget", 1, LIAR)))
    assert (only.providers, only.floor_unmet) == (("budget",), True)


def test_who_cannot_be_used_now_comes_last() -> None:
    away = one("n", 1, HONEST, obstacle=Obstacle.AWAY)
    chosen = select(asked(away, one("s", 2, HONEST)))
    assert chosen.providers == ("s", "n")
    assert why_not(chosen) == {"n": "away", "s": None}
    full = one("s", 2, HONEST, obstacle=Obstacle.NO_HEADROOM)
    nobody = select(asked(away, full))
    assert (nobody.providers, nobody.rule) == (("n", "s"), Rule.WAITING)
    assert why_not(nobody) == {"n": "away", "s": "no_headroom"}


def test_a_share_of_the_orders_goes_to_whoever_is_known_least() -> None:
    candidates = (
        one("north", 36, HONEST),
        one("budget", 18, LIAR),
        one("new", 20, Estimate(handoffs=9.0)),
        one("newer", 30),
        one("dear", 90),
    )
    chosen = select(asked(*candidates, explore=0.02, u=0.019))
    assert chosen.providers == ("newer", "north", "new", "dear", "budget")
    assert (chosen.rule, chosen.explored) == (Rule.EXPLORED, True)
    assert why_not(chosen) == {
        "newer": None, "north": WhyNot.EXPLORING, "budget": WhyNot.BELOW_FLOOR,
        "new": WhyNot.TOO_FEW_ANCHORS, "dear": WhyNot.TOO_FEW_ANCHORS,
    }  # fmt: skip
    assert select(asked(*candidates, explore=0.02, u=0.02)).providers[0] == "north"


def test_nobody_is_tried_who_has_nothing_to_win() -> None:
    """A liar is known, and a dearer one can't become the cheaper."""
    candidates = (one("north", 36, HONEST), one("budget", 18, LIAR), one("dear", 90))
    chosen = select(asked(*candidates, explore=0.2, u=0.0))
    assert (chosen.providers[0], chosen.explored) == ("north", False)


def test_where_nobody_is_good_enough_everybody_may_be_tried() -> None:
    candidates = (one("n", 36, known(0.84)), one("dear", 90))
    assert select(asked(*candidates, explore=0.2, u=0.0)).providers == ("dear", "n")


def test_a_draw_decides_between_those_that_are_alike() -> None:
    def drawn(north: float, new: float) -> Selection:
        return select(
            asked(
                one("north", 36, HONEST, u=north),
                one("new", 18, u=new),
                strategy=Strategy.THOMPSON,
            )
        )

    assert drawn(0.5, 0.5).providers == ("north", "new")
    assert why_not(drawn(0.5, 0.5))["new"] == WhyNot.BELOW_FLOOR
    assert drawn(0.5, 0.9).providers == ("new", "north")
    assert drawn(0.5, 0.9).rule is Rule.DRAWN
    both = drawn(0.0, 0.2)
    assert (both.rule, both.floor_unmet, both.providers[0]) == (Rule.BEST_BOUND, True, "north")
    with pytest.raises(ValueError, match="a draw is needed"):
        select(asked(one("n", 1, HONEST), strategy=Strategy.THOMPSON))


def test_a_draw_follows_what_is_known() -> None:
    """Nine in ten draws are above the lower bound, and nine in ten below the upper."""

    def share(u: float) -> bool:
        return select(
            asked(one("n", 1, known(0.9), u=u), strategy=Strategy.THOMPSON, floor=0.87)
        ).floor_unmet

    assert sum(share((n + 0.5) / 1_000) for n in range(1_000)) == 100


def test_several_countries_together() -> None:
    both = mixed([(3.0, HONEST), (1.0, known(0.5, 0.4, anchors=40.0, p90_s=90.0))])
    assert both.delivered == pytest.approx(0.8525)
    assert both.low == pytest.approx(0.75 * 0.94 + 0.25 * 0.4)
    assert (both.anchors, both.handoffs, both.p90_s) == (40.0, 500.0, 90.0)
    assert mixed([(1.0, HONEST), (9.0, NOTHING_KNOWN)]).delivered is None
    assert mixed([(1.0, HONEST)]) is HONEST
    assert mixed([]) is NOTHING_KNOWN


def test_other_rules_are_not_asked_again() -> None:
    question = asked(one("n", 1))
    kept = msgspec.structs.replace(record_of(question, select(question)), version=0)
    with pytest.raises(ValueError, match="version 0 are no more"):
        replay(kept)


SHARES = st.floats(0, 1)


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    low, delivered, high = sorted(draw(st.tuples(SHARES, SHARES, SHARES)))
    return Estimate(
        delivered=draw(st.sampled_from([delivered, None])),
        low=low,
        high=high,
        anchors=draw(st.floats(0, 1e6)),
        handoffs=draw(st.floats(0, 1e6)),
        p90_s=draw(st.none() | st.floats(0, 1e5)),
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    names = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True))
    return Question(
        strategy=draw(st.sampled_from([Strategy.OUTCOME, Strategy.THOMPSON])),
        floor=draw(st.floats(0.01, 0.99)),
        candidates=tuple(
            Candidate(
                provider=name,
                cost=draw(st.integers(0, 10**6)),
                obstacle=draw(st.sampled_from([None, None, None, *Obstacle])),
                estimate=draw(estimates()),
                u=draw(st.floats(0, 1, exclude_max=True)),
            )
            for name in names
        ),
        deadline_s=draw(st.none() | st.floats(1, 1e5)),
        incumbent=draw(st.none() | st.sampled_from("abcdef")),
        explore=draw(st.sampled_from([0.0, 0.02, 0.2])),
        u=draw(st.floats(0, 1, exclude_max=True)),
    )


@given(questions())
def test_a_record_says_the_same_again(question: Question) -> None:
    """Through JSON, as the order keeps it."""
    kept = msgspec.json.encode(record_of(question, select(question)))
    read = msgspec.json.decode(kept, type=Record)
    assert replay(read) == read.selection == select(question)


@given(questions())
def test_every_choice_is_an_order_of_all_with_one_first(question: Question) -> None:
    chosen = select(question)
    by_name = {each.provider: each for each in question.candidates}
    assert sorted(chosen.providers) == sorted(by_name)
    first = by_name[chosen.providers[0]]
    usable = [each for each in question.candidates if each.obstacle is None]
    assert (first.obstacle is None) == bool(usable)
    if usable:
        assert why_not(chosen)[first.provider] is None or chosen.rule is Rule.UNKNOWN
    if chosen.rule in {Rule.CHEAPEST, Rule.STAYED} and first.provider != question.incumbent:
        assert first.estimate.low >= question.floor
    if chosen.rule is Rule.EXPLORED:
        assert question.u < question.explore
