"""Decide when a message is tried again, and when no more.

The policy is the table RULES. Waits grow by a factor up to a ceiling and are spread by a
jitter that's handed in. A throttled answer or a PDU that never left says nothing about
the message, so those two never use up its budget (invariant 27); its validity bounds
every wait.
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
    PROVIDER_DOWN = "provider_down"  # a brownout: errors instead of answers
    REFUSED_RETRYABLE = "refused_retryable"  # a refusal that may pass
    AMBIGUOUS_RESEND = "ambiguous_resend"  # no answer, and the policy says resend


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How long to wait after one cause."""

    first_us: int
    factor: int
    ceiling_us: int
    attempts_max: int | None  # attempts in all that use the budget; None: only time ends it
    spread: float = 0.5  # the share of the wait that the jitter decides


RULES: Final[dict[Cause, RetryRule]] = {
    # The bind is held 1 s to 60 s by its pacer; a message need not wait longer than it.
    Cause.THROTTLED: RetryRule(
        first_us=_SECOND_US, factor=2, ceiling_us=_MINUTE_US, attempts_max=None
    ),
    # A reconnect takes about a second; nobody saw the message, so nobody minds.
    Cause.NOT_SENT: RetryRule(
        first_us=_SECOND_US // 2, factor=2, ceiling_us=30 * _SECOND_US, attempts_max=None
    ),
    # A brownout lasts minutes: twelve tries reach across about three quarters of an hour.
    Cause.PROVIDER_DOWN: RetryRule(
        first_us=5 * _SECOND_US, factor=2, ceiling_us=10 * _MINUTE_US, attempts_max=12
    ),
    Cause.REFUSED_RETRYABLE: RetryRule(
        first_us=10 * _SECOND_US, factor=3, ceiling_us=60 * _MINUTE_US, attempts_max=5
    ),
    # Once, and never before a minute: a late answer or a receipt usually comes by then.
    Cause.AMBIGUOUS_RESEND: RetryRule(
        first_us=_MINUTE_US, factor=1, ceiling_us=_MINUTE_US, attempts_max=2, spread=0.0
    ),
}


def next_at(
    cause: Cause,
    attempt: int,
    now_us: int,
    jitter: float,
    *,
    deadline_us: int,
    retry_after_us: int | None = None,
) -> int | None:
    """Return when to try again, or None when no try is left before the deadline.

    `attempt` counts from 1 what has been tried: attempts that use the budget, or, for a
    cause that doesn't, how often it has come in a row. `jitter` is in [0, 1).
    `retry_after_us` is a wait the provider asked for: never undercut.
    """
    rule = RULES[cause]
    if attempt < 1:
        raise ValueError("attempts count from 1")
    if rule.attempts_max is not None and attempt >= rule.attempts_max:
        return None
    wait_us = _backoff(rule, attempt)
    wait_us -= int(wait_us * rule.spread * (1 - jitter))
    if retry_after_us is not None:
        wait_us = max(wait_us, retry_after_us + int(rule.first_us * rule.spread * jitter))
    at_us = now_us + wait_us
    return at_us if at_us < deadline_us else None


def _backoff(rule: RetryRule, attempt: int) -> int:
    wait_us = rule.first_us
    for _ in range(attempt - 1):
        if wait_us >= rule.ceiling_us or rule.factor == 1:
            break
        wait_us *= rule.factor
    return min(wait_us, rule.ceiling_us)
