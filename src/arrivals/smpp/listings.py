"""The lists within a PDU: a submit_multi's destinations, and those of them that failed."""

from __future__ import annotations

from arrivals.smpp import layouts
from arrivals.smpp.pdu import Fields, Pdu, UnencodablePdu


def destinations(pdu: Pdu) -> list[Fields]:
    """Return a submit_multi's destinations, each by its fields (a dl_name stands alone)."""
    return _read_listing(layouts.DESTINATIONS, pdu)


def failures(pdu: Pdu) -> list[Fields]:
    """Return a submit_multi_resp's failed destinations, each with its error_status_code."""
    return _read_listing(layouts.FAILURES, pdu)


def _read_listing(listing: layouts.Listing, pdu: Pdu) -> list[Fields]:
    raw = pdu.octets(listing.name)
    items = []
    at = 1
    while at < len(raw):
        item, at = listing.read_item(raw, at)
        items.append(item)
    return items


def pack_destinations(items: list[Fields]) -> bytes:
    """Return the dest_addresses of a submit_multi from its destinations' fields."""
    return _write_listing(layouts.DESTINATIONS, items)


def pack_failures(items: list[Fields]) -> bytes:
    """Return the unsuccess_smes of a submit_multi_resp from the failures' fields."""
    return _write_listing(layouts.FAILURES, items)


def _write_listing(listing: layouts.Listing, items: list[Fields]) -> bytes:
    if len(items) > 255:
        raise UnencodablePdu(f"{listing.name} holds at most 255, not {len(items)}")
    parts = [bytes((len(items),))]
    for item in items:
        named = "dl_name" in item
        layout = layouts.LIST_NAME if named else layouts.ADDRESS
        if listing.flagged:
            parts.append(b"\2" if named else b"\1")
        else:
            layout = layouts.FAILURE
        try:
            parts += [field.write(item.get(field.name)) for field in layout]
        except layouts.FieldFault as fault:
            raise UnencodablePdu(fault.reason) from None
    return b"".join(parts)
