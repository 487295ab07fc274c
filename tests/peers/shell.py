"""The thinnest shell a session can have: one socket, one clock, and a record of every PDU."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arrivals.smpp.events import Event, LinkDead, PeerUnbound, Unbound
from arrivals.smpp.pdu import Framer, Pdu
from arrivals.smpp.session import Session

READ_OCTETS = 65536


class Shell:
    """Move bytes and time for one session until it ends."""

    def __init__(
        self,
        session: Session,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        take: Callable[[Event], None],
    ) -> None:
        self.session = session
        self.heard: list[Pdu] = []
        self.said: list[Pdu] = []
        self._reader, self._writer = streams
        self._take = take
        self._ears, self._mouth = Framer(), Framer()

    def flush(self) -> None:
        """Write what the session has queued."""
        data = self.session.bytes_to_send()
        self.said += [frame for frame in self._mouth.feed(data) if isinstance(frame, Pdu)]
        self._writer.write(data)

    async def run(self) -> None:
        """Serve the session until the link is ended by either side."""
        clock = asyncio.get_running_loop().time
        ended = False
        while not ended:
            self.flush()
            due = self.session.next_timer()
            wait_s = None if due is None else max(due - clock(), 0)
            try:
                async with asyncio.timeout(wait_s):
                    data = await self._reader.read(READ_OCTETS)
            except TimeoutError:
                events = self.session.tick(clock())
            else:
                ended = not data
                self.heard += [f for f in self._ears.feed(data) if isinstance(f, Pdu)]
                lost = self.session.connection_lost
                events = self.session.receive_data(data, clock()) if data else lost()
            for event in events:
                self._take(event)
                ended |= isinstance(event, PeerUnbound | Unbound | LinkDead)
        self.flush()
        self._writer.close()
        await self._writer.wait_closed()
