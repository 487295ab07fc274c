"""One cause, one alarm: which cell is named when many ring."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from arrivals.outcome.alarms import Node, Path, causes, explained, fewest, summed
from arrivals.outcome.hierarchy import ANY

CARRIERS = ("blue", "green", "red")
PROVIDERS = ("alpha", "beta", "gamma")
SENDERS = ("Acme", "Bank")
EACH = 200  # messages a leaf
USUAL = 0.9


def world(left: Callable[[str, str, str], float], messages: int = EACH) -> list[Node]:
    """Return leaves (carrier, provider, sender) of which a share of the usual is left."""
    found = []
    for cell in product(CARRIERS, PROVIDERS, SENDERS):
        observed = round(messages * USUAL * left(*cell))
        found.append(
            Node(
                cell=cell,
                messages=messages,
                expected=messages * USUAL,
                observed=observed,
                alarmed=observed < messages * USUAL * 0.85,
            )
        )
    return found


def ringing(nodes: Iterable[Node]) -> list[Node]:
    """Let every cell ring that misses more than a tenth, as its own chart would."""
    return [
        Node(
            cell=each.cell,
            messages=each.messages,
            expected=each.expected,
            observed=each.observed,
            alarmed=each.lack > 0.1 * each.expected,
        )
        for each in nodes
    ]


def named(leaves: list[Node]) -> list[Path]:
    """Return the cells named among all that ring."""
    return [each.cell for each in causes(ringing(summed(leaves)))]


def test_a_quiet_world_has_no_cause() -> None:
    assert named(world(lambda *_: 1.0)) == []
    assert causes([]) == []
    assert fewest([[]]) == []


def test_what_lacks_nothing_leaves_it_to_what_rings_below() -> None:
    """Its alarm isn't over yet, though as many come as before: the whole never fell."""
    nodes = [
        Node(cell=(), messages=9_000, expected=4_378.0, observed=6_695, alarmed=True),
        Node(cell=("red",), messages=8_900, expected=4_300.0, observed=6_600),
        Node(cell=("blue",), messages=100, expected=78.0, observed=95, alarmed=True),
    ]
    assert [each.cell for each in causes(nodes)] == [("blue",)]


def test_what_all_share_is_said_once_and_at_the_top() -> None:
    assert named(world(lambda *_: 0.7)) == [()]


def test_a_dark_carrier_is_one_alarm_though_ten_cells_ring() -> None:
    leaves = world(lambda carrier, *_: 0.0 if carrier == "red" else 1.0)
    assert sum(each.alarmed for each in ringing(summed(leaves))) == 11
    assert named(leaves) == [("red",)]


def test_one_sender_on_one_route_is_named_by_itself() -> None:
    leaves = world(lambda *cell: 0.1 if cell == ("green", "beta", "Bank") else 1.0)
    assert named(leaves) == [("green", "beta", "Bank")]


def test_two_causes_are_two_alarms_worst_first() -> None:
    def left(carrier: str, provider: str, sender: str) -> float:
        if carrier == "red":
            return 0.0
        return 0.2 if (carrier, provider, sender) == ("blue", "alpha", "Acme") else 1.0

    assert named(world(left)) == [("red",), ("blue", "alpha", "Acme")]


def test_a_child_rings_beside_its_parent_if_the_parent_explains_less_than_half() -> None:
    """All lose a fifth and one loses all: both are said, and the parent without the child."""
    leaves = world(
        lambda *cell: 0.0 if cell == ("red", "alpha", "Bank") else 0.8, messages=1_000
    )
    found = causes(ringing(summed(leaves)))
    assert [each.cell for each in found] == [(), ("red", "alpha", "Bank")]
    assert found[0].messages == 17_000
    assert abs(found[0].lack / found[0].expected - 0.2) < 0.001


def test_a_child_that_is_a_little_worse_is_its_parents() -> None:
    leaves = world(lambda carrier, *_: 0.6 if carrier == "red" else 0.7)
    assert named(leaves) == [()]


def test_the_narrower_name_is_used_where_nothing_stands_beside() -> None:
    """A parent with one child claims no more than the child does."""
    only = Node(cell=("red", "alpha"), messages=500, expected=450, observed=100, alarmed=True)
    assert [each.cell for each in causes(ringing(summed([only])))] == [("red", "alpha")]


def test_a_failed_provider_is_one_cause_where_providers_come_first() -> None:
    leaves = world(lambda _carrier, provider, _sender: 0.0 if provider == "beta" else 1.0)
    by_carrier, by_provider = summed(leaves), summed(leaves, (1, 0, 2))
    assert len(causes(by_carrier)) == len(CARRIERS)
    best = fewest([causes(by_carrier), causes(by_provider)])
    assert [each.cell for each in best] == [("beta",)]


HERE = "NL alphanumeric"


