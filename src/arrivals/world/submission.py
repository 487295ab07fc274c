"""What one submit_sm asks of the world, and who it is to chance.

A submission's identity is its source, destination, text and part, and that it's the nth
with all of these: nothing about when or after what it came. The parts of one long message
also share a group identity, so that a phone that is off is off for all of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from arrivals.core.text import decode_gsm7
from arrivals.smpp import constants as c
from arrivals.smpp.concat import Part, part_of, split_user_data
from arrivals.world.history import NOTHING_SEEN, Seen
from arrivals.world.recent import Recent

if TYPE_CHECKING:
    from arrivals.smpp.pdu import Pdu
    from arrivals.world.dialect import Alphabet

# Texts whose repetition is remembered, twice at most; an older repeat counts from 1 again.
OCCURRENCES_MAX: Final = 100_000

# Days in the years and months of a relative time (section 7.1.1.2), near enough for a world.
_YEAR_DAYS: Final = 365
_MONTH_DAYS: Final = 30


class Kind(NamedTuple):
    """What `identify` names."""

    source: bytes
    destination: str
    octets: bytes
    part: int
    parts: int


class Submission(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One submit_sm, read."""

    system_id: str
    source: str
    destination: str  # digits, without a plus
    octets: bytes  # the text without its user data header
    data_coding: int = 0
    alphabet: Alphabet = "gsm7"  # what its provider reads data_coding 0 as
    identity: bytes  # of this part
    group: bytes  # of its message: the identity when there's one part
    occurrence: int = 1  # the nth of its kind
    part: int = 1
    parts: int = 1
    concatenation: int = 0  # the parts' own reference
    registered_delivery: int = 1
    reference: int | None = None  # user_message_reference
    validity_s: float | None = None
    at_s: float = 0.0  # since the world began
    backlog_s: float = 0.0  # what a provider over its rate makes it wait
    seen: Seen = NOTHING_SEEN  # by its carrier, before it

    @property
    def text(self) -> str:
        """The text as a handset would show it."""
        return decode_text(self.octets, self.data_coding, self.alphabet)


class Occurrences(Recent[bytes, int]):
    """Count how often each kind of submission came."""

    def __init__(self, occurrences_max: int = OCCURRENCES_MAX) -> None:
        """Start with none."""
        super().__init__(occurrences_max)

    def count(self, key: bytes) -> int:
        """Return which occurrence of `key` this is, from 1."""
        nth = (self.get(key) or 0) + 1
        self.put(key, nth)
        return nth

    def name(
        self, source: bytes, destination: str, octets: bytes, part: int, parts: int
    ) -> tuple[int, bytes, bytes]:
        """Return which occurrence of its kind a submission is, its identity and its group's."""
        kind = identify(source, destination, octets, part, parts)
        occurrence = self.count(kind)
        identity = group = kind + occurrence.to_bytes(4, "big")
        if parts > 1:
            shared = identify(source, destination, b"", 0, parts)
            group = shared + self.count(shared + bytes((part,))).to_bytes(4, "big")
        return occurrence, identity, group


def read_submission(
    pdu: Pdu,
    system_id: str,
    occurrences: Occurrences | None,
    *,
    at_s: float,
    now_us: int,
    backlog_s: float = 0.0,
    alphabet: Alphabet = "gsm7",
) -> Submission:
    """Return what a submit_sm asks.

    Without `occurrences` it isn't counted and has no identity: what a provider turns away
    before looking at it must not change the fate of a later one.
    """
    cut = part_of(pdu)
    kind = _kind(pdu, cut)
    occurrence, identity, group = 0, b"", b""
    if occurrences is not None:
        occurrence, identity, group = occurrences.name(*kind)
    period = pdu.octets("validity_period")
    return Submission(
        system_id=system_id,
        source=kind.source.decode("latin-1"),
        destination=kind.destination,
        octets=kind.octets,
        data_coding=pdu.number("data_coding"),
        alphabet=alphabet,
        identity=identity,
        group=group,
        occurrence=occurrence,
        part=kind.part,
        parts=kind.parts,
        concatenation=cut.reference if cut else 0,
        registered_delivery=pdu.number("registered_delivery"),
        reference=pdu.tlv_int(c.TLV_USER_MESSAGE_REFERENCE) if pdu.tlvs else None,
        validity_s=read_validity(period.decode("latin-1"), now_us) if period else None,
        at_s=at_s,
        backlog_s=backlog_s,
    )


def kind_of(pdu: Pdu) -> Kind:
    """Return what a submit_sm is one of."""
    return _kind(pdu, part_of(pdu))


def _kind(pdu: Pdu, cut: Part | None) -> Kind:
    part, parts = (cut.number, cut.total) if cut else (1, 1)
    octets = split_user_data(pdu)[1]
    return Kind(pdu.octets("source_addr"), destination_of(pdu), octets, part, parts)


def destination_of(pdu: Pdu) -> str:
    """Return the number a submit_sm is for, without a plus."""
    return pdu.octets("destination_addr").lstrip(b"+").decode("latin-1")


def identify(source: bytes, destination: str, octets: bytes, part: int, parts: int) -> bytes:
    """Return the name of a kind of submission."""
    # No SMPP address holds a NUL, so nothing else reads the same.
    kind = b"%b\0%b\0%d/%d\0%b" % (source, destination.encode(), part, parts, octets)
    return blake2b(kind, digest_size=16).digest()


def decode_text(octets: bytes, data_coding: int, alphabet: Alphabet = "gsm7") -> str:
    """Return a text by its data_coding (section 5.2.19); unknown ones read as Latin-1.

    From 0x10 on it is GSM's own scheme (TS 23.038), by which gateways say that a text is to
    flash up: bits 2 and 3 tell the alphabet. What 0 means is each provider's own.
    """
    coding = data_coding & 0x0C if data_coding >= 0x10 else data_coding
    if coding == 0:
        if alphabet == "gsm7":
            return decode_gsm7(octets)
        return octets.decode(alphabet, "replace")
    if coding == 8:
        return octets.decode("utf-16-be", "replace")
    return octets.decode("ascii" if data_coding == 1 else "latin-1", "replace")


def read_validity(period: str, now_us: int) -> float | None:
    """Return how long a validity_period allows, in seconds; None if it can't be read."""
    if len(period) != 16 or not period[:15].isdigit() or not period.isascii():
        return None
    years, months, days, hours, minutes, seconds = (
        int(period[at : at + 2]) for at in range(0, 12, 2)
    )
    if period[15] == "R":
        days += years * _YEAR_DAYS + months * _MONTH_DAYS
        return days * 86_400.0 + hours * 3600 + minutes * 60 + seconds
    if period[15] not in "+-":
        return None
    try:
        local = datetime(2000 + years, months, days, hours, minutes, seconds, tzinfo=UTC)
    except ValueError:
        return None
    ahead = timedelta(minutes=15 * int(period[13:15]))
    until = local - ahead if period[15] == "+" else local + ahead
    return max(0.0, until.timestamp() - now_us / 1e6)
