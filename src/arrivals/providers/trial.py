"""Bind to a provider once and see what it answers.

Nothing is sent and nothing is taken: a receipt that comes meanwhile is left without an answer,
so that the provider keeps it and sends it again to whoever serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

import msgspec

from arrivals.clock import Clock
from arrivals.providers.link import CONNECT_TIMEOUT_S, GOODBYE_S, LinkSettings
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Framer, FramingError, Pdu, UnencodablePdu, encode

READ_OCTETS: Final = 65_536
BIND_NUMBER, PROBE_NUMBER, UNBIND_NUMBER = 1, 2, 3  # our requests' sequence numbers

_OWN_CODES: Final = 0x400  # from here on a provider's statuses are its own (section 5.1.3)
_LOGIN: Final = "[[providers]] system_id and password"

# What a refusal means, and the setting to look at; what isn't here is said as its name.
REFUSALS: Final[dict[int, tuple[str, str]]] = {
    c.ESME_RINVMSGLEN: (
        "a field is longer than it reads",
        f"{_LOGIN}: SMPP 3.4 has room for 15 and 8 characters",
    ),
    c.ESME_RINVCMDLEN: (
        "the bind isn't as long as it expects, often for a login over 15 or 8 characters",
        f"{_LOGIN}, then dialect.interface_version",
    ),
    c.ESME_RINVCMDID: (
        "it doesn't know this kind of bind",
        '[[providers]] bind: try "transmitter+receiver"',
    ),
    c.ESME_RINVBNDSTS: (
        "it doesn't want this bind now, or not of this kind",
        '[[providers]] bind: try "transmitter+receiver", or "transceiver"',
    ),
    c.ESME_RALYBND: (
        "this login is bound already, as often as it may be",
        "a server that runs with it, or ask how many binds it allows",
    ),
    c.ESME_RSYSERR: (
        "it has trouble of its own, or hides a reason behind this",
        "nothing yet: try again; then ask it with the time and this code",
    ),
    c.ESME_RINVSRCADR: (
        "it doesn't take the addresses that the bind names",
        "dialect.address_range",
    ),
    c.ESME_RBINDFAIL: (
        (
            "it refuses the bind without saying why: the login, the address that we come from, "
            "the kind of bind and how many there are can all be it"
        ),
        (
            f"{_LOGIN}, [[providers]] bind, dialect.system_type; ask whether our IP address is "
            "allowed"
        ),
    ),
    c.ESME_RINVPASWD: (
        "the password is wrong, or longer than it reads",
        "[[providers]] password_env or password_file: no space or line end of its own?",
    ),
    c.ESME_RINVSYSID: (
        "it knows no such login",
        "[[providers]] system_id, and whether it is of this host and port",
    ),
    c.ESME_RMSGQFUL: ("it is full", "nothing: try again later"),
    c.ESME_RINVSYSTYP: (
        "it wants another system_type",
        'dialect.system_type: ask which; "SMPP" and the login are common',
    ),
    c.ESME_RTHROTTLED: (
        "it was asked too often",
        "nothing: wait some minutes, and stop what else binds with this login",
    ),
}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one bind; times are milliseconds."""

    bind: str  # transceiver | receiver | transmitter
    at: str = ""  # host:port
    tls: str | None = None  # the version spoken
    status: int | None = None  # None: no answer to the bind came
    status_name: str | None = None
    system_id: str | None = None  # the name that it gave
    interface_version: int | None = None  # sc_interface_version, if it told one
    bind_ms: float | None = None
    enquire_link_ms: float | None = None  # None: it didn't answer
    unbound: bool = False  # whether it answered our goodbye
    left_waiting: int = 0  # receipts and replies that came, for it to send again
    problem: str | None = None
    look_at: str | None = None

    @property
    def is_bound(self) -> bool:
        """Whether it let us in."""
        return self.status == c.ESME_ROK

    @property
    def was_reached(self) -> bool:
        """Whether somebody answered the bind at all."""
        return self.status is not None


def meaning_of(status: int) -> tuple[str, str]:
    """Return what a refused bind means, and the setting to look at."""
    found = REFUSALS.get(status)
    if found is not None:
        return found
    if status >= _OWN_CODES:
        return "it answers a code of its own", "ask it what the code means"
    return "it refuses the bind", f"{_LOGIN}; ask it what the code means for a bind"


async def try_bind(settings: LinkSettings, command_id: int, clock: Clock) -> Trial:
    """Connect, bind, ask for a sign of life, unbind; every failure is in the answer."""
    bind, at = (
        c.command_name(command_id).removeprefix("bind_"),
        f"{settings.host}:{settings.port}",
    )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                settings.host,
                settings.port,
                ssl=settings.tls,
                server_hostname=settings.host if settings.tls else None,
            )
    except (OSError, UnicodeError) as error:  # a timeout is one, and so are TLS's
        problem, look_at = _unreached(error, tls=settings.tls is not None)
        return Trial(bind=bind, at=at, problem=problem, look_at=look_at)
    found = Trial(bind=bind, at=at, tls=_tls_of(writer))
    try:
        return await _Talk(settings, reader, writer, clock).hold(found, command_id)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await writer.wait_closed()


