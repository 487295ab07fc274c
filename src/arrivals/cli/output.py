"""What commands print: for a person at a terminal, for a pipe, or as JSON."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS_APART: Final = 3  # of a table at a terminal
TABLE_EDGES: Final = 2
_GAP: Final = "  "  # between columns
_ROOM_LEAST: Final = 20  # characters for a cell, however narrow the terminal is
PROGRESS_EVERY_S = 10.0  # where lines can't be written over

# What an outcome or a layer's state looks like; unknown is never green.
STYLES = {
    "delivered": "green",
    "handed_off": "green",
    "accepted": "green",
    "confirmed": "green",
    "failed": "red",
    "not_executed": "red",
    "filtered": "magenta",
    "expired": "yellow",
    "unknown": "yellow",
    "handoff_unknown": "yellow",
    "cancelled": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "revoked": "red",
}


class ExitCode(IntEnum):
    """How a command ends; a script asks nothing else."""

    DELIVERED = 0
    OK = 0
    REFUSED = 1
    VIOLATIONS = 1
    FAILED = 2
    UNCHECKED = 2
    FILTERED = 3
    UNKNOWN = 4
    EXPIRED = 5
    CANCELLED = 6
    STILL_OPEN = 7
    USAGE = 64
    UNREACHABLE = 69
    IO_ERROR = 74


EXIT_OF_OUTCOME = {
    "delivered": ExitCode.DELIVERED,
    "failed": ExitCode.FAILED,
    "filtered": ExitCode.FILTERED,
    "unknown": ExitCode.UNKNOWN,
    "expired": ExitCode.EXPIRED,
    "cancelled": ExitCode.CANCELLED,
}


class Stop(Exception):
    """The command can't go on; `main` prints why and what to do, and exits with `code`."""

    def __init__(self, problem: str, fix: str = "", *, code: int = 1, body: Any = None) -> None:
        """Hold what to say; `body` is what --json prints instead."""
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
        self.code = int(code)
        self.body = body


def report(stop: Stop, *, as_json: bool) -> None:
    """Print why a command stopped: JSON on stdout, or words on stderr."""
    if as_json:
        body = stop.body
        put_json({"error": stop.problem, "fix": stop.fix} if body is None else body)
        return
    console = on_stderr()
    console.print("Error:", style="bold red", end=" ")
    console.print(stop.problem, markup=False)
    if stop.fix:
        console.print(f"  What to do: {stop.fix}", markup=False)


def on_stdout() -> Console:
    """Return the console of standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), emoji=False)


def on_stderr() -> Console:
    """Return the console of standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty(), emoji=False)


def progress() -> Callable[[str], None]:
    """Return what shows one line of progress: in place on a terminal, else now and then."""
    from arrivals.clock import SystemClock

    console, clock, shown_at = on_stderr(), SystemClock(), [0.0]
    in_place = sys.stderr.isatty()

    def show(line: str) -> None:
        if not in_place and (not line or clock.monotonic() - shown_at[0] < PROGRESS_EVERY_S):
            return
        shown_at[0] = clock.monotonic()
        console.print(f"{line:<70}", end="\r" if in_place and line else "\n", markup=False)

    return show


def say(text: str = "") -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def put_json(value: Any) -> None:
    """Print one value as one line of JSON, at once."""
    import msgspec

    sys.stdout.write(f"{msgspec.json.encode(value).decode()}\n")
    sys.stdout.flush()


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table: columns whose names end in `#` are numbers, and stand to the right.

    Without a terminal its columns are padded, nothing is cut off and nothing is coloured. On
    a narrow one cells have several lines, and where even their longest words have no room
    each row stands by itself, a line a column: no word is broken.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return
    names = [column.removesuffix("#") for column in columns]
    widths = [max(map(len, cells_of)) for cells_of in zip(names, *cells, strict=True)]
    if sys.stdout.isatty():
        room = column_widths(columns, cells, on_stdout().width)
        if room is None:
            _put_rows(names, cells)
        else:
            _put_rich_table(columns, cells, room)
        return
    for line in (names, *cells):
        padded = [
            cell.rjust(width) if column.endswith("#") else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        say(_GAP.join(padded).rstrip())


def _put_rich_table(
    columns: Sequence[str], cells: list[list[str]], widths: Sequence[int]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column, width in zip(columns, widths, strict=True):
        number = column.endswith("#")
        table.add_column(
            column.removesuffix("#"),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
            width=width,
        )
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    on_stdout().print(table)


def column_widths(
    columns: Sequence[str], cells: Sequence[Sequence[str]], room: int
) -> list[int] | None:
    """Return how wide each column may be, so that words and numbers stay whole; None: none is.

    What is over goes to those that would need more, in equal shares.
    """
    least, wanted = [], []
    for place, column in enumerate(columns):
        texts = [column.removesuffix("#"), *(row[place] for row in cells)]
        pieces = texts if column.endswith("#") else " ".join(texts).split()
        least.append(max(map(len, pieces), default=0))
        wanted.append(max(map(len, texts)))
    rest = room - sum(least) - COLUMNS_APART * (len(columns) - 1) - TABLE_EDGES
    if rest < 0:
        return None
    widths = least[:]
    needy = sorted(range(len(columns)), key=lambda each: wanted[each] - least[each])
    for left, place in zip(range(len(needy), 0, -1), needy, strict=True):
        more = min(wanted[place] - least[place], rest // left)
        widths[place] += more
        rest -= more
    return widths


def _put_rows(names: Sequence[str], cells: list[list[str]]) -> None:
    """Print each row by itself; an empty cell has no line."""
    from rich.text import Text

    console, width = on_stdout(), max(map(len, names)) + len(_GAP)
    beside = console.width - width >= _ROOM_LEAST
    room = console.width - width if beside else console.width
    for number, row in enumerate(cells):
        if number:
            console.print()
        for name, cell in zip(names, row, strict=True):
            lines = textwrap.wrap(cell, room, break_long_words=False, break_on_hyphens=False)
            if lines:
                label = Text(name.ljust(width) if beside else f"{name}\n", style="dim")
                said = ("\n" + " " * width if beside else "\n").join(lines)
                console.print(label + Text(said, style=STYLES.get(cell, "")), soft_wrap=True)


# Controls and what turns the direction of writing, but for the ends of lines and tabs.
_OBEYED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def visible(text: str) -> str:
    """Return a text from elsewhere with what a terminal would obey spelled out."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def money(micros: int, currency: str) -> str:
    """Print an amount with its currency, to the cent at least."""
    from arrivals.core.money import Micros, format_amount

    text = format_amount(Micros(micros))
    whole, point, decimals = text.partition(".")
    return f"{whole}{point or '.'}{decimals.ljust(2, '0')} {currency}"
