"""Stories of one connection: binds, messages, answers in any order, refusals, the end."""

from __future__ import annotations

import pytest

from arrivals.smpp import constants as c
from arrivals.smpp.events import (
    Answered,
    BindRefused,
    BindRequested,
    Bound,
    LinkDead,
    Nacked,
    PeerUnbound,
    ProtocolError,
    RequestReceived,
    Unanswered,
    UnansweredReason,
    Unbound,
    UnexpectedAnswer,
)
from arrivals.smpp.pdu import Pdu, UnencodablePdu
from arrivals.smpp.session import (
    CONTROL_REQUESTS_MAX,
    Role,
    Session,
    SessionSettings,
    SessionState,
    WindowFull,
    WrongState,
)
from arrivals.smpp.states import BINDS, BOUND, LEGAL_REQUESTS, TAKEN_REQUESTS
from tests.smpp.linked import DELIVERY, MESSAGE, bound_pair, deliver, hear, sent_by


def answers_of(events: list[object]) -> list[object]:
    return [event.token for event in events if isinstance(event, Answered)]


# --- Binding ---------------------------------------------------------------------------


@pytest.mark.parametrize("command_id", BINDS)
def test_a_bind_is_accepted(command_id: int) -> None:
    settings = SessionSettings()
    esme, smsc = Session(Role.ESME, settings, 0), Session(Role.SMSC, settings, 0)
    esme.bind(
        command_id,
        0,
        system_id=b"arrivals",
        password=b"secret",
        system_type=b"SMS",
        addr_ton=1,
        addr_npi=2,
        address_range=b"^49",
    )
    assert esme.state is SessionState.BINDING
    (requested,) = deliver(esme, smsc)
    assert isinstance(requested, BindRequested)
    assert requested.pdu.fields == {
        "system_id": b"arrivals",
        "password": b"secret",
        "system_type": b"SMS",
        "interface_version": 0x34,
        "addr_ton": 1,
        "addr_npi": 2,
        "address_range": b"^49",
    }
    smsc.accept_bind(requested.pdu, 0, b"CARRIER")
    (bound,) = deliver(smsc, esme)
    assert isinstance(bound, Bound)
    assert bound.pdu.octets("system_id") == b"CARRIER"
    assert bound.pdu.tlv_int(c.TLV_SC_INTERFACE_VERSION) == 0x34
    assert esme.state is smsc.state is BINDS[command_id]


def test_a_refused_bind_may_be_tried_again() -> None:
    esme, smsc = (Session(role, SessionSettings(), 0) for role in (Role.ESME, Role.SMSC))
    esme.bind(c.BIND_TRANSCEIVER, 0, system_id=b"arrivals", password=b"wrong")
    (requested,) = deliver(esme, smsc)
    assert isinstance(requested, BindRequested)
    smsc.refuse_bind(requested.pdu, c.ESME_RINVPASWD, 1)
    (refused,) = deliver(smsc, esme, 1)
    assert isinstance(refused, BindRefused)
    assert refused.status == c.ESME_RINVPASWD
    assert refused.pdu.body == b""
    assert esme.state is smsc.state is SessionState.OPEN
    esme.bind(c.BIND_TRANSMITTER, 2, system_id=b"arrivals")
    assert [type(event) for event in deliver(esme, smsc, 2)] == [BindRequested]


def test_a_bind_is_refused_by_generic_nack() -> None:
    esme = Session(Role.ESME, SessionSettings(), 0)
    number = esme.bind(c.BIND_TRANSCEIVER, 0, system_id=b"arrivals")
    nack = Pdu(c.GENERIC_NACK, c.ESME_RINVCMDID, number)
    assert hear(esme, [nack]) == [BindRefused(c.ESME_RINVCMDID, nack)]
    ok_nack = Pdu(c.GENERIC_NACK, 0, esme.bind(c.BIND_RECEIVER, 0, system_id=b"a"))
    assert hear(esme, [ok_nack]) == [BindRefused(0, ok_nack)]


def test_a_second_bind_is_already_bound() -> None:
    _, smsc = bound_pair()
    events = hear(smsc, [Pdu(c.BIND_RECEIVER, 0, 9, {"system_id": b"again"})])
    assert [type(event) for event in events] == [ProtocolError]
    (answer,) = sent_by(smsc)
    assert (answer.command_id, answer.command_status) == (
        c.BIND_RECEIVER_RESP,
        c.ESME_RALYBND,
    )


