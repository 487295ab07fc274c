"""The tree: five cells a message, bounded, merged, and never without an answer."""

from __future__ import annotations

import pytest

from arrivals.outcome.cells import Pace
from arrivals.outcome.curves import TYPICAL
from arrivals.outcome.hierarchy import (
    AGED_US,
    LEVELS,
    REFRESH_US,
    Tree,
    kind_of_sender,
    path_of,
)

NOW_US = 1_764_590_000_000_000
SECOND_US = 1_000_000


def path(number: int = 0, provider: str = "north"):
    return path_of(
        country="KE",
        sender="ACME",
        carrier="alpha",
        msisdn="254700000001",
        provider=provider,
        content=f"t{number}",
    )


def test_a_path_names_five_cells() -> None:
    """Each cell is within the one before."""
    assert path() == ("KE alphanumeric", "alpha", "north", "t0")
    tree = Tree()
    tree.sent(path(), NOW_US, NOW_US)
    assert [key for key, _ in tree.cells()] == [path()[:level] for level in range(len(LEVELS))]
    assert all(sum(cell.waiting) == 1 for _, cell in tree.cells())


def test_an_unknown_carrier_is_a_prefix() -> None:
    """A number's head stands for its carrier, and never the whole number."""
    found = path_of(
        country="KE", sender="1", carrier=None, msisdn="254712345678", provider="n", content="t"
    )
    assert found[1] == "KE 254712"
    nowhere = path_of(
        country="?", sender="1", carrier=None, msisdn="000", provider="n", content="t"
    )
    assert nowhere[1] == "? 000"


SENDERS = {
    "ACME": "alphanumeric",
    "12345": "short",
    "+254700000001": "long",
    "": "alphanumeric",
    "\u0663\u0664\u0665": "alphanumeric",  # digits, but no network's
}


@pytest.mark.parametrize(("sender", "kind"), SENDERS.items())
def test_kinds_of_senders(sender: str, kind: str) -> None:
    """Carriers tell senders apart by kind."""
    assert kind_of_sender(sender) == kind


def test_an_empty_tree_has_a_curve() -> None:
    """Where nothing is known, the assumption stands."""
    tree = Tree()
    assert tree.curve(path(), NOW_US) is TYPICAL
    assert tree.level(path()) == -1
    assert tree.cell(()) is None


def deliver(
    tree: Tree, where, count: int, *, positive: bool = True, at_us: int = NOW_US
) -> None:
    for number in range(count):
        sent_us = at_us + number * SECOND_US
        tree.sent(where, sent_us, sent_us)
        tree.answered(where, sent_us, sent_us + 3 * SECOND_US, positive=positive)


def test_a_new_sender_begins_as_its_provider_does() -> None:
    """A leaf that doesn't exist yet has the curve of the one above it."""
    tree = Tree()
    deliver(tree, path(0), 500, positive=False)
    end = NOW_US + 600 * SECOND_US
    assert tree.level(path(1)) == 3
    new = tree.curve(path(1), end)
    assert new.negative[-1] > 0.9
    assert tree.curve(path(0), end).negative[-1] > new.negative[-1] - 0.05
    assert tree.curve(path(1), end, Pace.HOUR) == new  # no hour of its own


def test_the_last_hour_corrects_the_week() -> None:
    """After a change the hour's curve is nearer to what is than the week's."""
    tree = Tree()
    deliver(tree, path(), 2_000)
    later = NOW_US + 10 * 3_600 * SECOND_US
    deliver(tree, path(), 300, positive=False, at_us=later)
    now_us = later + 400 * SECOND_US
    week = tree.curve(path(), now_us)
    hour = tree.curve(path(), now_us, Pace.HOUR)
    assert week.negative[-1] < 0.3
    assert hour.negative[-1] > 0.7


def test_a_curve_is_drawn_once_until_it_may_have_changed() -> None:
    """It stays for seconds after news, and for a minute without."""
    tree = Tree()
    deliver(tree, path(), 10)
    now_us = NOW_US + 60 * SECOND_US
    first = tree.curve(path(), now_us)
    assert tree.curve(path(), now_us + REFRESH_US) is first
    assert tree.curve(path(), now_us + AGED_US) is not first
    first = tree.curve(path(), now_us + AGED_US)
    tree.sent(path(), now_us + AGED_US, now_us + AGED_US)
    assert tree.curve(path(), now_us + AGED_US + 1) is first
    assert tree.curve(path(), now_us + AGED_US + REFRESH_US) is not first
    assert tree.curve(path(), now_us) is not first  # nor is one from the future


