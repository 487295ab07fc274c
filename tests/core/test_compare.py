"""Two journeys side by side: nothing of their difference is lost, and nothing is made up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.compare import (
    FACTORS_MAX,
    STRETCHES,
    SWAPPED,
    Covariates,
    Expected,
    Latency,
    Measure,
    Side,
    Span,
    Stretch,
    compare,
    covariates,
    factors,
    latency,
    shapley,
    spans,
    subsets,
    swap,
)
from arrivals.core.message import OPEN, TRANSITIONS, Move, Reach, State, is_terminal
from arrivals.core.timeline import TimelineEvent, ended_by
from tests.core.timelines import (
    ACCEPTED,
    CLAIMED,
    DELIVERED_TIMELINE,
    RECEIPT,
    SECOND,
    START,
    TAKEN,
    UNANSWERED,
    Step,
    delivered,
    message,
    timeline,
    trace,
)

HOUR = 3_600 * SECOND


def side(*steps: Step, probability: float | None = None, **changes: Any) -> Side:
    """Return one of two messages, as it stands after these events."""
    events = timeline(*(steps or DELIVERED_TIMELINE))
    carrier = changes.pop("carrier", "NL 31612")
    state = State(events[-1].to_state)
    of = delivered() if is_terminal(state) else message(reach=Reach.HANDED_OFF)
    fields = {name: changes.pop(name) for name in list(changes) if hasattr(of, name)}
    of = msgspec.structs.replace(of, **{"state": state, **fields})
    return Side(
        trace=trace(of, **changes),
        events=events,
        template="Hello",
        probability=probability,
        carrier=carrier,
    )


# --- time -----------------------------------------------------------------------------


def steps_after(state: State) -> list[tuple[Move, State]]:
    return [(move, to) for (since, move), to in TRANSITIONS.items() if since is state]


@st.composite
def journeys(draw: st.DrawFn) -> list[TimelineEvent]:
    """Draw a walk over the table of moves, with facts between that move nothing."""
    first = draw(st.sampled_from([State.ACCEPTED, State.SCHEDULED]))
    found = [TimelineEvent(1, START, "accepted", None, first, "api", {})]
    for _ in range(draw(st.integers(0, 12))):
        last = found[-1]
        state = State(last.to_state)
        moves: list[tuple[str, State]] = [("due", state), *steps_after(state)]
        kind, to = draw(st.sampled_from(moves))
        at_us = last.at_us + draw(st.integers(1, HOUR))
        found.append(TimelineEvent(last.seq + 1, at_us, kind, state, to, "worker", {}))
    return found


@given(journeys(), journeys(), st.integers(0, HOUR))
def test_the_parts_of_a_difference_add_up_to_it(
    a: list[TimelineEvent], b: list[TimelineEvent], later: int
) -> None:
    """To the microsecond, whatever the two journeys were; and each span has its place."""
    now_us = max(a[-1].at_us, b[-1].at_us) + later
    one, other = spans(a, now_us), spans(b, now_us)
    found = latency(one, other)
    for events, its, took in ((a, one, found.a_us), (b, other, found.b_us)):
        end = ended_by(events)
        assert took == (end.at_us if end else now_us) - events[0].at_us
        assert [each.runs for each in its] == [
            end is None and place == len(its) for place in range(1, len(its) + 1)
        ]
    assert sum(row.difference_us for row in found.rows) == found.difference_us
    assert [row.a for row in found.rows if row.a] == one
    assert [row.b for row in found.rows if row.b] == other
    for row in found.rows:
        assert {each.stretch for each in (row.a, row.b) if each} == {row.stretch}
        assert {each.whose for each in (row.a, row.b) if each} == {row.whose}


def test_every_state_is_some_stretch() -> None:
    assert STRETCHES.keys() == set(State)
    assert {STRETCHES[each] for each in OPEN} == set(Stretch) - {Stretch.ENDED}


def test_a_stretch_runs_over_what_moves_nothing() -> None:
    """An intermediate receipt doesn't end the wait, and only what ends it is cited."""
    progress: Step = ("receipt_progress", "submitted", {}, "carrier:north")
    found = spans(timeline(ACCEPTED, CLAIMED, TAKEN, progress, RECEIPT), START)
    assert [(each.stretch.value, each.us, each.event) for each in found] == [
        ("queued", SECOND, 2),
        ("handing over", SECOND, 3),
        ("with the carrier", 2 * SECOND, 5),
    ]


def test_an_open_journey_runs_until_now() -> None:
    """What hasn't ended is measured to this moment, and cites the newest event."""
    [queued, _, waits] = spans(timeline(ACCEPTED, CLAIMED, TAKEN), START + 9 * SECOND)
    assert (queued.runs, waits.runs) == (False, True)
    assert (waits.us, waits.event, waits.whose) == (7 * SECOND, 3, "carrier")
    # A clock that was put back takes nothing away.
    assert spans(timeline(ACCEPTED, CLAIMED, TAKEN), START)[-1].us == 0
    assert spans([], START) == []