def test_a_bind_while_binding_is_the_wrong_state() -> None:
    smsc = Session(Role.SMSC, SessionSettings(), 0)
    bind = Pdu(c.BIND_RECEIVER, 0, 1, {"system_id": b"me"})
    hear(smsc, [bind, bind])
    assert [answer.command_status for answer in sent_by(smsc)] == [c.ESME_RINVBNDSTS]


def test_outbind_invites_a_bind() -> None:
    esme, smsc = (Session(role, SessionSettings(), 0) for role in (Role.ESME, Role.SMSC))
    smsc.send_request(Pdu(c.OUTBIND, fields={"system_id": b"CARRIER"}), 0)
    assert smsc.outstanding == 0
    (invited,) = deliver(smsc, esme)
    assert isinstance(invited, RequestReceived)
    with pytest.raises(WrongState):
        esme.send_response(invited.pdu)
    with pytest.raises(WrongState):
        esme.send_response(Pdu(c.UNBIND_RESP))


# --- Messages --------------------------------------------------------------------------


def test_a_message_is_answered_with_its_token_and_time() -> None:
    esme, smsc = bound_pair()
    token = object()
    number = esme.send_request(MESSAGE, 3, token)
    (received,) = deliver(esme, smsc, 3)
    assert isinstance(received, RequestReceived)
    smsc.send_response(received.pdu, 0, {"message_id": b"7F"})
    (answered,) = deliver(smsc, esme, 5)
    assert isinstance(answered, Answered)
    assert answered.token is token
    assert (answered.sequence_number, answered.elapsed_s) == (number, 2)
    assert answered.pdu.octets("message_id") == b"7F"
    assert esme.outstanding == 0


def test_a_delivery_goes_the_other_way() -> None:
    esme, smsc = bound_pair(c.BIND_RECEIVER)
    smsc.send_request(DELIVERY, 0, "receipt")
    (received,) = deliver(smsc, esme)
    assert isinstance(received, RequestReceived)
    esme.send_response(received.pdu)
    assert answers_of(list(deliver(esme, smsc))) == ["receipt"]


def test_answers_come_in_any_order() -> None:
    esme, _ = bound_pair()
    numbers = {esme.send_request(MESSAGE, 0, token): token for token in "abc"}
    assert esme.outstanding_tokens() == ("a", "b", "c")
    answers = [Pdu(c.SUBMIT_SM_RESP, 0, n, {"message_id": b"x"}) for n in sorted(numbers)]
    events = hear(esme, reversed(answers))
    assert answers_of(list(events)) == ["c", "b", "a"]


def test_refusals_go_without_a_body_where_smpp_says_so() -> None:
    _, smsc = bound_pair()
    smsc.send_response(MESSAGE, c.ESME_RTHROTTLED)
    smsc.send_response(MESSAGE, c.ESME_RTHROTTLED, {"message_id": b"7F"})
    smsc.send_response(MESSAGE, c.ESME_RTHROTTLED, tlvs=((0x0428, b"\x63"),))
    smsc.send_response(Pdu(c.QUERY_SM, sequence_number=4), c.ESME_RQUERYFAIL)
    first, second, third, fourth = sent_by(smsc)
    assert (first.body, first.fields) == (b"", {})
    assert second.octets("message_id") == b"7F"
    assert third.tlv_int(c.TLV_CONGESTION_STATE) == 99
    assert fourth.body is None


def test_the_window_counts_messages_only() -> None:
    """Invariant 28: never more unanswered messages on a bind than its window."""
    esme, smsc = bound_pair(settings=SessionSettings(window=2))
    assert esme.window_free == 2
    esme.send_request(MESSAGE, 0)
    esme.send_request(Pdu(c.QUERY_SM, fields={"message_id": b"7F"}), 0)
    assert esme.window_free == 1
    last = esme.send_request(Pdu(c.DATA_SM), 0)
    assert esme.window_free == 0
    esme.bytes_to_send()
    with pytest.raises(WindowFull):
        esme.send_request(MESSAGE, 0)
    assert esme.bytes_to_send() == b""
    esme.send_request(Pdu(c.CANCEL_SM, fields={"message_id": b"7F"}), 0)
    hear(esme, [Pdu(c.DATA_SM_RESP, 0, last)])
    assert esme.window_free == 1
    assert smsc.window_free == 2


