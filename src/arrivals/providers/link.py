"""One TCP connection with one SMPP session on it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from arrivals.clock import Clock
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, UnencodablePdu
from arrivals.smpp.session import (
    BindRefused,
    Bound,
    Event,
    LinkDead,
    Role,
    Session,
    SessionSettings,
    Unbound,
    WrongState,
)

REFUSED: Final = "the bind was refused"
LOST: Final = "the connection was lost"
# So does a port for TLS to who speaks plainly, and one that doesn't know our address.
SILENT: Final = "it hung up without an answer to our bind"
_TRY_TLS: Final = "it may want TLS (tls = true), or not let our IP address in"
_TRY_PLAIN: Final = "it may not let our IP address in"
UNBOUND: Final = "the provider unbound"
CONNECT_TIMEOUT_S: Final = 10.0
TICK_S: Final = 0.2  # the session's timers count in seconds
GOODBYE_S: Final = 1.0  # for a peer to take the last bytes, then it's cut off

# How those begin who don't speak SMPP; nothing of SMPP is as long as these would be.
_OTHER_TONGUES: Final = {
    b"\x15\x03": "the provider speaks TLS on this port: add tls = true",
    b"\x16\x03": "the provider speaks TLS on this port: add tls = true",
    b"HTTP": "a web server listens on this port, not SMPP",
    b"SSH-": "an SSH server listens on this port, not SMPP",
}


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to dial, and as whom."""

    host: str
    port: int
    system_id: str
    password: str
    system_type: str
    address_range: str
    interface_version: int
    window: int
    response_timeout_s: float
    enquire_link_s: float
    tls: Any = None  # an ssl.SSLContext, or None

    def __repr__(self) -> str:
        """Show where, never the password."""
        return f"LinkSettings({self.system_id!r} at {self.host}:{self.port})"


