"""Cut a stream of octets into lines and read each, as NDJSON or as CSV.

Octets go in as they come and lines come out as soon as they are whole. A line that can't be
read comes out as well, with the reason, so that every line of a stream gets a verdict.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from arrivals.core.errors import Code, Refusal, body_invalid, refuse
from arrivals.flows.batches import REFUSALS_KEPT_MAX, StreamLine
from arrivals.flows.plan import Recipient
from arrivals.http.send_body import NO_JSON, BodyMessage, read_json

LINE_OCTETS_MAX: Final = 64 * 1024
SLICE_OCTETS: Final = 16 * 1024  # cut at once: of blank lines alone, less than a millisecond
# Blank lines, and those within quotes, are none of the lines that are counted.
BREAKS_MAX: Final = 2_000_000
COLUMNS_MAX: Final = 20

_COLUMN: Final = {
    "to": "to",
    "number": "to",
    "msisdn": "to",
    "message": "message",
    "text": "message",
    "client_ref": "client_ref",
}
_DELIMITERS: Final = ",;\t"
_QUOTE: Final = b'"'
_BOM: Final = b"\xef\xbb\xbf"


class LineReader(Protocol):
    """Turns octets into lines."""

    def feed(self, octets: bytes) -> Iterator[StreamLine | None]:
        """Take more octets; yield the lines that are whole now, None for what makes none."""

    def end(self) -> list[StreamLine]:
        """Return the last line, if the stream didn't end with a line break."""


class Cutter:
    """Cut octets at line breaks; of a line above the bound only a digest is kept."""

    def __init__(self) -> None:
        self._tail = b""
        self._overlong: hashlib._Hash | None = None
        self._breaks = 0

    def feed(self, octets: bytes) -> Iterator[bytes | Refusal]:
        """Yield whole lines without their break, and a refusal for each overlong one."""
        for at in range(0, len(octets), SLICE_OCTETS):
            yield from self._cut(octets[at : at + SLICE_OCTETS])

    def _cut(self, octets: bytes) -> Iterator[bytes | Refusal]:
        *whole, self._tail = (self._tail + octets).split(b"\n")
        self._breaks += len(whole)
        if self._breaks > BREAKS_MAX:
            raise refuse(Code.BODY_TOO_LARGE, limit=f"{BREAKS_MAX:,} lines, blank ones too")
        for line in whole:
            yield self._line(line)
        if len(self._tail) > LINE_OCTETS_MAX:
            self._overlong = self._overlong or hashlib.sha256()
            self._overlong.update(self._tail)
            self._tail = b""

    def end(self) -> Iterator[bytes | Refusal]:
        """Yield the last line, if there is one."""
        if self._tail or self._overlong is not None:
            yield self._line(self._tail)
        self._tail = b""

    def _line(self, line: bytes) -> bytes | Refusal:
        if self._overlong is not None:
            self._overlong.update(line)
            digest, self._overlong = self._overlong.hexdigest(), None
            return _too_long(digest)
        if len(line) > LINE_OCTETS_MAX:
            return _too_long(hashlib.sha256(line).hexdigest())
        return line.removesuffix(b"\r")


def _too_long(digest: str) -> Refusal:
    refusal = refuse(Code.BODY_TOO_LARGE, limit=f"{LINE_OCTETS_MAX // 1024} KiB a line")
    refusal.extra["sha256"] = digest
    return refusal


def _refused_line(refusal: Refusal) -> StreamLine:
    """Stand in for an overlong line; its digest takes its place in the stream's hash."""
    return StreamLine(str(refusal.extra["sha256"]).encode(), refusal=refusal)


# --- NDJSON ---------------------------------------------------------------------------

_LINE: Final = msgspec.json.Decoder(BodyMessage, strict=True)


class JsonLines:
    """One JSON object a line: `to`, and if wanted `message` and `client_ref`."""

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._explained = 0

    def feed(self, octets: bytes) -> Iterator[StreamLine | None]:
        """Take more octets; yield the lines that are whole now, None for blank ones."""
        for cut in self._cutter.feed(octets):
            yield self._line(cut) if cut else None

    def end(self) -> list[StreamLine]:
        """Return the last line, if the stream didn't end with a line break."""
        return [self._line(cut) for cut in self._cutter.end() if cut]

    def _line(self, cut: bytes | Refusal) -> StreamLine:
        if isinstance(cut, Refusal):
            return _refused_line(cut)
        try:
            found = _LINE.decode(cut)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self._explained >= REFUSALS_KEPT_MAX:
                return StreamLine(cut, refusal=_NOT_SHOWN)
            self._explained += 1
            return StreamLine(cut, refusal=_why_not(cut))
        return StreamLine(
            cut, Recipient(found.to, found.message, found.client_ref), None, found.to
        )