def watched(left: Callable[[str, str, str], float], messages: int = 1_000) -> list[Node]:
    """Return the cells that have charts, carriers and below, ringing as they would."""
    leaves = [
        msgspec.structs.replace(each, cell=(HERE, *each.cell)) for each in world(left, messages)
    ]
    return [each for each in ringing(summed(leaves)) if len(each.cell) > 1]


def said_of(left: Callable[[str, str, str], float]) -> list[Path]:
    return [each.cell for each in explained(watched(left))]


def test_a_cause_is_said_in_the_order_of_names_that_says_it_once() -> None:
    assert explained(watched(lambda *_: 1.0)) == []
    assert said_of(lambda carrier, *_: 0.3 if carrier == "red" else 1.0) == [(HERE, "red")]
    assert said_of(lambda _c, provider, _s: 0.3 if provider == "beta" else 1.0) == [
        (HERE, ANY, "beta")
    ]
    assert said_of(lambda _c, _p, sender: 0.3 if sender == "Bank" else 1.0) == [
        (HERE, ANY, ANY, "Bank")
    ]
    assert said_of(lambda *_: 0.3) == [(HERE,)]
    alone = ("blue", "alpha", "Acme")
    assert said_of(lambda *cell: 0.1 if cell[0] == "red" or cell == alone else 1.0) == [
        (HERE, "red"),
        (HERE, *alone),
    ]


def test_one_sender_on_many_carriers_is_no_cause_for_each_of_them() -> None:
    """Of each carrier it is all there is, so nothing beside it there tells what fell."""
    leaves = [
        Node(cell=(HERE, carrier, "alpha", "Acme"), messages=300, expected=270, observed=190)
        for carrier in "abcdefghij"
    ]
    nodes = [each for each in ringing(summed(leaves)) if len(each.cell) > 1]
    assert sum(each.alarmed for each in nodes) == 30
    (found,) = explained(nodes)
    assert (found.messages, found.observed) == (3_000, 1_900)


def test_no_explanation_leaves_out_an_alarm() -> None:
    """A carrier rings whose leaves are not told of: other orders can't speak of it."""
    lone = Node(cell=(HERE, "red"), messages=500, expected=450, observed=100, alarmed=True)
    assert [each.cell for each in explained([lone])] == [(HERE, "red")]
    others = watched(lambda _c, provider, _s: 0.3 if provider == "beta" else 1.0)
    away = Node(cell=("DE short", "x"), messages=500, expected=450, observed=9, alarmed=True)
    found = [each.cell for each in explained([*others, away])]
    assert ("DE short", "x") in found


def test_of_equals_the_narrower_claim_is_taken() -> None:
    wide = Node(cell=(), messages=1_000, expected=900, observed=500)
    narrow = Node(cell=("red",), messages=500, expected=450, observed=60)
    assert fewest([[wide], [narrow]]) == [narrow]


def test_an_alarm_is_never_lost() -> None:
    """A parent explains its children without ringing itself; one of them still rings."""
    nodes = [
        Node(cell=(), messages=400, expected=360, observed=345),
        Node(cell=("a",), messages=200, expected=180, observed=170, alarmed=True),
        Node(cell=("b",), messages=200, expected=180, observed=175),
    ]
    assert [each.cell for each in causes(nodes)] == [("a",)]


def test_cells_may_come_without_their_parents_or_have_caught_up() -> None:
    """A cell alone speaks for itself, also when nothing is missing from it any more."""
    alone = Node(cell=("a", "b"), messages=200, expected=180, observed=100, alarmed=True)
    better = Node(cell=("c",), messages=200, expected=180, observed=185, alarmed=True)
    assert causes([better, alone]) == [alone, better]


def test_a_cell_that_was_expected_nothing_of_lacks_nothing() -> None:
    nodes = [
        Node(cell=(), messages=100, expected=90, observed=20, alarmed=True),
        Node(cell=("a",), messages=100, expected=90, observed=20),
        Node(cell=("b",), messages=0, expected=0, observed=0),
    ]
    assert [each.cell for each in causes(nodes)] == [("a",)]


@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.7, 0.9, 1.0]), min_size=18, max_size=18),
    st.randoms(use_true_random=False),
)
def test_causes_cover_what_rings_and_know_no_order(shares: list[float], random) -> None:
    """Each alarm has a cause above, at or below it; no two causes count a message twice."""
    shares_left = iter(shares)
    nodes = ringing(summed(world(lambda *_: next(shares_left))))
    found = causes(nodes)
    for each in nodes:
        if each.alarmed:
            assert any(
                each.cell[: len(cause.cell)] == cause.cell
                or cause.cell[: len(each.cell)] == each.cell
                for cause in found
            )
    whole = next((each for each in nodes if each.cell == ()), None)
    assert whole is not None
    assert sum(each.messages for each in found) <= whole.messages
    random.shuffle(nodes)
    assert causes(nodes) == found
