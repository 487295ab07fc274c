"""Stories of time on one connection, in integer seconds."""

from __future__ import annotations

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp.events import (
    Answered,
    BindRequested,
    LateAnswer,
    LinkDead,
    Unanswered,
    UnansweredReason,
    UnexpectedAnswer,
)
from arrivals.smpp.pdu import Pdu
from arrivals.smpp.session import Role, Session, SessionSettings, SessionState
from tests.smpp.linked import MESSAGE, bound_pair, deliver, hear, sent_by

# Probes at 15, 30, 45 …, or at once after a silence; answers within 10; dead after two.
SETTINGS = SessionSettings()


def commands(session: Session) -> list[int]:
    return [pdu.command_id for pdu in sent_by(session)]


@pytest.mark.parametrize("role", list(Role))
def test_nobody_binds(role: Role) -> None:
    session = Session(role, SETTINGS, 100)
    assert session.next_timer() == 110
    assert session.tick(109) == []
    (dead,) = session.tick(110)
    assert isinstance(dead, LinkDead)
    assert session.state is SessionState.CLOSED
    assert session.next_timer() is None
    assert session.tick(200) == []


def test_a_bind_is_not_answered() -> None:
    esme = Session(Role.ESME, SETTINGS, 0)
    esme.bind(c.BIND_TRANSCEIVER, 5, system_id=b"me")
    assert esme.next_timer() == 15
    (dead,) = esme.tick(15)
    assert isinstance(dead, LinkDead)


def test_the_smsc_s_caller_forgets_a_bind() -> None:
    esme, smsc = (Session(role, SETTINGS, 0) for role in (Role.ESME, Role.SMSC))
    esme.bind(c.BIND_TRANSCEIVER, 5, system_id=b"me")
    assert [type(event) for event in deliver(esme, smsc, 5)] == [BindRequested]
    assert smsc.next_timer() == 15
    assert [type(event) for event in smsc.tick(15)] == [LinkDead]


def test_an_unbind_is_not_answered() -> None:
    esme, _ = bound_pair()
    esme.send_request(MESSAGE, 18, "t")
    esme.unbind(20)
    assert esme.next_timer() == 28
    assert [type(event) for event in esme.tick(28)] == [Unanswered]
    assert [type(event) for event in esme.tick(30)] == [LinkDead]


def test_requests_time_out_in_order_and_free_the_window() -> None:
    esme, _ = bound_pair(settings=SessionSettings(window=2))
    first = esme.send_request(MESSAGE, 1, "first")
    esme.send_request(MESSAGE, 3, "second")
    assert esme.next_timer() == 11
    assert esme.tick(10) == []
    assert esme.tick(11) == [Unanswered("first", first, UnansweredReason.TIMEOUT)]
    assert (esme.window_free, esme.outstanding_tokens()) == (1, ("second",))
    assert esme.next_timer() == 13


def test_a_late_answer_keeps_its_token() -> None:
    """Invariant 37: the provider's id in a late answer still finds its attempt."""
    esme, _ = bound_pair()
    number = esme.send_request(MESSAGE, 0, "t")
    esme.tick(10)
    wrong = Pdu(c.DATA_SM_RESP, 0, number, {"message_id": b"7F"})
    late = Pdu(c.SUBMIT_SM_RESP, 0, number, {"message_id": b"7F"})
    assert hear(esme, [wrong, late, late], 11) == [
        UnexpectedAnswer(wrong),
        LateAnswer(late, "t"),
        UnexpectedAnswer(late),
    ]


def test_late_answers_are_remembered_within_bounds() -> None:
    esme, _ = bound_pair(settings=SessionSettings(late_answers_max=2))
    numbers = [esme.send_request(MESSAGE, 0, n) for n in range(3)]
    esme.tick(10)
    nacks = [Pdu(c.GENERIC_NACK, 0, number) for number in numbers]
    assert hear(esme, nacks, 11) == [
        UnexpectedAnswer(nacks[0]),
        LateAnswer(nacks[1], 1),
        LateAnswer(nacks[2], 2),
    ]


def test_probes_go_out_on_time_whatever_the_traffic() -> None:
    esme, smsc = bound_pair()
    for now in range(1, 31):
        esme.send_request(MESSAGE, now)
        for event in deliver(esme, smsc, now):
            smsc.send_response(event.pdu)  # type: ignore[union-attr,arg-type]
        assert [type(event) for event in deliver(smsc, esme, now)][-1:] == [Answered]
        esme.tick(now)
        if now % 15 == 0:
            assert commands(esme) == [c.ENQUIRE_LINK]
            hear(esme, [Pdu(c.ENQUIRE_LINK_RESP, 0, esme._next_number - 1)], now)


def test_probes_are_outside_the_window() -> None:
    esme, _ = bound_pair(settings=SessionSettings(window=1))
    esme.send_request(MESSAGE, 14)
    esme.bytes_to_send()
    esme.tick(15)
    assert commands(esme) == [c.ENQUIRE_LINK]


