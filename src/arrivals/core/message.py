"""The life of one message, as a table.

Every legal change of state is a row of TRANSITIONS. The diagram in
docs/message-life.md is drawn from this table, the database's own table of moves
is filled from it, and tests/core walks it.

Three layers stay apart. *api* is settled when a message exists at all. *execution*
is a function of the state and of `reach`, the furthest a hand-off ever got; a resend that
waits in the queue doesn't undo it, only a late answer that proves nothing was taken does.
*outcome* is the state's own word once the message has ended, and `pending` before.

A terminal state changes only by a revision: a row whose source is terminal. Receipts
fold to one outcome in any order because revisions only climb: unknown, expired, failed,
filtered, delivered. There are two ways down: proof that a receipt was fabricated, and a word
about a message of which it was only inferred that it was filtered.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

from arrivals.core.money import Micros


class State(StrEnum):
    ACCEPTED = "accepted"  # stored, priced, funds held; visible at once as queued
    SCHEDULED = "scheduled"  # wanted later: send_at, or outside allowed hours
    WAITING = "waiting"  # to be tried again, not before a time and for a reason
    SENDING = "sending"  # leased; the intent is durable; bytes may have left
    AMBIGUOUS = "ambiguous"  # bytes left or may have left, and no answer came
    SUBMITTED = "submitted"  # a provider took it and named it
    DELIVERED = "delivered"
    FAILED = "failed"  # a refusal or a negative receipt, with a reason
    FILTERED = "filtered"  # stopped on purpose, by an explicit code or above the bar
    EXPIRED = "expired"  # its validity passed, in our queue or upstream
    CANCELLED = "cancelled"  # before hand-off only
    UNKNOWN = "unknown"  # the deadline passed with no sufficient evidence


class Move(StrEnum):
    """What can happen to a message; each is the kind of the event it appends."""

    CLAIMED = "claimed"
    TAKEN = "taken"  # the provider's answer: accepted, with its id
    THROTTLED = "throttled"
    NOT_SENT = "not_sent"  # proved: the PDU never reached the socket
    NOT_BOUND = "not_bound"  # the provider said that we weren't bound: nothing was taken
    REFUSED = "refused"  # for good, and no other provider is allowed
    REFUSED_RETRYABLE = "refused_retryable"
    FAILED_OVER = "failed_over"  # not wanted here; the route allows another provider
    PART_REFUSED = "part_refused"  # for good, after other parts of it were taken
    UNANSWERED = "unanswered"
    LEASE_LOST = "lease_lost"  # its sender is gone; bytes may have left
    RESEND_ALLOWED = "resend_allowed"  # the recorded policy lets it go out a second time
    RESEND_DROPPED = "resend_dropped"  # no second time after all: back to not knowing
    FAIL_WANTED = "fail_wanted"  # the recorded policy prefers failed to unknown
    RECEIPT_PROGRESS = "receipt_progress"  # somebody upstream has it
    RECEIPT_DELIVERED = "receipt_delivered"
    RECEIPT_FILTERED = "receipt_filtered"
    RECEIPT_FAILED = "receipt_failed"
    RECEIPT_EXPIRED = "receipt_expired"
    RECEIPT_FABRICATED = "receipt_fabricated"  # proof that a delivered receipt was invented
    CANCEL_ASKED = "cancel_asked"
    VALIDITY_PASSED = "validity_passed"
    GIVEN_UP = "given_up"  # no provider left, retries used up, or poison
    DEADLINE_PASSED = "deadline_passed"
    FILTER_INFERRED = "filter_inferred"  # at the deadline, and above the bar
    INFERENCE_WITHDRAWN = "inference_withdrawn"  # somebody knows what became of it after all


class Reach(IntEnum):
    """How far a hand-off ever got; money and the execution layer ask this."""

    NONE = 0
    HANDOFF_UNKNOWN = 1
    HANDED_OFF = 2


QUEUED = (State.ACCEPTED, State.SCHEDULED, State.WAITING)
OPEN = (*QUEUED, State.SENDING, State.AMBIGUOUS, State.SUBMITTED)
TERMINAL = (
    State.DELIVERED,
    State.FAILED,
    State.FILTERED,
    State.EXPIRED,
    State.CANCELLED,
    State.UNKNOWN,
)

# A receipt moves any state in which a hand-off may have happened.
_RECEIVABLE = (State.WAITING, State.SENDING, State.AMBIGUOUS, State.SUBMITTED)

TRANSITIONS: dict[tuple[State, Move], State] = {
    **{(state, Move.CLAIMED): State.SENDING for state in QUEUED},
    **{(state, Move.CANCEL_ASKED): State.CANCELLED for state in QUEUED},
    **{(state, Move.VALIDITY_PASSED): State.EXPIRED for state in QUEUED},
    **{(state, Move.GIVEN_UP): State.FAILED for state in QUEUED},
    # A late answer or receipt for an earlier attempt: somebody has it after all, so a resend
    # not yet begun is dropped.
    (State.WAITING, Move.TAKEN): State.SUBMITTED,
    (State.WAITING, Move.RECEIPT_PROGRESS): State.SUBMITTED,
    (State.SENDING, Move.TAKEN): State.SUBMITTED,
    (State.SENDING, Move.RECEIPT_PROGRESS): State.SUBMITTED,
    (State.SENDING, Move.THROTTLED): State.WAITING,
    (State.SENDING, Move.NOT_SENT): State.WAITING,
    (State.SENDING, Move.NOT_BOUND): State.WAITING,
    (State.SENDING, Move.REFUSED_RETRYABLE): State.WAITING,
    (State.SENDING, Move.FAILED_OVER): State.WAITING,
    (State.SENDING, Move.REFUSED): State.FAILED,
    (State.SENDING, Move.GIVEN_UP): State.FAILED,
    (State.SENDING, Move.UNANSWERED): State.AMBIGUOUS,
    # Never queued again by itself: its bytes may have left.
    (State.SENDING, Move.LEASE_LOST): State.AMBIGUOUS,
    (State.AMBIGUOUS, Move.TAKEN): State.SUBMITTED,
    (State.AMBIGUOUS, Move.RECEIPT_PROGRESS): State.SUBMITTED,
    (State.AMBIGUOUS, Move.THROTTLED): State.WAITING,
    (State.AMBIGUOUS, Move.NOT_BOUND): State.WAITING,
    (State.AMBIGUOUS, Move.REFUSED_RETRYABLE): State.WAITING,
    (State.AMBIGUOUS, Move.FAILED_OVER): State.WAITING,
    (State.AMBIGUOUS, Move.REFUSED): State.FAILED,
    (State.AMBIGUOUS, Move.RESEND_ALLOWED): State.WAITING,
    # The first hand-off may still have arrived, so this is neither an expiry nor a failure.
    (State.WAITING, Move.RESEND_DROPPED): State.AMBIGUOUS,
    (State.SENDING, Move.RESEND_DROPPED): State.AMBIGUOUS,
    (State.AMBIGUOUS, Move.FAIL_WANTED): State.FAILED,
    # No handset puts together what lacks a part, and it is never sent again whole. A part's
    # receipt may have come before, and a resend may have been allowed.
    **{
        (state, Move.PART_REFUSED): State.FAILED
        for state in (State.SENDING, State.AMBIGUOUS, State.WAITING, State.SUBMITTED)
    },
    (State.AMBIGUOUS, Move.DEADLINE_PASSED): State.UNKNOWN,
    (State.SUBMITTED, Move.DEADLINE_PASSED): State.UNKNOWN,
    (State.SUBMITTED, Move.FILTER_INFERRED): State.FILTERED,
    **{(state, Move.RECEIPT_DELIVERED): State.DELIVERED for state in _RECEIVABLE},
    **{(state, Move.RECEIPT_FILTERED): State.FILTERED for state in _RECEIVABLE},
    **{(state, Move.RECEIPT_FAILED): State.FAILED for state in _RECEIVABLE},
    **{(state, Move.RECEIPT_EXPIRED): State.EXPIRED for state in _RECEIVABLE},
    # Revisions. Evidence beats silence, and stronger evidence beats weaker.
    (State.UNKNOWN, Move.RECEIPT_DELIVERED): State.DELIVERED,
    (State.UNKNOWN, Move.RECEIPT_FILTERED): State.FILTERED,
    (State.UNKNOWN, Move.RECEIPT_FAILED): State.FAILED,
    (State.UNKNOWN, Move.RECEIPT_EXPIRED): State.EXPIRED,
    (State.EXPIRED, Move.RECEIPT_DELIVERED): State.DELIVERED,
    (State.EXPIRED, Move.RECEIPT_FILTERED): State.FILTERED,
    (State.EXPIRED, Move.RECEIPT_FAILED): State.FAILED,
    (State.FAILED, Move.RECEIPT_DELIVERED): State.DELIVERED,
    # An explicit filtering code names who stopped it, which a bare failure doesn't;
    # without this row two contradictory receipts would depend on their order.
    (State.FAILED, Move.RECEIPT_FILTERED): State.FILTERED,
    (State.FILTERED, Move.RECEIPT_DELIVERED): State.DELIVERED,
    (State.DELIVERED, Move.RECEIPT_FABRICATED): State.UNKNOWN,
    (State.FILTERED, Move.INFERENCE_WITHDRAWN): State.UNKNOWN,
}


class IllegalTransition(Exception):
    """A move that the table doesn't have; the row is left as it was."""

    def __init__(self, state: State, move: Move) -> None:
        super().__init__(f"{move.value} is not a move from {state.value}")
        self.state = state
        self.move = move


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One recipient of an order: what changes, and what decisions need to see.

    Times are microseconds, money micro-units of the order's currency. The order of the
    fields is the order of the columns in the statements that load and save them.
    """

    key: int  # order_id << 17 | index
    account_id: int
    route_id: int
    msisdn: str
    segments: int
    price: Micros  # total: price per segment × segments, fixed at accept
    expires_at_us: int  # validity; past it nothing is handed off
    outcome_deadline_us: int  # past it an open message is UNKNOWN
    on_ambiguous: str  # wait | query | resend | fail
    lane: int  # 0 otp, 1 alert, 2 bulk
    provider_id: str  # whose queue it waits in, or who has it
    state: State
    reach: Reach = Reach.NONE
    reason: str | None = None  # canonical reason code, or why it waits
    seq: int = 1  # of its newest event
    changed_at_us: int = 0  # of its newest event
    attempts: int = 0  # intents written
    tries: int = 0  # attempts that used up the retry budget
    resends: int = 0  # hand-offs beyond the first that a policy allowed
    rank: int | None = None  # place in the lane; None: not ready to be claimed
    wake_at_us: int | None = None  # when the sweep must look at it
    epoch: int = 0  # of the bind that claimed it
    resolution: str | None = None  # captured | released
    resolution_posting: int | None = None
    provider_cost: Micros = Micros(0)
    confirmed: str = "none"  # none | confirmed | denied
    parts: str | None = None  # outcome letters by part, for messages of several parts
    verdict: str | None = None  # of the model, as recorded; None: the state says all there is


def advance(message: Message, move: Move, now_us: int, **changes: object) -> Message:
    """Return the message after `move`, one event later, or raise IllegalTransition.

    What the model made of it was about the state it leaves, and goes with it.
    """
    state = TRANSITIONS.get((message.state, move))
    if state is None:
        raise IllegalTransition(message.state, move)
    return msgspec.structs.replace(
        message,
        state=state,
        seq=message.seq + 1,
        changed_at_us=next_time(message, now_us),
        **{"verdict": None, **changes},
    )


def noted(message: Message, now_us: int, **changes: object) -> Message:
    """Return the message after an event that is a fact but moves nothing."""
    return msgspec.structs.replace(
        message, seq=message.seq + 1, changed_at_us=next_time(message, now_us), **changes
    )


def allows(state: State, move: Move) -> bool:
    """Tell whether the table has this move."""
    return (state, move) in TRANSITIONS


def next_time(message: Message, now_us: int) -> int:
    """Return the time of the next event: never at or before the one before it."""
    return max(message.changed_at_us + 1, now_us)


def is_terminal(state: State) -> bool:
    """Tell whether a message in this state has ended (it may still be revised)."""
    return state in _TERMINAL_SET


def is_inferred(message: Message) -> bool:
    """Tell whether it only was inferred that somebody filtered a message."""
    return message.state is State.FILTERED and message.verdict is not None


_TERMINAL_SET = frozenset(TERMINAL)

_EXECUTION_OPEN: dict[State, str] = {
    State.ACCEPTED: "queued",
    State.SCHEDULED: "scheduled",
    State.WAITING: "waiting",
    State.SENDING: "sending",
    State.AMBIGUOUS: "handoff_unknown",
    State.SUBMITTED: "handed_off",
}
_EXECUTION_REACHED: dict[Reach, str] = {
    Reach.HANDOFF_UNKNOWN: "handoff_unknown",
    Reach.HANDED_OFF: "handed_off",
}


def execution_of(state: State, reach: Reach, attempts: int) -> str:
    """Return the execution layer's word: where it is, or the furthest point it reached."""
    if state in _EXECUTION_OPEN:
        return _EXECUTION_OPEN[state]
    if reach is not Reach.NONE:
        return _EXECUTION_REACHED[reach]
    if state is State.EXPIRED:
        return "waiting" if attempts else "queued"
    return "not_executed"


def outcome_of(state: State) -> str:
    """Return the outcome layer's word: pending until the message has ended."""
    return state.value if state in _TERMINAL_SET else "pending"


_STATUS: dict[State, str] = {
    State.ACCEPTED: "QUEUED",
    State.SCHEDULED: "QUEUED",
    State.WAITING: "QUEUED",
    State.SENDING: "QUEUED",
    State.AMBIGUOUS: "SENT",
    State.SUBMITTED: "SENT",
} | {state: state.value.upper() for state in TERMINAL}


def status_of(state: State) -> str:
    """Project the one-word status of the published API from the state, and only from it."""
    return _STATUS[state]


def error_of(state: State, reason: str | None) -> str | None:
    """Return the published API's `error`: why it ended badly, or a hand-off in doubt."""
    if state is State.AMBIGUOUS:
        return "handoff_unknown"
    if state in {State.FAILED, State.FILTERED, State.EXPIRED, State.UNKNOWN}:
        return reason
    return None
