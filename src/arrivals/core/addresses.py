"""Read where a host listens: "a", "b:2776", "[2001:db8::1]:2776"."""

from __future__ import annotations

from typing import Final

# A name or an IPv4 address, or an IPv6 address in brackets; a port or none.
HOST_AND_PORT: Final = r"^([^\s:\[\]]{1,253}|\[[0-9A-Fa-f:.%]{2,60}\])(:[0-9]{1,5})?$"
PORT_MAX: Final = 65_535


def address_of(text: str, port: int) -> tuple[str, int] | None:
    """Return host and port, `port` where none is given; None if that port can't be one."""
    name, colon, number = text.rpartition(":")
    if not colon or text.endswith("]"):
        name, number = text, str(port)
    if not 1 <= int(number) <= PORT_MAX:
        return None
    return name.removeprefix("[").removesuffix("]"), int(number)
