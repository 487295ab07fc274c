"""Read CSV as spreadsheets, databases and data frames write it, one recipient a record.

The API and `arrivals send-bulk` both read with it. Nothing is guessed: a cell more than the
header names is refused, for a text cut at its comma would go out as half of itself.

    sep=;                      a spreadsheet's word for its separator, if it's there
    to;message;;               the header; what it leaves without a name must be empty
    31612345678;"Hi; you";;    a quoted cell may hold separators, line breaks and ""
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from arrivals.core.errors import Code, Refusal, body_invalid, refuse
from arrivals.flows.batches import StreamLine
from arrivals.flows.plan import CLIENT_REF_CHARS_MAX, Recipient
from arrivals.http.batch_lines import LINE_OCTETS_MAX, Cutter, refused_line, too_long
from arrivals.http.charsets import text_of
from arrivals.http.exchange import NEAR

COLUMNS_MAX: Final = 20

_COLUMN: Final = {
    "to": "to",
    "number": "to",
    "msisdn": "to",
    "message": "message",
    "text": "message",
    "client_ref": "client_ref",
}
_COLUMNS_KNOWN: Final = (
    "The columns are to (or number, msisdn), message (or text) and client_ref; "
    "take the others out."
)
_DELIMITERS: Final = ",;\t"
_NAMED: Final = ",;\t|"  # what `sep=` may name
_SEP: Final = re.compile(r'"?sep=(?P<mark>.?)"?', re.IGNORECASE)
_NUMBER: Final = re.compile(r"[\d\s().+-]{8,}")
_NAME_CHARS_MAX: Final = 64
_QUOTE: Final = b'"'


class CsvLines:
    """A header that names the columns, then one recipient a record; quotes may span lines."""

    def __init__(self, charset: str | None = None) -> None:
        """Begin to read; `charset` is one that was declared and isn't UTF-8."""
        self._cutter = Cutter()
        self._charset = charset
        self._head = b""  # the header, until it stands before the first record's octets
        self._record: list[bytes] = []  # lines of a record that goes on, and their octets
        self._record_octets = 0
        self._begins = 0  # the record's first line
        self._open = False  # inside a quoted cell, at the end of the record so far
        self._columns: Sequence[str | None] = ()
        self._delimiter: str | None = None  # until `sep=` or the header says it

    @property
    def begun(self) -> bool:
        """Tell whether the header was read."""
        return bool(self._columns)

    @property
    def has_texts(self) -> bool:
        """Tell whether there is a column for texts."""
        return "message" in self._columns

    def feed(self, octets: bytes) -> Iterator[StreamLine | None]:
        """Take more octets; yield the records that are whole now. Raises for a bad header."""
        for cut in self._cutter.feed(octets):
            yield self._take(cut)

    def end(self) -> list[StreamLine]:
        """Return the last record, even with a quote left open. Raises if there's no header."""
        cuts = self._cutter.end()
        found = [line for cut in cuts if (line := self._take(cut, ended=False)) is not None]
        if self._record:
            found.append(self._read(self._whole_record()))
        if not self._columns:
            raise _header("needs a header with the column `to`")
        return found

    def _take(self, cut: bytes | Refusal, *, ended: bool = True) -> StreamLine | None:
        """Take one line; `ended` tells that its line break was there."""
        if not self._record:
            self._begins = self._cutter.line
        if isinstance(cut, Refusal):
            self._whole_record()
            return refused_line(cut, self._begins)
        if not self._columns:
            self._read_header(cut)
            return None
        delimiter = (self._delimiter or ",").encode()
        self._open = _ends_open(cut, delimiter, inside=self._open)
        self._record.append(cut)
        self._record_octets += len(cut) + 1
        if self._open and self._record_octets <= LINE_OCTETS_MAX + 1:
            return None
        record = self._whole_record()
        if len(record) > LINE_OCTETS_MAX:
            return refused_line(_never_closed(record), self._begins)
        # A spreadsheet's empty row is separators alone.
        blank = not record.translate(None, delimiter + b" \t\r\n")
        return None if blank else self._read(record, ended=ended)

    def _whole_record(self) -> bytes:
        """Return the lines of a record as one, and begin another."""
        record = b"\n".join(self._record)
        self._record, self._record_octets, self._open = [], 0, False
        return record

    def _read_header(self, line: bytes) -> None:
        if not line.strip():
            return
        text = text_of(line, self._charset)
        named = _SEP.fullmatch(text.strip(" "))
        if named is not None and self._delimiter is None:
            self._delimiter = _separator(named["mark"])
            self._head = line + b"\n"
            return
        delimiter = self._delimiter = self._delimiter or delimiter_of(text)
        names = [cell.strip().casefold() for cell in _cells(text, delimiter)]
        while names and not names[-1]:
            names.pop()
        if len(names) > COLUMNS_MAX:
            raise _header(f"has more than {COLUMNS_MAX} columns")
        self._columns = [_column(name) for name in names]
        self._head += line + b"\n"
        given = [each for each in self._columns if each is not None]
        if "to" not in given or len(set(given)) != len(given):
            raise _header("needs `to` once, and `message` and `client_ref` at most once")

    def _read(self, record: bytes, *, ended: bool = True) -> StreamLine:
        raw, self._head = self._head + record, b""
        to = ""
        try:
            cells = self._split(record)
            place = self._columns.index("to")
            to = cells[place].strip() if place < len(cells) else ""
            row = self._row(cells, ended=ended)
            client_ref = row.get("client_ref", "").strip() or None
            if client_ref is not None and len(client_ref) > CLIENT_REF_CHARS_MAX:
                words = f"has at most {CLIENT_REF_CHARS_MAX} characters"
                raise body_invalid([("client_ref", words, "range")])
        except Refusal as refusal:
            return StreamLine(raw, refusal=refusal, to=to, line=self._begins)
        text = row.get("message", "")
        return StreamLine(
            raw,
            Recipient(to, text if text.strip() else None, client_ref),
            None,
            to,
            self._begins,
        )

    def _split(self, record: bytes) -> list[str]:
        """Return a record's cells, without empty ones that no column has."""
        if b"\0" in record:
            raise _wrong("holds U+0000; is it UTF-16? save it as UTF-8", "character")
        cells = _cells(text_of(record, self._charset), self._delimiter or ",")
        while len(cells) > len(self._columns) and not cells[-1].strip():
            cells.pop()
        return cells

    def _row(self, cells: list[str], *, ended: bool) -> dict[str, str]:
        """Return cells by column; raises the Refusal that says what is wrong with them."""
        columns = self._columns
        counts = f"has {len(cells)} cells, the header has {len(columns)}"
        if len(cells) > len(columns):
            raise _wrong(f'{counts}: put " around a text that holds {self._shown()}', "columns")
        if len(cells) < len(columns) and not ended:
            raise _wrong(f"{counts}, and the line has no end: is the file whole?", "columns")
        row: dict[str, str] = {}
        for index, (column, cell) in enumerate(zip(columns, cells, strict=False)):
            if column is not None:
                row[column] = cell
            elif index and cell.strip():  # the first may be a data frame's index
                words = f"has something in column {index + 1}, which the header doesn't name"
                raise _wrong(words, "columns")
        return row

    def _shown(self) -> str:
        return "a tab" if self._delimiter == "\t" else str(self._delimiter)