# To say why costs ten times as much as to see that it is so.
_NOT_SHOWN: Final = body_invalid([("", "it comes after the refusals that are kept", NO_JSON)])


def _why_not(line: bytes) -> Refusal:
    try:
        read_json(_LINE, line)
    except Refusal as refusal:
        if refusal.errors[0]["type"] != NO_JSON:
            return refusal
        return body_invalid(
            [("", "the line isn't valid JSON; CSV needs Content-Type: text/csv", NO_JSON)]
        )
    raise AssertionError("a line that can't be decoded has a reason")


# --- CSV ------------------------------------------------------------------------------


def delimiter_of(header: str) -> str:
    """Return what stands between a header's columns: spreadsheets write , or ; or tabs."""
    return max(_DELIMITERS, key=header.count)


class CsvLines:
    """A header that names the columns, then one recipient a record; quotes may span lines."""

    def __init__(self) -> None:
        self._cutter = Cutter()
        self._head = b""  # the header, until it stands before the first record's octets
        self._record: list[bytes] = []  # lines of a record that goes on, and their octets
        self._record_octets = 0
        self._columns: Sequence[str] | None = None
        self._delimiter = ","

    def feed(self, octets: bytes) -> Iterator[StreamLine | None]:
        """Take more octets; yield the records that are whole now. Raises for a bad header."""
        for cut in self._cutter.feed(octets):
            yield self._take(cut)

    def end(self) -> list[StreamLine]:
        """Return the last record, even with a quote left open. Raises if there's no header."""
        found = [line for cut in self._cutter.end() if (line := self._take(cut)) is not None]
        if self._record:
            found.append(self._read(self._whole_record()))
        if self._columns is None:
            raise _header("needs a header with the column `to`")
        return found

    def _take(self, cut: bytes | Refusal) -> StreamLine | None:
        if isinstance(cut, Refusal):
            self._whole_record()
            return _refused_line(cut)
        if self._columns is None:
            self._read_header(cut)
            return None
        goes_on = cut.count(_QUOTE) % 2 != bool(self._record)  # inside a quoted cell
        self._record.append(cut)
        self._record_octets += len(cut) + 1
        if goes_on and self._record_octets <= LINE_OCTETS_MAX + 1:
            return None
        record = self._whole_record()
        if len(record) > LINE_OCTETS_MAX:
            return _refused_line(_too_long(hashlib.sha256(record).hexdigest()))
        return self._read(record) if record.strip() else None

    def _whole_record(self) -> bytes:
        record = b"\n".join(self._record)
        self._record, self._record_octets = [], 0
        return record

    def _read_header(self, line: bytes) -> None:
        line = line.removeprefix(_BOM)
        if not line.strip():
            return
        text = _text(line)
        self._delimiter = delimiter_of(text)
        names = [cell.strip().casefold() for cell in _cells(text, self._delimiter)]
        if len(names) > COLUMNS_MAX:
            raise _header(f"has more than {COLUMNS_MAX} columns")
        unknown = next((name for name in names if name not in _COLUMN), None)
        if unknown is not None:
            raise refuse(Code.UNKNOWN_FIELD, name=unknown[:64], field="header")
        columns = [_COLUMN[name] for name in names]
        if "to" not in columns or len(set(columns)) != len(columns):
            raise _header("needs `to` once, and `message` and `client_ref` at most once")
        self._columns = columns
        self._head = line + b"\n"

    def _read(self, record: bytes) -> StreamLine:
        raw, self._head = self._head + record, b""
        try:
            cells = _cells(_text(record), self._delimiter)
        except Refusal as refusal:
            return StreamLine(raw, refusal=refusal)
        columns = self._columns or ()
        if len(cells) != len(columns):
            words = f"has {len(cells)} cells, the header has {len(columns)}"
            return StreamLine(raw, refusal=body_invalid([("", words, "columns")]))
        row = dict(zip(columns, cells, strict=True))
        to, client_ref = row["to"].strip(), row.get("client_ref") or None
        if client_ref is not None and len(client_ref) > _CLIENT_REF_MAX:
            words = f"has at most {_CLIENT_REF_MAX} characters"
            problem = body_invalid([("client_ref", words, "range")])
            return StreamLine(raw, refusal=problem, to=to)
        return StreamLine(raw, Recipient(to, row.get("message") or None, client_ref), None, to)


_CLIENT_REF_MAX: Final = 64


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise body_invalid([("", "isn't UTF-8", "encoding")]) from None


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise body_invalid(
            [("", "a quotation mark stands in the wrong place", "csv")]
        ) from None


def _header(problem: str) -> Refusal:
    return body_invalid([("header", problem, "header")])