class _Talk:
    """One connection's requests, one at a time."""

    def __init__(
        self,
        settings: LinkSettings,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._framer = Framer()
        self._waiting = 0

    async def hold(self, found: Trial, command_id: int) -> Trial:
        """Bind and all that follows; returns what is known when it ends."""
        settings = self._settings
        fields: dict[str, int | bytes] = {
            "system_id": settings.system_id.encode(),
            "password": settings.password.encode(),
            "system_type": settings.system_type.encode(),
            "interface_version": settings.interface_version,
            "address_range": settings.address_range.encode(),
        }
        replace = msgspec.structs.replace
        try:
            answer, took_ms = await self._ask(Pdu(command_id, 0, BIND_NUMBER, fields))
        except (OSError, UnencodablePdu, _Ended) as error:
            problem, look_at = _unanswered(error)
            return replace(found, problem=problem, look_at=look_at)
        status = answer.command_status
        if answer.command_id == c.GENERIC_NACK:
            status = status or c.ESME_RSYSERR
        found = replace(
            found, status=status, status_name=c.status_name(status), bind_ms=took_ms
        )
        if status != c.ESME_ROK:
            problem, look_at = meaning_of(status)
            return replace(found, problem=problem, look_at=look_at)
        found = replace(
            found,
            system_id=answer.octets("system_id").decode("latin-1") or None,
            interface_version=answer.tlv_int(c.TLV_SC_INTERFACE_VERSION),
        )
        with contextlib.suppress(OSError, _Ended):
            _, probe_ms = await self._ask(Pdu(c.ENQUIRE_LINK, 0, PROBE_NUMBER))
            found = replace(found, enquire_link_ms=probe_ms)
            await self._ask(Pdu(c.UNBIND, 0, UNBIND_NUMBER))
            found = replace(found, unbound=True)
        return replace(found, left_waiting=self._waiting)

    async def _ask(self, request: Pdu) -> tuple[Pdu, float]:
        """Send a request and wait for its answer; what else comes is answered or counted."""
        began = self._clock.monotonic()
        self._writer.write(encode(request))
        try:
            async with asyncio.timeout(self._settings.response_timeout_s):
                answer: Pdu | None = None
                while answer is None:
                    for pdu in await self._read():
                        if _answers(pdu, request):
                            answer = pdu
                        self._take(pdu)
        except TimeoutError:
            seconds = f"{self._settings.response_timeout_s:g} s"
            raise _Ended(f"no answer came within {seconds}") from None
        return answer, round((self._clock.monotonic() - began) * 1_000, 3)

    async def _read(self) -> list[Pdu]:
        data = await self._reader.read(READ_OCTETS)
        if not data:
            raise _Ended("the connection was closed without an answer")
        frames = self._framer.feed(data)
        for each in frames:
            if isinstance(each, FramingError):
                raise _Ended("what answers there doesn't speak SMPP")
        return [each for each in frames if isinstance(each, Pdu)]

    def _take(self, pdu: Pdu) -> None:
        if pdu.command_id in (c.ENQUIRE_LINK, c.UNBIND):
            answer = Pdu(pdu.command_id | c.RESPONSE, 0, pdu.sequence_number)
            self._writer.write(encode(answer))
        elif pdu.command_id in (c.DELIVER_SM, c.DATA_SM):
            self._waiting += 1


def _answers(pdu: Pdu, request: Pdu) -> bool:
    """Tell whether a PDU is the answer to a request; a nack to the only one needs no number."""
    if pdu.command_id == c.GENERIC_NACK:
        return True
    same = pdu.sequence_number == request.sequence_number
    return same and pdu.command_id == request.command_id | c.RESPONSE


class _Ended(Exception):
    """The other end is of no more use."""


def _tls_of(writer: asyncio.StreamWriter) -> str | None:
    spoken = writer.get_extra_info("ssl_object")
    return spoken.version() if spoken is not None else None


def _unreached(error: Exception, *, tls: bool) -> tuple[str, str]:
    """Say why there is no connection, and what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"its certificate isn't trusted: {error.verify_message}"
        return why, "[[providers]] host (its name in the certificate) and tls_ca"
    if isinstance(error, ssl.SSLError):
        return "no TLS is spoken there", "[[providers]] tls and port: ask for its TLS port"
    if isinstance(error, TimeoutError):
        look_at = "[[providers]] host and port; ask whether our IP address is allowed"
        if tls:
            look_at += ", and whether this port speaks TLS"
        return f"no connection within {CONNECT_TIMEOUT_S:g} s", look_at
    why = getattr(error, "strerror", None) or type(error).__name__
    return f"can't connect: {why}", "[[providers]] host and port"


def _unanswered(error: Exception) -> tuple[str, str]:
    """Say why a bind had no answer, and what to look at."""
    if isinstance(error, UnencodablePdu):
        return f"the login doesn't fit into a bind: {error}", _LOGIN
    why = str(error) if isinstance(error, _Ended) else f"the connection was lost: {error}"
    look_at = "[[providers]] port and tls; ask whether our IP address is allowed"
    return why, look_at
