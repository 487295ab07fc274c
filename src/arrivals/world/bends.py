"""How providers bend the receipts that SMPP describes: their words, texts, tails and addresses.

Every form here is one that somebody's provider writes. A table states which shares of a
provider's receipts have which form, the rest are as appendix B has them; what one submission
draws counts for all of its receipts, so that a receipt told twice is the same octets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

import msgspec

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, make_tlv, table_body
from arrivals.world.draws import Draws
from arrivals.world.tables import Part, Share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arrivals.smpp.pdu import Fields, Tlvs

Wording = Literal[
    "bare",  # the state's word without its key
    "quoted",
    "equals",  # `=` in place of every colon
    "piped",  # pipes in place of every blank between values
    "dotted",  # a dot behind the word
    "numbered",  # the state's number in place of its word
    "long",  # the state's name in place of its word
    "lower",
]
TextForm = Literal["utf-16-be", "utf-16-be-marked", "utf-16-le", "utf-16-le-marked"]
Tail = Literal["nul", "two_nuls", "three_nuls", "cut_tlv"]
ClassForm = Literal[
    "unmarked",  # esm_class 0
    "odd",  # one that no receipt has
    "headerless",  # a user data header is announced and isn't there
]
AddressForm = Literal[
    "unswapped",  # from our sender to the handset, as in the submit_sm
    "rewritten",  # with or without the digit that mobiles have after the country code
    "national",
    "prefixed",  # by the route that it took
]
StateForm = Literal[
    "zero",  # message_state 0, which is no state in 3.4
    "disagreeing",  # another one than the text's
    "absent",
]

LONG_WORDS: Final = {  # section 5.2.28
    "DELIVRD": "DELIVERED",
    "UNDELIV": "UNDELIVERABLE",
    "ACCEPTD": "ACCEPTED",
    "REJECTD": "REJECTED",
}
TAILS: Final[dict[Tail, bytes]] = {
    "nul": b"\0",
    "two_nuls": b"\0\0",
    "three_nuls": b"\0\0\0",
    "cut_tlv": b"\x14\x01\x00\x10cut",  # a vendor's, of sixteen octets
}
MARKS: Final[dict[TextForm, bytes]] = {
    "utf-16-be": b"",
    "utf-16-be-marked": b"\xfe\xff",
    "utf-16-le": b"",
    "utf-16-le-marked": b"\xff\xfe",
}
# What stands beside a text of UTF-16: all of 0 (whatever that is), Latin-1, octets, UCS-2.
UTF_16_CODINGS: Final = (0, 3, 4, 8)
# Message modes alone, the two acknowledgements, and a receipt that is intermediate as well.
ODD_CLASSES: Final = (0x01, 0x03, 0x08, 0x10, 0x24)
OPPOSITES: Final = {"DELIVRD": "UNDELIV"}  # of the others, DELIVRD is one
TRUNKS: Final = ("0", "")  # before a national number
ROUTE_PREFIX: Final = "7001"
# Mexico and Argentina wrote a digit before their mobiles; so does the rest of this world.
MOBILE_DIGITS: Final = {"52": "1", "54": "9"}
MOBILE_DIGIT: Final = "1"
COUNTRY_DIGITS: Final = 2
SHORT_MESSAGE_MAX: Final = 254

F = TypeVar("F", bound=str)

_KEYS: Final = re.compile(r"\b(id|sub|dlvrd|submit date|done date|stat|err|text):")
_BETWEEN: Final = re.compile(r" (?=(?:sub|dlvrd|submit date|done date|stat|err|text):)")


class Shape(NamedTuple):
    """How one receipt is written; None is the specification's way."""

    wording: Wording | None = None
    text: TextForm | None = None
    tail: Tail | None = None
    esm_class: ClassForm | None = None
    addresses: AddressForm | None = None
    state: StateForm | None = None
    luck: float = 0.5  # for what is one of several


class Bends(Part, frozen=True):
    """Shares of receipts by how they're written; what isn't stated is as specified."""

    wordings: dict[Wording, Share] = msgspec.field(default_factory=dict)
    texts: dict[TextForm, Share] = msgspec.field(default_factory=dict)
    tails: dict[Tail, Share] = msgspec.field(default_factory=dict)
    classes: dict[ClassForm, Share] = msgspec.field(default_factory=dict)
    addresses: dict[AddressForm, Share] = msgspec.field(default_factory=dict)
    states: dict[StateForm, Share] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse more than there is."""
        for name in self.__struct_fields__:
            if sum(getattr(self, name).values()) > 1:
                raise ValueError(f"shares of {name} sum to more than 1")

    def draw(self, seed: int, identity: bytes) -> Shape:
        """Draw how a submission's receipts are written."""
        own = Draws(seed, identity)
        return Shape(
            wording=_pick(self.wordings, own, b"bent wording"),
            text=_pick(self.texts, own, b"bent text"),
            tail=_pick(self.tails, own, b"bent tail"),
            esm_class=_pick(self.classes, own, b"bent class"),
            addresses=_pick(self.addresses, own, b"bent addresses"),
            state=_pick(self.states, own, b"bent state"),
            luck=own.u(b"bent by luck"),
        )


