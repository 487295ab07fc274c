"""Which commands each role may send in each bind state (SMPP 3.4 table 2-1).

    OPEN ──bind──> BINDING ──accepted──> BOUND_TX | BOUND_RX | BOUND_TRX ──unbind──> UNBINDING
      ^               │                                                                  │
      └───refused─────┘                  any state ──link dead, unbound──> CLOSED <──────┘

What a role may send is what its peer must take, and a session reads its own row of
LEGAL_REQUESTS before it sends. When a request arrives it reads TAKEN_REQUESTS, the same and a
little more: some carriers deliver before they answer the bind, or over a transmitter's, and
a receipt that is refused is lost.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from arrivals.smpp import constants as c


class Role(StrEnum):
    """Which end of the link a session is."""

    ESME = "esme"  # sends messages to carriers: a provider connection
    SMSC = "smsc"  # takes them: the carrier's side

    @property
    def peer(self) -> Role:
        """The other end."""
        return Role.SMSC if self is Role.ESME else Role.ESME


class SessionState(StrEnum):
    """Where a session is in its life."""

    OPEN = "open"  # connected; no bind yet
    BINDING = "binding"  # a bind is unanswered
    BOUND_TX = "bound_tx"
    BOUND_RX = "bound_rx"
    BOUND_TRX = "bound_trx"
    UNBINDING = "unbinding"  # our unbind is unanswered; the peer may still believe it's bound
    CLOSED = "closed"  # nothing more is sent


BINDS: Final[dict[int, SessionState]] = {
    c.BIND_TRANSMITTER: SessionState.BOUND_TX,
    c.BIND_RECEIVER: SessionState.BOUND_RX,
    c.BIND_TRANSCEIVER: SessionState.BOUND_TRX,
}
BOUND: Final = frozenset(BINDS.values())

_LINK = frozenset({c.ENQUIRE_LINK, c.UNBIND})
_SUBMISSIONS = frozenset(
    {c.SUBMIT_SM, c.SUBMIT_MULTI, c.DATA_SM, c.QUERY_SM, c.CANCEL_SM, c.REPLACE_SM}
)
_DELIVERIES = frozenset({c.DELIVER_SM, c.DATA_SM, c.ALERT_NOTIFICATION})
_PROBE = frozenset({c.ENQUIRE_LINK})  # 5.0 allows it before a bind too (section 2.4)
_NONE: frozenset[int] = frozenset()

LEGAL_REQUESTS: Final[dict[tuple[Role, SessionState], frozenset[int]]] = {
    (Role.ESME, SessionState.OPEN): _PROBE | frozenset(BINDS),
    (Role.ESME, SessionState.BINDING): _PROBE,
    (Role.ESME, SessionState.BOUND_TX): _LINK | _SUBMISSIONS,
    (Role.ESME, SessionState.BOUND_RX): _LINK,
    (Role.ESME, SessionState.BOUND_TRX): _LINK | _SUBMISSIONS,
    (Role.ESME, SessionState.UNBINDING): _NONE,
    (Role.ESME, SessionState.CLOSED): _NONE,
    (Role.SMSC, SessionState.OPEN): _PROBE | {c.OUTBIND},
    (Role.SMSC, SessionState.BINDING): _PROBE,
    (Role.SMSC, SessionState.BOUND_TX): _LINK,
    (Role.SMSC, SessionState.BOUND_RX): _LINK | _DELIVERIES,
    (Role.SMSC, SessionState.BOUND_TRX): _LINK | _DELIVERIES,
    (Role.SMSC, SessionState.UNBINDING): _NONE,
    (Role.SMSC, SessionState.CLOSED): _NONE,
}

_TAKEN_ALL_THE_SAME: Final = {
    (Role.SMSC, SessionState.BINDING): _DELIVERIES,
    (Role.SMSC, SessionState.BOUND_TX): _DELIVERIES,
}
TAKEN_REQUESTS: Final[dict[tuple[Role, SessionState], frozenset[int]]] = {
    place: legal | _TAKEN_ALL_THE_SAME.get(place, _NONE)
    for place, legal in LEGAL_REQUESTS.items()
}

# What fills the window: requests that move messages.
WINDOWED: Final = frozenset({c.SUBMIT_SM, c.SUBMIT_MULTI, c.DATA_SM, c.DELIVER_SM})
# What a session sends and answers by itself; callers have verbs for these.
OWN_REQUESTS: Final = frozenset({*BINDS, c.ENQUIRE_LINK, c.UNBIND})