def delimiter_of(header: str) -> str:
    """Return what stands between a header's columns: spreadsheets write , or ; or tabs."""
    return max(_DELIMITERS, key=header.count)


def _separator(mark: str) -> str:
    if mark == "" or mark not in _NAMED:
        raise _header("names a separator that can't be used: , or ; or | or a tab can")
    return mark


def _column(name: str) -> str | None:
    """Return what a header's name stands for, None for an empty one; raises the Refusal."""
    if not name or name in _COLUMN:
        return _COLUMN.get(name)
    if _NUMBER.fullmatch(name):
        raise _header("must name the columns in its first line, such as to,message")
    near = get_close_matches(name[:_NAME_CHARS_MAX], _COLUMN, n=1, cutoff=NEAR)
    refusal = refuse(Code.UNKNOWN_FIELD, name=name[:_NAME_CHARS_MAX], field="header")
    refusal.fix = f"Did you mean {near[0]}? {_COLUMNS_KNOWN}" if near else _COLUMNS_KNOWN
    raise refusal


def _ends_open(line: bytes, delimiter: bytes, *, inside: bool) -> bool:
    """Tell whether a quoted cell is open behind a line; a quote opens one only at its start."""
    at = 0
    if not inside and line.startswith(_QUOTE):
        inside, at = True, 1
    while True:
        if not inside:
            at = line.find(delimiter + _QUOTE, at)
            if at < 0:
                return False
            inside, at = True, at + 2
        at = line.find(_QUOTE, at)
        if at < 0:
            return True
        if line[at + 1 : at + 2] == _QUOTE:
            at += 2
        else:
            inside, at = False, at + 1


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        words = str(error)
    if "unexpected end" in words:
        raise _wrong("opens a quotation mark and never closes it", "csv")
    raise _wrong('has text behind a closing quotation mark: write " within a text as ""', "csv")


def _never_closed(record: bytes) -> Refusal:
    refusal = too_long(hashlib.sha256(record).hexdigest())
    if record.count(_QUOTE):
        refusal.detail += "; a quotation mark may have been left open"
    return refusal


def _wrong(problem: str, kind: str) -> Refusal:
    return body_invalid([("", problem, kind)])


def _header(problem: str) -> Refusal:
    return body_invalid([("header", problem, "header")])
