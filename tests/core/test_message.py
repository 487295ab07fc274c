"""The life of a message: the table walked both ways, and its projections."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.message import (
    OPEN,
    QUEUED,
    TERMINAL,
    TRANSITIONS,
    IllegalTransition,
    Message,
    Move,
    Reach,
    State,
    advance,
    allows,
    error_of,
    execution_of,
    is_terminal,
    noted,
    outcome_of,
    status_of,
)
from arrivals.core.money import Micros

RECEIPTS = (
    Move.RECEIPT_PROGRESS,
    Move.RECEIPT_DELIVERED,
    Move.RECEIPT_FILTERED,
    Move.RECEIPT_FAILED,
    Move.RECEIPT_EXPIRED,
)


def message(state: State = State.ACCEPTED, **changes: object) -> Message:
    base = Message(
        key=1 << 17,
        account_id=1,
        route_id=1,
        msisdn="31612345678",
        segments=1,
        price=Micros(50_000),
        expires_at_us=1_000,
        outcome_deadline_us=2_000,
        on_ambiguous="wait",
        lane=1,
        provider_id="north",
        state=state,
        changed_at_us=100,
    )
    return msgspec.structs.replace(base, **changes)


def fold(state: State, moves: tuple[Move, ...]) -> State:
    for move in moves:
        state = TRANSITIONS.get((state, move), state)
    return state


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("move", Move)
def test_every_move_follows_the_table_or_raises(state: State, move: Move) -> None:
    """Invariant 21: no state changes but along the table."""
    before = message(state, seq=7)
    if (state, move) in TRANSITIONS:
        assert allows(state, move)
        after = advance(before, move, 500, reason="why")
        assert (after.state, after.seq) == (TRANSITIONS[state, move], 8)
        assert (after.changed_at_us, after.reason) == (500, "why")
        return
    assert not allows(state, move)
    with pytest.raises(IllegalTransition) as caught:
        advance(before, move, 500)
    assert (caught.value.state, caught.value.move) == (state, move)
    assert str(caught.value) == f"{move.value} is not a move from {state.value}"


def test_every_state_can_be_reached() -> None:
    reached = {State.ACCEPTED, State.SCHEDULED}  # how a message begins
    while more := {to for (at, _), to in TRANSITIONS.items() if at in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_every_move_is_good_for_something() -> None:
    assert {move for _, move in TRANSITIONS} == set(Move)


@pytest.mark.parametrize("state", OPEN)
def test_every_open_state_can_end(state: State) -> None:
    """Invariant 32: nothing is stuck."""
    seen = {state}
    while more := {to for (at, _), to in TRANSITIONS.items() if at in seen} - seen:
        seen |= more
    assert seen & set(TERMINAL)


def test_states_are_queued_open_or_terminal() -> None:
    assert set(OPEN) | set(TERMINAL) == set(State)
    assert set(QUEUED) <= set(OPEN)
    assert not set(OPEN) & set(TERMINAL)
    assert {state for state in State if is_terminal(state)} == set(TERMINAL)


def test_an_end_is_only_ever_revised() -> None:
    """Invariant 39: as the design lists the revisions, and no others."""
    revisions = {
        (at, to) for (at, _), to in TRANSITIONS.items() if is_terminal(at) and at is not to
    }
    assert revisions == {
        *((State.UNKNOWN, to) for to in (State.DELIVERED, State.FILTERED)),
        *((State.UNKNOWN, to) for to in (State.FAILED, State.EXPIRED)),
        *((State.EXPIRED, to) for to in (State.DELIVERED, State.FILTERED, State.FAILED)),
        *((State.FAILED, to) for to in (State.DELIVERED, State.FILTERED)),
        (State.FILTERED, State.DELIVERED),
        (State.FILTERED, State.UNKNOWN),  # where it was only inferred
        (State.DELIVERED, State.UNKNOWN),
    }
    assert all(is_terminal(to) for _, to in revisions)


@pytest.mark.parametrize("begin", [State.AMBIGUOUS, State.SUBMITTED, State.UNKNOWN])
def test_receipts_in_any_order_end_alike(begin: State) -> None:
    """Invariant 36: every permutation of every set of receipts folds to the same outcome."""
    for count in range(1, len(RECEIPTS) + 1):
        for chosen in itertools.combinations(RECEIPTS, count):
            ends = {fold(begin, order) for order in itertools.permutations(chosen)}
            if set(chosen) != {Move.RECEIPT_PROGRESS}:
                assert len(ends) == 1, (chosen, ends)
                assert is_terminal(ends.pop())


@given(
    st.lists(st.sampled_from(RECEIPTS), max_size=12).flatmap(
        lambda moves: st.tuples(st.just(moves), st.permutations(moves))
    ),
    st.integers(0, 12),
)
def test_the_deadline_may_fall_among_them(both: tuple[list[Move], list[Move]], at: int) -> None:
    """Invariant 36 with silence in it: revisions of UNKNOWN lead where receipts would."""
    one, other = both
    late = [*one[:at], Move.DEADLINE_PASSED, *one[at:]]
    in_time = [*other, Move.DEADLINE_PASSED]
    assert fold(State.SUBMITTED, tuple(late)) is fold(State.SUBMITTED, tuple(in_time))


def test_a_receipt_before_the_answer_ends_it_as_one_after_it() -> None:
    for receipt in RECEIPTS[1:]:
        before = fold(State.SENDING, (receipt, Move.TAKEN))
        assert before is fold(State.SENDING, (Move.TAKEN, receipt))
    for answer in (Move.TAKEN, Move.UNANSWERED, Move.LEASE_LOST):
        both = {
            fold(State.SENDING, (Move.RECEIPT_PROGRESS, answer)),
            fold(State.SENDING, (answer, Move.RECEIPT_PROGRESS)),
        }
        assert both == {State.SUBMITTED}


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_event_times_only_grow(changed_at_us: int, now_us: int) -> None:
    """Invariant 40: whatever the clock does."""
    before = message(changed_at_us=changed_at_us)
    after = noted(before, now_us, confirmed="confirmed")
    assert after.changed_at_us == max(changed_at_us + 1, now_us)
    assert (after.seq, after.state, after.confirmed) == (2, State.ACCEPTED, "confirmed")


LAYERS = [
    # state, reach, attempts: execution, outcome, status
    (State.ACCEPTED, Reach.NONE, 0, "queued", "pending", "QUEUED"),
    (State.SCHEDULED, Reach.NONE, 0, "scheduled", "pending", "QUEUED"),
    (State.WAITING, Reach.NONE, 1, "waiting", "pending", "QUEUED"),
    (State.WAITING, Reach.HANDOFF_UNKNOWN, 1, "waiting", "pending", "QUEUED"),
    (State.SENDING, Reach.NONE, 1, "sending", "pending", "QUEUED"),
    (State.AMBIGUOUS, Reach.HANDOFF_UNKNOWN, 1, "handoff_unknown", "pending", "SENT"),
    (State.SUBMITTED, Reach.HANDED_OFF, 1, "handed_off", "pending", "SENT"),
    (State.DELIVERED, Reach.HANDED_OFF, 1, "handed_off", "delivered", "DELIVERED"),
    (State.FAILED, Reach.HANDED_OFF, 1, "handed_off", "failed", "FAILED"),
    (State.FAILED, Reach.NONE, 1, "not_executed", "failed", "FAILED"),
    (State.FILTERED, Reach.HANDED_OFF, 1, "handed_off", "filtered", "FILTERED"),
    (State.EXPIRED, Reach.HANDED_OFF, 1, "handed_off", "expired", "EXPIRED"),
    (State.EXPIRED, Reach.NONE, 1, "waiting", "expired", "EXPIRED"),
    (State.EXPIRED, Reach.NONE, 0, "queued", "expired", "EXPIRED"),
    (State.CANCELLED, Reach.NONE, 0, "not_executed", "cancelled", "CANCELLED"),
    (State.UNKNOWN, Reach.HANDOFF_UNKNOWN, 1, "handoff_unknown", "unknown", "UNKNOWN"),
    (State.UNKNOWN, Reach.HANDED_OFF, 1, "handed_off", "unknown", "UNKNOWN"),
]


@pytest.mark.parametrize(
    ("state", "reach", "attempts", "execution", "outcome", "status"), LAYERS
)
def test_the_layers_stay_apart(
    state: State, reach: Reach, attempts: int, execution: str, outcome: str, status: str
) -> None:
    assert execution_of(state, reach, attempts) == execution
    assert outcome_of(state) == outcome
    assert status_of(state) == status


def test_the_table_of_layers_names_every_state() -> None:
    assert {row[0] for row in LAYERS} == set(State)


@pytest.mark.parametrize("state", State)
def test_an_error_is_a_bad_end_or_a_doubt(state: State) -> None:
    expected = {State.AMBIGUOUS: "handoff_unknown"} | dict.fromkeys(
        (State.FAILED, State.FILTERED, State.EXPIRED, State.UNKNOWN), "why"
    )
    assert error_of(state, "why") == expected.get(state)
