"""Write a capture file of one TCP conversation, for decoders that read nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

LINK_TYPE_RAW_IP = 101  # no Ethernet around the packets
PUSH_AND_ACK = 0x18
CLIENT = (bytes((127, 0, 0, 1)), 50123)
SERVER = (bytes((127, 0, 0, 2)), 2775)


def ip_checksum(header: bytes) -> int:
    """Return the checksum of an IPv4 header (RFC 791)."""
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(number: int, sent: int, heard: int, payload: bytes, *, from_client: bool) -> bytes:
    """Return one IPv4 packet with a TCP segment; TCP's own checksum is left out."""
    (source, source_port), (target, target_port) = (
        (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
    )
    tcp = struct.pack(
        ">HHIIBBHHH", source_port, target_port, sent, heard, 5 << 4, PUSH_AND_ACK, 65535, 0, 0
    )
    length = 20 + len(tcp) + len(payload)
    head = struct.pack(">BBHHHBBH", 0x45, 0, length, number, 0x4000, 64, 6, 0) + source + target
    return head[:10] + ip_checksum(head).to_bytes(2, "big") + head[12:] + tcp + payload


def write_capture(path: Path, payloads: Iterable[tuple[bool, bytes]]) -> None:
    """Write a pcap file of (from the client?, octets), each in its own segment."""
    octets_said = {True: 1, False: 1}
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, LINK_TYPE_RAW_IP))
        for number, (from_client, payload) in enumerate(payloads, start=1):
            sent, heard = octets_said[from_client], octets_said[not from_client]
            octets = packet(number, sent, heard, payload, from_client=from_client)
            octets_said[from_client] += len(payload)
            file.write(struct.pack("<IIII", number, 0, len(octets), len(octets)))
            file.write(octets)
