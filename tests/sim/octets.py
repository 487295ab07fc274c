"""Octets of SMPP for the auditor's tests, written by struct and section 4 alone."""

from __future__ import annotations

import struct
from typing import Any

from arrivals.sim.frames import DELIVER_SM, SUBMIT_SM, SUBMIT_SM_RESP, Frame

NUMBER, OURS = "31612000010", "ARRIVALS"


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


def message(
    text: bytes,
    *,
    source: str = OURS,
    destination: str = NUMBER,
    esm_class: int = 0,
    data_coding: int = 0,
    rest: bytes = b"",
) -> bytes:
    """Return the body of a submit_sm or a deliver_sm."""
    addresses = b"\5\0" + source.encode() + b"\0\1\1" + destination.encode() + b"\0"
    delivery = bytes((esm_class, 0, 0)) + b"\0\0" + bytes((1, 0, data_coding, 0, len(text)))
    return b"\0" + addresses + delivery + text + rest


def submit(sequence: int, text: bytes = b"Your code is 000001", **how: Any) -> Frame:
    return Frame(SUBMIT_SM, 0, sequence, message(text, **how))


def answer(sequence: int, status: int = 0, message_id: str = "1001") -> Frame:
    body = b"" if status else message_id.encode() + b"\0"
    return Frame(SUBMIT_SM_RESP, status, sequence, body)


def receipt(
    sequence: int,
    said: str = "id:1001 sub:001 dlvrd:001 stat:DELIVRD err:000 text:",
    *,
    octets: bytes | None = None,
    **how: Any,
) -> Frame:
    text = said.encode() if octets is None else octets
    swapped: dict[str, Any] = {"source": NUMBER, "destination": OURS, "esm_class": 4}
    return Frame(DELIVER_SM, 0, sequence, message(text, **(swapped | how)))
