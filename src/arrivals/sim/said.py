"""What receipts say, read by the auditor's own eyes and not by our reader.

Appendix B of SMPP 3.4 is a convention, and every carrier bends it. A receipt's id and word
are looked for in its text, whatever that is written in, and in its TLVs; what a reader must
be able to make of them is judged here, and not asked of whom is judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from arrivals.sim.frames import Short

GOOD: Final = "DELIVRD"
BAD: Final = frozenset({"UNDELIV", "REJECTD", "DELETED"})
FINAL: Final = BAD | {GOOD, "EXPIRED", "UNKNOWN"}

_RECEIPT: Final = 0x04
_INTERMEDIATE: Final = 0x20
_KIND: Final = 0x3C
_ID_TLV: Final = 0x001E
_STATE_TLV: Final = 0x0427
_STATES: Final = {  # section 5.2.28; 0 is no state in 3.4
    1: "ENROUTE", 2: "DELIVRD", 3: "EXPIRED", 4: "DELETED",
    5: "UNDELIV", 6: "ACCEPTD", 7: "UNKNOWN", 8: "REJECTD",
}  # fmt: skip
_NAMES: Final = {
    "DELIVERED": "DELIVRD",
    "UNDELIVERABLE": "UNDELIV",
    "ACCEPTED": "ACCEPTD",
    "REJECTED": "REJECTD",
    "ACKED": "ENROUTE",
    "BUFFRED": "ENROUTE",
    **{word: word for word in _STATES.values()},
    **{str(number): word for number, word in _STATES.items()},
}
_ID: Final = re.compile(r"\bid[:=]([^\s|]+)")
_STAT: Final = re.compile(r'\bstat[:=]"?(\w+)', re.ASCII)
_WORD: Final = re.compile(rf"\b({'|'.join(_STATES.values())})\b")
_TEXT: Final = re.compile(r"\btext[:=].*", re.DOTALL)


class Said(NamedTuple):
    """One receipt."""

    name: str  # the id, as written
    words: frozenset[str]  # canonical; two where text and TLV disagree
    marked: bool  # by its class or its id's TLV, as SMPP has it

    @property
    def word(self) -> str:
        """The word, where there's one."""
        return next(iter(self.words)) if len(self.words) == 1 else ""


def read_said(short: Short) -> Said | None:
    """Return what a deliver_sm says of a message; None for a handset's own."""
    text = _TEXT.sub("", _legible(short.octets))
    found_id, found = _ID.search(text), _STAT.search(text) or _WORD.search(text)
    tlv_id = short.tlvs.get(_ID_TLV, b"").partition(b"\0")[0].decode("latin-1")
    if not (found_id or tlv_id) or not found:
        return None
    words = {_NAMES.get(found[1].upper(), found[1].upper())}
    state = _STATES.get(int.from_bytes(short.tlvs.get(_STATE_TLV, b""), "big"))
    if state in FINAL and words <= FINAL:
        words.add(str(state))
    kind = short.esm_class & _KIND
    marked = kind in (_RECEIPT, _INTERMEDIATE) or (not kind and bool(tlv_id))
    return Said(tlv_id or (found_id[1] if found_id else ""), frozenset(words), marked)


def _legible(octets: bytes) -> str:
    """Return a receipt's text; whatever data_coding says, UTF-16 shows by its zeros."""
    if octets[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return octets.decode("utf-16", "replace")
    if b"\0" in octets[:2]:
        return octets.decode("utf-16-be" if not octets[0] else "utf-16-le", "replace")
    return octets.decode("latin-1")


def names_of(message_id: str) -> set[str]:
    """Return every way in which a receipt may write the id of an answer."""
    plain = message_id.casefold()
    names = {plain, plain.lstrip("0")}
    if plain.isdigit():
        names.add(f"{int(plain):x}")
    if plain and not plain.strip("0123456789abcdef"):
        names.add(str(int(plain, 16)))
    return names


def name_of(receipt_id: str) -> str:
    """Return the way under which to look a receipt's id up."""
    return receipt_id.casefold().lstrip("0")
