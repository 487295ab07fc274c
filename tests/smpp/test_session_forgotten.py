"""A peer that has forgotten the bind, or refuses it in a way of its own."""

from __future__ import annotations

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp.events import (
    Answered,
    BindForgotten,
    BindRefused,
    Nacked,
    UnexpectedAnswer,
)
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.session import Role, Session, SessionSettings, SessionState
from tests.smpp.linked import MESSAGE, bound_pair, hear, sent_by

FORGOTTEN = c.ESME_RINVBNDSTS


def test_an_answer_that_says_that_we_aren_t_bound_is_told_as_that_too() -> None:
    esme, _ = bound_pair()
    number = esme.send_request(MESSAGE, 0, "t")
    answer = Pdu(c.SUBMIT_SM_RESP, FORGOTTEN, number)
    answered, forgotten = hear(esme, [answer])
    assert isinstance(answered, Answered)
    assert forgotten == BindForgotten()
    assert esme.state is SessionState.BOUND_TRX, "what to do about it is its caller's"


def test_a_nack_may_say_so_as_well() -> None:
    esme, _ = bound_pair()
    nack = Pdu(c.GENERIC_NACK, FORGOTTEN, esme.send_request(MESSAGE, 0, "t"))
    assert hear(esme, [nack]) == [Nacked("t", nack), BindForgotten()]


@pytest.mark.parametrize("kind", [c.ENQUIRE_LINK_RESP, c.GENERIC_NACK])
def test_so_may_the_answer_to_a_probe(kind: int) -> None:
    esme, _ = bound_pair()
    esme.tick(1_000)
    (probe,) = sent_by(esme)
    assert hear(esme, [Pdu(kind, FORGOTTEN, probe.sequence_number)]) == [BindForgotten()]


@pytest.mark.parametrize("status", [0, c.ESME_RSYSERR, c.ESME_RINVCMDID])
def test_any_other_answer_to_a_probe_is_a_sign_of_life(status: int) -> None:
    esme, _ = bound_pair()
    esme.tick(1_000)
    (probe,) = sent_by(esme)
    assert hear(esme, [Pdu(c.ENQUIRE_LINK_RESP, status, probe.sequence_number)]) == []


def test_other_refusals_say_nothing_of_the_bind() -> None:
    esme, _ = bound_pair()
    answer = Pdu(c.SUBMIT_SM_RESP, c.ESME_RTHROTTLED, esme.send_request(MESSAGE, 0, "t"))
    assert [type(each) for each in hear(esme, [answer])] == [Answered]


def test_who_is_leaving_doesn_t_care() -> None:
    esme, _ = bound_pair()
    number = esme.send_request(MESSAGE, 0, "t")
    esme.unbind(0)
    answer = Pdu(c.SUBMIT_SM_RESP, FORGOTTEN, number)
    assert [type(each) for each in hear(esme, [answer])] == [Answered]


@pytest.mark.parametrize("number", [0, 77])
def test_a_nack_to_a_bind_counts_whatever_its_number(number: int) -> None:
    """Some SMSCs nack with a number of their own; nothing else of ours is under way."""
    esme = Session(Role.ESME, SessionSettings(), 0)
    esme.bind(c.BIND_TRANSCEIVER, 0, system_id=b"a")
    nack = Pdu(c.GENERIC_NACK, c.ESME_RINVCMDID, number)
    assert hear(esme, [nack]) == [BindRefused(c.ESME_RINVCMDID, nack)]
    assert esme.state is SessionState.OPEN


def test_other_answers_to_nothing_stay_unexpected_while_a_bind_is_under_way() -> None:
    esme = Session(Role.ESME, SessionSettings(), 0)
    esme.bind(c.BIND_TRANSCEIVER, 0, system_id=b"a")
    stray = Pdu(c.SUBMIT_SM_RESP, 0, 77, {"message_id": b""})
    assert hear(esme, [stray]) == [UnexpectedAnswer(stray)]