def test_requests_outside_the_window_are_bounded_too() -> None:
    esme, _ = bound_pair()
    for _ in range(CONTROL_REQUESTS_MAX):
        esme.send_request(Pdu(c.QUERY_SM), 0)
    with pytest.raises(WindowFull):
        esme.send_request(Pdu(c.QUERY_SM), 0)
    assert esme.window_free == 10


def test_what_cannot_be_encoded_leaves_no_trace() -> None:
    esme, _ = bound_pair()
    before = esme.send_request(MESSAGE, 0)
    esme.bytes_to_send()
    with pytest.raises(UnencodablePdu):
        esme.send_request(Pdu(c.SUBMIT_SM, fields={"source_addr": b"9" * 30}), 0)
    assert (esme.outstanding, esme.bytes_to_send()) == (1, b"")
    assert esme.send_request(MESSAGE, 0) == before + 1


def test_alerts_are_not_waited_for() -> None:
    esme, smsc = bound_pair()
    smsc.send_request(Pdu(c.ALERT_NOTIFICATION, fields={"source_addr": b"49"}), 0)
    assert smsc.outstanding == 0
    assert [type(event) for event in deliver(smsc, esme)] == [RequestReceived]


# --- Sequence numbers ------------------------------------------------------------------


def test_numbers_wrap_and_skip_what_is_awaited() -> None:
    esme, _ = bound_pair(settings=SessionSettings(first_sequence_number=0x7FFFFFFE))
    numbers = [esme.send_request(MESSAGE, 0) for _ in range(3)]
    assert numbers == [0x7FFFFFFF, 1, 2]
    # Once around, 1 and 2 are unanswered still; later given up, but an answer may come.
    hear(esme, [Pdu(c.SUBMIT_SM_RESP, 0, 0x7FFFFFFF)], 1)
    esme._next_number = 0x7FFFFFFF
    assert [esme.send_request(MESSAGE, 1) for _ in range(2)] == [0x7FFFFFFF, 3]
    esme.tick(10)
    esme._next_number = 1
    assert esme.send_request(MESSAGE, 10) == 4


def test_numbers_skip_the_session_s_own_requests() -> None:
    esme, _ = bound_pair()
    esme.tick(15)
    probe = sent_by(esme)[-1]
    esme._next_number = probe.sequence_number
    assert esme.send_request(MESSAGE, 15) == probe.sequence_number + 1
    unbind = esme.unbind(15)
    assert esme._is_awaited(unbind)


# --- Odd answers -----------------------------------------------------------------------


def test_generic_nack_is_an_answer_of_its_own() -> None:
    esme, _ = bound_pair()
    nack = Pdu(c.GENERIC_NACK, c.ESME_RINVCMDLEN, esme.send_request(MESSAGE, 0, "t"))
    assert hear(esme, [nack]) == [Nacked("t", nack)]
    assert esme.window_free == 10


@pytest.mark.parametrize("command_id", [c.SUBMIT_SM_RESP, c.GENERIC_NACK, 0x80010203])
def test_answers_to_nothing(command_id: int) -> None:
    esme, _ = bound_pair()
    stray = Pdu(command_id, 0, 4711, body=b"")
    events = hear(esme, [stray])
    assert [type(event) for event in events] == [UnexpectedAnswer]


def test_an_answer_of_the_wrong_kind_answers_nothing() -> None:
    esme, _ = bound_pair()
    wrong = Pdu(c.DATA_SM_RESP, 0, esme.send_request(MESSAGE, 0), {"message_id": b"7F"})
    assert hear(esme, [wrong]) == [UnexpectedAnswer(wrong)]
    assert esme.outstanding == 1


def test_a_response_without_its_body_is_still_an_answer() -> None:
    esme, _ = bound_pair()
    number = esme.send_request(MESSAGE, 0, "t")
    (answered,) = hear(esme, [Pdu(c.SUBMIT_SM_RESP, 0x0433, number, body=b"")])
    assert isinstance(answered, Answered)
    assert answered.pdu.command_status == 0x0433


# --- Requests that break the rules -----------------------------------------------------


def test_unknown_commands_are_nacked() -> None:
    _, smsc = bound_pair()
    (event,) = hear(smsc, [Pdu(0x0BAD, 0, 44, body=b"?")])
    assert isinstance(event, ProtocolError)
    assert sent_by(smsc) == [Pdu(c.GENERIC_NACK, c.ESME_RINVCMDID, 44)]


