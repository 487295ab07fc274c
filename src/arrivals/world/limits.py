"""A provider's rate limit, as a virtual queue (GCRA): one number, no timer."""

from __future__ import annotations


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
