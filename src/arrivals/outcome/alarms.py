"""Say one thing about one cause, however many cells it rang in.

A carrier that goes dark alarms its own cell, those above it and those below. A cell stands
apart when it does worse than its siblings: they explain less than half of what it lacks.
Causes are the cells that stand apart once what is explained further down has been taken
away; so a fall that all children share is the parent's, and one child's fall is that
child's. A cell with nothing beside it can't be told from its parent, and the narrower name
claims less.

What has nothing beside it is compared with what stands beside the cell above it: one sender
on each of ten carriers is ten only children, and their common fall is one cause.

One order of names can't show every cause: a provider that fails on all carriers is one cell
where providers come first, and one cell a carrier where carriers do. So the same leaves are
summed in several orders, and of the explanations that leave out no alarm the one with the
fewest causes is taken. In its cells ANY stands for a name that doesn't matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from arrivals.outcome.hierarchy import ANY

# Country and kind of sender; then carrier, provider and sender, each of the last three first.
ORDERS: Final = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))

EXPLAINED_MIN: Final = 0.5  # by its siblings, of what a cell lacks
EXPECTED_MIN: Final = 20.0  # siblings with less to show explain nothing
# Cells without an alarm of their own are looked at by the hundred when one above them rings.
LACK_Z_MIN: Final = 4.0

_CARRIER: Final = 2  # the length of a carrier's cell

Path = tuple[str, ...]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell should have shown, and showed, in a window that all cells share."""

    cell: Path  # () is the whole; a child's begins with its parent's
    messages: int
    expected: float
    observed: int
    alarmed: bool = False

    @property
    def lack(self) -> float:
        """How many are missing."""
        return self.expected - self.observed

    @property
    def z(self) -> float:
        """How many standard errors are missing."""
        if self.messages <= 0 or self.expected <= 0:  # what is left of it may be a rounding
            return 0.0
        miss = max(1 - self.expected / self.messages, 1 / self.messages)
        return self.lack / math.sqrt(self.expected * miss)

    def without(self, others: Iterable[Node]) -> Node:
        """Return the node less some that are in it."""
        taken = list(others)
        return Node(
            cell=self.cell,
            messages=self.messages - sum(each.messages for each in taken),
            expected=self.expected - math.fsum(each.expected for each in taken),
            observed=self.observed - sum(each.observed for each in taken),
        )


def summed(leaves: Iterable[Node], order: Sequence[int] | None = None) -> list[Node]:
    """Return the cells above the leaves and the leaves, with names in the given order.

    `order` says which name of a leaf comes first, second and so on; cells above take no alarm
    of their own from it, except the whole, which has one if any leaf has.
    """
    sums: dict[Path, list[Node]] = {}
    for each in leaves:
        names = each.cell if order is None else tuple(each.cell[place] for place in order)
        for length in range(len(names) + 1):
            sums.setdefault(names[:length], []).append(each)
    depth = max((len(cell) for cell in sums), default=0)
    return [
        Node(
            cell=cell,
            messages=sum(each.messages for each in parts),
            expected=math.fsum(each.expected for each in parts),
            observed=sum(each.observed for each in parts),
            alarmed=len(cell) in {0, depth} and any(each.alarmed for each in parts),
        )
        for cell, parts in sums.items()
    ]


def fewest(explanations: Iterable[Sequence[Node]]) -> list[Node]:
    """Return the explanation with the fewest causes; of equals, the one that claims least."""
    best = min(explanations, key=_claim)
    return list(best)


def _claim(causes: Sequence[Node]) -> tuple[int, float, int]:
    names = sum(name != ANY for each in causes for name in each.cell)
    return len(causes), round(math.fsum(each.expected for each in causes), 3), -names