def test_a_revised_message_took_until_its_revision() -> None:
    ended: Step = ("deadline_passed", "unknown", {}, "clock")
    found = spans(timeline(ACCEPTED, CLAIMED, TAKEN, ended, RECEIPT), START)
    assert [each.stretch for each in found][-2:] == [Stretch.WITH_CARRIER, Stretch.ENDED]
    assert found[-1].whose is None


def test_the_same_stretch_stands_beside_itself() -> None:
    """Of two tries only the first has a partner; a wait a provider wanted is no other wait."""
    throttled: Step = ("throttled", "waiting", {"provider": "north"}, "provider:north")
    unsent: Step = ("not_sent", "waiting", {"provider": "north"}, "worker")
    a = spans(timeline(ACCEPTED, CLAIMED, throttled, CLAIMED, TAKEN, RECEIPT), START)
    b = spans(timeline(ACCEPTED, CLAIMED, unsent, CLAIMED, TAKEN, RECEIPT), START)
    rows = latency(a, b).rows
    assert [(row.stretch.value, row.whose, bool(row.a), bool(row.b)) for row in rows] == [
        ("queued", "us", True, True),
        ("handing over", "provider", True, True),
        ("waiting to be tried again", "provider", True, False),
        ("waiting to be tried again", "us", False, True),
        ("handing over", "provider", True, True),
        ("with the carrier", "carrier", True, True),
    ]
    once = spans(timeline(*DELIVERED_TIMELINE), START)
    alone = [row.stretch for row in latency(a, once).rows if row.b is None]
    assert sorted(alone) == [Stretch.HANDING_OVER, Stretch.RETRYING]


# --- factors --------------------------------------------------------------------------


def test_what_differs_is_named_with_both_values() -> None:
    a = side()
    b = side(
        ACCEPTED, CLAIMED, (*TAKEN[:3], "provider:south"), msisdn="34612345678", country="ES",
        send_at_us=START, attempts=2,
    )  # fmt: skip
    found = {each.name: each for each in factors(a, b)}
    assert {name for name, each in found.items() if not each.same} == {
        "recipient", "country", "send_at", "attempts",
    }  # fmt: skip
    assert (found["country"].a, found["country"].b, found["country"].asked) == (
        "NL",
        "ES",
        True,
    )
    assert (found["attempts"].a, found["attempts"].asked) == ("1", False)
    assert found["send_at"].a is None
    assert all(each.same for each in factors(a, a))


def test_a_message_without_a_hand_off_has_the_provider_it_waits_for() -> None:
    found = {each.name: each for each in factors(side(ACCEPTED), side(ACCEPTED))}
    assert found["provider"].a == "north"
    unnamed = (*TAKEN[:2], {}, "worker")
    assert covariates(side(ACCEPTED, CLAIMED, unnamed), START).provider == "north"


# --- outcome --------------------------------------------------------------------------

NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=FACTORS_MAX)


@given(NAMES, st.data())
def test_shares_add_up_to_the_whole(names: list[str], data: st.DataObject) -> None:
    """Whatever each choice is worth; and a factor that changes nothing has no share."""
    chances = st.floats(0, 1)
    worth = {chosen: data.draw(chances) for chosen in subsets(names)}
    shares = shapley(names, worth)
    whole = worth[frozenset(names)] - worth[frozenset()]
    assert sum(shares.values()) == pytest.approx(whole, abs=1e-9)
    idle = {chosen: worth[chosen - {"a"}] for chosen in worth}
    assert shapley(names, idle).get("a", 0.0) == 0.0


@given(NAMES.filter(len), st.data())
def test_a_share_is_the_mean_over_all_orders(names: list[str], data: st.DataObject) -> None:
    """What the definition says, counted out order by order."""
    names = names[:4]
    worth = {chosen: data.draw(st.floats(0, 1)) for chosen in subsets(names)}
    orders = list(permutations(names))
    for name in names:
        changes = []
        for order in orders:
            before = frozenset(order[: order.index(name)])
            changes.append(worth[before | {name}] - worth[before])
        mean = sum(changes) / len(orders)
        assert shapley(names, worth)[name] == pytest.approx(mean, abs=1e-9)


def test_too_many_factors_are_refused() -> None:
    assert len(SWAPPED) <= FACTORS_MAX
    with pytest.raises(ValueError, match="7 factors"):
        subsets("abcdefg")


def model(told: Covariates) -> Expected:
    """Expect less of south, less of Spain, and least of both."""
    south, spain = told.provider == "south", told.country == "ES"
    chance = 0.9 - 0.3 * south - 0.1 * spain - 0.2 * (south and spain)
    return Expected(delivered=chance, reported=chance / 2, heard_by=told.waited_s / 100)


