"""Notice in a stream who is to get the same text twice, and in which line they stood first.

What is kept of a line is a number or sixteen octets, and a stream has 100,000 recipients at
most: some 15 MB for the longest, for as long as it is read. The lines alone decide, not what
became of them, so a stream that goes on finds what it would have found in one piece.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from arrivals.core.phone import InvalidNumber, normalise_msisdn
from arrivals.flows.plan import Recipient

KEPT_MAX: Final = 1_000  # repeats that are told one by one
_DIGEST_OCTETS: Final = 16


class Repeat(msgspec.Struct, frozen=True):
    """One line whose number and text stood in another one before; lines count from 1."""

    line: int
    to: str
    first: int


class Repeats:
    """The repeats of one stream so far; `drop` says whether they are left out."""

    def __init__(self, text: str | None, *, drop: bool) -> None:
        self.drop = drop
        self.count = 0
        self.kept: list[Repeat] = []
        self._text = text  # of lines that have none
        self._first: dict[int | bytes, int] = {}

    def first_line(self, line: int, recipient: Recipient) -> int | None:
        """Note a line; return the one that its number and text stood in first, or None."""
        try:
            msisdn = normalise_msisdn(recipient.to)
        except InvalidNumber:
            return None  # it is refused for that
        first = self._first.setdefault(self._key(msisdn, recipient.text), line)
        if first == line:
            return None
        self.count += 1
        if len(self.kept) < KEPT_MAX:
            self.kept.append(Repeat(line, msisdn, first))
        return first

    def _key(self, msisdn: str, text: str | None) -> int | bytes:
        if text is None or text == self._text:
            return int(msisdn)
        both = f"{msisdn}\n{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(both, digest_size=_DIGEST_OCTETS).digest()