@pytest.mark.parametrize(
    ("command_id", "body", "answer"),
    [
        (c.SUBMIT_SM, b"CMT", Pdu(c.GENERIC_NACK, c.ESME_RINVCMDLEN, 7)),
        (
            c.SUBMIT_SM,
            b"\0\1\1" + b"9" * 30 + b"\0",
            Pdu(c.SUBMIT_SM_RESP, c.ESME_RINVSRCADR, 7, body=b""),
        ),
        (c.ENQUIRE_LINK, b"\0", Pdu(c.ENQUIRE_LINK_RESP, c.ESME_RINVOPTPARSTREAM, 7)),
        (c.ALERT_NOTIFICATION, b"\1\1" + b"9" * 70, Pdu(c.GENERIC_NACK, c.ESME_RINVSRCADR, 7)),
    ],
)
def test_malformed_requests_are_answered_and_the_stream_goes_on(
    command_id: int, body: bytes, answer: Pdu
) -> None:
    _, smsc = bound_pair()
    first, second = hear(smsc, [Pdu(command_id, 0, 7, body=body), MESSAGE])
    assert isinstance(first, ProtocolError)
    assert isinstance(second, RequestReceived)
    assert sent_by(smsc) == [answer]


def test_a_lost_stream_is_nacked_and_dead() -> None:
    esme, _smsc = bound_pair()
    esme.send_request(MESSAGE, 0, "t")
    error, dead = esme.receive_data(b"GET / HTTP/1.1\r\n", 1)
    assert isinstance(error, ProtocolError)
    assert isinstance(dead, LinkDead)
    assert esme.state is SessionState.CLOSED
    assert sent_by(esme)[-1] == Pdu(c.GENERIC_NACK, c.ESME_RINVCMDLEN, 0)
    assert esme.receive_data(b"more", 2) == []
    (unanswered,) = esme.connection_lost()
    assert isinstance(unanswered, Unanswered)
    assert (unanswered.token, unanswered.reason) == ("t", UnansweredReason.CONNECTION_LOST)


# --- The table of states ---------------------------------------------------------------


def in_state(role: Role, state: SessionState) -> Session:
    binds = {bound: bind for bind, bound in BINDS.items()}
    pair = bound_pair(binds.get(state, c.BIND_TRANSCEIVER))
    session = pair[0] if role is Role.ESME else pair[1]
    if state in (SessionState.OPEN, SessionState.BINDING):
        session = Session(role, SessionSettings(), 0)
        if state is SessionState.BINDING and role is Role.ESME:
            session.bind(c.BIND_TRANSCEIVER, 0, system_id=b"me")
        elif state is SessionState.BINDING:
            hear(session, [Pdu(c.BIND_TRANSCEIVER, 0, 1, {"system_id": b"me"})])
    elif state is SessionState.UNBINDING:
        session.unbind(0)
    elif state is SessionState.CLOSED:
        session.connection_lost()
    session.bytes_to_send()
    assert session.state is state
    return session


REQUESTS = sorted(command_id for command_id in c.COMMAND_NAMES if not command_id & c.RESPONSE)


@pytest.mark.parametrize(("role", "state"), LEGAL_REQUESTS)
def test_what_is_sent_follows_the_table(role: Role, state: SessionState) -> None:
    for command_id in REQUESTS:
        session = in_state(role, state)
        legal = command_id in LEGAL_REQUESTS[role, state]
        try:
            if command_id in BINDS:
                session.bind(command_id, 0, system_id=b"me")
            elif command_id == c.UNBIND:
                session.unbind(0)
            elif command_id == c.ENQUIRE_LINK:
                with pytest.raises(WrongState):
                    session.send_request(Pdu(command_id), 0)
                continue
            else:
                session.send_request(Pdu(command_id), 0)
        except WrongState:
            assert not legal
            assert session.bytes_to_send() == b""
        else:
            assert legal


@pytest.mark.parametrize(("role", "state"), LEGAL_REQUESTS)
def test_what_is_taken_follows_the_peer_s_row(role: Role, state: SessionState) -> None:
    for command_id in REQUESTS:
        session = in_state(role, state)
        # A peer that hasn't read our unbind is bound still.
        row = SessionState.BOUND_TRX if state is SessionState.UNBINDING else state
        events = hear(session, [Pdu(command_id, 0, 99)])
        refused = any(isinstance(event, ProtocolError) for event in events)
        assert refused == (command_id not in TAKEN_REQUESTS[role.peer, row])
        statuses = {pdu.command_status for pdu in sent_by(session)}
        if not refused:
            assert statuses <= {0}
        elif command_id not in (c.OUTBIND, c.ALERT_NOTIFICATION):
            again = command_id in BINDS and row in BOUND
            assert statuses == {c.ESME_RALYBND if again else c.ESME_RINVBNDSTS}


