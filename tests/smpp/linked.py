"""Two sessions joined without a network, at integer seconds, for stories of a session."""

from __future__ import annotations

from collections.abc import Iterable

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Framer, Pdu, encode
from arrivals.smpp.session import (
    BindRequested,
    Bound,
    Event,
    Role,
    Session,
    SessionSettings,
)

MESSAGE = Pdu(
    c.SUBMIT_SM, fields={"destination_addr": b"4917012345678", "short_message": b"hi"}
)
DELIVERY = Pdu(c.DELIVER_SM, fields={"source_addr": b"4917012345678", "short_message": b"yo"})


def sent_by(session: Session) -> list[Pdu]:
    """Drain a session and read what it says."""
    pdus = []
    for frame in Framer().feed(session.bytes_to_send()):
        assert isinstance(frame, Pdu)
        pdus.append(frame)
    return pdus


def deliver(sender: Session, receiver: Session, now: float = 0) -> list[Event]:
    """Carry what one side says to the other."""
    return receiver.receive_data(sender.bytes_to_send(), now)


def hear(session: Session, pdus: Iterable[Pdu], now: float = 0) -> list[Event]:
    """Let a session hear PDUs from nowhere."""
    return session.receive_data(b"".join(encode(pdu) for pdu in pdus), now)


def bound_pair(
    command_id: int = c.BIND_TRANSCEIVER, settings: SessionSettings | None = None
) -> tuple[Session, Session]:
    """Return an ESME and an SMSC, bound at second 0."""
    settings = settings or SessionSettings()
    esme, smsc = Session(Role.ESME, settings, 0), Session(Role.SMSC, settings, 0)
    esme.bind(command_id, 0, system_id=b"arrivals", password=b"secret")
    (requested,) = deliver(esme, smsc)
    assert isinstance(requested, BindRequested)
    smsc.accept_bind(requested.pdu, 0, b"CARRIER")
    (bound,) = deliver(smsc, esme)
    assert isinstance(bound, Bound)
    return esme, smsc
