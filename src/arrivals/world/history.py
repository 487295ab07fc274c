"""What carriers remember: repeats, floods, senders that were too fast, and today's counts.

It's the only thing in a world by which one message's fate depends on others. It draws
nothing: it says what was seen, and the fate is drawn from that.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from arrivals.world.hours import DAY_S, HOUR_S
from arrivals.world.limits import RateLimit
from arrivals.world.recent import Recent

if TYPE_CHECKING:
    from arrivals.world.carrier import Carrier
    from arrivals.world.scenario import Scenario
    from arrivals.world.submission import Submission

SEEN_MAX: Final = 100_000  # of each kind, twice at most, about 100 MB together
SENDERS_MAX: Final = 20_000

_MINUTE_S: Final = 60


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier has seen before a message."""

    repeated: bool = False  # the same text to the same number, not long ago
    flooding: bool = False  # the same text from the same sender, often this minute
    too_fast: bool = False  # its sender was, not long ago
    over_cap: bool = False  # its sender or brand has had its share today


NOTHING_SEEN: Final = Seen()


class _Pace:
    """One sender at one carrier."""

    def __init__(self, per_s: float, burst_s: float) -> None:
        self.limit = RateLimit(per_s, burst_s)
        self.blocked_until_s = 0.0


class History:
    """One world's carriers' memories, bounded."""

    def __init__(self) -> None:
        self._texts: Recent[bytes, float] = Recent(SEEN_MAX)  # when each came last
        self._floods: Recent[bytes, int] = Recent(SEEN_MAX)  # by minute
        self._paces: Recent[tuple[str, str], _Pace] = Recent(SENDERS_MAX)
        self._today: Recent[tuple[str, str, int], int] = Recent(SENDERS_MAX)

    def see(self, submission: Submission, scenario: Scenario, seed: int) -> Seen:
        """Remember a submission, and return what its carrier had seen before it."""
        carriers = scenario.carriers
        if len(carriers) == 1 and not carriers[0].remembers:
            return NOTHING_SEEN
        carrier = scenario.carrier(submission.destination, seed)
        if not carrier.remembers:
            return NOTHING_SEEN
        return Seen(
            repeated=self._repeats(submission, carrier),
            flooding=self._floods_in(submission, carrier),
            too_fast=self._is_fast(submission, carrier, scenario),
            over_cap=self._is_over(submission, carrier, scenario),
        )

    def _repeats(self, submission: Submission, carrier: Carrier) -> bool:
        within_s = carrier.duplicates.within_s
        if not within_s:
            return False
        key = _key(carrier.name, submission.destination, submission.octets)
        last_s = self._texts.get(key)
        self._texts.put(key, submission.at_s)
        return last_s is not None and submission.at_s - last_s < within_s

    def _floods_in(self, submission: Submission, carrier: Carrier) -> bool:
        allowed = carrier.filter.flood.per_minute
        if not allowed:
            return False
        minute = str(int(submission.at_s // _MINUTE_S))
        key = _key(carrier.name, f"{minute}/{submission.source}", submission.octets)
        count = (self._floods.get(key) or 0) + 1
        self._floods.put(key, count)
        return count > allowed

    def _is_fast(self, submission: Submission, carrier: Carrier, scenario: Scenario) -> bool:
        velocity = carrier.velocity
        if not velocity.per_s or scenario.kind_of(submission.source) not in velocity.kinds:
            return False
        key = (carrier.name, submission.source)
        pace = self._paces.get(key)
        if pace is None:
            pace = _Pace(velocity.per_s, velocity.burst_s)
            self._paces.put(key, pace)
        now_s = submission.at_s
        if pace.limit.wait_s(now_s) > 0:
            pace.blocked_until_s = now_s + velocity.blocks_s
        else:
            pace.limit.take(now_s)
        return now_s < pace.blocked_until_s

    def _is_over(self, submission: Submission, carrier: Carrier, scenario: Scenario) -> bool:
        cap = carrier.cap
        if not cap.daily:
            return False
        brand = scenario.sender(submission.source).brand if cap.per == "brand" else ""
        since_s = submission.at_s + (scenario.begins_h - cap.resets_h) * HOUR_S
        key = (carrier.name, brand or submission.source, int(since_s // DAY_S))
        count = (self._today.get(key) or 0) + 1
        self._today.put(key, count)
        return count > cap.daily


def _key(carrier: str, who: str, octets: bytes) -> bytes:
    return blake2b(
        b"%b\0%b\0%b" % (carrier.encode(), who.encode(), octets), digest_size=12
    ).digest()
