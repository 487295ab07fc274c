"""Price a destination: the longest prefix of the number that the price list knows.

A price list is immutable and versioned; a new version is a new value. `read_price_list`
turns an operator's CSV into rows, or names every line that's wrong and how to mend it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from arrivals.core.money import InvalidAmount, Micros, parse_amount

ROWS_MAX: Final = 100_000  # the largest published A2P price lists hold some 20,000
CSV_CHARS_MAX: Final = 8_000_000
PREFIX_DIGITS_MAX: Final = 15  # E.164
COUNTRY_CHARS_MAX: Final = 80
PROBLEMS_MAX: Final = 50  # named at once; the rest is counted
COLUMNS: Final = ("country", "country_prefix", "price")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One line of a price list."""

    rate_id: int
    prefix: str  # leading digits of the numbers it prices
    country: str  # a name, as the operator wrote it
    price: Micros  # per segment


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """One version of a route's prices."""

    route_id: int
    version: int
    currency: str
    rates: tuple[Rate, ...]
    _by_prefix: dict[str, Rate] = field(init=False, repr=False, compare=False)
    _lengths: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_prefix = {rate.prefix: rate for rate in self.rates}
        if len(by_prefix) != len(self.rates):
            raise ValueError("a prefix stands once in a price list")
        object.__setattr__(self, "_by_prefix", by_prefix)
        lengths = sorted({len(prefix) for prefix in by_prefix}, reverse=True)
        object.__setattr__(self, "_lengths", tuple(lengths))

    def find(self, msisdn: str) -> Rate | None:
        """Return the rate of the longest prefix that fits, or None if there's no price."""
        rates = self._by_prefix
        for length in self._lengths:
            rate = rates.get(msisdn[:length])
            if rate is not None:
                return rate
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    """One valid line of a price file, before it has an id."""

    country: str
    prefix: str
    price: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceProblem:
    """One line of a price file that can't be used."""

    line: int  # from 1, as an editor counts; 0 for the file as a whole
    problem: str
    fix: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.problem}; {self.fix}"


class InvalidPriceList(ValueError):
    """The price file has problems; none of it is used."""

    def __init__(self, problems: tuple[PriceProblem, ...]) -> None:
        """Hold every problem, and print the first `PROBLEMS_MAX`."""
        self.problems = problems
        more = len(problems) - PROBLEMS_MAX
        lines = [str(problem) for problem in problems[:PROBLEMS_MAX]]
        super().__init__("\n".join([*lines, f"and {more} more"] if more > 0 else lines))


def read_price_list(csv_text: str) -> tuple[PriceRow, ...]:
    """Read a price file with the columns country, country_prefix and price.

    Columns stand in any order under a header; others are ignored. Raises
    InvalidPriceList, naming each bad line, if anything is wrong.
    """
    if len(csv_text) > CSV_CHARS_MAX:
        raise _refused("the file is larger than 8 million characters", "split the file")
    lines = _records(csv_text.removeprefix("\ufeff").splitlines())
    header = next(lines, None)
    if header is None:
        raise _refused("the file is empty", "begin with the header " + ",".join(COLUMNS))
    places = _columns(header[1])
    rows: list[PriceRow] = []
    problems: list[PriceProblem] = []
    first_line: dict[str, int] = {}
    for line, cells in lines:
        row = _row(line, cells, places)
        if isinstance(row, PriceRow) and row.prefix in first_line:
            row = PriceProblem(
                line=line,
                problem=f"prefix {row.prefix} already stands on line {first_line[row.prefix]}",
                fix="keep one of the two",
            )
        if isinstance(row, PriceProblem):
            problems.append(row)
            continue
        first_line[row.prefix] = line
        rows.append(row)
        if len(rows) > ROWS_MAX:
            raise _refused(f"the file has more than {ROWS_MAX:,} prices", "split the file")
    if problems:
        raise InvalidPriceList(tuple(problems))
    if not rows:
        raise _refused("the file has no prices", "add at least one line under the header")
    return tuple(rows)


def _records(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and cells of each line that isn't blank."""
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise InvalidPriceList(
            (
                PriceProblem(
                    line=reader.line_num,
                    problem="a quotation mark isn't closed, or stands in the wrong place",
                    fix='put text with commas in "double quotes"',
                ),
            )
        ) from error


def _columns(header: list[str]) -> dict[str, int]:
    names = [cell.casefold() for cell in header]
    missing = [column for column in COLUMNS if names.count(column) != 1]
    if missing:
        raise InvalidPriceList(
            (
                PriceProblem(
                    line=1,
                    problem="the header needs each of these columns once: "
                    + ", ".join(missing),
                    fix="begin with the header " + ",".join(COLUMNS) + ", separated by commas",
                ),
            )
        )
    return {column: names.index(column) for column in COLUMNS}


def _row(line: int, cells: list[str], places: dict[str, int]) -> PriceRow | PriceProblem:
    def problem(what: str, fix: str) -> PriceProblem:
        return PriceProblem(line=line, problem=what, fix=fix)

    if len(cells) <= max(places.values()):
        return problem("the line has too few columns", "give every column a value")
    country, prefix, price = (cells[places[column]] for column in COLUMNS)
    if not 0 < len(country) <= COUNTRY_CHARS_MAX or not country.isprintable():
        return problem("the country has no usable name", "write 1 to 80 printable characters")
    prefix = prefix.removeprefix("+")
    if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= PREFIX_DIGITS_MAX):
        return problem("the prefix isn't 1 to 15 digits", "write digits only, such as 31")
    if prefix.startswith("0"):
        return problem("the prefix begins with 0", "write the country code first, such as 31")
    try:
        amount = parse_amount(price)
    except InvalidAmount as error:
        return problem(f"the price can't be used: {error}", "write a price such as 0.087")
    if amount < 0:
        return problem("the price is negative", "write 0 or more")
    return PriceRow(country=country, prefix=prefix, price=amount)


def _refused(problem: str, fix: str) -> InvalidPriceList:
    return InvalidPriceList((PriceProblem(line=0, problem=problem, fix=fix),))
