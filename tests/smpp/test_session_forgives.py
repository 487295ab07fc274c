"""What a carrier sends when it may not, or as it may not, and a session takes all the same."""

from __future__ import annotations

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp.events import Bound, Fault, ProtocolError, RequestReceived
from arrivals.smpp.pdu import Pdu, decode, encode
from arrivals.smpp.session import Role, Session, SessionSettings
from tests.smpp.linked import DELIVERY, MESSAGE, bound_pair, hear, sent_by


def test_what_is_delivered_before_the_bind_is_answered_is_taken() -> None:
    esme = Session(Role.ESME, SessionSettings(), 0)
    number = esme.bind(c.BIND_TRANSCEIVER, 0, system_id=b"arrivals")
    sent_by(esme)
    bound = Pdu(c.BIND_TRANSCEIVER_RESP, 0, number, {"system_id": b"CARRIER"})
    events = hear(esme, [DELIVERY, bound])
    assert [type(event) for event in events] == [RequestReceived, Bound]
    esme.send_response(DELIVERY)
    assert [answer.command_status for answer in sent_by(esme)] == [c.ESME_ROK]


@pytest.mark.parametrize("unbinds", [False, True], ids=["bound", "unbinding"])
def test_what_is_delivered_over_a_transmitter_is_taken(unbinds: bool) -> None:
    esme, _ = bound_pair(command_id=c.BIND_TRANSMITTER)
    if unbinds:
        esme.unbind(0)
    events = hear(esme, [DELIVERY, Pdu(c.DATA_SM, 0, 9)])
    assert [type(event) for event in events] == [RequestReceived, RequestReceived]


def test_nothing_is_taken_before_we_ask_to_be_bound() -> None:
    esme = Session(Role.ESME, SessionSettings(), 0)
    (error,) = hear(esme, [DELIVERY])
    assert isinstance(error, ProtocolError)
    assert (error.fault, error.pdu) == (Fault.WRONG_STATE, decode(encode(DELIVERY)))


def test_a_tail_is_forgiven_to_a_carrier_and_not_to_a_customer() -> None:
    esme, smsc = bound_pair()
    (taken,) = esme.receive_data(_with_tail(DELIVERY), 0)
    assert isinstance(taken, RequestReceived)
    (refused,) = smsc.receive_data(_with_tail(MESSAGE), 0)
    assert isinstance(refused, ProtocolError)
    assert (refused.fault, refused.octets) == (Fault.MALFORMED, _with_tail(MESSAGE))
    assert refused.octets.hex() not in repr(refused)
    assert [answer.command_status for answer in sent_by(smsc)] == [c.ESME_RINVOPTPARSTREAM]


def _with_tail(pdu: Pdu) -> bytes:
    whole = Pdu(pdu.command_id, 0, pdu.sequence_number, body=encode(pdu)[16:] + b"\0")
    return encode(whole)
