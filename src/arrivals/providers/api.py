"""What the flows know of a provider: submissions go out; answers, receipts, replies come in.

A provider's answer is a value, never an exception. Every submission is answered exactly
once by one of Taken, Throttled, NotBound, Refused, NotSent or Unanswered. PartHeld may come
before it, any number of times; after Unanswered others may follow, marked late: Unanswered
again as parts turn up, then Taken, Throttled or Refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from arrivals.smpp.receipts import (
    IdForm,
    bare_form,
    candidates_in,
    form_between,
    id_candidates,
)


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """One message to hand off; its intent is durable already."""

    key: int
    attempt: int
    epoch: int
    sender: str
    msisdn: str
    text: str
    segments: int
    reference: int  # 16 bits, sent along so that a receipt can echo it
    expires_at_us: int


class Taken(msgspec.Struct, frozen=True, tag=True):
    """The provider has it; its ids by part, in normal form and as sent."""

    ids: tuple[tuple[int, str, str], ...]  # (part, normal form, as sent)
    elapsed_us: int = 0


class Throttled(msgspec.Struct, frozen=True, tag=True):
    """Not now; nothing was taken. `whole_bind` says that it slows more than this message."""

    status: int
    whole_bind: bool = False


class NotBound(msgspec.Struct, frozen=True, tag=True):
    """The provider says that we aren't bound: nothing was taken, and we bind again."""

    status: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """No. `retryable` says whether a later try may fare better.

    Nothing was taken, unless `part` names the part that was refused for good after others
    were taken; their ids are in `parts_accepted`. `cause` says why we stop sending such a part,
    where no refusal is the provider's last word; `status` is 0 then if it never left.
    """

    status: int
    reason: str  # canonical code
    retryable: bool
    elsewhere: bool  # another provider may take it
    part: int = 0
    parts_accepted: tuple[tuple[int, str, str], ...] = ()
    cause: str = ""


class NotSent(msgspec.Struct, frozen=True, tag=True):
    """Proved: no PDU of it reached the socket."""

    cause: str


class Unanswered(msgspec.Struct, frozen=True, tag=True):
    """Bytes left or may have left, and no answer came for the whole of it."""

    cause: str
    parts_accepted: tuple[tuple[int, str, str], ...] = ()


class PartHeld(msgspec.Struct, frozen=True, tag=True):
    """Not the end: a part is put off and tried again, while others may have been taken."""

    part: int
    status: int  # 0: it waits behind another part, or its link was lost before it left
    until_us: int  # wall time by which the next news of this attempt is due
    parts_accepted: tuple[tuple[int, str, str], ...] = ()
    due_us: int = 0  # wall time at which it is tried again, room permitting


Result = Taken | Throttled | NotBound | Refused | NotSent | Unanswered | PartHeld


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one submission."""

    provider_id: str
    key: int
    attempt: int
    epoch: int
    result: Result
    late: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery report, in words every kind of provider can use."""

    provider_id: str
    external_id: str | None  # in normal form
    names: tuple[str, ...]  # the ids it gives, as sent; usually one
    word: str  # DELIVRD, UNDELIV, … or UNRECOGNISED
    said: str = ""  # the provider's own word for it, as sent
    error: str
    msisdn: str  # the handset it's about, digits; "" if not said
    other: str = ""  # its other address, digits: some leave the message's addresses unswapped
    reference: int | None = None  # ours, if echoed
    done: str | None = None  # the provider's claim, as sent
    intermediate: bool = False
    fingerprint: str = ""  # equal for the very same receipt sent again
    raw: str = ""  # hex
    tlv_said: str = ""  # message_state's word, where it isn't the text's
    came_over: str = ""  # the provider whose connection brought it, where the ids are another's


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody wrote back, and never what: a text of theirs is nobody's business here."""

    provider_id: str
    msisdn: str  # the handset, digits as its carrier writes them
    sender: str  # our number that it wrote to, likewise
    came_at_us: int