class Link(asyncio.Protocol):
    """Dial, bind, and give the session's events to their owner, a batch at a time.

    A peer that doesn't read what we owe it is not read from either, so that nothing here
    grows with its silence; its own silence then ends the link.
    """

    def __init__(
        self,
        settings: LinkSettings,
        command_id: int,
        clock: Clock,
        on_events: Callable[[Link, Sequence[Event]], None],
        patience: float = 1.0,
    ) -> None:
        self.closed = asyncio.Event()
        self.was_bound = False
        self.served = False  # whether it was of use: a hand-off was answered over it
        self.leaving = False  # whether nothing more is to go out over it
        self.awaits_late = False  # whether it stays for answers that we gave up on, too
        self.reason = LOST
        self.refused: int | None = None  # the status with which our bind was
        self._settings = settings
        self._command_id = command_id
        self._clock = clock
        self._on_events = on_events
        self._patience = patience
        self._transport: asyncio.Transport | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._writable = True
        self._heard = False
        self._wanted = True  # whether our owner has room for what the peer sends
        session_settings = SessionSettings(
            window=settings.window,
            response_timeout_s=settings.response_timeout_s,
            enquire_link_s=settings.enquire_link_s,
            interface_version=settings.interface_version,
        )
        self.session = Session(Role.ESME, session_settings, clock.monotonic())

    @property
    def receives(self) -> bool:
        """Whether receipts come over this bind."""
        return self._command_id != c.BIND_TRANSMITTER

    @property
    def is_settled(self) -> bool:
        """Whether no answer is waited for."""
        late = self.session.given_up if self.awaits_late else 0
        return not self.session.outstanding and not late

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, bound or not."""
        return self._transport is not None and not self.closed.is_set()

    @property
    def is_bound(self) -> bool:
        """Whether the provider accepted our bind and the link lives."""
        return self.was_bound and not self.closed.is_set()

    async def open(self) -> None:
        """Connect and ask to be bound; Bound or BindRefused follows as an event."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await loop.create_connection(
                lambda: self,
                settings.host,
                settings.port,
                ssl=settings.tls,
                server_hostname=settings.host
                if isinstance(settings.tls, ssl.SSLContext)
                else None,
            )

    def answer(self, pdu: Pdu) -> None:
        """Queue the answer to a request of the provider's; a lost link needs none."""
        if not self.closed.is_set():
            self.session.send_response(pdu, c.ESME_ROK, {"message_id": b""})

    def flush(self) -> None:
        """Write what is queued."""
        if self._transport is not None and (data := self.session.bytes_to_send()):
            self._transport.write(data)

    def read(self, wanted: bool) -> None:  # noqa: FBT001 - a switch
        """Go on reading from the peer, or leave what it sends to its own buffers."""
        if wanted is not self._wanted:
            self._wanted = wanted
            self._read_or_wait()

    def close(self) -> None:
        """Unbind if bound, then close."""
        if self.is_bound:
            with contextlib.suppress(WrongState):  # the session ended already
                self.session.unbind(self._clock.monotonic())
            self.flush()
        self._hang_up()

    async def abort(self) -> None:
        """Cut the connection if it still holds, and wait until that is told."""
        if self._transport is not None and self.is_connected:
            self._transport.abort()
            await self.closed.wait()

    # --- the transport's calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the bind."""
        self._transport = transport  # type: ignore[assignment]
        settings = self._settings
        try:
            self.session.bind(
                self._command_id,
                self._clock.monotonic(),
                system_id=settings.system_id.encode(),
                password=settings.password.encode(),
                system_type=settings.system_type.encode(),
                address_range=settings.address_range.encode(),
            )
        except UnencodablePdu as problem:
            # A login may be longer than SMPP's own bounds, and has one all the same.
            self.reason = f"the login doesn't fit into a bind: {problem}"
            self._hang_up()
            return
        self.flush()
        self._tick()

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the session and its events on."""
        self._heard = True
        if not self.was_bound:
            for beginning, reason in _OTHER_TONGUES.items():
                if data.startswith(beginning):
                    self.reason = reason
                    self._hang_up()
                    return
        self._handle(self.session.receive_data(data, self._clock.monotonic()))

    def pause_writing(self) -> None:
        """Stop reading from a peer that doesn't read."""
        self._writable = False
        self._read_or_wait()

    def resume_writing(self) -> None:
        """Go on with a peer that reads again."""
        self._writable = True
        self._read_or_wait()

    def eof_received(self) -> None:
        """Close with a peer that says nothing more."""
        self._hang_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it's gone anyway
        """Tell what was under way, and that it's over."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self.reason == LOST and not self._heard and self._transport is not None:
            hint = _TRY_TLS if self._settings.tls is None else _TRY_PLAIN
            self.reason = f"{SILENT}: {hint}"
        self.closed.set()
        self._on_events(self, self.session.connection_lost())

    def _tick(self) -> None:
        self._ticking = asyncio.get_running_loop().call_later(
            TICK_S * self._patience, self._tick
        )
        timer = self.session.next_timer()
        now = self._clock.monotonic()
        if timer is not None and timer <= now:
            self._handle(self.session.tick(now))

    def _handle(self, events: Sequence[Event]) -> None:
        # A peer that unbinds is for our owner to leave: what is under way has a moment.
        over = dead = False
        for event in events:
            if isinstance(event, Bound):
                self.was_bound = True
            elif isinstance(event, LinkDead):
                self.reason, dead = event.reason, True
            elif isinstance(event, BindRefused):
                self.reason, over = _refusal(event.pdu), True
                self.refused = event.pdu.command_status
            elif isinstance(event, Unbound):
                over = True
        if events:
            self._on_events(self, events)
        self.flush()
        if self._transport is not None and dead:
            self._transport.abort()
        elif over:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close once the last bytes are out; a peer that doesn't read won't keep us waiting."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            asyncio.get_running_loop().call_later(GOODBYE_S, self._transport.abort)

    def _read_or_wait(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._wanted and self._writable:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


def _refusal(pdu: Pdu) -> str:
    status = c.status_name(pdu.command_status)
    if pdu.command_id != c.GENERIC_NACK:
        return f"{REFUSED}: {status}"
    hint = ""
    if pdu.command_status == c.ESME_RINVCMDID:
        hint = '; it may want bind = "transmitter+receiver"'
    return f"{REFUSED} by a generic_nack: {status}{hint}"
