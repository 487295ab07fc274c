"""Share a lane fairly: each account's next message stands one place behind its last.

A lane is claimed by rank. The lane's own time is the rank that was claimed last; a message
that arrives gets the place after its account's last one, and never before the lane's time.
So with N accounts waiting each gets 1/N of the lane, however much one of them queued, and
an account that was quiet is served at once. Start-time fair queueing, with one message as
the unit.

A message that has waited already comes back near the front: behind the account's other
returning messages, not behind all that it queued since. So each account has two places in
the round at most, and among N accounts none gets less than 1/(2N) (invariant 30).
"""

from __future__ import annotations

from collections.abc import Iterable

Lane = tuple[str, int]  # provider, priority


class FairRanks:
    """Hand out places in lanes; a place that was never used is only a gap."""

    def __init__(self, ready: Iterable[tuple[str, int, int, int, int]] = ()) -> None:
        """Start from what is ready: (provider, lane, account, lowest, highest rank)."""
        self._now: dict[Lane, int] = {}
        self._last: dict[tuple[str, int, int], int] = {}
        self._returned: dict[tuple[str, int, int], int] = {}
        lowest_of: dict[Lane, int] = {}
        for provider_id, lane, account_id, lowest, highest in ready:
            self._last[provider_id, lane, account_id] = highest
            place = (provider_id, lane)
            lowest_of[place] = min(lowest, lowest_of.get(place, lowest))
        self._now.update(lowest_of)

    def take(self, provider_id: str, lane: int, account_id: int, count: int = 1) -> int:
        """Return the first of `count` places in a row for an account's messages."""
        return self._next(self._last, (provider_id, lane, account_id), count)

    def front(self, provider_id: str, lane: int, account_id: int) -> int:
        """Return a place near the front: for a message that has waited already."""
        return self._next(self._returned, (provider_id, lane, account_id), 1)

    def ahead(self, provider_id: str, lane: int, account_id: int) -> int:
        """Return how many rounds of the lane an account's own queue still takes."""
        last = self._last.get((provider_id, lane, account_id), 0)
        return max(last - self._now.get((provider_id, lane), 0), 0)

    def claimed(self, provider_id: str, lane: int, rank: int) -> None:
        """Move the lane's time to the highest rank that was just claimed."""
        place = (provider_id, lane)
        self._now[place] = max(rank, self._now.get(place, 0))

    def _next(
        self, last: dict[tuple[str, int, int], int], who: tuple[str, int, int], count: int
    ) -> int:
        first = max(self._now.get(who[:2], 0), last.get(who, 0)) + 1
        last[who] = first + count - 1
        return first
