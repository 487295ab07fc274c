"""A scenario played without sockets, clocks or a platform: each send handed over once.

What a sender would do about it (try again, fail over, wait) isn't played: these are the
fates that a scenario's own numbers are about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from arrivals.core.text import encode_segments, is_gsm7
from arrivals.smpp import constants as c
from arrivals.world.acts import Act, acts_of
from arrivals.world.fate import Answer, Ending, Fate
from arrivals.world.fixed_fates import fate_of
from arrivals.world.history import History
from arrivals.world.limits import Limits
from arrivals.world.scenario import Scenario
from arrivals.world.submission import Occurrences, Submission
from arrivals.world.traffic import Send, sends

FINAL_WORDS = {
    "DELIVRD": "delivered",
    "UNDELIV": "failed",
    "REJECTD": "filtered",
    "EXPIRED": "expired",
}


class Rehearsed(NamedTuple):
    """One part of one send, and all that comes of it."""

    send: Send
    submission: Submission
    fate: Fate
    acts: tuple[Act, ...]


class Rehearsal:
    """A world's memory while it's rehearsed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.limits = Limits()
        self.history = History()
        self.occurrences = Occurrences()

    def play(self, *streams: str) -> Iterator[Rehearsed]:
        """Yield what comes of these streams, or of all."""
        traffic = [s for s in self.scenario.traffic if not streams or s.name in streams]
        for send in sends(traffic, self.seed):
            segments = encode_segments(send.text)
            for part, octets in enumerate(segments, 1):
                yield self.hand_over(send, octets, part, len(segments))

    def hand_over(self, send: Send, octets: bytes, part: int, parts: int) -> Rehearsed:
        """Return what comes of one part."""
        stream = send.stream
        now = self.scenario.at(send.at_s)
        provider = now.provider(stream.provider)
        status, backlog_s = self.limits.judge(
            provider, stream.provider, stream.sender, send.at_s
        )
        occurrence, identity, group = self.occurrences.name(
            stream.sender.encode(), send.number, octets, part, parts
        )
        submission = Submission(
            system_id=stream.provider,
            source=stream.sender,
            destination=send.number,
            octets=octets,
            data_coding=0 if is_gsm7(send.text) else 8,
            identity=identity,
            group=group,
            occurrence=occurrence,
            part=part,
            parts=parts,
            validity_s=stream.valid_for_s,
            at_s=send.at_s,
            backlog_s=backlog_s,
        )
        if status != c.ESME_ROK:
            refused = Fate(answer=Answer(0.0, status), ending=Ending.REFUSED, ended_s=0.0)
            return Rehearsed(send, submission, refused, ())
        seen = self.history.see(submission, now, self.seed)
        submission = msgspec.structs.replace(submission, seen=seen)
        fate = fate_of(submission, self.scenario, self.seed)
        return Rehearsed(send, submission, fate, acts_of(submission, fate, now, self.seed))


def reported(fate: Fate) -> str:
    """Name what the first final word says."""
    if fate.answer.status != c.ESME_ROK:
        return "refused"
    in_time = sorted(fate.receipts, key=lambda receipt: receipt.delay_s)
    words = (FINAL_WORDS.get(receipt.state) for receipt in in_time)
    return next((word for word in words if word), "silent")