class Fate(StrEnum):
    """Why something that a provider sent came to nothing."""

    UNMARKED = "unmarked"  # written like a receipt, and not marked as one
    UNREADABLE = "unreadable"  # neither a receipt nor a handset's message
    ALERT = "alert"  # that a handset is there again, which nobody asked for
    UNASKED = "unasked"  # an answer to nothing that is remembered
    UNKNOWN_COMMAND = "unknown_command"
    WRONG_STATE = "wrong_state"  # a command that it may not send now
    MALFORMED = "malformed"
    STREAM_LOST = "stream_lost"  # a length that can't be true: the connection was ended


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider sent and nobody acts on; refused, or acknowledged and ignored."""

    provider_id: str
    fate: Fate
    command: str  # its name, or its number
    raw: str = ""  # hex, cut off where it is long, and without what a handset may have written

    def __repr__(self) -> str:
        """Show what it was, and never its octets."""
        return f"Ignored({self.provider_id!r}, {self.fate}, {self.command})"


def forms_of(receipt: Receipt) -> tuple[str, ...]:
    """Return the forms under which the ids that a receipt gives may have been stored."""
    forms: dict[str, None] = {}
    for name in receipt.names:
        forms.update(dict.fromkeys(id_candidates(name)))
    return tuple(forms)


def bare_forms(receipt: Receipt) -> tuple[str, ...]:
    """Return under what a receipt waits for the ids it gives: one form of each."""
    return tuple(dict.fromkeys(bare_form(name) for name in receipt.names))


def forms_in(receipt: Receipt, form: IdForm) -> tuple[str, ...]:
    """Return the forms under which its ids were stored if it tells them in this one."""
    return tuple(each for name in receipt.names for each in candidates_in(form, name))


def form_of(receipt: Receipt, stored: str) -> IdForm | None:
    """Return in which form a receipt tells the id that was stored; None if it doesn't."""
    return next(
        (form for name in receipt.names if (form := form_between(stored, name)) is not None),
        None,
    )


class Sink(Protocol):
    """Who takes a provider's news; called on the loop, in batches."""

    def may_send(self) -> bool:
        """Tell whether bytes may leave now; asked right before they would."""

    def answered(self, answers: Sequence[Answer]) -> None:
        """Take answers; they are facts and will be recorded."""

    def received(self, receipts: Sequence[Receipt], tokens: Sequence[object]) -> None:
        """Take receipts; each token goes back to `acknowledge` once its receipt is durable."""

    def replied(self, replies: Sequence[Reply], tokens: Sequence[object]) -> None:
        """Take replies; tokens as of receipts, once what a reply proves is durable."""

    def ignored(self, ignored: Sequence[Ignored], tokens: Sequence[object]) -> None:
        """Take what came to nothing; tokens as of receipts, of those that want an answer."""


class Connection(Protocol):
    """A provider as the dispatcher uses it."""

    provider_id: str

    @property
    def up(self) -> bool:
        """Whether it can take submissions at all."""

    @property
    def is_broken(self) -> bool:
        """Whether hand-offs to it got lost in a row: it counts as away, and is being probed."""

    @property
    def lacks(self) -> str:
        """Say which of its binds aren't there, though `up`; "" if all are."""

    @property
    def refusal(self) -> str:
        """Say why a bind isn't there: it is refused, or isn't reached; "" if it is there."""

    @property
    def held_for_s(self) -> float:
        """For how long throttling has held back what could have gone out; 0.0: it doesn't."""

    @property
    def window(self) -> int:
        """How many PDUs may wait for their answer, over all its binds."""

    @property
    def window_used(self) -> int:
        """How many do."""

    def capacity(self) -> int:
        """Return how many messages may be handed over now: window and pace."""

    async def ready(self) -> None:
        """Wait until `capacity` is above zero."""

    def submit(self, batch: Sequence[Submission]) -> None:
        """Send what was claimed; every one will be answered to the sink."""

    def acknowledge(self, tokens: Sequence[object]) -> None:
        """Tell the provider that these receipts and replies are safe."""

    async def start(self, sink: Sink) -> None:
        """Begin to connect, and stay connected until stopped."""

    async def stop(self) -> None:
        """Finish what is under way within a short time, then close."""
