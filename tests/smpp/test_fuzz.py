"""Any octets, cut anyhow: events or a protocol error, the same ones, and never a crash."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from arrivals.smpp.events import Event, LinkDead
from arrivals.smpp.pdu import Framer, FramingError, encode
from arrivals.smpp.session import Role, Session, SessionState
from tests.smpp import strategies
from tests.smpp.linked import MESSAGE, bound_pair

octets = st.one_of(
    st.binary(max_size=60),
    strategies.hostile_octets(),
    strategies.bent_octets(),
    strategies.pdus().map(encode),
)
streams = st.lists(octets, max_size=6).map(b"".join)


def prepared(role: Role) -> Session:
    """Return a bound session with requests in flight."""
    pair = bound_pair()
    session = pair[role is Role.SMSC]
    if role is Role.ESME:
        for token in range(3):
            session.send_request(MESSAGE, 0, token)
    session.bytes_to_send()
    return session


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[begin:end] for begin, end in itertools.pairwise(ends)]


@given(st.sampled_from(list(Role)), streams, st.lists(st.integers(0, 5000), max_size=8))
def test_any_stream_cut_anyhow(role: Role, stream: bytes, places: list[int]) -> None:
    whole, piecewise = prepared(role), prepared(role)
    expected = whole.receive_data(stream, 1)
    events: list[Event] = []
    for piece in cut(stream, places):
        events += piecewise.receive_data(piece, 1)
    assert events == expected
    assert piecewise.bytes_to_send() == whole.bytes_to_send()
    assert piecewise.state is whole.state
    if any(isinstance(event, LinkDead) for event in events):
        assert whole.state is SessionState.CLOSED


@given(streams)
def test_one_octet_at_a_time(stream: bytes) -> None:
    expected = Framer().feed(stream)
    framer = Framer()
    found = [frame for at in range(len(stream)) for frame in framer.feed(stream[at : at + 1])]
    assert found == expected
    assert all(not isinstance(frame, FramingError) for frame in found[:-1])


@given(st.lists(strategies.pdus(), max_size=5))
def test_good_streams_are_read_whole(pdus: list[object]) -> None:
    stream = b"".join(encode(pdu) for pdu in pdus)  # type: ignore[arg-type]
    assert Framer().feed(stream) == pdus


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("hear"), octets),
            st.tuples(st.just("tick"), st.integers(0, 20)),
            st.tuples(st.just("send"), st.integers(0, 3)),
        ),
        max_size=15,
    )
)
def test_every_request_ends_once(steps: list[tuple[str, object]]) -> None:
    """Whatever is heard and whenever, a request ends in one way, and all have ended at last."""
    session, _ = bound_pair()
    now, sent = 0, 0
    events: list[Event] = []
    for name, value in steps:
        if name == "hear":
            assert isinstance(value, bytes)
            events += session.receive_data(value, now)
        elif name == "tick":
            assert isinstance(value, int)
            now += value
            events += session.tick(now)
        elif session.window_free:
            session.send_request(MESSAGE, now, f"request {sent}")
            sent += 1
        assert 0 <= session.window_free <= 10
    events += session.connection_lost()
    ended = [
        event.token  # type: ignore[union-attr]
        for event in events
        if type(event).__name__ in ("Answered", "Nacked", "Unanswered")
    ]
    assert sorted(map(str, ended)) == sorted(f"request {n}" for n in range(sent))
    assert session.outstanding == 0
