"""What Hypothesis draws PDUs from: the layouts themselves."""

from __future__ import annotations

from hypothesis import strategies as st

from arrivals.smpp import constants as c
from arrivals.smpp import layouts
from arrivals.smpp.pdu import Fields, Pdu, encode, pack_destinations, pack_failures

uint32 = st.integers(0, 0xFFFFFFFF)
tags = st.one_of(st.sampled_from(sorted(layouts.TLVS)), st.integers(0, 0xFFFF))
tlvs = st.lists(st.tuples(tags, st.binary(max_size=40)), max_size=4).map(tuple)
streams = st.lists(st.binary(max_size=60), max_size=12)


def strings(octets_max: int) -> st.SearchStrategy[bytes]:
    """Draw octets without NUL that leave room for one."""
    return st.binary(max_size=octets_max - 1).map(lambda value: value.replace(b"\0", b"0"))


def values(field: layouts.Field) -> st.SearchStrategy[int | bytes]:
    """Draw what one field may hold."""
    if isinstance(field, layouts.Integer):
        return st.integers(0, (1 << 8 * field.size) - 1)
    if isinstance(field, layouts.CString):
        return strings(field.octets_max)
    if isinstance(field, layouts.Octets):
        return st.binary(max_size=field.octets_max)
    if field.flagged:
        item = st.one_of(fields(layouts.ADDRESS), fields(layouts.LIST_NAME))
        return st.lists(item, max_size=4).map(pack_destinations)
    return st.lists(fields(layouts.FAILURE), max_size=4).map(pack_failures)


def fields(layout: layouts.Layout) -> st.SearchStrategy[Fields]:
    """Draw all the fields of a layout."""
    return st.fixed_dictionaries({field.name: values(field) for field in layout})


@st.composite
def pdus(draw: st.DrawFn, commands: tuple[int, ...] = tuple(layouts.LAYOUTS)) -> Pdu:
    """Draw a whole PDU of a known command."""
    command_id = draw(st.sampled_from(commands))
    return Pdu(
        command_id,
        draw(uint32),
        draw(uint32),
        draw(fields(layouts.LAYOUTS[command_id])),
        draw(tlvs),
    )


@st.composite
def hostile_octets(draw: st.DrawFn) -> bytes:
    """Draw a frame of a sound length whose rest is anything."""
    command_id = draw(st.one_of(st.sampled_from(sorted(layouts.LAYOUTS)), uint32))
    body = draw(st.binary(max_size=120))
    return encode(Pdu(command_id, draw(uint32), draw(uint32), body=body))


@st.composite
def bent_octets(draw: st.DrawFn) -> bytes:
    """Draw a good PDU with a few octets changed, its length among them at times."""
    octets = bytearray(encode(draw(pdus())))
    for _ in range(draw(st.integers(1, 4))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets)


HOT = (c.SUBMIT_SM, c.DELIVER_SM, c.SUBMIT_SM_RESP, c.DELIVER_SM_RESP)