def test_binds_are_answered_once_and_by_the_smsc() -> None:
    esme, smsc = bound_pair()
    bind = Pdu(c.BIND_TRANSCEIVER, fields={"system_id": b"me"})
    for session, request in ((esme, bind), (smsc, bind)):
        with pytest.raises(WrongState):
            session.accept_bind(request, 0)
    binding = in_state(Role.SMSC, SessionState.BINDING)
    with pytest.raises(WrongState):
        binding.refuse_bind(MESSAGE, c.ESME_RBINDFAIL, 0)
    with pytest.raises(WrongState):
        in_state(Role.ESME, SessionState.OPEN).bind(c.SUBMIT_SM, 0, system_id=b"me")


# --- The end ---------------------------------------------------------------------------


def test_unbind_waits_for_answers_and_gives_up_the_rest() -> None:
    esme, smsc = bound_pair()
    first = esme.send_request(MESSAGE, 0, "first")
    esme.send_request(MESSAGE, 0, "second")
    esme.unbind(1)
    assert esme.window_free == 0
    deliver(esme, smsc, 1)
    assert smsc.state is SessionState.CLOSED
    (answered,) = hear(esme, [Pdu(c.SUBMIT_SM_RESP, 0, first, {"message_id": b"7F"})], 1)
    assert isinstance(answered, Answered)
    unanswered, unbound = deliver(smsc, esme, 2)
    assert isinstance(unanswered, Unanswered)
    assert (unanswered.token, unanswered.reason) == ("second", UnansweredReason.UNBOUND)
    assert unbound == Unbound()
    assert esme.state is SessionState.CLOSED


def test_a_peer_unbinds_and_what_is_under_way_may_still_be_answered() -> None:
    """An SMSC unbound and answered ten messages 100 ms later; all were in doubt."""
    esme, smsc = bound_pair()
    first, second = (esme.send_request(MESSAGE, 0, token) for token in ("t", "u"))
    smsc.unbind(1)
    assert deliver(smsc, esme, 1) == [PeerUnbound()]
    assert [pdu.command_id for pdu in sent_by(esme)] == [
        c.SUBMIT_SM,
        c.SUBMIT_SM,
        c.UNBIND_RESP,
    ]
    assert (esme.outstanding, esme.window_free) == (2, 0)
    answer = Pdu(c.SUBMIT_SM_RESP, 0, first, {"message_id": b"7F"})
    assert hear(esme, [answer], 2) == [Answered("t", first, answer, 2)]
    assert hear(esme, [answer], 2) == [UnexpectedAnswer(answer)]
    lost = Unanswered("u", second, UnansweredReason.CONNECTION_LOST)
    assert (esme.connection_lost(), esme.given_up) == ([lost], 1)


def test_what_an_smsc_sent_comes_back_when_its_customer_unbinds() -> None:
    esme, smsc = bound_pair()
    number = smsc.send_request(Pdu(c.DELIVER_SM, fields=dict(MESSAGE.fields)), 0, "t")
    esme.unbind(1)
    assert deliver(esme, smsc, 1) == [
        Unanswered("t", number, UnansweredReason.UNBOUND),
        PeerUnbound(),
    ]


def test_both_unbind_at_once() -> None:
    esme, smsc = bound_pair()
    esme.unbind(0)
    smsc.unbind(0)
    to_smsc, to_esme = esme.bytes_to_send(), smsc.bytes_to_send()
    assert smsc.receive_data(to_smsc, 0) == [PeerUnbound()]
    assert esme.receive_data(to_esme, 0) == [PeerUnbound()]


def test_a_receipt_is_taken_while_we_unbind() -> None:
    esme, _ = bound_pair()
    esme.unbind(0)
    assert [type(event) for event in hear(esme, [DELIVERY])] == [RequestReceived]


def test_connection_lost_is_told_once() -> None:
    esme, _ = bound_pair()
    numbers = [esme.send_request(MESSAGE, 0, token) for token in "ab"]
    lost = UnansweredReason.CONNECTION_LOST
    assert esme.connection_lost() == [
        Unanswered("a", numbers[0], lost),
        Unanswered("b", numbers[1], lost),
    ]
    assert esme.connection_lost() == []
    assert esme.next_timer() is None
