"""Decide when a message is tried again, and when no more.

The policy is the table RULES. Waits grow by a factor up to a ceiling and are spread by a
jitter that's handed in. A throttled answer, a bind that the provider doesn't know of or a PDU
that never left says nothing about the message, so those never use up its budget (invariant
27); its validity bounds every wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * _SECOND_US


class Cause(StrEnum):
    """Why the last attempt didn't hand the message off."""

    THROTTLED = "throttled"  # the provider said: not so fast
    NOT_SENT = "not_sent"  # proved: the PDU never reached the socket
    NOT_BOUND = "not_bound"  # the provider says that we aren't bound, and took nothing
    REFUSED_RETRYABLE = "refused_retryable"  # a refusal that may pass


SPREAD: Final = 0.5  # the share of a wait that the jitter decides


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How long to wait after one cause."""

    first_us: int
    factor: int
    ceiling_us: int
    attempts_max: int | None  # attempts in all that use the budget; None: only time ends it


RULES: Final[dict[Cause, RetryRule]] = {
    # Each waits by itself: others' destinations needn't be slow. A bind that is slow as a whole
    # is held for as long by its pacer, and a message need not wait longer than it.
    Cause.THROTTLED: RetryRule(
        first_us=_SECOND_US, factor=2, ceiling_us=_MINUTE_US, attempts_max=None
    ),
    # A reconnect takes about a second; nobody saw the message, so nobody minds.
    Cause.NOT_SENT: RetryRule(
        first_us=_SECOND_US // 2, factor=2, ceiling_us=30 * _SECOND_US, attempts_max=None
    ),
    # Likewise: the bind is made anew, and nothing was taken.
    Cause.NOT_BOUND: RetryRule(
        first_us=_SECOND_US // 2, factor=2, ceiling_us=30 * _SECOND_US, attempts_max=None
    ),
    Cause.REFUSED_RETRYABLE: RetryRule(
        first_us=10 * _SECOND_US, factor=3, ceiling_us=60 * _MINUTE_US, attempts_max=5
    ),
}


def next_at(
    cause: Cause,
    attempt: int,
    now_us: int,
    jitter: float,
    *,
    deadline_us: int,
) -> int | None:
    """Return when to try again, or None when no try is left before the deadline.

    `attempt` counts from 1 what has been tried: attempts that use the budget, or, for a
    cause that doesn't, how often it has come in a row. `jitter` is in [0, 1).
    """
    rule = RULES[cause]
    if attempt < 1:
        raise ValueError("attempts count from 1")
    if rule.attempts_max is not None and attempt >= rule.attempts_max:
        return None
    wait_us = _backoff(rule, attempt)
    wait_us -= int(wait_us * SPREAD * (1 - jitter))
    at_us = now_us + wait_us
    return at_us if at_us < deadline_us else None


def share_of(key: int, attempt: int) -> float:
    """Return a message's own jitter, in [0, 1): the same at every run."""
    return (
        (key * 0x9E3779B97F4A7C15 + attempt * 0xBF58476D1CE4E5B9) >> 11 & 0xFFFFFF
    ) / 0x1000000


def _backoff(rule: RetryRule, attempt: int) -> int:
    wait_us = rule.first_us
    for _ in range(attempt - 1):
        if wait_us >= rule.ceiling_us:
            break
        wait_us *= rule.factor
    return min(wait_us, rule.ceiling_us)