def test_probes_are_answered_in_every_open_state() -> None:
    smsc = Session(Role.SMSC, SETTINGS, 0)
    assert hear(smsc, [Pdu(c.ENQUIRE_LINK, 0, 5)]) == []
    assert sent_by(smsc) == [Pdu(c.ENQUIRE_LINK_RESP, 0, 5)]


def test_both_sides_probe_a_living_link_for_an_hour() -> None:
    esme, smsc = bound_pair()
    probes = 0
    for now in range(1, 3601):
        assert esme.tick(now) == smsc.tick(now) == []
        to_smsc, to_esme = esme.bytes_to_send(), smsc.bytes_to_send()
        probes += len(to_smsc) // 16
        assert smsc.receive_data(to_smsc, now) == esme.receive_data(to_esme, now) == []
        answers = smsc.bytes_to_send(), esme.bytes_to_send()
        assert esme.receive_data(answers[0], now) == smsc.receive_data(answers[1], now) == []
    assert probes == 240
    assert esme.state is SessionState.BOUND_TRX


def test_a_silent_link_dies_after_two_probes() -> None:
    esme, _ = bound_pair()
    told = []
    while (due := esme.next_timer()) is not None:
        events = esme.tick(due)
        told.append((due, commands(esme), [type(event) for event in events]))
    assert told == [
        (15, [c.ENQUIRE_LINK], []),
        (25, [c.ENQUIRE_LINK], []),
        (35, [], [LinkDead]),
    ]


@pytest.mark.parametrize("sent_at", range(1, 15))
def test_a_link_on_which_requests_meet_silence_dies_within_two_periods(sent_at: int) -> None:
    esme, _ = bound_pair()
    esme.send_request(MESSAGE, sent_at, "t")
    now, kinds = sent_at, []
    while esme.state is SessionState.BOUND_TRX:
        now += 1
        kinds += [type(event) for event in esme.tick(now)]
    assert kinds == [Unanswered, LinkDead]
    assert 20 <= now - sent_at <= 30


def test_requests_that_time_out_one_by_one_are_one_silence() -> None:
    esme, _ = bound_pair()
    for now in range(5):
        esme.send_request(MESSAGE, now, now)
    for now in range(10, 20):
        assert {type(event) for event in esme.tick(now)} <= {Unanswered}
    assert commands(esme)[5:] == [c.ENQUIRE_LINK]
    assert [type(event) for event in esme.tick(20)] == [LinkDead]


def test_a_peer_that_answers_some_requests_has_not_fallen_silent() -> None:
    esme, _ = bound_pair()
    esme.send_request(MESSAGE, 0, "never answered")
    number = esme.send_request(MESSAGE, 0, "answered")
    hear(esme, [Pdu(c.SUBMIT_SM_RESP, 0, number, {"message_id": b"7F"})], 1)
    sent_by(esme)
    assert [type(event) for event in esme.tick(10)] == [Unanswered]
    assert commands(esme) == []
    assert esme.next_timer() == 15


def test_a_peer_that_talks_but_ignores_probes_lives() -> None:
    esme, _ = bound_pair()
    for now in range(1, 121):
        assert not any(isinstance(event, LinkDead) for event in esme.tick(now))
        hear(esme, [Pdu(c.DELIVER_SM, 0, now)], now)
    assert esme.state is SessionState.BOUND_TRX


def test_any_answer_to_a_probe_proves_life() -> None:
    esme, _ = bound_pair()
    esme.tick(15)
    (probe,) = sent_by(esme)
    assert hear(esme, [Pdu(c.GENERIC_NACK, 3, probe.sequence_number)], 16) == []
    assert esme.next_timer() == 30


def test_a_probe_s_answer_after_an_unbind_asks_for_no_more() -> None:
    esme, _ = bound_pair()
    esme.tick(15)
    (probe,) = sent_by(esme)
    esme.unbind(16)
    hear(esme, [Pdu(c.ENQUIRE_LINK_RESP, 0, probe.sequence_number)], 17)
    assert esme.next_timer() == 26


def test_a_period_shorter_than_the_answer_keeps_one_probe_in_flight() -> None:
    esme, _ = bound_pair(settings=SessionSettings(enquire_link_s=2, enquire_link_missed_max=3))
    esme.tick(2)
    assert commands(esme) == [c.ENQUIRE_LINK]
    assert esme.tick(4) == []
    assert commands(esme) == []
    esme.tick(12)
    esme.tick(12)
    assert commands(esme) == [c.ENQUIRE_LINK]


def test_probes_can_be_turned_off() -> None:
    esme, _ = bound_pair(settings=SessionSettings(enquire_link_s=None))
    assert esme.next_timer() is None
    assert esme.tick(10_000) == []
