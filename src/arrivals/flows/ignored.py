"""Let nothing that a provider sends vanish: count it, keep its octets, say so, raise an alarm.

What is refused, or acknowledged and ignored, may have been a receipt, and then a message is
charged as unknown. So each is counted by provider and fate; its octets, without what somebody
may have written, stand beside those of receipts for a week, so many an hour and no more; the
log tells of each kind once a minute; and a provider of which a share goes this way is an
alarm, with what to do where that is known.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from arrivals.clock import Clock
from arrivals.providers.api import Fate, Ignored
from arrivals.store.api import Step, Transaction

_log = logging.getLogger("arrivals.inbound")

KEEP_ORDER: Final = 30  # with the receipts, beside which they are kept
KEPT_PER_HOUR_MAX: Final = 100  # of one provider: 17 MB in a week at most
SAID_EVERY_S: Final = 60.0
HOUR_S: Final = 3_600.0

# An alarm: a twentieth of what came in ten minutes, and more than a handful.
SHARE_MIN: Final = 0.05
IGNORED_MIN: Final = 10
MINUTES: Final = 10
MINUTE_S: Final = 60.0

# What may be lost by it; an alert or an answer that nobody waits for loses nothing.
_COSTLY: Final = frozenset(Fate) - {Fate.ALERT, Fate.UNASKED}


class Told(NamedTuple):
    """What is said of a fate, and what to do about it."""

    words: str
    fix: str = "Look at its octets in raw_receipts, and ask the provider."


FATES: Final[dict[Fate, Told]] = {
    Fate.UNMARKED: Told(
        "written like receipts and not marked as such",
        "If they are receipts, set dialect = { unmarked_receipts = true }",
    ),
    Fate.UNREADABLE: Told("neither receipts nor handsets' messages"),
    Fate.ALERT: Told("alerts that nobody asked for"),
    Fate.UNASKED: Told("answers to nothing that is remembered"),
    Fate.UNKNOWN_COMMAND: Told("commands that SMPP 3.4 doesn't have"),
    Fate.WRONG_STATE: Told("commands that may not be sent in this state of the bind"),
    Fate.MALFORMED: Told("malformed"),
    Fate.STREAM_LOST: Told("of a length that can't be true, which ended the connection"),
}


def _keep(tx: Transaction, batches: Sequence[Sequence[Ignored]]) -> list[None]:
    tx.keep_raw([(each.provider_id, None, each.raw) for batch in batches for each in batch])
    return [None for _ in batches]


KEEP_IGNORED: Final[Step[Sequence[Ignored], None]] = Step("keep ignored", KEEP_ORDER, _keep)


class _Minute:
    """What came in one minute of the monotonic clock."""

    def __init__(self, number: int) -> None:
        self.number, self.taken, self.ignored = number, 0, Counter[Fate]()


class _Provider:
    """What one provider sent of late."""

    def __init__(self, now: float) -> None:
        self.minutes: deque[_Minute] = deque(maxlen=MINUTES)
        self.kept, self.hour_ends = 0, now + HOUR_S
        self.unsaid: dict[Fate, int] = {}
        self.said_at: dict[Fate, float] = {}

    def this_minute(self, now: float) -> _Minute:
        number = int(now // MINUTE_S)
        if not self.minutes or self.minutes[-1].number != number:
            self.minutes.append(_Minute(number))
        return self.minutes[-1]

    def mostly(self, now: float) -> Fate | None:
        """Return the commonest fate of the last minutes, if a share came to nothing."""
        since = int(now // MINUTE_S) - MINUTES
        recent = [each for each in self.minutes if each.number > since]
        ignored = sum((each.ignored for each in recent), Counter[Fate]())
        total = ignored.total() + sum(each.taken for each in recent)
        if ignored.total() < max(IGNORED_MIN, SHARE_MIN * total):
            return None
        return ignored.most_common(1)[0][0]

    def may_keep(self, now: float) -> bool:
        if now >= self.hour_ends:
            self.kept, self.hour_ends = 0, now + HOUR_S
        self.kept += 1
        return self.kept <= KEPT_PER_HOUR_MAX


class Inbound:
    """What came in to one process and came to nothing; and what didn't, to compare."""

    def __init__(self, clock: Clock) -> None:
        self.totals: dict[tuple[str, str], int] = {}  # by provider and fate, ever
        self._clock = clock
        self._since = clock.monotonic()
        self._providers: dict[str, _Provider] = {}

    def took(self, provider_id: str, count: int) -> None:
        """Count receipts and replies that are recorded."""
        now = self._clock.monotonic()
        self._of(provider_id, now).this_minute(now).taken += count

    def note(self, ignored: Sequence[Ignored]) -> list[Ignored]:
        """Count what came to nothing and say so; return what is to be kept of it."""
        now = self._clock.monotonic()
        kept: list[Ignored] = []
        for each in ignored:
            name = (each.provider_id, each.fate.value)
            self.totals[name] = self.totals.get(name, 0) + 1
            provider = self._of(each.provider_id, now)
            provider.unsaid[each.fate] = provider.unsaid.get(each.fate, 0) + 1
            if each.fate in _COSTLY:
                provider.this_minute(now).ignored[each.fate] += 1
            if each.raw and provider.may_keep(now):
                kept.append(each)
            self._say(each, provider, now)
        return kept

    def mostly(self, provider_id: str) -> Fate | None:
        """Return the commonest fate of what a provider sent, if a share came to nothing."""
        found = self._providers.get(provider_id)
        return found.mostly(self._clock.monotonic()) if found is not None else None

    @property
    def is_known(self) -> bool:
        """Whether it was looked at for long enough to say that all is well."""
        return self._clock.monotonic() - self._since >= MINUTES * MINUTE_S

    def _of(self, provider_id: str, now: float) -> _Provider:
        found = self._providers.get(provider_id)
        if found is None:
            found = self._providers[provider_id] = _Provider(now)
        return found

    def _say(self, each: Ignored, provider: _Provider, now: float) -> None:
        if now - provider.said_at.get(each.fate, -SAID_EVERY_S) < SAID_EVERY_S:
            return
        provider.said_at[each.fate] = now
        _log.warning(
            "provider %s: %d of what it sent came to nothing (%s): %s. %s",
            each.provider_id,
            provider.unsaid.pop(each.fate),
            each.command or "no command",
            *FATES[each.fate],
        )
