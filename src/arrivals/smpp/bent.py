"""Read what a carrier's request says although its octets break its layout.

A receipt that is refused is lost for good, and its message is then charged as unknown: so of
what a carrier sends us, whatever can be read counts. What bends, and what is done about it:

    behind the mandatory fields   a NUL or more, a TLV that is cut off or longer than its PDU:
                                  the TLVs before it stand, and those behind uncounted NULs
    a text without its length     short_message is said to be empty, and stands behind its zero
    in the mandatory fields       too long an address, too great a length: read to its NUL or
                                  to the end, but only where esm_class says that it's a receipt

The last holds for receipts only: a handset's message is proof that ours arrived, and no proof
is made of a guess. A customer's request is never read so: half of one isn't what was meant.
"""

from __future__ import annotations

from typing import Final

from arrivals.smpp import constants as c
from arrivals.smpp import layouts
from arrivals.smpp.pdu import HEADER_OCTETS, Fields, Pdu, Tlvs, read_header, read_tlvs

STRING_OCTETS_MAX: Final = 256  # of a string that is too long; its NUL is looked for no farther
UNCOUNTED_NULS_MAX: Final = 2  # a text's NUL that sm_length leaves out; in UCS-2 it has two
_MARKS: Final = c.ESM_DELIVERY_RECEIPT | c.ESM_INTERMEDIATE_NOTIFICATION


def read_bent(data: bytes) -> Pdu | None:
    """Return what a frame says that `decode` found malformed; None if that can't be told.

    The value keeps the frame's body beside its fields, so that no octet of it is lost.
    """
    command_id, status, number = read_header(data)
    layout = layouts.LAYOUTS.get(command_id)
    if layout is None:
        return None
    fields: Fields = {}
    at, guessed = HEADER_OCTETS, False
    for field in layout:
        try:
            fields[field.name], at = field.read(data, at)
        except layouts.FieldFault:
            found = _read_anyhow(field, data, at)
            if found is None:
                return None
            fields[field.name], at = found
            guessed = True
    marked = bool(int(fields.get("esm_class", 0)) & _MARKS)
    if guessed and not marked:
        return None
    tlvs = _read_stray(data, at)
    if marked and not tlvs and fields.get("short_message") == b"":
        fields["short_message"] = data[at:]
    return Pdu(command_id, status, number, fields, tlvs, data[HEADER_OCTETS:])


def _read_anyhow(field: layouts.Field, data: bytes, at: int) -> tuple[bytes, int] | None:
    if isinstance(field, layouts.CString):
        end = data.find(b"\0", at, at + STRING_OCTETS_MAX)
        return None if end < 0 else (data[at:end], end + 1)
    if isinstance(field, layouts.Octets) and at < len(data):
        return data[at + 1 :], len(data)
    return None


def _read_stray(data: bytes, at: int) -> Tlvs:
    """Return the TLVs at a place, past uncounted NULs if only those stand before them."""
    tlvs, end = read_tlvs(data, at)
    for nuls in range(1, UNCOUNTED_NULS_MAX + 1):
        if end == len(data) or data[at : at + nuls] != bytes(nuls):
            break
        behind, end_behind = read_tlvs(data, at + nuls)
        if behind and end_behind == len(data):
            return behind
    return tlvs
