"""Providers' rate limits, as virtual queues (GCRA): one number each, no timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arrivals.smpp import constants as c
from arrivals.world.recent import Recent

if TYPE_CHECKING:
    from arrivals.world.provider import Provider

LIMITED_MAX: Final = 20_000  # providers and senders whose rate is remembered, twice at most


class RateLimit:
    """Tell when each PDU may go, in world seconds."""

    def __init__(self, per_s: float, burst_s: float) -> None:
        """Start with a whole burst to spare; a rate of 0 sets no limit."""
        self._spacing_s = 1 / per_s if per_s > 0 else 0.0
        self._burst_s = max(burst_s, self._spacing_s)
        self._empty_at_s = 0.0  # when everything taken so far has been worked off

    def wait_s(self, now_s: float) -> float:
        """Return how long a PDU that comes now would have to wait; 0 is at once."""
        full = self._empty_at_s + self._spacing_s - self._burst_s
        return max(0.0, full - now_s) if self._spacing_s else 0.0

    def take(self, now_s: float) -> None:
        """Count a PDU as taken now."""
        self._empty_at_s = max(self._empty_at_s, now_s) + self._spacing_s


class Limits:
    """Judge what comes by the rate of its provider, or of its sender there."""

    def __init__(self) -> None:
        # By the rate as well: one that the timeline changes begins anew.
        self._limits: Recent[tuple[str, str, float], RateLimit] = Recent(LIMITED_MAX)

    def judge(
        self, provider: Provider, system_id: str, source: str, at_s: float
    ) -> tuple[int, float]:
        """Return the status for a PDU, and how long it queues if it's taken."""
        rate = provider.rate
        if not rate.per_s:
            return c.ESME_ROK, 0.0
        key = (system_id, source if rate.per == "sender" else "", rate.per_s)
        limit = self._limits.get(key)
        if limit is None:
            limit = RateLimit(rate.per_s, rate.burst_s)
            self._limits.put(key, limit)
        wait_s = limit.wait_s(at_s)
        if wait_s > 0:
            if rate.over == "throttle":
                return c.ESME_RTHROTTLED, 0.0
            if wait_s > rate.queue_max_s:
                return c.ESME_RMSGQFUL, 0.0
        limit.take(at_s)
        return c.ESME_ROK, wait_s
