"""Keep cells as a tree, from everything down to one sender over one provider.

A message belongs to five cells, each within the one before: all messages; its country and
kind of sender; its carrier; its provider; its sender or template. What is told of it is told
to all five, and what a cell hasn't learnt yet it takes from the one above.

The tree is bounded. When it is full, the cells that have been quiet longest leave, leaves
first, and are handed to whoever keeps them; what they counted stays in the cells above.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from arrivals.core.phone import calling_code_of
from arrivals.outcome.cells import Cell, Pace, answered, sent, withdrawn
from arrivals.outcome.curves import STRENGTH, TYPICAL, Curve, shrunk

LEVELS: Final = ("all", "country and sender type", "carrier", "provider", "sender or template")
CELLS_MAX: Final = 10_000  # about 30 MB
LEAVING_SHARE: Final = 0.1  # of a full tree leaves at once, so that sorting it is rare
REFRESH_US: Final = 5_000_000  # a curve is drawn anew after this, if its cell was told of more
AGED_US: Final = 60_000_000  # and after this in any case: those who wait have grown older
STRENGTH_OF_WEEK: Final = 60.0  # hand-offs that the last week is worth to the last hour

SHORT_CODE_DIGITS_MAX: Final = 8
CALLING_CODE_DIGITS_MAX: Final = 3
PREFIX_DIGITS: Final = 3  # of a national number stand for its carrier where that is unknown

ANY: Final = "*"  # in a cell: whatever that name is
_WORDS: Final = ("carrier", "provider", "sender")

Key = tuple[str, ...]  # a path's first names; () is the cell of all messages
Path = tuple[str, str, str, str]  # the key of the last level


def path_of(
    *, country: str, sender: str, carrier: str | None, msisdn: str, provider: str, content: str
) -> Path:
    """Name a message's cells; `content` is its template's name or hash, or its sender."""
    return (
        destination_of(country, sender),
        carrier or carrier_of(country, msisdn),
        provider,
        content,
    )


def words_of(key: Key) -> str:
    """Name a cell from its carrier down in words; of all carriers, with its country."""
    names = [
        f"{word} {name}" for word, name in zip(_WORDS, key[1:], strict=False) if name != ANY
    ]
    if len(key) <= 1 or key[1] == ANY:
        names.append(f"all carriers ({key[0]})" if key and key[0] != ANY else "all carriers")
    return ", ".join(names)


@lru_cache(maxsize=CELLS_MAX)
def destination_of(country: str, sender: str) -> str:
    """Name the cell of a country and a kind of sender."""
    return f"{country} {kind_of_sender(sender)}"


def kind_of_sender(sender: str) -> str:
    """Return what carriers tell senders apart by: alphanumeric, short or long."""
    digits = sender.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return "alphanumeric"
    return "short" if len(digits) <= SHORT_CODE_DIGITS_MAX else "long"


def carrier_of(country: str, msisdn: str) -> str:
    """Return what stands for a number's carrier where that is unknown: its first digits."""
    return _carrier_of(country, msisdn[: CALLING_CODE_DIGITS_MAX + PREFIX_DIGITS])


@lru_cache(maxsize=CELLS_MAX)
def _carrier_of(country: str, digits: str) -> str:
    code = calling_code_of(digits) or ""
    return f"{country} {digits[: len(code) + PREFIX_DIGITS]}"


class _Node:
    """A cell in its place, with its curves as last drawn."""

    __slots__ = ("cell", "children", "curves", "key")

    def __init__(self, key: Key, cell: Cell) -> None:
        self.key = key
        self.cell = cell
        self.children = 0
        self.curves: dict[Pace, tuple[int, int, Curve]] = {}  # drawn at, version, curve


