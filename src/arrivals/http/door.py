"""How many connections there may be, and which one gives way to a new one.

A connection that costs nobody anything is cheap until there is no room for another: the
system refuses the next, and with it the health check. So there is a bound below the system's
own. When it's reached, the connection that has been quiet longest gives way: nothing is being
answered on it. If all are being answered, a new one gets a spare place, where only health is
answered, and everything else is told to come back.

    there's room                 ──▶ IN
    full, one of them is quiet   ──▶ that one leaves, IN
    full, none is quiet          ──▶ SPARE: /healthz and /readyz, else 503
    the spare places are taken, or one address has its share   ──▶ OUT

Each connection says by when it has to have moved on; the door looks at all of them once a
second. That costs less than a timer for each request, and a second more harms nobody.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter, OrderedDict
from enum import Enum, auto
from typing import Final, Protocol

# More than a thousand busy clients with a pool each; a place costs some ten KiB.
CONNECTIONS_MAX: Final = 10_000
# Of one address. Behind a proxy all clients share one: then it is a setting.
PER_ADDRESS_MAX: Final = CONNECTIONS_MAX // 2
SPARE_MAX: Final = 32  # probes of load balancers and monitoring, and those told to come back
OPERATORS_MAX: Final = 64  # on the port of metrics, which customers don't reach

IDLE_S: Final = 75.0  # between requests; most load balancers keep theirs for 60
HEAD_S: Final = 10.0  # for a first line and headers, from their first octet
PIECE_S: Final = 20.0  # between two pieces of a body
BODY_S: Final = 120.0  # for a whole one: 2 MiB at 18 KiB a second
UNREAD_S: Final = 60.0  # for a client to go on reading what it asked for
LINGER_S: Final = 10.0  # for a client to read a refusal while it still sends
CONNECTION_S: Final = 3_600.0  # then the next answer is its last, so load is shared out again
LOOK_EVERY_S: Final = 1.0

_IPV6_OF_ONE: Final = 64  # the prefix that one customer of a network has to himself


class Place(Enum):
    """What a new connection is given."""

    IN = auto()
    SPARE = auto()
    OUT = auto()


class Guest(Protocol):
    """A connection as the door sees it."""

    address: str  # whose it is, as `address_of` writes it
    due: float  # by the loop's clock: when `overdue` is called

    def overdue(self, now: float) -> None:
        """Move on, or leave."""

    def give_way(self) -> None:
        """Leave at once."""


class Door:
    """Count the connections of one port, and see to it that they move on."""

    def __init__(
        self,
        connections_max: int = CONNECTIONS_MAX,
        per_address_max: int = PER_ADDRESS_MAX,
        spare_max: int = SPARE_MAX,
    ) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._spare_max = spare_max
        self._places: dict[Guest, Place] = {}
        self._in = 0
        self._of_address: Counter[str] = Counter()
        self._quiet: OrderedDict[Guest, None] = OrderedDict()  # the longest one first
        self._looking: asyncio.TimerHandle | None = None

    def enter(self, guest: Guest, loop: asyncio.AbstractEventLoop) -> Place:
        """Give a new connection its place; one that is let in is quiet."""
        place = self._place_for(guest)
        if place is Place.OUT:
            return place
        self._places[guest] = place
        self._of_address[guest.address] += 1
        if place is Place.IN:
            self._in += 1
            self._quiet[guest] = None
        if self._looking is None:
            self._looking = loop.call_later(LOOK_EVERY_S, self._look, loop)
        return place

    def leave(self, guest: Guest) -> None:
        """Take a connection's place back, if it has one."""
        place = self._places.pop(guest, Place.OUT)
        if place is Place.OUT:
            return
        self._quiet.pop(guest, None)
        if place is Place.IN:
            self._in -= 1
        self._of_address[guest.address] -= 1
        if not self._of_address[guest.address]:
            del self._of_address[guest.address]

    def busy(self, guest: Guest) -> None:
        """Note that a request is being answered: the connection won't give way."""
        self._quiet.pop(guest, None)

    def quiet(self, guest: Guest) -> None:
        """Note that nothing is being answered: from now on the connection may give way."""
        if self._places.get(guest) is Place.IN:
            self._quiet[guest] = None

    def _place_for(self, guest: Guest) -> Place:
        if guest.address and self._of_address[guest.address] >= self._per_address_max:
            return Place.OUT
        if self._in >= self._connections_max and self._quiet:
            longest = next(iter(self._quiet))
            self.leave(longest)
            longest.give_way()
        if self._in < self._connections_max:
            return Place.IN
        spare = len(self._places) - self._in
        return Place.SPARE if spare < self._spare_max else Place.OUT

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for guest in [each for each in self._places if each.due <= now]:
            guest.overdue(now)
        self._looking = None
        if self._places:
            self._looking = loop.call_later(LOOK_EVERY_S, self._look, loop)


def address_of(host: str) -> str:
    """Return whose connections count together; empty for the machine's own, which don't."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None and not address.is_loopback:
            return str(ipaddress.ip_network((address, _IPV6_OF_ONE), strict=False))
        address = mapped or address
    return "" if address.is_loopback else str(address)
