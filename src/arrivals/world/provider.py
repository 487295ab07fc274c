"""How a provider takes messages and reports on them, as a scenario file states it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from arrivals.world.bends import STRAIGHT, Bends
from arrivals.world.breaks import NOBODY, SOUND, Breaks, Holds
from arrivals.world.dialect import ANY, Dialect
from arrivals.world.tables import (
    Bursts,
    Count,
    Delay,
    Factor,
    Part,
    PositiveSeconds,
    Rush,
    Seconds,
    Share,
)

PASSWORD: Final = "world"  # noqa: S105 - of a sandbox; every example states it

IdForm = Literal[
    "decimal",
    "hex",
    "capital_hex_then_hex",
    "hex_then_decimal",
    "decimal_then_hex",
    "padded_decimal",
]
OverRate = Literal["throttle", "queue", "silent_queue"]
# How far a message has come when its receipt is written.
Depth = Literal["none", "carrier", "handset"]
Spared = Literal["probes", "codes"]
ReceiptWord = Literal["DELIVRD", "ACCEPTD", "UNDELIV", "EXPIRED", "UNKNOWN"]


class Brownout(Part, frozen=True):
    """Stretches of time, all of one length, in which a provider is slow and errs."""

    share: Share = 0.0  # of all time
    length_s: PositiveSeconds = 180.0
    errors: Share = 0.0  # answered ESME_RSYSERR meanwhile
    slowness: Factor = 1.0  # times the answer's delay


class Rate(Part, frozen=True):
    """How many PDUs a provider takes, and what it does with more."""

    per_s: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 0.0  # 0: no limit
    per: Literal["provider", "sender"] = "provider"  # what has this rate: all, or each sender
    burst_s: PositiveSeconds = 1.0
    over: OverRate = "throttle"
    queue_max_s: Seconds = 60.0  # what would wait longer is answered ESME_RMSGQFUL


class Receipts(Part, frozen=True):
    """How a provider reports."""

    depth: Depth = "handset"  # what it passes on; a carrier may tell less
    coverage: Share = 1.0  # the rest never get one
    delay: Delay = Delay()
    late: Share = 0.0
    late_delay: Delay = Delay()
    duplicated: Share = 0.0
    reordered: Share = 0.0  # an intermediate one after the final one
    contradicted: Share = 0.0  # the opposite first
    before_answer: Share = 0.0
    per: Literal["segment", "message"] = "segment"
    echo_reference: bool = True  # user_message_reference comes back
    tlvs: bool = True  # receipted_message_id and message_state beside the text
    any_bind: bool = False  # in turn to every bind, not to the one that submitted
    window: Count = 10
    held: bool = False  # the link for receipts is down: they come when it's up again
    flood_s: Seconds = 60.0  # within which all that was held comes, in no order
    gives_up_after_s: Seconds = 0.0  # when nothing came, a word is made up; 0: never
    gives_up_word: ReceiptWord = "EXPIRED"
    words: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # what it writes for a state, such as DELIVERED for DELIVRD
    codes: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # what it writes for one of our err codes
    progress: Share = 0.0  # told first that the next network has acknowledged it
    bends: Bends = STRAIGHT  # how they're written, beside words and codes
    told_to: str = ""  # another login of the same carrier, whose binds get them
    before_bind_answer: bool = False  # those that wait come before the bind is answered


class Provider(Part, frozen=True):
    """How one provider takes messages."""

    up: bool = True  # no: every bind is cut and none accepted
    flaps_s: Seconds = 0.0  # its binds are cut every so often; 0: never
    password: str | None = PASSWORD  # none: any will do
    window: Count = 100  # unanswered submits a bind may have
    answer: Delay = Delay()
    errors: Share = 0.0  # ESME_RSYSERR, not taken
    refusals: Share = 0.0  # ESME_RINVDSTADR, not taken
    lost_answers: Share = 0.0  # taken, and never answered
    lost_answers_dropped: Share = 0.0  # of those, never sent on either
    fabricates: Share = 0.0  # dropped, and a DELIVRD made up
    fabricated_delay: Delay = Delay(median_s=3.0, sigma=0.15)
    spares: tuple[Spared, ...] = ()  # what it never does that to
    rate: Rate = Rate()
    brownout: Brownout = Brownout()
    bursts: Bursts = Bursts()
    breaks: Breaks = SOUND
    holds: Holds = NOBODY
    dialect: Dialect = ANY
    queue: Delay = Delay()  # from the provider to the carrier
    rush: Rush = Rush()  # of that queue
    id_form: IdForm = "decimal"  # of message ids, in answers and receipts
    receipts: Receipts = Receipts()
    expires_after_s: PositiveSeconds = 259_200.0  # 72 h, as most carriers keep a message
    error_namespace: str = "carrier_world"  # whose meanings its err codes have