def test_withdrawn_leaves_nothing() -> None:
    """A hand-off that proved to be none is in no cell."""
    tree = Tree()
    tree.sent(path(), NOW_US, NOW_US)
    tree.withdrawn(path(), NOW_US, NOW_US + SECOND_US)
    assert not any(any(cell.waiting) for _, cell in tree.cells())


def test_two_trees_are_one() -> None:
    """A tree's cells may be learnt on two nodes."""
    one, mine, theirs = Tree(), Tree(), Tree()
    for number in range(40):
        where = path(number % 3)
        sent_us = NOW_US + number * SECOND_US
        first, second = (mine, theirs) if number % 2 else (theirs, mine)
        for tree in (one, first):
            tree.sent(where, sent_us, sent_us)
        for tree in (one, second):
            tree.answered(where, sent_us, sent_us + 2 * SECOND_US, positive=number % 5 > 0)
    mine.merge(theirs)
    end = NOW_US + 100 * SECOND_US
    for number in range(3):
        assert mine.curve(path(number), end).positive == pytest.approx(
            one.curve(path(number), end).positive
        )


def test_a_full_tree_lets_the_quietest_leaves_go() -> None:
    """The number of cells is bounded; what leaves is handed over, and can come back."""
    tree = Tree(cells_max=50)
    for number in range(200):
        at_us = NOW_US + number * SECOND_US
        tree.sent(path(number), at_us, at_us)
        assert len(tree) <= 50
    assert sum(tree.cell(()).waiting) == 200  # type: ignore[union-attr]
    assert tree.level(path(199)) == 4
    assert tree.level(path(0)) == 3
    left = tree.take_left()
    assert tree.take_left() == {}
    assert len(left) <= 50  # and nobody's neglect makes it more
    key, cell = list(left.items())[-1]
    tree.restore(key, cell)
    assert sum(tree.cell(key).waiting) == 1  # type: ignore[union-attr]


def test_an_inner_cell_leaves_after_those_within() -> None:
    """No cell is left without the one above it, and the first never leaves."""
    tree = Tree(cells_max=12)
    for number in range(30):
        at_us = NOW_US + number * SECOND_US
        tree.sent(path(0, f"p{number}"), at_us, at_us)
        keys = {key for key, _ in tree.cells()}
        assert all(key[:-1] in keys for key in keys)
        assert len(tree) <= 12
    assert any(len(key) == 3 for key in tree.take_left())


def test_the_smallest_tree_holds_one_message() -> None:
    """All but the first cell leave for another path."""
    tree = Tree(cells_max=5)
    for provider in ("north", "south"):
        tree.sent(path(0, provider), NOW_US, NOW_US)
        tree.sent(("GH alphanumeric", "beta", provider, "t"), NOW_US, NOW_US)
        assert len(tree) == 5
    assert sum(tree.cell(()).waiting) == 4  # type: ignore[union-attr]


def test_what_is_put_back_makes_room() -> None:
    """Cells that come back are within the bound too, though those above them are new."""
    tree, kept = Tree(cells_max=12), Tree()
    for number in range(20):
        kept.sent(path(number), NOW_US, NOW_US)
    for key, cell in kept.cells():
        if len(key) == len(LEVELS) - 1:
            tree.restore(key, cell)
            assert len(tree) <= 12
    assert tree.level(path(19)) == len(LEVELS) - 1


def test_what_left_is_told_again() -> None:
    """A receipt for a leaf that left makes it anew; put back, it counts as if it had stayed."""
    tree = Tree(cells_max=12)
    tree.sent(path(0), NOW_US, NOW_US)
    for number in range(1, 10):
        tree.sent(path(number), NOW_US + number * SECOND_US, NOW_US + number * SECOND_US)
    left = tree.take_left()
    tree.answered(path(0), NOW_US, NOW_US + 60 * SECOND_US, positive=True)
    tree.restore(path(0), left[path(0)])
    cell = tree.cell(path(0))
    assert cell is not None
    assert not any(cell.waiting)
