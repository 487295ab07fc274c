"""Cut a stream of octets into lines, and read each as NDJSON; `csv_lines` reads CSV.

Octets go in as they come and lines come out as soon as they are whole. A line that can't be
read comes out as well, with the reason, so that every line of a stream gets a verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from arrivals.core.errors import Code, Refusal, body_invalid, refuse
from arrivals.flows.batches import REFUSALS_KEPT_MAX, StreamLine
from arrivals.flows.plan import Recipient
from arrivals.http.charsets import BOM, HEAD_OCTETS, refuse_charset, refuse_kind
from arrivals.http.json_body import NO_JSON, read_json, refuse_repeated
from arrivals.http.send_body import BodyMessage

LINE_OCTETS_MAX: Final = 64 * 1024
SLICE_OCTETS: Final = 16 * 1024  # cut at once: of blank lines alone, less than a millisecond
# Blank lines, and those within quotes, are none of the lines that are counted.
BREAKS_MAX: Final = 2_000_000


class LineReader(Protocol):
    """Turns octets into lines."""

    @property
    def begun(self) -> bool:
        """Tell whether enough was read to know that it can be read at all."""

    def feed(self, octets: bytes) -> Iterator[StreamLine | None]:
        """Take more octets; yield the lines that are whole now, None for what makes none."""

    def end(self) -> list[StreamLine]:
        """Return the last line, if the stream didn't end with a line break."""


class Cutter:
    """Cut octets at line breaks: LF, CRLF, or CR alone as old spreadsheets write it.

    A byte-order mark in front is left out, and what is no text in UTF-8 refused by its name.
    Of a line above the bound only a digest is kept.
    """

    def __init__(self) -> None:
        self.begun = False  # whether what the octets are was seen
        self._first = b""
        self._after_cr = False
        self._tail = b""
        self._overlong: hashlib._Hash | None = None
        self._breaks = 0
        self.line = 0  # of the cut that was yielded last, as an editor counts

    def feed(self, octets: bytes) -> Iterator[bytes | Refusal]:
        """Yield whole lines without their break, and a refusal for each overlong one."""
        if not self.begun:
            self._first += octets
            if len(self._first) < HEAD_OCTETS:
                return
            octets = self._begin()
        for at in range(0, len(octets), SLICE_OCTETS):
            yield from self._cut(octets[at : at + SLICE_OCTETS])

    def _begin(self) -> bytes:
        refuse_kind(self._first)
        self.begun = True
        octets, self._first = self._first.removeprefix(BOM), b""
        return octets

    def _cut(self, octets: bytes) -> Iterator[bytes | Refusal]:
        if self._after_cr and octets:
            octets = octets.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in octets:
            self._after_cr = octets.endswith(b"\r")
            octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, self._tail = (self._tail + octets).split(b"\n")
        self._breaks += len(whole)
        if self._breaks > BREAKS_MAX:
            raise refuse(Code.BODY_TOO_LARGE, limit=f"{BREAKS_MAX:,} lines, blank ones too")
        for line in whole:
            self.line += 1
            yield self._line(line)
        if len(self._tail) > LINE_OCTETS_MAX:
            self._overlong = self._overlong or hashlib.sha256()
            self._overlong.update(self._tail)
            self._tail = b""

    def end(self) -> Iterator[bytes | Refusal]:
        """Yield the last line, if there is one."""
        if self._first:
            yield from self._cut(self._begin())
        if self._tail or self._overlong is not None:
            self.line += 1
            yield self._line(self._tail)
        self._tail = b""

    def _line(self, line: bytes) -> bytes | Refusal:
        if self._overlong is not None:
            self._overlong.update(line)
            digest, self._overlong = self._overlong.hexdigest(), None
            return too_long(digest)
        if len(line) > LINE_OCTETS_MAX:
            return too_long(hashlib.sha256(line).hexdigest())
        return line


def too_long(digest: str) -> Refusal:
    """Refuse a line above the bound; the digest of its octets stands for it."""
    refusal = refuse(Code.BODY_TOO_LARGE, limit=f"{LINE_OCTETS_MAX // 1024} KiB a line")
    refusal.extra["sha256"] = digest
    return refusal


def refused_line(refusal: Refusal, line: int) -> StreamLine:
    """Stand in for an overlong line; its digest takes its place in the stream's hash."""
    return StreamLine(str(refusal.extra["sha256"]).encode(), refusal=refusal, line=line)


# --- NDJSON ---------------------------------------------------------------------------

_LINE: Final = msgspec.json.Decoder(BodyMessage, strict=True)


class JsonLines:
    """One JSON object a line: `to`, and if wanted `message` and `client_ref`."""

    def __init__(self, charset: str | None = None) -> None:
        """Begin to read; `charset` is one that was declared and isn't UTF-8."""
        self._cutter = Cutter()
        self._charset = charset
        self._explained = 0

    @property
    def begun(self) -> bool:
        """Tell whether it was seen that this may be UTF-8."""
        return self._cutter.begun

    def feed(self, octets: bytes) -> Iterator[StreamLine | None]:
        """Take more octets; yield the lines that are whole now, None for blank ones."""
        for cut in self._cutter.feed(octets):
            yield self._line(cut) if cut else None

    def end(self) -> list[StreamLine]:
        """Return the last line, if the stream didn't end with a line break."""
        return [self._line(cut) for cut in self._cutter.end() if cut]

    def _line(self, cut: bytes | Refusal) -> StreamLine:
        line = self._cutter.line
        if isinstance(cut, Refusal):
            return refused_line(cut, line)
        try:
            refuse_charset(cut, self._charset)
            found = _LINE.decode(cut)
            refuse_repeated(cut)
        except Refusal as refusal:
            return StreamLine(cut, refusal=refusal, line=line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self._explained >= REFUSALS_KEPT_MAX:
                return StreamLine(cut, refusal=_NOT_SHOWN, line=line)
            self._explained += 1
            return StreamLine(cut, refusal=_why_not(cut), line=line)
        recipient = Recipient(found.to, found.message, found.client_ref)
        return StreamLine(cut, recipient, None, found.to, line)


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
