"""Receipts and replies on their way to an ESME: kept until a bind of its system_id takes them.

put ──▶ waiting ──a bind has room──▶ delivered ──acknowledged──▶ gone
           ▲                            │
           ├──── connection lost ───────┤   at once, in front
           └──── refused, or silence ───┘   after a pause, so many times
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from arrivals.core.text import encode_gsm7
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, make_tlv
from arrivals.smpp.receipts import format_receipt
from arrivals.world.bends import AS_SPECIFIED, Shape, bent
from arrivals.world.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arrivals.smpp.pdu import Tlvs
    from arrivals.world.agenda import Agenda
    from arrivals.world.people import ActKind
    from arrivals.world.provider import Receipts
    from arrivals.world.truth import TruthLedger

WAITING_MAX: Final = 200_000  # receipts a system_id, about 150 MB; then the oldest go
TRIES_MAX: Final = 10  # deliveries without a positive answer
REDELIVERY_S: Final = 5.0
REPLIES: Final[dict[ActKind, str]] = {"replied": "Thank you", "stopped": "STOP"}

_TON_INTERNATIONAL: Final = 1  # section 5.2.5
_TON_ALPHANUMERIC: Final = 5
_NPI_E164: Final = 1  # section 5.2.6
_MINUTE_US: Final = 60_000_000


class Parcel(msgspec.Struct, kw_only=True, eq=False):
    """One receipt to deliver, or a reply."""

    submission: Submission
    origin: Receiver | None  # the bind that submitted; None: any bind is as good
    message_id: str = ""  # in the form that receipts have
    state: str = ""
    word: str = ""  # in place of the state's own
    error: str = ""
    submitted_us: int = 0
    done_us: int = 0
    shape: Shape = AS_SPECIFIED
    habits: Receipts | None = None  # of who tells it, where that isn't whose mailbox it is
    reply: str = ""  # what the subscriber writes; none: it's a receipt
    tries: int = 0


class Receiver(Protocol):
    """A bind that can take receipts."""

    @property
    def room(self) -> int:
        """How many more it takes now."""

    def deliver(self, parcel: Parcel) -> None:
        """Send one; its fate comes back to the mailbox."""


class Mailbox:
    """One system_id's receipts and the binds that may take them."""

    def __init__(self, habits: Receipts, agenda: Agenda, truth: TruthLedger) -> None:
        self.habits = habits
        self._agenda = agenda
        self._truth = truth
        self._waiting: deque[Parcel] = deque()
        self._receivers: list[Receiver] = []
        self._turn = 0

    def __len__(self) -> int:
        """Return how many receipts wait for a bind."""
        return len(self._waiting)

    def open_to(self, receiver: Receiver) -> None:
        """Let a bind take receipts."""
        self._receivers.append(receiver)

    def close_to(self, receiver: Receiver) -> None:
        """Stop giving receipts to a bind."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def put(self, parcel: Parcel) -> None:
        """Add a receipt; `pump` sends it."""
        self._waiting.append(parcel)
        self._bound()

    def pump(self) -> None:
        """Give receipts to binds while there are both."""
        waiting = self._waiting
        while waiting:
            receiver = self._choose(waiting[0].origin)
            if receiver is None:
                return
            parcel = waiting.popleft()
            receiver.deliver(parcel)
            self._truth.counters["replies_sent" if parcel.reply else "receipts_sent"] += 1

    def acknowledged(self, parcel: Parcel, status: int) -> None:
        """Take note of an answer; one that says no is as none."""
        if status == c.ESME_ROK:
            kind = "replies" if parcel.reply else "receipts"
            self._truth.count(f"{kind}_acknowledged")
        else:
            self.unacknowledged(parcel)

    def unacknowledged(self, parcel: Parcel) -> None:
        """Deliver again after a pause, or give up."""
        parcel.tries += 1
        if parcel.tries >= TRIES_MAX:
            self._truth.count("receipts_given_up")
            return
        self._truth.count("receipts_redelivered")
        self._agenda.enter(self._agenda.now_s + REDELIVERY_S, self._again, parcel)

    def take_back(self, parcels: Iterable[Parcel]) -> None:
        """Keep what a lost connection never acknowledged, oldest first, for the next bind."""
        returned = list(parcels)
        self._waiting.extendleft(reversed(returned))
        self._bound()
        self._truth.counters["receipts_redelivered"] += len(returned)

    def _again(self, parcel: Parcel) -> None:
        self._waiting.appendleft(parcel)
        self.pump()

    def _bound(self) -> None:
        while len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
            self._truth.count("receipts_dropped")

    def _choose(self, origin: Receiver | None) -> Receiver | None:
        """Return the bind that submitted if it can take one, else the next in turn that can."""
        if origin is not None and origin in self._receivers and origin.room > 0:
            return origin
        for _ in self._receivers:
            self._turn = (self._turn + 1) % len(self._receivers)
            if self._receivers[self._turn].room > 0:
                return self._receivers[self._turn]
        return None


def pdu_of(parcel: Parcel, habits: Receipts) -> Pdu:
    """Return the deliver_sm that carries a receipt or a reply; it swaps the addresses."""
    if parcel.reply:
        return _deliver_sm(parcel.submission, 0, encode_gsm7(parcel.reply))
    submission, habits = parcel.submission, parcel.habits or habits
    word = parcel.word or habits.words.get(parcel.state)
    text, tlvs = format_receipt(
        message_id=parcel.message_id,
        state=parcel.state,
        submit_date=_date(parcel.submitted_us // _MINUTE_US),
        done_date=_date(parcel.done_us // _MINUTE_US),
        error=habits.codes.get(parcel.error, parcel.error),
        stat=word,
    )
    if not habits.tlvs:
        tlvs = ()
    if habits.echo_reference and submission.reference is not None:
        tlvs = (*tlvs, make_tlv(c.TLV_USER_MESSAGE_REFERENCE, submission.reference))
    straight = _deliver_sm(submission, c.ESM_DELIVERY_RECEIPT, text, tlvs)
    if parcel.shape is AS_SPECIFIED:
        return straight
    return bent(straight.fields, tlvs, word or parcel.state, parcel.shape)


def _deliver_sm(submission: Submission, esm_class: int, text: bytes, tlvs: Tlvs = ()) -> Pdu:
    international = submission.source.isdigit()
    fields: dict[str, int | bytes] = {
        "source_addr_ton": _TON_INTERNATIONAL,
        "source_addr_npi": _NPI_E164,
        "source_addr": submission.destination.encode("latin-1"),
        "dest_addr_ton": _TON_INTERNATIONAL if international else _TON_ALPHANUMERIC,
        "dest_addr_npi": _NPI_E164 if international else 0,
        "destination_addr": submission.source.encode("latin-1"),
        "esm_class": esm_class,
        "short_message": text,
    }
    return Pdu(c.DELIVER_SM, fields=fields, tlvs=tlvs)


@lru_cache(maxsize=64)
def _date(minutes: int) -> str:
    """Return minutes since 1970 as YYMMDDhhmm, in UTC (appendix B)."""
    return datetime.fromtimestamp(minutes * 60, UTC).strftime("%y%m%d%H%M")