def explained(nodes: Iterable[Node]) -> list[Node]:
    """Return the causes of all alarms, in whichever order of names says it in the fewest.

    Nodes are those of leaves with the four names of ORDERS and of the cells above them, but for
    the two widest, which are summed here.
    """
    known = list(nodes)
    alarmed = [each for each in known if each.alarmed]
    if not alarmed:
        return []
    carriers = [each for each in known if len(each.cell) == _CARRIER]
    wide = [each for each in summed(carriers) if len(each.cell) < _CARRIER]
    found = [causes([*known, *(msgspec.structs.replace(each, alarmed=False) for each in wide)])]
    leaves = [each for each in known if len(each.cell) == len(ORDERS[0])]
    for order in ORDERS[1:]:
        others = causes(summed(leaves, order))
        found.append(
            [msgspec.structs.replace(each, cell=_named(each.cell, order)) for each in others]
        )
    return fewest(
        each
        for each in found
        if all(any(meet(cause.cell, node.cell) for cause in each) for node in alarmed)
    )


def meet(cell: Path, other: Path) -> bool:
    """Tell whether two cells may have messages in common."""
    return all(one == two or ANY in {one, two} for one, two in zip(cell, other, strict=False))


def causes(nodes: Iterable[Node]) -> list[Node]:
    """Return the cells to speak of, each less what is explained further down, worst first.

    There is at least one if any cell is alarmed, and none if none is.
    """
    tree = {each.cell: each for each in nodes}
    deepest_first = sorted(tree.values(), key=lambda each: (-len(each.cell), each.cell))
    alarming: set[Path] = set()  # alarmed, under a cell that is, or above one
    for node in reversed(deepest_first):
        if node.alarmed or (node.cell and node.cell[:-1] in alarming):
            alarming.add(node.cell)
    alarming |= {
        node.cell[:length]
        for node in deepest_first
        if node.alarmed
        for length in range(len(node.cell))
    }
    found: list[Node] = []
    for node in deepest_first:
        if node.cell not in alarming:
            continue
        below = [each for each in found if _under(each.cell, node.cell)]
        rest = node.without(below) if below else node
        if not rest.alarmed and rest.z < LACK_Z_MIN:
            continue
        if not _explained(rest, _beside(node, tree, found)):
            found.append(rest)
    for node in reversed(deepest_first):
        # Its siblings explain it, and yet no cell above it says so: then it says so itself,
        # or leaves it to an alarm below it, if it lacks nothing as a whole.
        if not node.alarmed or any(_related(each.cell, node.cell) for each in found):
            continue
        ringing = (each for each in deepest_first if each.alarmed and each is not node)
        if node.lack > 0 or not any(_under(each.cell, node.cell) for each in ringing):
            found.append(node)
    return sorted(found, key=lambda each: (-each.lack, each.cell))


def _beside(node: Node, tree: Mapping[Path, Node], found: Sequence[Node]) -> Node | None:
    """Return what stands beside a cell or, if that shows too little, beside one above it."""
    at: Node | None = node
    while at is not None and at.cell:
        siblings = _siblings(at, tree, found)
        if siblings is not None and siblings.expected >= EXPECTED_MIN:
            return siblings
        at = tree.get(at.cell[:-1])
    return None


def _siblings(node: Node, tree: Mapping[Path, Node], found: Sequence[Node]) -> Node | None:
    """Return all that stands beside a cell, less what is explained further down there."""
    parent = tree.get(node.cell[:-1])
    if parent is None:
        return None
    deeper = [
        each
        for each in found
        if len(each.cell) > len(node.cell)
        and _under(each.cell, parent.cell)
        and not _under(each.cell, node.cell)
    ]
    return parent.without([node, *deeper])


def _explained(node: Node, siblings: Node | None) -> bool:
    """Tell whether the siblings' own fall makes up for half of what a cell lacks."""
    if node.lack <= 0:
        return True
    if siblings is None:
        return False
    share_lost = max(0.0, siblings.lack / siblings.expected)
    return share_lost * node.expected >= EXPLAINED_MIN * node.lack


def _under(cell: Path, other: Path) -> bool:
    return cell[: len(other)] == other


def _related(cell: Path, other: Path) -> bool:
    return _under(cell, other) or _under(other, cell)


def _named(cell: Path, order: Sequence[int]) -> Path:
    """Put a cell's names where they belong, and ANY for those before the last it lacks."""
    places = order[: len(cell)]
    names = dict(zip(places, cell, strict=True))
    return tuple(names.get(place, ANY) for place in range(max(places, default=-1) + 1))