STRAIGHT: Final = Bends()
AS_SPECIFIED: Final = Shape()


def _pick(shares: Mapping[F, float], own: Draws, purpose: bytes) -> F | None:
    """Draw one form, or none: what is left of the whole is as specified."""
    rest = own.u(purpose) if shares else 0.0
    for form, share in shares.items():
        rest -= share
        if rest < 0:
            return form
    return None


def bent(fields: Fields, tlvs: Tlvs, state: str, shape: Shape) -> Pdu:
    """Return a receipt's deliver_sm, written in a shape of its own.

    `fields` and `tlvs` are as specified, and `state` is the word in the text.
    """
    fields = dict(fields)
    text = _worded(bytes(fields["short_message"]).decode("latin-1"), state, shape)
    octets = text.encode("latin-1")
    if shape.text:
        octets = MARKS[shape.text] + text.encode(shape.text.removesuffix("-marked"))
        fields["data_coding"] = _one_of(UTF_16_CODINGS, shape.luck)
    if len(octets) > SHORT_MESSAGE_MAX:
        tlvs = (*tlvs, make_tlv(c.TLV_MESSAGE_PAYLOAD, octets))
        octets = b""
    fields["short_message"] = octets
    if shape.esm_class:
        fields["esm_class"] = _class_of(shape)
    if shape.addresses:
        _readdress(fields, shape)
    whole = Pdu(c.DELIVER_SM, fields=fields, tlvs=_stated(tlvs, state, shape))
    return whole if not shape.tail else _with_tail(whole, TAILS[shape.tail])


def _one_of(choices: tuple[int, ...], luck: float) -> int:
    return choices[int(luck * len(choices))]


def _worded(text: str, word: str, shape: Shape) -> str:
    said, wording = f"stat:{word}", shape.wording
    if wording == "bare":
        return text.replace(said, word)
    if wording == "equals":
        return _KEYS.sub(r"\1=", text)
    if wording == "piped":
        return _BETWEEN.sub("|", text)
    written = {
        "quoted": f'"{word}"',
        "dotted": f"{word}.",
        "numbered": str(c.MESSAGE_STATES.get(word, word)),
        "long": LONG_WORDS.get(word, word),
        "lower": word.lower(),
    }.get(wording or "", word)
    return text.replace(said, f"stat:{written}")


def _class_of(shape: Shape) -> int:
    if shape.esm_class == "headerless":
        return c.ESM_DELIVERY_RECEIPT | c.ESM_UDHI
    return 0 if shape.esm_class == "unmarked" else _one_of(ODD_CLASSES, shape.luck)


def _readdress(fields: Fields, shape: Shape) -> None:
    handset = fields["source_addr"]
    if shape.addresses == "unswapped":
        for place in ("addr", "addr_ton", "addr_npi"):
            ours = "destination_addr" if place == "addr" else f"dest_{place}"
            theirs = f"source_{place}"
            fields[ours], fields[theirs] = fields[theirs], fields[ours]
    elif isinstance(handset, bytes):
        number = rewritten(handset.decode("latin-1"), shape)
        fields["source_addr"] = number.encode("latin-1")


def rewritten(number: str, shape: Shape) -> str:
    """Return a handset's number as its carrier writes it."""
    code, rest = number[:COUNTRY_DIGITS], number[COUNTRY_DIGITS:]
    if shape.addresses == "national":
        return TRUNKS[int(shape.luck * len(TRUNKS))] + rest
    if shape.addresses == "prefixed":
        return ROUTE_PREFIX + number
    digit = MOBILE_DIGITS.get(code, MOBILE_DIGIT)
    return code + rest[1:] if rest.startswith(digit) else code + digit + rest


def _stated(tlvs: Tlvs, word: str, shape: Shape) -> Tlvs:
    """Return the TLVs with another message_state, where there is one at all."""
    if not shape.state or all(tag != c.TLV_MESSAGE_STATE for tag, _ in tlvs):
        return tlvs
    others = tuple(tlv for tlv in tlvs if tlv[0] != c.TLV_MESSAGE_STATE)
    if shape.state == "absent":
        return others
    other = c.MESSAGE_STATES[OPPOSITES.get(word, "DELIVRD")]
    return (*others, make_tlv(c.TLV_MESSAGE_STATE, 0 if shape.state == "zero" else other))


def _with_tail(pdu: Pdu, tail: bytes) -> Pdu:
    tlvs = b"".join(
        tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
        for tag, value in pdu.tlvs
    )
    return msgspec.structs.replace(pdu, body=table_body(pdu) + tlvs + tail)