SPAIN: dict[str, Any] = {"country": "ES", "msisdn": "34612345678", "carrier": "ES 34612"}
BY_SOUTH: tuple[Step, ...] = (
    ACCEPTED,
    CLAIMED,
    ("taken", "submitted", {"provider": "south"}, "provider:south"),
    ("receipt_failed", "failed", {"stat": "UNDELIV"}, "carrier:south"),
)


def test_a_difference_is_shared_out_and_the_rest_is_nobodys() -> None:
    a, b = side(probability=0.95), side(*BY_SOUTH, probability=0.05, **SPAIN)
    found = compare(a, b, model, START + HOUR)
    assert found.has_model
    odds = found.odds
    assert odds is not None
    assert odds.measure is Measure.DELIVERED
    assert odds.expected_a == 0.9
    assert odds.expected_b == pytest.approx(0.3)
    # What the two do together is shared between them.
    assert odds.shares == {
        "provider": pytest.approx(-0.4), "destination": pytest.approx(-0.2),
    }  # fmt: skip
    assert odds.difference == pytest.approx(-0.9)
    assert odds.unexplained == pytest.approx(-0.3)
    assert (odds.heard_by_a, odds.heard_by_b) == (0.01, 0.01)


@given(
    st.sampled_from(["north", "south"]),
    st.sampled_from(["north", "south"]),
    st.booleans(),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_shares_and_the_rest_add_up_to_what_came_of_them(
    one: str, other: str, abroad: bool, p: float, q: float
) -> None:
    def handed_to(name: str) -> Sequence[Step]:
        return ACCEPTED, CLAIMED, (*TAKEN[:2], {"provider": name}, f"provider:{name}"), RECEIPT

    a = side(*handed_to(one), probability=p)
    b = side(*handed_to(other), probability=q, **(SPAIN if abroad else {}))
    odds = compare(a, b, model, START).odds
    assert odds is not None
    assert sum(odds.shares.values()) + odds.unexplained == pytest.approx(q - p, abs=1e-9)
    assert odds.shares.keys() == {
        name
        for name, differs in (("provider", one != other), ("destination", abroad))
        if differs
    }


@pytest.mark.parametrize("probabilities", [(None, 0.5), (0.5, None), (None, None)])
def test_what_nobody_confirmed_is_compared_by_reports(
    probabilities: tuple[float | None, float | None],
) -> None:
    a = side(probability=probabilities[0])
    b = side(*BY_SOUTH, probability=probabilities[1])
    odds = compare(a, b, model, START).odds
    assert odds is not None
    assert odds.measure is Measure.REPORTED
    assert (odds.expected_a, odds.found_a, odds.found_b) == (0.45, 1.0, 0.0)


def test_a_model_that_knows_reports_only_is_asked_for_those() -> None:
    def reports(told: Covariates) -> Expected:
        return msgspec.structs.replace(model(told), delivered=None)

    odds = compare(side(probability=1.0), side(probability=1.0), reports, START).odds
    assert odds is not None
    assert (odds.measure, odds.expected_a) == (Measure.REPORTED, 0.45)


def test_an_open_message_has_no_outcome_to_explain() -> None:
    """What was to be expected is compared all the same."""
    a, b = side(), side(ACCEPTED, CLAIMED, TAKEN, **SPAIN)
    odds = compare(a, b, model, START + 52 * SECOND).odds
    assert odds is not None
    assert odds.found_b is None
    assert odds.difference == odds.expected_difference == pytest.approx(-0.05)
    assert odds.unexplained == 0.0
    assert odds.heard_by_b == pytest.approx(0.5)


@pytest.mark.parametrize("which", ["a", "b"])
def test_without_a_hand_off_there_are_no_odds(which: str) -> None:
    sides = {"a": side(), "b": side(), which: side(ACCEPTED, reach=Reach.NONE)}
    assert compare(sides["a"], sides["b"], model, START).odds is None


def test_without_a_model_there_are_none_either() -> None:
    found = compare(side(), side(UNANSWERED), None, START)
    assert (found.odds, found.has_model) == (None, False)


def test_a_swap_takes_what_goes_together() -> None:
    a = Covariates(provider="north", country="NL", carrier="31", sender="A", waited_s=1.0)
    b = Covariates(provider="south", country="ES", carrier="34", sender="B", waited_s=2.0)
    assert swap(a, b, frozenset()) == a
    assert swap(a, b, frozenset({"destination"})) == msgspec.structs.replace(
        a, country="ES", carrier="34"
    )
    assert swap(a, b, frozenset(SWAPPED)) == msgspec.structs.replace(b, waited_s=1.0)


def test_nothing_differs_from_itself() -> None:
    found = compare(a := side(probability=0.7), a, model, START)
    assert found.latency == Latency(a_us=3 * SECOND, b_us=3 * SECOND, rows=found.latency.rows)
    assert all(row.difference_us == 0 for row in found.latency.rows)
    odds = found.odds
    assert odds is not None
    assert (odds.shares, odds.difference, odds.unexplained) == ({}, 0.0, 0.0)
    assert isinstance(found.latency.rows[0].a, Span)