class Tree:
    """Count messages in the cells they belong to, and draw the curves of these."""

    def __init__(
        self, cells_max: int = CELLS_MAX, strength: Sequence[float] = (STRENGTH,) * len(LEVELS)
    ) -> None:
        """Start empty; `strength` is what each level takes from the one above."""
        self._cells_max = cells_max
        self._strength = strength
        self._nodes: dict[Key, _Node] = {}
        self._chains: dict[Key, tuple[Cell, ...]] = {}
        self._left: dict[Key, Cell] = {}

    def __len__(self) -> int:
        """Return how many cells there are."""
        return len(self._nodes)

    # --- what is told ----------------------------------------------------------------

    def sent(self, path: Path, sent_us: int, now_us: int) -> None:
        """Count a hand-off that waits for its receipt."""
        sent(self._chain(path), sent_us, now_us)

    def answered(self, path: Path, sent_us: int, now_us: int, *, positive: bool) -> None:
        """Count a hand-off's final receipt; each may be told once only."""
        answered(self._chain(path), sent_us, now_us, positive=positive)

    def withdrawn(self, path: Path, sent_us: int, now_us: int) -> None:
        """Take back a hand-off that proved to be none."""
        withdrawn(self._chain(path), sent_us, now_us)

    # --- what it says ----------------------------------------------------------------

    def curve(self, path: Path, now_us: int, pace: Pace = Pace.WEEK) -> Curve:
        """Return a message's curve: of its own cell, or of the nearest above that exists.

        The last hour's is drawn towards the last week's of the same cell.
        """
        drawn = self.curve_of(path, now_us)
        if pace is Pace.WEEK or path not in self._nodes:
            return drawn
        return self._draw(self._nodes[path], pace, drawn, STRENGTH_OF_WEEK, now_us)

    def curve_of(self, key: Key, now_us: int) -> Curve:
        """Return the last week's curve of a cell, or of the nearest above that exists."""
        drawn = TYPICAL
        for level in range(len(key) + 1):
            node = self._nodes.get(key[:level])
            if node is None:
                break
            drawn = self._draw(node, Pace.WEEK, drawn, self._strength[level], now_us)
        return drawn

    def level(self, path: Path) -> int:
        """Return the level of the nearest cell that exists; -1 in an empty tree."""
        return sum(path[:level] in self._nodes for level in range(len(path) + 1)) - 1

    def cell(self, key: Key) -> Cell | None:
        """Return a cell, to read."""
        node = self._nodes.get(key)
        return node.cell if node else None

    def cells(self) -> Iterator[tuple[Key, Cell]]:
        """Walk over all cells, each after the one above it."""
        return ((node.key, node.cell) for node in self._nodes.values())

    def _draw(
        self, node: _Node, pace: Pace, parent: Curve, strength: float, now_us: int
    ) -> Curve:
        last = node.curves.get(pace)
        if last is not None:
            drawn_us, version, curve = last
            age_us = now_us - drawn_us
            if 0 <= age_us < (AGED_US if version == node.cell.version else REFRESH_US):
                return curve
        curve = shrunk(node.cell.exposure(pace, now_us), parent, strength)
        node.curves[pace] = (now_us, node.cell.version, curve)
        return curve

    # --- what it holds ---------------------------------------------------------------

    def restore(self, key: Key, cell: Cell) -> None:
        """Put back a cell that was kept, or add another node's to it."""
        self._make_room()
        for level in range(len(key)):
            self._node(key[:level])
        self._node(key).cell.merge(cell)

    def merge(self, other: Tree) -> None:
        """Add what another tree counted, as if this one had been told of it too."""
        for key, cell in other.cells():
            self.restore(key, cell)

    def take_left(self) -> dict[Key, Cell]:
        """Return the cells that had to leave since the last time, to be kept elsewhere."""
        left, self._left = self._left, {}
        return left

    def _chain(self, path: Path) -> tuple[Cell, ...]:
        chain = self._chains.get(path)
        if chain is None:
            self._make_room()
            nodes = [self._node(path[:level]) for level in range(len(path) + 1)]
            chain = self._chains[path] = tuple(node.cell for node in nodes)
        return chain

    def _node(self, key: Key) -> _Node:
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = _Node(key, Cell())
            if key:
                self._nodes[key[:-1]].children += 1
        return node

    def _make_room(self) -> None:
        """Let the quietest leaves go when another path might not fit."""
        if len(self._nodes) + len(LEVELS) <= self._cells_max:
            return
        leaving = max(int(self._cells_max * LEAVING_SHARE), len(LEVELS))
        quietest = sorted(self._nodes.values(), key=lambda n: (n.cell.tick, -len(n.key)))
        for node in quietest:
            if not leaving:
                break
            if node.children or not node.key:
                continue
            self._leave(node)
            leaving -= 1

    def _leave(self, node: _Node) -> None:
        del self._nodes[node.key]
        self._nodes[node.key[:-1]].children -= 1
        self._chains.pop(node.key, None)
        while len(self._left) >= self._cells_max:  # nobody came to keep them
            del self._left[next(iter(self._left))]
        self._left[node.key] = node.cell
